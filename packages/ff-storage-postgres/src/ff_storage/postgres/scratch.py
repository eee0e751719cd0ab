"""A place of one's own for the desired tables: written by the real DDL writer, read back, and rolled back.

`pg_temp` first, for which the TEMP right suffices; else a schema with a random name; else random names in the schema of
the tables. Tables of one schema at a time, and at most `BATCH` of them, because each takes some 15 locks of a table
that the whole server shares. Foreign keys are never built here: one to a real table would block its writers.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ff_storage.core.errors import ConfigurationError, QueryError, SchemaError
from ff_storage.core.facts import Fact
from ff_storage.core.program import Execute, Fetch, Program, Row
from ff_storage.core.tables import Table
from ff_storage.postgres import ddl
from ff_storage.postgres.introspect import Reading, read_facts
from ff_storage.postgres.values import quoted

if TYPE_CHECKING:
    from ff_storage.postgres.dialect import PostgresDialect

BATCH: Final = 100
"""Tables in one savepoint."""

_SAVEPOINT: Final = "ff_storage_desired"

_REFUSED: Final = "ff_storage.refused"
"""The setting by which the server says which statement it refused."""

_RIGHTS: Final = """
SELECT current_schema(), current_setting('search_path'), current_setting('transaction_read_only'),
    current_setting('server_version_num')::integer,
    has_database_privilege(current_database(), 'TEMP'), has_database_privilege(current_database(), 'CREATE'),
    ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    ARRAY(SELECT nspname::text FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE'))
"""


@dataclass(frozen=True, slots=True)
class Session:
    """What the session sees and may do. `temporary` are the names of its own temporary relations."""

    schema: str
    path: str
    read_only: bool
    version: int
    may_temporary: bool
    may_schema: bool
    temporary: frozenset[str]
    writable: frozenset[str]

    def schema_of(self, table: Table) -> str:
        """The schema that has the table."""
        return table.schema or self.schema


def read_session() -> Program[Session]:
    """The session as it is now. Raises SchemaError when it has no schema to create in by default."""
    rows: list[Row] = yield Fetch(_RIGHTS)
    schema, path, read_only, version, may_temporary, may_schema, temporary, writable = rows[0]
    if schema is None:
        raise SchemaError(
            "the connection has no default schema",
            found=f"search_path is {path}",
            remedy="create the schema that search_path names, or set search_path to one that exists",
        )
    return Session(
        schema, path, read_only == "on", version, may_temporary, may_schema, frozenset(temporary), frozenset(writable)
    )


def batches(tables: Sequence[Table], session: Session) -> Iterator[tuple[str, list[Table]]]:
    """The tables by schema, at most BATCH at a time."""
    by_schema: dict[str, list[Table]] = {}
    for table in tables:
        by_schema.setdefault(session.schema_of(table), []).append(table)
    for schema, group in by_schema.items():
        for start in range(0, len(group), BATCH):
            yield schema, group[start : start + BATCH]


def facts_of(tables: Sequence[Table], dialect: PostgresDialect, session: Session) -> Program[frozenset[Fact]]:
    """The facts that the tables would have, without their foreign keys.

    Raises ConfigurationError when the server refuses a table's own expressions.
    """
    facts: set[Fact] = set()
    for schema, batch in batches(tables, session):
        work = _Work(schema, batch, _place(schema, batch, session), dialect, session, None)
        yield Execute(f"SAVEPOINT {_SAVEPOINT}")
        refused = yield from _create(work)
        if refused is not None:
            yield Execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            yield from _create_anew(work, refused)
        facts |= yield from _read(work)
        yield from _undo()
    return frozenset(facts)


def facts_of_texts(
    table: Table, texts: ddl.Texts, dialect: PostgresDialect, session: Session
) -> Program[frozenset[Fact] | None]:
    """The facts of the table with other expressions, in the words in which the server prints them.

    None when the server refuses them.
    """
    schema = session.schema_of(table)
    work = _Work(schema, [table], _place(schema, [table], session), dialect, session, texts)
    yield Execute(f"SAVEPOINT {_SAVEPOINT}")
    refused = yield from _create(work)
    facts = (yield from _read(work)) if refused is None else None
    yield from _undo()
    return facts


def _undo() -> Program[None]:
    # Behind an error there is nothing to undo: it ends the transaction, or the savepoint of whoever runs this.
    yield Execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
    yield Execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")


def _place(schema: str, batch: Sequence[Table], session: Session) -> ddl.Place:
    if session.read_only:
        raise SchemaError(
            "the server compares the tables by creating them in a place of their own, and this session cannot write",
            remedy="run it on the primary, outside a read-only transaction",
        )
    hidden = session.temporary & {relation for table in batch for relation in _relations(table)}
    if hidden:
        raise SchemaError(
            "temporary tables of this session hide what is compared and created",
            found=", ".join(sorted(hidden)),
            remedy="drop them, or run it on another connection",
        )
    if session.may_temporary:
        return ddl.Place(temporary=True)
    unique = f"ff_storage_{secrets.token_hex(8)}"
    if session.may_schema:
        return ddl.Place(schema=unique)
    if schema in session.writable:
        return ddl.Place(schema=schema, prefix=unique)
    raise SchemaError(
        "there is no place to write the desired tables to, from which the server's own words are read back",
        found=f"neither TEMP nor CREATE on the database, nor CREATE on the schema {schema}",
        remedy="GRANT TEMPORARY ON DATABASE … TO the role that runs sync_schema",
    )


def _relations(table: Table) -> Iterator[str]:
    """The names that a table takes in its schema."""
    yield table.name
    yield ddl.primary_key_name(table)
    for index in table.indexes:
        yield index.name


@dataclass(frozen=True, slots=True)
class _Work:
    """One batch, and where it goes."""

    schema: str
    tables: Sequence[Table]
    place: ddl.Place
    dialect: PostgresDialect
    session: Session
    texts: ddl.Texts | None

    @property
    def new_schema(self) -> list[str]:
        """The schema that has to be made for it, if any."""
        return [self.place.schema] if self.place.schema is not None and not self.place.prefix else []

    @property
    def statements(self) -> list[str]:
        """What creates the tables."""
        return [statement for table in self.tables for statement in self._of(table)]

    def _of(self, table: Table) -> list[str]:
        return ddl.create_table(table, self.dialect, place=self.place, texts=self.texts)

    def owner(self, statement: str) -> Table:
        """The table that the statement is about."""
        return next(table for table in self.tables if statement in self._of(table))


def _create(work: _Work) -> Program[int | None]:
    """Create the tables; the number of the statement that the server refuses, or None.

    All go to the server as one, in a block that catches what a statement raises: a transaction with a failed statement
    is at its end.
    """
    yield from _prepare(work)
    yield Execute(_script(work.statements))
    rows: list[Row] = yield Fetch("SELECT current_setting($1, true)", (_REFUSED,))
    return int(rows[0][0]) if rows[0][0] else None


def _prepare(work: _Work) -> Program[None]:
    quote = work.dialect.quote
    for name in work.new_schema:
        yield Execute(f"CREATE SCHEMA {quote(name)}")
    searched = work.session.path if work.texts is None else quote(work.schema)
    path = ", ".join([*map(quote, work.new_schema), searched])
    yield Fetch("SELECT set_config('search_path', $1, true), set_config($2, '', true)", (path, _REFUSED))


def _script(statements: Sequence[str]) -> str:
    body = "\n".join(f"n := {number}; EXECUTE {quoted(text)};" for number, text in enumerate(statements))
    caught = f"EXCEPTION WHEN OTHERS THEN PERFORM set_config('{_REFUSED}', n::text, true);"
    return f"DO {quoted(f'DECLARE n integer; BEGIN {body} {caught} END')}"


def _create_anew(work: _Work, refused: int) -> Program[None]:
    """Let the driver raise what the server says about the refused statement."""
    statements = work.statements
    yield from _prepare(work)
    yield Execute(_script(statements[:refused]))
    for statement in statements[refused:]:
        try:
            yield Execute(statement)
        except QueryError as error:
            if not _of_the_model(error):
                raise
            raise ConfigurationError(
                f"PostgreSQL cannot create {work.owner(statement).full_name}",
                found=f"{error.message}, in {ascii(statement)[1:300]}",
            ) from error


def _read(work: _Work) -> Program[frozenset[Fact]]:
    namespace = work.place.schema or ""
    if work.place.temporary:
        rows: list[Row] = yield Fetch("SELECT nspname::text FROM pg_namespace WHERE oid = pg_my_temp_schema()")
        namespace = rows[0][0]
    names = {work.place.relation(name): name for table in work.tables for name in _relations(table)}
    path = [*work.new_schema, work.schema]
    return (yield from read_facts(Reading(namespace, path, work.tables, work.session.version, work.place, names)))


def _of_the_model(error: QueryError) -> bool:
    """Whether the server refuses what the description says, and not that, when or by whom it is created."""
    state = str(error.details.get("sqlstate", ""))
    return state[:2] in {"0A", "22", "2B", "42", "54"} and state != "42501"
