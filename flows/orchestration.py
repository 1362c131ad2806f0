"""How Prefect runs for us: its home under ours, private, silent, and no server to start by hand.

Only the environment is set here; Prefect itself is imported where a flow runs.
"""

import os
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from typing import ParamSpec, TypeVar

from digitline.errors import OrchestrationError, SettingsError
from digitline.home import Home
from digitline.mirror import synchronised
from digitline.scoring.bulk import Bulk
from digitline.settings import load_settings
from flows.background import read_note, show_url

_P = ParamSpec("_P")
_T = TypeVar("_T")


def prepare(home: Home) -> None:
    """Set up Prefect's environment; what the user has set stays.

    A server that runs in the background is used. Raises `StorageError` where the home cannot be
    written.
    """
    home.prepare()
    for name, value in (_environment(home) | _running_server(home)).items():
        os.environ.setdefault(name, value)


def at_home(work: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a flow begin with the home as it is, and in the end put there what is new.

    Raises `BusyError` where another has changed the same meanwhile, and `StorageError`.
    """

    @wraps(work)
    def begin_and_end(*args: _P.args, **options: _P.kwargs) -> _T:
        home = load_settings().places
        home.prepare()
        with synchronised(home):
            return work(*args, **options)

    return begin_and_end


def is_server_named() -> bool:
    """Say whether the user has named a running server."""
    return bool(os.environ.get("PREFECT_API_URL"))


def connect() -> None:
    """Reach the named server, or start the embedded one.

    Raises `OrchestrationError` where that fails.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - Prefect loads slowly

    try:
        with get_client(sync_client=True) as client:
            fault = client.api_healthcheck()
    except RuntimeError as error:  # what Prefect raises when its embedded server is too slow
        fault = error
    if fault is None:
        return
    if is_server_named():
        raise OrchestrationError(
            "Prefect's server cannot be reached",
            where=show_url(os.environ["PREFECT_API_URL"]),
            todo="Start it, or unset PREFECT_API_URL to use the embedded one",
        ) from fault
    raise OrchestrationError(
        f"Prefect's embedded server did not start ({fault})",
        where=os.environ["PREFECT_HOME"],
        todo="Run again, or name a running server with PREFECT_API_URL",
    ) from fault


def explain_silence(error: BaseException | None) -> OrchestrationError | None:
    """Give the error for people where Prefect's server has stopped answering, or cannot work."""
    import httpx  # noqa: PLC0415 - only where something went wrong; nobody but Prefect uses it

    while error is not None:
        broken = isinstance(error, httpx.HTTPStatusError) and error.response.is_server_error
        if broken or isinstance(error, httpx.TransportError):
            return OrchestrationError(
                "Prefect's server has stopped answering",
                where=show_url(os.environ["PREFECT_API_URL"]) if is_server_named() else None,
                todo="See that it runs; the same command takes the run up again",
            )
        error = error.__cause__
    return None


def require_engine(bulk: Bulk, address: str | None) -> None:
    """Raise `SettingsError` where what scores is not installed, or has no use for `address`."""
    if address and bulk.engine == "local":
        raise SettingsError(
            "the engine `local` has no use for an address", where=address, todo="Add --engine dask"
        )
    if bulk.engine == "dask" and find_spec("prefect_dask") is None:
        raise SettingsError(
            "the engine `dask` is not installed", todo="Run `pip install 'digitline[dask]'`"
        )


def _running_server(home: Home) -> dict[str, str]:
    note = None if is_server_named() else read_note(home)
    if note is None:
        return {}
    auth = {"PREFECT_API_AUTH_STRING": note.auth} if note.auth else {}
    return {"PREFECT_API_URL": note.url, **auth}


def _environment(home: Home) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # Not any site that is open in a browser on this machine, as Prefect would have it.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        # Our own lines go to Prefect's server as well, so its UI shows them.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "digitline",
        # Stages also run outside of flows, where Prefect would warn of every such line.
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        # Prefect's lines would double ours; errors are told once, by the command line.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }
