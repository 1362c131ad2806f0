"""`digitline server`: keep Prefect's server running in the background, for schedules and its UI."""

from typing import TYPE_CHECKING

from cyclopts import App

from digitline.names import printable
from flows.commands.shell import check_settings, tell

if TYPE_CHECKING:
    from flows.background import Note

server = App(
    name="server",
    help="Keep Prefect's server running in the background, for schedules and its pages.",
)


@server.command
def start() -> None:
    """Start the server, by the settings `server`, and wait until it answers.

    It listens for this machine alone unless `server.host` says otherwise; then a password is
    made, and asked for. What it knows lies in SQLite under the home, or in `server.database`.
    """
    settings = check_settings()
    from flows.background import read_note, start_server
    from flows.orchestration import prepare

    prepare(settings.places)
    if read_note(settings.places) is None:
        print("Starting Prefect's server (10 to 30 s) ...", flush=True)
    _show(start_server(settings.places, settings.server, settings.retention.database))


@server.command
def status() -> int:
    """Say whether the server runs, and where. The exit code is 1 where none does."""
    from flows.background import answers, read_note

    note = read_note(check_settings().places)
    if note is None:
        print("No server is running. `digitline server start` starts one.")
        return 1
    _show(note)
    if not answers(note.url):
        print("It does not answer. `digitline server stop` ends it.")
        return 1
    return 0


@server.command
def stop() -> None:
    """Stop the server. What it knows is kept."""
    from flows.background import stop_server

    stopped = stop_server(check_settings().places)
    print("The server has ended." if stopped else "No server was running.")


def _show(note: "Note") -> None:
    tell(pages=note.url.removesuffix("/api"), api=note.url, process=note.pid)
    if note.auth:
        print(f"Password {printable(note.auth)}")
