"""The engines under faults: how each opens a pool, and what can be done to its server.

A test takes the fixture of the capability that its row needs (`engine`, `server_engine`, …). Another engine is one more
class here and one more name in `ENGINES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote

import servers
from faults.ledger import DEFINITION, TABLE
from faults.proxy import FaultProxy
from ff_storage.core.database import Pool, open_pool
from ff_storage.core.database.sync import SQL

USER: Final = "app"
ROLE: Final = "app_owner"
"""A role that the library's user may take."""

SECRET: Final = "s3cret p@ss/word:%"
"""The password of the library's user; it must be seen nowhere."""

ENGINES: Final = ("sqlite", *(f"postgres-{source}" for source in servers.postgres_binaries()))
SERVER_ENGINES: Final = tuple(name for name in ENGINES if name != "sqlite") or ("postgres-none",)


@dataclass(frozen=True, slots=True)
class State:
    """What the server holds for the library's user."""

    sessions: int = 0
    in_transaction: int = 0
    locks: int = 0


class Engine(ABC):
    """An engine with a database of the test's own, and the table of `ledger` in it.

    `impatient` are the options of a pool that does not wait for locks.
    """

    impatient: ClassVar[Mapping[str, Any]] = {}

    @property
    @abstractmethod
    def url(self) -> str:
        """The address of the database, for the library."""

    def pool(self, url: str | None = None, **options: Any) -> Pool:
        """A pool on the database, not connected yet; it has no connection of its own accord."""
        return open_pool(url or self.url, **{"min_size": 0, "max_size": 3, **options})

    @abstractmethod
    def sync(self, url: str | None = None, **options: Any) -> SQL:
        """A synchronous database, not connected yet."""

    @abstractmethod
    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows by an independent client, as text or as the client gives them. It blocks the loop."""

    @abstractmethod
    def state(self) -> State:
        """The sessions, open transactions and locks of the library. It blocks the loop."""

    @abstractmethod
    def slow(self, seconds: float) -> str:
        """A query that takes at least so long, and returns one row."""

    def stored(self) -> dict[int, int]:
        """The units of work that are stored, and how many of their parts."""
        rows = self.ask(f"SELECT unit, count(*) FROM {TABLE} GROUP BY unit")
        return {int(unit): int(parts) for unit, parts in rows}

    async def ask_aside(self, sql: str) -> list[tuple[Any, ...]]:
        """`ask`, while the loop runs on."""
        return await asyncio.to_thread(self.ask, sql)


class ServerEngine(Engine):
    """An engine with a server, whose sessions can be seen, killed and stalled."""

    cluster: servers.Cluster
    database: str

    @property
    @abstractmethod
    def port(self) -> int:
        """The server's port on the loopback."""

    @abstractmethod
    def by(self, proxy: FaultProxy) -> str:
        """The address of the database by way of a proxy; nothing on it is encrypted."""

    @abstractmethod
    def sessions(self) -> list[int]:
        """The ids of the library's sessions."""

    @abstractmethod
    def busy(self) -> list[int]:
        """The library's sessions in which a statement runs."""

    @abstractmethod
    def kill(self, session: int) -> None:
        """Have the server end a session, and wait until it is gone."""

    @abstractmethod
    def crash(self, session: int) -> None:
        """Kill a session's process as a fault of the server would. Other sessions may end with it."""

    @abstractmethod
    def stalled(self, session: int) -> contextlib.AbstractContextManager[None]:
        """A block in which nothing runs in a session."""

    @abstractmethod
    def stalled_server(self) -> contextlib.AbstractContextManager[None]:
        """A block in which the server accepts links and answers none. Needs a server of the test's own."""

    @abstractmethod
    def own_session(self) -> str:
        """The query for the id of the session that runs it."""

    def kill_all(self) -> None:
        """End every session of the library."""
        for session in self.sessions():
            self.kill(session)

    @abstractmethod
    def leaks(self) -> dict[str, tuple[list[str], str]]:
        """By name: raw statements that change a session, and the query that shows whether it is changed."""


