"""The command line: each command loads what it needs when it runs, so `--help` is instant.

Errors become one line and an exit code here, and nowhere else.
"""

import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from digitline import __version__
from digitline.errors import DigitlineError, NoModelError
from digitline.names import printable

if TYPE_CHECKING:
    from digitline.models.registry import Finding, Registry
    from digitline.settings import Settings

UNEXPECTED_ERROR = 1
USAGE_ERROR = 2
UNREADABLE = 14
INTERRUPTED = 130

app = App(
    name="digitline",
    help="Retrain, judge and run a reader of handwritten digits, in bulk.",
    version=__version__,
)
models = App(name="models", help="See the registered models, promote one, go back to another.")
app.command(models)
app.suppress_keyboard_interrupt = app.meta.suppress_keyboard_interrupt = False  # see `exit_code`

Switch = Annotated[bool, Parameter(negative=())]


@app.command
def run(*, recipe: str | None = None, force: Switch = False) -> None:
    """Retrain on the embedded MNIST, score the samples and write both reports.

    Parameters
    ----------
    recipe
        Recipe to train with: quick, default, best, or a TOML file.
    force
        Train even where data, recipe, seed and code are the champion's.
    """
    settings = _start_prefect(recipe=recipe)
    from digitline.home import CHECKOUT
    from flows.retrain import retrain as retrain_flow
    from flows.score import score as score_flow

    retrained = retrain_flow(recipe=recipe, force=force)
    scored = score_flow(str(CHECKOUT / "data" / "samples"))
    _tell(
        verdict=f"{retrained.verdict}: {retrained.version}, {retrained.error:.2%} test error",
        samples=scored.counts,
        retrain_report=retrained.report,
        score_report=scored.report,
        all_reports=settings.places.reports / "index.html",
        predictions=scored.results,
    )


@app.command
def ingest(source: str, /, *, to: str) -> None:
    """Validate a source of labelled images and keep its rows as a data set.

    Parameters
    ----------
    source
        IDX files (plain or .gz), a folder with a sub-folder a digit, a CSV manifest with the
        columns file and label, Parquet as the Hugging Face hub serves it, or openml:mnist_784.
    to
        Name of the data set.
    """
    settings = _settings()
    settings.places.prepare()
    from digitline.sources.checks import explain
    from digitline.sources.dataset import locate
    from digitline.sources.ingest import ingest as ingest_rows
    from digitline.sources.recognise import open_source

    directory = locate(settings.places.data, to)
    opened = open_source(source, limits=settings.decoding, cache=settings.places.downloads)
    done = ingest_rows(opened, directory, settings.checks, settings.decoding)
    parts = ", ".join(f"{facts.rows:,} {part}" for part, facts in done.facts.parts.items())
    _tell(data_set=done.directory, rows=f"{parts} ({done.verdict})")
    for outcome in done.facts.outcomes:
        if not outcome.passed:
            print(f"warning: {explain(outcome)}")
    if done.facts.dropped:
        print(f"{done.facts.dropped:,} rows were dropped; dropped.parquet says which and why.")


@app.command
def retrain(
    *sources: str,
    recipe: str | None = None,
    seed: int | None = None,
    force: Switch = False,
    promote: Literal["auto", "never", "force", "ask"] = "auto",
) -> None:
    """Retrain on labelled data, judge the result and promote it where the gate lets it.

    Parameters
    ----------
    sources
        Data sets by name, or sources as `ingest` takes them; the embedded `mnist` if none.
    recipe
        Recipe to train with: quick, default, best, or a TOML file.
    seed
        Seed of everything random in the training.
    force
        Train even where data, recipe, seed and code are the champion's.
    promote
        Whether it becomes champion: auto as the gate says, never, force, or ask a person.
    """
    _start_prefect(recipe=recipe, seed=seed)
    from flows.retrain import retrain as retrain_flow

    done = retrain_flow(
        sources or ("mnist",), recipe=recipe, seed=seed, force=force, promote=promote
    )
    _tell(
        verdict=f"{done.verdict}: {done.version}, {done.error:.2%} test error", report=done.report
    )


