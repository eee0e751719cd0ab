"""Canonical column types: what a column holds, said once for every engine.

A model's annotation becomes one of these; a dialect writes it in its own words and converts values to and from its
driver. The *canonical value* of a type is the plain Python object of its `python` attribute: an enum, a secret or a URL
is brought to it by the model, a scaled integer or a text key by the dialect.
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from dataclasses import dataclass, replace
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a column holds. `python` is the exact class of its canonical values (`object`: any JSON value)."""

    python: ClassVar[type] = object


@dataclass(frozen=True, slots=True)
class Text(ColumnType):
    """Unicode text; `max_length` in code points, None for unbounded."""

    python: ClassVar[type] = str
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Integer(ColumnType):
    """A signed integer of 16, 32 or 64 bits."""

    python: ClassVar[type] = int
    bits: int = 64


@dataclass(frozen=True, slots=True)
class Boolean(ColumnType):
    """True or false."""

    python: ClassVar[type] = bool


@dataclass(frozen=True, slots=True)
class Float(ColumnType):
    """An IEEE 754 double; NaN and the infinities are refused."""

    python: ClassVar[type] = float


@dataclass(frozen=True, slots=True)
class Decimal(ColumnType):
    """An exact decimal number of `precision` digits, `scale` of them after the point; never rounded."""

    python: ClassVar[type] = decimal.Decimal
    precision: int = 38
    scale: int = 10


@dataclass(frozen=True, slots=True)
class Timestamp(ColumnType):
    """An instant, in UTC with microseconds."""

    python: ClassVar[type] = dt.datetime


@dataclass(frozen=True, slots=True)
class Date(ColumnType):
    """A calendar date."""

    python: ClassVar[type] = dt.date


@dataclass(frozen=True, slots=True)
class Time(ColumnType):
    """A wall-clock time without zone, with microseconds."""

    python: ClassVar[type] = dt.time


@dataclass(frozen=True, slots=True)
class Interval(ColumnType):
    """A duration, stored as 64-bit microseconds on every engine."""

    python: ClassVar[type] = dt.timedelta


@dataclass(frozen=True, slots=True)
class Bytes(ColumnType):
    """Binary data; `max_length` in bytes, None for unbounded."""

    python: ClassVar[type] = bytes
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Uuid(ColumnType):
    """A UUID; its order is promised by no engine."""

    python: ClassVar[type] = uuid.UUID


@dataclass(frozen=True, slots=True)
class Json(ColumnType):
    """Any JSON value: str, int, float, bool, None, list, or dict with str keys."""


@dataclass(frozen=True, slots=True)
class Array(ColumnType):
    """A list of one scalar type: native where the engine has arrays, JSON elsewhere."""

    python: ClassVar[type] = list
    item: ColumnType = Text()


NUMERIC = (Integer, Float, Decimal)
"""The types that take arithmetic, sum and avg."""

SCALARS: dict[type, ColumnType] = {
    str: Text(),
    bool: Boolean(),
    int: Integer(),
    float: Float(),
    decimal.Decimal: Decimal(),
    dt.datetime: Timestamp(),
    dt.date: Date(),
    dt.time: Time(),
    dt.timedelta: Interval(),
    bytes: Bytes(),
    uuid.UUID: Uuid(),
}
"""Python class → canonical type; everything else is the model's business (enums, JSON, adapters)."""

_SQL_NAMES: dict[str, ColumnType] = {
    "SMALLINT": Integer(16), "INT2": Integer(16), "TINYINT": Integer(16),
    "INT": Integer(32), "INTEGER": Integer(32), "INT4": Integer(32), "MEDIUMINT": Integer(32), "SERIAL": Integer(32),
    "BIGINT": Integer(64), "INT8": Integer(64), "BIGSERIAL": Integer(64),
    "BOOL": Boolean(), "BOOLEAN": Boolean(), "BIT": Boolean(),
    "REAL": Float(), "FLOAT": Float(), "FLOAT4": Float(), "FLOAT8": Float(), "DOUBLE": Float(),
    "DOUBLE PRECISION": Float(),
    "NUMERIC": Decimal(), "DECIMAL": Decimal(), "DEC": Decimal(),
    "TEXT": Text(), "CLOB": Text(), "CHAR": Text(1), "CHARACTER": Text(1), "VARCHAR": Text(), "NVARCHAR": Text(),
    "CHARACTER VARYING": Text(), "NCHAR": Text(1), "BPCHAR": Text(), "CITEXT": Text(), "INET": Text(), "CIDR": Text(),
    "TIMESTAMP": Timestamp(), "TIMESTAMPTZ": Timestamp(), "TIMESTAMP WITH TIME ZONE": Timestamp(),
    "TIMESTAMP WITHOUT TIME ZONE": Timestamp(), "DATETIME": Timestamp(), "DATETIME2": Timestamp(),
    "DATETIMEOFFSET": Timestamp(), "DATE": Date(), "TIME": Time(), "INTERVAL": Interval(),
    "BYTEA": Bytes(), "BLOB": Bytes(), "BINARY": Bytes(), "VARBINARY": Bytes(),
    "UUID": Uuid(), "UNIQUEIDENTIFIER": Uuid(), "JSON": Json(), "JSONB": Json(),
}  # fmt: skip

_SQL_TYPE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_ ]*?)\s*(?:\(\s*(\d+|max)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE)


def from_sql(name: str) -> ColumnType | None:
    """The canonical type that an SQL type name such as `varchar(50)` or `NUMERIC(10, 2)` means; None when unknown."""
    match = _SQL_TYPE.fullmatch(name)
    if match is None:
        return None
    base = _SQL_NAMES.get(" ".join(match[1].upper().split()))
    if base is None or match[2] is None or match[2].lower() == "max":
        return base
    first, second = int(match[2]), match[3]
    if isinstance(base, Text | Bytes):
        return replace(base, max_length=first)
    if isinstance(base, Decimal):
        return Decimal(first, int(second or 0))
    return base


def describe(type_: ColumnType) -> str:
    """The type in a few words for messages: `Text(max_length=50)`, `Integer`."""
    return repr(type_).replace("(max_length=None)", "").replace("()", "")


def common_number(left: ColumnType, right: ColumnType) -> ColumnType:
    """The type of a sum or difference of two numbers: float wins, then the larger scale, then the wider integer."""
    if isinstance(left, Float) or isinstance(right, Float):
        return Float()
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        scale = max(_scale(left), _scale(right))
        return Decimal(38, scale)
    return Integer()


def _scale(type_: Any) -> int:
    return type_.scale if isinstance(type_, Decimal) else 0
