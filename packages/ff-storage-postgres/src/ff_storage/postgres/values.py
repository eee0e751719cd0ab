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
| Uuid | uuid | UUID, or its sixteen bytes |
| Json | jsonb | JSON text |
| Bytes | bytea | bytes |
| Array | an array of its item's type | list |

Both drivers, asyncpg and psycopg, give and take these values, so that one dialect serves the asynchronous and the
synchronous side. UUIDs alone may differ: where `binary_uuids` is true, they go to and fro as bytes.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import orjson

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError
from ff_storage.core.sql import columns, values
from ff_storage.core.sql.json_text import JsonText
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


def encoder(type_: types.ColumnType, *, binary_uuids: bool = False) -> Convert:
    """Canonical value → what the drivers bind. Raises InvalidValueError for what must not be sent."""
    match type_:
        case types.Uuid() if binary_uuids:
            return _uuid_bytes
        case types.Interval():
            return _encode_interval
        case types.Json():
            return JsonText(_dump, _quick_dump)
        case types.Array(item=types.Json() | types.Array()):
            raise InvalidValueError(f"an array cannot hold {types.describe(type_.item)}", remedy="use Json instead")
        case types.Array(item=item):
            return values.array(encoder(item, binary_uuids=binary_uuids))
        case _:
            return values.canonical(type_)


def decoder(type_: types.ColumnType, *, binary_uuids: bool = False) -> Convert | None:
    """What the drivers return → canonical value; None when they are the same."""
    match type_:
        case types.Uuid() if binary_uuids:
            return uuid_of
        case types.Timestamp():
            return _AWARE
        case types.Interval():
            return _decode_interval
        case types.Json():
            return orjson.loads
        case types.Array(item=item):
            decode = decoder(item, binary_uuids=binary_uuids)
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
    """An instant in UTC, which may be in the session's zone, or without one.

    asyncpg's own codec leaves the zone out of the first and the last instant, and sends these two as -infinity and
    infinity. They compare as they should, and come back as what they were.
    """
    zone = value.tzinfo
    return value if zone is utc else value.replace(tzinfo=utc) if zone is None else value.astimezone(utc)


_AWARE: Final = values.Seldom("{}.tzinfo is utc", aware, utc=dt.UTC)


def _uuid_bytes(value: Any, check: Convert = values.identifier) -> bytes:
    number: int = (value if type(value) is uuid.UUID else check(value)).int
    return number.to_bytes(16, "big")


def _many_uuid_bytes(column: Sequence[Any]) -> Sequence[Any] | None:
    if {*map(type, column)} != {uuid.UUID}:
        return None
    return [value.int.to_bytes(16, "big") for value in column]


columns.with_many(_uuid_bytes, _many_uuid_bytes)


def uuid_of(
    value: bytes | uuid.UUID,
    # as defaults: local names instead of look-ups for each of 10,000 rows
    new: Callable[[type[uuid.UUID]], uuid.UUID] = object.__new__,
    cls: type[uuid.UUID] = uuid.UUID,
    number: Callable[..., int] = int.from_bytes,
    set_int: Callable[[Any, Any], None] = uuid.UUID.__dict__["int"].__set__,
    set_safe: Callable[[Any, Any], None] = uuid.UUID.__dict__["is_safe"].__set__,
    unknown: uuid.SafeUUID = uuid.SafeUUID.unknown,
) -> uuid.UUID:
    """A UUID from its sixteen bytes; a UUID as it is."""
    if type(value) is not bytes:
        return value  # type: ignore[return-value]  # it is one
    # What the class' constructor does, at a quarter of its cost.
    made = new(cls)
    set_int(made, number(value, "big"))
    set_safe(made, unknown)
    return made


_PLAIN: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=_PLAIN)


_quick_dump: Final = partial(orjson.dumps, option=_PLAIN | orjson.OPT_STRICT_INTEGER)


def _encode_interval(value: Any) -> int:
    return values.microseconds(values.interval(value))


def _decode_interval(value: int) -> dt.timedelta:
    return dt.timedelta(microseconds=value)
