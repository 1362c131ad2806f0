"""`Dockerfile` and `compose.yaml`, held against their linter, their schema, and each other."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", "--failure-threshold", "style", "Dockerfile"),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"),
    ],
    ids=lambda command: str(command[0]),
)
def test_a_linter_has_nothing_to_say(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_images_are_pinned_and_run_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert len(bases) == 1
    images = [*bases, *(service["image"] for service in SERVICES.values())]
    assert all(image.partition(":")[2] not in {"", "latest"} for image in images)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001"]
    for service in OURS.values():
        assert service["cap_drop"] == ["ALL"]
        assert "user" not in service
        assert "privileged" not in service


def test_no_password_is_written_down() -> None:
    asked = {
        "POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:?",
        "PREFECT_API_AUTH_STRING": "${PREFECT_AUTH:?",
    }
    seen = set()
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if name in asked:
                assert value.startswith(asked[name])
                seen.add(name)
            elif "AUTH" in name or "PASSWORD" in name:
                assert value.startswith("${")
    assert seen == asked.keys()
    kept_out = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in kept_out  # what is not named stays out
    assert not [
        line for line in kept_out if line.startswith("!") and line[1:] in {".env", "models/"}
    ]


def test_every_service_that_stays_is_looked_after() -> None:
    for name, service in SERVICES.items():
        stays = service["restart"] != "no"
        assert stays == (not service["healthcheck"].get("disable", False)), name
        for other in service.get("depends_on", {}):
            assert other in SERVICES
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_code_that_is_copied_is_all_that_a_run_needs() -> None:
    kept = {
        line[1:].rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert kept >= {"digitline", "flows", "tasks", "data/mnist", "prefect.yaml", "pyproject.toml"}
    assert all((ROOT / name).exists() for name in kept)
    assert not {"tests", "bench", os.sep} & kept
