"""Processes that depend on the one that started them: it alone ends them, and its end is theirs."""

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import Final

_ORPHANED: Final = 4


def depend_on_parent() -> None:
    """Be deaf to Ctrl-C, which reaches the parent too, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(_ORPHANED)
