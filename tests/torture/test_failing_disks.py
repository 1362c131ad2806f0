"""A disk that is full, that fails, or that may not be written; inputs that vanish and change."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from digitline.commit import check_shards, read_manifest
from digitline.home import Home
from digitline.scoring.reasons import REASONS
from tests.torture.attack import ROOT, Attack, explained
from tests.torture.changes import ACT, CHANGES, Course, prepare, spread, tree
from tests.torture.fuse import Order
from tests.torture.nursery import Nursery

FULL = Attack(
    row=5,
    name="full disk (a small tmpfs), at each kind of write, with more and less space left",
    holds="a clear error, no half file visible, done when space is made",
    small=6,
    full=150,
)
FAILING = Attack(
    row=6,
    name="a step of a write that fails: I/O error, quota, permission, read-only",
    holds="a clear error, no half file visible, done the next time",
    small=8,
    full=300,
)
READ_ONLY = Attack(
    row=7,
    name="a home on a read-only mount",
    holds="a clear error; what only reads works",
    small=6,
    full=6,
)
INPUTS = Attack(
    row=8,
    name="inputs that vanish, change, are cut or may not be read while they are scored",
    holds="each listed image is an answer or an error row",
    small=1,
    full=20,
)
STORAGE = 9
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@contextmanager
def mounted(place: Path, size: int, *options: str) -> Iterator[Path]:
    """Give an empty file system of that many bytes."""
    place.mkdir(exist_ok=True)
    given = ",".join((f"size={size}", *options))
    subprocess.run(["mount", "-t", "tmpfs", "-o", given, "tmpfs", place], check=True)  # noqa: S607 - Debian's
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)  # noqa: S607 - the same


def check_error(course: Course, home: Home, code: int, said: str) -> None:
    """Raise unless it ended with the error for people, and nothing half done is seen."""
    assert code in {0, STORAGE}, said
    assert code == 0 or said.startswith("digitline: error: "), said
    assert len(said.splitlines()) == (code != 0), said
    assert CHANGES[course.name].see(home) in course.seen, said


def check_done(course: Course, home: Home, cradle: Nursery) -> None:
    """Make the change again, and raise unless it leaves what it leaves undisturbed."""
    again = cradle.run(course.name, str(home.root), call=ACT)
    assert again.code == 0, again.said
    assert CHANGES[course.name].see(home) == course.seen[1]
    if CHANGES[course.name].repeatable:
        assert tree(home.root) == course.left


@needs_root
def test_a_full_disk(
    cradle: Nursery, beginnings: Path, courses: list[Course], tmp_path: Path
) -> None:
    for trial in FULL.rounds():
        with trial as attack, mounted(tmp_path / "disk", 64 << 20) as disk:
            course = courses[attack.first % len(courses)]
            home = Home(prepare(course.name, beginnings, disk / "home"))
            left = attack.dice.choice((0, 1, 2, 3, 5, 9, 20, 60)) * 4096
            with explained(f"{course.name} with {left:,} bytes left"):
                fill(disk / "filler", left)
                run = cradle.run(course.name, str(home.root), call=ACT)
                check_error(course, home, run.wait(), run.said)
                (disk / "filler").unlink()
                check_done(course, home, cradle)


def fill(path: Path, left: int) -> None:
    """Fill the disk, but for some bytes."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - that is how a disk says that it is full
        file.truncate(max(0, path.stat().st_size - left))


def test_a_failing_disk(
    cradle: Nursery, beginnings: Path, courses: list[Course], tmp_path: Path
) -> None:
    places = spread(courses)
    numbers = count()
    for trial in FAILING.rounds():
        with trial as attack:
            course, step = places[attack.first % len(places)]
            home = Home(prepare(course.name, beginnings, tmp_path / f"failed-{next(numbers)}"))
            code = attack.dice.choice(ERRORS)
            fuse = Order(step, str(tmp_path / "made"), error=code)
            failing = f"{course.name} at step {step} ({course.steps[step - 1]})"
            with explained(f"{failing}: {errno.errorcode[code]}"):
                run = cradle.run(course.name, str(home.root), call=ACT, FUSE=fuse.text())
                check_error(course, home, run.wait(), run.said)
                check_done(course, home, cradle)
            shutil.rmtree(home.root)


