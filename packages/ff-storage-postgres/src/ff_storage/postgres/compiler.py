"""The SQL that PostgreSQL writes in its own way.

Every value that meets another one is cast to the type in which they meet (`$1::bigint`): PostgreSQL would else infer
the type from its neighbor, and refuse a number that does not fit it. Text columns have the collation "C", so that
comparisons and order go by code point; what is folded goes by the collation that the server has for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ff_storage.core.sql.compiler import Compiler
from ff_storage.core.sql.dialect import Convert
from ff_storage.core.sql.expressions import Arithmetic, Bound, Expr, Match, Order, Stored
from ff_storage.core.tables import Column
from ff_storage.core.types import Array, Boolean, Bytes, ColumnType, Decimal, Float, Integer, Text, Uuid
from ff_storage.postgres import values

if TYPE_CHECKING:
    from ff_storage.postgres.dialect import PostgresDialect


class PostgresCompiler(Compiler):
    """Statements for PostgreSQL 13 and newer."""

    dialect: PostgresDialect

    def nulls(self, term: Order, nulls: str, *, nullable: bool) -> str:
        # PostgreSQL's own order has NULLs as the largest values.
        own = "FIRST" if term.descending else "LAST"
        return "" if nulls == own else super().nulls(term, nulls, nullable=nullable)

    def parameter(self, index: int, encode: Convert, what: str) -> str:
        # A value that is written twice is one parameter: only so do an output and its GROUP BY read alike.
        position = 1
        for slot in self.slots:
            if slot.position == index and not slot.size:
                return self.dialect.placeholder(position)
            position += slot.size or 1
        return super().parameter(index, encode, what)

    def side(self, node: Expr, type_: ColumnType, column: Column | None) -> str:
        text = super().side(node, type_, column)
        return f"{text}::{values.parameter_type(type_, column)}" if isinstance(node, Bound | Stored) else text

    def membership(self, left: str, position: int, encode: Convert, size: int, type_: ColumnType, negated: bool) -> str:
        if isinstance(type_, Array):
            return super().membership(left, position, encode, size, type_, negated)

        def as_list(items: Any) -> list[Any]:
            return [encode(item) for item in items]

        mark = self.parameter(position, as_list, "in_")
        operator = "<> ALL" if negated else "= ANY"
        return f"{left} {operator} ({mark}::{values.parameter_type(type_)}[])"

    # --- text --------------------------------------------------------------------------------------------------------

    def match(self, node: Match, operand: str, position: int) -> str:
        check = self.dialect.encoder(Text())
        pattern = _PATTERNS[node.kind]
        mark = self.parameter(position, lambda value: pattern(check(value)), node.kind) + "::text"
        if node.fold:
            # Upper case, because there more letters that are one to a reader become the same; of lower case, because
            # some (ẞ, and the signs of Kelvin and Ohm) are upper case already, and another one than their small letter.
            operand, mark = (f"upper(lower({each} COLLATE {self.dialect.fold}))" for each in (operand, mark))
        return f"{operand} LIKE {mark} ESCAPE '\\'"

    def call(self, function: str, arguments: list[str]) -> str:
        if function not in ("lower", "upper"):
            return super().call(function, arguments)
        # By the collation that knows letters, and then back to the order of code points.
        return f'({function}({arguments[0]} COLLATE {self.dialect.fold}) COLLATE "C")'

    # --- numbers -----------------------------------------------------------------------------------------------------

    def arithmetic(self, node: Arithmetic, type_: ColumnType) -> str:
        result = self.arithmetic_type(node, type_)
        if isinstance(type_, Integer) and node.operator != "/":
            left, right = (self._wide(each, type_) for each in (node.left, node.right))
            return f"({left} {node.operator} {right})"
        if isinstance(type_, Decimal) and isinstance(result, Decimal) and node.operator == "/":
            left, right = self.side(node.left, type_, None), self.side(node.right, type_, None)
            return _quotient(left, f"NULLIF({right}, 0)", result.scale, type_.precision)
        return super().arithmetic(node, type_)

    def _wide(self, node: Expr, type_: ColumnType) -> str:
        """An operand as 64 bits: PostgreSQL computes in the width of its operands, and fails beyond."""
        text = self.side(node, type_, None)
        return text if isinstance(node, Bound | Stored) else f"{text}::bigint"

    def aggregate(self, function: str, argument: Expr, type_: ColumnType, *, distinct: bool) -> str:
        if function in ("min", "max"):
            return self._extreme(function, argument, type_)
        plain, result = super().aggregate, self.avg_type(type_)
        if function == "avg" and isinstance(result, Decimal):
            total, count = (plain(each, argument, type_, distinct=distinct) for each in ("sum", "count"))
            return _quotient(total, count, result.scale, _INTEGER_DIGITS)
        text = plain(function, argument, type_, distinct=distinct)
        if function == "sum" and isinstance(type_, Integer):
            return f"CAST({text} AS bigint)"  # a numeric; beyond 64 bits an error
        return self._real(text, type_) if function == "avg" else text

    def _real(self, text: str, type_: ColumnType) -> str:
        return text if isinstance(type_, Float) else f"CAST({text} AS double precision)"

    def _extreme(self, function: str, argument: Expr, type_: ColumnType) -> str:
        text = self.write(argument)
        if isinstance(type_, Boolean):
            return f"{'bool_and' if function == 'min' else 'bool_or'}({text})"
        if isinstance(type_, Uuid | Bytes):  # older servers order these and have no min and max for them
            return f"(array_agg({text} ORDER BY {text}{' DESC' if function == 'max' else ''} NULLS LAST))[1]"
        return f"{function.upper()}({text})"


_INTEGER_DIGITS: Final = 19
"""The digits of an integer of 64 bits."""


def _quotient(dividend: str, divisor: str, scale: int, digits: int) -> str:
    """A quotient of numerics, rounded half up to `scale`; the divisor has at most so many `digits`.

    PostgreSQL gives it as many digits after the point as its dividend has, or about sixteen in all, rounded: to round
    that again could make 0.4995 a 0.50 and then a 1. With more digits than the divisor's no quotient comes that near.
    """
    return f"ROUND({dividend} * 1.{'0' * (scale + digits + 1)} / {divisor}, {scale})"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _like(pattern: str) -> str:
    # A lone escape at the end is a backslash, and not the error that PostgreSQL makes of it.
    trailing = len(pattern) - len(pattern.rstrip("\\"))
    return pattern + "\\" if trailing % 2 else pattern


_PATTERNS: Final[dict[str, Callable[[str], str]]] = {
    "contains": lambda text: f"%{_escaped(text)}%",
    "startswith": lambda text: f"{_escaped(text)}%",
    "endswith": lambda text: f"%{_escaped(text)}",
    "like": _like,
}
