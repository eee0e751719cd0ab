"""CREATE statements for SQLite.

Tables are STRICT: a value of another storage class is an error rather than a surprise. SQLite's types carry no length,
range or digits, so what the canonical type promises beyond its storage class is written as a named CHECK; the library's
encoders refuse such values earlier, the CHECK holds for everybody else's writes.

A primary key of one INTEGER column is the table's rowid, as SQLite makes it: one B-tree instead of two. Its price is
that an INSERT of NULL there is numbered by SQLite instead of refused; the library never sends one, because the field
is required. Other keys keep the rowid beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ff_storage.core import types
from ff_storage.core.errors import ConfigurationError, InvalidValueError, LimitExceededError
from ff_storage.core.tables import (
    Action,
    Check,
    ChoiceCheck,
    Column,
    ForeignKey,
    Index,
    RangeCheck,
    Table,
    generated_name,
)
from ff_storage.sqlite import values
from ff_storage.sqlite.defaults import default_clause
from ff_storage.sqlite.fragments import read_rule, stored_form
from ff_storage.sqlite.tokens import MAX_TEXT

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect

Place = Literal["main", "temp"]
"""Where a statement creates: the database itself, or the session's private schema."""

_STORAGE: dict[type[types.ColumnType], str] = {
    types.Integer: "INTEGER",
    types.Boolean: "INTEGER",
    types.Interval: "INTEGER",
    types.Float: "REAL",
    types.Bytes: "BLOB",
}


def storage_class(type_: types.ColumnType) -> str:
    """The STRICT type that holds a canonical type: INTEGER, REAL, BLOB or TEXT."""
    if isinstance(type_, types.Decimal):
        return "INTEGER" if values.is_scaled(type_) else "TEXT"
    return _STORAGE.get(type(type_), "TEXT")


def create_table(table: Table, dialect: Dialect, place: Place = "main") -> list[str]:
    """CREATE TABLE with every constraint, then the indexes. Raises ConfigurationError for what SQLite cannot hold."""
    parts = [_column(column, table, dialect) for column in table.columns]
    quote = dialect.quote
    if table.primary_key:
        columns = ", ".join(map(quote, table.primary_key))
        parts.append(f"CONSTRAINT {quote(generated_name('pk', table.name))} PRIMARY KEY ({columns})")
    for name, expression in (*_type_checks(table, dialect), *_checks(table, dialect)):
        parts.append(f"CONSTRAINT {quote(name)} CHECK ({expression})")
    parts += [_foreign_key(key, table, dialect) for key in table.foreign_keys]
    temporary = "TEMP " if place == "temp" else ""
    body = ",\n    ".join(parts)
    statement = f"CREATE {temporary}TABLE {quote(table.name)} (\n    {body}\n) STRICT"
    return [_limited(statement, table), *(create_index(index, table, dialect, place) for index in table.indexes)]


def create_index(index: Index, table: Table, dialect: Dialect, place: Place = "main") -> str:
    """CREATE INDEX. `method` is an engine's hint for speed; SQLite has B-trees only, so it says nothing here."""
    quote = dialect.quote
    predicates: list[str] = []
    if index.live_only and table.deleted_at:
        predicates.append(f"{quote(table.deleted_at)} IS NULL")
    if index.where is not None:
        where = stored_form(read_rule(index.where, f"the predicate of the index {index.name}"), table, dialect)
        predicates.append(f"({where})")
    columns = ", ".join(map(quote, index.columns))
    statement = (
        f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {quote(place) + '.' if place == 'temp' else ''}"
        f"{quote(index.name)} ON {quote(table.name)} ({columns})"
    )
    if predicates:
        statement += f" WHERE {' AND '.join(predicates)}"
    return _limited(statement, table)


def _limited(statement: str, table: Table) -> str:
    if len(statement) > MAX_TEXT:
        raise LimitExceededError(
            f"a statement of at most {MAX_TEXT:,} characters is expected for {table.full_name}",
            found=f"{len(statement):,} characters",
        )
    return statement


def _column(column: Column, table: Table, dialect: Dialect) -> str:
    words = [dialect.quote(column.name), storage_class(column.type)]
    if not column.nullable:
        words.append("NOT NULL")
    default = default_clause(column, table.name, dialect)
    if default is not None:
        words.append(f"DEFAULT {default[0]}")
    if column.generated is not None:
        words.append(f"GENERATED ALWAYS AS ({_generated(column, table, dialect)}) STORED")
    return " ".join(words)


