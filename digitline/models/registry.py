"""The registered models of a home, and which of them is the champion."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from digitline.commit import draft_of, drafting, locked, move, replacing, storage_errors
from digitline.errors import (
    BusyError,
    DigitlineError,
    IncompatibleError,
    NoModelError,
    RetiredKeyError,
    TamperedError,
)
from digitline.models.bundle import Model, load, load_card, save
from digitline.models.card import Card, Facts, digest
from digitline.models.champion import (
    POINTER_NAME,
    REPAIR,
    Entry,
    HighWater,
    Pointer,
    discard_broken_mark,
    raise_mark,
    read_mark,
    read_pointer,
    write_pointer,
)
from digitline.models.pickling import to_bytes
from digitline.models.signing import Signer, open_signer, open_verifier

_VERSION = re.compile(r"m(?P<number>\d{4}|[1-9]\d{4,})")
_DRAFT = re.compile(rf"\.(m\d+|{re.escape(POINTER_NAME)})\.[0-9a-f]{{12}}")
_PATIENCE = 60.0  # seconds that another process may take to register or promote


@dataclass(frozen=True)
class Finding:
    """What checking a version (or the `champion`'s pointer) came to: its card, or the error."""

    subject: str
    card: Card | None
    error: DigitlineError | None

    @property
    def sound(self) -> bool:
        """Say whether nothing is wrong with it."""
        return self.error is None


@dataclass(frozen=True)
class Registry:
    """The directory `models`, with the keys that sign and check what lies in it."""

    models: Path
    keys: Path

    def versions(self) -> tuple[str, ...]:
        """Name the registered versions, oldest first, by their number."""
        with storage_errors(self.models):
            try:
                names = [path.name for path in self.models.iterdir()]
            except FileNotFoundError:
                return ()
        return tuple(sorted(filter(_VERSION.fullmatch, names), key=_number))

    def card(self, version: str) -> Card:
        """Load the card of a version, verified.

        Raises `NoModelError`, `TamperedError`, `IncompatibleError` or `StorageError`.
        """
        directory = self._directory(version)
        with _unknown(version, directory):
            return load_card(directory, open_verifier(self.keys))

    def load(self, version: str | None = None, *, lean: bool = False) -> Model:
        """Load a version, or the champion, checked in full before a byte is unpickled.

        A `lean` model is for reading alone, and does so without scikit-learn.
        Raises `NoModelError`, `TamperedError`, `IncompatibleError` or `StorageError`.
        """
        if version is None:
            pointer = self._champion()
            with _gone(pointer.version, self.models):
                directory = self.models / pointer.version
                return load(directory, open_verifier(self.keys), pointer.card, lean=lean)
        directory = self._directory(version)
        with _unknown(version, directory):
            return load(directory, open_verifier(self.keys), lean=lean)

    def champion(self) -> str:
        """Name the champion, its pointer and its card verified.

        Raises `NoModelError` where none has been promoted yet, `TamperedError` where the
        pointer or the card is missing, damaged, foreign or old.
        """
        pointer = self._champion()
        with _gone(pointer.version, self.models):
            load_card(self.models / pointer.version, open_verifier(self.keys), pointer.card)
        return pointer.version

    def history(self) -> tuple[Entry, ...]:
        """Give every change of the champion, oldest first; none where there is no champion."""
        pointer = self._pointer()
        return () if pointer is None else pointer.history

    def register(self, estimator: Any, facts: Facts, golden: NDArray[np.uint8]) -> str:  # noqa: ANN401 - scikit-learn has no types
        """Sign and store a fitted classifier; give its new version.

        `golden` are (n, 784) uint8 normalised digits that every later load is tried on.
        Registering the same model for the same run again gives the version it has. Raises
        `IncompatibleError` for a classifier that could not be loaded, `StorageError`, or
        `BusyError` where another process holds the registry for too long.
        """
        content = to_bytes(estimator)
        with self.changing():
            signer = open_signer(self.keys)
            known = self._registered(facts.run, digest(content))
            if known is not None:
                return known
            version = self._allot(signer)
            with _draft(self.models / version) as draft:
                save(draft, content, facts, version, golden, signer)
            return version

    def promote(
        self,
        version: str,
        *,
        reason: str,
        run: str,
        created: str,
        expected: str | None = None,
        repair: bool = False,
    ) -> Pointer:
        """Make a version the champion, after checking it in full.

        Nothing changes where it is the champion already. `expected` is the champion that the
        version was judged against: `BusyError` where it is another by now. `repair` signs a
        new pointer, with a new history, in place of one that is refused. Raises as `load`.
        """
        with self.changing():
            pointer = self._pointer_to_replace(repair=repair)
            if pointer is not None and pointer.version == version:
                raise_mark(self.keys, _seen(pointer), open_signer(self.keys))
                return pointer
            if expected is not None and (pointer is None or pointer.version != expected):
                raise BusyError(
                    f"the champion is not {expected} any more",
                    where=self.models / POINTER_NAME,
                    todo="Run again, to be judged against the new one",
                )
            action: Literal["promote", "repair"] = "repair" if repair else "promote"
            return self._point(pointer, version, action, reason, run, created)

    def rollback(self, *, reason: str, run: str, created: str) -> Pointer:
        """Make the champion before this one the champion again, after checking it in full.

        Raises `NoModelError` where there is none to go back to, else as `load`.
        """
        with self.changing():
            pointer = self._champion()
            if pointer.previous is None:
                raise NoModelError(
                    f"no champion before {pointer.version} to go back to",
                    where=self.models,
                    todo="Choose one with `digitline models promote`",
                )
            return self._point(pointer, pointer.previous, "rollback", reason, run, created)

    def discard(self, version: str) -> None:
        """Delete a version that never was champion; its number is not given out again.

        Raises `NoModelError` where there is none, `BusyError` where it is or was champion.
        """
        with self.changing():
            directory = self._directory(version)
            if version in {entry.version for entry in self.history()}:
                raise BusyError(
                    f"{version} is or was champion", where=directory, todo="Champions are kept"
                )
            with _unknown(version, directory), storage_errors(directory), drafting(self.models):
                # A draft's name: should we be killed here, the next change sweeps it away.
                aside = draft_of(directory)
                move(directory, aside)
                _remove(aside)

    def survey(self) -> tuple[Finding, ...]:
        """Read every version's card, verified, oldest first: quick, for a list."""
        return tuple(self._find(version, deep=False) for version in self.versions())

    def verify(self, version: str | None = None) -> tuple[Finding, ...]:
        """Check a version in full, or all of them and the champion's pointer.

        Loads each model and replays its golden rows; gives errors instead of raising them.
        """
        if version is not None:
            return (self._find(version, deep=True),)
        findings = [self._find(each, deep=True) for each in self.versions()]
        return (self._find_champion(), *findings)

    def _find(self, version: str, *, deep: bool) -> Finding:
        try:
            card = self.load(version).card if deep else self.card(version)
        except DigitlineError as error:
            return Finding(version, None, error)
        return Finding(version, card, None)

    def _find_champion(self) -> Finding:
        try:
            return Finding("champion", self.card(self.champion()), None)
        except DigitlineError as error:
            return Finding("champion", None, error)

    def _directory(self, version: str) -> Path:
        if not _VERSION.fullmatch(version):
            raise _no_model(version, self.models)
        return self.models / version

    def _champion(self) -> Pointer:
        pointer = self._pointer()
        if pointer is None:
            raise NoModelError("no champion yet", where=self.models, todo="Run `digitline retrain`")
        return pointer

    def _pointer(self) -> Pointer | None:
        # Somebody who removes all models starts afresh; one who removes the pointer alone
        # would let the next training become champion without being judged.
        if not (self.models / POINTER_NAME).exists() and not self.versions():
            return None
        return read_pointer(self.models, self.keys)

    def _pointer_to_replace(self, *, repair: bool) -> Pointer | None:
        try:
            return self._pointer()
        except TamperedError:
            if not repair:
                raise
            discard_broken_mark(self.keys)
            return None

    def _point(
        self,
        pointer: Pointer | None,
        version: str,
        action: Literal["promote", "rollback", "repair"],
        reason: str,
        run: str,
        created: str,
    ) -> Pointer:
        signer = open_signer(self.keys)
        model = self.load(version)
        serial = max(read_mark(self.keys).serial, 0 if pointer is None else pointer.serial) + 1
        entry = Entry(
            serial=serial, version=version, action=action, reason=reason, when=created, run=run
        )
        pointed = Pointer(
            serial=serial,
            version=version,
            card=digest(model.card.to_bytes()),
            history=(*(() if pointer is None else pointer.history), entry),
        )
        write_pointer(self.models, self.keys, pointed, signer)
        return pointed

    def _allot(self, signer: Signer) -> str:
        """Give out the next number. It is noted before it is used, so never given out again."""
        highest = max(map(_number, self.versions()), default=0)
        number = max(highest, read_mark(self.keys).version) + 1
        raise_mark(self.keys, HighWater(serial=0, version=number), signer)
        return f"m{number:04d}"

    def _registered(self, run: str, sha256: str) -> str | None:
        """Find the version a run registered before it was cut off: only the newest can be it."""
        for version in self.versions()[-1:]:
            try:
                card = self.card(version)
            except (IncompatibleError, RetiredKeyError):  # so not of this run
                return None
            if (card.run, card.model.sha256) == (run, sha256):
                return version
        return None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the registry, and the keys, against every other change.

        Raises `BusyError` where another process holds them for too long.
        """
        with locked(self.models / ".lock", "the model registry", _PATIENCE):
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove the drafts of processes that were killed; under the lock they are nobody's."""
        with storage_errors(self.models):
            for path in self.models.iterdir():
                if _DRAFT.fullmatch(path.name):
                    _remove(path)


def _number(version: str) -> int:
    match = _VERSION.fullmatch(version)
    assert match is not None
    return int(match["number"])


def _seen(pointer: Pointer) -> HighWater:
    return HighWater(serial=pointer.serial, version=0)


@contextmanager
def _draft(directory: Path) -> Iterator[Path]:
    """Give a directory to write to that becomes `directory` in the end, or is removed."""
    with replacing(directory, mode=0o755) as draft:
        draft.mkdir()
        try:
            yield draft
        except BaseException:
            _remove(draft)
            raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def _unknown(version: str, directory: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _no_model(version, directory) from error


@contextmanager
def _gone(version: str, models: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise TamperedError(
            f"the champion {version} is missing", where=models / version, todo=REPAIR
        ) from error


def _no_model(version: str, where: Path) -> NoModelError:
    return NoModelError(
        f"no model {version}", where=where, todo="`digitline models list` shows which there are"
    )
