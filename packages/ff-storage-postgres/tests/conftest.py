"""PostgreSQL servers, and an empty database for each test."""

from collections.abc import Iterator

import psycopg
import pytest

import servers


@pytest.fixture(scope="session", params=servers.postgres_sources())
def postgres_server(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    """A PostgreSQL server, once for each installation that is there."""
    with servers.postgres(request.param) as server:
        yield server


@pytest.fixture(scope="session")
def _database(postgres_server: servers.Server) -> Iterator[tuple[str, psycopg.Connection]]:
    with postgres_server.database() as database, psycopg.connect(database.url, autocommit=True) as connection:
        yield database.url, connection


@pytest.fixture
def empty_database(_database: tuple[str, psycopg.Connection]) -> Iterator[str]:
    """The URL of an empty database. It is emptied and not made anew, which takes a tenth of the time."""
    url, connection = _database
    yield url
    schemas = connection.execute(
        "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    ).fetchall()
    connection.execute(f"DROP SCHEMA {', '.join(name for (name,) in schemas)} CASCADE; CREATE SCHEMA public")
