"""SQL text that a model gives, held within its own clause.

The text is written as the model has it, and PostgreSQL is the judge of what it says; but first it is read far enough to
see that it is one expression: parentheses closed, quotes and comments ended, no semicolon. So it cannot end its clause
(`a > 0), CHECK (1 = 1`, `x -- `) or bring a second statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ff_storage.core.errors import ConfigurationError

Kind = Literal["word", "number", "string", "quoted", "mark"]

_TOKEN: Final = re.compile(
    r"""
      (?P<space> \s+ | --[^\n]* )
    | (?P<comment> /\* )
    | (?P<escaped> [eE]' (?: [^'\\] | '' | \\. )* ' )
    | (?P<string> (?: [bBxXnN] | [uU]& )? ' (?: [^'] | '' )* ' )
    | (?P<quoted> (?: [uU]& )? " (?: [^"] | "" )+ " )
    | (?P<dollar> \$ (?P<tag> (?: [^\W\d] \w* )? ) \$ .*? \$ (?P=tag) \$ )
    | (?P<word> (?! [eE]' ) [^\W\d] [\w$]* )
    | (?P<number> (?: \d [\d_]* (?: \. \d* )? | \. \d+ ) (?: [eE] [+-]? \d+ )? | 0[xXoObB][\da-fA-F_]+ )
    | (?P<mark> (?! [eE]' ) [^'"] )
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS: Final[dict[str, Kind]] = {
    "escaped": "string",
    "string": "string",
    "dollar": "string",
    "quoted": "quoted",
    "word": "word",
    "number": "number",
    "mark": "mark",
}
_PARTNERS: Final = {")": "(", "]": "["}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL text as it stands; `start` and `end` are its place in the text."""

    kind: Kind
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """A readable fragment: its text without comments around it, its tokens, and what it is, for messages."""

    text: str
    tokens: tuple[Token, ...]
    what: str

    def refused(self, why: str, remedy: str = "") -> ConfigurationError:
        """The error for a fragment that cannot be used."""
        return ConfigurationError(f"{self.what} {why}", found=ascii(self.text)[:100], remedy=remedy)


def read_fragment(text: str, what: str, *, alone: bool = True) -> Fragment:
    """The fragment, when it is one expression. Raises ConfigurationError.

    With `alone` False it stands beside others in a list, where a comma would end it: a column's type.
    """
    fragment = Fragment(text, (), what)
    try:
        tokens = tuple(_tokens(text))
    except ValueError as error:
        raise fragment.refused(f"is not SQL that PostgreSQL reads: {error}") from None
    if not tokens:
        raise fragment.refused("is empty", "leave it out")
    _balanced(fragment, tokens, alone=alone)
    return Fragment(text[tokens[0].start : tokens[-1].end], tokens, what)


def _balanced(fragment: Fragment, tokens: tuple[Token, ...], *, alone: bool) -> None:
    open_: list[str] = []
    for token in tokens:
        if token.kind != "mark":
            continue
        if token.text in {"(", "["}:
            open_.append(token.text)
        elif token.text in _PARTNERS and (not open_ or open_.pop() != _PARTNERS[token.text]):
            raise fragment.refused("closes a parenthesis that it did not open")
        elif token.text == ";":
            raise fragment.refused("holds more than an expression", "take out the semicolon")
        elif token.text == "," and not open_ and not alone:
            raise fragment.refused("holds more than a type", "take out the comma")
    if open_:
        raise fragment.refused("leaves a parenthesis open")


def _tokens(text: str) -> Iterator[Token]:
    if "\0" in text:
        raise ValueError("it holds a NUL")
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError("a quote is left open")
        name = match.lastgroup if match.lastgroup != "tag" else "dollar"
        if name == "comment":
            position = _end_of_comment(text, position)
            continue
        if name in _KINDS:
            yield Token(_KINDS[name], match[0], match.start(), match.end())
        position = match.end()


def _end_of_comment(text: str, start: int) -> int:
    """Where the comment that begins at `start` ends: they nest."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if match[0] == "/*" else -1
        if not depth:
            return match.end()
    raise ValueError("a comment is left open")


def unquoted(literal: str) -> str | None:
    """The content of a plain string literal; None for one with a prefix or of dollars."""
    return literal[1:-1].replace("''", "'") if literal[0] == "'" else None
