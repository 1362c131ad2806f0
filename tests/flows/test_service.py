"""What the service does at its times, over Prefect's real API, and whom it tells."""

import json
import logging
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from pydantic import SecretStr

from digitline.commit import locked
from digitline.errors import SettingsError
from digitline.home import Home
from digitline.keeping.memory import Memory, read_memory, write_memory
from digitline.keeping.unattended import Notify, Service
from digitline.objects import create_object
from digitline.settings import load_settings
from flows.automations import SILENCE, apply_automations, end_silent_runs
from flows.notices import tell_somebody
from flows.service import plan_times
from flows.ticks import keep_up, retrain_on_schedule, score_inbox
from tests.conftest import Endpoint

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]
KEEP = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('a').write(sys.stdin.read())"


@pytest.fixture
def trained(home: Home, reader: Home) -> Home:
    return Home(shutil.copytree(reader.root, home.root, dirs_exist_ok=True))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that a command keeps what it is told in."""
    path = tmp_path / "told.txt"
    command = shlex.join([sys.executable, "-c", KEEP, str(path)])
    monkeypatch.setenv("DIGITLINE_NOTIFY__COMMAND", command)
    return path


def tick() -> State[Any]:
    state: State[Any] = score_inbox(return_state=True)
    return state


def test_only_a_changed_inbox_is_scored_and_its_images_stay(trained: Home, mnist: Mnist) -> None:
    inbox = trained.root / "inbox"
    inbox.mkdir()
    assert "empty" in (tick().message or "")
    for number in range(5):
        (inbox / f"{number}.png").write_bytes(mnist[0][number])
    first = tick()
    assert first.name == "Scored"
    assert "5 images" in (first.message or "")
    assert tick().name == "Unchanged"
    (inbox / "5.png").write_bytes(mnist[0][5])
    again = tick()
    assert "1 new, 0 changed, 5 unchanged" in (again.message or "")
    assert len(list(inbox.iterdir())) == 6
    assert {path.name for path in trained.runs.iterdir()} == {"score-0001", "score-0002"}
    late = read_memory(trained.service, "inbox").try_at(datetime.now(UTC) + timedelta(hours=1))
    write_memory(trained.service, "inbox", late)
    skipped = tick()
    assert (skipped.name, skipped.is_completed()) == ("Skipped", True)
    assert "caught up" in (skipped.message or "")


@pytest.mark.live
def test_an_inbox_in_a_bucket_is_scored_as_a_folder_is(
    trained: Home, mnist: Mnist, store: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITLINE_SERVICE__INBOX", str(store.place / "inbox"))
    assert "empty" in (tick().message or "")
    for number in range(5):
        create_object(store.place / f"inbox/{number}.png", mnist[0][number])
    store.use("failing")
    first = tick()
    assert first.name == "Scored"
    assert "5 images" in (first.message or "")
    assert tick().name == "Unchanged"
    assert [path.name for path in trained.runs.iterdir()] == ["score-0001"]


def test_what_keeps_failing_is_put_off_told_once_and_told_again_when_it_is_well(
    trained: Home, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    monkeypatch.setenv("DIGITLINE_SERVICE__INBOX", str(share))
    monkeypatch.setenv("DIGITLINE_SERVICE__PATIENCE", "2")
    assert tick().name == "Failing"
    assert not told.exists()
    failed = tick()
    assert failed.is_failed()
    assert f"no such folder: {share}" in told.read_text()
    assert "waiting until" in (tick().message or "")
    pause_over = {"again": datetime.now(UTC)}
    memory = read_memory(trained.service, "inbox")
    write_memory(trained.service, "inbox", memory.model_copy(update=pause_over))
    assert tick().name == "Failing"
    assert told.read_text().count("no such folder") == 1
    share.mkdir()
    (share / "letter.png").write_text("Dear reader")
    memory = read_memory(trained.service, "inbox")
    write_memory(trained.service, "inbox", memory.model_copy(update=pause_over))
    assert tick().name == "Scored"
    assert "does well again, after 3 failures" in told.read_text()


def test_a_job_that_somebody_else_does_or_nobody_can_is_skipped(home: Home, mnist: Mnist) -> None:
    (home.root / "inbox").mkdir()
    (home.root / "inbox" / "a.png").write_bytes(mnist[0][0])
    assert "no champion yet" in (tick().message or "")
    assert read_memory(home.service, "inbox").failures == 0
    with locked(home.lock("retrain"), "retrain"):
        busy: State[Any] = retrain_on_schedule(return_state=True)
    assert busy.name == "Skipped"
    assert "under way" in (busy.message or "")


def test_upkeep_prunes_and_writes_the_index(trained: Home) -> None:
    state: State[Any] = keep_up(return_state=True)
    assert state.message == "0 old things have gone, 0.0 MB are free"
    assert (trained.reports / "index.html").exists()


def test_times_that_make_no_sense_are_refused_before_anything_is_served(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan_times(load_settings(service=Service(score="")), "inbox") == []
    for service in (Service(score="every day"), Service(time_zone="Europe/Zuerich")):
        with pytest.raises(SettingsError, match="is no time"):
            plan_times(load_settings(service=service), "inbox")


def make_deployment() -> None:
    """Make the deployment in a thread, away from the event loop that browser tests keep open."""

    def make() -> None:
        retrain_on_schedule.to_deployment("retrain").apply()  # type: ignore[union-attr]

    with ThreadPoolExecutor(1) as pool:
        pool.submit(copy_context().run, make).result()


@pytest.mark.usefixtures("home")
def test_automations_are_made_once_and_put_right() -> None:
    make_deployment()
    assert [applied.outcome for applied in apply_automations()] == ["made", "made"]
    assert [applied.outcome for applied in apply_automations()] == ["unchanged", "unchanged"]
    wanted = end_silent_runs()
    with get_client(sync_client=True) as client:
        (there,) = client.read_automations_by_name(wanted.name)
        client.update_automation(there.id, wanted.model_copy(update={"description": "else"}))
    assert [applied.outcome for applied in apply_automations()] == ["unchanged", "changed"]
    assert timedelta(seconds=90) <= SILENCE


def test_a_try_that_was_cut_off_is_known() -> None:
    now = datetime.now(UTC)
    assert Memory().try_at(now).open
    assert not Memory().try_at(now).succeed("x").open
    assert not Memory().try_at(now).fail("x", now, 60).open


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(json.loads(content))
        self.send_response(200 if self.path == "/ok" else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_message_is_posted_and_a_refusal_names_no_secret(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert tell_somebody(Notify(webhook=SecretStr(f"{hook}/ok")), "drift.found", "The ink is blue.")
    assert Hook.seen[-1]["text"] == "Digitline: drift.found\nThe ink is blue."
    assert not tell_somebody(Notify(webhook=SecretStr(f"{hook}/secret")), "x", "y")
    assert not tell_somebody(Notify(command=SecretStr("/no/such/command")), "x", "y")
    assert "nobody could be told" in caplog.text
    assert "secret" not in caplog.text
    assert tell_somebody(Notify(), "x", "y")
