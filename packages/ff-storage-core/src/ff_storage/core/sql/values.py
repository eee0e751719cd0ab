"""What may be sent to a database: the checks of canonical values, one rule for every engine.

`canonical(type)` gives the function that takes a value as the caller wrote it and returns the exact canonical value of
the type, or raises InvalidValueError before anything is sent. Nothing is rounded, truncated or guessed: trailing zeros
of a Decimal are not a loss, an `int` is a float's or a Decimal's value too, a `bool` is no number, and an aware
datetime of any zone is the same instant in UTC. A subclass of `str`, `bytes` or `int` counts as its real content,
whatever its methods say. Text and bytes are never shown in a message: they may be secrets.

Dialects build their encoders from these; JSON and arrays come out checked, in Python form.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from pydantic_core import SchemaSerializer, SchemaValidator, core_schema

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError, LimitExceededError
from ff_storage.core.sql import columns

Check = Callable[[Any], Any]
"""A value as the caller gave it → the canonical value."""

MAX_BYTES: Final = 1_000_000_000
"""The largest text or binary value, in bytes: SQLite's limit, and near to PostgreSQL's."""

MAX_JSON_DEPTH: Final = 200
"""Levels of nesting in a JSON value; parsers of several engines give up soon after."""

MIN_INT64: Final = -(2**63)
MAX_INT64: Final = 2**63 - 1

_EXACT: Final = [decimal.Inexact, decimal.InvalidOperation, decimal.Overflow, decimal.Underflow]
_SHOWN: Final = (bool, int, float, decimal.Decimal, dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID, type(None))
_UUID_TEXT: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def shown(value: object) -> str:
    """`value` in a few characters for a message; only the type of text, bytes and everything with its own repr."""
    kind = type(value)
    if kind is int and value.bit_length() > 256:  # type: ignore[attr-defined]  # narrowed by `kind`
        return f"an int of {value.bit_length()} bits"  # type: ignore[attr-defined]
    if kind in _SHOWN:
        return ascii(value)[:100]
    if isinstance(value, str | bytes):
        return f"a {kind.__name__} of length {len(value)}"
    return f"a {kind.__name__}"


def refuse(value: object, what: str, remedy: str = "") -> InvalidValueError:
    """The error for a value that is not `what`."""
    return InvalidValueError(f"{what} is expected", found=shown(value), remedy=remedy)


def canonical(type_: types.ColumnType) -> Check:
    """The check of one canonical type."""
    match type_:
        case types.Text(max_length=limit):
            return text(limit)
        case types.Integer(bits=bits):
            return integer(bits)
        case types.Boolean():
            return boolean
        case types.Float():
            return real
        case types.Decimal(precision=precision, scale=scale):
            return exact_decimal(precision, scale)
        case types.Timestamp():
            return timestamp
        case types.Date():
            return date
        case types.Time():
            return time
        case types.Interval():
            return interval
        case types.Bytes(max_length=limit):
            return binary(limit)
        case types.Uuid():
            return identifier
        case types.Json():
            return json_value
        case types.Array(item=item):
            return array(canonical(item))
        case _:
            raise InvalidValueError(f"{types.describe(type_)} is no canonical type")


# --- text and bytes --------------------------------------------------------------------------------------------------


def text(max_length: int | None = None, max_bytes: int = MAX_BYTES) -> Check:
    """Unicode text without NUL and lone surrogates, of at most `max_length` code points and `max_bytes` of UTF-8."""
    # Below this length the text cannot exceed max_bytes, so that the common case is one comparison.
    limit = max_bytes // 4 if max_length is None else min(max_length, max_bytes // 4)

    def check(value: Any) -> Any:
        if type(value) is not str:
            value = _real_str(value)
        if len(value) > limit:
            _check_length(value, max_length, max_bytes)
        if not value.isascii():
            _check_unicode(value)
        if "\0" in value:
            raise _nul(value)
        return value

    return columns.with_many(check, columns.text(limit))


def _real_str(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    raise refuse(value, "a str")


def _check_length(value: str, max_length: int | None, max_bytes: int) -> None:
    if max_length is not None and len(value) > max_length:
        raise InvalidValueError(
            f"text of at most {max_length} characters is expected", found=f"{len(value)} characters"
        )
    size = 0
    for start in range(0, len(value), 2**20):  # in pieces, so that a text of a gigabyte is not copied
        size += len(value[start : start + 2**20].encode("utf-8", "surrogatepass"))
        if size > max_bytes:
            raise LimitExceededError(f"text of at most {max_bytes} bytes is expected", found=f"{len(value)} characters")


def _check_unicode(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        # `from None`: the driver's message repeats the text
        raise InvalidValueError("text must be valid Unicode", found=f"a lone surrogate at {error.start}") from None


def _nul(value: str) -> InvalidValueError:
    return InvalidValueError("text must not contain NUL", found=f"one at {value.index(chr(0))}")


def binary(max_length: int | None = None) -> Check:
    """`bytes`, at most `max_length` of them; a bytearray or memoryview is copied."""
    limit = MAX_BYTES if max_length is None else min(max_length, MAX_BYTES)

    def check(value: Any) -> Any:
        if type(value) is not bytes:
            if isinstance(value, bytes):
                value = bytes.__getitem__(value, slice(None))
            elif isinstance(value, bytearray | memoryview):
                value = bytes(cast("bytes", value))
            else:
                raise refuse(value, "bytes")
        if len(value) > limit:
            error = LimitExceededError if limit == MAX_BYTES else InvalidValueError
            raise error(f"at most {limit} bytes are expected", found=f"{len(value)} bytes")
        return value

    return columns.with_many(check, columns.binary(limit))


# --- numbers ---------------------------------------------------------------------------------------------------------


def integer(bits: int = 64) -> Check:
    """A signed integer of `bits`."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def check(value: Any) -> Any:
        if type(value) is not int:
            value = _real_int(value)
        if low <= value <= high:
            return value
        raise refuse(value, f"an int of {bits} bits, {low} to {high},")

    return columns.with_many(check, columns.integer(low, high))


