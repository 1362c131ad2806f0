"""A home in a bucket: trained by one machine, scored with by another, by each from its own copy."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline import holdings
from digitline.commit import file_digest
from digitline.holdings import place_of
from digitline.home import Home
from digitline.mirror import synchronised
from digitline.models.registry import Registry
from digitline.objects import find_object, list_objects, put_file, tell_time
from digitline.rows import RAW, raw_batch, write_rows
from flows.command_line import exit_code
from flows.retrain import retrain
from flows.score import score
from tests.conftest import Endpoint
from tests.digitline.test_mirror import commit_run

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
    (tmp_path / "tiny.toml").write_text("hidden = [32]\nepochs = 12\nbatch = 50\nrate = 0.01\n")
    monkeypatch.setenv("DIGITLINE_HOME", str(store.place / "home"))
    monkeypatch.setenv("DIGITLINE_GATE__MIN_ACCURACY", "0.3")
    monkeypatch.setenv("DIGITLINE_MAX_ERROR", "25%")

    def machine(name: str) -> Home:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return Home.at(str(store.place / "home"))

    one = machine("one")
    source, recipe = str(store.place / "labelled.parquet"), str(tmp_path / "tiny.toml")
    rows = raw_batch(contents[:600], list(map(str, range(600))), labels[:600].astype(np.int8))
    write_rows(tmp_path / "labelled.parquet", RAW, iter([rows]))
    put_file(store.place / "labelled.parquet", tmp_path / "labelled.parquet")
    trained = retrain([source], recipe=recipe)
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
    assert retrain([source], recipe=recipe).verdict == "unchanged"
    with pytest.raises(SystemExit, match="0"):
        exit_code(["models", "verify"])
    held = [found.key for found in list_objects(store.place)]
    assert not [key for key in held if "prefect" in key or "checkpoint" in key]


def test_old_files_that_nothing_refers_to_are_pruned(
    store: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DIGITLINE_HOME", str(store.place / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = Home.at(str(store.place / "home"))
    assert home.remote is not None
    with synchronised(home):
        commit_run(home, "score-0001")
    (tmp_path / "stray").write_bytes(b"of a model that is no more")
    stray = place_of(home.remote, file_digest(tmp_path / "stray"))
    put_file(stray, tmp_path / "stray")

    def prune(*options: str) -> str:
        with pytest.raises(SystemExit, match="0"):
            exit_code(["prune", *options])
        return capsys.readouterr().out

    assert "nothing refers to, 0 have gone" in prune()
    later = tell_time(home.remote) + timedelta(days=20)
    monkeypatch.setattr(holdings, "tell_time", lambda _: later)
    assert "nothing refers to, 1 would go" in prune("--dry-run")
    assert find_object(stray)
    assert "nothing refers to, 1 have gone" in prune()
    assert find_object(stray) is None
    assert "nothing refers to, 0 have gone" in prune()
