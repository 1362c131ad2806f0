"""The flows as a Prefect worker loads them: by file, from anywhere, with nothing on the path."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_LOAD = """
import sys
from prefect.flows import load_flow_from_entrypoint
flow = load_flow_from_entrypoint(sys.argv[1], use_placeholder_flow=False)
print(flow.name, sorted(flow.parameters.properties))
"""


@pytest.mark.parametrize(
    ("entry", "parameters"),
    [
        ("retrain", ["force", "promote", "recipe", "seed", "sources", "start"]),
        (
            "score",
            [
                *("address", "engine", "error_threshold", "exclude", "include", "job", "join"),
                *("kind", "max_error", "out", "since", "source", "threshold", "workers"),
            ],
        ),
    ],
)
def test_flow_loads_by_entry_point_from_elsewhere(
    entry: str, parameters: list[str], tmp_path: Path
) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD, f"{ROOT}/flows/{entry}.py:{entry}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PREFECT_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip() == f"{entry} {parameters}"
