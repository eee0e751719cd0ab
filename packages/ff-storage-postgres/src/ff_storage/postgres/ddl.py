"""CREATE statements for PostgreSQL.

Text is COLLATE "C", so that it orders by code point as on every other engine, and an index on a nullable column has
NULLS FIRST, as the library's ascending order wants it. What a canonical type promises beyond its PostgreSQL type is a
named CHECK: the length of bytes, and that a bigint holds the microseconds of an interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ff_storage.core import types
from ff_storage.core.errors import ConfigurationError, InvalidValueError
from ff_storage.core.tables import (
    Action,
    Check,
    ChoiceCheck,
    Column,
    ForeignKey,
    Index,
    RangeCheck,
    Table,
    check_identifier,
    generated_name,
)
from ff_storage.postgres.defaults import default_clause
from ff_storage.postgres.fragments import read_fragment
from ff_storage.postgres.values import quoted, type_name

if TYPE_CHECKING:
    from ff_storage.postgres.dialect import PostgresDialect

Texts = Mapping[tuple[str, str], str]
"""(kind, name) of a fact → the expression to write instead of the description's own."""

_AS_WRITTEN: Final = frozenset({
    "SERIAL", "BIGSERIAL", "CHAR", "CHARACTER", "NCHAR", "BPCHAR", "TEXT", "CITEXT", "INET", "CIDR", "JSON", "REAL",
    "FLOAT4", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "TIME",
})  # fmt: skip
"""Known type names that say something beside the canonical type, and hold what the drivers send for that."""

_WITHOUT_COLLATION: Final = frozenset({"CITEXT", "INET", "CIDR"})

SET_NULL_COLUMNS: Final = 150000
"""The first server that can clear some columns of a foreign key."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement creates, and by which names; by default in the schema that the description says.

    `temporary` is the session's private schema, `schema` another one; `prefix` begins names that must not meet those
    that are there. Foreign keys are made only in the default place.
    """

    temporary: bool = False
    schema: str | None = None
    prefix: str = ""

    @property
    def real(self) -> bool:
        return self == REAL

    def relation(self, name: str) -> str:
        """The name that a table or index has here."""
        return generated_name(self.prefix, name) if self.prefix else name

    def table(self, table: Table, dialect: PostgresDialect) -> str:
        """The table in a statement that is about it."""
        schema = "pg_temp" if self.temporary else self.schema or table.schema
        name = dialect.quote(self.relation(table.name))
        return f"{dialect.quote(schema)}.{name}" if schema else name


REAL: Final = Place()


def create_table(
    table: Table,
    dialect: PostgresDialect,
    *,
    place: Place = REAL,
    texts: Texts | None = None,
    later: Sequence[ForeignKey] = (),
) -> list[str]:
    """CREATE TABLE with every constraint but the keys `later`, then the indexes and the comment.

    Raises ConfigurationError.
    """
    writer = _Writer(table, dialect, place, texts or {})
    return [writer.table(later), *map(writer.index, table.indexes), *writer.comment()]


def create_index(index: Index, table: Table, dialect: PostgresDialect) -> str:
    """CREATE INDEX."""
    return _Writer(table, dialect, REAL, {}).index(index)


def add_foreign_key(key: ForeignKey, table: Table, dialect: PostgresDialect) -> str:
    """The ALTER TABLE that adds a reference to a table which did not exist yet."""
    return f"ALTER TABLE {REAL.table(table, dialect)} ADD {_foreign_key(key, table, dialect)}"


