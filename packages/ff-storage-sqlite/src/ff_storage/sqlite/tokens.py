"""SQLite's tokens, and the token form in which two expressions are compared.

SQLite keeps the text of CHECKs, generated columns, partial predicates and index expressions as it was typed and prints
no other form, so equal meaning has to be seen through spelling: blanks, comments, the case of keywords and names, the
three quotings of names, outer parentheses, `==` and `!=`. The token form folds exactly these. It never folds a literal
(`'a  b'` is not `'a b'`), an operator, an order, or inner parentheses: what is not proven equal stays different.

Nothing here recurses, and text over `MAX_TEXT` is not read at all, so no text from a database can exhaust the reader.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

MAX_TEXT = 500_000
"""Characters; half of what SQLite itself takes by default, and read in half a second at worst."""

Kind = Literal["word", "quoted", "string", "blob", "number", "operator"]


class UnreadableSQL(Exception):
    """The text is not a sequence of SQLite tokens with balanced parentheses; it never leaves the package."""


class Token(NamedTuple):
    """One token: `text` as written, at `start` in its source."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset behind the token."""
        return self.start + len(self.text)

    @property
    def keyword(self) -> str:
        """The upper-case word of an unquoted token, or the operator; empty for everything else."""
        return self.text.upper() if self.kind in {"word", "operator"} else ""

    @property
    def name(self) -> str:
        """The identifier that the token means where a name is expected (SQLite takes strings there as well)."""
        if self.kind == "word":
            return self.text
        if self.kind in {"quoted", "string"}:
            return unquoted(self.text)
        raise UnreadableSQL(f"a name is expected at {self.start}")


# What cannot be an unquoted identifier, and the words that mean something else unquoted than quoted. Every other
# keyword of SQLite is an identifier where the grammar leaves room for one, so quoting it changes nothing.
RESERVED = frozenset(
    [
        "ADD",
        "ALL",
        "ALTER",
        "AND",
        "AS",
        "AUTOINCREMENT",
        "BETWEEN",
        "CASE",
        "CHECK",
        "COLLATE",
        "COMMIT",
        "CONSTRAINT",
        "CREATE",
        "DEFAULT",
        "DEFERRABLE",
        "DELETE",
        "DISTINCT",
        "DROP",
        "ELSE",
        "ESCAPE",
        "EXISTS",
        "FOREIGN",
        "FROM",
        "GROUP",
        "HAVING",
        "IN",
        "INDEX",
        "INSERT",
        "INTO",
        "IS",
        "ISNULL",
        "JOIN",
        "LIMIT",
        "NOT",
        "NOTNULL",
        "NULL",
        "ON",
        "OR",
        "ORDER",
        "PRIMARY",
        "REFERENCES",
        "RETURNING",
        "SELECT",
        "SET",
        "TABLE",
        "THEN",
        "TO",
        "TRANSACTION",
        "UNION",
        "UNIQUE",
        "UPDATE",
        "USING",
        "VALUES",
        "WHEN",
        "WHERE",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "CURRENT_TIMESTAMP",
        "TRUE",
        "FALSE",
    ]
)

_IDENTIFIER = r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*"

_TOKEN = re.compile(
    rf"""
    (?P<blank>(?:[ \t\n\f\r]+|--[^\n]*|/\*.*?(?:\*/|\Z))+)
    |(?P<string>'[^']*+(?:''[^']*+)*+')
    |(?P<quoted>"[^"]*+(?:""[^"]*+)*+"|`[^`]*+(?:``[^`]*+)*+`|\[[^\]]*\])
    |(?P<blob>[xX]'(?:[0-9A-Fa-f]{{2}})*')
    |(?P<number>(?:0[xX][0-9A-Fa-f_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
                (?![A-Za-z0-9_$\x80-\U0010ffff]))
    |(?P<word>(?![xX]'){_IDENTIFIER})
    |(?P<operator>->>|->|\|\||<<|>>|<=|>=|<>|!=|==|[-+*/%=<>|,&~().;])
    """,
    re.VERBOSE | re.DOTALL,
)

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")

_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_FOLD = str.maketrans(_UPPER, _LOWER)


