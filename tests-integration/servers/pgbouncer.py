"""PgBouncer before a PostgreSQL server."""

from __future__ import annotations

import contextlib
import functools
import subprocess
from collections.abc import Generator, Sequence
from pathlib import Path

from servers.client import Server
from servers.daemon import Daemon, Place, place, running
from servers.found import program, unavailable
from servers.postgres import Cluster


class PgBouncer(Daemon):
    """One PgBouncer in transaction mode: clients share `size` connections to each database of `cluster`."""

    def __init__(self, where: Place, port: int, binary: Path, cluster: Cluster, size: int) -> None:
        super().__init__(where, port)
        self.binary = binary
        self.cluster = cluster
        self.size = size

    def command(self) -> Sequence[str | Path]:
        users = self.place.write("users.txt", '"postgres" ""\n')
        # auth_type=any logs everybody in as the user of the connect string: it is about pooling here, not passwords.
        settings = self.place.write(
            "pgbouncer.ini",
            f"""
            [databases]
            * = host=127.0.0.1 port={self.cluster.port} user=postgres

            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {self.port}
            unix_socket_dir =
            auth_type = any
            auth_file = {users}
            admin_users = postgres
            pool_mode = transaction
            default_pool_size = {self.size}
            max_client_conn = 100
            """.replace("\n            ", "\n"),
        )
        return [self.binary, settings]

    def answers(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            return self.server.ask("SELECT 1") == "1"
        return False

    def url(self, database: str) -> str:
        """The address of a database of the cluster, by way of PgBouncer."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def server(self) -> Server:
        """The server behind it."""
        return Server("postgres", self.url("postgres"), self.cluster.binaries / "psql", self.pid)


@contextlib.contextmanager
def pgbouncer(cluster: Cluster, size: int) -> Generator[PgBouncer]:
    """PgBouncer in transaction mode before `cluster`, with `size` connections for each database."""
    binary = program("pgbouncer")
    if binary is None:
        unavailable("pgbouncer", "it is neither on PATH nor in /usr/sbin")
    with (
        place("pgbouncer") as where,
        running(functools.partial(PgBouncer, where, binary=binary, cluster=cluster, size=size)) as started,
    ):
        yield started
