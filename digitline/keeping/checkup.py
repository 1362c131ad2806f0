"""A check-up of the home: every digest, signature, pointer and mode, and what was left behind.

Nothing is changed, and work may be under way meanwhile: what is being written is left alone, and
what looks wrong is looked at twice.
"""

import os
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from digitline.commit import MANIFEST_NAME, is_held
from digitline.errors import DataError, DigitlineError
from digitline.home import Home
from digitline.keeping.committed import (
    RUN,
    list_data_sets,
    list_places,
    look_at_committed,
    look_at_data_set,
)
from digitline.keeping.fault import Checkup, Fault, Found, Note, Remedy, list_entries
from digitline.keeping.leftovers import CHECKPOINT, look_for_leftovers
from digitline.keeping.memory import read_memory
from digitline.keeping.trust import (
    MODEL_FILES,
    look_at_champion,
    look_at_keys,
    look_at_model,
    look_at_modes,
)
from digitline.models.registry import Registry
from digitline.progress import Advance
from digitline.report.index import CHAMPIONS_NAME, INDEX_NAME, is_whole, list_champions
from digitline.scoring.job import read_last
from digitline.scoring.usual import check_usual


@dataclass(frozen=True)
class Exam:
    """One thing to look at: its kind, how many files it has, and how to look."""

    kind: str
    files: int
    look: Callable[[], Found]
    single: bool = False


def examine(home: Home, exams: Sequence[Exam], advance: Advance) -> Checkup:
    """Look at everything that is listed, telling `advance` of the files looked at."""
    found: list[Fault | Note] = []
    for exam in exams:
        found += _look_twice(exam)
        advance(exam.files, exam.kind)
    counts = Counter(exam.kind for exam in exams if not exam.single)
    return Checkup(
        home=home.root,
        checked={**counts, "files": sum(exam.files for exam in exams)},
        besides=tuple(exam.kind for exam in exams if exam.single),
        faults=tuple(each for each in found if isinstance(each, Fault)),
        notes=tuple(each for each in found if isinstance(each, Note)),
    )


def list_exams(home: Home) -> list[Exam]:
    """List what there is to look at."""
    exams = [
        Exam(place.kind, _count(path), partial(look_at_committed, home, place, path))
        for place in list_places(home)
        for path in list_entries(place.directory)
        if place.names.fullmatch(path.name)
    ]
    exams += [
        Exam("data sets", _count(path), partial(look_at_data_set, path))
        for path in list_data_sets(home)
    ]
    registry = Registry(home.models, home.keys)
    exams += [
        Exam("models", len(MODEL_FILES), partial(look_at_model, registry, version))
        for version in registry.versions()
    ]
    singles: tuple[tuple[str, int, Callable[[], Found]], ...] = (
        ("leftovers", 0, partial(look_for_leftovers, home)),
        ("champion", 2, partial(look_at_champion, registry)),
        ("keys", _count(home.keys), partial(look_at_keys, home)),
        ("modes", 0, partial(look_at_modes, home)),
        (
            "memories of jobs",
            _count(home.jobs) + _count(home.service),
            partial(_look_at_memories, home),
        ),
        ("checkpoints", _count(home.checkpoints), partial(_look_at_checkpoints, home)),
        ("index", 2, partial(_look_at_index, home, registry)),
        ("Prefect's database", 1, partial(_look_at_database, home)),
    )
    return [*exams, *(Exam(*each, single=True) for each in singles)]


def _look_twice(exam: Exam) -> Sequence[Fault | Note]:
    """Look again where something seems wrong: it may have been changing at that moment."""
    found = tuple(exam.look())
    if not any(isinstance(each, Fault) for each in found):
        return found
    again = tuple(exam.look())
    return [each for each in again if isinstance(each, Note) or each in found]


def _look_at_memories(home: Home) -> Found:
    """Check what jobs remember, the unattended ones too."""
    readers: tuple[tuple[Path, Callable[[Path], object]], ...] = (
        (home.jobs, lambda path: read_last(path.parent, path.stem)),
        (home.jobs / "usual", check_usual),
        (home.service, lambda path: read_memory(path.parent, path.stem)),
    )
    for directory, read in readers:
        for path in list_entries(directory):
            if path.suffix != ".json":
                continue
            try:
                read(path)
            except DataError as error:
                yield Fault(
                    where=path,
                    what=error.what,
                    todo="Without it the job begins anew, and scores every image once more",
                    remedy=Remedy.QUARANTINE,
                )
    yield from _look_for_lost_results(home)


def _look_for_lost_results(home: Home) -> Found:
    for path in list_entries(home.jobs):
        if path.suffix != ".json":
            continue
        try:
            last = read_last(home.jobs, path.stem)
        except DataError:  # told already
            continue
        if last is not None and not (last.results / MANIFEST_NAME).exists():
            yield Note(
                where=last.results,
                what=f"the results that the job {path.stem} goes on from are gone: "
                "its next run scores every image",
            )


def _look_at_checkpoints(home: Home) -> Found:
    if is_held(home.lock("retrain")):
        return
    for path in list_entries(home.checkpoints):
        match = CHECKPOINT.fullmatch(path.name)
        if match is None:
            continue
        run = home.runs / match["owner"]
        if RUN.fullmatch(match["owner"]) and (not run.exists() or (run / MANIFEST_NAME).exists()):
            yield Fault(
                where=path,
                what="a checkpoint of a run that has ended",
                todo="Nothing goes on from it",
                remedy=Remedy.REMOVE,
            )
        elif path.suffix == ".npz" and not _is_whole(path):
            yield Fault(
                where=path,
                what="the checkpoint is damaged",
                todo="Without it the training begins anew",
                remedy=Remedy.QUARANTINE,
            )


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, ValueError, EOFError):
        return False


def _look_at_index(home: Home, registry: Registry) -> Found:
    if not home.reports.is_dir() or not any(list_entries(home.reports)):
        return
    todo = "It is made from what the reports and the registry say"
    try:
        champions = list_champions(registry.history())
    except DigitlineError:  # told already; the index shows what was noted
        champions = None
    noted = _content(home.reports / CHAMPIONS_NAME)
    if champions is not None and (noted or registry.history()) and noted != champions:
        yield Fault(
            where=home.reports / CHAMPIONS_NAME,
            what="not what the registry says",
            todo=todo,
            remedy=Remedy.INDEX,
        )
    what = _judge_index(home)
    if what:
        yield Fault(where=home.reports / INDEX_NAME, what=what, todo=todo, remedy=Remedy.INDEX)


def _judge_index(home: Home) -> str:
    """Say what is wrong with the index, nothing where it is whole and lists what has ended."""
    index = _content(home.reports / INDEX_NAME)
    if index is None:
        return "missing"
    if not is_whole(index):
        return "not as it was written"
    for path in list_entries(home.reports):
        listed = path.name.startswith("monitor-") or path.name.encode() in index
        if not listed and (home.runs / path.name / MANIFEST_NAME).exists():
            return f"{path.name} is not in it"
    return ""


def _look_at_database(home: Home) -> Found:
    path = home.prefect / "prefect.db"
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as database:
            (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        yield Note(where=path, what=f"could not be checked ({error})")
        return
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        yield Fault(
            where=path,
            what=f"Prefect's database is damaged ({answer})",
            todo="Move it away: Prefect begins a new one, and its own records of runs are lost",
        )


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _count(path: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(path))
