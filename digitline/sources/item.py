"""What every kind of source comes to: named parts, each a lazy row of items."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Part: TypeAlias = Literal["train", "test"]
PARTS: tuple[Part, ...] = ("train", "test")
NO_IMAGE = "no-image"


class Problem(NamedTuple):
    """Why an image's bytes could not be had: a short code, and a sentence for people."""

    reason: str
    message: str


@dataclass(frozen=True)
class Item:
    """One image file of a source: its name there, its label if known, its bytes or a problem."""

    path: str
    label: int | None = None
    content: bytes = b""
    problem: Problem | None = None


@dataclass(frozen=True)
class Source:
    """Where digits come from: its kind, its place as the person gave it, a reader a part."""

    kind: str
    where: str
    readers: Mapping[Part, Callable[[], Iterator[Item]]]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts it has, training before test."""
        return tuple(part for part in PARTS if part in self.readers)

    def read(self, part: Part) -> Iterator[Item]:
        """Read a part from its beginning, in an order that never changes."""
        return self.readers[part]()

    def describe(self) -> str:
        """Say in a phrase what it is."""
        return f"{self.kind} source {self.where} ({' and '.join(self.parts)})"
