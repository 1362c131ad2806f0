"""`digitline status`, `runs`, `prune` and `server`, in processes of their own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from digitline.errors import OrchestrationError
from digitline.home import Home
from digitline.keeping.unattended import Server
from flows.background import Note, find_server, is_local, start_server, stop_server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def digitline(*arguments: str, home: Home) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from flows.command_line import exit_code\n"
        "try:\n    sys.exit(exit_code(sys.argv[1:]))\n"
        "finally:\n    print('prefect' in sys.modules, file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DIGITLINE_HOME": str(home.root), "PREFECT_API_URL": ""},
    )


def test_status_is_told_in_lines_and_in_json_without_prefect(reader: Home) -> None:
    told = digitline("status", home=reader)
    assert told.returncode == 0, told.stderr
    assert "m0001: 10.00% test error" in told.stdout
    assert "no such folder" in told.stdout
    assert told.stderr.strip() == "False"
    plain = digitline("status", "--json", home=reader)
    assert json.loads(plain.stdout)["champion"]["version"] == "m0001"


def test_no_runs_yet_says_how_to_make_some(reader: Home) -> None:
    told = digitline("runs", home=reader)
    assert "digitline retrain" in told.stdout
    assert json.loads(digitline("runs", "--json", home=reader).stdout) == []


def test_prune_says_what_would_go_and_why(reader: Home) -> None:
    told = digitline("prune", "--dry-run", "--all", home=reader)
    assert "keep  models/m0001 (is or was champion)" in told.stdout
    assert "0 would go" in told.stdout


def test_no_server_is_found_where_only_a_note_of_one_is_left(home: Home) -> None:
    home.prepare()
    (home.private / "locks").mkdir()
    (home.private / "locks" / "server.lock").touch()
    note = Note(url="http://127.0.0.1:9/api", pid=os.getpid())
    (home.private / "server.json").write_text(note.model_dump_json())
    assert find_server(home) == ""
    assert not stop_server(home)
    assert digitline("server", "status", home=home).returncode == 1


def test_a_server_that_cannot_start_says_why_and_where(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home.prepare()
    broken = tmp_path / "prefect.py"
    broken.write_text("raise SystemExit('the port is taken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(OrchestrationError, match="the port is taken"):
        start_server(home, Server(port=free_port()), 30)
    assert (home.prefect / "server.log").stat().st_mode & 0o777 == 0o600
    assert find_server(home) == ""


def test_a_port_that_is_taken_is_told_of_before_anything_is_started(home: Home) -> None:
    home.prepare()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OrchestrationError, match=f"in use.*127.0.0.1:{port}"):
            start_server(home, Server(port=port), 30)
    assert not (home.prefect / "server.log").exists()


def test_only_loopback_is_local() -> None:
    assert all(map(is_local, ("127.0.0.1", "::1", "localhost")))
    assert not any(map(is_local, ("0.0.0.0", "::", "192.168.1.4", "digits.example")))  # noqa: S104 - compared