def column_type(column: Column, table: str) -> tuple[str, bool]:
    """The column's type, and whether text of it takes a collation.

    `db_type` is used as it is written where it says more than the canonical type: a name that is not known here (an
    enum, a domain, tsvector), or a form of PostgreSQL's own. A name of another engine (`DATETIME`, `NVARCHAR(20)`), and
    `TIMESTAMP`, which cannot hold an instant, mean the canonical type.
    """
    declared = column.sql_type
    if declared is not None:
        fragment = read_fragment(declared, f"the db_type of {table}.{column.name}", alone=False)
        base = fragment.text.removesuffix("[]").rstrip()
        name = " ".join(base.partition("(")[0].upper().split())
        if types.from_sql(base) is None:
            return fragment.text, False
        if name in _AS_WRITTEN and base == fragment.text:
            return fragment.text, _holds_text(column.type) and name not in _WITHOUT_COLLATION
    return type_name(column.type), _holds_text(column.type)


def _holds_text(type_: types.ColumnType) -> bool:
    return isinstance(type_.item if isinstance(type_, types.Array) else type_, types.Text)


def spared_columns(key: ForeignKey, table: Table) -> tuple[str, ...] | None:
    """The columns that SET NULL of this key clears, when it must not clear all; None when it may."""
    cleared = key.set_null or tuple(name for name in key.columns if name != table.tenant)
    return None if set(cleared) == set(key.columns) else cleared


def on_delete(key: ForeignKey, table: Table, dialect: PostgresDialect) -> tuple[str, tuple[str, ...]]:
    """The action, and the columns that it is limited to.

    A server that cannot limit it gets NO ACTION: our delete clears the columns in the same transaction, and the
    constraint watches that it did.
    """
    cleared = spared_columns(key, table) if key.on_delete is Action.SET_NULL else None
    if cleared is None:
        return key.on_delete.value, ()
    version = dialect.server_version or SET_NULL_COLUMNS  # unknown, it is taken to be a recent one
    if not cleared or version < SET_NULL_COLUMNS:
        return Action.NO_ACTION.value, ()
    return key.on_delete.value, cleared


def on_update(key: ForeignKey, table: Table) -> str:
    """The action; no server limits SET NULL of an update to some columns."""
    if key.on_update is Action.SET_NULL and spared_columns(key, table) is not None:
        return Action.NO_ACTION.value
    return key.on_update.value


