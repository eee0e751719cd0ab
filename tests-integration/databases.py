"""Databases for tests that come by the hundred: each is made once for the session, and emptied between tests.

An engine's name here is `sqlite`, or `postgres-` and the source of its programs. What a test needs of an engine it
asks of the pool's dialect, by capability; the name only says which database to open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Final

import psycopg

import servers
from ff_storage.core.database import Pool
from ff_storage.core.model import PydanticModel
from ff_storage.testing import create_tables

SERVER_ENGINES: Final = tuple(f"postgres-{source}" for source in servers.postgres_sources())
ENGINES: Final = ("sqlite", *SERVER_ENGINES)


class Emptied:
    """One database on a server with the tables of `models`, which `prepare` makes; a connection beside all pools."""

    def __init__(self, url: str, models: Sequence[type[PydanticModel]], connection: psycopg.Connection) -> None:
        self.url = url
        self.models = models
        self._connection = connection
        self._tables: tuple[str, ...] | None = None

    async def prepare(self, pool: Pool) -> None:
        """Make the tables, unless a test before has done so."""
        if self._tables is None:
            await create_tables(pool, *self.models)
            self._tables = self._found()

    def empty(self) -> None:
        """Leave the tables that `prepare` has made, and nothing in them."""
        kept = self._tables or ()
        for name in self._found():
            if name not in kept:
                self._run(f'DROP TABLE "{name}" CASCADE')
        # DELETE takes a fraction of what TRUNCATE does, and as a replica the server lets parents go before children.
        if kept:
            self._run(
                "; ".join(["SET session_replication_role = replica", *(f'DELETE FROM "{name}"' for name in kept)])
            )

    def _run(self, sql: str) -> None:
        self._connection.execute(sql.encode())

    def _found(self) -> tuple[str, ...]:
        rows = self._connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        return tuple(name for (name,) in rows)


class Databases:
    """The servers of the session, started when they are first asked for, and the databases on them."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._servers: dict[str, servers.Server] = {}
        self._databases: dict[tuple[str, str], Emptied] = {}

    @contextlib.contextmanager
    def of(self, engine: str, purpose: str, models: Sequence[type[PydanticModel]]) -> Generator[Emptied]:
        """The database of one `purpose` on one server, with no row in it; emptied afterwards."""
        key = (engine, purpose)
        if key not in self._databases:
            database = self._stack.enter_context(self._server(engine).database())
            connection = self._stack.enter_context(psycopg.connect(database.url, autocommit=True))
            self._databases[key] = Emptied(database.url, models, connection)
        try:
            yield self._databases[key]
        finally:
            self._databases[key].empty()

    def _server(self, engine: str) -> servers.Server:
        if engine not in self._servers:
            self._servers[engine] = self._stack.enter_context(servers.postgres(engine.removeprefix("postgres-")))
        return self._servers[engine]