def _generated(column: Column, table: Table, dialect: Dialect) -> str:
    fragment = read_rule(column.generated or "", f"the db_generated of {table.name}.{column.name}")
    if isinstance(column.type, types.Decimal):
        raise fragment.refused(
            "gives a Decimal, which SQLite stores in another form than an expression gives it",
            "compute the value in Python, or make the field a float or an int",
        )
    return stored_form(fragment, table, dialect)


def _type_checks(table: Table, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """What the canonical types promise and SQLite's do not.

    Every type but plain text, 64-bit integers, floats and bytes has a CHECK of its own, by which the catalog tells two
    types of one storage class apart: a column that becomes another one is a difference, not rows read as what they are
    not.
    """
    for column in table.columns:
        name = dialect.quote(column.name)
        match column.type:
            case types.Boolean():
                rule, expression = "bool", f"{name} IN (0, 1)"
            case types.Text(max_length=int(limit)) | types.Bytes(max_length=int(limit)):
                rule, expression = "length", f"length({name}) <= {limit}"
            case types.Integer(bits=bits) if bits < 64:
                rule, expression = "bits", f"{name} BETWEEN {-(2 ** (bits - 1))} AND {2 ** (bits - 1) - 1}"
            case types.Decimal():
                rule, expression = "digits", _digits(name, column.type)
            case types.Timestamp():
                rule, expression = "timestamp", f"length({name}) = 26"
            case types.Date():
                rule, expression = "date", f"length({name}) = 10"
            case types.Time():
                rule, expression = "time", f"length({name}) = 15"
            case types.Uuid():
                rule, expression = "uuid", f"length({name}) = 36"
            case types.Interval():
                rule, expression = "microseconds", f"typeof({name}) IN ('integer', 'null')"
            case types.Json():
                rule, expression = "json", f"length({name}) > 0"
            case types.Array(item=item):
                rule, expression = f"array_{type(item).__name__.lower()}", f"substr({name}, 1, 1) = '['"
            case _:
                continue
        yield generated_name("ck", table.name, column.name, rule), expression


def _digits(name: str, type_: types.Decimal) -> str:
    """The CHECK of a Decimal column. It tells the scale, without which the stored numbers mean nothing.

    So another scale in the model is a difference: the rows of the table would be read as ten times what they are.
    """
    whole = max(type_.precision - type_.scale, 0)
    if not values.is_scaled(type_):
        return f"length({name}) - {type_.scale} = {whole + 1}"  # the key of a number begins with its sign
    limit = 10**whole - 1
    return f"{name}{f' / {10**type_.scale}' if type_.scale else ''} BETWEEN -{limit} AND {limit}"


def _checks(table: Table, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """What the model declares."""
    for check in table.checks:
        yield check.name, _check(check, table, dialect)


def _check(check: Check, table: Table, dialect: Dialect) -> str:
    if isinstance(check, RangeCheck):
        bound = _literal(check.bound, table.by_name[check.column], dialect)
        return f"{dialect.quote(check.column)} {check.operator} {bound}"
    if isinstance(check, ChoiceCheck):
        column = table.by_name[check.column]
        choices = ", ".join(_literal(value, column, dialect) for value in check.values)
        return f"{dialect.quote(check.column)} IN ({choices})"
    where = f"{table.name}.{check.column}" if check.column else table.name
    return stored_form(read_rule(check.expression, f"the db_check of {where}"), table, dialect)


def _literal(value: Any, column: Column, dialect: Dialect) -> str:
    try:
        return dialect.literal(value, column.type)
    except InvalidValueError as error:
        raise ConfigurationError(
            f"a CHECK of {column.name} names {ascii(value)[:60]}, which is no value of the column",
            found=types.describe(column.type),
            remedy=error.message,
        ) from None


def _foreign_key(key: ForeignKey, table: Table, dialect: Dialect) -> str:
    columns = ", ".join(map(dialect.quote, key.columns))
    target = ", ".join(map(dialect.quote, key.target_columns))
    return (
        f"CONSTRAINT {dialect.quote(key.name)} FOREIGN KEY ({columns}) "
        f"REFERENCES {dialect.quote(key.target_table)} ({target}) "
        f"ON DELETE {_action(key.on_delete, key, table)} ON UPDATE {_action(key.on_update, key, table)}"
    )


def _action(action: Action, key: ForeignKey, table: Table) -> str:
    """The action, or NO ACTION for a SET NULL that must spare a column of the key.

    SQLite clears every column of the key, the tenant included. Our delete clears the others in the same transaction,
    and the constraint watches that it did.
    """
    spares = table.tenant in key.columns or (key.set_null and set(key.set_null) != set(key.columns))
    return Action.NO_ACTION.value if action is Action.SET_NULL and spares else action.value
