"""The command line: each command loads what it needs when it runs, so `--help` is instant.

Errors become one line and an exit code here, and nowhere else.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter

from digitline import __version__
from digitline.errors import DigitlineError
from flows.commands.automations import automations
from flows.commands.doctor import doctor
from flows.commands.keys import keys
from flows.commands.models import models
from flows.commands.monitor import monitor
from flows.commands.prune import prune
from flows.commands.review import review
from flows.commands.serve import serve
from flows.commands.server import server
from flows.commands.shell import (
    Switch,
    check_settings,
    complain,
    ending,
    start_prefect,
    tell,
)
from flows.commands.status import runs, status
from flows.commands.suspects import suspects

UNEXPECTED_ERROR = 1
USAGE_ERROR = 2
UNREADABLE = 14
INTERRUPTED = 130
TOLD_TO_END = 143

app = App(
    name="digitline",
    help="Retrain, judge and run a reader of handwritten digits, in bulk.",
    version=__version__,
)
app.command(models)
app.command(review)
app.command(keys)
app.command(doctor)
app.command(monitor)
app.command(
    "flows.commands.train:train",
    name="train",
    help="Train on labelled data, evaluate and register the model, without promoting it.",
)
app.command(status)
app.command(runs)
app.command(prune)
app.command(serve)
app.command(server)
app.command(automations)
app.command(suspects)
app.suppress_keyboard_interrupt = app.meta.suppress_keyboard_interrupt = False  # see `exit_code`


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
    settings = start_prefect(recipe=recipe)
    from digitline.home import CHECKOUT
    from flows.retrain import retrain as retrain_flow
    from flows.score import score as score_flow

    retrained = retrain_flow(recipe=recipe, force=force)
    scored = score_flow(str(CHECKOUT / "data" / "samples"))
    tell(
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
        columns file and label, Parquet as the Hugging Face hub serves it: a path, or an address
        such as s3://bucket/labelled; or openml:mnist_784.
    to
        Name of the data set.
    """
    settings = check_settings()
    settings.places.prepare()
    from digitline.sources.checks import explain
    from digitline.sources.dataset import locate
    from digitline.sources.ingest import ingest as ingest_rows
    from digitline.sources.recognise import open_source

    directory = locate(settings.places.data, to)
    opened = open_source(source, limits=settings.decoding, cache=settings.places.downloads)
    done = ingest_rows(opened, directory, settings.checks, settings.decoding)
    parts = ", ".join(f"{facts.rows:,} {part}" for part, facts in done.facts.parts.items())
    tell(data_set=done.directory, rows=f"{parts} ({done.verdict})")
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
    start: str | None = None,
) -> None:
    """Retrain on labelled data, judge the result and promote it where the gate lets it.

    Parameters
    ----------
    sources
        Data sets by name, or paths and addresses as `ingest` takes them, such as
        s3://bucket/labelled; the embedded `mnist` if none.
    recipe
        Recipe to train with: quick, default, best, or a TOML file.
    seed
        Seed of everything random in the training.
    force
        Train even where data, recipe, seed and code are the champion's.
    promote
        Whether it becomes champion: auto as the gate says, never, force, or ask a person.
    start
        Weights to begin with: auto (the champion's where only new rows came), fresh, or a version.
    """
    from digitline.objects import check_addresses

    check_addresses(*sources)
    start_prefect(recipe=recipe, seed=seed, start=start)
    from flows.retrain import retrain as retrain_flow

    done = retrain_flow(
        sources or ("mnist",), recipe=recipe, seed=seed, force=force, promote=promote, start=start
    )
    tell(verdict=f"{done.verdict}: {done.version}, {done.error:.2%} test error", report=done.report)


@app.command
def score(
    source: str,
    /,
    *,
    out: str | None = None,
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
    fields: Switch = False,
    length: str | None = None,
    check: Literal["luhn", "mod11", "mod97"] | None = None,
    codes: Path | None = None,
    previous: Path | None = None,
    engine: Literal["local", "dask"] | None = None,
    address: str | None = None,
) -> int | None:
    """Score a folder of images, an archive, Parquet or a CSV manifest with the champion.

    Parameters
    ----------
    source
        Folder (searched to its depth), zip or tar archive, Parquet of raw or normalised rows,
        or CSV manifest; a path, or an address such as s3://bucket/scans.
    out
        Directory or address for the results; a directory under the home where none is given.
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
    fields
        Each image holds a short row of digits: a postcode, a meter, an amount.
    length
        For fields: how many digits are legal, such as 5 or 3-6.
    check
        For fields: the check digit that legal ones have.
    codes
        For fields: file with those that are legal, one a line.
    previous
        For fields: CSV with the columns file and previous; a meter never runs backwards.
    engine
        What scores: local processes, or the workers of a dask cluster.
    address
        Dask scheduler, such as tcp://10.0.0.7:8786; a cluster on this machine where none is given.
    """
    from digitline.objects import check_addresses
    from flows.orchestration import require_engine

    rules = (length, check, codes, previous)
    if fields and (job is not None or since != "last"):
        return complain("--fields goes with no --job and no --since.", USAGE_ERROR)
    if not fields and any(rule is not None for rule in rules):
        return complain("what is legal is for --fields alone.", USAGE_ERROR)
    check_addresses(source, out)
    require_engine(check_settings(bulk={"engine": engine} if engine else {}).bulk, address)
    settings = start_prefect(threshold=threshold, max_error=max_error)
    allowed = None if max_error is None else settings.max_error
    if fields:
        from flows.score_fields import score_fields

        read = score_fields(
            source,
            out=out,
            threshold=threshold,
            max_error=allowed,
            workers=workers,
            include=include,
            exclude=exclude,
            error_threshold=error_threshold,
            kind=kind,
            join=join,
            length=length,
            check=check,
            codes=codes,
            previous=previous,
            engine=engine,
            address=address,
        )
        tell(fields=read.counts, predictions=read.published or read.results)
        return None
    from flows.score import score as score_flow

    done = score_flow(
        source,
        out=out,
        threshold=threshold,
        max_error=allowed,
        workers=workers,
        include=include,
        exclude=exclude,
        error_threshold=error_threshold,
        kind=kind,
        join=join,
        job=job,
        since=since,
        engine=engine,
        address=address,
    )
    changes = {"changes": done.changes} if done.changes else {}
    tell(
        images=done.counts,
        **changes,
        drift=done.drift.sentence,
        predictions=done.published or done.results,
        report=done.report,
    )
    return None


