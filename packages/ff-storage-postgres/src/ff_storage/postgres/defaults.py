"""DEFAULT clauses.

An expression stands as the model gave it, in parentheses, since PostgreSQL computes what it says. A lone literal is
read as a value of the column where PostgreSQL would read another type from it: `0` for a boolean, `x'00'` for bytes,
`1.5` for JSON, `'[1, 2]'` for an array. So one model serves every engine.
"""

from __future__ import annotations

import decimal
import json
from typing import TYPE_CHECKING, Any, Final

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError
from ff_storage.core.tables import Column
from ff_storage.postgres.fragments import Fragment, Token, read_fragment, unquoted
from ff_storage.postgres.values import type_name

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect

_FROZEN: Final = frozenset({"now", "today", "tomorrow", "yesterday"})
_TIMES: Final = (types.Timestamp, types.Date, types.Time)


def default_clause(column: Column, table: str, dialect: Dialect) -> str | None:
    """What follows DEFAULT; None without a default. Raises ConfigurationError."""
    if column.default is None:
        return None
    fragment = read_fragment(column.default, f"the db_default of {table}.{column.name}")
    tokens = _without_parentheses(fragment.tokens)
    words = "".join(token.text.lower() for token in tokens)
    if isinstance(column.type, types.Uuid) and words == "uuid()":
        return "gen_random_uuid()"
    literal = _signed(tokens)
    if literal is None:
        return f"({fragment.text})"
    if isinstance(column.type, _TIMES) and (unquoted(literal.text) or "").strip().lower() in _FROZEN:
        raise fragment.refused(
            "would be the moment at which the table is created, in every row",
            "write now() or CURRENT_DATE",
        )
    try:
        value = _value(literal, column.type)
        return literal.text if value is None else _written(value, column.type, dialect)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise _unsuitable(fragment, column, error) from None


def _unsuitable(fragment: Fragment, column: Column, error: Exception) -> Exception:
    reason = error.message if isinstance(error, InvalidValueError) else f"a {types.describe(column.type)} is expected"
    return fragment.refused("does not suit the column", reason)


def _without_parentheses(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """The tokens without parentheses around a lone literal; others do not matter here."""
    while len(tokens) > 2 and tokens[0].text == "(" and tokens[-1].text == ")":
        inner = tokens[1:-1]
        if any(token.text in {"(", ")"} for token in inner) and not (inner[0].text == "(" and inner[-1].text == ")"):
            return tokens
        tokens = inner
    return tokens


def _signed(tokens: tuple[Token, ...]) -> Token | None:
    """The lone literal, its sign put to it; None for everything else."""
    sign = ""
    if len(tokens) == 2 and tokens[0].text in {"+", "-"} and tokens[1].kind == "number":
        sign, tokens = tokens[0].text, tokens[1:]
    if len(tokens) != 1 or tokens[0].kind not in {"number", "string", "word"}:
        return None
    (token,) = tokens
    return Token(token.kind, sign + token.text, token.start, token.end)


def _value(literal: Token, type_: types.ColumnType) -> Any:
    """The canonical value of a literal that PostgreSQL would not read as one of the column's; else None."""
    text = literal.text
    match type_:
        case types.Boolean() if literal.kind == "number" and text in {"0", "1"}:
            return text == "1"
        case types.Bytes() if literal.kind == "string" and text[0] in "xX":
            return bytes.fromhex(text[2:-1])
        case types.Json() if literal.kind == "number":
            number = decimal.Decimal(text)
            return int(number) if number == number.to_integral_value() else float(number)
        case types.Json() if text.lower() in {"true", "false"}:
            return text.lower() == "true"
        case types.Array() if literal.kind == "string" and (unquoted(text) or "").lstrip().startswith("["):
            return json.loads(unquoted(text) or "")
        case _:
            return None


def _written(value: Any, type_: types.ColumnType, dialect: Dialect) -> str:
    if not isinstance(type_, types.Array):
        return dialect.literal(value, type_)
    members = ", ".join("NULL" if member is None else dialect.literal(member, type_.item) for member in value)
    return f"ARRAY[{members}]::{type_name(type_)}"