def fold(name: str) -> str:
    """The name as SQLite compares names: ASCII letters in lower case, all others as they are."""
    return name.translate(_FOLD)


def unquoted(text: str) -> str:
    """The characters between the quotes of a string or quoted name."""
    mark = text[-1]
    return text[1:-1] if mark == "]" else text[1:-1].replace(mark * 2, mark)


def tokenize(text: str) -> list[Token]:
    """The tokens of `text` without blanks and comments. Raises UnreadableSQL."""
    if len(text) > MAX_TEXT:
        raise UnreadableSQL(f"{len(text):,} characters are more than are read")
    tokens: list[Token] = []
    append, scan, position, length = tokens.append, _TOKEN.match, 0, len(text)
    while position < length:
        match = scan(text, position)
        if match is None:
            raise UnreadableSQL(f"no token starts at {position}")
        kind = match.lastgroup
        if kind != "blank":
            append(Token(kind, match[0], position))  # type: ignore[arg-type]  # the groups are the kinds
        position = match.end()
    return tokens


def partners(tokens: Sequence[Token]) -> dict[int, int]:
    """The index of every opening parenthesis → that of its closing one. Raises UnreadableSQL when unbalanced."""
    found: dict[int, int] = {}
    stack: list[int] = []
    for index, token in enumerate(tokens):
        if token.text == "(":
            stack.append(index)
        elif token.text == ")":
            if not stack:
                raise UnreadableSQL(f"the parenthesis at {token.start} closes nothing")
            found[stack.pop()] = index
    if stack:
        raise UnreadableSQL(f"the parenthesis at {tokens[stack[-1]].start} is never closed")
    return found


def without_outer_parentheses(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens inside all parentheses that enclose the whole."""
    if not tokens or tokens[0].text != "(":
        return tokens
    pairs = partners(tokens)
    first, last = 0, len(tokens) - 1
    while first < last and pairs.get(first) == last:
        first, last = first + 1, last - 1
    return tokens[first : last + 1]


def identifier(name: str) -> str:
    """The name in token form: folded, and quoted only where a plain word would be something else."""
    folded = fold(name)
    if _PLAIN.fullmatch(folded) and folded.upper() not in RESERVED:
        return folded
    return '"' + folded.replace('"', '""') + '"'


def token_form(tokens: Sequence[Token], columns: Collection[str] = ()) -> str:
    """The tokens as one text that is equal for two spellings of one expression, and for nothing else.

    `columns` are the folded names of the table's columns: a double-quoted word that is none of them and stands where a
    value does is a string to SQLite, in which case counts.
    """
    tokens = without_outer_parentheses(tokens)
    parts: list[str] = []
    before = ""
    for index, token in enumerate(tokens):
        following = tokens[index + 1].text if index + 1 < len(tokens) else ""
        piece = _piece(token, before, following, columns)
        if parts and _apart(parts[-1], piece, tokens[index - 1]):
            parts.append(" ")
        parts.append(piece)
        before = token.keyword
    return "".join(parts)


def _piece(token: Token, before: str, following: str, columns: Collection[str]) -> str:
    kind, text = token.kind, token.text
    if kind == "word":
        upper = text.upper()
        return upper if upper in RESERVED else identifier(text)
    if kind == "quoted":
        name = unquoted(text)
        is_string = (
            text[0] == '"'
            and following not in {"(", "."}
            and before not in {".", "COLLATE", "AS"}
            and fold(name) not in columns
        )
        return "'" + name.replace("'", "''") + "'" if is_string else identifier(name)
    if kind in {"number", "blob"}:
        return fold(text)  # only exponents, prefixes and hexadecimal digits have a case
    if kind == "operator":
        return {"==": "=", "!=": "<>"}.get(text, text)
    return text


def _apart(left: str, right: str, token: Token) -> bool:
    """Whether a blank stands between two pieces; for the eye only, since no two pieces can merge without it."""
    if right in {")", ",", "."} or left in {"(", "."}:
        return False
    return not (right == "(" and token.kind in {"word", "quoted"} and token.keyword not in RESERVED)
