"""Bounds to CHECK constraints: `ge`, `gt`, `le` and `lt` in the canonical values of the column.

A bound that the column's type cannot hold is moved to the nearest value that means the same (`> 0.005` at two places is
`>= 0.01`), or dropped where the type says it already.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from ff_storage.core import types as canonical
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.types import ColumnType

_EXACT = Context(prec=2_000)

_TEMPORAL = (canonical.Timestamp, canonical.Date, canonical.Time, canonical.Interval)


def bound(type_: ColumnType, operator: str, value: Any) -> tuple[str, Any] | None:
    """The operator and canonical bound for a column of `type_`; None when it always holds, or is not checked in SQL.

    Raises ConfigurationError for a bound that no value of the column can meet, or of another kind than the column's.
    """
    if isinstance(type_, canonical.Integer):
        top = 2 ** (type_.bits - 1)
        return _number(operator, value, -top, top - 1, places=0, make=int)
    if isinstance(type_, canonical.Decimal):
        top = Decimal(10) ** (type_.precision - type_.scale) - Decimal(1).scaleb(-type_.scale)
        return _number(operator, value, -top, top, places=type_.scale, make=Decimal)
    if isinstance(type_, canonical.Float):
        number = _finite(operator, value)
        return None if number is None else (operator, float(value))
    if isinstance(type_, _TEMPORAL):
        if type(value) is not type_.python:
            raise _wrong(operator, value, f"a {type_.python.__name__}")
        if isinstance(value, dt.datetime):
            if value.utcoffset() is None:
                raise _wrong(operator, value, "a datetime with a zone")
            value = value.astimezone(dt.UTC)
        return operator, value
    if isinstance(type_, canonical.Text):
        if type(value) is not str:
            raise _wrong(operator, value, "a str")
        return operator, value
    return None


def _wrong(operator: str, value: Any, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"the bound {operator} must be {wanted}", found=ascii(value)[:100])


def _finite(operator: str, value: Any) -> Decimal | None:
    """The exact number; None for an infinity that bounds nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or math.isnan(value):
        raise _wrong(operator, value, "a number")
    if math.isinf(value):
        if (value > 0) is (operator[0] == ">"):
            raise _wrong(operator, value, "a number that a value can meet")
        return None
    # A float stands for the number that it is written as: 0.1 is one tenth.
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _number(operator: str, value: Any, low: Any, high: Any, *, places: int, make: Any) -> tuple[str, Any] | None:
    number = _finite(operator, value)
    if number is None:
        return None
    upwards = operator[0] == ">"
    unit = Decimal(1).scaleb(-places)
    fitted = number.quantize(unit, ROUND_CEILING if upwards else ROUND_FLOOR, _EXACT)
    if fitted != number:
        operator = operator[0] + "="
    beyond = fitted > high if upwards else fitted < low
    if beyond or (operator in {"<", ">"} and fitted == (high if upwards else low)):
        raise _wrong(operator, value, f"met by a value between {low} and {high}")
    if fitted < low or fitted > high or (operator[1:] and fitted == (low if upwards else high)):
        return None
    return operator, make(fitted)
