"""The services of `compose.yaml` as processes of this machine: the same commands, on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from numpy.typing import NDArray

from digitline.commit import check_shards, read_manifest
from digitline.home import Home
from tests.live.machine import ROOT, free_port, wait_for, write_images
from tests.live.postgres import PROGRAMS, Postgres

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not PROGRAMS, reason="needs Debian's postgresql"),
]

SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
RECIPE = "hidden = [64]\nepochs = 15\nbatch = 50\nrate = 0.01\n"
ASKED = {"POSTGRES_PASSWORD": "not-asked-for", "PREFECT_AUTH": "digitline:secret"}


class Stage:
    """Where services run that know each other by name: on loopback, each port a free one."""

    def __init__(self, place: Path, postgres: Postgres, **settings: str) -> None:
        self._place = place
        self._ports = {port: str(free_port()) for port in ("4200", "8080", "8786")}
        self._ports["5432"] = str(postgres.port)
        self._checks = {"scheduler": str(free_port()), "dask-worker": str(free_port())}
        self._settings = settings
        self.home = Home(place / "home")

    def here(self, text: str, service: str) -> str:
        """Put this machine and its ports in place of what the compose file names."""
        text = re.sub(r"\$\{(\w+)(:\?[^}]*)?\}", lambda found: ASKED[found[1]], text)
        text = re.sub(r"(?<=[/@])(server|database|scheduler)(?=:\d)", "127.0.0.1", text)
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{port}\b", ours, text)
        text = text.replace("8787", self._checks.get(service, "8787"))
        return text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - it is taken out

    def environment(self, service: str) -> Mapping[str, str]:
        given = SERVICES[service].get("environment", {})
        return {
            **{name: value for name, value in os.environ.items() if "PREFECT" not in name},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PREFECT_HOME": str(self._place / service),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "DIGITLINE_HOME": str(self.home.root),
            "OPENBLAS_NUM_THREADS": "1",
            **self._settings,
            **{name: self.here(value, service) for name, value in given.items()},
        }

    @contextmanager
    def running(self, service: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a service until the block ends, and wait first until its own check says well."""
        command = [self.here(word, service) for word in SERVICES[service]["command"]]
        with (
            log.open("ab") as output,
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(service),
                stdout=output,
                stderr=output,
                start_new_session=True,
            ) as process,
        ):
            try:
                wait_for(service, lambda: process.poll() is not None or self.is_well(service))
                assert process.poll() is None, log.read_text()
                yield process
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)

    def is_well(self, service: str) -> bool:
        """Run the check of the compose file."""
        _, *words = SERVICES[service]["healthcheck"]["test"]
        return self._run(service, words).returncode == 0

    def do(self, service: str, *words: str) -> str:
        """Run a command as in the container of a service."""
        done = self._run(service, words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _run(
        self, service: str, words: "tuple[str, ...] | list[str]"
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.here(word, service) for word in words],
            cwd=ROOT,
            env=self.environment(service),
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def stage(
    postgres: Postgres, tmp_path: Path, mnist: tuple[list[bytes], NDArray[np.int64]]
) -> Stage:
    contents, labels = mnist
    for digit in range(10):
        own = [contents[row] for row in np.flatnonzero(labels[:1500] == digit)]
        write_images(tmp_path / "labelled" / str(digit), own)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    stage = Stage(
        tmp_path,
        postgres,
        DIGITLINE_RECIPE=str(recipe),
        DIGITLINE_GATE__MIN_ACCURACY="0.7",
        DIGITLINE_MAX_ERROR="25%",
        DIGITLINE_BULK__SHARD_ROWS="50",
    )
    write_images(stage.home.root / "inbox", contents[2000:2600])
    return stage


def test_a_retraining_and_a_scoring_go_through_every_service(
    stage: Stage, postgres: Postgres, tmp_path: Path
) -> None:
    out = stage.home.root / "out"
    with ExitStack() as stack:
        for service in ("server", "scheduler", "dask-worker"):
            stack.enter_context(stage.running(service, tmp_path / f"{service}.log"))
        stage.do("deploy", *SERVICES["deploy"]["command"])
        # A run at its time would hold the one place that a run of ours needs.
        stage.do("deploy", "prefect", "--no-prompt", "deployment", "schedule", "pause", "--all")
        stack.enter_context(stage.running("worker", tmp_path / "worker.log"))
        sources = json.dumps([str(tmp_path / "labelled")])
        deployment = ("prefect", "deployment", "run", "--watch")
        stage.do("worker", *deployment, "retrain/retrain", "--param", f"sources={sources}")
        assert (stage.home.models / "champion.json").exists()
        given = {"source": str(stage.home.root / "inbox"), "out": str(out), "job": "tried"}
        stage.do("worker", *deployment, "score/score", "--params", json.dumps(given))
        done = postgres.ask("select count(*) from flow_run where state_type = 'COMPLETED'")
    assert int(done) >= 2
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.facts["counts"]["n_in"] == 600
    check_shards(out, manifest)
    scored = (tmp_path / "dask-worker.log").read_text()
    assert "Task run 'score 0'" in scored
    assert "Removing Worker plugin digitline-" in scored