class SQLite(Engine):
    """A file in a directory of the test's own."""

    impatient: ClassVar[Mapping[str, Any]] = {"busy_timeout": 0.1}

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ask("PRAGMA journal_mode = WAL")

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def sync(self, url: str | None = None, **options: Any) -> SQL:
        from ff_storage.sqlite import SQLite as Database

        return Database.from_url(url or self.url, **options)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(sql).fetchall()

    def state(self) -> State:
        # A file has no sessions to list; an open transaction of a writer shows as its lock.
        with contextlib.closing(sqlite3.connect(self.path, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return State(in_transaction=1, locks=1)
        return State()

    def slow(self, seconds: float) -> str:
        steps = int(seconds * 10_000_000)  # none does so many in that time
        return (
            "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n"
            f" WHERE x < {steps}) SELECT count(*) FROM n WHERE abs(x) > 0"
        )


class Postgres(ServerEngine):
    """A database of a cluster; the library comes in with a password, as an ordinary user."""

    def __init__(self, cluster: servers.Cluster, database: str) -> None:
        self.cluster = cluster
        self.database = database

    @staticmethod
    def admit(cluster: servers.Cluster) -> None:
        """Make the library's user known to a cluster."""
        cluster.ask(f"CREATE ROLE {USER} LOGIN PASSWORD '{SECRET}'; CREATE ROLE {ROLE}; GRANT {ROLE} TO {USER}")

    def prepare(self) -> None:
        """Make the table of `ledger`, which is the library's own."""
        self.ask(f"SET ROLE {USER}; {DEFINITION}")

    @property
    def url(self) -> str:
        return self._url(self.cluster.port)

    def _url(self, port: int) -> str:
        return f"postgresql://{USER}:{quote(SECRET, safe='')}@127.0.0.1:{port}/{self.database}"

    @property
    def port(self) -> int:
        return self.cluster.port

    def by(self, proxy: FaultProxy) -> str:
        return self._url(proxy.port)

    def sync(self, url: str | None = None, **options: Any) -> SQL:
        from ff_storage.postgres import Postgres as Database

        return Database.from_url(url or self.url, **options)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        answer = self.cluster.server.at(self.database).ask(sql)
        return [tuple(line.split("|")) for line in answer.splitlines()]

    def _sessions(self) -> str:
        return f"pg_stat_activity WHERE usename = '{USER}' AND datname = '{self.database}'"

    def state(self) -> State:
        ((sessions, open_, locks),) = self.ask(
            f"SELECT (SELECT count(*) FROM {self._sessions()}),"
            f" (SELECT count(*) FROM {self._sessions()} AND xact_start IS NOT NULL),"
            f" (SELECT count(*) FROM pg_locks WHERE pid IN (SELECT pid FROM {self._sessions()}))"
        )
        return State(int(sessions), int(open_), int(locks))

    def sessions(self) -> list[int]:
        return [int(pid) for (pid,) in self.ask(f"SELECT pid FROM {self._sessions()} ORDER BY backend_start")]

    def busy(self) -> list[int]:
        return [int(pid) for (pid,) in self.ask(f"SELECT pid FROM {self._sessions()} AND state = 'active'")]

    def kill(self, session: int) -> None:
        self.ask(f"SELECT pg_terminate_backend({session}, 20000)")

    def crash(self, session: int) -> None:
        os.kill(session, signal.SIGKILL)

    @contextlib.contextmanager
    def stalled(self, session: int) -> Generator[None]:
        os.kill(session, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(session, signal.SIGCONT)

    @contextlib.contextmanager
    def stalled_server(self) -> Generator[None]:
        self.cluster.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.cluster.signal(signal.SIGCONT)

    def own_session(self) -> str:
        return "SELECT pg_backend_pid()"

    def slow(self, seconds: float) -> str:
        return f"SELECT pg_sleep({seconds:g})"

    def leaks(self) -> dict[str, tuple[list[str], str]]:
        return {
            "search_path": (["SET search_path = pg_catalog"], "SHOW search_path"),
            "statement_timeout": (["SET statement_timeout = '7s'"], "SHOW statement_timeout"),
            "time zone": (["SET TIME ZONE 'Asia/Kathmandu'"], "SHOW TimeZone"),
            "by a function": (["SELECT set_config('work_mem', '77kB', false)"], "SHOW work_mem"),
            "isolation": (
                ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
                "SHOW transaction_isolation",
            ),
            "role": ([f"SET ROLE {ROLE}"], "SELECT current_user"),
            "advisory lock": (
                ["SELECT pg_advisory_lock(42)"],
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
            ),
            "temporary table": (
                ["CREATE TEMP TABLE mine (n integer)", "SELECT n INTO TEMP other FROM mine"],
                "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
            ),
            "listener": (["LISTEN somewhere"], "SELECT count(*) FROM pg_listening_channels()"),
            "prepared statement": (
                ["PREPARE mine AS SELECT 1"],
                "SELECT count(*) FROM pg_prepared_statements WHERE from_sql",
            ),
            "cursor": (
                ["DECLARE mine CURSOR WITH HOLD FOR SELECT 1"],
                "SELECT count(*) FROM pg_cursors WHERE name = 'mine'",
            ),
            "open transaction": (["BEGIN", f"INSERT INTO {TABLE} VALUES (1, 1)"], f"SELECT count(*) FROM {TABLE}"),
        }
