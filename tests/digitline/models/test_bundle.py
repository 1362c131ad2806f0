import hashlib
import os
import shutil
from collections.abc import Callable
from importlib.metadata import version as library_version
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from digitline.errors import IncompatibleError, TamperedError
from digitline.models.bundle import (
    CARD_NAME,
    MODEL_NAME,
    SIGNATURE_NAME,
    TOLERANCE,
    Model,
    load,
    load_card,
    save,
)
from digitline.models.card import Card, Facts, ModelFile, digest, golden_pixels, to_json
from digitline.models.pickling import to_bytes
from digitline.models.reading import BATCH
from digitline.models.signing import Purpose, Signer, open_signer
from digitline.models.unpickling import unpickle

FILES = (MODEL_NAME, CARD_NAME, SIGNATURE_NAME)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return open_signer(tmp_path / "keys")


@pytest.fixture
def saved(
    tmp_path: Path, signer: Signer, network: MLPClassifier, facts: Facts, px: NDArray[np.uint8]
) -> Path:
    save(tmp_path / "m0001", to_bytes(network), facts, "m0001", px[:10], signer)
    return tmp_path / "m0001"


def hidden_code(canary: Path) -> bytes:
    """Pickle a call that makes a directory."""
    path = str(canary).encode()
    return b"cos\nmkdir\n\x8c" + bytes([len(path)]) + path + b"\x85R."


def resign(directory: Path, card: Card, signer: Signer) -> None:
    """Put another card in place, validly signed."""
    (directory / CARD_NAME).write_bytes(card.to_bytes())
    signature = signer.sign(Purpose.VERSION, card.to_bytes())
    (directory / SIGNATURE_NAME).write_bytes(to_json(signature))


@pytest.mark.parametrize("kind", ["network", "calibrated"])
def test_a_model_scores_as_it_was_fitted(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    signer: Signer,
    facts: Facts,
    px: NDArray[np.uint8],
    kind: str,
) -> None:
    estimator = request.getfixturevalue(kind)
    save(tmp_path / "m0007", to_bytes(estimator), facts, "m0007", px[:10], signer)
    model = load(tmp_path / "m0007", signer.verifier)
    found = model.probabilities(px)
    assert (model.version, found.shape) == ("m0007", (200, 10))
    assert found.dtype == np.float32
    expected = estimator.predict_proba(px.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_scoring_does_not_depend_on_the_batch(saved: Path, signer: Signer) -> None:
    model = load(saved, signer.verifier)
    px = np.random.default_rng(1).integers(0, 256, (BATCH + 3, 784), dtype=np.uint8)
    together = model.probabilities(px)
    np.testing.assert_allclose(together[-3:], model.probabilities(px[-3:]), atol=1e-6)
    assert model.probabilities(px[:0]).shape == (0, 10)


def test_the_card_says_what_was_given_and_found(
    saved: Path, signer: Signer, facts: Facts, px: NDArray[np.uint8]
) -> None:
    card = load_card(saved, signer.verifier)
    assert Facts(**{name: getattr(card, name) for name in Facts.model_fields}) == facts
    content = (saved / MODEL_NAME).read_bytes()
    assert card.model == ModelFile(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert card.libraries["scikit-learn"] == library_version("scikit-learn")
    np.testing.assert_array_equal(golden_pixels(card.golden), px[:10])


def test_the_same_model_gives_the_same_files(
    saved: Path,
    tmp_path: Path,
    signer: Signer,
    network: MLPClassifier,
    facts: Facts,
    px: NDArray[np.uint8],
) -> None:
    save(tmp_path / "again", to_bytes(network), facts, "m0001", px[:10], signer)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_anybody_can_open_the_file_with_joblib(saved: Path, network: MLPClassifier) -> None:
    np.testing.assert_array_equal(joblib.load(saved / MODEL_NAME).coefs_[0], network.coefs_[0])


@pytest.mark.parametrize(
    ("name", "step"), [(MODEL_NAME, 251), (CARD_NAME, 97), (SIGNATURE_NAME, 1)]
)
def test_any_byte_that_differs_is_refused(
    saved: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch, name: str, step: int
) -> None:
    def unpickle(*_: object) -> object:
        raise AssertionError("unpickled before it was checked")

    monkeypatch.setattr("digitline.models.bundle.unpickle", unpickle)
    content = (saved / name).read_bytes()
    for at in range(0, len(content), step):
        mutated = bytearray(content)
        mutated[at] ^= 1 << (at % 8)
        (saved / name).write_bytes(mutated)
        with pytest.raises(TamperedError):
            load(saved, signer.verifier)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b" "])
