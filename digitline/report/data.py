"""All that a report says, as data: what `metrics.json` holds, and what the pages are made from.

Pictures are not in here (see `digitline.report.pictures`), only which ones to show.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    model_validator,
)

from digitline.judging import metrics
from digitline.judging.drift import Drift
from digitline.judging.expected import Expected
from digitline.judging.verdict import Kind, Rule
from digitline.names import printable

MOST_PER_CELL = 24
MOST_READINGS = 600
RIGHT_PER_DIGIT = 6
MOST_NAMES = 20
PRACTICE = "practice"  # the name of the part that is rendered
MOST_EARLIER = 30
MOST_SUSPECTS = 60

Ten = Annotated[tuple[int, ...], Field(min_length=10, max_length=10)]


def _unicode(text: object) -> object:
    """Write lone surrogates out, which are bytes of names that JSON cannot hold."""
    if not isinstance(text, str):
        return text
    return "".join(printable(char) if "\ud800" <= char <= "\udfff" else char for char in text)


Name = Annotated[str, BeforeValidator(_unicode)]


class Facts(BaseModel):
    """A frozen record that can also be read from an object with the same attributes."""

    model_config = ConfigDict(frozen=True, from_attributes=True, ser_json_inf_nan="null")


class Run(Facts):
    """One execution of a flow: its id, when it began (ISO 8601) and how long it took."""

    id: str
    when: str
    seconds: float = Field(ge=0)


class Check(Facts):
    """One check of the data: what was found, what is allowed, and what it does on failing."""

    name: str
    level: Literal["block", "warn"]
    passed: bool
    found: str
    allowed: str
    sentence: str = ""


class Decision(Facts):
    """What became of the challenger, and the rules that decided it."""

    verdict: Kind
    sentence: str
    rules: tuple[Rule, ...] = ()


class Version(Facts):
    """A model, and its share of wrong readings on the test set where known."""

    version: str
    error: float | None = None


class Recipe(Facts):
    """The architecture and training plan, by name and value."""

    name: str
    values: dict[str, JsonValue] = Field(default_factory=dict)


class Epoch(Facts):
    """One pass over the training data; `rate` is the learning rate, losses are cross-entropies."""

    number: int
    train_loss: float | None
    validation_loss: float | None
    validation_error: float | None
    rate: float | None = None
    seconds: float | None = None


class Training(Facts):
    """How the fit went, epoch by epoch; `start` is the model it began with, if with any."""

    curve: tuple[Epoch, ...]
    best_epoch: int | None = None
    start: str | None = None
    new_rows: int | None = None


class DigitScore(Facts):
    """How one digit is read: `support` true ones."""

    digit: int
    support: int
    precision: float
    recall: float
    f1: float


class ReadPoint(Facts):
    """Accepting at `threshold` reads `read_rate` of the images, `error` of them wrongly."""

    threshold: float
    read_rate: float
    error: float
    errors: int

    def read(self, n: int) -> int:
        """Count the images read, of `n`."""
        return round(self.read_rate * n)


class Reading(Facts):
    """One test image and how it was read; `row` is its row in the test set."""

    row: int
    truth: int
    digit: int
    confidence: float
    name: Name = ""


class Bin(Facts):
    """Images of about the same confidence, and how often those were right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Flip(Facts):
    """One test image that challenger and champion read differently, one of them rightly."""

    row: int
    truth: int
    before: int
    now: int
    confidence: float
    name: Name = ""


class Flips(Facts):
    """What changed against the champion: images put right, and images newly wrong."""

    fixed: int
    broken: int
    shown: tuple[Flip, ...]


class Judged(Facts):
    """What the model did on the test set of `n` images.

    `error_low` and `error_high` are Wilson's 95 % interval. `confusion` has a row for each true
    digit and a column for each digit read. `readings` are the images that stand behind its cells:
    the mistakes, most confident first, then some of the least confident right ones;
    `mistakes_left_out` says how many mistakes are not among them. What is taken for no digit, `odd`
    images, is accepted at no threshold.
    """

    n: int
    errors: int
    accuracy: float
    error: float
    error_low: float
    error_high: float
    digits: tuple[DigitScore, ...]
    confusion: tuple[Ten, ...]
    chosen: ReadPoint
    read_curve: tuple[ReadPoint, ...]
    bins: tuple[Bin, ...]
    calibration_error: float
    readings: tuple[Reading, ...]
    mistakes_left_out: int
    odd: int = 0
    flips: Flips | None = None


class Part(Facts):
    """One part of the data (`train`, `validation`, `test`): images of each digit."""

    name: str
    digits: Ten
    unlabelled: int = 0

    @property
    def n(self) -> int:
        """All its images."""
        return sum(self.digits) + self.unlabelled


class Dropped(Facts):
    """Images left out for one reason: how many, and the first of their names."""

    reason: str
    count: int
    names: tuple[Name, ...] = ()
    message: Name = ""


