"""An S3 endpoint on loopback: moto's server as it should be, and as it should not.

Run as a program it prints four ports and serves until its input ends. At the first all is well. At
the second every fifth call fails: in turn refused, cut off, done but told as a failure, done but
cut off, or answered by half. The third takes no notice of conditions. The fourth answers with the
error that the bucket is named after.
"""

import io
import itertools
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
EVERY = 5
FAULTS = ("refuse", "cut", "do and fail", "do and cut", "halve")

ANSWERS = {
    "denied": ("403 Forbidden", "AccessDenied"),
    "expired": ("400 Bad Request", "ExpiredToken"),
    "foreign": ("403 Forbidden", "InvalidAccessKeyId"),
    "elsewhere": ("301 Moved Permanently", "PermanentRedirect"),
    "circling": ("301 Moved Permanently", "301"),
    "failing": ("503 Service Unavailable", "SlowDown"),
}


class Orderly:
    """Do one write at a time: moto looks at a condition and writes in two steps, S3 in one."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._writing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            return self._app(environ, start)
        with self._writing:
            return list(self._app(environ, start))


class Failing:
    """Fail every fifth call."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._calls = itertools.count(1)
        self._faults = itertools.cycle(FAULTS)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        fault = next(self._faults) if next(self._calls) % EVERY == 0 else ""
        if not fault:
            return self._app(environ, start)
        # The body is read in any case: the connection may serve another call.
        environ["wsgi.input"] = io.BytesIO(get_input_stream(environ).read())
        if fault.startswith("do"):
            list(self._app(environ, lambda *_: None))
        if fault.endswith("cut"):
            cut(environ["werkzeug.socket"])
        if fault == "halve":
            return halve(self._app(environ, start), environ["werkzeug.socket"])
        start("500 Internal Server Error", [("Content-Length", "0")])
        return []


class Careless:
    """Write although the condition is not met."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        kept = {
            name: value
            for name, value in environ.items()
            if name not in {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}
        }
        return self._app(kept, start)


def refuse(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with an error."""
    get_input_stream(environ).read()
    status, code = ANSWERS[environ["PATH_INFO"].split("/")[1]]
    text = f"<Error><Code>{code}</Code><Message>{environ['HTTP_AUTHORIZATION']}</Message></Error>"
    region = [("x-amz-bucket-region", "us-west-2")] if code == "PermanentRedirect" else []
    start(
        status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text))), *region]
    )
    return [text.encode()]


def halve(body: Iterable[bytes], connection: socket.socket) -> Iterator[bytes]:
    whole = b"".join(body)
    yield whole[: len(whole) // 2]
    if whole:
        cut(connection)


def cut(connection: socket.socket) -> NoReturn:
    """End a connection in the middle of things."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


def main() -> None:
    app = Orderly(DomainDispatcherApplication(create_backend_app))
    servers = [
        make_server("127.0.0.1", 0, each, threaded=True)
        for each in (app, Failing(app), Careless(app), refuse)
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(" ".join(str(server.server_port) for server in servers) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
