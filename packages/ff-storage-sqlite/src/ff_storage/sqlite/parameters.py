"""Raw SQL's arguments as SQLite's parameters.

A raw statement takes `?` for each value. Values are what SQLite stores (None, int, float, str, bytes) or what this part
stores in one way only: bool, datetime, date, time, timedelta, UUID. A Decimal is not among them: its stored form
depends on its column.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError
from ff_storage.sqlite.values import encoder

_TOKEN: Final = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]  # literals and quoted names
      | --[^\n]* | /\*.*?(?:\*/|\Z)                                    # comments
      | (?P<mark>\?\d*|[:@$][A-Za-z_0-9]+)""",
    re.VERBOSE | re.DOTALL,
)

_ENCODERS: Final[dict[type, Callable[[Any], Any]]] = {
    kind: encoder(types.SCALARS[kind])
    for kind in (str, int, float, bytes, bool, dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID)
}
_ENCODERS[bytearray] = _ENCODERS[memoryview] = _ENCODERS[bytes]


@lru_cache(1024)
def placeholders(text: str) -> int:
    """The number of placeholders in a statement, apart from those within literals and comments.

    Raises InvalidValueError for any form but `?`.
    """
    marks = [match["mark"] for match in _TOKEN.finditer(text) if match["mark"]]
    others = [mark for mark in marks if mark != "?"]
    if others:
        raise InvalidValueError(
            "SQLite takes ? as the placeholder of raw SQL here",
            found=", ".join(dict.fromkeys(others)),
            remedy="write WHERE a = ? AND b = ?, and pass the values in that order",
        )
    return len(marks)


def bind(
    text: str, arguments: Sequence[Any], example: str = "fetch_all('… WHERE a = ? AND b = ?', a, b)"
) -> Sequence[Any]:
    """The parameters for `text`. A mapping alone binds its values in their order; `example` is the form to show.

    Raises InvalidValueError when the count differs, when the placeholders are not `?`, and for values that SQLite
    cannot store.
    """
    expected = placeholders(text)
    if len(arguments) == 1 and isinstance(arguments[0], Mapping):
        mapping: Mapping[Any, Any] = arguments[0]  # pyright: ignore[reportUnknownVariableType]
        arguments = [*mapping.values()]
    if len(arguments) != expected:
        raise InvalidValueError(
            f"the statement has {expected} placeholders (?)",
            found=f"{len(arguments)} values",
            remedy=f"pass one value for each ?: {example}",
        )
    return [value if value is None else _encoded(value) for value in arguments]


def _encoded(value: object) -> Any:
    encode = _ENCODERS.get(type(value))
    if encode is not None:
        return encode(value)
    for kind in type(value).__mro__:
        if kind in _ENCODERS:
            return _ENCODERS[kind](value)
    raise InvalidValueError(
        "None, bool, int, float, str, bytes, a datetime, date, time, timedelta or UUID is expected in raw SQL",
        found=f"a {type(value).__name__}",
        remedy="bind the form that is stored; a Decimal column holds value * 10**scale as an int, or a text key",
    )
