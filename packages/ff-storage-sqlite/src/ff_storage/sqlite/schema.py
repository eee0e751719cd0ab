"""SQLite's side of schema work: what the schema part asks of an engine.

The desired tables are written by the real DDL writer into the connection's `temp` schema, read back, and rolled back to
a savepoint: nobody else ever sees them, a read-only database has room for them, and a crash leaves nothing. DDL is
transactional, so a whole run is one transaction; BEGIN IMMEDIATE, with which the runner opens it, is the run lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from ff_storage.core.errors import ConfigurationError, DatabaseError, QueryError, QueryTimeout
from ff_storage.core.facts import Fact
from ff_storage.core.program import Execute, Fetch, Program, Row
from ff_storage.core.tables import ForeignKey, Table
from ff_storage.sqlite import ddl
from ff_storage.sqlite.defaults import default_clause
from ff_storage.sqlite.introspect import Known, read_facts
from ff_storage.sqlite.tokens import fold

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect

T = TypeVar("T")

_SAVEPOINT: Final = "ff_storage_desired"


class SQLiteSchema:
    """Describes and creates tables; implements `core.sql.dialect.SchemaBackend`."""

    transactional_reads: ClassVar[bool] = False

    def __init__(self, dialect: Dialect) -> None:
        self._dialect: Final = dialect
        self._known: Final[Known] = {}

    def check(self, tables: Sequence[Table]) -> None:
        """Refuse what SQLite cannot hold: other schemas, reserved names, one name for two things."""
        taken: dict[str, str] = {}
        for table in tables:
            _in_main(table.schema, table.full_name)
            _claim(table.name, f"the table {table.name}", taken)
            for index in table.indexes:
                _claim(index.name, f"the index {index.name} of {table.name}", taken)
            for key in table.foreign_keys:
                _in_main(key.target_schema, f"{table.name}, whose {key.name} refers to {key.target_table}")
            _known(table)
            self.create_table(table)

    def create_table(self, table: Table) -> list[str]:
        """CREATE TABLE with every constraint, then CREATE INDEX for each index."""
        return ddl.create_table(table, self._dialect)

    def create_tables(self, tables: Sequence[Table]) -> list[str]:
        """All of them in this order: SQLite looks for the target of a reference when a row is written."""
        return [statement for table in tables for statement in self.create_table(table)]

    def create_index(self, table: Table, name: str) -> str:
        """The CREATE INDEX of one of the table's indexes."""
        return ddl.create_index(next(index for index in table.indexes if index.name == name), table, self._dialect)

    def lock(self) -> Program[None]:
        """Nothing: BEGIN IMMEDIATE has let one writer in already."""
        yield from ()

    def pinned(self, work: Program[T]) -> Program[T]:
        """`work` as it is: no setting changes what SQLite stores or says of a table."""
        return work

    def missing_schemas(self, tables: Sequence[Table]) -> Program[dict[str, str]]:
        """None: there is one schema, and `check` has refused the others."""
        del tables
        yield from ()
        return {}

    def current(self, tables: Sequence[Table]) -> Program[frozenset[Fact]]:
        """The facts of the database."""
        return (yield from read_facts("main", tables, self._known))

    def desired(self, tables: Sequence[Table], current: frozenset[Fact]) -> Program[frozenset[Fact]]:
        """The facts that the tables would have; ConfigurationError where SQLite refuses one of them."""
        del current  # the token form is one form for every spelling
        yield Execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            for table in tables:
                yield from self._try(table)
            facts = yield from read_facts("temp", tables, self._known)
        except (DatabaseError, ConfigurationError):
            yield from self._undo()
            raise
        yield Execute(f"ROLLBACK TO {_SAVEPOINT}")
        yield Execute(f"RELEASE {_SAVEPOINT}")
        return facts

    def _try(self, table: Table) -> Program[None]:
        """Create the table in `temp`, and compile its defaults, whose functions CREATE TABLE does not look up."""
        statement = ""
        try:
            for statement in ddl.create_table(table, self._dialect, "temp"):  # named in the error
                yield Execute(statement)
            for column in table.columns:
                default = default_clause(column, table.name, self._dialect)
                if default is not None and default[1]:
                    statement = f"the DEFAULT {default[0]} of {column.name}"
                    yield Fetch(f"EXPLAIN SELECT {default[0]}")
        except QueryError as error:
            if isinstance(error, QueryTimeout):
                raise
            raise ConfigurationError(
                f"SQLite cannot create {table.name}",
                found=f"{error.message}, in {ascii(statement)[1:300]}",
            ) from error

    def _undo(self) -> Program[None]:
        try:
            yield Execute(f"ROLLBACK TO {_SAVEPOINT}")
            yield Execute(f"RELEASE {_SAVEPOINT}")
        except DatabaseError:
            return  # a failed transaction takes no more statements, and its end removes the savepoint

    def unresolved(self, keys: Sequence[ForeignKey]) -> Program[list[ForeignKey]]:
        """Those of the foreign keys whose target table or columns the database does not have."""
        targets = sorted({key.target_table for key in keys})
        existing: list[Row] = yield Fetch(
            "SELECT m.name, x.name FROM main.sqlite_master AS m, pragma_table_xinfo(m.name, 'main') AS x "
            f"WHERE m.type = 'table' AND m.name COLLATE NOCASE IN ({', '.join('?' * len(targets))})",
            targets,
        )
        columns = {(fold(table), fold(column)) for table, column in existing}
        return [
            key
            for key in keys
            if any((fold(key.target_table), fold(column)) not in columns for column in key.target_columns)
        ]

    def verify(self, tables: Sequence[Table]) -> Program[None]:
        """Let SQLite check the foreign keys of new tables: a target without a unique key would fail at every write."""
        for table in tables:
            if not table.foreign_keys:
                continue
            try:
                yield Fetch(f"PRAGMA main.foreign_key_check({self._dialect.quote(table.name)})")
            except QueryError as error:
                raise ConfigurationError(
                    f"a foreign key of {table.name} refers to columns that are no key of their table",
                    found=error.message,
                    remedy="refer to a primary key, or to columns with a unique index over all rows",
                ) from error


def _in_main(schema: str | None, what: str) -> None:
    if schema is not None and fold(schema) != "main":
        raise ConfigurationError(
            f"SQLite has one schema, and {what} is in another",
            found=schema,
            remedy='leave out __schema__, or write __schema__ = "public" for the default one',
        )


def _known(table: Table) -> None:
    """Hold every quoted name to be a column: SQLite takes one that is none for a string, and indexes that."""
    used = [(index.name, name) for index in table.indexes for name in index.columns]
    used += [(key.name, name) for key in table.foreign_keys for name in key.columns]
    used += [(check.name, check.column) for check in table.checks if check.column is not None]
    used += [("the primary key", name) for name in table.primary_key]
    for what, name in used:
        if name not in table.by_name:
            raise ConfigurationError(
                f"{what} of {table.name} names a column that the table does not have",
                found=name,
                remedy=f"known names: {', '.join(table.by_name)}",
            )


def _claim(name: str, what: str, taken: dict[str, str]) -> None:
    """Tables and indexes share one name space in SQLite, without case."""
    folded = fold(name)
    if folded.startswith("sqlite_"):
        raise ConfigurationError(f"{what} has a name that SQLite reserves", remedy="choose one without sqlite_")
    other = taken.setdefault(folded, what)
    if other is not what:
        raise ConfigurationError(
            f"{what} and {other} have one name", remedy="SQLite folds case, and has one set of names for both"
        )
