"""How Prefect runs for us: its home under ours, private, silent, and no server to start by hand.

Only the environment is set here; Prefect itself is imported where a flow runs.
"""

import os
from typing import TYPE_CHECKING

from digitline.home import Home

if TYPE_CHECKING:
    from collections.abc import Mapping


def prepare(home: Home) -> None:
    """Set up Prefect's environment; what the user has set stays.

    Raises `StorageError` where the home cannot be written.
    """
    home.prepare()
    for name, value in _environment(home).items():
        os.environ.setdefault(name, value)


def is_server_named() -> bool:
    """Say whether the user has named a running server."""
    return bool(os.environ.get("PREFECT_API_URL"))


def _environment(home: Home) -> "Mapping[str, str]":
    return {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        # Our own lines go to Prefect's server as well, so its UI shows them.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "digitline",
        # Prefect's lines would double ours; errors are told once, by the command line.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }
