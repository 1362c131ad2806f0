"""A server that others can reach, on a real PostgreSQL: it asks for its password."""

import os
import pwd
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.home import Home
from tests.live.machine import Machine, free_port, write_images

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("DIGITLINE_TEST_LIVE"), reason="takes minutes: `make live`"
    ),
    pytest.mark.skipif(not PROGRAMS, reason="needs Debian's postgresql"),
]


class Postgres:
    """A cluster of its own on loopback; as root it runs as the user postgres."""

    def __init__(self) -> None:
        self.port = free_port()
        self.place = Path(tempfile.mkdtemp(prefix="digitline-postgres-"))
        self.prefix: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.place, user.pw_uid, user.pw_gid)
            self.prefix = ["runuser", "-u", "postgres", "--"]

    def run(self, program: str, *arguments: str) -> str:
        path = PROGRAMS[-1].with_name(program)
        done = subprocess.run(
            [*self.prefix, str(path), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, question: str) -> str:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "digitline")
        return self.run("psql", *where, "-At", "-c", question, "digitline").strip()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    cluster = Postgres()
    data, log = str(cluster.place / "data"), str(cluster.place / "log")
    cluster.run("initdb", "-D", data, "-U", "digitline", "--auth=trust", "--no-sync")
    listen = f"-p {cluster.port} -k {cluster.place} -c listen_addresses=127.0.0.1"
    cluster.run("pg_ctl", "-D", data, "-l", log, "-o", listen, "-w", "start")
    try:
        where = ("-h", "127.0.0.1", "-p", str(cluster.port), "-U", "digitline")
        cluster.run("createdb", *where, "digitline")
        yield cluster
    finally:
        cluster.run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(cluster.place)


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
