"""Take a sheet that has come back: check every line, find the images again, store them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from digitline.commit import file_digest, locked
from digitline.errors import DigitlineError, SourceError
from digitline.home import Home
from digitline.pixels.decode import Limits
from digitline.review.answered import Answered, find_answered
from digitline.review.questions import COLUMNS as ASKED
from digitline.review.questions import Questions
from digitline.review.sheet import Faults, Line, read_sheet, safe_name
from digitline.review.store import Answer, Import, Kind, Store
from digitline.rows import read_batches
from digitline.scoring.answers import ACCEPT
from digitline.sources.files import UnreadableError
from digitline.sources.listing import Entry, read_entry, to_entries

# A line of the sheet, and what it says about a run's answer.
_Found: TypeAlias = tuple[Line, Answer]
# Where the images of each run lie, by run and name.
_Places: TypeAlias = dict[tuple[str, str], Entry]
_COLUMNS = ("path", "id", "digit", "confidence", "status", "model")


@dataclass(frozen=True)
class Taken:
    """What an import came to: `None` stored where every answer was known, `open` left blank."""

    stored: Import | None
    new: int
    known: int
    open: int


@dataclass(frozen=True)
class Word:
    """Who brings corrections, when, why, and whether they replace what was said before."""

    by: str
    when: str
    why: str = ""
    replace: bool = False


def take_in(sheet: Path, home: Home, word: Word, limits: Limits) -> Taken:
    """Check a sheet against the runs it came from, and store what is new in it.

    All or nothing: `DataError` names the lines that are wrong, and nothing is written. What is
    known already is not stored twice.
    """
    lines = read_sheet(sheet)
    answered = [line for line in lines if line.answered]
    store = Store(home.corrections)
    with locked(home.lock("review"), "a review import"):
        faults = Faults(sheet)
        _refuse_contradictions(answered, faults)
        answers = _match(answered, home, faults)
        fresh = _refuse_conflicts(answers, store, word, faults)
        faults.refuse()
        places = _check_images(fresh, home, limits, faults)
        faults.refuse()
        stored = None
        if fresh:
            stored = store.add(
                [answer for _, answer in fresh],
                _read_images(fresh, places, limits),
                sheet=file_digest(sheet),
                by=word.by,
                when=word.when,
                why=word.why,
            )
    known = len(answers) - len(fresh)
    return Taken(stored, len(fresh), known, len(lines) - len(answered))


def _refuse_contradictions(lines: Sequence[Line], faults: Faults) -> None:
    """Refuse a second answer to the same image that differs from the first."""
    first: dict[str, Line] = {}
    for line in lines:
        before = first.setdefault(line.id, line)
        if before.digit != line.digit:
            faults.add(
                line.number, f"{line.word}, but line {before.number} says {before.word} ({line.id})"
            )


def _match(lines: Sequence[Line], home: Home, faults: Faults) -> list[_Found]:
    """Find what each line is about, run by run; each image of a run once."""
    found: dict[tuple[str, str], _Found] = {}
    for run, group in groupby(sorted(lines, key=attrgetter("run")), attrgetter("run")):
        mine = list(group)
        try:
            answered = _find_run(home, run)
        except DigitlineError as error:
            faults.add(mine[0].number, f"its run `{run}` cannot be found ({error.what})")
            continue
        for line, answer in _match_run(mine, answered, faults):
            found.setdefault((line.run, line.id), (line, answer))
    return list(found.values())


def _find_run(home: Home, run: str) -> Answered:
    answered = find_answered(home, run)
    if answered.run != run:  # the name of a job or a directory, which changes what it means
        raise SourceError("no such run", where=run)
    return answered


def _match_run(lines: Sequence[Line], answered: Answered, faults: Faults) -> Iterator[_Found]:
    wanted = pa.array([bytes.fromhex(line.id) for line in lines], pa.binary(32))
    rows: dict[bytes, list[dict[str, Any]]] = {}
    for batch in answered.batches(_COLUMNS):
        for row in batch.filter(pc.is_in(batch.column("id"), wanted)).to_pylist():
            rows.setdefault(row["id"], []).append(row)
    drawn = _drawn(answered)
    for line in lines:
        same = rows.get(bytes.fromhex(line.id), [])
        row = next(
            (row for row in same if line.file in {row["path"], safe_name(row["path"])}), None
        )
        if row is None:
            what = "no image" if not same else f"`{same[0]['path']}`, not `{line.file}`,"
            faults.add(line.number, f"{line.run} knows {what} with the id {line.id}")
        elif row["digit"] != line.read:
            faults.add(line.number, f"{line.run} read a {row['digit']} there, not a {line.read}")
        elif line.kind == "audit" and row["status"] != ACCEPT:
            faults.add(line.number, f"{line.run} did not accept this answer, so it is no audit")
        else:
            yield line, _answer(line, row, _kind(line, row, drawn))


def _drawn(answered: Answered) -> frozenset[bytes]:
    """Draw the run's audit sample again: the ids of its images."""
    questions = Questions(answered.run, answered.threshold, answered.audit)
    for batch in answered.batches(ASKED):
        questions.add(batch)
    rows = sorted(questions.drawn)
    return frozenset(answered.take(rows).column("id").to_pylist() if rows else [])


