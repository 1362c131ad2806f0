"""A home in a bucket: trained by one machine, scored with by another, by each from its own copy."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.home import Home
from digitline.models.registry import Registry
from digitline.objects import list_objects
from flows.command_line import exit_code
from flows.retrain import retrain
from flows.score import score
from tests.conftest import Endpoint

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]


def test_one_machine_trains_and_another_scores(
    store: Endpoint, mnist: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents, labels = mnist
    for number in range(600):
        place = tmp_path / "labelled" / str(labels[number]) / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(contents[number])
    (tmp_path / "tiny.toml").write_text("hidden = [32]\nepochs = 6\nbatch = 50\nrate = 0.01\n")
    monkeypatch.setenv("DIGITLINE_HOME", str(store.place / "home"))
    monkeypatch.setenv("DIGITLINE_GATE__MIN_ACCURACY", "0.3")
    monkeypatch.setenv("DIGITLINE_MAX_ERROR", "25%")

    def machine(name: str) -> Home:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return Home.at(str(store.place / "home"))

    one = machine("one")
    trained = retrain([str(tmp_path / "labelled")], recipe=str(tmp_path / "tiny.toml"))
    assert trained.verdict == "bootstrap"
    other = machine("other")
    images = str(tmp_path / "labelled" / "3")
    scored = score(images, job="threes")
    assert scored.counts.n_in == int(np.sum(labels[:600] == 3))
    assert scored.results == other.runs / "score-0001"
    assert Registry(other.models, other.keys).champion() == trained.version
    machine("one")
    again = score(images, job="threes")
    assert again.changes == f"0 new, 0 changed, {scored.counts.n_in} unchanged"
    assert again.results == one.runs / "score-0002"
    machine("third")
    with pytest.raises(SystemExit, match="0"):
        exit_code(["models", "verify"])
    held = [found.key for found in list_objects(store.place)]
    assert not [key for key in held if "prefect" in key or "checkpoint" in key]