def _real_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__add__(value, 0)
    raise refuse(value, "an int")


def boolean(value: Any) -> bool:
    """True or False; 0 and 1 are numbers."""
    if value is True or value is False:
        return value
    raise refuse(value, "a bool")


def real(value: Any) -> float:
    """A finite float; an int becomes one."""
    if type(value) is not float:
        if isinstance(value, float):
            value = float.__pos__(value)
        else:
            try:
                value = float(_real_int(value))
            except OverflowError:
                raise refuse(value, "a float") from None
            except InvalidValueError:
                raise refuse(value, "a float") from None
    if math.isfinite(value):
        return value  # type: ignore[no-any-return]  # a float by now
    raise refuse(value, "a finite float", "NaN and the infinities are stored by no engine in the same way")


def exact_decimal(precision: int, scale: int) -> Check:
    """A finite Decimal of at most `precision` digits, `scale` of them after the point; returned with that scale."""
    context = decimal.Context(
        prec=precision, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, traps=_EXACT, rounding=decimal.ROUND_HALF_EVEN
    )
    unit = decimal.Decimal((0, (1,), -scale))
    what = f"a Decimal of at most {precision} digits, {scale} of them after the point,"

    def check(value: Any) -> Any:
        if type(value) is not decimal.Decimal:
            value = _real_decimal(value)
        try:
            result = value.quantize(unit, None, context)
        except decimal.DecimalException:
            raise refuse(value, what, "it is never rounded") from None
        if not result.is_finite():
            raise refuse(value, what)
        return result or result.copy_abs()  # -0 is 0

    return columns.with_many(check, columns.exact_decimal(unit, context))


def _real_decimal(value: Any) -> decimal.Decimal:
    if isinstance(value, decimal.Decimal):
        return decimal.Decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return decimal.Decimal(_real_int(value))
    raise refuse(value, "a Decimal or an int", "write Decimal('…') for a float that you mean exactly")


# --- times -----------------------------------------------------------------------------------------------------------


def timestamp(given: Any) -> dt.datetime:
    """An aware datetime, as the same instant in UTC."""
    if not isinstance(given, dt.datetime):
        raise refuse(given, "a datetime")
    value: dt.datetime = given
    if type(value) is not dt.datetime:
        value = dt.datetime.combine(dt.datetime.date(value), dt.datetime.timetz(value))
    if value.tzinfo is dt.UTC:
        return value
    try:
        offset = value.utcoffset()
    except Exception as error:  # a stranger's tzinfo may raise anything
        raise InvalidValueError("an aware datetime is expected", found="a tzinfo that fails in utcoffset") from error
    if offset is None:
        raise refuse(value, "an aware datetime", "give it a zone: value.replace(tzinfo=datetime.UTC)")
    try:
        return (value.replace(tzinfo=None) - offset).replace(tzinfo=dt.UTC)
    except OverflowError:
        raise refuse(value, "a datetime within the years 1 to 9999 in UTC") from None


def date(value: Any) -> dt.date:
    """A calendar date; a datetime is none."""
    if type(value) is dt.date:
        return value
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.date(value.year, value.month, value.day)
    raise refuse(value, "a date")


def time(value: Any) -> dt.time:
    """A wall-clock time without zone."""
    if not isinstance(value, dt.time):
        raise refuse(value, "a time")
    if value.tzinfo is not None:
        raise refuse(value, "a time without zone", "store an instant as a datetime")
    if type(value) is dt.time and not value.fold:
        return value
    return dt.time(value.hour, value.minute, value.second, value.microsecond)


