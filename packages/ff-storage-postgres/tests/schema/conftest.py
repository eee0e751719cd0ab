"""A plain psycopg connection that performs the commands of a program, and nothing else."""

from collections.abc import Iterator
from typing import Any, TypeVar

import psycopg
import pytest

from ff_storage.core.facts import Fact
from ff_storage.core.program import Command, ExecuteMany, Fetch, Program, run_sync
from ff_storage.core.tables import Table
from ff_storage.postgres import ddl, errors
from ff_storage.postgres.dialect import PostgresDialect
from ff_storage.postgres.introspect import Reading, read_facts
from ff_storage.postgres.schema import PostgresSchema

T = TypeVar("T")


class Plain:
    """Drives programs over one psycopg connection in autocommit mode, and keeps the texts it was sent."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.sent: list[str] = []

    @property
    def version(self) -> int:
        return self.connection.info.server_version

    def perform(self, command: Command) -> Any:
        assert not isinstance(command, ExecuteMany)
        self.sent.append(command.text)
        cursor: psycopg.RawCursor[Any] = psycopg.RawCursor(self.connection)
        try:
            cursor.execute(command.text.encode(), list(command.parameters) or None)
            return cursor.fetchall() if isinstance(command, Fetch) else cursor.rowcount
        except psycopg.Error as error:
            raise errors.of_server(error.sqlstate or "", str(error)) from error

    def run(self, program: Program[T]) -> T:
        """In a transaction, as the schema part runs it."""
        with self.connection.transaction():
            return run_sync(program, self)

    def script(self, sql: str) -> "Plain":
        self.connection.execute(sql.encode())
        return self

    def rows(self, sql: str) -> list[Any]:
        return self.connection.execute(sql.encode()).fetchall()

    def facts(self, *tables: str, schema: str = "public", place: ddl.Place = ddl.REAL) -> frozenset[Fact]:
        """The facts of tables that no model describes."""
        described = [Table(name=name, schema=None, columns=(), primary_key=()) for name in tables]
        if place.temporary:
            ((schema_of_place,),) = self.rows("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")
        else:
            schema_of_place = schema
        return self.run(read_facts(Reading(schema_of_place, [schema], described, self.version, place)))


@pytest.fixture
def backend(plain: Plain) -> PostgresSchema:
    dialect = PostgresDialect()
    dialect.learn(plain.version, frozenset())
    return PostgresSchema(dialect)


@pytest.fixture
def plain(empty_database: str) -> Iterator[Plain]:
    database = Plain(empty_database)
    yield database
    database.connection.close()