def test_a_shorter_or_longer_file_is_refused(
    saved: Path, signer: Signer, name: str, change: Callable[[bytes], bytes]
) -> None:
    (saved / name).write_bytes(change((saved / name).read_bytes()))
    with pytest.raises(TamperedError):
        load(saved, signer.verifier)


def test_a_model_signed_by_another_key_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(TamperedError, match="another key"):
        load(saved, open_signer(tmp_path / "others").verifier)


def test_a_signature_for_another_purpose_is_refused(saved: Path, signer: Signer) -> None:
    signature = signer.sign(Purpose.CHAMPION, (saved / CARD_NAME).read_bytes())
    (saved / SIGNATURE_NAME).write_bytes(to_json(signature))
    with pytest.raises(TamperedError, match="does not match"):
        load(saved, signer.verifier)


def test_a_version_in_anothers_directory_is_refused(saved: Path, signer: Signer) -> None:
    saved.rename(saved.with_name("m0002"))
    with pytest.raises(TamperedError, match="another version's directory"):
        load(saved.with_name("m0002"), signer.verifier)


def test_another_card_than_the_pointers_is_refused(saved: Path, signer: Signer) -> None:
    load(saved, signer.verifier, digest((saved / CARD_NAME).read_bytes()))
    with pytest.raises(TamperedError, match="pointer names"):
        load(saved, signer.verifier, "0" * 64)


@pytest.mark.parametrize("name", FILES)
def test_a_link_is_refused(saved: Path, signer: Signer, name: str) -> None:
    (saved / name).rename(saved.parent / name)
    (saved / name).symlink_to(saved.parent / name)
    with pytest.raises(TamperedError, match="symbolic link"):
        load(saved, signer.verifier)