@app.command
def score(
    source: str,
    /,
    *,
    out: Path | None = None,
    max_error: str | None = None,
    threshold: float | None = None,
    workers: int | None = None,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    error_threshold: str | None = None,
    kind: Annotated[Literal["parquet", "csv", "jsonl"], Parameter(name="--format")] = "parquet",
    join: Switch = False,
    job: str | None = None,
    since: Literal["last", "never"] = "last",
) -> None:
    """Score a folder of images, an archive, Parquet or a CSV manifest with the champion.

    Parameters
    ----------
    source
        Folder (searched to its depth), zip or tar archive, Parquet of raw or normalised rows,
        or CSV manifest.
    out
        Directory for the results; one under the home where none is given.
    max_error
        Share of accepted answers that may be wrong, such as 0.1%.
    threshold
        Confidence from which an answer is accepted, in place of a certified one.
    workers
        Processes that read images; one a core where none are given.
    include
        Pattern of the names to score, such as `*.png` or `monday/*`; may be given again.
    exclude
        Pattern of the names to leave out; may be given again.
    error_threshold
        Images that may fail, such as 25 or 2%, before the command ends with an error; -1 for any.
    kind
        Format to write beside Parquet.
    join
        Write the columns of a CSV manifest with what became of each of its images.
    job
        Name under which later runs score only what is new or changed.
    since
        For a named job: score what has changed since the last run, or everything.
    """
    settings = _start_prefect(threshold=threshold, max_error=max_error)
    from flows.score import score as score_flow

    done = score_flow(
        source,
        out=out,
        threshold=threshold,
        max_error=None if max_error is None else settings.max_error,
        workers=workers,
        include=include,
        exclude=exclude,
        error_threshold=error_threshold,
        kind=kind,
        join=join,
        job=job,
        since=since,
    )
    changes = {"changes": done.changes} if done.changes else {}
    _tell(images=done.counts, **changes, predictions=done.results, report=done.report)


@app.command
def read(
    *images: Path,
    html: Path | None = None,
    max_error: str | None = None,
    threshold: float | None = None,
) -> int:
    """Read single images with the champion, and show what the network saw.

    Parameters
    ----------
    images
        Image files, each of one digit.
    html
        File to write a page to, in place of drawing in the terminal.
    max_error
        Share of accepted answers that may be wrong, such as 0.1%.
    threshold
        Confidence from which an answer is accepted, in place of a certified one.
    """
    settings = _settings(threshold=threshold, max_error=max_error)
    if not images:
        return _complain("no image to read. `digitline read --help` shows how.", USAGE_ERROR)
    from digitline.commit import write_bytes
    from digitline.models.registry import Registry
    from digitline.scoring.single import Unread, read_image, to_page, to_text
    from flows.acceptance import find_threshold

    model = Registry(settings.places.models, settings.places.keys).load()
    accept_from = find_threshold(model.card, settings)
    readings = []
    for path in images:
        reading = read_image(path, model, accept_from, settings.decoding)
        readings.append(reading)
        if isinstance(reading, Unread):
            print(f"digitline: error: {reading}", file=sys.stderr)
        elif html is None:
            print(to_text(reading))
    if html is not None:
        write_bytes(html, to_page(readings).encode())
        _tell(page=html)
    return UNREADABLE if any(isinstance(reading, Unread) for reading in readings) else 0


@models.command(name="list")
def list_models() -> None:
    """List the registered models, newest first."""
    registry = _registry()
    findings = registry.survey()
    champion, fault = _champion(registry)
    for finding in reversed(findings):
        print(_line(finding, champion))
    if isinstance(fault, NoModelError):
        print("No champion yet. Run `digitline retrain`.")
    elif fault is not None:
        raise fault


@models.command
def show(version: str | None = None, /) -> None:
    """Show the card of a model.

    Parameters
    ----------
    version
        A version such as m0003; the champion where none is given.
    """
    registry = _registry()
    card = registry.card(version or registry.champion())
    print(card.to_bytes().decode(), end="")


