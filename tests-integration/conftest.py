"""The servers as fixtures: one of a kind for the session, a database of its own for each test."""

import contextlib
from collections.abc import Iterator

import pytest

import servers
from databases import Databases


@pytest.fixture(scope="session", params=servers.postgres_sources())
def postgres_server(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    """A PostgreSQL server, once for each installation that is there."""
    with servers.postgres(request.param) as server:
        yield server


@pytest.fixture
def postgres(postgres_server: servers.Server) -> Iterator[servers.Server]:
    """A database of the test's own on PostgreSQL."""
    with postgres_server.database() as database:
        yield database


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[servers.Server]:
    """A MariaDB server."""
    with servers.mariadb() as server:
        yield server


@pytest.fixture
def mariadb(mariadb_server: servers.Server) -> Iterator[servers.Server]:
    """A database of the test's own on MariaDB."""
    with mariadb_server.database() as database:
        yield database


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """The databases that tests share one after another; each server starts when it is first needed."""
    with contextlib.ExitStack() as stack:
        yield Databases(stack)
