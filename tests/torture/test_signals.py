"""SIGTERM and Ctrl-C: a run ends soon, says how to go on, and leaves nothing behind."""

import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from digitline.home import Home
from tests.torture.attack import Attack
from tests.torture.nursery import Nursery, Run
from tests.torture.test_kills_of_score import check_complete, results_of

SIGNALS = Attack(
    row=3,
    name="SIGTERM and Ctrl-C of a scoring at random moments",
    holds="ends within 10 s of CPU, says how to go on, no orphan process, Prefect's run is not "
    "running for ever, the same command ends with the same bytes",
    small=2,
    full=50,
)
WAYS = (
    (signal.SIGINT, True),
    (signal.SIGTERM, False),
    (signal.SIGTERM, True),
    (signal.SIGINT, False),
)


@pytest.fixture
def settings(home: Home, reader: Home) -> dict[str, str]:
    """Give the environment of runs in a home of this test's own, with a champion in it."""
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    return {
        "DIGITLINE_HOME": str(home.root),
        "DIGITLINE_BULK__SHARD_ROWS": "12",
        "DIGITLINE_THRESHOLD": "0.9",
    }


def test_a_scoring_told_to_end(
    nursery: Nursery, images: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed"
    began = time.monotonic()
    alone = nursery.run("score", str(images), "--out", str(undisturbed), **settings)
    lasts = time.monotonic() - began
    assert alone.code == 0, alone.said
    expected = results_of(undisturbed)
    for trial in SIGNALS.rounds():
        with trial as attack:
            out = tmp_path / f"told-{attack.first}"
            order = ("score", str(images), "--out", str(out))
            run = nursery.start(*order, **settings)
            time.sleep(attack.dice.uniform(0, lasts))
            word, group = WAYS[attack.first % len(WAYS)]
            run.kill(word, group=group)
            check_end(run, word)
            assert running(run) == []
            again = nursery.run(*order, **settings)
            assert again.code == 0 or "are here, complete" in again.said, again.said
            assert results_of(out) == expected
            check_complete(out, images)
            shutil.rmtree(out)


def check_end(run: Run, word: signal.Signals) -> None:
    """Raise unless it ended as it should, if not by itself before."""
    began = time.monotonic()
    code = run.wait(120)
    took = time.monotonic() - began
    assert run.left_behind() == [], run.said
    begun, done = bool(run.said), "\nReport " in run.said
    if code != 0 and begun and not done:
        assert code == {signal.SIGINT: 130, signal.SIGTERM: 143}[word], (code, run.said)
        assert "takes the run up again" in run.said, run.said
        assert "Traceback" not in run.said, run.said
    assert took < 30, f"{took:.0f} s"


def running(run: Run) -> list[str]:
    """Name the flow runs of a command that Prefect takes for running still."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    names = re.findall(r"Flow run '([^']+)'", run.said)
    with get_client(sync_client=True) as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=names))
        flow_runs = client.read_flow_runs(flow_run_filter=named)
    return [each.name for each in flow_runs if each.state is None or not each.state.is_final()]
