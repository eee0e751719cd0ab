"""Engines as fixtures, by what a row needs of them."""

from __future__ import annotations

import contextlib
import faulthandler
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

import servers
from faults.engines import ENGINES, SERVER_ENGINES, USER, Engine, Postgres, ServerEngine, SQLite
from faults.ledger import DEFINITION
from faults.proxy import FaultProxy

HANG: Final = 180.0
"""Seconds after which a test counts as hung: it shows where, and the run ends."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Show where a test hangs, and end it, instead of hanging with it."""
    del item
    faulthandler.dump_traceback_later(HANG, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _cluster(name: str) -> Generator[servers.Cluster]:
    with servers.cluster(name.removeprefix("postgres-"), access=servers.PASSWORDS) as cluster:
        Postgres.admit(cluster)
        yield cluster


@contextlib.contextmanager
def _database(cluster: servers.Cluster) -> Generator[Postgres]:
    with cluster.server.database(owner=USER) as database:
        yield _postgres(cluster, database.url.rpartition("/")[2])


def _postgres(cluster: servers.Cluster, database: str) -> Postgres:
    engine = Postgres(cluster, database)
    engine.prepare()
    return engine


class Clusters:
    """One cluster of each source for the session, started when it is first asked for."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._started: dict[str, servers.Cluster] = {}

    def of(self, name: str) -> servers.Cluster:
        """The cluster of an engine's name."""
        if name not in self._started:
            self._started[name] = self._stack.enter_context(_cluster(name))
        return self._started[name]


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    """The clusters that tests share, which leave the server itself alone."""
    with contextlib.ExitStack() as stack:
        yield Clusters(stack)


def _sqlite(directory: Path) -> SQLite:
    servers.check_sqlite()
    engine = SQLite(directory / "faults.db")
    engine.ask(DEFINITION)
    return engine


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLite:
    """SQLite, for what only a file has."""
    return _sqlite(tmp_path)


@contextlib.contextmanager
def _engine(name: str, clusters: Clusters, directory: Path) -> Generator[Engine]:
    if name == "sqlite":
        yield _sqlite(directory)
    else:
        with _database(clusters.of(name)) as postgres:
            yield postgres


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, clusters: Clusters, tmp_path: Path) -> Iterator[Engine]:
    """Any engine."""
    with _engine(request.param, clusters, tmp_path) as engine:
        yield engine


@pytest.fixture(scope="module", params=ENGINES)
def shared_engine(
    request: pytest.FixtureRequest, clusters: Clusters, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Any engine, with one database for the tests of a module, which leave it as they found it."""
    with _engine(request.param, clusters, tmp_path_factory.mktemp("shared")) as engine:
        yield engine


@pytest.fixture(params=SERVER_ENGINES)
def server_engine(request: pytest.FixtureRequest, clusters: Clusters) -> Iterator[ServerEngine]:
    """An engine with a server; its sessions may be killed and stalled, the server may not."""
    with _database(clusters.of(request.param)) as postgres:
        yield postgres


@pytest.fixture(params=SERVER_ENGINES)
def own_server(request: pytest.FixtureRequest) -> Iterator[ServerEngine]:
    """An engine with a server of the test's own, to stop, stall and configure."""
    with _cluster(request.param) as cluster:
        cluster.ask(f"CREATE DATABASE faults OWNER {USER}")
        yield _postgres(cluster, "faults")


@pytest.fixture
async def proxy(server_engine: ServerEngine) -> AsyncIterator[FaultProxy]:
    """A proxy before the server of `server_engine`."""
    async with FaultProxy("127.0.0.1", server_engine.port) as proxy:
        yield proxy
