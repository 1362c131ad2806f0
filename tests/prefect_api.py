"""Prefect's real API on a database of its own, for all processes of a test run.

Run as a program it writes its address into a file and serves until its input ends. The database is
one connection to memory: on a file, whenever many processes write at once, the server's only
thread waits for a connection that waits for the write lock of a transaction that this thread would
have to go on with, and all runs stand still for the minute after which SQLite gives up.
"""

import sys
from pathlib import Path

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

DATABASE = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"


def main(note: Path, timeout: int) -> None:
    """Serve, and say where in `note` once there is an answer."""
    server = SubprocessASGIServer()
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: DATABASE}):
        server.start(timeout)
    draft = note.with_suffix(".draft")
    draft.write_text(server.api_url)
    draft.rename(note)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
