"""JSON as engines take it: the encoders of JSON columns, for one value and for a whole column.

What the data hold is seen by what was written of them wherever that tells, since to look at them piece by piece takes
longer than to write them.
"""

from __future__ import annotations

import marshal
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from ff_storage.core.errors import InvalidValueError
from ff_storage.core.sql.dialect import Convert
from ff_storage.core.sql.values import MAX_INT64, MAX_JSON_DEPTH, MAX_PLAIN_TEXT, MIN_INT64, json_value


class JsonText:
    """Canonical JSON → its text, by a `dump` that gives UTF-8 and refuses keys and text that JSON cannot hold.

    It refuses all values but those of JSON's own types, so whoever has free data need not look at them first; a tuple
    counts as a list. `quick` is a dump that refuses integers beyond 64 bits too, or more.
    """

    __slots__ = ("_dump", "_quick")

    def __init__(self, dump: Callable[[Any], bytes], quick: Callable[[Any], bytes]) -> None:
        self._dump = dump
        self._quick = quick

    # Data are not looked at piece by piece: what is written tells whether any is out of the ordinary, and Python's own
    # serializer refuses all classes but the built-in ones.

    def __call__(self, value: Any) -> str:
        """The text. Raises InvalidValueError."""
        try:
            written = self._quick(value).decode()
            marshal.dumps(value, 2)  # without a look-out for what occurs twice, which pays for a column
        except (TypeError, ValueError):
            return self._dump(json_value(value)).decode()
        if _is_ordinary(written, len(written)):
            return written
        if "\\u0000" in written or len(written) > MAX_PLAIN_TEXT or not _is_of_json_types(value, MAX_JSON_DEPTH):
            return self._dump(json_value(value)).decode()
        return written

    def many(self, column: Sequence[Any]) -> Sequence[Any] | None:
        """The texts of a column without None; see `sql.columns`."""
        dump = self._quick
        try:
            written = [dump(value).decode() for value in column]
            marshal.dumps([*column])
        except (TypeError, ValueError):
            return None
        longest = max(map(len, written))
        return written if longest < _SHALLOW and _is_ordinary("\n".join(written), longest) else None


_SHALLOW: Final = 2 * MAX_JSON_DEPTH
"""JSON of fewer characters cannot be too deep."""


def _is_ordinary(written: str, longest: int) -> bool:
    """Whether what was written is surely right: no null, which a NaN is written as too, no NUL and no deep nesting."""
    return longest < _SHALLOW and "null" not in written and "\\u0000" not in written


def _is_of_json_types(value: Any, depth: int) -> bool:
    """Whether a dict or list holds nothing but the values of JSON's types, text and keys aside."""
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    if not depth or (kind is not dict and kind is not list):
        return False
    for item in value.values() if kind is dict else value:
        kind = type(item)  # pyright: ignore[reportUnknownVariableType]
        if kind is str or item is None or kind is bool:
            continue
        if kind is int:
            if not MIN_INT64 <= item <= MAX_INT64:
                return False
        elif kind is float:
            if not math.isfinite(item):
                return False
        elif not _is_of_json_types(item, depth - 1):
            return False
    return True


class FreeJson:
    """The encoder of JSON that may be any data, of which few values have to be adapted: `encode` sees which."""

    __slots__ = ("_adapt", "_encode", "_kinds")

    def __init__(self, encode: JsonText, adapt: Convert, kinds: frozenset[type]) -> None:
        self._encode = encode
        self._adapt = adapt
        self._kinds = kinds

    def __call__(self, value: Any) -> str:
        """The text. Raises InvalidValueError."""
        if type(value) in self._kinds:
            try:
                return self._encode(value)
            except InvalidValueError:
                pass
        return self._encode(self._adapt(value))

    def many(self, column: Sequence[Any]) -> Sequence[Any] | None:
        """The texts of a column; see `sql.columns`."""
        return self._encode.many(column) if {*map(type, column)} <= self._kinds else None
