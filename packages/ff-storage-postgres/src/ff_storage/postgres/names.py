"""Identifiers in SQL text."""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")


def quote_identifier(name: str) -> str:
    """The name as PostgreSQL would read it back: in quotes unless it is plain."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'
