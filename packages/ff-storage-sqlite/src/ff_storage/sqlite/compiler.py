"""The SQL that SQLite writes in its own way.

A Decimal of up to 18 digits is a scaled INTEGER here, so the compiler carries scales through comparisons and
arithmetic; a wider one is a text key that can be compared and aggregated but not computed with. Text matches use GLOB
and instr, since LIKE ignores case for ASCII alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar, Final

from ff_storage.core.errors import LimitExceededError, UnsupportedFeature
from ff_storage.core.sql.compiler import Compiler
from ff_storage.core.sql.dialect import Convert
from ff_storage.core.sql.expressions import Arithmetic, Expr, Match, Order
from ff_storage.core.tables import Column
from ff_storage.core.types import Bytes, ColumnType, Decimal, Float, Integer, Text, describe
from ff_storage.sqlite.functions import AVG_DIGITS
from ff_storage.sqlite.values import NARROW_DIGITS

JSON_LIST: Final = 8
"""From this many values on, the list of an IN is one JSON parameter."""

MAX_PATTERN: Final = 50_000
"""Bytes; SQLite refuses longer GLOB patterns (SQLITE_MAX_LIKE_PATTERN_LENGTH)."""


class SQLiteCompiler(Compiler):
    """Statements for SQLite 3.37 and newer."""

    comparisons: ClassVar[dict[str, str]] = {**Compiler.comparisons, "DISTINCT": "IS NOT", "NOT DISTINCT": "IS"}

    def column(self, name: str) -> str:
        # Not in double quotes: SQLite takes a "name" that is no column for a text, and answers with it.
        return f"[{name}]"

    def no_limit(self) -> list[str]:
        return ["LIMIT -1"]

    def nulls(self, term: Order, nulls: str, *, nullable: bool) -> str:
        # SQLite's own order is the library's: NULLs are the smallest values.
        own = "LAST" if term.descending else "FIRST"
        return "" if nulls == own else super().nulls(term, nulls, nullable=nullable)

    def members(self, position: int, encode: Convert, size: int, type_: ColumnType) -> str:
        if size < JSON_LIST or isinstance(type_, Float | Bytes):
            return super().members(position, encode, size, type_)

        def as_json(items: Any) -> str:
            return json.dumps([encode(item) for item in items], ensure_ascii=False)

        return f"(SELECT value FROM json_each({self.parameter(position, as_json, 'in_')}))"

    def match(self, node: Match, operand: str, position: int) -> str:
        left = f"ff_fold({operand})" if node.fold else operand
        check = self.dialect.encoder(Text())
        pattern = _PATTERNS[node.kind]

        def encode(value: Any) -> str:
            text: str = check(value)
            return pattern(text.casefold() if node.fold else text)

        mark = self.parameter(position, encode, node.kind)
        return f"instr({left}, {mark}) > 0" if node.kind == "contains" else f"{left} GLOB {mark}"

    def returned(self, column: Column) -> str:
        # RETURNING alone gives the whole number as which SQLite stores 0.0 or 1.0 in a REAL column.
        name = super().returned(column)
        return f"CAST({name} AS REAL)" if isinstance(column.type, Float) else name

    def call(self, function: str, arguments: list[str]) -> str:
        # SQLite's own lower and upper know ASCII only.
        name = f"ff_{function}" if function in ("lower", "upper") else function.upper()
        return f"{name}({', '.join(arguments)})"

    # --- numbers -----------------------------------------------------------------------------------------------------

    def meet(self, first: ColumnType, second: ColumnType) -> ColumnType:
        type_ = super().meet(first, second)
        if not isinstance(type_, Decimal) or first == second:
            return type_
        for side in (first, second):
            self.narrow(side)
        return Decimal(NARROW_DIGITS, type_.scale)

    def narrow(self, type_: ColumnType) -> None:
        """Refuse to compute with a Decimal that is stored as a text key."""
        if is_key(type_):
            raise UnsupportedFeature(
                f"SQLite compares {describe(type_)} but does not compute with it",
                remedy=f"declare max_digits of at most {NARROW_DIGITS}, or compute in Python",
            )

    def cast(self, text: str, source: ColumnType, target: ColumnType) -> str:
        if source == target:
            return text
        if isinstance(target, Float) and isinstance(source, Integer):
            return f"CAST({text} AS REAL)"
        if isinstance(target, Float) and isinstance(source, Decimal):
            self.narrow(source)
            return f"(CAST({text} AS REAL) / {10**source.scale})"
        if isinstance(target, Decimal) and isinstance(source, Integer | Decimal) and not is_key(target):
            self.narrow(source)
            shift = target.scale - (source.scale if isinstance(source, Decimal) else 0)
            return f"({text} * {10**shift})" if shift > 0 else text
        return text

    def arithmetic(self, node: Arithmetic, type_: ColumnType) -> str:
        if not isinstance(type_, Decimal):
            return super().arithmetic(node, type_)
        self.narrow(type_)
        left, right = self.side(node.left, type_, None), self.side(node.right, type_, None)
        if node.operator == "/":
            result = self.arithmetic_type(node, type_)
            digits = result.scale if isinstance(result, Decimal) else 0
            return f"ff_decimal_ratio({left}, {right}, {digits})"
        return f"({left} {node.operator} {right})"

    def arithmetic_type(self, node: Arithmetic, type_: ColumnType) -> ColumnType:
        return _narrowed(super().arithmetic_type(node, type_), type_)

    def sum_type(self, type_: ColumnType) -> ColumnType:
        return _narrowed(super().sum_type(type_), type_)

    def avg_type(self, type_: ColumnType) -> ColumnType:
        return _narrowed(super().avg_type(type_), type_)

    def aggregate(self, function: str, argument: Expr, type_: ColumnType, *, distinct: bool) -> str:
        plain = super().aggregate
        if not isinstance(type_, Decimal) or function not in ("sum", "avg"):
            return plain(function, argument, type_, distinct=distinct)
        if is_key(type_):
            return f"ff_decimal_{function}({'DISTINCT ' if distinct else ''}{self.write(argument)})"
        total = plain("sum", argument, type_, distinct=distinct)
        if function == "sum":
            return total
        return f"ff_decimal_ratio({total}, {plain('count', argument, type_, distinct=distinct)}, {AVG_DIGITS})"


def is_key(type_: ColumnType) -> bool:
    """Whether a type is a Decimal that is stored as an order-preserving text key."""
    return isinstance(type_, Decimal) and type_.precision > NARROW_DIGITS


def _narrowed(result: ColumnType, operand: ColumnType) -> ColumnType:
    if isinstance(result, Decimal) and not is_key(operand):
        return Decimal(NARROW_DIGITS, result.scale)
    return result


def _literal(text: str) -> str:
    """`text` with GLOB's special characters made literal."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in text)


def _glob(pattern: str) -> str:
    if len(pattern.encode()) > MAX_PATTERN:
        raise LimitExceededError(f"SQLite matches patterns of at most {MAX_PATTERN:,} bytes")
    return pattern


def _like(pattern: str) -> str:
    parts: list[str] = []
    characters = iter(pattern)
    for each in characters:
        if each == "\\":
            parts.append(_literal(next(characters, "\\")))
        else:
            parts.append({"%": "*", "_": "?"}.get(each) or _literal(each))
    return _glob("".join(parts))


_PATTERNS: Final[dict[str, Callable[[str], str]]] = {
    "contains": lambda text: text,
    "startswith": lambda text: _glob(_literal(text) + "*"),
    "endswith": lambda text: _glob("*" + _literal(text)),
    "like": _like,
}
