"""Prefect's server frozen, killed, restarted, or its database locked, while a scoring runs."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from digitline.home import Home
from flows.background import read_note
from tests.live.machine import Machine
from tests.torture.attack import Attack
from tests.torture.nursery import Nursery
from tests.torture.test_kills_of_score import check_complete, results_of

AWAY = Attack(
    row=17,
    name="Prefect's server frozen, killed and restarted, its SQLite locked, during a scoring",
    holds="the run finishes, or ends with an error for people and the same command finishes it, "
    "to the same bytes",
    small=0,
    full=20,
)
pytestmark = pytest.mark.skipif(not AWAY.cases, reason="takes minutes: `make torture`")


@pytest.fixture
def machine(reader: Home, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(
        tmp_path, DIGITLINE_THRESHOLD="0.9", DIGITLINE_BULK__SHARD_ROWS="12", DO_NOT_TRACK="1"
    )
    shutil.copytree(reader.root, machine.home.root)
    start_server(machine)
    try:
        yield machine
    finally:
        machine.run("server", "stop")


def start_server(machine: Machine) -> None:
    """Start it, at the third try at the latest: on a busy machine that may take long."""
    for _ in range(2):
        with suppress(AssertionError):
            machine.run("server", "start")
            return
    machine.run("server", "start")


@contextmanager
def frozen(machine: Machine, dice: Random) -> Iterator[None]:
    note = read_note(machine.home)
    assert note is not None
    os.killpg(note.pid, signal.SIGSTOP)
    try:
        time.sleep(dice.uniform(1, 20))
    finally:
        os.killpg(note.pid, signal.SIGCONT)
    yield


@contextmanager
def restarted(machine: Machine, dice: Random) -> Iterator[None]:
    note = read_note(machine.home)
    assert note is not None
    os.killpg(note.pid, signal.SIGKILL)
    time.sleep(dice.uniform(0, 5))
    start_server(machine)
    yield


@contextmanager
def gone(machine: Machine, dice: Random) -> Iterator[None]:
    note = read_note(machine.home)
    assert note is not None
    os.killpg(note.pid, signal.SIGKILL)
    try:
        yield
    finally:
        time.sleep(dice.uniform(0, 2))
        start_server(machine)


@contextmanager
def locked(machine: Machine, dice: Random) -> Iterator[None]:
    with sqlite3.connect(machine.home.prefect / "prefect.db", timeout=60) as database:
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(dice.uniform(1, 20))
        database.rollback()
    database.close()
    yield


WAYS = (frozen, restarted, locked, gone)


def test_a_scoring_without_its_server(machine: Machine, images: Path, tmp_path: Path) -> None:
    note = read_note(machine.home)
    assert note is not None
    with Nursery({**machine.environment, "PREFECT_API_URL": note.url}) as nursery:
        began = time.monotonic()
        alone = nursery.run("score", str(images), "--out", str(tmp_path / "alone"))
        lasts = time.monotonic() - began
        assert alone.code == 0, alone.said
        expected = results_of(tmp_path / "alone")
        for trial in AWAY.rounds():
            with trial as attack:
                out = tmp_path / f"out-{attack.first}"
                order = ("score", str(images), "--out", str(out))
                run = nursery.start(*order)
                time.sleep(attack.dice.uniform(0, 0.8 * lasts))
                with WAYS[attack.first % len(WAYS)](machine, attack.dice):
                    code = run.wait()
                assert run.left_behind() == []
                if code != 0:
                    assert "digitline: error: " in run.said, run.said
                    # Prefect's own lines may well say so.
                    assert "digitline: error: unexpected" not in run.said, run.said
                    again = nursery.run(*order)
                    assert again.code == 0 or "are here, complete" in again.said, again.said
                assert results_of(out) == expected
                check_complete(out, images)
