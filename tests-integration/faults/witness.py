"""Who looks at the database from outside, often: through one link of its own, and in no way through the library."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg

from faults.engines import USER, Engine, Postgres, State


class Witness(ABC):
    """Asks and changes the database beside the library."""

    @abstractmethod
    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows, in the witness's own values."""

    @abstractmethod
    async def state(self) -> State:
        """What the server holds for the library."""

    @abstractmethod
    async def kill_one(self) -> bool:
        """End one session of the library, whichever, and do not wait; False where there is none."""

    @abstractmethod
    async def has_table(self, name: str) -> bool:
        """Whether there is such a table."""


class _Outside(Witness):
    """Any engine, by what it says itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._engine.ask(sql)

    async def state(self) -> State:
        return self._engine.state()

    async def kill_one(self) -> bool:
        return False

    async def has_table(self, name: str) -> bool:
        return bool(self._engine.ask(f"SELECT name FROM sqlite_master WHERE type = 'table' AND name = '{name}'"))


class _Superuser(Witness):
    """PostgreSQL: a link that is kept, where a client for each question would take most of the time."""

    def __init__(self, link: Any) -> None:
        self._link = link

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self._link.fetch(sql)]

    async def state(self) -> State:
        library = f"FROM pg_stat_activity WHERE usename = '{USER}' AND datname = current_database()"
        row = await self._link.fetchrow(
            f"SELECT (SELECT count(*) {library}), (SELECT count(*) {library} AND xact_start IS NOT NULL),"
            f" (SELECT count(*) FROM pg_locks WHERE pid IN (SELECT pid {library}))"
        )
        return State(*row)

    async def kill_one(self) -> bool:
        return bool(
            await self._link.fetchval(
                f"SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE usename = '{USER}'"
                " AND datname = current_database() ORDER BY random() LIMIT 1) AS one"
            )
        )

    async def has_table(self, name: str) -> bool:
        return bool(await self._link.fetchval(f"SELECT to_regclass('{name}') IS NOT NULL"))


@contextlib.asynccontextmanager
async def witness(engine: Engine) -> AsyncGenerator[Witness]:
    """A witness for the length of the block. It waits for no lock for long."""
    if not isinstance(engine, Postgres):
        yield _Outside(engine)
        return
    link = await asyncpg.connect(
        engine.cluster.url("postgres", engine.database), server_settings={"statement_timeout": "10s"}
    )
    try:
        yield _Superuser(link)
    finally:
        await link.close()
