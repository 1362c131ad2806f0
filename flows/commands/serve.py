"""`digitline serve`: retraining, scoring and upkeep at their times, for as long as it runs."""

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from cyclopts import App

from flows.commands.shell import check_settings, tell

if TYPE_CHECKING:
    from digitline.settings import Settings

serve = App(name="serve", help="Retrain, score an inbox and keep up, each at its time.")


@serve.default
def serve_jobs() -> None:
    """Retrain, score what comes into the inbox, watch for drift and prune, each at its time.

    `digitline settings` lists the times, the inbox and the sources under `service`; both may be
    paths, or addresses such as s3://bucket/scans. Prefect's server is started
    where none runs, and then stopped in the end; its pages show what has been done and what comes
    next, and let a person start a job at once. Ctrl-C or SIGTERM ends the service; what was cut
    off is taken up again when it is started the next time.
    """
    settings = check_settings()
    for word in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(word, signal.default_int_handler)
    from digitline.settings import settings_file
    from flows.background import find_server, start_server, stop_server
    from flows.orchestration import connect, is_server_named, prepare

    home = settings.places
    # The processes that do the work read the settings once more, wherever they are started.
    os.environ["DIGITLINE_HOME"] = home.place
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
    file = settings_file()
    if file is not None and file.is_file():
        os.environ["DIGITLINE_SETTINGS"] = str(file.absolute())
    home.prepare()
    ours = not is_server_named() and not find_server(home)
    try:
        if ours:
            prepare(home)
            print("Starting Prefect's server (10 to 30 s) ...", flush=True)
            start_server(home, settings.server, settings.retention.database)
        prepare(home)
        connect()
        from flows.service import serve as serve_flows

        _tell_times(settings)
        with suppress(KeyboardInterrupt):
            serve_flows(settings)
    finally:
        if ours:
            stop_server(home)
    print("The service has ended.")


def _tell_times(settings: "Settings") -> None:
    from flows.background import show_url

    service = settings.service
    tell(
        pages=show_url(os.environ["PREFECT_API_URL"]).removesuffix("/api"),
        inbox=settings.inbox,
        score=service.score or "never",
        retrain=service.retrain or "never",
        monitor=service.monitor or "never",
        upkeep=service.upkeep or "never",
        time_zone=service.time_zone,
    )
    print("Serving. Ctrl-C ends it.", flush=True)
