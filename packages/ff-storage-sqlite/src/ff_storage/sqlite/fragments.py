"""SQL text that a model gives: held within its parentheses, and its Decimal comparisons brought to the stored form.

A fragment is written as the user wrote it. It is read first, as SQLite would, so that it cannot end its own clause
(`a > 0) OR (1 = 1`, `x -- `) and so that a column stored in another form than its SQL literals is noticed: a Decimal is
a scaled integer or a text key here, and `price > 9.99` means `price > 999` to SQLite.
"""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ff_storage.core.errors import ConfigurationError, InvalidValueError
from ff_storage.core.tables import Table
from ff_storage.core.types import Decimal
from ff_storage.sqlite import values
from ff_storage.sqlite.tokens import RESERVED, Token, UnreadableSQL, fold, partners, tokenize

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect

_COMPARISONS = frozenset({"=", "==", "<>", "!=", "<", "<=", ">", ">="})
_BEFORE = frozenset({"(", ",", "AND", "OR", "NOT", "WHEN", "THEN", "ELSE"})
_BEHIND = frozenset({")", ",", "AND", "OR", "WHEN", "THEN", "ELSE", "END"})
"""What binds less tightly than a comparison: between two of these a comparison stands alone."""

_TIME_FUNCTIONS = frozenset({"date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff"})
_MOVING = frozenset({"now", "localtime", "utc"})
"""Arguments of those functions whose result depends on when or where they are called."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A readable fragment: its text, its tokens, and what it is, for messages."""

    text: str
    tokens: Sequence[Token]
    what: str

    def refused(self, why: str, remedy: str) -> ConfigurationError:
        """The error for a fragment that cannot be used."""
        return ConfigurationError(f"{self.what} {why}", found=ascii(self.text)[:100], remedy=remedy)


def read_fragment(text: str, what: str) -> Fragment:
    """The fragment, without comments around it, when it is balanced. Raises ConfigurationError."""
    try:
        tokens = tokenize(text)
        if tokens:
            text = text[tokens[0].start : tokens[-1].end]
            tokens = tokenize(text)
        partners(tokens)
    except UnreadableSQL as error:
        raise ConfigurationError(f"{what} is not SQL that SQLite reads", found=str(error)) from None
    fragment = Fragment(text, tokens, what)
    if not tokens:
        raise fragment.refused("is empty", "leave it out")
    if any(token.text == ";" for token in tokens):
        raise fragment.refused("holds more than an expression", "take out the semicolon")
    return fragment


def read_rule(text: str, what: str) -> Fragment:
    """`read_fragment` for what must give the same for the same row: a CHECK, a generated column, a predicate.

    SQLite creates a rule that asks for the current time and then fails at every write, so it is refused here.
    """
    fragment = read_fragment(text, what)
    pairs = partners(fragment.tokens)
    for index, token in enumerate(fragment.tokens):
        if token.kind in {"word", "quoted"} and fold(token.name) in _TIME_FUNCTIONS and index + 1 in pairs:
            arguments = fragment.tokens[index + 2 : pairs[index + 1]]
            words = {fold(argument.name) for argument in arguments if argument.kind in {"string", "quoted"}}
            commas = sum(argument.text == "," for argument in arguments)
            if not arguments or words & _MOVING or (fold(token.name) == "strftime" and not commas):
                raise fragment.refused(
                    "asks for the current time, which SQLite allows in no rule about a row",
                    "check it in Python, or compare with a column that holds the time",
                )
    return fragment


def stored_form(fragment: Fragment, table: Table, dialect: Dialect) -> str:
    """The text with every literal that a Decimal column is compared with in the column's stored form.

    Raises ConfigurationError when such a column is used in any other way: in arithmetic, in a function, against a
    column of another scale.
    """
    decimals = {fold(column.name): column.type for column in table.columns if isinstance(column.type, Decimal)}
    if not decimals:
        return fragment.text
    rewriting = _Rewriting(fragment, decimals, dialect)
    return rewriting.run()


