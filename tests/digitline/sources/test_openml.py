import hashlib
import http.client
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from digitline.errors import DataError, SourceError
from digitline.sources.openml import open_openml
from digitline.sources.recognise import open_source

PIXELS = np.random.default_rng(0).integers(0, 256, (70, 784))
LABELS = np.arange(70) % 10


def stand_in() -> SimpleNamespace:
    """What the fetch of a seventieth of MNIST would give: floats, and labels as text."""
    return SimpleNamespace(data=PIXELS.astype(float), target=LABELS.astype(str).astype(object))


def digest() -> str:
    return hashlib.sha256(PIXELS.astype(np.uint8).tobytes() + bytes(LABELS.tolist())).hexdigest()


def test_pixels_become_pngs_in_order() -> None:
    source = open_openml(fetch=stand_in, sha256=digest())
    train, test = list(source.read("train")), list(source.read("test"))
    assert (len(train), len(test)) == (60, 10)
    assert [item.label for item in train + test] == LABELS.tolist()
    assert test[0].path == "test/00000.png"
    assert train[0].content.startswith(b"\x89PNG")


def test_what_came_is_held_against_its_checksum() -> None:
    with pytest.raises(DataError, match="not MNIST as it was published"):
        open_openml(fetch=stand_in)


@pytest.mark.parametrize(
    "error", [TimeoutError("slow"), http.client.IncompleteRead(b""), ValueError()]
)
def test_tries_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    waited: list[float] = []
    answers = [error, error, None]

    def fetch() -> SimpleNamespace:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return stand_in()

    monkeypatch.setattr(time, "sleep", waited.append)
    open_openml(fetch=fetch, sha256=digest())
    assert waited == [1.0, 4.0]


def test_gives_up_with_a_way_out() -> None:
    def fetch() -> SimpleNamespace:
        raise ConnectionError("no route")

    with pytest.raises(SourceError, match=r"cannot be fetched \(no route\).*use `mnist`"):
        open_openml(fetch=fetch, pauses=[0, 0])


def test_asks_scikit_learn_for_the_right_thing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, object] = {}

    def fetch_openml(name: str, **options: object) -> SimpleNamespace:
        asked.update(options, name=name)
        return stand_in()

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    with pytest.raises(DataError):
        open_source("openml:mnist_784", cache=tmp_path)
    assert asked["name"] == "mnist_784"
    assert asked["data_home"] == str(tmp_path)
    assert asked["as_frame"] is False
