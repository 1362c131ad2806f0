"""A machine of an operator's: a home, its settings, and what runs on it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from digitline.home import Home

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900  # seconds; a busy machine is slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Machine:
    """A machine of an operator's: a home, its settings, and what runs on it."""

    def __init__(self, place: Path, **settings: str) -> None:
        self.home = Home(place / "home")
        self.inbox = self.home.root / "inbox"
        self.environment = {
            **{name: value for name, value in os.environ.items() if "PREFECT" not in name},
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": "1",
            "DIGITLINE_HOME": str(self.home.root),
            "DIGITLINE_SERVER__PORT": str(free_port()),
            **settings,
        }

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flows.command_line", *arguments],
            env=self.environment,
            cwd=self.home.root.parent,  # nothing may depend on where it is started
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[bytes]"]:
        command = [sys.executable, "-m", "flows.command_line", "--debug", "serve"]
        with subprocess.Popen(
            command, env=self.environment, cwd=self.home.root.parent, start_new_session=True
        ) as service:
            try:
                yield service
            finally:
                if service.poll() is None:
                    os.killpg(service.pid, signal.SIGKILL)


def wait_for(what: str, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def write_images(folder: Path, contents: list[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents, len(list(folder.iterdir()))):
        draft = folder / f".{number:05d}"
        draft.write_bytes(content)
        draft.rename(folder / f"{number:05d}.png")
