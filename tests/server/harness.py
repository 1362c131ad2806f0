"""Prefect's real API on a database of its own, for all processes of a test run.

Run as a program it writes its address into a file and serves until its input ends.
"""

import sys
from pathlib import Path

from prefect.settings import get_current_settings
from prefect.testing.utilities import prefect_test_harness


def main(note: Path, timeout: int) -> None:
    """Serve, and say where in `note` once there is an answer."""
    with prefect_test_harness(server_startup_timeout=timeout):
        draft = note.with_suffix(".draft")
        draft.write_text(str(get_current_settings().api.url))
        draft.rename(note)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
