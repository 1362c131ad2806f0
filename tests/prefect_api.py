"""Prefect's real API, for all processes of a test run.

Run as a program it writes its address into a file and serves until its input ends.
"""

import gc
import os
import socket
import sys
from pathlib import Path
from threading import Thread

import uvicorn
from prefect.server.api.server import create_app


class Server(uvicorn.Server):
    """A server that says where it is once there is an answer."""

    def __init__(self, note: Path) -> None:
        super().__init__(uvicorn.Config(create_app(), log_level="error", lifespan="on"))
        self._note = note

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None
        await super().startup(sockets)
        # What was loaded stays: to look through it again and again would take a third of the time.
        gc.freeze()
        gc.enable()
        draft = self._note.with_suffix(".draft")
        draft.write_text(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/api")
        draft.rename(self._note)


def end_with_input() -> None:
    """End with whoever started this process, however that may be; the database goes as well."""
    sys.stdin.read()
    os._exit(0)


def main(note: Path) -> None:
    gc.disable()
    Thread(target=end_with_input, daemon=True).start()
    Server(note).run([socket.create_server(("127.0.0.1", 0))])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
