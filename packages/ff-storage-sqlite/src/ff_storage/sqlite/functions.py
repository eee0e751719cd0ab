"""The SQL functions that ff-storage adds to every SQLite connection.

| function | result |
|---|---|
| `ff_fold(text)` | the text with its case folded (`str.casefold`), for `icontains` and its kin |
| `ff_lower(text)`, `ff_upper(text)` | lower and upper case in every script; SQLite's own know ASCII |
| `ff_decimal_ratio(x, y, digits)` | x / y · 10**digits as an INTEGER, rounded half up; x and y are scaled integers |
| `ff_decimal_sum(key)` | aggregate: the sum of text keys (`values.decimal_key`), at their scale |
| `ff_decimal_avg(key)` | aggregate: the mean of text keys, with `AVG_DIGITS` more digits after the point |

The aggregates give keys of `SUM_DIGITS` digits, the stored form of `Decimal(38, scale)`. The mean of a column of scaled
integers is `ff_decimal_ratio(SUM(x), COUNT(x), AVG_DIGITS)`. Half up is away from zero: 0.5 → 1, -0.5 → -1. NULL in
gives NULL out, and a division by zero is NULL. Nothing overflows silently: a result of too many digits is an error of
the statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from ff_storage.sqlite.values import decimal_key, decimal_number

SUM_DIGITS: Final = 38
AVG_DIGITS: Final = 4

_INT64: Final = range(-(2**63), 2**63)


def register(connection: sqlite3.Connection, failed: Callable[[Exception], None]) -> None:
    """Add the functions to a connection.

    SQLite tells the caller only *that* a function raised; `failed` receives the exception itself.
    """

    def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if None in arguments:
                return None
            try:
                return function(*arguments)
            except Exception as error:
                failed(error)
                raise

        return call

    for name, arguments, function in _SCALARS:
        connection.create_function(name, arguments, guarded(function), deterministic=True)
    for name, finish in _AGGREGATES:
        connection.create_aggregate(name, 1, _aggregate(finish, failed))


def _ratio(left: int, right: int, digits: int) -> int | None:
    if not right:
        return None
    result = _quotient(left * 10**digits, right)
    if result in _INT64:
        return result
    raise OverflowError("the quotient does not fit 64 bits")


def _quotient(numerator: int, denominator: int) -> int:
    whole, rest = divmod(abs(numerator), abs(denominator))
    if 2 * rest >= abs(denominator):
        whole += 1
    return whole if (numerator < 0) == (denominator < 0) else -whole


_SCALARS: Final[list[tuple[str, int, Callable[..., Any]]]] = [
    ("ff_fold", 1, str.casefold),
    ("ff_lower", 1, str.lower),
    ("ff_upper", 1, str.upper),
    ("ff_decimal_ratio", 3, _ratio),
]

_Finish = Callable[[int, int], int]
"""Sum and count of the rows → the result."""

_AGGREGATES: Final[list[tuple[str, _Finish]]] = [
    ("ff_decimal_sum", lambda total, _: total),
    ("ff_decimal_avg", lambda total, count: _quotient(total * 10**AVG_DIGITS, count)),
]


def _aggregate(finish: _Finish, failed: Callable[[Exception], None]) -> type[Any]:
    class Aggregate:
        """One group; sqlite3 makes an instance for each."""

        def __init__(self) -> None:
            self.total = 0
            self.count = 0

        def step(self, key: str | None) -> None:
            """Add one row."""
            if key is not None:
                try:
                    self.total += decimal_number(key)
                except Exception as error:
                    failed(error)
                    raise
                self.count += 1

        def finalize(self) -> str | None:
            """The result of the rows; NULL of none."""
            try:
                return decimal_key(finish(self.total, self.count), SUM_DIGITS) if self.count else None
            except Exception as error:
                failed(error)
                raise

    return Aggregate
