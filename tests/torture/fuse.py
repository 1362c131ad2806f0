"""A fuse: ends a process at the n-th step of its work on files, as a power cut would.

The steps are what makes a commit: opening a file to write, synchronising, renaming, removing,
making directories, changing modes. Production code knows nothing of it: the functions of `os` are
replaced in a process that is to die. What was written and not synchronised is torn as well, as it
may be after a power cut, and so is undone a rename whose directory was not synchronised.
"""

import io
import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import IO, Any, Final, NoReturn

_STEPS: Final = ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "chmod", "fsync")
_DRAFT_OR_NEW: Final = frozenset("wxa+")


@dataclass(frozen=True)
class Order:
    """At which step to end (never, where that is 0), where to note the steps, and the dice.

    With an `error` (of `errno`) the step fails instead, as on a disk that does.
    """

    at: int
    steps: str
    seed: int = 0
    power: bool = False
    error: int = 0

    def text(self) -> str:
        """Say it in a line, for `FUSE` in the environment."""
        return json.dumps(asdict(self))


def lay(text: str) -> None:
    """Lay the fuse in this process."""
    _Fuse(Order(**json.loads(text))).install()


def read_steps(path: Path) -> list[str]:
    """Read the steps that were made: what was done, and the name of the file or directory."""
    return path.read_text().splitlines() if path.exists() else []


@dataclass
class _Fuse:
    order: Order
    made: int = 0
    torn: set[str] = field(default_factory=set)
    renamed: list[tuple[str, str, bytes | None]] = field(default_factory=list)
    busy: bool = False

    def install(self) -> None:
        self.real = {name: getattr(os, name) for name in _STEPS}
        self.open = io.open
        for name, function in self.real.items():
            setattr(os, name, self._step(name, function))
        io.open = self._open  # type: ignore[assignment]  # one way of calling it

    def _step(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any, **options: Any) -> Any:  # noqa: ANN401 - as the system's own
            if self.busy or (name == "mkdir" and os.path.isdir(given[0])):  # noqa: PTH112 - a string
                return function(*given, **options)
            self._count(name, given[0])
            before = self._before(name, given)
            done = function(*given, **options)
            self._after(name, given, before)
            return done

        return step

    def _open(self, file: Any, mode: str = "r", *given: Any, **options: Any) -> IO[Any]:  # noqa: ANN401 - as the system's own
        written = bool(_DRAFT_OR_NEW & set(mode)) and isinstance(file, str | os.PathLike)
        if written and not self.busy:
            self._count("open", file)
            self.torn.add(os.path.abspath(file))  # noqa: PTH100 - a string
        opened: IO[Any] = self.open(file, mode, *given, **options)
        return opened

    def _count(self, name: str, what: object) -> None:
        self.made += 1
        self.busy = True
        where = _path_of(what) if isinstance(what, int) else str(what)
        with self.open(self.order.steps, "a") as file:
            file.write(f"{name} {os.path.basename(where)}\n")  # noqa: PTH119 - a string
        self.busy = False
        if self.made == self.order.at:
            if self.order.error:
                raise OSError(self.order.error, os.strerror(self.order.error), where)
            self._end()

    def _end(self) -> NoReturn:
        self.busy = True
        if self.order.power:
            self._cut_power()
        os.killpg(0, signal.SIGKILL)
        raise AssertionError("still alive")

    def _before(self, name: str, given: tuple[Any, ...]) -> bytes | None:
        if (
            not self.order.power
            or name not in {"replace", "rename"}
            or not os.path.isfile(given[1])  # noqa: PTH113 - a string
        ):
            return None
        with self.open(given[1], "rb") as file:
            content: bytes = file.read()
        return content

    def _after(self, name: str, given: tuple[Any, ...], before: bytes | None) -> None:
        if name == "fsync":
            where = _path_of(given[0])
            self.torn.discard(where)
            self.renamed = [each for each in self.renamed if os.path.dirname(each[1]) != where]  # noqa: PTH120 - a string
        elif name in {"replace", "rename"}:
            source, target = map(os.path.abspath, given[:2])
            if source in self.torn:
                self.torn.remove(source)
                self.torn.add(target)
            self.renamed.append((source, target, before))

    def _cut_power(self) -> None:
        dice = Random(self.order.seed)
        for path in self.torn:
            if os.path.isfile(path):  # noqa: PTH113 - a string
                os.truncate(path, dice.randint(0, os.path.getsize(path)))  # noqa: PTH202 - a string
        for source, target, before in reversed(self.renamed):
            if dice.random() < 0.5 and os.path.exists(target):  # noqa: PTH110 - a coin, a string
                self.real["rename"](target, source)
                if before is not None:
                    with self.open(target, "wb") as file:
                        file.write(before)


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - a string
