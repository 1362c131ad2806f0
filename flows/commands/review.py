"""`digitline review`: what people should look at goes out, what they say comes back."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from digitline.names import printable
from digitline.runs import now
from flows.commands.shell import Switch, check_settings, tell

if TYPE_CHECKING:
    from digitline.review.audit import Audit

review = App(name="review", help="Send out what people should look at, and take in what they say.")


@review.command(name="export")
def send(
    answers: str | None = None, /, *, out: Path, most: int = 300, audit: int | None = None
) -> None:
    """Write the answers people should look at to a sheet, the most telling first.

    Parameters
    ----------
    answers
        A scoring by run (score-0004), job or directory; the newest where none is given.
    out
        A CSV file, or a folder for the CSV with the images beside it.
    most
        How many of the queue.
    audit
        How many accepted answers, drawn at random, besides; the setting where none is given.
    """
    settings = check_settings()
    from digitline.review.answered import find_answered
    from digitline.review.outgoing import send_out
    from digitline.review.store import Store

    answered = find_answered(settings.places, answers)
    sent = send_out(
        answered,
        out,
        most=most,
        audit=answered.audit if audit is None else audit,
        store=Store(settings.places.corrections),
        limits=settings.decoding,
    )
    tell(
        sheet=sent.sheet,
        asks_about=f"{sent.queue:,} to review and {sent.audit:,} accepted, drawn at random",
        still_waiting=f"{sent.waiting:,} more to review",
        **({"without_image": f"{sent.missing:,}"} if sent.missing else {}),
    )


@review.command(name="import")
def take(sheet: Path, /, *, by: str | None = None, why: str = "", replace: Switch = False) -> None:
    """Take in a filled sheet; the next retraining learns from it.

    Parameters
    ----------
    sheet
        The corrections.csv of the review desk, or a sheet of `review export` filled in: a digit,
        or a note where it is none; lines left blank stay open.
    by
        Who says so; your login where none is given.
    why
        A word for the record.
    replace
        Let these answers win over earlier ones that differ.
    """
    settings = check_settings()
    settings.places.prepare()
    from digitline.review.intake import Word, take_in

    word = Word(by=by or getpass.getuser(), when=now(), why=why, replace=replace)
    taken = take_in(sheet, settings.places, word, settings.decoding)
    if taken.stored is None:
        print(f"Nothing new: all {taken.known:,} answers were imported before.")
        return
    tell(
        stored=f"{taken.stored.digits:,} digits and {taken.stored.others:,} that are none",
        **{"import": f"{taken.stored.name}, by {taken.stored.by}"},
        known=f"{taken.known:,} from before; {taken.open:,} left open",
    )


@review.command
def status() -> None:
    """Say what was imported, and how many accepted answers people found to be wrong."""
    settings = check_settings()
    from digitline.review.audit import estimate
    from digitline.review.store import Store

    store = Store(settings.places.corrections)
    imports = store.imports()
    if not imports:
        print("Nothing imported yet. `digitline review import` takes a desk's corrections.csv.")
        return
    for each in imports:
        counts = f"{each.digits:,} digits and {each.others:,} that are none"
        print(printable(f"{each.name}  {each.when}  {counts}, by {each.by}  {each.why}".rstrip()))
    answers = store.answers()
    latest = store.latest().values()
    wrong = sum(answer.wrong for answer in latest)
    tell(images=f"{len(latest):,} looked at, {wrong:,} of them read wrongly")
    for audit in estimate(answers).values():
        print(_say(audit))


def _say(audit: "Audit") -> str:
    found = f"of {audit.n:,} accepted answers drawn at random {audit.wrong:,} were wrong"
    interval = f"95 % sure between {audit.low:.2%} and {audit.high:.2%}"
    return f"{audit.model}: {found}: {audit.wrong / audit.n:.2%}, {interval}"