class Suspect(Facts):
    """A training image whose label may be wrong: labelled so, looking like another digit.

    The closer `score` is to -1, the surer are networks that have not learned from it.
    """

    name: Name
    label: int
    digit: int
    score: float


class Suspects(Facts):
    """How many labels look wrong, and the first of them."""

    count: int
    shown: tuple[Suspect, ...]


class Corrections(Facts):
    """Training images that people corrected, and how much each counts; `others` are no digits."""

    rows: int
    others: int
    weight: float


class Data(Facts):
    """What the model was made from."""

    name: Name
    parts: tuple[Part, ...]
    checks: tuple[Check, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    suspects: Suspects | None = None
    corrections: Corrections | None = None
    relabelled: int = 0

    @property
    def images(self) -> tuple[Part, ...]:
        """The parts that people wrote: renderings to practise on are counted in the table alone."""
        return tuple(part for part in self.parts if part.name != PRACTICE)


class Stage(Facts):
    """One stage of the run and the seconds it took."""

    name: str
    seconds: float


class Lineage(Facts):
    """What it would take to make the same again."""

    normaliser: str
    seed: int | None = None
    digests: dict[str, str] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)
    stages: tuple[Stage, ...] = ()


class Certificate(Facts):
    """What is certified on calibration rows, and what came of it on the test set.

    `read_rate` and `realised_error` are the test set's, what is no digit left to a person.
    """

    sentence: str
    threshold: float
    max_error: float
    level: float
    accepted: int
    wrong: int
    rows: int
    read_rate: float
    realised_error: float


class Audit(Facts):
    """Of accepted answers drawn at random people looked at `n`; `low` to `high` is 95 % sure."""

    model: str
    n: int
    wrong: int
    low: float
    high: float


class RetrainReport(Facts):
    """Everything the page of a retraining says; a section appears when its data is there."""

    kind: Literal["retrain"] = "retrain"
    format: Literal[1] = 1
    run: Run
    decision: Decision
    model: Version | None
    champion: Version | None
    recipe: Recipe
    data: Data
    lineage: Lineage
    training: Training | None = None
    judged: Judged | None = None
    certificate: Certificate | None = None
    audit: Audit | None = None

    @property
    def promised(self) -> Certificate | None:
        """What is certified of the threshold that was chosen."""
        if self.judged is None or self.certificate is None:
            return None
        chosen = self.judged.chosen.threshold
        return self.certificate if self.certificate.threshold == chosen else None


class Folder(Facts):
    """What became of the images of one sub-folder."""

    name: Name
    accept: int = 0
    review: int = 0
    error: int = 0

    @property
    def n(self) -> int:
        """All its images."""
        return self.accept + self.review + self.error


class Bar(Facts):
    """Images whose confidence lies in [low, high)."""

    low: float
    high: float
    accept: int
    review: int


class Tile(Facts):
    """One scored image to show; `id` is the SHA-256 of its bytes in hex."""

    path: Name
    id: str
    digit: int
    confidence: float
    second: int
    second_confidence: float


class Earlier(Facts):
    """An earlier scoring of the same source."""

    run: Run
    model: Version
    n_in: int
    accept: int
    review: int
    error: int


class ScoreReport(Facts):
    """Everything the page of a scoring says.

    `folders_left_out` sub-folders are not listed. `accepted_tiles` are drawn evenly;
    `review_tiles` is what a person should look at, the most telling first, and among it `drawn`
    accepted answers, which are not told from the others; `known` images to review are not on it,
    for people have said before what they are.
    """

    kind: Literal["score"] = "score"
    format: Literal[1] = 1
    run: Run
    model: Version
    source: Name
    n_in: int
    accept: int
    review: int
    error: int
    threshold: float
    folders: tuple[Folder, ...]
    folders_left_out: int = 0
    accepted_digits: Ten
    review_digits: Ten
    confidence: tuple[Bar, ...]
    failures: tuple[Dropped, ...] = ()
    accepted_tiles: tuple[Tile, ...] = ()
    review_tiles: tuple[Tile, ...] = ()
    drawn: int = 0
    known: int = 0
    job: Name = ""
    earlier: tuple[Earlier, ...] = ()
    lineage: Lineage | None = None
    drift: Drift | None = None
    expected: Expected | None = None
    expected_accepted: Expected | None = None
    audit: Audit | None = None

    @model_validator(mode="after")
    def _counts_add_up(self) -> Self:
        if self.n_in != self.accept + self.review + self.error:
            raise ValueError("n_in is not accept + review + error")
        return self

    @property
    def read_rate(self) -> float:
        """The share of images that were accepted."""
        return self.accept / self.n_in if self.n_in else 0.0

    @property
    def images_per_second(self) -> float:
        """Images that went through in a second."""
        return self.n_in / self.run.seconds if self.run.seconds else 0.0


