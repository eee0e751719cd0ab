"""How PostgreSQL stores each canonical type, and the conversions both ways.

| type | stored as | driver value |
|---|---|---|
| Text | text or varchar(n), COLLATE "C" | str |
| Integer | smallint, integer, bigint | int |
| Boolean | boolean | bool |
| Float | double precision | float |
| Decimal | numeric(p, s) | Decimal |
| Timestamp | timestamptz | an aware datetime in UTC |
| Date, Time | date, time | date, time |
| Interval | bigint, microseconds | int |
| Uuid | uuid | UUID |
| Json | jsonb | JSON text |
| Bytes | bytea | bytes |
| Array | an array of its item's type | list |

Both drivers, asyncpg and psycopg, give and take these values, so that one dialect serves the asynchronous and the
synchronous side.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import orjson

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError
from ff_storage.core.sql import values
from ff_storage.core.tables import Column

Convert = Callable[[Any], Any]

_NAMES: Final[dict[type[types.ColumnType], str]] = {
    types.Boolean: "boolean",
    types.Float: "double precision",
    types.Timestamp: "timestamptz",
    types.Date: "date",
    types.Time: "time",
    types.Interval: "bigint",
    types.Bytes: "bytea",
    types.Uuid: "uuid",
    types.Json: "jsonb",
}

_OWN_FORMS: Final = frozenset({"CITEXT", "INET", "CIDR", "JSON", "REAL", "FLOAT4"})
"""The declared types under which PostgreSQL keeps values in a form of its own, and both drivers the canonical value."""


def type_name(type_: types.ColumnType) -> str:
    """The PostgreSQL type that holds a canonical type, without its collation."""
    match type_:
        case types.Text(max_length=limit):
            return "text" if limit is None else f"varchar({limit})"
        case types.Integer(bits=bits):
            return {16: "smallint", 32: "integer"}.get(bits, "bigint")
        case types.Decimal(precision=precision, scale=scale):
            return f"numeric({precision}, {scale})"
        case types.Array(item=item):
            return f"{type_name(item)}[]"
        case _:
            return _NAMES[type(type_)]


def own_form(column: Column) -> str | None:
    """The column's declared type, in lower case, where that says more than its canonical type; else None."""
    declared = column.sql_type
    return declared.lower() if declared is not None and declared.strip().upper() in _OWN_FORMS else None


def parameter_type(type_: types.ColumnType, column: Column | None = None) -> str:
    """The type as which a value is sent to meet another: without length or digits, which would cut or round it."""
    if column is not None and (own := own_form(column)) is not None:
        return own
    match type_:
        case types.Text():
            return "text"
        case types.Integer():
            return "bigint"
        case types.Decimal():
            return "numeric"
        case types.Array(item=item):
            return f"{parameter_type(item)}[]"
        case _:
            return _NAMES[type(type_)]


def encoder(type_: types.ColumnType) -> Convert:
    """Canonical value → what the drivers bind. Raises InvalidValueError for what must not be sent."""
    match type_:
        case types.Interval():
            return _encode_interval
        case types.Json():
            return values.JsonText(_dump)
        case types.Array(item=types.Json() | types.Array()):
            raise InvalidValueError(f"an array cannot hold {types.describe(type_.item)}", remedy="use Json instead")
        case types.Array(item=item):
            return values.array(encoder(item))
        case _:
            return values.canonical(type_)


def decoder(type_: types.ColumnType) -> Convert | None:
    """What the drivers return → canonical value; None when they are the same."""
    match type_:
        case types.Timestamp():
            return _AWARE
        case types.Interval():
            return _decode_interval
        case types.Json():
            return orjson.loads
        case types.Array(item=item):
            decode = decoder(item)
            return None if decode is None else lambda members: [decode(member) for member in members]
        case _:
            return None


def literal(value: Any, type_: types.ColumnType) -> str:
    """`value` as SQL text, for DDL: CHECK bounds and choices."""
    encoded = encoder(type_)(value)
    if encoded is True or encoded is False:
        return str(encoded).lower()
    if isinstance(encoded, int | float):
        return repr(encoded) if encoded >= 0 else f"({encoded!r})"
    if isinstance(encoded, bytes):
        return f"'\\x{encoded.hex()}'::bytea"
    if isinstance(encoded, str):
        return quoted(encoded)
    text = encoded.isoformat(" ") if isinstance(encoded, dt.datetime) else str(encoded)
    return f"{quoted(text)}::{type_name(type_)}"


def quoted(text: str) -> str:
    """`text` as a string literal, whatever standard_conforming_strings says."""
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in doubled else f"'{doubled}'"


def aware(value: dt.datetime, utc: dt.tzinfo = dt.UTC) -> dt.datetime:
    """A timestamp with its zone, which asyncpg leaves out of the first and the last instant.

    It sends these two as -infinity and infinity. They compare as they should, and come back as what they were.
    """
    return value if value.tzinfo is not None else value.replace(tzinfo=utc)


_AWARE: Final = values.Seldom("{}.tzinfo is not None", aware)


_PLAIN: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=_PLAIN)


def _encode_interval(value: Any) -> int:
    return values.microseconds(values.interval(value))


def _decode_interval(value: int) -> dt.timedelta:
    return dt.timedelta(microseconds=value)