@app.command
def read(
    *images: Path,
    html: Path | None = None,
    max_error: str | None = None,
    threshold: float | None = None,
    fields: Switch = False,
    length: str | None = None,
    check: Literal["luhn", "mod11", "mod97"] | None = None,
    codes: Path | None = None,
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
    fields
        Each image holds a short row of digits: a postcode, a meter, an amount.
    length
        For fields: how many digits are legal, such as 5 or 3-6.
    check
        For fields: the check digit that legal ones have.
    codes
        For fields: file with those that are legal, one a line.
    """
    settings = check_settings(threshold=threshold, max_error=max_error)
    if not fields and any(rule is not None for rule in (length, check, codes)):
        return complain("what is legal is for --fields alone.", USAGE_ERROR)
    if not images:
        return complain("no image to read. `digitline read --help` shows how.", USAGE_ERROR)
    from digitline.commit import write_bytes
    from digitline.models.registry import Registry
    from digitline.scoring.field_single import read_field_image
    from digitline.scoring.legal import Legal
    from digitline.scoring.single import Unread, read_image, to_page
    from flows.acceptance import find_threshold

    legal = Legal.parse(length, check, codes)
    model = Registry(settings.places.models, settings.places.keys).load(lean=True)
    accept_from = find_threshold(model.card, settings)
    readings = []
    for path in images:
        reading = (
            read_field_image(path, model, accept_from, settings.decoding, legal)
            if fields
            else read_image(path, model, accept_from, settings.decoding)
        )
        readings.append(reading)
        if isinstance(reading, Unread):
            print(f"digitline: error: {reading}", file=sys.stderr)
        elif html is None:
            print(reading.to_text())
    if html is not None:
        write_bytes(html, to_page(readings).encode())
        tell(page=html)
    return UNREADABLE if any(isinstance(reading, Unread) for reading in readings) else 0


@app.command(name="settings")
def show_settings() -> None:
    """Show every setting: its value, its environment variable and what it means."""
    from digitline.settings import explain, load_settings

    for line in explain(load_settings()):
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
        with ending:
            return app(tokens, exit_on_error=False, print_error=False)  # type: ignore[no-any-return]
    except Exception:
        if debug:
            traceback.print_exc()
        raise


def main() -> None:
    """Run the command line and end the process with its exit code."""
    signal.signal(signal.SIGTERM, _end)
    sys.exit(exit_code(sys.argv[1:]))


class _ToldToEnd(KeyboardInterrupt):
    """A SIGTERM, as service managers and clusters send; it ends a run as Ctrl-C does."""


def _end(_word: int, _frame: FrameType | None) -> NoReturn:
    raise _ToldToEnd


def exit_code(arguments: list[str]) -> int:
    """Run a command; say what went wrong in one line, and give the exit code for it."""
    try:
        return app.meta(arguments, exit_on_error=False, print_error=False) or 0
    except CycloptsError as error:
        return complain(f"{error} `digitline --help` shows what there is.", USAGE_ERROR)
    except DigitlineError as error:
        return complain(str(error), error.exit_code)
    except KeyboardInterrupt as interruption:
        return _complain_of_interruption(interruption)
    except Exception as error:  # noqa: BLE001 - the last place that can tell a person
        return _complain_of_unexpected(error)


def _complain_of_interruption(interruption: KeyboardInterrupt) -> int:
    if isinstance(interruption, _ToldToEnd):
        return complain("told to end; the same command takes the run up again.", TOLD_TO_END)
    return complain("interrupted; the same command takes the run up again.", INTERRUPTED)


def _find_interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """Find what an error came of: Prefect, interrupted as it starts a task, raises its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def _complain_of_unexpected(error: Exception) -> int:
    from flows.orchestration import explain_silence

    if interruption := _find_interruption(error):
        return _complain_of_interruption(interruption)
    if silence := explain_silence(error):
        return complain(str(silence), silence.exit_code)
    kind = type(error).__name__
    return complain(f"unexpected {kind}: {error}. `--debug` shows where.", UNEXPECTED_ERROR)


if __name__ == "__main__":
    main()
