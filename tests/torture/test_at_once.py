"""Several at once: runs of one job, changes of the champion, ingests to one name."""

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from random import Random

import pytest

from digitline.commit import check_shards
from digitline.home import Home
from digitline.models.registry import Registry
from digitline.scoring.job import read_last
from digitline.sources.dataset import opened
from tests.torture.attack import Attack
from tests.torture.changes import prepare
from tests.torture.nursery import Nursery, Run
from tests.torture.test_kills_of_score import check_complete

CHANGES = Attack(
    row=9,
    name="two to eight at once of promote and rollback, and of ingest to one name, some killed",
    holds="each takes its turn or ends with its own exit code; nothing mixed",
    small=2,
    full=50,
)
JOBS = Attack(
    row=15,
    name="two to eight runs of the same job at once",
    holds="one wins, the others end with exit code 10, the results are complete",
    small=1,
    full=50,
)
NO_MODEL, BUSY, KILLED = 6, 10, -9
KILLED_SHARE = 0.2


def start_together(
    nursery: Nursery, orders: Sequence[tuple[str, ...]], **settings: str
) -> list[Run]:
    return [nursery.start(*order, **settings) for order in orders]


def wait_for_all(runs: list[Run], dice: Random, look: Callable[[], object]) -> list[int]:
    """Kill some, wait for the others while a reader looks on, and give their exit codes."""
    for run in runs:
        if dice.random() < KILLED_SHARE:
            run.kill()
    while not all(run.has_ended for run in runs):
        look()
    return [run.wait() for run in runs]


def test_changes_at_once(cradle: Nursery, beginnings: Path, tmp_path: Path) -> None:
    for trial in CHANGES.rounds():
        with trial as attack:
            home = Home(prepare("together", beginnings, tmp_path / f"{attack.first}"))
            change = change_champion if attack.first % 2 == 0 else change_data_set
            change(home, cradle, attack.dice)
            shutil.rmtree(home.root)


def change_champion(home: Home, cradle: Nursery, dice: Random) -> None:
    ways = (("models", "promote", "m0001"), ("models", "promote", "m0002"), ("models", "rollback"))
    orders = [dice.choice(ways) for _ in range(dice.randint(2, 8))]
    runs = start_together(cradle, orders, DIGITLINE_HOME=str(home.root))
    registry = Registry(home.models, home.keys)
    codes = wait_for_all(runs, dice, registry.load)
    assert set(codes) <= {0, NO_MODEL, BUSY, KILLED}, [run.said for run in runs]
    history = registry.history()
    assert [entry.serial for entry in history] == list(range(1, len(history) + 1))
    assert registry.champion() == history[-1].version
    assert all(finding.sound for finding in registry.verify())


def change_data_set(home: Home, cradle: Nursery, dice: Random) -> None:
    folders = {"first": 40, "second": 60}
    orders = [
        ("ingest", str(home.root / dice.choice(tuple(folders))), "--to", "scans")
        for _ in range(dice.randint(2, 8))
    ]
    lax = {"DIGITLINE_CHECKS__MIN_ROWS": "10", "DIGITLINE_CHECKS__MISSING_CLASSES": "10"}
    runs = start_together(cradle, orders, DIGITLINE_HOME=str(home.root), **lax)
    codes = wait_for_all(runs, dice, lambda: check_data_set(home, folders.values()))
    assert set(codes) <= {0, BUSY, KILLED}, [run.said for run in runs]
    check_data_set(home, folders.values())


def check_data_set(home: Home, sizes: Collection[int]) -> None:
    """Raise unless the rows are those of one of the folders, none of another."""
    with opened(home.data / "scans") as rows:
        paths = [
            path
            for batch in rows.batches("train")
            for path in batch.column("image").field("path").to_pylist()
        ]
    assert len(paths) in sizes
    assert len(set(paths)) == len(paths)


@pytest.fixture
def settings(home: Home, reader: Home) -> dict[str, str]:
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    return {"DIGITLINE_HOME": str(home.root), "DIGITLINE_THRESHOLD": "0.9"}


def test_a_job_at_once(
    nursery: Nursery, images: Path, home: Home, settings: dict[str, str]
) -> None:
    for trial in JOBS.rounds():
        with trial as attack:
            (images / f"new-{attack.first}.png").write_bytes((images / "0000.png").read_bytes())
            orders = [("score", str(images), "--job", "mail")] * attack.dice.choice((8, 4, 3, 2))
            runs = start_together(nursery, orders, **settings)
            codes = [run.wait() for run in runs]
            assert set(codes) <= {0, BUSY}, [run.said for run in runs]
            assert 0 in codes
            last = read_last(home.jobs, "mail")
            assert last is not None
            manifest = last.manifest()
            assert manifest is not None
            check_shards(last.results, manifest)
            check_complete(last.results, images)