class _Writer:
    """The statements of one table in one place."""

    def __init__(self, table: Table, dialect: PostgresDialect, place: Place, texts: Texts) -> None:
        self._table: Final = table
        self._dialect: Final = dialect
        self._place: Final = place
        self._texts: Final = texts
        self._name: Final = place.table(table, dialect)

    def table(self, later: Sequence[ForeignKey]) -> str:
        table, quote = self._table, self._dialect.quote
        parts = [self._column(column) for column in table.columns]
        if table.primary_key:
            name = self._place.relation(primary_key_name(table))
            parts.append(f"CONSTRAINT {quote(name)} PRIMARY KEY ({', '.join(map(quote, table.primary_key))})")
        for name, expression in (*self._type_checks(), *self._checks()):
            text = self._texts.get(("check.expression", name), expression)
            parts.append(f"CONSTRAINT {quote(name)} CHECK ({text})")
        if self._place.real:
            keys = [key for key in table.foreign_keys if key not in later]
            parts += [_foreign_key(key, table, self._dialect) for key in keys]
        body = ",\n    ".join(parts)
        if self._place.temporary:
            return f"CREATE TEMPORARY TABLE {quote(table.name)} (\n    {body}\n)"
        return f"CREATE TABLE {self._name} (\n    {body}\n)"

    def index(self, index: Index) -> str:
        table, quote = self._table, self._dialect.quote
        predicates: list[str] = []
        if index.live_only and table.deleted_at:
            predicates.append(f"{quote(table.deleted_at)} IS NULL")
        if index.where is not None:
            where = read_fragment(index.where, f"the predicate of the index {index.name}")
            predicates.append(f"({where.text})")
        method = check_identifier(index.method, f"the method of the index {index.name}") if index.method else "btree"
        columns = ", ".join(self._index_column(name, method) for name in index.columns)
        statement = (
            f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {quote(self._place.relation(index.name))} "
            f"ON {self._name} {f'USING {method} ' if index.method else ''}({columns})"
        )
        predicate = self._texts.get(("index.predicate", index.name), " AND ".join(predicates))
        return f"{statement} WHERE {predicate}" if predicate else statement

    def comment(self) -> Iterator[str]:
        if self._table.comment is not None:
            yield f"COMMENT ON TABLE {self._name} IS {quoted(self._table.comment)}"

    def _index_column(self, name: str, method: str) -> str:
        first = method == "btree" and self._table.by_name[name].nullable
        return f"{self._dialect.quote(name)}{' NULLS FIRST' if first else ''}"

    def _column(self, column: Column) -> str:
        type_, text = column_type(column, self._table.name)
        words = [self._dialect.quote(column.name), type_]
        if text:
            words.append('COLLATE "C"')
        if not column.nullable:
            words.append("NOT NULL")
        default = default_clause(column, self._table.name, self._dialect)
        default = self._texts.get(("column.default", column.name), default)
        if default is not None:
            words.append(f"DEFAULT {default}")
        if column.generated is not None:
            generated = read_fragment(column.generated, f"the db_generated of {self._table.name}.{column.name}").text
            generated = self._texts.get(("column.generated", column.name), generated)
            words.append(f"GENERATED ALWAYS AS ({generated}) STORED")
        return " ".join(words)

    def _type_checks(self) -> Iterator[tuple[str, str]]:
        """What the canonical types promise and PostgreSQL's do not."""
        for column in self._table.columns:
            name = self._dialect.quote(column.name)
            match column.type:
                case types.Bytes(max_length=int(limit)):
                    rule, expression = "length", f"octet_length({name}) <= {limit}"
                case types.Text(max_length=int(limit)) if column_type(column, self._table.name)[0].upper() == "TEXT":
                    rule, expression = "length", f"char_length({name}) <= {limit}"
                case types.Interval():
                    rule, expression = "microseconds", f"{name} >= {-(2**63)}"
                case _:
                    continue
            yield generated_name("ck", self._table.name, column.name, rule), expression

    def _checks(self) -> Iterator[tuple[str, str]]:
        """What the model declares."""
        for check in self._table.checks:
            yield check.name, self._check(check)

    def _check(self, check: Check) -> str:
        table, quote = self._table, self._dialect.quote
        if isinstance(check, RangeCheck):
            bound = self._literal(check.bound, table.by_name[check.column])
            return f"{quote(check.column)} {check.operator} {bound}"
        if isinstance(check, ChoiceCheck):
            column = table.by_name[check.column]
            choices = ", ".join(self._literal(value, column) for value in check.values)
            return f"{quote(check.column)} IN ({choices})"
        where = f"{table.name}.{check.column}" if check.column else table.name
        return read_fragment(check.expression, f"the db_check of {where}").text

    def _literal(self, value: Any, column: Column) -> str:
        try:
            return self._dialect.literal(value, column.type)
        except InvalidValueError as error:
            raise ConfigurationError(
                f"a CHECK of {column.name} names {ascii(value)[:60]}, which is no value of the column",
                found=types.describe(column.type),
                remedy=error.message,
            ) from None


def primary_key_name(table: Table) -> str:
    """The name of the primary key's constraint, which is its index's too."""
    return generated_name("pk", table.name)


def _foreign_key(key: ForeignKey, table: Table, dialect: PostgresDialect) -> str:
    quote = dialect.quote
    columns, target_columns = (", ".join(map(quote, names)) for names in (key.columns, key.target_columns))
    target = f"{quote(key.target_schema)}.{quote(key.target_table)}" if key.target_schema else quote(key.target_table)
    action, cleared = on_delete(key, table, dialect)
    limited = f" ({', '.join(map(quote, cleared))})" if cleared else ""
    return (
        f"CONSTRAINT {quote(key.name)} FOREIGN KEY ({columns}) REFERENCES {target} ({target_columns}) "
        f"ON DELETE {action}{limited} ON UPDATE {on_update(key, table)}"
    )