def test_a_linked_directory_is_refused(saved: Path, signer: Signer) -> None:
    saved.rename(saved.with_name("elsewhere"))
    saved.symlink_to(saved.with_name("elsewhere"))
    with pytest.raises(TamperedError, match="symbolic link"):
        load(saved, signer.verifier)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_or_a_directory_in_place_of_a_file_is_refused(
    saved: Path, signer: Signer, name: str
) -> None:
    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(TamperedError, match="not a plain file"):
        load(saved, signer.verifier)
    (saved / name).unlink()
    (saved / name).mkdir()
    with pytest.raises(TamperedError, match="not a plain file"):
        load(saved, signer.verifier)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(saved: Path, signer: Signer, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(TamperedError, match="missing"):
        load(saved, signer.verifier)


def test_code_with_a_valid_signature_is_refused(saved: Path, signer: Signer, canary: Path) -> None:
    content = hidden_code(canary)
    (saved / MODEL_NAME).write_bytes(content)
    card = load_card(saved, signer.verifier)
    file = ModelFile(bytes=len(content), sha256=digest(content))
    resign(saved, card.model_copy(update={"model": file}), signer)
    with pytest.raises(TamperedError, match=r"os\.mkdir.*nothing was executed"):
        load(saved, signer.verifier)


def test_what_is_checked_is_what_is_unpickled(
    saved: Path, signer: Signer, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap_then_rebuild(content: bytes, where: Path) -> object:
        where.write_bytes(hidden_code(canary))
        return unpickle(content, where)

    monkeypatch.setattr("digitline.models.bundle.unpickle", swap_then_rebuild)
    assert load(saved, signer.verifier).version == "m0001"


@pytest.mark.parametrize("bend", [3 * TOLERANCE, float("nan")])
def test_weights_that_answer_otherwise_than_the_card_are_refused(
    saved: Path, signer: Signer, network: MLPClassifier, bend: float
) -> None:
    model = load(saved, signer.verifier)
    row = model.card.golden[0]
    first, *others = row.probabilities
    golden = row.model_copy(update={"probabilities": (first + bend, *others)})
    card = model.card.model_copy(update={"golden": (golden, *model.card.golden[1:])})
    if bend != bend:  # noqa: PLR0124 - NaN; a card holds none, but a network may give it
        broken = MLPClassifier.__new__(MLPClassifier)
        vars(broken).update(vars(network), intercepts_=[np.full(8, np.nan), np.full(10, np.nan)])
        content = to_bytes(broken)
        (saved / MODEL_NAME).write_bytes(content)
        file = ModelFile(bytes=len(content), sha256=digest(content))
        card = model.card.model_copy(update={"model": file})
    resign(saved, card, signer)
    with pytest.raises(TamperedError, match="golden rows"):
        load(saved, signer.verifier)


@pytest.mark.parametrize("text", ["?", "AAAA"])
def test_golden_rows_that_are_no_pixels_are_refused(saved: Path, signer: Signer, text: str) -> None:
    card = load_card(saved, signer.verifier)
    golden = (card.golden[0].model_copy(update={"px": text}), *card.golden[1:])
    resign(saved, card.model_copy(update={"golden": golden}), signer)
    with pytest.raises(TamperedError, match="cannot score its golden rows"):
        load(saved, signer.verifier)


def test_a_difference_of_rounding_is_let_pass(saved: Path, signer: Signer) -> None:
    card = load_card(saved, signer.verifier)
    first, *others = card.golden[0].probabilities
    near = card.golden[0].model_copy(update={"probabilities": (first + TOLERANCE / 2, *others)})
    resign(saved, card.model_copy(update={"golden": (near, *card.golden[1:])}), signer)
    assert isinstance(load(saved, signer.verifier), Model)


def other_normaliser(card: Card) -> Card:
    return card.model_copy(update={"normaliser": "0"})


def other_sklearn(card: Card) -> Card:
    return card.model_copy(update={"libraries": {**card.libraries, "scikit-learn": "0.24.2"}})


@pytest.mark.parametrize("change", [other_normaliser, other_sklearn])
def test_a_model_that_does_not_fit_is_refused(
    saved: Path, signer: Signer, change: Callable[[Card], Card]
) -> None:
    resign(saved, change(load_card(saved, signer.verifier)), signer)
    with pytest.raises(IncompatibleError, match=r"digitline retrain"):
        load(saved, signer.verifier)


def test_a_bug_fix_release_of_sklearn_fits(saved: Path, signer: Signer) -> None:
    card = load_card(saved, signer.verifier)
    minor = ".".join(library_version("scikit-learn").split(".")[:2])
    libraries = {**card.libraries, "scikit-learn": f"{minor}.99"}
    resign(saved, card.model_copy(update={"libraries": libraries}), signer)
    assert load(saved, signer.verifier).card.libraries == libraries


def test_a_signed_card_of_a_format_to_come_is_named_as_such(saved: Path, signer: Signer) -> None:
    content = (saved / CARD_NAME).read_bytes().replace(b'"card_format": 1', b'"card_format": 2')
    (saved / CARD_NAME).write_bytes(content)
    (saved / SIGNATURE_NAME).write_bytes(to_json(signer.sign(Purpose.VERSION, content)))
    with pytest.raises(IncompatibleError, match="Update Digitline"):
        load(saved, signer.verifier)


def test_only_a_reader_of_digits_is_saved(
    tmp_path: Path, signer: Signer, facts: Facts, px: NDArray[np.uint8]
) -> None:
    two = MLPClassifier((2,)).partial_fit(px / 255, np.arange(200) % 2, classes=[0, 1])
    with pytest.raises(IncompatibleError, match="ten digits"):
        save(tmp_path / "m0001", to_bytes(two), facts, "m0001", px[:10], signer)
    assert not (tmp_path / "m0001").exists()
    with pytest.raises(IncompatibleError):
        to_bytes(CalibratedClassifierCV(LogisticRegression()))


@pytest.mark.parametrize("aspects", [("sideways",), ("strokes",), ("plain", "upright"), ["plain"]])
def test_only_a_reader_of_known_aspects_is_saved(
    tmp_path: Path, signer: Signer, facts: Facts, px: NDArray[np.uint8], aspects: object
) -> None:
    ten = MLPClassifier((2,)).partial_fit(px / 255, np.arange(200) % 10, classes=range(10))
    ten.aspects_ = aspects
    with pytest.raises(IncompatibleError, match="ten digits"):
        save(tmp_path / "m0001", to_bytes(ten), facts, "m0001", px[:10], signer)


@pytest.mark.parametrize(
    "change",
    [
        {"created": "yesterday"},
        {"parent": "../m0001"},
        {"threshold": float("nan")},
        {"unknown": 1},
        {"recipe_digest": "abc"},
    ],
)
def test_facts_that_make_no_sense_are_refused(facts: Facts, change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Facts.model_validate({**facts.model_dump(), **change})


def test_text_on_a_card_cannot_move_the_cursor(facts: Facts) -> None:
    hostile = Facts.model_validate({**facts.model_dump(), "run": "a\x1b[2J\nb\u202e"})
    assert hostile.run == r"a\x1b[2J\nb\u202e"


def test_copying_a_version_whole_keeps_it_valid(
    saved: Path, tmp_path: Path, signer: Signer
) -> None:
    shutil.copytree(saved, tmp_path / "backup" / "m0001")
    assert load(tmp_path / "backup" / "m0001", signer.verifier).version == "m0001"
