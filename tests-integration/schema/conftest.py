"""A database of each engine, and pools on it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import servers
from ff_storage.core.database import Pool, open_pool
from schema.engines import ENGINES, POSTGRES, Engine, Postgres, SQLite


class Servers:
    """One server of each source for the session, started when it is first asked for."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._started: dict[str, servers.Server] = {}

    def of(self, engine: str) -> servers.Server:
        if engine not in self._started:
            source = engine.removeprefix("postgres-")
            self._started[engine] = self._stack.enter_context(servers.postgres(source))
        return self._started[engine]


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, shared_servers: Servers, tmp_path: Path) -> Iterator[Engine]:
    """Any engine."""
    if request.param == "sqlite":
        servers.check_sqlite()
        yield SQLite(f"sqlite:///{tmp_path / 'data.db'}")
    else:
        with shared_servers.of(request.param).database() as database:
            yield Postgres(database.url)


@pytest.fixture(params=POSTGRES)
def postgres_database(request: pytest.FixtureRequest, shared_servers: Servers) -> Iterator[servers.Server]:
    """A database on PostgreSQL, for what only it has."""
    with shared_servers.of(request.param).database() as database:
        yield database


@pytest.fixture
async def any_pool(engine: Engine) -> AsyncIterator[Pool]:
    """A pool on any engine."""
    async with open_pool(engine.url) as opened:
        yield opened


@pytest.fixture
async def pg(postgres_database: servers.Server) -> AsyncIterator[Pool]:
    """A pool on PostgreSQL."""
    async with open_pool(postgres_database.url) as opened:
        yield opened


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """A SQLite database in memory, for what only that has."""
    async with open_pool("sqlite://") as opened:
        yield opened
