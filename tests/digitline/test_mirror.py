"""A home in a bucket, seen from working copies of two machines: whole, in step, and raced for."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from digitline.commit import Manifest, describe, write_bytes, write_manifest
from digitline.errors import BusyError, TamperedError
from digitline.holdings import INDEX_NAME
from digitline.home import Home
from digitline.mirror import reserve, synchronised
from digitline.models.card import Facts
from digitline.models.registry import Registry
from digitline.objects import list_objects, put_file, read_object
from digitline.runs import open_run
from digitline.scoring.job import LastRun, read_last, write_last
from tests.conftest import Endpoint

WHEN = "2026-01-02T12:00:00Z"


def _fail_after(home: Home, name: str) -> None:
    commit_run(home, name)
    raise BusyError("something else")


def _commit_both(first: Home, second: Home) -> None:
    with synchronised(first):
        commit_run(first, "score-0001", "theirs")
    commit_run(second, "score-0001", "ours")
    commit_run(second, "score-0002")


@pytest.fixture
def copies(store: Endpoint, tmp_path: Path) -> tuple[Home, Home]:
    """Give two empty working copies of one home."""
    one, other = (Home(tmp_path / name, store.place / "home") for name in ("one", "other"))
    one.prepare()
    other.prepare()
    return one, other


@pytest.fixture
def settled(copies: tuple[Home, Home], reader: Home) -> tuple[Home, Home]:
    """Give two working copies in step, with a champion."""
    one, other = copies
    with synchronised(one):
        shutil.copytree(reader.models, one.models, dirs_exist_ok=True)
        shutil.copytree(reader.keys, one.keys, dirs_exist_ok=True)
    with synchronised(other):
        pass
    return one, other


def registry(home: Home) -> Registry:
    return Registry(home.models, home.keys)


def register(home: Home, run: str) -> str:
    """Register the champion's model once more, as another run's."""
    known = registry(home)
    model = known.load()
    told = {name: getattr(model.card, name) for name in Facts.model_fields}
    facts = Facts(**told | {"run": run})
    return known.register(model.estimator, facts, np.zeros((3, 784), np.uint8))


def promote(home: Home, version: str) -> None:
    registry(home).promote(version, reason="better", run="retrain-0002", created=WHEN)


def commit_run(home: Home, name: str, text: str = "rows") -> None:
    directory = home.runs / name
    write_bytes(directory / "rows.txt", text.encode())
    write_manifest(
        directory, Manifest(kind="run", shards=(describe(directory / "rows.txt", rows=1),))
    )


def test_a_champion_promoted_and_rolled_back_in_one_copy_is_seen_by_the_other(
    settled: tuple[Home, Home],
) -> None:
    one, other = settled
    with synchronised(one):
        version = register(one, "retrain-0002")
        promote(one, version)
    with synchronised(other):
        assert registry(other).load().version == version
        registry(other).rollback(reason="worse", run="by hand", created=WHEN)
    with synchronised(one):
        assert registry(one).champion() == "m0001"
        assert [entry.action for entry in registry(one).history()][-2:] == ["promote", "rollback"]
    assert all(finding.sound for finding in registry(one).verify())


def test_of_two_who_promote_at_once_one_wins_and_both_agree_afterwards(
    settled: tuple[Home, Home],
) -> None:
    with synchronised(settled[0]):
        versions = [register(settled[0], f"retrain-{number:04d}") for number in (2, 3)]
    for _ in range(4):

        def change(home: Home, version: str) -> bool:
            try:
                with synchronised(home):
                    assert registry(home).champion()
                    promote(home, "m0001" if registry(home).champion() == version else version)
            except BusyError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(change, settled, versions))
        assert any(won)
        for home in settled:
            with synchronised(home):
                assert registry(home).load().version == registry(home).champion()
        assert registry(settled[0]).history() == registry(settled[1]).history()


def test_what_is_half_done_stays_and_what_is_committed_arrives_whole(
    copies: tuple[Home, Home], store: Endpoint
) -> None:
    one, other = copies
    store.use("failing")
    with synchronised(one):
        commit_run(one, "score-0001")
        write_bytes(one.runs / "score-0002" / "rows.txt", b"half")
        write_bytes(one.normalised / "cache" / "rows.txt", b"can be made again")
        write_bytes(one.prefect / "prefect.db", b"is this machine's")
        results = one.runs / "score-0001"
        write_last(one.jobs, "post", LastRun(run="score-0001", results=results, basis="b"))
    with synchronised(other):
        last = read_last(other.jobs, "post")
        assert last is not None
        assert last.manifest() is not None
    files = {path.relative_to(other.root).as_posix() for path in other.data.rglob("*.*")}
    assert files == {
        "data/jobs/post.json",
        "data/runs/score-0001/_MANIFEST.json",
        "data/runs/score-0001/rows.txt",
    }


def test_a_change_that_was_not_put_there_is_put_there_next_time(
    copies: tuple[Home, Home], store: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = copies
    commit_run(one, "score-0001")  # by a process that was killed before its end
    with synchronised(one):
        pass
    with pytest.raises(BusyError), synchronised(one):
        _fail_after(one, "score-0002")
    with synchronised(other):
        shutil.rmtree(other.runs / "score-0001")  # as `prune` does
    shutil.rmtree(one.runs / "score-0002")
    with synchronised(one):
        assert [path.name for path in one.runs.iterdir()] == ["score-0002"]


def test_what_others_pruned_goes_in_one_step(
    copies: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = copies
    with synchronised(one):
        commit_run(one, "score-0001")
    with synchronised(other):
        shutil.rmtree(other.runs / "score-0001")

    def end_midway(path: Path, **_: bool) -> None:
        (path / "rows.txt").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", end_midway)
        with pytest.raises(KeyboardInterrupt), synchronised(one):
            pass
    with synchronised(one):
        assert not (one.runs / "score-0001").exists()
    with synchronised(other):
        assert not (other.runs / "score-0001").exists()


def test_two_who_do_the_same_are_told_apart(copies: tuple[Home, Home]) -> None:
    one, other = copies
    with pytest.raises(BusyError, match="another has changed data/runs"), synchronised(one):
        _commit_both(other, one)
    with synchronised(other):
        assert not (other.runs / "score-0002").exists()
    with synchronised(one):
        assert (one.runs / "score-0001" / "rows.txt").read_text() == "theirs"


def test_runs_get_numbers_that_no_other_copy_has(copies: tuple[Home, Home]) -> None:
    runs = [open_run(home, "score", str(number), WHEN).id for number in range(3) for home in copies]
    assert runs == [f"score-{number:04d}" for number in range(1, 7)]
    assert not reserve(copies[0], "score-0003")


def test_what_was_tampered_with_is_refused(
    settled: tuple[Home, Home], store: Endpoint, tmp_path: Path
) -> None:
    one, _ = settled
    fresh = Home(tmp_path / "fresh", one.remote)
    (tmp_path / "planted").write_bytes(b"something else")
    place = store.place / f"home/{INDEX_NAME}"
    index = read_object(place).data
    for found in list_objects(store.place / "home/files"):
        put_file(store.place / found.key, tmp_path / "planted")
    with pytest.raises(TamperedError, match="differs from its digest"), synchronised(fresh):
        pass
    (tmp_path / "planted").write_bytes(index.replace(b"m0001/card", b"../card"))
    put_file(place, tmp_path / "planted")
    with pytest.raises(TamperedError, match="its index differs"), synchronised(one):
        pass
