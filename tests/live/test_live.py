"""The whole service, for real and for minutes: opt in with `make live`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from digitline.commit import check_shards
from digitline.keeping.memory import read_memory
from digitline.scoring.job import read_last
from tests.live.machine import PATIENCE, Machine, wait_for, write_images

pytestmark = pytest.mark.live

RECIPE = "hidden = [64]\nepochs = 15\nbatch = 50\nrate = 0.01\n"


@pytest.fixture
def machine(tmp_path: Path, mnist: tuple[list[bytes], NDArray[np.int64]]) -> Iterator[Machine]:
    contents, labels = mnist
    for digit in range(10):
        own = [contents[row] for row in np.flatnonzero(labels[:1500] == digit)]
        write_images(tmp_path / "labelled" / str(digit), own)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    machine = Machine(
        tmp_path,
        DIGITLINE_RECIPE=str(recipe),
        DIGITLINE_GATE__MIN_ACCURACY="0.7",
        DIGITLINE_MAX_ERROR="25%",
        DIGITLINE_SERVICE__SOURCES=json.dumps([str(tmp_path / "labelled")]),
        DIGITLINE_SERVICE__RETRAIN="*/2 * * * *",
        DIGITLINE_SERVICE__SCORE="* * * * *",
        DIGITLINE_SERVICE__LONGEST_PAUSE="1",
    )
    try:
        yield machine
    finally:
        machine.run("server", "stop")


def states_of(machine: Machine) -> dict[str, list[str]]:
    """Ask Prefect's server for the states of all runs, by the name of their flow."""
    code = (
        "import json\n"
        "from prefect.client.orchestration import get_client\n"
        "with get_client(sync_client=True) as client:\n"
        "    flows = {flow.id: flow.name for flow in client.read_flows()}\n"
        "    runs = client.read_flow_runs(limit=200)\n"
        "print(json.dumps([(flows[run.flow_id], run.state.name) for run in runs]))"
    )
    url = f"http://127.0.0.1:{machine.environment['DIGITLINE_SERVER__PORT']}/api"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**machine.environment, "PREFECT_API_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    states: dict[str, list[str]] = {}
    for name, state in json.loads(told.stdout.splitlines()[-1]):
        states.setdefault(name, []).append(state)
    return states


def scored(machine: Machine) -> int:
    last = read_last(machine.home.jobs, "inbox")
    manifest = None if last is None else last.manifest()
    return 0 if manifest is None else int(manifest.facts["counts"]["n_in"])


def test_nothing_is_lost_over_schedules_kills_and_restarts(
    machine: Machine, mnist: tuple[list[bytes], NDArray[np.int64]]
) -> None:
    home, contents = machine.home, mnist[0]
    machine.run("server", "start")
    write_images(machine.inbox, contents[2000:2050])
    with machine.serving() as service:
        wait_for("a champion", (home.models / "champion.json").exists)
        wait_for("the inbox", lambda: scored(machine) == 50)
        wait_for("its end", lambda: not read_memory(home.service, "inbox").open)
        write_images(machine.inbox, contents[2050:2900])
        wait_for("a run under way", lambda: read_memory(home.service, "inbox").open)
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()
    assert scored(machine) == 50
    assert read_memory(home.service, "inbox").open
    machine.run("server", "stop")  # the machine goes down, and comes up again
    machine.run("server", "start")
    with machine.serving() as service:
        wait_for("the rest", lambda: scored(machine) == 900)
        wait_for("its end", lambda: not read_memory(home.service, "inbox").open)
        os.kill(service.pid, signal.SIGTERM)
        assert service.wait(PATIENCE) == 0
    states = states_of(machine)
    assert states["scheduled-retrain"].count("Bootstrap") == 1
    assert "Crashed" in states["scheduled-inbox"]
    assert "Running" not in {state for each in states.values() for state in each}
    last = read_last(home.jobs, "inbox")
    assert last is not None
    manifest = last.manifest()
    assert manifest is not None
    check_shards(last.results, manifest)
    answers = [shard.name for shard in manifest.shards if "-" in shard.name]
    tables = [pq.read_table(last.results / name) for name in answers]
    names = sorted(name for table in tables for name in table["path"].to_pylist())
    assert names == [f"{number:05d}.png" for number in range(900)]
    overview = json.loads(machine.run("status", "--json"))
    assert overview["champion"]["version"] == "m0001"
    assert overview["inbox"] | {"waiting": 0, "images": 900} == overview["inbox"]
    assert {plan["deployment"] for plan in overview["next_runs"]} >= {"inbox", "retrain"}
