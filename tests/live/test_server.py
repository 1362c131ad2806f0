"""A server that others can reach, on a real PostgreSQL: it asks for its password."""

import shutil
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.home import Home
from tests.live.machine import Machine, write_images
from tests.live.postgres import PROGRAMS, Postgres

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not PROGRAMS, reason="needs Debian's postgresql"),
]


def test_a_server_for_others_keeps_its_runs_in_postgres_and_asks_for_a_password(
    postgres: Postgres, reader: Home, tmp_path: Path, mnist: tuple[list[bytes], NDArray[np.int64]]
) -> None:
    database = f"postgresql+asyncpg://digitline@127.0.0.1:{postgres.port}/digitline"
    everybody = "0.0.0.0"  # noqa: S104 - what is to be tried
    machine = Machine(
        tmp_path, DIGITLINE_SERVER__DATABASE=database, DIGITLINE_SERVER__HOST=everybody
    )
    shutil.copytree(reader.root, machine.home.root, dirs_exist_ok=True)
    write_images(machine.inbox, mnist[0][:5])
    started = machine.run("server", "start")
    try:
        assert "Password digitline:" in started
        port = machine.environment["DIGITLINE_SERVER__PORT"]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/admin/version")
        assert "5 images" in machine.run("score", str(machine.inbox), "--threshold", "0.9")
        assert postgres.ask("select count(*) from flow_run where state_type = 'COMPLETED'") == "1"
        assert not (machine.home.prefect / "prefect.db").exists()
        assert database not in machine.run("settings")
        assert (machine.home.private / "server-auth").stat().st_mode & 0o777 == 0o600
    finally:
        machine.run("server", "stop")
