"""The command line as a stranger would use it, in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from digitline import errors
from digitline.home import Home
from digitline.learning.recipe import recipe_knobs
from flows import command_line
from flows.command_line import exit_code

# What a command may not load before it needs it: each costs a good part of a second.
SLOW = ("prefect", "sklearn", "pandas", "cv2", "pyarrow", "seaborn")


def digitline(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.command_line", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def loaded_by(*arguments: str) -> set[str]:
    code = (
        "import sys; from flows.command_line import exit_code\n"
        f"try:\n    exit_code({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_on_training_explains_every_knob() -> None:
    text = " ".join(digitline("train", "--help").stdout.split())
    assert all(knob.name in text for knob in recipe_knobs())
    assert not loaded_by("train", "--help") & {"prefect", "sklearn", "pandas"}


def test_help_loads_nothing_slow() -> None:
    assert not loaded_by("--help") & set(SLOW)


@pytest.mark.usefixtures("home")
def test_models_never_load_prefect() -> None:
    assert "prefect" not in loaded_by("models", "list")


@pytest.mark.usefixtures("home")
def test_settings_are_all_explained() -> None:
    done = digitline("settings")
    assert done.returncode == 0
    assert "DIGITLINE_CHECKS__MIN_ROWS" in done.stdout
    assert "\n     (" not in done.stdout  # a setting without a word on what it means


@pytest.mark.usefixtures("home")
def test_no_model_yet_says_what_to_do() -> None:
    done = digitline("models", "list")
    assert done.returncode == 0
    assert "digitline retrain" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "words"),
    [
        (["bogus"], {}, 2, "bogus"),
        (["ingest", "somewhere"], {}, 2, "--to"),
        (["models", "list"], {"DIGITLINE_SEEED": "1"}, 3, "DIGITLINE_SEEED"),
        (["settings"], {"DIGITLINE_SEED": "many"}, 3, "seed"),
        (["settings"], {"DIGITLINE_SETTINGS": "/nowhere.toml"}, 3, "/nowhere.toml"),
        (["ingest", "/nowhere", "--to", "it"], {}, 4, "/nowhere"),
        (["ingest", "mnist", "--to", "../it"], {}, 3, "../it"),
        (["models", "show"], {}, 6, "digitline retrain"),
        (["models", "promote", "m0042"], {}, 6, "m0042"),
        (["models", "rollback"], {}, 6, "champion"),
    ],
)
def test_mistakes_end_in_one_line_and_a_code_of_their_own(
    home: Home,
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert exit_code(arguments) == code
    check_complaint(capsys.readouterr().err, words)
    assert not list((home.root / "data").glob("*")) if (home.root / "data").exists() else True


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("[Errno 111] Connection refused"),
        httpx.ReadTimeout(""),
        httpx.HTTPStatusError(
            "locked", request=httpx.Request("GET", "http://x"), response=httpx.Response(503)
        ),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_server_that_goes_away_is_told_of(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose_server(*_: object, **__: object) -> None:
        # As Prefect wraps it where a task is to begin.
        raise RuntimeError("Unable to acquire concurrency slots") from fault

    monkeypatch.setenv("PREFECT_API_URL", "http://somebody:secret@127.0.0.1:4200/api")
    monkeypatch.setattr(command_line, "app", SimpleNamespace(meta=lose_server))
    assert command_line.exit_code(["score", "scans"]) == errors.OrchestrationError.exit_code
    told = capsys.readouterr().err
    assert told.startswith("digitline: error: Prefect's server has stopped answering: http://")
    assert "the same command takes the run up again" in told
    assert "secret" not in told


def test_what_the_server_has_no_part_in_stays_unexpected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command_line, "app", SimpleNamespace(meta=fail))
    assert command_line.exit_code(["score", "scans"]) == command_line.UNEXPECTED_ERROR
    assert "unexpected ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "code", "told"),
    [
        (signal.SIGTERM, command_line.TOLD_TO_END, "told to end"),
        (signal.SIGINT, command_line.INTERRUPTED, "interrupted"),
    ],
)
def test_what_breaks_over_an_interruption_is_told_as_one(
    word: signal.Signals,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from prefect import task  # noqa: PLC0415 - slow to load
    from prefect.task_engine import SyncTaskRunEngine  # noqa: PLC0415 - the same

    @task
    def wait() -> None: ...

    def begin(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), word)
        finally:
            assert SyncTaskRunEngine(
                wait
            ).state.is_final()  # as Prefect looks at a task that has not begun

    monkeypatch.setattr(command_line, "app", SimpleNamespace(meta=begin))
    before = [
        signal.signal(signal.SIGTERM, command_line._end),
        signal.signal(signal.SIGINT, signal.default_int_handler),
    ]
    try:
        assert command_line.exit_code(["score", "scans"]) == code
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert capsys.readouterr().err.startswith(f"digitline: error: {told}")


@pytest.mark.usefixtures("home")
def test_a_server_that_is_not_there_ends_the_process_in_the_same_way() -> None:
    done = digitline("retrain", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == errors.OrchestrationError.exit_code
    check_complaint(done.stderr, "127.0.0.1:9")


def check_complaint(told: str, words: str) -> None:
    assert told.startswith("digitline: error: ")
    assert told.count("\n") == 1
    assert words in told


@pytest.mark.usefixtures("home")
def test_debug_shows_the_traceback() -> None:
    done = digitline("ingest", "/nowhere", "--to", "it", "--debug")
    assert "Traceback" in done.stderr
    assert done.returncode == errors.SourceError.exit_code


def test_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "home"
    blocked.touch()
    done = digitline("ingest", "mnist", "--to", "it", DIGITLINE_HOME=str(blocked))
    assert done.returncode == errors.StorageError.exit_code
    assert str(blocked) in done.stderr
    assert done.stderr.count("\n") == 1
