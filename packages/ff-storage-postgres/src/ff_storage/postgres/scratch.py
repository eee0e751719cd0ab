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

from ff_storage.core.errors import ConfigurationError, DatabaseError, QueryError, SchemaError
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


def facts_of(
    tables: Sequence[Table], dialect: PostgresDialect, session: Session, texts: ddl.Texts | None = None
) -> Program[frozenset[Fact]]:
    """The facts that the tables would have, without their foreign keys.

    With `texts` their expressions are declared anew, in the words in which a schema's names are printed.
    Raises ConfigurationError when the server refuses a table's own expressions.
    """
    facts: set[Fact] = set()
    for schema, batch in batches(tables, session):
        work = _Work(schema, batch, _place(schema, batch, session), dialect, session, texts)
        yield Execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            facts |= yield from _read(work)
        except (DatabaseError, ConfigurationError):
            yield from _undo()
            raise
        yield Execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        yield Execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    return frozenset(facts)


def _undo() -> Program[None]:
    try:
        yield Execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        yield Execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    except DatabaseError:
        return  # a connection that is lost has no savepoint any more


def _place(schema: str, batch: Sequence[Table], session: Session) -> ddl.Place:
    if session.read_only:
        raise SchemaError(
            "the server compares the tables by creating them in a place of their own, and this session cannot write",
            remedy="run it on the primary, outside a read-only transaction",
        )
    names = {relation for table in batch for relation in _relations(table)}
    if session.may_temporary and not names & session.temporary:
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

    def statements(self, table: Table) -> list[str]:
        """What creates a table of it."""
        return ddl.create_table(table, self.dialect, place=self.place, texts=self.texts)


def _read(work: _Work) -> Program[frozenset[Fact]]:
    try:
        yield from _prepare(work)
        yield Execute(_script([text for table in work.tables for text in work.statements(table)]))
    except QueryError as error:
        if not _of_the_model(error):
            raise
        # Again, one by one, to learn which it is.
        yield Execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        yield from _prepare(work)
        for table in work.tables:
            yield from _try(work, table)
    namespace = work.place.schema or ""
    if work.place.temporary:
        rows: list[Row] = yield Fetch("SELECT nspname::text FROM pg_namespace WHERE oid = pg_my_temp_schema()")
        namespace = rows[0][0]
    names = {work.place.relation(name): name for table in work.tables for name in _relations(table)}
    path = [*work.new_schema, work.schema]
    return (yield from read_facts(Reading(namespace, path, work.tables, work.session.version, work.place, names)))


def _prepare(work: _Work) -> Program[None]:
    quote = work.dialect.quote
    for name in work.new_schema:
        yield Execute(f"CREATE SCHEMA {quote(name)}")
    searched = work.session.path if work.texts is None else quote(work.schema)
    path = ", ".join([*map(quote, work.new_schema), searched])
    yield Fetch("SELECT set_config('search_path', $1, true)", (path,))


def _script(statements: Sequence[str]) -> str:
    """All the statements as one, so that they take one way to the server and back instead of one each."""
    body = "\n".join(f"EXECUTE {quoted(text)};" for text in statements)
    return f"DO {quoted(f'BEGIN {body} END')}"


def _try(work: _Work, table: Table) -> Program[None]:
    statement = ""
    try:
        for statement in work.statements(table):
            yield Execute(statement)
    except QueryError as error:
        if not _of_the_model(error):
            raise
        raise ConfigurationError(
            f"PostgreSQL cannot create {table.full_name}",
            found=f"{error.message}, in {ascii(statement)[1:300]}",
        ) from error


def _of_the_model(error: QueryError) -> bool:
    """Whether the server refuses what the description says, and not that, when or by whom it is created."""
    state = str(error.details.get("sqlstate", ""))
    return state[:2] in {"0A", "22", "2B", "42", "54"} and state != "42501"
