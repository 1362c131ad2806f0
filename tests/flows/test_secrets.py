"""No secret is told: in no log, report, manifest, artifact or Prefect parameter, by no command."""

import logging
import re
import shutil
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort, LogSort, TaskRunSort

from digitline.errors import OrchestrationError
from digitline.home import Home
from flows.background import show_url
from flows.command_line import exit_code
from flows.notices import tell_somebody
from flows.orchestration import connect
from tests.conftest import Scans

SECRET = "hunter2-5f3b"  # noqa: S105 - nobody's
ADDRESS = f"s3://key:{SECRET}@bucket/labelled"


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Set every secret that there is, and let every logger say everything."""
    for name, value in {
        "DIGITLINE_NOTIFY__WEBHOOK": f"http://127.0.0.1:9/hooks/{SECRET}",
        "DIGITLINE_NOTIFY__COMMAND": f"/no/such/command --token {SECRET}",
        "DIGITLINE_SERVER__DATABASE": f"postgresql+asyncpg://user:{SECRET}@127.0.0.1:9/name",
        "AWS_ACCESS_KEY_ID": SECRET,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)


def run(arguments: list[str]) -> int:
    try:
        return exit_code(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def told_by_prefect() -> str:
    """Read all that Prefect's server knows of its latest runs."""
    with get_client(sync_client=True) as client:
        return "".join(
            each.model_dump_json()
            for found in (
                client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC),
                client.read_task_runs(sort=TaskRunSort.EXPECTED_START_TIME_DESC),
                client.read_artifacts(sort=ArtifactSort.CREATED_DESC),
                client.read_logs(sort=LogSort.TIMESTAMP_DESC),
            )
            for each in found
        )


@pytest.mark.usefixtures("secretive")
def test_a_scoring_tells_no_secret(
    scans: Scans, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from flows.score import score  # noqa: PLC0415 - slow to load

    scored = score(str(scans.folder), job="secretive")
    files = [path for path in scans.home.root.rglob("*") if path.is_file()]
    assert scored.report in files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    known = told_by_prefect()
    assert "secretive" in known, "the run's parameters are among what was read"
    assert SECRET not in known
    assert SECRET not in caplog.text
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.usefixtures("secretive")
def test_commands_tell_no_secret(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.prepare()
    for arguments in (["settings"], ["status", "--json"], ["status"], ["doctor"]):
        assert run(arguments) == 0
    told = capsys.readouterr()
    assert "notify.webhook = *****" in told.out
    assert SECRET not in told.out + told.err


@pytest.mark.parametrize("name", ["NOTIFY", "NOTIFY__WEBHOK", "SERVER__PORT", "SERVER"])
def test_a_setting_that_makes_no_sense_is_not_repeated(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"DIGITLINE_{name}", f'{{"webhook": {SECRET}')
    assert run(["settings"]) != 0
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        (["ingest", ADDRESS, "--to", "scans"], ""),
        (["retrain", "mnist", ADDRESS], ""),
        (["train", ADDRESS], ""),
        (["settings"], f"INBOX={ADDRESS}"),
        (["settings"], f'SOURCES=["mnist", "{ADDRESS}"]'),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value[:7],
)
def test_an_address_with_credentials_is_refused_and_not_repeated(
    command: list[str],
    setting: str,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if setting:
        name, _, value = setting.partition("=")
        monkeypatch.setenv(f"DIGITLINE_SERVICE__{name}", value)
    assert run(command) == 3
    told = capsys.readouterr()
    assert "credentials are no part of it" in told.err
    assert SECRET not in told.out + told.err
    # Prefect, which notes the parameters of a run, has not come to hear of it.
    assert not [path for path in home.root.rglob("*.db*") if SECRET.encode() in path.read_bytes()]
    assert "Starting Prefect" not in told.out


@pytest.mark.usefixtures("secretive")
def test_nobody_told_is_no_secret_told(caplog: pytest.LogCaptureFixture) -> None:
    from digitline.settings import load_settings  # noqa: PLC0415 - once the secrets are set

    assert not tell_somebody(load_settings().notify, "drift.found", "The ink is blue.")
    assert "nobody could be told" in caplog.text
    assert SECRET not in caplog.text


def test_a_server_that_cannot_be_reached_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://user:{SECRET}@127.0.0.1:9/api")
    monkeypatch.setattr("prefect.client.orchestration.get_client", _refuse)
    with pytest.raises(OrchestrationError, match=re.escape("http://127.0.0.1:9/api")) as caught:
        connect()
    assert SECRET not in str(caught.value)
    assert show_url("http://[::1]:4200/api") == "http://[::1]:4200/api"


def _refuse(**_: object) -> None:
    raise RuntimeError("nobody answers")


def test_what_is_private_is_nobody_elses(reader: Home, tmp_path: Path) -> None:
    root = tmp_path / "home"
    shutil.copytree(reader.root, root)
    for path in (
        root / ".digitline",
        root / ".digitline" / "keys",
        root / ".digitline" / "prefect",
    ):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (root / ".digitline" / "keys" / "signing.pem").stat().st_mode & 0o777 == 0o600
