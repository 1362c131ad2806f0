"""`prefect.yaml`, as Prefect itself reads it: every entry point, from elsewhere, and its form."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from prefect.schedules import Cron

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
SERVED = ("retrain_on_schedule", "score_inbox", "watch_drift", "keep_up")
ENTRIES = [each["entrypoint"] for each in DEPLOYMENTS] + [f"flows.ticks.{n}" for n in SERVED]
_LOAD = """
import json, sys
from prefect.flows import load_flow_from_entrypoint
forms = {}
for entry in sys.argv[1:]:
    flow = load_flow_from_entrypoint(entry, use_placeholder_flow=False)
    forms[entry] = flow.parameters.model_dump()
    # A Dask cluster is told of the flow by this name.
    assert flow.fn.__module__ == entry.rpartition(".")[0], flow.fn.__module__
print(json.dumps(forms))
"""


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Load every entry point in one process that stands elsewhere; give their run forms."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD, *ENTRIES],
        capture_output=True,
        text=True,
        check=False,
        cwd=elsewhere,
        env={"PREFECT_HOME": str(elsewhere), "PATH": "/usr/bin:/bin"},
    )
    assert loaded.returncode == 0, loaded.stderr
    found: dict[str, dict[str, Any]] = json.loads(loaded.stdout.splitlines()[-1])
    return found


def test_every_parameter_on_a_run_form_is_explained(forms: dict[str, dict[str, Any]]) -> None:
    assert forms.keys() == set(ENTRIES)
    for entry, form in forms.items():
        for name, parameter in form["properties"].items():
            assert parameter.get("description"), f"{entry}: {name}"


def test_deployments_give_parameters_that_the_flows_take(
    forms: dict[str, dict[str, Any]],
) -> None:
    for each in DEPLOYMENTS:
        form = forms[each["entrypoint"]]
        given = each.get("parameters", {})
        assert given.keys() <= form["properties"].keys()
        assert set(form["required"]) <= given.keys()


def test_one_run_of_a_deployment_at_a_time_at_times_that_make_sense() -> None:
    for each in DEPLOYMENTS:
        assert each["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
        assert each["work_pool"]["name"] == "digitline"
        for schedule in each["schedules"]:
            assert Cron(schedule["cron"], timezone=schedule["timezone"]).cron
