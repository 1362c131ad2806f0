"""Real runs of the command line, each a process group of its own, born of a warm process.

Loading Prefect and scikit-learn takes seconds. A run that is forked from a process that has loaded
them, and has begun nothing, is the same run, only sooner under way.
"""

import fcntl
import gc
import importlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

ROOT: Final = Path(__file__).resolve().parents[2]
COMMAND_LINE: Final = "flows.command_line:main"
PATIENCE: Final = 600.0  # seconds; a busy machine is slow
FLOWS: Final = (
    *("flows.command_line", "flows.score", "flows.retrain", "tests.torture.fuse"),
    "fastapi",  # Prefect loads it when it begins a run
)


class Nursery:
    """A warm process with the environment that all its runs share."""

    def __init__(self, environment: Mapping[str, str], loaded: Sequence[str] = FLOWS) -> None:
        """Start it with modules loaded; `environment` is added to this process's own."""
        self._place = Path(tempfile.mkdtemp(prefix="nursery-"))
        self._logs = 0
        inherited = {key: value for key, value in os.environ.items() if "PREFECT" not in key}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(self._socket), *loaded],
            env={**inherited, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", **environment},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Use it in a `with` block, warm from the start: it ends with it."""
        self._connect().close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._place)

    def start(self, *arguments: str, call: str = COMMAND_LINE, **environment: str) -> "Run":
        """Start a command, or call `module:function` with the arguments.

        `fuse` in the environment is for `tests.torture.fuse`.
        """
        self._logs += 1
        log = self._place / f"{self._logs}.log"
        connection = self._connect()
        order = (call, arguments, environment, str(log))
        connection.sendall(json.dumps(order).encode() + b"\n")
        connection.settimeout(PATIENCE)
        return Run(int(connection.recv(16)), log, connection)

    def run(self, *arguments: str, call: str = COMMAND_LINE, **environment: str) -> "Run":
        """Start a command and wait for its end."""
        run = self.start(*arguments, call=call, **environment)
        run.wait()
        return run

    @property
    def _socket(self) -> Path:
        return self._place / "socket"

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + PATIENCE
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                connection.connect(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                assert self._process.poll() is None, "the nursery did not start"
                assert time.monotonic() < deadline, "the nursery does not answer"
                time.sleep(0.05)
            else:
                return connection


@dataclass
class Run:
    """A run under way: the leader of a session, so that none of its processes can hide."""

    pid: int
    log: Path
    connection: socket.socket
    code: int | None = None

    def kill(self, word: int = signal.SIGKILL, *, group: bool = True) -> None:
        """Send a signal to all its processes, or to its first one alone."""
        with suppress(ProcessLookupError):  # it has ended by itself
            (os.killpg if group else os.kill)(self.pid, word)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for its end and give its exit code, negative for a signal."""
        if self.code is None:
            self.connection.settimeout(patience)
            try:
                self.code = int(self.connection.recv(16))
            except TimeoutError:
                raise AssertionError(f"no end within {patience:g} s: {self.said}") from None
            self.connection.close()
        return self.code

    @property
    def has_ended(self) -> bool:
        """Say whether it has ended."""
        return self.code is not None or bool(select.select([self.connection], [], [], 0)[0])

    @property
    def said(self) -> str:
        """Give all that it printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def left_behind(self, patience: float = 10.0) -> list[int]:
        """List the processes of its session that still run after some seconds."""
        deadline = time.monotonic() + patience
        while (left := _session(self.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


def _session(leader: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (process / "stat").read_text().rpartition(")")[2].split()
            if status[0] != "Z" and int(status[3]) == leader:
                found.append(int(process.name))
    return found


def _serve(address: str, loaded: Sequence[str]) -> NoReturn:
    """Load what runs need, then give birth to a keeper for each that connects."""
    for name in loaded:
        importlib.import_module(name)
    gc.freeze()  # what was loaded is shared for longer
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's concern
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _keep(connection)
        connection.close()


def _keep(connection: socket.socket) -> NoReturn:
    """Start a run, tell its number, wait for its end, tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order = json.loads(connection.recv(1 << 20) or "null")
    if order is None:  # somebody who wanted to know whether we are there
        os._exit(0)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(*order)
    connection.send(str(pid).encode())
    status = os.waitpid(pid, 0)[1]
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(call: str, arguments: list[str], environment: dict[str, str], log: str) -> NoReturn:
    os.setsid()
    random.seed()
    with open(log, "wb") as output, open(os.devnull, "rb") as nothing:  # noqa: PTH123 - descriptors
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(environment)
    if call == COMMAND_LINE:
        _keep_an_embryo()
    if "FUSE" in environment:
        from tests.torture.fuse import lay

        lay(environment["FUSE"])
    module, _, name = call.partition(":")
    function = getattr(importlib.import_module(module), name)
    if call == COMMAND_LINE:
        sys.argv[1:] = arguments
        function()
    code = function(arguments)
    sys.stdout.flush()
    os._exit(code)  # to take apart all that was loaded costs more than the call


def _keep_an_embryo() -> None:
    """Let the server that the run's workers are forked from be born of the warm process, too.

    It is what `multiprocessing` would start anew, which loads the same for as long as a short run
    takes: a process of the run, which does nothing before it is asked for.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _hatch(theirs)
    theirs.close()
    start_anew = util.spawnv_passfds

    def start(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        command = str(args[-1])
        if not command.startswith("from multiprocessing.forkserver") or ours.fileno() < 0:
            return start_anew(path, args, passfds)
        socket.send_fds(ours, [json.dumps((command, [*passfds])).encode()], passfds)
        ours.close()  # a second one is started as usual
        return pid

    util.spawnv_passfds = start


def _hatch(connection: socket.socket) -> NoReturn:
    """Wait to be told what to do, and which descriptors it takes; end where nobody does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as that server does
    message, passed, _, _ = socket.recv_fds(connection, 1 << 16, 8)
    connection.close()
    if not message:
        os._exit(0)
    command, expected = json.loads(message)
    above = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, max(expected) + 1) for descriptor in passed]
    for descriptor in passed:
        os.close(descriptor)
    for descriptor, number in zip(above, expected, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    exec(command, {})  # noqa: S102 - what `python -c` would do with it
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2:])
