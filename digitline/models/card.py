"""The card of a model: what it was made of, what it scored, and rows to try it on."""

import base64
import binascii
import hashlib
import json
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
    ValidationError,
)

from digitline.errors import IncompatibleError
from digitline.judging.census import Census
from digitline.judging.certificate import Certificate, Curve
from digitline.judging.verdict import Verdict
from digitline.names import Line
from digitline.rows import PIXELS

DIGITS = 10

Version = Annotated[str, Field(pattern=r"^m([0-9]{4}|[1-9][0-9]{4,})\z")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
Moment = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)\z", max_length=40)
]
Share = Annotated[float, Field(ge=0, le=1)]


def _none_if_empty(value: object) -> object:
    return value or None  # the first cards had an empty list here


class Record(BaseModel):
    """A frozen record that takes no unknown field and no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rows(Record):
    """How many rows a part of the data has, and the SHA-256 that identifies them."""

    rows: int = Field(ge=0)
    digest: Digest


class Corrections(Record):
    """Training rows that people corrected, and how much each counts; `others` are no digits."""

    rows: int = Field(ge=0)
    others: int = Field(ge=0)
    weight: float = Field(gt=0)


class Data(Record):
    """The data set a model was made from, and the parts it was split into.

    The `corrections` are among the training rows.
    """

    name: Line
    manifest: Digest
    train: Rows
    validation: Rows
    calibration: Rows | None = None
    test: Rows
    corrections: Corrections | None = None
    relabelled: int = Field(0, ge=0, description="images whose label the errata put right")
    practice: Rows | None = Field(None, description="renderings of training rows, if any")


class Metrics(Record):
    """What the model scored on the test rows; `recall` is per digit, `None` without rows."""

    accuracy: Share
    error: Share
    n_test: int = Field(ge=0)
    validation_error: Share | None = None
    recall: tuple[Share | None, ...] = Field(min_length=DIGITS, max_length=DIGITS)
    more: dict[Line, float] = Field(default_factory=dict)


class ModelFile(Record):
    """The size and SHA-256 of `model.joblib`."""

    bytes: int = Field(gt=0)
    sha256: Digest


class GoldenRow(Record):
    """A normalised digit, 784 bytes in base64, and the ten probabilities the model gave it."""

    px: str = Field(max_length=4 * PIXELS)
    probabilities: tuple[Share, ...] = Field(min_length=DIGITS, max_length=DIGITS)

    @classmethod
    def of(cls, px: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> Self:
        """Note what a model made of `px` (784,): `probabilities` (10,)."""
        text = base64.b64encode(px.tobytes()).decode("ascii")
        return cls(px=text, probabilities=tuple(map(float, probabilities)))


class Facts(Record):
    """What the maker of a model knows about it; the registry adds the rest."""

    created: Moment
    run: Line
    parent: Version | None = Field(description="the champion it was compared with")
    recipe: dict[str, JsonValue]
    recipe_digest: Digest
    seed: int
    start: Version | None = Field(None, description="the model whose weights training began with")
    data: Data
    weights: dict[Line, float] = Field(
        default_factory=dict, description="how much each row of a data set counted, where not 1"
    )
    code: Digest
    normaliser: Line
    metrics: Metrics
    threshold: Share = Field(description="confidence from which an answer is accepted")
    certificate: Certificate | None = None
    oddness_limit: float | None = Field(
        None, description="oddness above which a picture is not taken for a digit"
    )
    curve: Annotated[Curve | None, BeforeValidator(_none_if_empty)] = None
    reference: Census | None = Field(
        None, description="what the training data look like, for drift to be told by"
    )
    verdict: Verdict


class Card(Facts):
    """Everything known about a registered model."""

    card_format: Literal[1] = 1
    version: Version
    libraries: dict[str, str]
    model: ModelFile
    golden: tuple[GoldenRow, ...] = Field(min_length=1)

    def to_bytes(self) -> bytes:
        """Write the card as JSON: the same card, the same bytes."""
        return to_json(self)


def to_json(record: BaseModel) -> bytes:
    """Write a record as JSON for people: sorted, indented, ASCII, the same bytes every time."""
    plain = record.model_dump(mode="json")
    text = json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return f"{text}\n".encode()


def parse_card(content: bytes, where: str) -> Card:
    """Read a card whose signature has been checked.

    Raises `IncompatibleError` where it is of a format this version does not know.
    """
    try:
        return Card.model_validate_json(content)
    except ValidationError as error:
        raise IncompatibleError(
            "the card is of a format this version of Digitline does not know",
            where=where,
            todo="Update Digitline, or train again with `digitline retrain`",
        ) from error


def golden_pixels(rows: Sequence[GoldenRow]) -> NDArray[np.uint8]:
    """Decode the pixels of golden rows, (n, 784) uint8; `ValueError` where they are none."""
    try:
        content = b"".join(base64.b64decode(row.px, validate=True) for row in rows)
    except binascii.Error as error:
        raise ValueError("a golden row is not base64") from error
    return np.frombuffer(content, np.uint8).reshape(len(rows), PIXELS)


def digest(content: bytes) -> str:
    """SHA-256 of bytes, as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()