def _kind(line: Line, row: dict[str, Any], drawn: frozenset[bytes]) -> Kind:
    """Tell a random draw from what somebody came upon: only draws say how often it is wrong."""
    if row["status"] != ACCEPT:
        return "queue"
    return "audit" if line.kind == "audit" or row["id"] in drawn else "chosen"


def _answer(line: Line, row: dict[str, Any], kind: Kind) -> Answer:
    return Answer(
        id=row["id"],
        run=line.run,
        file=row["path"],
        digit=line.digit,
        note=line.note,
        read=line.read,
        confidence=row["confidence"],
        model=row["model"],
        kind=kind,
    )


def _refuse_conflicts(
    answers: Sequence[_Found], store: Store, word: Word, faults: Faults
) -> list[_Found]:
    """Refuse what contradicts an earlier import; give what is new."""
    said = store.answers()
    latest = {answer.id: answer for answer in said}
    known = {(answer.run, answer.id) for answer in said if answer.digit == latest[answer.id].digit}
    for line, answer in answers:
        before = latest.get(answer.id)
        if before is not None and before.digit != answer.digit and not word.replace:
            earlier = "not-a-digit" if before.digit is None else before.digit
            faults.add(
                line.number, f"{line.word}, but an earlier import says {earlier}; --replace wins"
            )
    return [
        (line, answer)
        for line, answer in answers
        if (answer.run, answer.id) not in known or latest[answer.id].digit != answer.digit
    ]


def _check_images(found: Sequence[_Found], home: Home, limits: Limits, faults: Faults) -> _Places:
    """Find each image's place in its run's listing, and see that it is still the same."""
    places = _list(found, home)
    for line, answer in found:
        entry = places.get((answer.run, answer.file))
        if entry is None:
            faults.add(line.number, f"`{answer.file}` is not in the listing of {answer.run}")
        elif entry.opener == "normalised":
            faults.add(line.number, f"`{answer.file}` was scored as a row that holds no image")
        else:
            try:
                _read_image(entry, answer, limits)
            except UnreadableError as error:
                faults.add(line.number, f"`{answer.file}` {error.message}")
    return places


def _read_images(
    found: Sequence[_Found], places: _Places, limits: Limits
) -> Iterator[tuple[Answer, bytes]]:
    """Read each image once, one at a time: they may be photographs."""
    for answer in {answer.id: answer for _, answer in found}.values():
        yield answer, _read_image(places[answer.run, answer.file], answer, limits)


def _read_image(entry: Entry, answer: Answer, limits: Limits) -> bytes:
    content = read_entry(entry, limits.max_bytes)
    if hashlib.sha256(content).digest() != answer.id:
        raise UnreadableError("changed", "has changed since it was scored")
    return content


def _list(found: Sequence[_Found], home: Home) -> _Places:
    names: dict[str, set[str]] = {}
    for _, answer in found:
        names.setdefault(answer.run, set()).add(answer.file)
    return {
        (run, entry.name): entry
        for run, wanted in names.items()
        for batch in read_batches(find_answered(home, run).listing)
        for entry in to_entries(
            batch.filter(pc.is_in(batch.column("name"), pa.array(sorted(wanted), pa.string())))
        )
    }