@needs_root
def test_a_read_only_home(cradle: Nursery, reader: Home, images: Path, tmp_path: Path) -> None:
    image = str(images / "0000.png")
    commands = (
        (("models", "list"), 0),
        (("models", "verify"), 0),
        (("read", image), 0),
        (("models", "rollback"), STORAGE),
        (("ingest", str(images.parent), "--to", "new"), STORAGE),
        (("status",), 0),
    )
    with mounted(tmp_path / "disk", 64 << 20) as disk:
        root = shutil.copytree(reader.root, disk / "home")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)  # noqa: S607 - Debian's
        for trial in READ_ONLY.rounds():
            with trial as attack:
                order, code = commands[attack.first]
                run = cradle.run(*order, DIGITLINE_HOME=str(root), PREFECT_API_URL="")
                assert run.code == code, (order, run.said)
                assert code == 0 or run.said.count("\n") == 1, run.said


@needs_root
def test_inputs_that_change_meanwhile(
    nursery: Nursery,
    reader: Home,
    mnist: tuple[list[bytes], NDArray[np.int64]],
    home: Home,
    tmp_path: Path,
) -> None:
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    for trial in INPUTS.rounds():
        with trial as attack:
            folder = tmp_path / f"changing-{attack.first}"
            write_folder(folder, mnist[0][:300])
            out = tmp_path / f"out-{attack.first}"
            with changing(folder, attack.dice):
                run_unprivileged("score", str(folder), "--out", str(out), home=home)
            check_rows(out, home)


def write_folder(folder: Path, contents: list[bytes]) -> None:
    for number, content in enumerate(contents):
        path = folder / f"{number % 10}" / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "3" / "0003.png").chmod(0)
    (folder / "4").chmod(0)


@contextmanager
def changing(folder: Path, dice: Random) -> Iterator[None]:
    """Remove, cut, replace and exchange images, one after the other, until the block ends."""
    over = threading.Event()

    def change() -> None:
        paths = sorted(folder.glob("[5-9]/*.png"))
        while paths and not over.wait(0.01):
            path = paths.pop(dice.randrange(len(paths)))
            way = dice.randrange(5)
            if way == 0:
                path.unlink()
            elif way == 1:
                os.truncate(path, 40)
            elif way == 2:
                path.write_bytes(b"")
            elif way == 3:
                path.unlink()
                path.mkdir()
            else:
                path.unlink()
                os.mkfifo(path)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run_unprivileged(*arguments: str, home: Home) -> None:
    """Run a command without root's right to read everything."""
    from prefect.settings import get_current_settings

    everything = "-dac_override,-dac_read_search"
    command = ["setpriv", f"--bounding-set={everything}", f"--inh-caps={everything}"]
    done = subprocess.run(
        [*command, sys.executable, "-m", "flows.command_line", *arguments],
        env={
            **os.environ,
            "DIGITLINE_HOME": str(home.root),
            "DIGITLINE_THRESHOLD": "0.9",
            "PREFECT_API_URL": str(get_current_settings().api.url),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def check_rows(out: Path, home: Home) -> None:
    """Raise unless every image that was listed is there once, with an answer or a reason."""
    manifest = read_manifest(out)
    assert manifest is not None
    check_shards(out, manifest)
    newest = max(home.runs.glob("score-*"))
    listed = pq.read_table(newest / "listing.parquet")["name"].to_pylist()
    files = out.glob("*-*.parquet")
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    assert sorted(row["path"] for row in rows) == sorted(listed)
    reasons = {row["path"]: row["reason"] for row in rows if "reason" in row}
    assert set(reasons.values()) <= set(REASONS)
    assert reasons["3/0003.png"] == "unreadable"
    assert reasons["4"] == "unreadable"
