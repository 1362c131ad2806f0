"""Prefect's server in the background: found, started and stopped; nothing of Prefect is loaded.

The server holds a lock file for as long as it lives, so that a stale note of it fools nobody.
"""

import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from digitline.commit import locked, make_directory, write_bytes
from digitline.errors import BusyError, OrchestrationError
from digitline.home import Home
from digitline.keeping.unattended import Server

_START, _STOP = 180.0, 30.0  # seconds
_AUTH = "PREFECT_SERVER_API_AUTH_STRING"


class Note(BaseModel):
    """What is noted of a server that was started: how to reach it and how to end it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    pid: int
    auth: str = ""


def find_server(home: Home) -> str:
    """Give the address of the server that runs in the background, nothing where none does."""
    note = read_note(home)
    return "" if note is None else note.url


def read_note(home: Home) -> Note | None:
    """Read the note of the server that runs in the background, `None` where none does."""
    if not _lock(home).exists():
        return None
    try:
        with locked(_lock(home), "Prefect's server"):
            return None
    except BusyError:
        pass
    try:
        return Note.model_validate_json(_note(home).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None  # it is being started at this moment


def start_server(home: Home, server: Server, retention_days: float) -> Note:
    """Start a server and wait until it answers; the one that runs already will do.

    Raises `OrchestrationError` where it does not start.
    """
    running = read_note(home)
    if running is not None:
        return running
    _require_free_port(server)
    auth = _auth(home, server)
    log = home.prefect / "server.log"
    with _held(home) as descriptor, log.open("ab") as output:
        log.chmod(0o600)
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start"],
            env={**os.environ, **_environment(server, auth, retention_days)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[descriptor],
            start_new_session=True,
        )
        note = Note(url=_url(server), pid=process.pid, auth=auth)
        _wait_until_it_answers(process, note, log)
        write_bytes(_note(home), note.model_dump_json().encode(), mode=0o600)
    return note


def stop_server(home: Home) -> bool:
    """Stop the server that runs in the background; say whether there was one.

    Raises `OrchestrationError` where it does not end.
    """
    note = read_note(home)
    if note is None:
        return False
    for word, patience in ((signal.SIGTERM, _STOP), (signal.SIGKILL, _STOP)):
        try:
            os.killpg(note.pid, word)
        except ProcessLookupError:
            return True
        try:
            with locked(_lock(home), "Prefect's server", patience):
                _note(home).unlink(missing_ok=True)
                return True
        except BusyError:
            continue
    raise OrchestrationError(
        "Prefect's server does not end", where=str(note.pid), todo="End that process by hand"
    )


def show_url(url: str) -> str:
    """Give an address as it may be shown: without the password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_local(host: str) -> bool:
    """Say whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_free_port(server: Server) -> None:
    """Raise `OrchestrationError` where something else listens: it would answer in our place."""
    try:
        with socket.create_server((server.host, server.port)):
            return
    except OSError as error:
        raise OrchestrationError(
            f"the port cannot be listened on ({(error.strerror or str(error)).lower()})",
            where=f"{server.host}:{server.port}",
            todo="Choose another with `server.port`",
        ) from error


def _url(server: Server) -> str:
    host = "127.0.0.1" if server.host in {"0.0.0.0", "::"} else server.host  # noqa: S104 - compared
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}/api"


def _auth(home: Home, server: Server) -> str:
    """Give what a client must show: as given, made once where others can reach us, else nothing."""
    given = os.environ.get(_AUTH, "")
    if given or is_local(server.host):
        return given
    path = home.private / "server-auth"
    if not path.exists():
        write_bytes(path, f"digitline:{secrets.token_urlsafe(32)}".encode(), mode=0o600)
    return path.read_text()


def _environment(server: Server, auth: str, retention_days: float) -> Mapping[str, str]:
    seconds = str(int(retention_days * 24 * 3600))
    environment = {
        "PREFECT_SERVER_API_HOST": server.host,
        "PREFECT_SERVER_API_PORT": str(server.port),
        "PREFECT_API_URL": "",  # the one that it has itself
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": seconds,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_UI_API_URL": "/api",  # whatever the name others know this machine by
        # A page of another site, open in a browser on this machine, is not to be let in.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": _url(server).removesuffix("/api"),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }
    if not is_local(server.host):
        environment[_AUTH] = auth
    if server.database is not None:
        url = server.database.get_secret_value()
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = url
    return environment


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", note: Note, log: Path) -> None:
    deadline = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < deadline:
        if answers(note.url):
            return
        time.sleep(0.25)
    process.kill()
    process.wait()
    lines = log.read_text(errors="replace").strip().splitlines()
    raise OrchestrationError(
        f"Prefect's server did not start ({lines[-1].strip() if lines else 'it said nothing'})",
        where=log,
        todo="Read the log, and look whether the port is free (`server.port`)",
    )


def answers(url: str) -> bool:
    """Say whether a server answers at that address, whomever it lets in."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 - an address of ours
            return True
    except urllib.error.HTTPError as error:
        return error.code in {401, 403}
    except OSError:
        return False


@contextmanager
def _held(home: Home) -> Iterator[int]:
    """Hold the lock with a descriptor that a child can hold on to after us."""
    import fcntl  # noqa: PLC0415 - only where a server is started

    path = _lock(home)
    make_directory(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError as error:
        raise BusyError(
            "Prefect's server is being started", where=path, todo="Wait for it to answer"
        ) from error
    finally:
        os.close(descriptor)


def _lock(home: Home) -> Path:
    return home.lock("server")


def _note(home: Home) -> Path:
    return home.private / "server.json"
