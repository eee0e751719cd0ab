"""MariaDB."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from collections.abc import Generator, Sequence
from pathlib import Path

from servers.client import Server
from servers.daemon import Daemon, Place, place, running
from servers.found import ADDRESS, program, unavailable


class MariaDB(Daemon):
    """One MariaDB server."""

    def __init__(self, where: Place, port: int, binary: Path, client: Path) -> None:
        super().__init__(where, port)
        self.binary = binary
        self.client = client

    def command(self) -> Sequence[str | Path]:
        home = self.place.directory
        return [
            *(self.binary, "--no-defaults", f"--datadir={home / 'data'}", "--bind-address=127.0.0.1"),
            *(f"--port={self.port}", f"--socket={home / 'sock'}", f"--pid-file={home / 'pid'}"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=128M"),
        ]

    def answers(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            return self.server.ask("SELECT 1") == "1"
        return False

    @property
    def server(self) -> Server:
        """The server as its superuser sees it."""
        return Server("mariadb", f"mysql://root@127.0.0.1:{self.port}/", self.client, self.pid)


@contextlib.contextmanager
def mariadb() -> Generator[Server]:
    """The MariaDB server of the environment, or one of PATH."""
    client, binary = program("mariadb"), program("mariadbd")
    if client is None:
        unavailable("mariadb", "the client mariadb is not on PATH")
    if url := os.environ.get(ADDRESS["mariadb"]):
        yield Server("mariadb", url, client)
    elif binary is None:
        unavailable("mariadb", "mariadbd is not on PATH")
    else:
        with place("mariadb") as where:
            install = ("mariadb-install-db", "--no-defaults", f"--datadir={where.directory / 'data'}")
            where.run(*install, "--skip-test-db", "--auth-root-authentication-method=normal")
            with running(functools.partial(MariaDB, where, binary=binary, client=client)) as started:
                yield started.server