@models.command
def promote(version: str, /, *, reason: str = "by hand", repair: Switch = False) -> None:
    """Make a version the champion, whatever the gate said.

    Parameters
    ----------
    version
        A version such as m0003.
    reason
        Why, for the history.
    repair
        Sign a new pointer in place of one that is refused.
    """
    pointer = _registry().promote(
        version, reason=reason, run="command line", created=_now(), repair=repair
    )
    print(f"{pointer.version} is the champion.")


@models.command
def rollback(*, reason: str = "by hand") -> None:
    """Make the champion before this one the champion again.

    Parameters
    ----------
    reason
        Why, for the history.
    """
    pointer = _registry().rollback(reason=reason, run="command line", created=_now())
    print(f"{pointer.version} is the champion again.")


@models.command
def verify(version: str | None = None, /) -> int:
    """Check signatures, digests and golden rows of a model, or of all.

    Parameters
    ----------
    version
        A version such as m0003; all of them and the champion's pointer where none is given.
    """
    findings = _registry().verify(version)
    for finding in findings:
        print(f"{finding.subject:<10}{'sound' if finding.error is None else finding.error}")
    return next((finding.error.exit_code for finding in findings if finding.error), 0)


@app.command(name="settings")
def show_settings() -> None:
    """Show every setting: its value, its environment variable and what it means."""
    settings = _settings()
    from digitline.settings import explain

    for line in explain(settings):
        print(f"{line.name} = {line.value}\n    {line.description} ({line.variable})")


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Switch = False,
    verbose: Switch = False,
) -> int | None:
    """Run a command.

    Parameters
    ----------
    debug
        Show the traceback of an error.
    verbose
        Show what Prefect says.
    """
    if verbose:
        os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    try:
        return app(tokens, exit_on_error=False, print_error=False)  # type: ignore[no-any-return]
    except Exception:
        if debug:
            traceback.print_exc()
        raise


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(exit_code(sys.argv[1:]))


def exit_code(arguments: list[str]) -> int:
    """Run a command; say what went wrong in one line, and give the exit code for it."""
    try:
        return app.meta(arguments, exit_on_error=False, print_error=False) or 0
    except CycloptsError as error:
        return _complain(f"{error} `digitline --help` shows what there is.", USAGE_ERROR)
    except DigitlineError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command takes the run up again.", INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last place that can tell a person
        kind = type(error).__name__
        return _complain(f"unexpected {kind}: {error}. `--debug` shows where.", UNEXPECTED_ERROR)


def _complain(line: str, code: int) -> int:
    print(f"digitline: error: {printable(line)}", file=sys.stderr)
    return code


def _settings(**options: object) -> "Settings":
    from digitline.settings import load_settings

    return load_settings(**options)


def _registry() -> "Registry":
    from digitline.models.registry import Registry

    places = _settings().places
    return Registry(places.models, places.keys)


def _champion(registry: "Registry") -> tuple[str | None, DigitlineError | None]:
    try:
        return registry.champion(), None
    except DigitlineError as error:
        return None, error


def _start_prefect(**options: object) -> "Settings":
    """Check the settings, set Prefect up, and say what takes so long."""
    settings = _settings(**options)
    from flows.orchestration import connect, is_server_named, prepare

    prepare(settings.places)
    _show_log_lines()
    if not is_server_named():
        print("Starting Prefect's embedded server (6 to 14 s) ...", flush=True)
    connect()
    return settings


def _show_log_lines() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("digitline")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _line(finding: "Finding", champion: str | None) -> str:
    if finding.card is None:
        return f"  {finding.subject}  {finding.error}"
    card = finding.card
    mark = "*" if card.version == champion else " "
    return (
        f"{mark} {card.version}  {card.metrics.error:.2%} error  {card.verdict.kind:<9}  "
        f"{card.recipe.get('name', '')}  {card.run}  {card.created}"
    )


def _tell(**lines: object) -> None:
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name.replace('_', ' ').capitalize():<{width}}  {printable(str(value))}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    main()
