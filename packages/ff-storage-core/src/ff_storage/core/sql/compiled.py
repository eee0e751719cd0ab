"""A compiled statement: its text, how to bind its values, and what its result columns hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ff_storage.core.errors import InvalidValueError, LimitExceededError
from ff_storage.core.sql.columns import encoded as encode_column
from ff_storage.core.sql.dialect import Convert, Dialect
from ff_storage.core.sql.expressions import Entity
from ff_storage.core.sql.scope import Scope
from ff_storage.core.sql.statements import Statement
from ff_storage.core.tables import Column
from ff_storage.core.types import ColumnType

MAX_CACHED: Final = 4096
"""Compiled statements a dialect keeps; at the limit the older half goes."""

MAX_CACHED_TEXT: Final = 2_000_000
"""Characters of their texts together, at about 50 bytes of memory each; one alone may have a twentieth of them."""


class Slot(NamedTuple):
    """One parameter: the value at `position`, encoded. With `size`, a list that fills that many parameters."""

    position: int
    encode: Convert
    what: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """What a result column holds; `column` is the model's column it comes from unchanged, if any."""

    type: ColumnType
    column: Column | None = None
    entity: Entity | None = None


class Compiled:
    """A statement's text, and how to make its parameters."""

    __slots__ = ("_single", "_slots", "outputs", "text")

    def __init__(self, text: str, slots: Sequence[Slot], outputs: tuple[Output, ...] = ()) -> None:
        self.text = text
        self.outputs = outputs
        self._slots = tuple(slots)
        lists = any(slot.size for slot in slots)
        # Where no parameter is a list, as in most statements: the little that binding them takes.
        self._single = None if lists else tuple([(slot.position, slot.encode) for slot in slots])

    def bind(self, values: Sequence[Any]) -> list[Any]:
        """The driver's parameters for the statement's values followed by the scope's. Raises InvalidValueError."""
        try:
            if self._single is not None:
                return [None if (value := values[at]) is None else encode(value) for at, encode in self._single]
            parameters: list[Any] = []
            for index, encode, _, size in self._slots:
                value = values[index]
                if size:
                    encoded = [encode(item) for item in value]
                    parameters += encoded + encoded[-1:] * (size - len(encoded))
                else:
                    parameters.append(None if value is None else encode(value))
        except InvalidValueError as error:
            raise self._located(values, error) from error.__cause__
        return parameters

    def bind_columns(self, columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The parameters of many rows, whose values are given column by column. Raises InvalidValueError.

        Not for statements with list parameters.
        """
        try:
            encoded = [encode_column(encode, columns[index]) for index, encode, _, _ in self._slots]
        except (InvalidValueError, LimitExceededError):
            for row in zip(*columns, strict=True):  # the first row at fault is the one to report
                self.bind(row)
            raise
        return list(zip(*encoded, strict=True))

    def _located(self, values: Sequence[Any], error: InvalidValueError) -> InvalidValueError:
        # Only a failure pays for finding out which parameter it was.
        for index, encode, what, size in self._slots:
            value = values[index]
            for item in value if size else (value,):
                try:
                    if item is not None:
                        encode(item)
                except InvalidValueError as again:
                    again.message = f"{what}: {again.message}"
                    again.args = (again.message,)
                    return again
        return error


def prepare(dialect: Dialect, key: Any, scope: Scope, make: Callable[[], Statement]) -> Compiled:
    """The compiled form of the statement that `make` builds, found under `key` and the scope's kind.

    `key` must determine the statement apart from its values.
    """
    shape = (key, scope.key)
    compiled: Compiled | None = dialect.statements.get(shape)
    if compiled is None:
        compiled = dialect.compiler(dialect, scope).compile(make())
        remember(dialect, shape, compiled)
    return compiled


def remember(dialect: Dialect, shape: Any, prepared: Any) -> None:
    """Keep `prepared` in the dialect's cache, within its bounds."""
    cache = dialect.statements
    size = len(prepared.text)
    if len(cache) >= MAX_CACHED or dialect.cached_text + size > MAX_CACHED_TEXT:
        for old in list(cache)[: (len(cache) + 1) // 2]:
            cache.pop(old, None)
        dialect.cached_text = sum([len(each.text) for each in [*cache.values()]])  # a copy: other threads go on
    if size <= MAX_CACHED_TEXT // 20:
        cache[shape] = prepared
        dialect.cached_text += size
