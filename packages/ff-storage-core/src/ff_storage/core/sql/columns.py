"""Whole columns of values: what the checks of `sql.values` do for one value, in a few calls of C for all.

An encoder may have a function `many` of this kind. It takes a column, None among its values, and returns what the
encoder would make of each, or None when some value is not plainly of the type: then each is encoded by itself, which
accepts it or says what is wrong with it.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, TypeVar

Many = Callable[[Sequence[Any]], Sequence[Any] | None]
Fits = Callable[[Sequence[Any]], bool]
F = TypeVar("F", bound=Callable[[Any], Any])

_NONE = {type(None)}

_JOINED = 4_000_000
"""Characters of a column that are looked at as one text, which is a copy of them; longer texts are so few that it does
not pay."""


def with_many(encode: F, many: Many) -> F:
    """`encode`, which from now on has a way to encode whole columns."""
    encode.many = many  # type: ignore[attr-defined]  # functions have attributes
    return encode


def encoded(encode: Callable[[Any], Any], column: Sequence[Any]) -> Sequence[Any]:
    """A column as `encode` encodes its values; None stays None. Raises what `encode` raises.

    A value that all share (the tenant, the time) is encoded once.
    """
    first = column[0]
    if first is column[-1] and len({*map(id, column)}) == 1:
        return [None if first is None else encode(first)] * len(column)
    many: Many | None = getattr(encode, "many", None)
    result = many(column) if many is not None else None
    if result is None:
        return [None if value is None else encode(value) for value in column]
    return result


def exactly(kind: type[Any], fits: Fits | None = None) -> Many:
    """Values of no other class than `kind`, which are their own encoded form if they fit; None is not looked at."""
    alone, beside_none = {kind}, {kind, type(None)}

    def many(column: Sequence[Any]) -> Sequence[Any] | None:
        kinds = {*map(type, column)}
        if kinds == alone:
            present = column
        elif kinds == beside_none:
            present = [value for value in column if value is not None]
        else:
            return column if kinds == _NONE else None
        return column if fits is None or fits(present) else None

    return many


def text(limit: int) -> Many:
    """Text of at most `limit` characters."""

    def fits(present: Sequence[str]) -> bool:
        longest = max(map(len, present))
        if longest > limit or longest * len(present) > _JOINED:
            return False
        joined = "".join(present)
        return "\0" not in joined and (joined.isascii() or _is_unicode(joined))

    return exactly(str, fits)


def _is_unicode(joined: str) -> bool:
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return True


def binary(limit: int) -> Many:
    """At most `limit` bytes."""
    return exactly(bytes, lambda present: max(map(len, present)) <= limit)


def integer(low: int, high: int) -> Many:
    """Integers from `low` to `high`."""
    return exactly(int, lambda present: low <= min(present) and max(present) <= high)


def real() -> Many:
    """Finite floats."""
    return exactly(float, lambda present: all(map(math.isfinite, present)))


def timestamp() -> Many:
    """Instants in UTC."""
    return exactly(dt.datetime, lambda present: all(value.tzinfo is dt.UTC for value in present))


def time() -> Many:
    """Wall-clock times without a zone."""
    return exactly(dt.time, lambda present: all(value.tzinfo is None and not value.fold for value in present))


def exact_decimal(unit: decimal.Decimal, context: decimal.Context) -> Many:
    """Decimals that `context` brings to the places of `unit` without a loss."""

    def many(column: Sequence[Any]) -> Sequence[Any] | None:
        if {*map(type, column)} != {decimal.Decimal}:
            return None
        try:
            result = [*map(decimal.Decimal.quantize, column, repeat(unit), repeat(None), repeat(context))]
        except decimal.DecimalException:
            return None
        if not all(map(decimal.Decimal.is_finite, result)):
            return None
        return [value or value.copy_abs() for value in result]  # -0 is 0

    return many
