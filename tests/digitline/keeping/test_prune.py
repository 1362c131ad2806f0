"""Prune a real home: what the champion, its history and the jobs need is there afterwards."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from digitline.commit import Manifest, locked, write_manifest
from digitline.errors import BusyError
from digitline.home import Home
from digitline.keeping.inventory import take_inventory
from digitline.keeping.prune import prune
from digitline.keeping.retention import Retention, Rule, plan
from digitline.models.card import Card, Facts
from digitline.models.registry import Registry
from digitline.runs import Plan, open_run, write_plan
from digitline.scoring.job import LastRun, write_last
from digitline.sources.bucket_copy import COPIES

LONG_AGO = datetime.now(UTC) - timedelta(days=400)
ONE = Rule(newest=1, days=30)
STRICT = Retention(runs=ONE, reports=ONE, models=ONE, caches=ONE, splits=ONE)


GOLDEN = np.zeros((2, 784), np.uint8)


def facts_of(card: Card) -> Facts:
    return Facts.model_validate(card.model_dump(include=set(Facts.model_fields)))


def age(*paths: Path) -> None:
    for path in paths:
        for each in (*path.rglob("*"), path):
            os.utime(each, (LONG_AGO.timestamp(),) * 2)


def make_run(home: Home, name: str, *, job: str | None = None, done: bool = True) -> Path:
    directory = home.runs / name
    write_plan(directory, Plan(key="0" * 64, started="2025-01-01T00:00:00+00:00"))
    (directory / "predictions-00000.parquet").write_bytes(b"x" * 5000)
    if done:
        write_manifest(directory, Manifest(kind="predictions", shards=(), facts={"job": job}))
    report = home.reports / name
    report.mkdir(parents=True)
    (report / "report.html").write_text("a page")
    age(directory, report)
    return directory


@pytest.fixture
def used(home: Home, reader: Home) -> Home:
    """A home after a year: runs of all kinds, one champion after another, challengers held."""
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    registry = Registry(home.models, home.keys)
    model, card = registry.load("m0001"), registry.card("m0001")
    for run in range(2, 6):
        facts = facts_of(card).model_copy(update={"run": f"retrain-{run:04d}"})
        registry.register(model.estimator, facts, GOLDEN)
    registry.promote("m0002", reason="better", run="retrain-0002", created=card.created)
    for number in range(1, 8):
        make_run(home, f"retrain-{number:04d}")
    for number in range(1, 5):
        make_run(home, f"score-{number:04d}")
    mail = make_run(home, "score-0005", job="mail")
    make_run(home, "score-0006", job="mail")
    write_last(home.data / "jobs", "mail", LastRun(run="score-0005", results=mail, basis=""))
    make_run(home, "score-0007", done=False)
    make_run(home, "score-0008", done=False)
    os.utime(home.runs / "score-0008" / "plan.json")
    for name in ("retrain-0001.joblib", "score-0008.npz", "m0001.start.joblib"):
        home.checkpoints.mkdir(exist_ok=True)
        (home.checkpoints / name).write_bytes(b"weights")
        age(home.checkpoints / name)
    return home


def prune_now(home: Home) -> tuple[set[str], set[str]]:
    """Prune; give what has gone and what had to wait."""
    pruned = prune(plan(take_inventory(home), STRICT, datetime.now(UTC)), home)
    gone, waiting = (
        {str(item.path.relative_to(home.root)) for item in items}
        for items in (pruned.gone, pruned.waiting)
    )
    return gone, waiting


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_what_is_needed_stays_and_the_rest_goes(used: Home) -> None:
    gone, waiting = prune_now(used)
    assert not waiting
    # Both champions' runs, the newest, what the job goes on from and its newest, a young wreck.
    assert names(used.runs) == {
        *("retrain-0001", "retrain-0002", "retrain-0007"),
        *("score-0004", "score-0005", "score-0006", "score-0008"),
    }
    assert names(used.reports) == {"retrain-0001", "retrain-0002", "retrain-0007", "score-0008"}
    registry = Registry(used.models, used.keys)
    assert registry.versions() == ("m0001", "m0002", "m0005")
    assert all(finding.sound for finding in registry.verify())
    assert registry.rollback(reason="", run="", created="2026-01-02T12:00:00Z").version == "m0001"
    assert names(used.checkpoints) == {"score-0008.npz"}
    assert "data/runs/score-0007" in gone
    assert prune_now(used) == (set(), set())


def test_copies_of_labelled_sources_go_but_for_the_newest(home: Home) -> None:
    kept = home.downloads / ("c" * 16)  # the listing of a scoring may refer to it
    copies = [home.downloads / COPIES / (digit * 16) for digit in "ab"]
    for directory in (*copies, kept):
        directory.mkdir(parents=True)
        (directory / "1.png").write_bytes(b"1")
    age(copies[0], kept)
    assert prune_now(home) == ({str(copies[0].relative_to(home.root))}, set())
    assert names(home.downloads) == {COPIES, kept.name}


def test_numbers_are_never_given_out_again(used: Home) -> None:
    prune_now(used)
    run = open_run(used, "score", "1" * 64, "2026-01-02T12:00:00Z")
    assert run.id == "score-0009"
    registry = Registry(used.models, used.keys)
    card = registry.card("m0001")
    with pytest.raises(BusyError, match="is or was champion"):
        registry.discard("m0001")
    registry.discard("m0005")
    estimator = registry.load("m0001").estimator
    assert registry.register(estimator, facts_of(card), GOLDEN) == "m0006"


def test_what_a_retraining_works_on_waits_for_its_end(used: Home) -> None:
    with locked(used.lock("retrain"), "retrain"):
        gone, waiting = prune_now(used)
    assert {"models/m0003", "models/m0004", ".digitline/checkpoints/retrain-0001.joblib"} < waiting
    assert "data/runs/score-0001" in gone
    assert (used.models / "m0003").exists()


_KILLED = """
import os, shutil, sys
from datetime import UTC, datetime
from digitline.home import Home
from digitline.keeping.inventory import take_inventory
from digitline.keeping.prune import prune
from digitline.keeping.retention import Retention, Rule, plan
from pathlib import Path

left = int(sys.argv[2])
def remove(path, *args, **kwargs):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    really(path, *args, **kwargs)
really, shutil.rmtree = shutil.rmtree, remove
home, one = Home(Path(sys.argv[1])), Rule(newest=1, days=30)
rules = Retention(runs=one, reports=one, models=one, caches=one, splits=one)
prune(plan(take_inventory(home), rules, datetime.now(UTC)), home)
"""


def test_killed_half_way_it_leaves_nothing_half_there(used: Home) -> None:
    for moment in (0, 2, 9):
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, str(used.root), str(moment)], check=False
        )
        assert done.returncode == -9
        for directory in used.runs.glob("[a-z]*"):
            assert (directory / "plan.json").exists()
        assert Registry(used.models, used.keys).champion() == "m0002"
    prune_now(used)
    hidden = [path for path in used.root.rglob(".*") if "going" in path.name]
    assert not hidden
    assert not list(used.models.glob(".m*"))
