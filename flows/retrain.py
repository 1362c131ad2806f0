"""The `retrain` flow: from sources to a judged, registered and perhaps promoted model."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, describe, locked, write_manifest
from digitline.errors import IncompatibleError, NoModelError, OrchestrationError
from digitline.home import Home
from digitline.judging.census import Census
from digitline.judging.gate import Promotion, overrule
from digitline.judging.verdict import Kind, Verdict
from digitline.learning.fit import Part, member_checkpoint
from digitline.learning.parts import CORRECTIONS, Origin, train_name
from digitline.learning.recipe import Recipe, load_recipe
from digitline.learning.suspects import ISSUES, ISSUES_NAME, read_issues
from digitline.models.card import Card, Corrections, Facts
from digitline.models.card import Data as DataIdentity
from digitline.models.registry import Registry
from digitline.objects import check_addresses
from digitline.pixels.normalise import NORMALISER
from digitline.progress import watched_by
from digitline.provenance import code_digest, digest_of, library_versions
from digitline.report import data as report_data
from digitline.report.covers import cover_retraining
from digitline.report.words import headline
from digitline.review.audit import Audit, estimate
from digitline.review.store import Store
from digitline.rows import write_rows
from digitline.runs import Run, now, open_run
from digitline.settings import Settings, load_settings
from digitline.sources.dataset import Ingested
from flows.artifacts import Row, show_progress, show_run
from flows.events import Judged, tell_verdict
from flows.orchestration import at_home, is_server_named
from flows.warm_start import find_start
from tasks.calibrate import Calibrated, calibrate_network
from tasks.evaluate import Evaluated, evaluate_challenger
from tasks.gather import Gathered, gather_corrections
from tasks.ingest import ingest_source
from tasks.normalise import Normalised, normalise_rows
from tasks.practise import Practised, practise_rows
from tasks.promote import promote_challenger
from tasks.register import register_challenger
from tasks.render import describe_data, render_retrain
from tasks.split import Split, split_by_digest
from tasks.suspect import suspect_labels
from tasks.train import Start, Trained, train_network

_log = logging.getLogger("digitline")
_TRIAL = "trial.parquet"
_PATIENCE = 7 * 24 * 3600  # seconds a person may take to decide


class Retrained(BaseModel):
    """What a retraining came to; `unchanged` leaves the champion's version and report."""

    model_config = ConfigDict(frozen=True)

    verdict: Kind
    version: str
    error: float
    report: Path


@dataclass(frozen=True)
class Plan:
    """All that determines the model: the rows, the recipe, the seed, the code and the start."""

    data: DataIdentity
    recipe_name: str
    recipe: Recipe
    seed: int
    code: str
    weights: dict[str, float] = field(default_factory=dict)
    start: Start | None = None

    @property
    def recipe_digest(self) -> str:
        """Identify the recipe by its values, whatever it is called."""
        return digest_of(self.recipe.model_dump(mode="json"))

    @property
    def key(self) -> str:
        """Identify the training: the same key, the same model."""
        return digest_of(
            {
                "data": self.data.model_dump(),
                "recipe": self.recipe_digest,
                "seed": self.seed,
                "code": self.code,
                "weights": self.weights,
                "start": "" if self.start is None else self.start.sha256,
            }
        )

    def made(self, card: Card) -> bool:
        """Say whether the model of that card came from this very plan."""
        return (card.data, card.recipe_digest, card.seed, card.code, card.weights) == (
            self.data,
            self.recipe_digest,
            self.seed,
            self.code,
            self.weights,
        )


@dataclass
class Clock:
    """The stages so far, and the seconds each took."""

    stages: list[report_data.Stage] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        began = time.perf_counter()
        yield
        self.stages.append(report_data.Stage(name=name, seconds=time.perf_counter() - began))

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(stage.seconds for stage in self.stages)


@dataclass(frozen=True)
class Prepared:
    """The data sets by name, what their pictures look like, their rows in parts, and practice."""

    data_sets: dict[str, Ingested]
    split: Split
    corrections: Gathered | None
    pictures: Census
    practice: Practised | None
    issues: tuple[Path, ...]

    @property
    def digits(self) -> dict[str, tuple[int, ...]]:
        """Images of each digit, by part."""
        practice = {} if self.practice is None else {report_data.PRACTICE: self.practice.digits}
        return {**self.split.digits, **practice}

    def train(self, weights: Mapping[str, float]) -> list[Part]:
        """List all that is trained on, weighed by the name of the data set."""
        parts = [Part(path, weights.get(name, 1)) for name, path in self.split.train.items()]
        if self.practice is None:
            return parts
        return [*parts, Part(self.practice.path, weights.get(report_data.PRACTICE, 1))]


@flow(persist_result=False)
@at_home
def retrain(
    sources: Sequence[str] = ("mnist",),
    recipe: str | None = None,
    seed: int | None = None,
    force: bool = False,  # noqa: FBT001, FBT002 - a switch on Prefect's run form
    promote: Promotion = "auto",
    start: str | None = None,
) -> Retrained:
    """Retrain on labelled sources, judge the result, and promote it where the gate lets it.

    Args:
        sources: Data sets by name (`mnist` is embedded), or what to ingest, IDX, folder, CSV or
            Parquet: a path, or an address such as s3://bucket/labelled.
        recipe: Recipe to train with, a name or a TOML file; the setting where none is given.
        seed: Seed of everything random; the setting where none is given.
        force: Train even where data, recipe, seed and code are the champion's.
        promote: Whether the challenger becomes champion: `auto` as the gate says, `never`,
            `force`, or `ask` a person, who resumes the paused run in Prefect's UI.
        start: Weights to begin with: `auto` the champion's where only new rows came, `fresh`
            ones, or a version's; the setting where none is given.
    """
    if promote == "ask" and not is_server_named():
        raise OrchestrationError(
            "a person can be asked only through a server of Prefect's",
            todo="Start one with `prefect server start` and name it with PREFECT_API_URL",
        )
    check_addresses(*sources)
    settings = load_settings(recipe=recipe, seed=seed, start=start)
    home = settings.places
    with locked(home.lock("retrain"), "retrain"), watched_by(show_progress):
        clock = Clock()
        prepared = _prepare(sources, settings, clock)
        plan = _plan(prepared, settings)
        registry = Registry(home.models, home.keys)
        champion = None if force else _champion_of(plan, registry)
        if champion is not None:
            return _leave_unchanged(champion, home)
        begun = find_start(
            settings.start, plan.recipe, prepared.split.train.values(), home, registry
        )
        plan = replace(plan, start=begun)
        return _challenge(plan, prepared, settings, registry, clock, promote)


def _prepare(sources: Sequence[str], settings: Settings, clock: Clock) -> Prepared:
    home = settings.places
    data_sets: dict[str, Ingested] = {}
    with clock.stage("ingest"):
        for source in sources:
            ingested = ingest_source(source, home, settings.checks, settings.decoding)
            data_sets[ingested.directory.name] = ingested
    with clock.stage("normalise"):
        normalised = {
            name: normalise_rows(ingested.directory, home.normalised, settings.decoding)
            for name, ingested in data_sets.items()
        }
        origins = [_origin(name, rows) for name, rows in normalised.items()]
        corrections = gather_corrections(home.corrections, home.normalised, settings.decoding)
    with clock.stage("suspect"):
        issues = [
            suspect_labels(
                ingested.directory,
                normalised[name].directory,
                home.normalised,
                search=settings.suspects,
            )
            for name, ingested in data_sets.items()
        ]
    with clock.stage("split"):
        corrected = None if corrections is None else corrections.rows
        split = split_by_digest(origins, home.splits, settings.shares, corrected, home.errata)
    with clock.stage("practise"):
        practice = _practise(split, settings)
    pictures = sum((rows.pictures for rows in normalised.values()), Census())
    found = tuple(file for file in issues if file is not None)
    return Prepared(data_sets, split, corrections, pictures, practice, found)


def _practise(split: Split, settings: Settings) -> Practised | None:
    if settings.practice == 0:
        return None
    return practise_rows(
        list(split.train.values()),
        split.identity("train").digest,
        settings.practice,
        settings.seed,
        settings.places.practice,
    )


def _origin(name: str, rows: Normalised) -> Origin:
    test = rows.directory / "test.parquet"
    return Origin(name, rows.directory / "train.parquet", test if "test" in rows.parts else None)


def _plan(prepared: Prepared, settings: Settings) -> Plan:
    split = prepared.split
    return Plan(
        data=DataIdentity(
            name=", ".join(prepared.data_sets),
            manifest=split.manifest.digest,
            train=split.identity("train"),
            validation=split.identity("validation"),
            calibration=split.identity("calibration"),
            test=split.identity("test"),
            corrections=_corrections(prepared, settings),
            relabelled=split.relabelled,
            practice=None if prepared.practice is None else prepared.practice.rows,
        ),
        recipe_name=Path(settings.recipe).stem,
        recipe=load_recipe(settings.recipe),
        seed=settings.seed,
        code=code_digest(),
        weights=_weights(prepared, settings),
    )


def _weights(prepared: Prepared, settings: Settings) -> dict[str, float]:
    """Give what the rows of each data set count, of those that do not count 1."""
    weights = {name: settings.weights.get(name, 1) for name in prepared.data_sets}
    if prepared.practice is not None:
        weights[report_data.PRACTICE] = settings.practice_weight
    return {name: weight for name, weight in weights.items() if weight != 1}


def _corrections(prepared: Prepared, settings: Settings) -> Corrections | None:
    if prepared.corrections is None:
        return None
    return Corrections(
        rows=prepared.split.manifest.shard(train_name(CORRECTIONS)).rows,
        others=prepared.corrections.others,
        weight=settings.correction_weight,
    )


def _champion_of(plan: Plan, registry: Registry) -> Card | None:
    """Give the champion's card where it came from this very plan."""
    try:
        card = registry.card(registry.champion())
    except (NoModelError, IncompatibleError):
        return None
    return card if plan.made(card) else None


def _leave_unchanged(champion: Card, home: Home) -> Retrained:
    _log.info(
        "  unchanged  data, recipe, seed and code are those of %s (%.2f %% error); "
        "`--force` trains anyway",
        champion.version,
        100 * champion.metrics.error,
    )
    page = home.reports / champion.run / "report.html"
    error = champion.metrics.error
    show_run(
        "Unchanged",
        f"Data, recipe, seed and code are those of {champion.version}.",
        [{"model": champion.version, "error": f"{error:.4f}"}],
        page,
    )
    return Retrained(verdict="unchanged", version=champion.version, error=error, report=page)


def _challenge(
    plan: Plan,
    prepared: Prepared,
    settings: Settings,
    registry: Registry,
    clock: Clock,
    promotion: Promotion,
) -> Retrained:
    """Train, evaluate, register, report and perhaps promote a challenger."""
    home, split = settings.places, prepared.split
    run = open_run(home, "retrain", plan.key, now())
    _log.info("%s%s", run.id, ", taken up again" if run.resumed else "")
    weights = plan.weights | {CORRECTIONS: settings.correction_weight}
    with clock.stage("train"):
        trained = train_network(
            plan.recipe_name,
            plan.recipe,
            prepared.train(weights),
            split.validation,
            plan.seed,
            home.checkpoints / f"{run.id}.joblib",
            plan.start,
        )
    with clock.stage("calibrate"):
        calibrated = calibrate_network(
            trained.draft,
            trained.sha256,
            next(iter(split.train.values())),
            split.validation,
            split.calibration,
            settings.max_error,
            settings.certainty,
            settings.odd,
            plan.recipe.distortion,
            plan.seed,
            home.checkpoints / f"{run.id}.calibrated.joblib",
        )
    threshold = settings.threshold
    if threshold is None:
        threshold = calibrated.certificate.threshold
    with clock.stage("evaluate"):
        evaluated = evaluate_challenger(
            calibrated.draft,
            calibrated.sha256,
            trained.validation_error,
            calibrated.certificate,
            calibrated.oddness_limit,
            split.test,
            registry,
            settings.gate,
            promotion,
            run.directory / _TRIAL,
        )
    reference = calibrated.reference.beside(prepared.pictures)
    facts = _facts(run, plan, calibrated, evaluated, threshold, reference)
    with clock.stage("register"):
        version = register_challenger(
            calibrated.draft, calibrated.sha256, facts, split.test, registry
        )
    audit = estimate(Store(home.corrections).answers()).get(evaluated.champion or "")
    report = render_retrain(
        _report(run, version, plan, facts, trained, evaluated, prepared, clock, audit),
        evaluated.trial,
        threshold,
        list(split.train.values()),
        split.test,
        calibrated.draft,
        calibrated.sha256,
        _keep_issues(prepared.issues, run.directory),
        home.reports,
    )
    verdict = evaluated.verdict
    if promotion == "ask":
        verdict = ask(verdict, first=evaluated.champion is None)
    promote_challenger(version, verdict, evaluated.champion, registry, run.id, now(), home.reports)
    _finish(run, version, plan, trained, calibrated)
    page = home.reports / run.id / "report.html"
    _publish(report, page)
    told = Judged(
        run=run.id,
        model=version,
        champion=evaluated.champion,
        error=facts.metrics.error,
        sentence=f"{version}, {facts.metrics.error:.2%} test error: {verdict.sentence}",
        report=page.as_uri(),
    )
    tell_verdict(verdict, told)
    return Retrained(verdict=verdict.kind, version=version, error=facts.metrics.error, report=page)


class Approval(RunInput):
    """What a person says about a challenger: `auto` leaves it to the gate."""

    promote: Literal["auto", "never", "force"] = "auto"


def ask(verdict: Verdict, *, first: bool, poll: int = 10) -> Verdict:
    """Pause until a person has resumed the run, looking again every `poll` seconds."""
    _log.info("  ask        %s; resume the run in Prefect's UI", verdict.sentence)
    approval = pause_flow_run(wait_for_input=Approval, timeout=_PATIENCE, poll_interval=poll)
    return overrule(verdict, approval.promote, first=first)


