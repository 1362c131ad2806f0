"""PostgreSQL as Debian packs it, a cluster of its own for a test."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.machine import free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))


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


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a cluster with an empty database."""
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
