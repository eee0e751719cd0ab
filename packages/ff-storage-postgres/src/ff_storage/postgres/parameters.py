"""Raw SQL's arguments as asyncpg's parameters.

A raw statement of an async pool takes `$1`, `$2`, …. asyncpg binds each value as the type that the server expects
there, and refuses what does not fit. A dict among other values is sent as JSON.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from ff_storage.core.errors import InvalidValueError

_COMMENT: Final = functools.reduce(lambda inner, _: rf"/\*(?:[^*/]|\*(?!/)|/(?!\*)|{inner})*+\*/", range(5), r"(?!)")
"""A comment, with others in it five deep: in PostgreSQL they nest."""

TOKEN: Final = re.compile(
    rf"""
      \b[eE]'(?:[^'\\]|''|\\.)*'                          # literals with escapes
    | '(?:[^']|'')*' | "(?:[^"]|"")*"                     # literals and quoted names
    | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ # dollar-quoted literals
    | --[^\n]* | {_COMMENT} | /\*.*\Z                    # comments
    | (?<![\w$])\$(?P<number>\d+)                         # placeholders
    | (?P<foreign>%s|%\([A-Za-z_]\w*\)s|\?(?![|&?\-#]))   # another driver's; ? may be an operator of jsonb
    """,
    re.VERBOSE | re.DOTALL,
)


@functools.lru_cache(1024)
def placeholders(text: str) -> int:
    """The highest `$n` of a statement, apart from those within literals and comments.

    Raises InvalidValueError for `%s` and `%(name)s`, and for a gap in the numbers.
    """
    numbers: set[int] = set()
    foreign: list[str] = []
    for match in TOKEN.finditer(text):
        if match["number"]:
            numbers.add(int(match["number"]))
        elif match["foreign"] and match["foreign"] != "?":
            foreign.append(match["foreign"])
        elif match["foreign"]:
            foreign += lone_mark(text, match.start())
    if foreign and not numbers:
        raise InvalidValueError(
            "an async pool of PostgreSQL takes $1, $2, … as the placeholders of raw SQL",
            found=", ".join(dict.fromkeys(foreign)),
            remedy="write WHERE a = $1 AND b = $2, and pass the values in that order",
        )
    last = max(numbers, default=0)
    if last != len(numbers):
        missing = next(number for number in itertools.count(1) if number not in numbers)
        raise InvalidValueError(
            f"the statement names no ${missing}",
            found=f"${last}"[:20],
            remedy="number the placeholders from $1 on, without a gap",
        )
    return last


def lone_mark(text: str, position: int) -> list[str]:
    """A ? where a value would stand: behind an operator, a comma or a parenthesis, and not between two operands."""
    before = text[:position].rstrip()
    return ["?"] if before.endswith(("=", "<", ">", ",", "(")) else []


def bind(text: str, arguments: Sequence[Any]) -> Sequence[Any]:
    """The parameters for `text`. A mapping alone binds its values in their order, and is never taken for JSON itself.

    Raises InvalidValueError when the count differs, and for another driver's placeholders.
    """
    expected = placeholders(text)
    alone = len(arguments) == 1 and isinstance(arguments[0], Mapping)
    if alone:
        mapping: Mapping[Any, Any] = arguments[0]  # pyright: ignore[reportUnknownVariableType]
        arguments = [*mapping.values()]
    if len(arguments) != expected:
        raise InvalidValueError(
            f"the statement has {expected} placeholders ($1, …)",
            found=f"a dict of {len(arguments)} values" if alone else f"{len(arguments)} values",
            remedy="pass JSON as json.dumps(…): a dict alone binds its values in their order"
            if alone
            else "pass one value for each: fetch_all('… WHERE a = $1 AND b = $2', a, b)",
        )
    return [orjson.dumps(value).decode() if isinstance(value, dict) else value for value in arguments]