def interval(given: Any) -> dt.timedelta:
    """A duration that fits 64-bit microseconds (292,271 years either way)."""
    if not isinstance(given, dt.timedelta):
        raise refuse(given, "a timedelta")
    value: dt.timedelta = given
    if type(value) is not dt.timedelta:
        value = dt.timedelta(value.days, value.seconds, value.microseconds)
    if MIN_INT64 <= microseconds(value) <= MAX_INT64:
        return value
    raise refuse(value, "a timedelta of at most 2**63 microseconds")


def microseconds(value: dt.timedelta) -> int:
    """The whole duration in microseconds, exactly."""
    return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds


# --- the rest --------------------------------------------------------------------------------------------------------


def identifier(value: Any) -> uuid.UUID:
    """A UUID, or its text: 36 characters with hyphens or 32 hexadecimal digits, in either case. No other form."""
    if type(value) is uuid.UUID:
        return value
    if isinstance(value, uuid.UUID):
        return uuid.UUID(int=value.int)
    if isinstance(value, str):
        content = str.__str__(value)
        if _UUID_TEXT.fullmatch(content):
            return uuid.UUID(content)
        raise InvalidValueError("a UUID is expected", found=ascii(content[:45]))
    raise refuse(value, "a UUID")


_UUID_SCHEMA: Final = core_schema.uuid_schema()

parse_uuid: Final[Callable[[str], uuid.UUID]] = SchemaValidator(_UUID_SCHEMA).validate_python
"""Stored text → UUID. Compiled, and so three times as fast as anything written in Python."""

_uuid_text: Final[Callable[..., str]] = SchemaSerializer(_UUID_SCHEMA).to_python


def uuid_text(value: Any) -> str:
    """A UUID as 36 lower-case characters. Raises InvalidValueError."""
    return _uuid_text(value if type(value) is uuid.UUID else identifier(value), mode="json")


columns.with_many(boolean, columns.exactly(bool))
columns.with_many(real, columns.real())
columns.with_many(timestamp, columns.timestamp())
columns.with_many(date, columns.exactly(dt.date))
columns.with_many(time, columns.time())
columns.with_many(identifier, columns.exactly(uuid.UUID))


def json_value(value: Any) -> Any:
    """A value of JSON types alone: dict with str keys, list, str, int of 64 bits, finite float, bool, None."""
    _check_json(value, MAX_JSON_DEPTH)
    return value


class Seldom:
    """A decoder that few values need.

    `fits` is the source of an expression that is true of a value (`{}` in it, never None) that is right as it is; what
    else it names is in `names`. A constructor asks that in place of a call, which would cost five times as much.
    """

    __slots__ = ("decode", "fits", "names")

    def __init__(self, fits: str, decode: Callable[[Any], Any], **names: Any) -> None:
        self.fits = fits
        self.decode = decode
        self.names = names

    def __call__(self, value: Any) -> Any:
        """The canonical value."""
        return self.decode(value)


_check_json_text: Final = text()
_check_json_int: Final = integer()


def _check_json(value: object, depth: int) -> None:
    """Check one value of any kind; `depth` is how many levels it may still have."""
    kind = type(value)
    if kind is dict or kind is list:
        _check_members(value, kind is dict, depth)
    elif kind is str:
        _check_json_text(value)
    elif kind is int:
        _check_json_int(value)
    elif kind is float:
        real(value)
    elif value is not None and kind is not bool:
        raise refuse(value, "a JSON value (dict, list, str, int, float, bool or None)")


def _check_members(value: Any, is_dict: bool, depth: int) -> None:
    # Plain leaves are passed here, without a call for each: half the time of most JSON.
    if not depth:
        raise LimitExceededError(f"JSON of at most {MAX_JSON_DEPTH} levels is expected", found="deeper nesting")
    if is_dict:
        for key in value:
            if type(key) is not str:
                raise refuse(key, "a JSON object with plain str keys")
            if not key.isascii() or "\0" in key or len(key) > MAX_PLAIN_TEXT:
                _check_json_text(key)
        value = value.values()
    for item in value:
        kind = type(item)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            if not item.isascii() or "\0" in item or len(item) > MAX_PLAIN_TEXT:
                _check_json_text(item)
        elif kind is int:
            if not MIN_INT64 <= item <= MAX_INT64:
                _check_json_int(item)
        elif kind is dict or kind is list:
            _check_members(item, kind is dict, depth - 1)
        elif item is not None and kind is not bool:
            _check_json(item, depth - 1)


MAX_PLAIN_TEXT: Final = MAX_BYTES // 4
"""Text up to this length cannot be too long, whatever it consists of."""


def array(item: Check) -> Check:
    """A list whose members all pass `item`; a tuple counts as a list, None as no member."""

    def check(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise refuse(value, "a list")
        return [item(member) for member in cast("Iterable[Any]", value)]

    return check