class _Rewriting:
    """One pass over a fragment's tokens."""

    def __init__(self, fragment: Fragment, decimals: dict[str, Decimal], dialect: Dialect) -> None:
        self.fragment = fragment
        self.tokens = fragment.tokens
        self.decimals = decimals
        self.dialect = dialect
        self.ranges = self._ands_of_between()
        self.replacements: list[tuple[int, int, str]] = []

    def run(self) -> str:
        index = 0
        while index < len(self.tokens):
            type_ = self._column(index)
            index = self._comparison(index, type_) if type_ is not None else index + 1
        text, position, parts = self.fragment.text, 0, list[str]()
        for start, end, literal in sorted(self.replacements):
            parts += [text[position:start], literal]
            position = end
        return "".join([*parts, text[position:]])

    def _ands_of_between(self) -> frozenset[int]:
        """The ANDs that separate the bounds of a BETWEEN and join nothing."""
        found: list[int] = []
        open_ones: list[int] = [0]
        for index, token in enumerate(self.tokens):
            match token.keyword:
                case "(":
                    open_ones.append(0)
                case ")":
                    open_ones.pop()
                case "BETWEEN":
                    open_ones[-1] += 1
                case "AND" if open_ones[-1]:
                    open_ones[-1] -= 1
                    found.append(index)
                case _:
                    pass
        return frozenset(found)

    def _keyword(self, index: int) -> str:
        return self.tokens[index].keyword if 0 <= index < len(self.tokens) else ""

    def _column(self, index: int) -> Decimal | None:
        """The type of the Decimal column that the token stands for, if it stands for one."""
        token = self.tokens[index] if index < len(self.tokens) else None
        if token is None or token.kind not in {"word", "quoted"} or token.keyword in RESERVED:
            return None
        return None if self._keyword(index + 1) in {"(", "."} else self.decimals.get(fold(token.name))

    def _comparison(self, index: int, type_: Decimal) -> int:
        """Rewrite the comparison around the column at `index`; the index behind it. Raises ConfigurationError."""
        first = index
        while self._keyword(first - 1) == ".":
            first -= 2
        starts = self._starts(first)
        end = self._operands(index + 1, type_) if starts else self._literal_before(first, index + 1, type_)
        if end is None or not self._ends(end):
            raise self.fragment.refused(
                f"uses the Decimal column {self.tokens[index].name!r}, which SQLite stores in another form",
                "compare the column directly with a number, or declare the rule as ge, gt, le or lt of the field",
            )
        return end

    def _starts(self, index: int) -> bool:
        """Whether an operand that begins at `index` is the left one of everything up to the next boundary."""
        before = self._keyword(index - 1)
        if index == 0:
            return True
        if before == "NOT" and self._keyword(index - 2) == "IS":
            return False
        return before in _BEFORE and index - 1 not in self.ranges

    def _ends(self, index: int) -> bool:
        return index == len(self.tokens) or self._keyword(index) in _BEHIND

    def _operands(self, index: int, type_: Decimal) -> int | None:
        """Rewrite what follows a column from its operator on; the index behind it, None when it is not understood."""
        operator = self._keyword(index)
        if operator in _COMPARISONS:
            other = self._qualified(index + 1)
            if (named := self._column(other)) is not None:
                return other + 1 if _comparable(type_, named) else None
            return self._number(index + 1, type_)
        if operator in {"ISNULL", "NOTNULL"}:
            return index + 1
        if operator == "IS":
            index += 2 if self._keyword(index + 1) == "NOT" else 1
            return index + 1 if self._keyword(index) == "NULL" else None
        if operator == "NOT":
            index += 1
            operator = self._keyword(index)
            if operator == "NULL":
                return index + 1
        if operator == "BETWEEN":
            middle = self._number(index + 1, type_)
            return self._number(middle + 1, type_) if middle is not None and middle in self.ranges else None
        return self._list(index + 1, type_) if operator == "IN" else None

    def _qualified(self, index: int) -> int:
        """The index of the last part of a dotted name."""
        while self._keyword(index + 1) == ".":
            index += 2
        return index

    def _list(self, index: int, type_: Decimal) -> int | None:
        """The numbers of an IN list."""
        if self._keyword(index) != "(":
            return None
        end: int | None = index
        while end is not None and self._keyword(end) in {"(", ","}:
            end = self._number(end + 1, type_)
        return end + 1 if end is not None and self._keyword(end) == ")" else None

    def _literal_before(self, first: int, behind: int, type_: Decimal) -> int | None:
        """`number operator column`, with the column from `first` to `behind`."""
        if self._keyword(first - 1) not in _COMPARISONS:
            return None
        start = first - 2
        if self._keyword(start - 1) in {"+", "-"} and self._starts(start - 1):
            start -= 1
        elif not self._starts(start):
            return None
        return behind if self._number(start, type_) == first - 1 else None

    def _number(self, index: int, type_: Decimal) -> int | None:
        """Rewrite the number at `index`, with its sign; the index behind it, None when there is none."""
        start = index
        if self._keyword(index) in {"+", "-"}:
            index += 1
        if not 0 <= start <= index < len(self.tokens) or self.tokens[index].kind != "number":
            return None
        sign = self._keyword(start) if start < index else ""
        try:
            literal = self.dialect.literal(decimal.Decimal(sign + self.tokens[index].text), type_)
        except (decimal.InvalidOperation, InvalidValueError):
            raise self.fragment.refused(
                "compares a Decimal column with a number that it cannot hold",
                f"the column has {type_.precision} digits, {type_.scale} of them after the point",
            ) from None
        self.replacements.append((self.tokens[start].start, self.tokens[index].end, literal))
        return index + 1


def _comparable(left: Decimal, right: Decimal) -> bool:
    """Whether the stored forms of two columns order as their values do: equal scales, and equal widths of text keys."""
    return left == right or (left.scale == right.scale and values.is_scaled(left) and values.is_scaled(right))
