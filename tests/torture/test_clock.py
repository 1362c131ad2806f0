"""A clock stepped back and forth, between runs and during them: order is by number."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from digitline.home import Home
from digitline.models.registry import Registry
from digitline.scoring.job import read_last
from tests.torture.attack import ROOT, Attack

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

STEPS = Attack(
    row=18,
    name="clock stepped by up to two days, back and forth, between changes of the champion",
    holds="order by run, never by clock",
    small=2,
    full=10,
)
RUNS = Attack(
    row=19,
    name="clock stepped a day back and forth during runs of a job",
    holds="runs are numbered on, the job goes on from its last run, the results are complete",
    small=0,
    full=10,
)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="needs Debian's faketime")


def run_at(offset: int, place: Path, home: Home, *arguments: str, **settings: str) -> str:
    """Run a command whose clock is some seconds off; give what it said."""
    steps = place / "clock"
    steps.write_text(f"{offset:+d}")
    done = subprocess.run(
        [sys.executable, "-m", "flows.command_line", *arguments],
        env={
            **os.environ,
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(steps),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DIGITLINE_HOME": str(home.root),
            "PYTHONPATH": str(ROOT),
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_champion_whatever_the_clock(beginnings: Path, tmp_path: Path) -> None:
    home = Home(Path(shutil.copytree(beginnings, tmp_path / "home")))
    registry = Registry(home.models, home.keys)
    for trial in STEPS.rounds():
        with trial as attack:
            before = registry.history()
            version = "m0001" if registry.champion() == "m0002" else "m0002"
            offset = attack.dice.randint(-172_800, 172_800)
            said = run_at(offset, tmp_path, home, "models", "promote", version)
            assert f"{version} is the champion" in said
            history = registry.history()
            assert history[:-1] == before
            assert (history[-1].serial, registry.champion()) == (len(before) + 1, version)


@pytest.mark.skipif(not RUNS.cases, reason="takes minutes: `make torture`")
def test_a_job_whatever_the_clock(
    prefect_server: None, reader: Home, images: Path, home: Home, tmp_path: Path
) -> None:
    from prefect.settings import get_current_settings

    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    settings = {
        "PREFECT_API_URL": str(get_current_settings().api.url),
        "DIGITLINE_THRESHOLD": "0.9",
    }
    for number, trial in enumerate(RUNS.rounds(), 1):
        with trial as attack:
            extra = images / f"new-{attack.first}.png"
            extra.write_bytes((images / f"{attack.first:04d}.png").read_bytes()[:-1])
            offset = 86_400 if attack.first % 2 else -86_400
            said = run_at(offset, tmp_path, home, "score", str(images), "--job", "mail", **settings)
            last = read_last(home.jobs, "mail")
            assert last is not None
            assert last.run == f"score-{number:04d}", said
            if number > 1:
                assert "1 new, 0 changed" in said, said
            runs = re.findall(r"score-\d{4}", run_at(-offset, tmp_path, home, "runs"))
            assert runs == [f"score-{each:04d}" for each in range(number, 0, -1)]
