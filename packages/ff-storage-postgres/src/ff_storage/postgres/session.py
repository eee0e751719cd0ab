"""What both drivers' connections ask about a session: whether raw SQL leaves it as it was, what the server has."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ff_storage.postgres.parameters import TOKEN

COLLATIONS: Final = (
    "SELECT quote_ident(collname) FROM pg_catalog.pg_collation WHERE collnamespace = 'pg_catalog'::regnamespace "
    "AND collencoding IN (-1, (SELECT encoding FROM pg_catalog.pg_database WHERE datname = current_database()))"
)
"""The collations of the server, of which the dialect learns."""

_WORDS: Final = """
    all and any array as asc between by case cast conflict desc distinct else end except exists filter from group
    having in intersect is lateral like limit not null offset on or order over partition returning row select set some
    then union using values when where with within
"""

_STATELESS: Final = """
    abs array_agg array_length avg bool_and bool_or cardinality ceil char_length coalesce count date_part date_trunc
    dense_rank extract first_value floor generate_series greatest jsonb_agg jsonb_build_object lag last_value lead
    least left length lower ltrim max min mod now nullif power rank replace right round row_number rtrim split_part
    sqrt string_agg strpos substring sum to_char trim unnest upper
    bigint boolean char decimal double int integer interval numeric smallint text time timestamp varchar
"""

_HARMLESS: Final = frozenset(f"{_WORDS} {_STATELESS}".split())
"""What may stand before a parenthesis in a statement that surely leaves its session alone: words of SQL, and types and
functions without a state. Any other name may be a function that sets something."""

_ROWS_ONLY: Final = re.compile(r"\s*(?:SELECT|VALUES|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)

_CALL: Final = re.compile(r"([A-Za-z_\u0080-\uffff][\w$]*)\s*\(")

_INSERTED: Final = re.compile(r"\bINTO\s+[\w$]+(?:\s*\.\s*[\w$]+)*\s*\(", re.IGNORECASE)


@lru_cache(1024)
def leaves_session(text: str) -> bool:
    """Whether a raw statement surely leaves the state of its session as it was: rows only, and no unknown function."""
    bare = TOKEN.sub(_emptied, text)
    if _ROWS_ONLY.match(bare) is None:
        return False
    if bare.lstrip()[:6].upper() == "INSERT":
        bare = _INSERTED.sub("INTO '' (", bare, count=1)  # the table's name is no function
    elif re.search(r"\bINTO\b", bare, re.IGNORECASE):
        return False  # SELECT … INTO makes a table, perhaps a temporary one
    return all(name.lower() in _HARMLESS for name in _CALL.findall(bare))


def _emptied(token: re.Match[str]) -> str:
    """A quoted name as a name that no function of ours has, a comment as a space, all else as a literal."""
    if token[0].startswith(("--", "/*")):
        return " "
    return " quoted_name " if token[0].startswith('"') else " '' "
