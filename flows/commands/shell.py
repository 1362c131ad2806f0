"""What all commands share: settings checked, Prefect started, answers and complaints printed."""

import logging
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from digitline.names import printable

if TYPE_CHECKING:
    from digitline.settings import Settings

Switch = Annotated[bool, Parameter(negative=())]


# What is to be done once a command has ended, however that is.
ending = ExitStack()


def check_settings(**options: object) -> "Settings":
    """Load the settings; what an option of the command gives comes before all else.

    A home on an object store is brought up to date, and at the command's end what is new is put
    there.
    """
    from digitline.mirror import synchronised
    from digitline.settings import load_settings

    settings = load_settings(**options)
    ending.enter_context(synchronised(settings.places))
    return settings


def start_prefect(**options: object) -> "Settings":
    """Check the settings, set Prefect up, and say what takes so long."""
    settings = check_settings(**options)
    from flows.orchestration import connect, is_server_named, prepare

    prepare(settings.places)
    show_log_lines()
    if not is_server_named():
        print("Starting Prefect's embedded server (6 to 14 s) ...", flush=True)
    connect()
    return settings


def tell(**lines: object) -> None:
    """Print a small table: a name and a value a line."""
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name.replace('_', ' ').capitalize():<{width}}  {printable(str(value))}")


def complain(line: str, code: int) -> int:
    """Say what went wrong in one line of stderr, and give the exit code back."""
    print(f"digitline: error: {printable(line)}", file=sys.stderr)
    return code


def show_log_lines() -> None:
    """Print what the stages tell."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("digitline")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