def _facts(
    run: Run,
    plan: Plan,
    calibrated: Calibrated,
    evaluated: Evaluated,
    threshold: float,
    reference: Census,
) -> Facts:
    return Facts(
        created=run.started,
        run=run.id,
        parent=evaluated.champion,
        recipe={"name": plan.recipe_name, **plan.recipe.model_dump(mode="json")},
        recipe_digest=plan.recipe_digest,
        seed=plan.seed,
        start=None if plan.start is None else plan.start.version,
        data=plan.data,
        code=plan.code,
        weights=plan.weights,
        normaliser=NORMALISER,
        metrics=evaluated.metrics,
        threshold=threshold,
        certificate=calibrated.certificate,
        oddness_limit=calibrated.oddness_limit,
        curve=calibrated.curve,
        reference=reference,
        verdict=evaluated.verdict,
    )


def _report(
    run: Run,
    version: str,
    plan: Plan,
    facts: Facts,
    trained: Trained,
    evaluated: Evaluated,
    prepared: Prepared,
    clock: Clock,
    audit: Audit | None,
) -> report_data.RetrainReport:
    """Say all that is known before the page looks at the trial itself."""
    verdict = evaluated.verdict
    champion = evaluated.champion
    return report_data.RetrainReport(
        run=report_data.Run(id=run.id, when=run.started, seconds=clock.seconds),
        decision=report_data.Decision(
            verdict=verdict.kind,
            sentence=verdict.sentence,
            rules=verdict.rules,
        ),
        model=report_data.Version(version=version, error=facts.metrics.error),
        champion=None
        if champion is None
        else report_data.Version(version=champion, error=evaluated.champion_error),
        recipe=report_data.Recipe(name=str(facts.recipe["name"]), values=facts.recipe),
        data=describe_data(prepared.data_sets, prepared.digits, facts.data),
        lineage=report_data.Lineage(
            normaliser=facts.normaliser,
            seed=facts.seed,
            digests={
                "data": facts.data.manifest,
                "test": facts.data.test.digest,
                "recipe": facts.recipe_digest,
                "code": facts.code,
            },
            libraries=library_versions(),
            stages=tuple(clock.stages),
        ),
        certificate=_certificate(facts),
        audit=None if audit is None else report_data.Audit.model_validate(audit),
        training=report_data.Training(
            curve=tuple(map(report_data.Epoch.model_validate, trained.curve)),
            best_epoch=trained.best_epoch,
            start=facts.start,
            new_rows=None if plan.start is None else plan.start.new_rows,
        ),
    )


def _certificate(facts: Facts) -> report_data.Certificate | None:
    """Put what is certified beside what the test set showed."""
    if facts.certificate is None:
        return None
    return report_data.Certificate(
        **facts.certificate.model_dump(exclude={"bound"}),
        sentence=facts.certificate.sentence,
        read_rate=facts.metrics.more["read_rate"],
        realised_error=facts.metrics.more["error_among_accepted"],
    )


def _keep_issues(found: Sequence[Path], directory: Path) -> Path | None:
    """Keep the suspect labels of all data sets with the run, where there was a search."""
    if not found:
        return None
    write_rows(directory / ISSUES_NAME, ISSUES, iter(read_issues(found).to_batches()))
    return directory / ISSUES_NAME


def _finish(run: Run, version: str, plan: Plan, trained: Trained, calibrated: Calibrated) -> None:
    """Commit the run, and remove what only a resumption would have needed."""
    kept = [run.directory / name for name in (_TRIAL, ISSUES_NAME)]
    write_manifest(
        run.directory,
        Manifest(
            kind="retrain run",
            shards=tuple(describe(path, rows=0) for path in kept if path.exists()),
            facts={"version": version},
        ),
    )
    calibrated.draft.unlink(missing_ok=True)
    trained.draft.unlink(missing_ok=True)
    for member in range(plan.recipe.members):
        checkpoint = member_checkpoint(trained.draft.with_suffix(".npz"), member)
        checkpoint.unlink(missing_ok=True)
    if plan.start is not None:
        plan.start.network.unlink(missing_ok=True)


def _publish(report: report_data.RetrainReport, page: Path) -> None:
    """Show in Prefect's pages what the retraining came to."""
    judged = report.judged
    assert judged is not None
    whole: dict[str, str | int] = {"digit": "all", "images": judged.n, "missed": judged.errors}
    show_run(
        headline(report),
        report.decision.sentence,
        [
            *(_numbers(score) for score in judged.digits),
            whole | {"recall": f"{judged.accuracy:.4f}"},
        ],
        page,
        cover_retraining(judged),
        report.decision.rules,
    )


def _numbers(score: report_data.DigitScore) -> Row:
    return {
        "digit": score.digit,
        "images": score.support,
        "missed": round(score.support * (1 - score.recall)),
        "recall": f"{score.recall:.4f}",
        "precision": f"{score.precision:.4f}",
        "F1": f"{score.f1:.4f}",
    }
