"""DEFAULT clauses in the stored form of their column.

A literal is read as the column's value and written as the encoder would store it, so that a row filled by the database
equals one filled by the library. The portable expressions for the current instant and a random UUID are written in
SQLite's functions; any other expression stands as the model gave it, in parentheses, except where its result could not
be in the stored form: that is refused.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError
from ff_storage.core.tables import Column
from ff_storage.sqlite.fragments import Fragment, read_fragment
from ff_storage.sqlite.tokens import Token, token_form, unquoted, without_outer_parentheses

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect

_NOW: Final = "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"
_NOW_TIME: Final = "(strftime('%H:%M:%f', 'now') || '000')"
_RANDOM_UUID: Final = (
    "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || "
    "substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))"
)

_CURRENT: Final[dict[type[types.ColumnType], tuple[frozenset[str], str]]] = {
    types.Timestamp: (frozenset({"CURRENT_TIMESTAMP", "now()"}), _NOW),
    types.Date: (frozenset({"CURRENT_DATE"}), "CURRENT_DATE"),
    types.Time: (frozenset({"CURRENT_TIME"}), _NOW_TIME),
    types.Uuid: (frozenset({"gen_random_uuid()", "uuid()"}), _RANDOM_UUID),
}
"""The portable expressions of a type, in token form, and what SQLite writes for them."""

_LITERAL_ONLY: Final = (types.Decimal, types.Timestamp, types.Time, types.Interval, types.Uuid)
"""Types of which no expression of SQLite's own gives the stored form by itself."""


class _NotALiteral(Exception):
    """The default is an expression."""


def default_clause(column: Column, table: str, dialect: Dialect) -> tuple[str, bool] | None:
    """What follows DEFAULT, and whether it is an expression of the model's own; None without a default.

    Raises ConfigurationError.
    """
    if column.default is None:
        return None
    fragment = read_fragment(column.default, f"the db_default of {table}.{column.name}")
    tokens = without_outer_parentheses(fragment.tokens)
    names, expression = _CURRENT.get(type(column.type), (frozenset[str](), ""))
    if token_form(tokens) in names:
        return expression, False
    try:
        value = _literal(tokens)
    except _NotALiteral:
        if isinstance(column.type, _LITERAL_ONLY):
            allowed = " or ".join(sorted(names, key=str.lower))
            raise fragment.refused(
                f"must be a literal{f' or {allowed}' if allowed else ''}: SQLite stores "
                f"{types.describe(column.type)} in a form that other expressions do not give",
                "set the default of the field instead",
            ) from None
        return f"({fragment.text})", True
    if value is None:
        return "NULL", False
    try:
        return dialect.literal(_value(value, column.type), column.type), False
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise _unsuitable(fragment, column, error) from None


def _unsuitable(fragment: Fragment, column: Column, error: Exception) -> Exception:
    reason = error.message if isinstance(error, InvalidValueError) else f"a {types.describe(column.type)} is expected"
    return fragment.refused("does not suit the column", reason)


def _literal(tokens: Sequence[Token]) -> Any:
    """The value of a lone literal: None, bool, str, bytes, or a Decimal for any number. Raises _NotALiteral."""
    sign = 1
    if len(tokens) == 2 and tokens[0].keyword in {"+", "-"} and tokens[1].kind == "number":
        sign, tokens = (-1 if tokens[0].text == "-" else 1), tokens[1:]
    if len(tokens) != 1:
        raise _NotALiteral
    token = tokens[0]
    match token.kind:
        case "number":
            return sign * _number(token.text)
        case "string":
            return unquoted(token.text)
        case "blob":
            return bytes.fromhex(token.text[2:-1])
        case "word" if token.keyword in {"NULL", "TRUE", "FALSE"}:
            return {"NULL": None, "TRUE": True, "FALSE": False}[token.keyword]
        case _:
            raise _NotALiteral


def _number(text: str) -> decimal.Decimal:
    return decimal.Decimal(int(text, 16)) if text[:2].lower() == "0x" else decimal.Decimal(text)


def _value(value: Any, type_: types.ColumnType) -> Any:
    """The canonical value that a literal means for a column; ValueError when it means none."""
    if isinstance(value, str):
        return _value_of_text(value, type_)
    if isinstance(value, decimal.Decimal):
        return _value_of_number(value, type_)
    return value


def _value_of_text(value: str, type_: types.ColumnType) -> Any:
    match type_:
        case types.Text() | types.Uuid():
            return value
        case types.Timestamp():
            return dt.datetime.fromisoformat(value)
        case types.Date():
            return dt.date.fromisoformat(value)
        case types.Time():
            return dt.time.fromisoformat(value)
        case types.Json() | types.Array():
            return json.loads(value)
        case types.Decimal():
            return decimal.Decimal(value)
        case _:
            raise ValueError("a text is none of the column's values")


def _value_of_number(value: decimal.Decimal, type_: types.ColumnType) -> Any:
    whole = int(value) if value == value.to_integral_value() else None
    match type_:
        case types.Decimal():
            return value
        case types.Float():
            return float(value)
        case types.Boolean() if whole in {0, 1}:
            return bool(whole)
        case types.Integer() if whole is not None:
            return whole
        case types.Interval() if whole is not None:
            return dt.timedelta(microseconds=whole)
        case types.Text():
            return format(value, "f")
        case types.Json():
            return whole if whole is not None else float(value)
        case _:
            raise ValueError("a number is none of the column's values")
