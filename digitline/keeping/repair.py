"""Put right what a check-up found, as far as that is possible without losing anybody's data."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from digitline.commit import locked, make_directory, move, storage_errors, undisturbed
from digitline.errors import DigitlineError
from digitline.home import Home
from digitline.keeping.fault import Fault, Remedy
from digitline.models.registry import Registry
from digitline.report.index import note_champions, rebuild_index

_PATIENCE = 10.0  # seconds that a short change by somebody else may take


def repair(faults: Iterable[Fault], home: Home) -> tuple[Fault, ...]:
    """Apply the remedies; give the faults that had one, and whose remedy was applied.

    What is not surely of no use goes to a numbered directory beneath `home.quarantine`, with its
    path under the home. Raises `BusyError` while a retraining or a review import is under way,
    `StorageError` where something cannot be changed.
    """
    done: list[Fault] = []
    with _kept_away(home):
        quarantine = _next_quarantine(home)
        mendable = [each for each in faults if each.remedy not in {None, Remedy.INDEX}]
        done += [each for each in mendable if _apply(each, home, quarantine)]
        wrong = [fault for fault in faults if fault.remedy is Remedy.INDEX]
        if wrong:
            _write_index(home)
            done += wrong
    return tuple(done)


@contextmanager
def _kept_away(home: Home) -> Iterator[None]:
    """Keep away whoever writes what is repaired: a retraining, an import, a new run."""
    home.prepare()
    with ExitStack() as held:
        for job, name in (("retrain", "retrain"), ("review", "a review import")):
            held.enter_context(locked(home.lock(job), name))
        held.enter_context(locked(home.lock("runs"), "the run list", _PATIENCE))
        if home.models.is_dir():
            held.enter_context(Registry(home.models, home.keys).changing())
        yield


def _apply(fault: Fault, home: Home, quarantine: Path) -> bool:
    path = fault.target or fault.where
    if not path.exists() and not path.is_symlink():  # it went with something that held it
        return True
    with storage_errors(path), undisturbed(path.parent) as free:
        if not free:
            return False
        match fault.remedy:
            case Remedy.CHMOD:
                path.chmod(fault.mode or 0o600)
            case Remedy.RETURN:
                move(path, path.with_name(path.name.removeprefix(".").removesuffix(".retired")))
            case Remedy.REMOVE:
                _remove(path)
            case _:
                _put_aside(path, home, quarantine)
    return True


def _put_aside(path: Path, home: Home, quarantine: Path) -> None:
    target = quarantine / path.relative_to(home.root)
    make_directory(target.parent, 0o700)
    move(path, target)


def _next_quarantine(home: Home) -> Path:
    taken = [int(path.name) for path in home.quarantine.glob("[0-9]*") if path.name.isdecimal()]
    return home.quarantine / f"{max(taken, default=0) + 1:04d}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _write_index(home: Home) -> None:
    try:
        history = Registry(home.models, home.keys).history()
    except DigitlineError:  # told with the champion: the index shows what was noted
        rebuild_index(home.reports)
    else:
        note_champions(home.reports, history)
