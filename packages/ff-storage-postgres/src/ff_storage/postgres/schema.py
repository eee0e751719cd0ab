"""PostgreSQL's side of schema work: what the schema part asks of an engine.

Both sides are read from the catalog in the server's own words: the real tables where they are, the desired ones in a
place of their own (`scratch`). DDL is transactional, so a whole run is one transaction, which an advisory lock of that
transaction lets in one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from ff_storage.core.errors import ConfigurationError, QueryError
from ff_storage.core.facts import Fact
from ff_storage.core.program import Fetch, Program, Row
from ff_storage.core.tables import MAX_IDENTIFIER, ForeignKey, Table
from ff_storage.postgres import ddl
from ff_storage.postgres.introspect import Reading, declared_references, read_facts
from ff_storage.postgres.scratch import Session, batches, facts_of, facts_of_texts, read_session

if TYPE_CHECKING:
    from ff_storage.postgres.dialect import PostgresDialect

T = TypeVar("T")

LOCK_KEY: Final = int.from_bytes(b"ff_stora", "big")
"""The advisory lock of a run."""

LOCK_TIMEOUT: Final = "10s"
"""How long a statement of a run waits for a table that somebody holds, where the session sets no limit of its own."""

PINS: Final[Mapping[str, str]] = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "quote_all_identifiers": "off",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "lc_monetary": "C",
    "jit": "off",  # which takes longer than the catalog queries that it would speed up
}
"""The settings on which depends what an expression means when it is declared, or how it is printed."""

PRINTS: Final = frozenset({"column.default", "column.generated", "check.expression", "index.predicate"})
"""The facts that are expressions."""

ROUNDS: Final = 3
"""How often an expression is declared, at most: each print is declared again until both sides are one."""


class PostgresSchema:
    """Describes and creates tables; implements `core.sql.dialect.SchemaBackend`."""

    transactional_reads: ClassVar[bool] = True

    def __init__(self, dialect: PostgresDialect) -> None:
        self._dialect: Final = dialect

    # --- what needs no server ----------------------------------------------------------------------------------------

    def check(self, tables: Sequence[Table]) -> None:
        """Refuse what PostgreSQL cannot hold: unreadable texts, unknown columns, one name for two things."""
        relations: dict[tuple[str | None, str], str] = {}
        for table in tables:
            _claim(relations, (table.schema, table.name), f"the table {table.full_name}")
            if table.primary_key:
                _claim(relations, (table.schema, ddl.primary_key_name(table)), f"the primary key of {table.full_name}")
            for index in table.indexes:
                _claim(relations, (table.schema, index.name), f"the index {index.name} of {table.full_name}")
            constraints: dict[tuple[str | None, str], str] = {}
            for constraint in (*table.checks, *table.foreign_keys):
                _claim(constraints, (None, constraint.name), f"a constraint {constraint.name} of {table.full_name}")
            _short(table)
            _known(table)
            self.create_table(table)

    def create_table(self, table: Table) -> list[str]:
        """CREATE TABLE with every constraint, then CREATE INDEX for each index."""
        return ddl.create_table(table, self._dialect)

    def create_tables(self, tables: Sequence[Table]) -> list[str]:
        """The tables in this order; a reference to one that comes later is added when that is there."""
        places = {(table.schema, table.name): position for position, table in enumerate(tables)}
        statements: list[str] = []
        behind: list[str] = []
        for position, table in enumerate(tables):
            later = [
                key
                for key in table.foreign_keys
                if places.get((key.target_schema, key.target_table), position) > position
            ]
            statements += ddl.create_table(table, self._dialect, later=later)
            behind += (ddl.add_foreign_key(key, table, self._dialect) for key in later)
        return statements + behind

    def create_index(self, table: Table, name: str) -> str:
        """The CREATE INDEX of one of the table's indexes."""
        return ddl.create_index(next(index for index in table.indexes if index.name == name), table, self._dialect)

    # --- the run -----------------------------------------------------------------------------------------------------

    def lock(self) -> Program[None]:
        """Wait until no other run is under way."""
        yield Fetch(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")

    def pinned(self, work: Program[T]) -> Program[T]:
        """`work` under the settings that prints depend on, which are put back behind it.

        When it fails, they go with the transaction or savepoint that its runner undoes.
        """
        names = [*PINS, "lock_timeout", "search_path"]
        rows: list[Row] = yield Fetch("SELECT n, current_setting(n) FROM unnest($1::text[]) AS n", (names,))
        before: dict[str, str] = {name: value for name, value in rows}  # noqa: C416  # a row need not be a tuple
        pins = {**PINS, **({"lock_timeout": LOCK_TIMEOUT} if before["lock_timeout"] == "0" else {})}
        yield from _set(pins)
        try:
            result = yield from work
        except QueryError as error:
            refused = _refused_reference(error)
            if refused is None:
                raise
            raise refused from error
        yield from _set(before)
        return result

    def missing_schemas(self, tables: Sequence[Table]) -> Program[dict[str, str]]:
        """The schemas of `tables` that are not there, each with the statement that creates it."""
        named = sorted({table.schema for table in tables if table.schema is not None})
        if not named:
            return {}
        rows: list[Row] = yield Fetch(
            "SELECT nspname::text FROM pg_namespace WHERE nspname = ANY ($1::text[])", (named,)
        )
        existing = {row[0] for row in rows}
        return {name: f"CREATE SCHEMA {self._dialect.quote(name)}" for name in named if name not in existing}

    def current(self, tables: Sequence[Table]) -> Program[frozenset[Fact]]:
        """The facts of the database."""
        session = yield from read_session()
        _no_two_of_one_table(tables, session)
        facts: set[Fact] = set()
        for schema, batch in batches(tables, session):
            facts |= yield from read_facts(Reading(schema, [schema], batch, session.version))
        yield from _set({"search_path": session.path})
        return frozenset(facts)

    def desired(self, tables: Sequence[Table], current: frozenset[Fact]) -> Program[frozenset[Fact]]:
        """The facts that the tables would have; ConfigurationError where PostgreSQL refuses one of them."""
        session = yield from read_session()
        facts = set((yield from facts_of(tables, self._dialect, session)))
        facts.update(declared_references(tables, session.schema, self._dialect))
        return frozenset((yield from self._settled(tables, facts, current, session)))

    def _settled(
        self, tables: Sequence[Table], desired: set[Fact], current: Iterable[Fact], session: Session
    ) -> Program[set[Fact]]:
        """`desired`, with the database's own words where they mean the same.

        A print that was declared again, as a restored dump has it, may differ from the first one (`IN` on a varchar);
        so what differs is declared on the desired columns, both ways, and printed again.
        """
        theirs = {_key(fact): fact for fact in current if fact.kind in PRINTS}
        different = {
            fact: theirs[_key(fact)]
            for fact in desired
            if fact.kind in PRINTS and _key(fact) in theirs and theirs[_key(fact)] != fact
        }
        by_name = {(table.schema or "", table.name): table for table in tables}
        for place in sorted({(fact.schema, fact.table) for fact in different}):
            pairs = {fact: other for fact, other in different.items() if (fact.schema, fact.table) == place}
            for fact in (yield from self._equal(by_name[place], pairs, session)):
                desired.remove(fact)
                desired.add(pairs[fact])
        return desired

    def _equal(self, table: Table, pairs: Mapping[Fact, Fact], session: Session) -> Program[list[Fact]]:
        """Those of the pairs that come to one print."""
        sides = [{_key(fact): fact for fact in pairs}, {_key(fact): other for fact, other in pairs.items()}]
        for _ in range(ROUNDS - 1):
            for number, side in enumerate(sides):
                facts = yield from facts_of_texts(table, _texts(side.values()), self._dialect, session)
                if facts is None:
                    return []  # a text about what the desired table does not have
                sides[number] = {_key(fact): fact for fact in facts if _key(fact) in side}
        return [fact for fact in pairs if sides[0].get(_key(fact)) == sides[1].get(_key(fact))]

    def unresolved(self, keys: Sequence[ForeignKey]) -> Program[list[ForeignKey]]:
        """Those of the foreign keys whose target table or columns the database does not have."""
        rows: list[Row] = yield Fetch(
            """
            SELECT t.number, array_agg(a.attname::text)
            FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t (namespace, name, number)
            JOIN pg_namespace AS n ON n.nspname = coalesce(t.namespace, current_schema())
            JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p')
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            GROUP BY t.number
            """,
            ([key.target_schema for key in keys], [key.target_table for key in keys]),
        )
        columns = {number: frozenset(names) for number, names in rows}
        return [
            key
            for number, key in enumerate(keys, 1)
            if not columns.get(number, frozenset()).issuperset(key.target_columns)
        ]

    def verify(self, tables: Sequence[Table]) -> Program[None]:
        """Nothing: creating a foreign key checks it."""
        del tables
        yield from ()


def _key(fact: Fact) -> tuple[str, str, str, str]:
    return fact.schema, fact.table, fact.kind, fact.name


def _texts(facts: Iterable[Fact]) -> dict[tuple[str, str], str]:
    """What to declare so that it has these facts."""
    return {(fact.kind, fact.name): fact.value.removesuffix(" STORED") for fact in facts}


def _set(settings: Mapping[str, str]) -> Program[None]:
    yield Fetch(
        "SELECT set_config(s.name, s.value, true) FROM unnest($1::text[], $2::text[]) AS s (name, value)",
        ([*settings], [*settings.values()]),
    )


def _refused_reference(error: QueryError) -> ConfigurationError | None:
    """The error of a foreign key that the server cannot have; None for another one."""
    causes = {
        "42830": (
            "refers to columns that are no key of their table",
            "refer to a primary key, or to a unique index over all rows",
        ),
        "42804": ("refers to columns of another type", "give both the same type"),
    }
    what = causes.get(str(error.details.get("sqlstate")))
    if what is None:
        return None
    refused = ConfigurationError(f"a foreign key {what[0]}", found=error.message, remedy=what[1])
    for note in getattr(error, "__notes__", ()):
        refused.add_note(note)
    return refused


def _no_two_of_one_table(tables: Sequence[Table], session: Session) -> None:
    seen: dict[tuple[str, str], Table] = {}
    for table in tables:
        other = seen.setdefault((session.schema_of(table), table.name), table)
        if other is not table:
            raise ConfigurationError(
                f"two descriptions are of one table, {session.schema_of(table)}.{table.name}",
                remedy="leave out the schema in both, or name it in both",
            )


def _short(table: Table) -> None:
    """Refuse names that the server would cut."""
    things = (*table.columns, *table.indexes, *table.checks, *table.foreign_keys)
    for name in (table.schema or "", table.name, *(thing.name for thing in things)):
        if len(name.encode()) > MAX_IDENTIFIER:
            raise ConfigurationError(
                f"{table.full_name} has a name of more than {MAX_IDENTIFIER} bytes, which PostgreSQL cuts",
                found=ascii(name[:100]),
                remedy="choose a shorter one",
            )


def _known(table: Table) -> None:
    """Name a column that the table does not have before the server does, and in the model's words."""
    used = [(index.name, name) for index in table.indexes for name in index.columns]
    used += [(key.name, name) for key in table.foreign_keys for name in key.columns]
    used += [(check.name, check.column) for check in table.checks if check.column is not None]
    used += [("the primary key", name) for name in table.primary_key]
    for what, name in used:
        if name not in table.by_name:
            raise ConfigurationError(
                f"{what} of {table.full_name} names a column that the table does not have",
                found=name,
                remedy=f"known names: {', '.join(table.by_name)}",
            )


def _claim(taken: dict[tuple[str | None, str], str], name: tuple[str | None, str], what: str) -> None:
    """Tables, indexes and keys share one name space in a schema."""
    other = taken.setdefault(name, what)
    if other is not what:
        raise ConfigurationError(f"{what} and {other} have one name", remedy="a schema has one set of names for all")
