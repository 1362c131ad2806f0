"""`digitline monitor`: look back over recent scorings, and tell whether their images drift."""

from cyclopts import App

from flows.commands.shell import start_prefect, tell

monitor = App(
    name="monitor", help="Look back over recent scorings, and tell whether their images drift."
)


@monitor.default
def look_back(subject: str | None = None, /, *, scorings: int = 10) -> None:
    """Compare the images of recent scorings, taken together, with what is usual.

    Parameters
    ----------
    subject
        A job by name, or a directory of results; all scorings where none is given.
    scorings
        How many scorings to look back over.
    """
    start_prefect()
    from flows.monitor import monitor as monitor_flow

    done = monitor_flow(subject, scorings=scorings)
    retrained = {} if done.retrained is None else {"retrained": done.retrained}
    tell(
        drift=f"{done.drift.verdict}: {done.drift.sentence}",
        scorings=", ".join(done.scorings),
        **retrained,
        report=done.report,
    )
