"""A version on disk: `model.joblib`, `card.json` and the signature over both.

The card holds the SHA-256 of the model file and the signature is over the card, so one
signature covers both.
"""

import sys
from dataclasses import dataclass, replace
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from digitline.commit import write_bytes
from digitline.errors import IncompatibleError, TamperedError
from digitline.models.card import (
    DIGITS,
    Card,
    Facts,
    GoldenRow,
    ModelFile,
    digest,
    golden_pixels,
    parse_card,
    to_json,
)
from digitline.models.files import read_files
from digitline.models.lean import LEAN
from digitline.models.reading import BATCH, Reading, read, seen_by
from digitline.models.signing import Purpose, Signature, Signer, Verifier
from digitline.models.unpickling import unpickle
from digitline.pixels.aspect import to_ink, width
from digitline.pixels.normalise import NORMALISER

MODEL_NAME = "model.joblib"
CARD_NAME = "card.json"
SIGNATURE_NAME = "signature.json"

# Other processors and libraries sum float32 in another order: probabilities then differ by some
# 1e-6, by 1e-5 at worst in a very confident network. A changed weight shows far above this.
TOLERANCE = 1e-4
_RESTORE = "Put it back from a backup, or roll back with `digitline models rollback`"
_RETRAIN = "Train again with `digitline retrain`"


