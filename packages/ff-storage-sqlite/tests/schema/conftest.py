"""A plain connection that performs the commands of a program, and nothing else."""

import sqlite3
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

from ff_storage.core.facts import Fact
from ff_storage.core.program import Command, ExecuteMany, Fetch, Program, run_sync
from ff_storage.core.tables import Table
from ff_storage.sqlite.dialect import SQLiteDialect
from ff_storage.sqlite.errors import translated
from ff_storage.sqlite.introspect import read_facts
from ff_storage.sqlite.schema import SQLiteSchema

T = TypeVar("T")


class Plain:
    """Drives programs over one sqlite3 connection in autocommit mode, and keeps the texts it was sent."""

    def __init__(self, path: str = ":memory:") -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.sent: list[str] = []

    def perform(self, command: Command) -> Any:
        assert not isinstance(command, ExecuteMany)
        self.sent.append(command.text)
        try:
            cursor = self.connection.execute(command.text, list(command.parameters))
            return cursor.fetchall() if isinstance(command, Fetch) else cursor.rowcount
        except sqlite3.Error as error:
            raise translated(error) from error

    def run(self, program: Program[T]) -> T:
        return run_sync(program, self)

    def script(self, sql: str) -> "Plain":
        self.connection.executescript(sql)
        return self

    def facts(self, *tables: str) -> frozenset[Fact]:
        """The facts of tables that no model describes."""
        described = [Table(name=name, schema=None, columns=(), primary_key=()) for name in tables]
        return self.run(read_facts("main", described, {}))


@pytest.fixture
def backend() -> SQLiteSchema:
    return SQLiteSchema(SQLiteDialect())


@pytest.fixture
def plain() -> Iterator[Plain]:
    database = Plain()
    yield database
    database.connection.close()