Report = Annotated[RetrainReport | ScoreReport, Field(discriminator="kind")]
REPORT: TypeAdapter[RetrainReport | ScoreReport] = TypeAdapter(Report)


def judge(
    truth: NDArray[np.int8],
    probabilities: NDArray[np.float32],
    threshold: float,
    *,
    odd: NDArray[np.bool_] | None = None,
    names: Sequence[str] = (),
    champion_probabilities: NDArray[np.float32] | None = None,
) -> Judged:
    """Say all there is to say about a model on its test set.

    `truth` is (n,) with digits 0-9, `probabilities` (n, 10), calibrated where the model is; `odd`
    (n,) tells which images it takes for no digit; `names` are the images' names, n of them or none;
    `champion_probabilities` (n, 10) are the champion's on the same images. Raises `ValueError`
    where n is 0 or an image has no digit.
    """
    if not len(truth) or truth.min() < 0:
        raise ValueError("a test set needs images, each with its digit")
    digits = probabilities.argmax(axis=1).astype(np.int8)
    confidence = probabilities.max(axis=1)
    correct = digits == truth
    odd = np.zeros(len(truth), np.bool_) if odd is None else odd
    accepted_at = np.where(odd, np.float32(-1), confidence)
    errors = int((~correct).sum())
    low, high = metrics.proportion_interval(errors, len(truth))
    bins = metrics.reliability(correct, confidence)
    counts = metrics.confusion(truth, digits)
    rows = _readings(truth, probabilities)
    readings = tuple(_reading(row, truth, digits, confidence, names) for row in rows.tolist())
    return Judged(
        n=len(truth),
        errors=errors,
        accuracy=1 - errors / len(truth),
        error=errors / len(truth),
        error_low=low,
        error_high=high,
        digits=tuple(map(DigitScore.model_validate, metrics.digit_scores(truth, digits))),
        confusion=tuple(tuple(row) for row in counts.tolist()),
        chosen=ReadPoint.model_validate(metrics.read_point(correct, accepted_at, threshold)),
        read_curve=tuple(
            ReadPoint.model_validate(point)
            for point in metrics.read_curve(correct, accepted_at)
            if point.threshold >= 0
        ),
        bins=tuple(map(Bin.model_validate, bins)),
        calibration_error=metrics.calibration_error(bins),
        readings=readings,
        mistakes_left_out=errors - sum(item.truth != item.digit for item in readings),
        odd=int(odd.sum()),
        flips=None
        if champion_probabilities is None
        else _flips(truth, probabilities, champion_probabilities, names),
    )


def _readings(truth: NDArray[np.int8], probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Pick rows to show: mistakes, within limits a cell, then the least sure right ones."""
    digits = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    mistakes = metrics.worst_mistakes(truth, probabilities)
    cells = truth[mistakes].astype(np.intp) * 10 + digits[mistakes]
    kept = mistakes[_rank_within(cells) < MOST_PER_CELL][:MOST_READINGS]
    right = np.flatnonzero(digits == truth)
    right = right[np.argsort(confidence[right], kind="stable")]
    return np.concatenate([kept, right[_rank_within(truth[right]) < RIGHT_PER_DIGIT]])


def _rank_within(groups: NDArray[np.integer]) -> NDArray[np.intp]:
    """Count, for each item, those of its group before it."""
    ranks = np.zeros(len(groups), dtype=np.intp)
    for group in np.unique(groups):
        members = groups == group
        ranks[members] = np.arange(members.sum())
    return ranks


def _reading(
    row: int,
    truth: NDArray[np.int8],
    digits: NDArray[np.int8],
    confidence: NDArray[np.float32],
    names: Sequence[str],
) -> Reading:
    return Reading(
        row=row,
        truth=int(truth[row]),
        digit=int(digits[row]),
        confidence=round(float(confidence[row]), 6),
        name=names[row] if names else "",
    )


def _flips(
    truth: NDArray[np.int8],
    probabilities: NDArray[np.float32],
    champion: NDArray[np.float32],
    names: Sequence[str],
    most: int = 60,
) -> Flips:
    now, before = probabilities.argmax(axis=1), champion.argmax(axis=1)
    broken = np.flatnonzero((before == truth) & (now != truth))
    fixed = np.flatnonzero((before != truth) & (now == truth))
    confidence = probabilities.max(axis=1)
    shown = [rows[np.argsort(-confidence[rows], kind="stable")][:most] for rows in (broken, fixed)]
    return Flips(
        fixed=len(fixed),
        broken=len(broken),
        shown=tuple(
            Flip(
                row=row,
                truth=int(truth[row]),
                before=int(before[row]),
                now=int(now[row]),
                confidence=round(float(confidence[row]), 6),
                name=names[row] if names else "",
            )
            for row in np.concatenate(shown).tolist()
        ),
    )
