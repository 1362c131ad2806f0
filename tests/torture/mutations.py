"""Files damaged in the ways that find faults: bits, numbers, pieces cut, doubled, put in."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

_EDGES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutate(content: bytes, dice: Random, others: Sequence[bytes] = ()) -> bytes:
    """Damage a file in one to four places; a piece of one of the `others` may come in."""
    mutated = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        if not mutated:
            break
        # Headers decide most, and are short.
        early = dice.random() < 0.5
        at = dice.randrange(min(len(mutated), 200) if early else len(mutated))
        dice.choice(_WAYS)(mutated, at, dice, others)
    return bytes(mutated)


def _flip(content: bytearray, at: int, dice: Random, _: Sequence[bytes]) -> None:
    content[at] ^= 1 << dice.randrange(8)


def _set(content: bytearray, at: int, dice: Random, _: Sequence[bytes]) -> None:
    content[at] = dice.randrange(256)


def _number(content: bytearray, at: int, dice: Random, _: Sequence[bytes]) -> None:
    size = dice.choice((1, 2, 4, 8))
    value = dice.choice(_EDGES) & ((1 << 8 * size) - 1)
    content[at : at + size] = value.to_bytes(size, dice.choice(("big", "little")))


def _cut(content: bytearray, at: int, dice: Random, _: Sequence[bytes]) -> None:
    del content[at : at + dice.randint(1, 64)]


def _end(content: bytearray, at: int, dice: Random, _: Sequence[bytes]) -> None:
    if dice.random() < 0.3:
        del content[at:]


def _double(content: bytearray, at: int, dice: Random, _: Sequence[bytes]) -> None:
    content[at:at] = content[at : at + dice.randint(1, 64)] * dice.choice((1, 1, 20))


def _splice(content: bytearray, at: int, dice: Random, others: Sequence[bytes]) -> None:
    if others:
        other = dice.choice(others)
        start = dice.randrange(len(other) or 1)
        content[at:at] = other[start : start + dice.randint(1, 256)]


_WAYS: Final[Sequence[Callable[[bytearray, int, Random, Sequence[bytes]], None]]] = (
    *(_flip, _set, _number, _number, _cut, _end, _double, _splice),
)
