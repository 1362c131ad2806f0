"""The champion's pointer: which model scores, and how it came to that.

The pointer is one signed file beside the models. An old pointer stays validly signed for ever,
so its serial number must not lie below the high-water mark, kept beside the keys. That catches
an older pointer put back in `models/`; it does not catch somebody who can also write beside
the keys, nor a home that never saw the newer pointer (a copy with the public key alone).

The pointer is written first and the mark after it: a crash between the two leaves a pointer
that is ahead by one, which is valid, and the next change raises the mark.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from digitline.commit import storage_errors, write_bytes
from digitline.errors import TamperedError
from digitline.models.card import Digest, Moment, Record, Version
from digitline.models.files import read_file
from digitline.models.sealing import seal, unseal
from digitline.models.signing import Purpose, Signer, open_verifier
from digitline.names import Line

POINTER_NAME = "champion.json"
MARK_NAME = "high-water.json"
REPAIR = "Put it back from a backup, or sign a new one with `digitline models promote --repair`"


class Entry(Record):
    """One change of the champion; `version` is the champion from then on."""

    serial: int = Field(ge=1)
    version: Version
    action: Literal["promote", "rollback", "repair"]
    reason: Line
    when: Moment
    run: Line


class Pointer(Record):
    """The champion, the digest of its card, and every change so far, oldest first."""

    serial: int = Field(ge=1)
    version: Version
    card: Digest
    history: tuple[Entry, ...] = Field(min_length=1)

    @property
    def previous(self) -> str | None:
        """The champion that a rollback goes back to, `None` where there is none."""
        line: list[str] = []
        for entry in self.history:
            if entry.action == "rollback":
                line.pop()
            else:
                line.append(entry.version)
        return line[-2] if len(line) > 1 else None


class HighWater(Record):
    """The highest serial number and version number that were ever given out."""

    serial: int = Field(ge=0)
    version: int = Field(ge=0)


def read_pointer(models: Path, keys: Path) -> Pointer | None:
    """Read the pointer, `None` where there is none and none was ever signed.

    Raises `TamperedError` where it is missing, damaged, foreign or older than the mark.
    """
    path = models / POINTER_NAME
    # The mark first: a promotion between the two reads moves the pointer ahead, never behind.
    mark = read_mark(keys)
    try:
        content = read_file(path)
    except FileNotFoundError as error:
        if mark.serial == 0:
            return None
        raise TamperedError("the champion's pointer is missing", where=path, todo=REPAIR) from error
    pointer = unseal(content, Pointer, Purpose.CHAMPION, open_verifier(keys), path, REPAIR)
    if pointer.serial < mark.serial:
        raise TamperedError(
            f"an old champion's pointer was put back (number {pointer.serial} of {mark.serial})",
            where=path,
            todo=REPAIR,
        )
    return pointer


def write_pointer(models: Path, keys: Path, pointer: Pointer, signer: Signer) -> None:
    """Replace the pointer, then raise the mark."""
    write_bytes(models / POINTER_NAME, seal(pointer, Purpose.CHAMPION, signer))
    raise_mark(keys, HighWater(serial=pointer.serial, version=0), signer)


def sign_anew(models: Path, keys: Path, signer: Signer) -> dict[Path, bytes]:
    """Give what another key has signed of pointer and mark, as `signer` signs it.

    Raises `TamperedError` where one of them cannot be trusted.
    """
    signed: dict[Path, bytes] = {}
    if (models / POINTER_NAME).exists():
        pointer = read_pointer(models, keys)
        assert pointer is not None
        signed[models / POINTER_NAME] = seal(pointer, Purpose.CHAMPION, signer)
    if (keys / MARK_NAME).exists():
        signed[keys / MARK_NAME] = seal(read_mark(keys), Purpose.HIGH_WATER, signer)
    # The same key signs the same content with the same bytes.
    return {path: content for path, content in signed.items() if read_file(path) != content}


def read_mark(keys: Path) -> HighWater:
    """Read the high-water mark, zero where there is none; raises `TamperedError`."""
    path = keys / MARK_NAME
    try:
        content = read_file(path)
    except FileNotFoundError:
        return HighWater(serial=0, version=0)
    return unseal(content, HighWater, Purpose.HIGH_WATER, open_verifier(keys), path, REPAIR)


def discard_broken_mark(keys: Path) -> None:
    """Remove a mark that cannot be trusted: from here on numbers count from what is there."""
    try:
        read_mark(keys)
    except TamperedError:
        with storage_errors(keys):
            (keys / MARK_NAME).unlink()


def raise_mark(keys: Path, seen: HighWater, signer: Signer) -> None:
    """Raise the mark to what has been given out; it never falls."""
    mark = read_mark(keys)
    raised = HighWater(
        serial=max(mark.serial, seen.serial), version=max(mark.version, seen.version)
    )
    if raised != mark:
        write_bytes(keys / MARK_NAME, seal(raised, Purpose.HIGH_WATER, signer))
