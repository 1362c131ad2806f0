"""What is trusted: models, the champion's pointer, the keys, and who else can get at them."""

from pathlib import Path

from digitline.errors import DigitlineError, IncompatibleError, RetiredKeyError, StorageError
from digitline.home import Home
from digitline.keeping.committed import look_for_strangers_in
from digitline.keeping.fault import BACKUP, Fault, Found, Note, Remedy, list_entries
from digitline.models.bundle import CARD_NAME, MODEL_NAME, SIGNATURE_NAME
from digitline.models.champion import read_mark
from digitline.models.registry import Registry
from digitline.models.signing import (
    NEXT_NAME,
    PRIVATE_NAME,
    PUBLIC_NAME,
    RETIRED_NAME,
    TRUSTED_NAME,
    check_keys,
)

MODEL_FILES = frozenset({MODEL_NAME, CARD_NAME, SIGNATURE_NAME})


def look_at_model(registry: Registry, version: str) -> Found:
    """Look at a version: signature, digests, golden rows, and files besides its own."""
    directory = registry.models / version
    (finding,) = registry.verify(version)
    if isinstance(finding.error, RetiredKeyError | IncompatibleError):
        yield Note(where=directory, what=finding.error.what)
    elif finding.error is not None:
        reigned = _reigned(registry)
        kept = reigned is None or version in reigned
        yield Fault(
            where=Path(finding.error.where or directory),
            what=finding.error.what,
            todo=f"{version} is or was champion. {BACKUP}"
            if kept
            else f"{version} was never champion",
            remedy=None if kept else Remedy.QUARANTINE,
            target=None if kept else directory,
        )
    yield from look_for_strangers_in(directory, MODEL_FILES)


def look_at_champion(registry: Registry) -> Found:
    """Look at the champion's pointer, its high-water mark, and whether every champion is there."""
    try:
        read_mark(registry.keys)
        history = registry.history()
        if history:
            registry.champion()
    except DigitlineError as error:
        yield Fault(where=Path(error.where or registry.models), what=error.what, todo=error.todo)
        return
    for version in dict.fromkeys(entry.version for entry in history):
        if not (registry.models / version).is_dir():
            yield Fault(
                where=registry.models / version,
                what="missing, and it was champion",
                todo=BACKUP,
            )


def look_at_keys(home: Home) -> Found:
    """Look at the keys: each is as it was written, and the pair belongs together."""
    for error in check_keys(home.keys):
        if not isinstance(error, StorageError):  # the modes say so
            yield Fault(where=Path(error.where or home.keys), what=error.what, todo=error.todo)
    if (home.keys / NEXT_NAME).exists():
        yield Note(
            where=home.keys,
            what="a rotation was cut off: `digitline keys rotate` takes it up again",
        )


def look_at_modes(home: Home) -> Found:
    """Check what nobody else may read, or may write."""
    private = [
        *(home.keys / name for name in (PRIVATE_NAME, NEXT_NAME)),
        *(home.private / name for name in ("server-auth", "server.json")),
        *list_entries(home.service),
        home.prefect / "server.log",
    ]
    closed = [home.private, home.prefect, *(home.keys / name for name in ("", TRUSTED_NAME))]
    public = [home.keys / PUBLIC_NAME, *list_entries(home.keys / TRUSTED_NAME)]
    for paths, forbidden, mode in (
        (private, 0o077, 0o600),
        ([*closed, home.keys / RETIRED_NAME], 0o077, 0o700),
        (public, 0o022, 0o644),
    ):
        for path in paths:
            if path.is_symlink():
                yield Fault(
                    where=path, what="a symbolic link where a real one belongs", todo=BACKUP
                )
            elif path.exists() and path.stat().st_mode & forbidden:
                yield Fault(
                    where=path,
                    what=f"others can get at it (mode {path.stat().st_mode & 0o777:04o})",
                    todo=f"It should have the mode {mode:04o}",
                    remedy=Remedy.CHMOD,
                    mode=mode,
                )


def _reigned(registry: Registry) -> frozenset[str] | None:
    """Name every version that is or was champion, `None` where nobody can tell."""
    try:
        return frozenset(entry.version for entry in registry.history())
    except DigitlineError:
        return None
