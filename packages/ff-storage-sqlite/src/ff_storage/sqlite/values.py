"""How SQLite stores each canonical type, and the conversions both ways.

| type | stored as |
|---|---|
| Text | TEXT |
| Integer, Boolean | INTEGER (0 and 1) |
| Float | REAL |
| Decimal of up to 18 digits | INTEGER, the value times 10**scale |
| Decimal of more digits | TEXT, a key of fixed width that orders as the number does (`decimal_key`) |
| Timestamp | TEXT `YYYY-MM-DD HH:MM:SS.ffffff`, UTC |
| Date, Time | TEXT, ISO; a time always with six digits of the second |
| Interval | INTEGER, microseconds |
| Uuid | TEXT of 36 characters, lower case |
| Json, Array | TEXT, JSON; the members of an array as below in `_member` |
| Bytes | BLOB |

All of them order by BINARY as their values do, so that ORDER BY, MIN, MAX, ranges and indexes need no collation.
Conversions are closures, one per type: this is the hottest code of the package.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError, QueryError
from ff_storage.core.sql import values
from ff_storage.core.sql.json_text import JsonText

Convert = Callable[[Any], Any]

NARROW_DIGITS: Final = 18
"""A scaled integer of so many digits fits 64 bits; a Decimal of more is a text key."""

_WIDE: Final = decimal.Context(prec=1000, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
"""Moves decimal points without rounding."""

_NINES: Final = str.maketrans("0123456789", "9876543210")


def is_scaled(type_: types.Decimal) -> bool:
    """Whether a Decimal is stored as a scaled integer."""
    return type_.precision <= NARROW_DIGITS


def decimal_key(number: int, digits: int) -> str:
    """`number` as text of `digits` + 1 characters that orders as the number does.

    Zero and above: `0`, then the digits. Below zero: `-`, then the nine's complement of the digits; `-` sorts before
    `0`, and a larger absolute value gives a smaller text. Raises OverflowError for a number of more digits.
    """
    text = str(number if number >= 0 else -number)
    if len(text) > digits:
        raise OverflowError(f"a number of {len(text)} digits does not fit {digits}")
    return "0" + text.zfill(digits) if number >= 0 else "-" + text.zfill(digits).translate(_NINES)


def decimal_number(key: str) -> int:
    """The number of a `decimal_key`."""
    return -int(key[1:].translate(_NINES)) if key[0] == "-" else int(key)


def encoder(type_: types.ColumnType) -> Convert:
    """Canonical value → what sqlite3 binds. Raises InvalidValueError for what must not be sent."""
    match type_:
        case types.Boolean():
            return _encode_boolean
        case types.Decimal():
            return _decimal_encoder(type_)
        case types.Timestamp():
            return _encode_timestamp
        case types.Date():
            return _encode_date
        case types.Time():
            return _encode_time
        case types.Interval():
            return _encode_interval
        case types.Uuid():
            return values.uuid_text
        case types.Json():
            return JsonText(_dump, _quick_dump)
        case types.Array(item=item):
            return _array_encoder(item)
        case _:
            return values.canonical(type_)


def decoder(type_: types.ColumnType) -> Convert | None:
    """What sqlite3 returns → canonical value; None when they are the same."""
    match type_:
        case types.Boolean():
            return bool
        case types.Decimal():
            return _decimal_decoder(type_)
        case types.Timestamp():
            return _decode_timestamp
        case types.Date():
            return dt.date.fromisoformat
        case types.Time():
            return dt.time.fromisoformat
        case types.Interval():
            return _decode_interval
        case types.Uuid():
            return values.parse_uuid
        case types.Json():
            return orjson.loads
        case types.Array(item=item):
            return _array_decoder(item)
        case _:
            return None


def literal(value: Any, type_: types.ColumnType) -> str:
    """`value` as SQL text, for DDL: CHECK bounds and choices."""
    encoded = encoder(type_)(value)
    if isinstance(encoded, str):
        return "'" + encoded.replace("'", "''") + "'"
    if isinstance(encoded, bytes):
        return f"X'{encoded.hex()}'"
    return repr(encoded)


# --- numbers ---------------------------------------------------------------------------------------------------------


def _encode_boolean(value: Any) -> int:
    if value is True:
        return 1
    if value is False:
        return 0
    raise values.refuse(value, "a bool")


def _decimal_encoder(type_: types.Decimal) -> Convert:
    check = values.exact_decimal(type_.precision, type_.scale)
    scale, precision = type_.scale, type_.precision

    def scaled(value: Any) -> int:
        return int(check(value).scaleb(scale, _WIDE))

    def key(value: Any) -> str:
        return decimal_key(int(check(value).scaleb(scale, _WIDE)), precision)

    return scaled if is_scaled(type_) else key


def result_decoder(type_: types.ColumnType) -> Convert | None:
    """`decoder`, for computed values, which may have left their type.

    A whole number that arithmetic took beyond 64 bits comes as a float, rounded; a float beyond its range as infinite.
    """
    decode = decoder(type_)
    if isinstance(type_, types.Float):
        return _finite
    if not (isinstance(type_, types.Integer) or (isinstance(type_, types.Decimal) and is_scaled(type_))):
        return decode

    def exact(value: Any) -> Any:
        if type(value) is float:
            raise QueryError(
                "integer overflow", found="a result beyond 64 bits", remedy="compute with smaller values, or in Python"
            )
        return value if decode is None else decode(value)

    return exact


def _finite(value: float) -> float:
    if math.isfinite(value):
        return value
    raise QueryError(
        "floating-point overflow", found="a result beyond a float's range", remedy="compute with smaller values"
    )


def _decimal_decoder(type_: types.Decimal) -> Convert:
    shift, number = -type_.scale, decimal.Decimal

    def scaled(value: int) -> decimal.Decimal:
        return number(value).scaleb(shift, _WIDE)

    def key(value: str) -> decimal.Decimal:
        return number(decimal_number(value)).scaleb(shift, _WIDE)

    return scaled if is_scaled(type_) else key


# --- times -----------------------------------------------------------------------------------------------------------


def _encode_timestamp(
    value: Any,
    datetime: type[dt.datetime] = dt.datetime,
    utc: dt.tzinfo = dt.UTC,
    combine: Callable[[dt.date, dt.time], dt.datetime] = dt.datetime.combine,
) -> str:
    if type(value) is not datetime or value.tzinfo is not utc:
        value = values.timestamp(value)
    # combine() drops the zone at a fifth of what replace(tzinfo=None) costs, and isoformat() is faster without one
    return combine(value, value.time()).isoformat(" ", "microseconds")


def _decode_timestamp(
    value: str, fromisoformat: Callable[[str], dt.datetime] = dt.datetime.fromisoformat
) -> dt.datetime:
    return fromisoformat(value + "+00:00")


def _encode_date(value: Any) -> str:
    return values.date(value).isoformat()


def _encode_time(value: Any) -> str:
    return values.time(value).isoformat("microseconds")


def _encode_interval(value: Any) -> int:
    return values.microseconds(values.interval(value))


def _decode_interval(value: int) -> dt.timedelta:
    return dt.timedelta(microseconds=value)


# --- JSON and arrays -------------------------------------------------------------------------------------------------

_PLAIN: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=_PLAIN)


_quick_dump: Final = partial(orjson.dumps, option=_PLAIN | orjson.OPT_STRICT_INTEGER)


def _same(value: Any) -> Any:
    return value


def _member(type_: types.ColumnType) -> tuple[Convert, Convert]:
    """The JSON form of an array's member, and the way back: its stored form, but a Decimal as text, bytes as hex."""
    match type_:
        case types.Decimal(precision=precision, scale=scale):
            check = values.exact_decimal(precision, scale)
            return (lambda value: format(check(value), "f")), decimal.Decimal
        case types.Bytes(max_length=limit):
            check = values.binary(limit)
            return (lambda value: check(value).hex()), bytes.fromhex
        case types.Boolean():
            return values.boolean, _same
        case types.Float():
            return values.real, float
        case types.Json() | types.Array():
            raise InvalidValueError(f"an array cannot hold {types.describe(type_)}", remedy="use Json for nested data")
        case _:
            return encoder(type_), decoder(type_) or _same


def _array_encoder(item: types.ColumnType) -> Convert:
    check = values.array(_member(item)[0])
    return lambda value: _dump(check(value)).decode()


def _array_decoder(item: types.ColumnType) -> Convert:
    decode = _member(item)[1]
    if decode is _same:
        return orjson.loads
    return partial(_decode_array, decode)


def _decode_array(decode: Convert, value: str) -> list[Any]:
    return [decode(member) for member in orjson.loads(value)]