@dataclass(frozen=True)
class Model:
    """A verified model, ready to score."""

    estimator: Any
    card: Card

    @property
    def version(self) -> str:
        """The version it is registered as."""
        return self.card.version

    def read(self, px: NDArray[np.uint8]) -> Reading:
        """Read normalised pixels, (n, 784) uint8; what is too odd to be a digit is marked so."""
        reading = read(self.estimator, px)
        limit = self.card.oddness_limit
        return reading if limit is None else replace(reading, odd=reading.oddness > limit)

    def probabilities(self, px: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give each of ten digits its probability: (n, 784) uint8 to (n, 10) float32."""
        return predict(self.estimator, px)


def predict(estimator: Any, px: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: ANN401 - scikit-learn has no types
    """Score normalised pixels, (n, 784) uint8, batch by batch: (n, 10) float32."""
    scored = np.empty((len(px), DIGITS), np.float32)
    aspects = seen_by(estimator)
    for start in range(0, len(px), BATCH):
        part = slice(start, start + BATCH)
        scored[part] = estimator.predict_proba(to_ink(px[part], aspects))
    return scored


def save(
    directory: Path,
    content: bytes,
    facts: Facts,
    version: str,
    golden: NDArray[np.uint8],
    signer: Signer,
) -> Card:
    """Write model, card and signature into `directory`.

    `content` is a classifier as `pickling.to_bytes` gives it, `golden` (n, 784) uint8 digits,
    which are scored by the model as it will be loaded. Raises `IncompatibleError` where it is
    not a classifier that `load` would take.
    """
    rebuilt = unpickle(content, directory / MODEL_NAME)
    if not _reads_digits(rebuilt):
        raise IncompatibleError(
            "not a classifier of ten digits in 784 pixels", todo="Fit it on normalised rows"
        )
    rows = zip(golden, predict(rebuilt, golden), strict=True)
    card = Card(
        **dict(facts),
        version=version,
        libraries=_libraries(),
        model=ModelFile(bytes=len(content), sha256=digest(content)),
        golden=tuple(GoldenRow.of(px, probabilities) for px, probabilities in rows),
    )
    signature = signer.sign(Purpose.VERSION, card.to_bytes())
    write_bytes(directory / MODEL_NAME, content)
    write_bytes(directory / CARD_NAME, card.to_bytes())
    write_bytes(directory / SIGNATURE_NAME, to_json(signature))
    return card


def load(
    directory: Path, verifier: Verifier, card_digest: str | None = None, *, lean: bool = False
) -> Model:
    """Load a model, checking everything before its first byte is unpickled.

    Each file is read once, and what was checked is what is unpickled. A `lean` model reads as any
    other but is not made of scikit-learn's parts, which take a second to load. Raises
    `TamperedError` where a signature, a digest (`card_digest` among them, where given) or a
    golden row does not match, `IncompatibleError` where the model needs another normaliser
    or scikit-learn, `FileNotFoundError` where there is no such directory.
    """
    names = (CARD_NAME, SIGNATURE_NAME, MODEL_NAME)
    card_content, signature, content = read_files(directory, *names)
    card = _check_card(directory, card_content, signature, verifier, card_digest)
    if len(content) != card.model.bytes or digest(content) != card.model.sha256:
        raise TamperedError(
            "the model file differs from its card", where=directory / MODEL_NAME, todo=_RESTORE
        )
    _check_compatible(card, directory)
    model = Model(_rebuild(content, directory / MODEL_NAME, lean=lean), card)
    _replay(model, directory)
    return model


def load_card(directory: Path, verifier: Verifier, card_digest: str | None = None) -> Card:
    """Load a card alone, verified; raises as `load` does."""
    content, signature = read_files(directory, CARD_NAME, SIGNATURE_NAME)
    return _check_card(directory, content, signature, verifier, card_digest)


def signer_of(directory: Path) -> str:
    """Name the key that a model says it was signed by: nothing is checked."""
    (content,) = read_files(directory, SIGNATURE_NAME)
    return _parse_signature(content, directory / SIGNATURE_NAME).key


def _check_card(
    directory: Path, card: bytes, signature: bytes, verifier: Verifier, card_digest: str | None
) -> Card:
    path = directory / CARD_NAME
    signed = _parse_signature(signature, directory / SIGNATURE_NAME)
    verifier.check(Purpose.VERSION, card, signed, path, _RESTORE)
    parsed = parse_card(card, str(path))
    if parsed.version != directory.name:
        raise TamperedError(
            f"the card of {parsed.version} lies in another version's directory",
            where=path,
            todo=_RESTORE,
        )
    if card_digest is not None and digest(card) != card_digest:
        raise TamperedError("not the card the champion's pointer names", where=path, todo=_RESTORE)
    return parsed


def _parse_signature(content: bytes, path: Path) -> Signature:
    try:
        signature = Signature.model_validate_json(content)
    except ValidationError:
        signature = None
    if signature is None or to_json(signature) != content:
        raise TamperedError("not a signature of ours", where=path, todo=_RESTORE)
    return signature


def _check_compatible(card: Card, directory: Path) -> None:
    if card.normaliser != NORMALISER:
        raise IncompatibleError(
            f"a model for normaliser {card.normaliser}, but this is {NORMALISER}",
            where=directory,
            todo=_RETRAIN,
        )
    # scikit-learn promises nothing about its own pickles between minor versions.
    made, here = card.libraries["scikit-learn"], library_version("scikit-learn")
    if made.split(".")[:2] != here.split(".")[:2]:
        raise IncompatibleError(
            f"a model of scikit-learn {made}, but this is {here}",
            where=directory,
            todo=f"Install scikit-learn {made}, or train again with `digitline retrain`",
        )


def _rebuild(content: bytes, where: Path, *, lean: bool) -> Any:  # noqa: ANN401 - scikit-learn has no types
    estimator = unpickle(content, where, LEAN) if lean else unpickle(content, where)
    if not _reads_digits(estimator):
        raise TamperedError(
            "not a classifier of ten digits in 784 pixels", where=where, todo=_RESTORE
        )
    return estimator


def _reads_digits(estimator: Any) -> bool:  # noqa: ANN401 - scikit-learn has no types
    classes: Any = getattr(estimator, "classes_", None)
    features = getattr(estimator, "n_features_in_", None)
    try:
        wanted = width(seen_by(estimator))
    except (AttributeError, ValueError):  # a rebuilt object of the wrong parts
        return False
    return np.array_equal(classes, np.arange(DIGITS)) and features == wanted


def _replay(model: Model, directory: Path) -> None:
    try:
        found = model.probabilities(golden_pixels(model.card.golden))
    except Exception as error:  # a rebuilt object of the wrong parts can fail in any way
        raise TamperedError(
            f"the model cannot score its golden rows ({type(error).__name__})",
            where=directory,
            todo=_RESTORE,
        ) from error
    noted = np.array([row.probabilities for row in model.card.golden])
    worst = float(np.max(np.abs(found - noted)))
    if not worst <= TOLERANCE:  # so that NaN is refused, too
        raise TamperedError(
            f"the golden rows come out differently (by {worst:.2g})",
            where=directory,
            todo="Compare the libraries with those in its card, or train again",
        )


def _libraries() -> dict[str, str]:
    names = ("cryptography", "joblib", "numpy", "scikit-learn", "scipy")
    versions = {name: library_version(name) for name in names}
    return {**versions, "python": ".".join(map(str, sys.version_info[:3]))}
