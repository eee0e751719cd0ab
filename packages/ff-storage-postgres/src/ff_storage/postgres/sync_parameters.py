"""Raw SQL of the synchronous side: `%s` and `%(name)s`, brought to the `$n` that the server knows.

As in psycopg and its predecessors: `%%` is a percent sign wherever values are given, and a text without values is sent
as it is. Placeholders within literals, quoted names and comments are none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ff_storage.core.errors import InvalidValueError
from ff_storage.postgres.parameters import lone_mark

_TOKEN: Final = re.compile(
    r"""
      \b[eE]'(?:[^'\\]|''|\\.)*'                          # literals with escapes
    | '(?:[^']|'')*' | "(?:[^"]|"")*"                     # literals and quoted names
    | \$(?P<tag>[A-Za-z_\u0080-\uffff]*)\$.*?\$(?P=tag)\$ # dollar-quoted literals
    | --[^\n]* | /\*.*?(?:\*/|\Z)                         # comments
    | (?P<percent>%%)
    | (?P<positional>%s)
    | %\((?P<name>[^()]+)\)s
    | (?P<number>(?<![\w$])\$\d+)
    | (?P<mark>\?(?![|&?\-\#]))
    """,
    re.VERBOSE | re.DOTALL,
)

_LIST: Final = re.compile(r"\bIN\s*\Z", re.IGNORECASE)

_FORM: Final = "write WHERE a = %(a)s AND b = %(b)s with {'a': …, 'b': …}, or WHERE a = %s AND b = %s with [a, b]"


@dataclass(frozen=True, slots=True)
class Statement:
    """A raw statement for the driver: with `names` its values go by name, else there are `count` in order."""

    text: str
    count: int
    names: tuple[str, ...] = ()

    def bind(self, params: Mapping[str, Any] | Sequence[Any] | None) -> Sequence[Any]:
        """The values in the order of the driver's text. Raises InvalidValueError when they do not fit."""
        if params is None:
            params = {}
        if not self.names:
            # A mapping for positional placeholders binds in its order.
            values = [*params.values()] if isinstance(params, Mapping) else [*params]
            if len(values) != self.count:
                raise InvalidValueError(
                    f"the statement has {self.count} placeholders (%s)", found=f"{len(values)} values", remedy=_FORM
                )
            return values
        if not isinstance(params, Mapping):
            raise InvalidValueError(
                "the placeholders of the statement have names", found=f"{len(params)} values without", remedy=_FORM
            )
        missing = [name for name in self.names if name not in params]
        if missing:
            raise InvalidValueError(
                f"the statement names %({missing[0]})s, and no value has that name",
                found=", ".join(map(str, params)) or "no values",
            )
        return [params[name] for name in self.names]


@lru_cache(1024)
def statement(query: str) -> Statement:
    """The statement that `query` is. Raises InvalidValueError for another driver's placeholders."""
    parts: list[str] = []
    names: dict[str, int] = {}
    foreign: list[str] = []
    count = end = 0
    for match in _TOKEN.finditer(query):
        token, start = match[0], match.start()
        parts.append(query[end:start])
        end = match.end()
        if match["positional"] or match["name"]:
            if _LIST.search(query, 0, start):
                raise InvalidValueError(
                    "a list is no operand of IN here", found=f"IN {token}", remedy=f"write = ANY({token}), with a list"
                )
            number = names.setdefault(match["name"], len(names) + 1) if match["name"] else (count := count + 1)
            parts.append(f"${number}")
            continue
        if match["number"] or (match["mark"] and lone_mark(query, start)):
            foreign.append(token)
        parts.append(token.replace("%%", "%"))
    parts.append(query[end:])
    if names and count:
        raise InvalidValueError("a statement has %s or %(name)s, and not both", remedy=_FORM)
    if foreign and not names and not count:
        raise InvalidValueError(
            "a synchronous PostgreSQL database takes %s or %(name)s as the placeholders of raw SQL",
            found=", ".join(dict.fromkeys(foreign)),
            remedy=_FORM,
        )
    return Statement("".join(parts), len(names) or count, tuple(names))
