"""What errors quote of values and passwords, taken out of them before anybody sees them.

A driver's error is chained behind ours, so it is printed with its message; and some reporters of errors show the
variables of each frame, where drivers hold the password. The server quotes values in its messages, in DETAIL (the row
that a constraint refuses) and in CONTEXT (the line of JSON, the row of a COPY). What is a name and what is a value
cannot be told from its quotes: what the statement's own text says is kept.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

E = TypeVar("E", bound=BaseException)

_QUOTED: Final = re.compile(r'["«„“]([^"«»„“”]*)["»“”]')
"""As the server quotes, in the languages that it speaks."""

_ABOUT_OBJECTS: Final = ("08", "0A", "2B", "40", "42", "53", "54", "55", "57", "58")
"""The classes of SQLSTATE whose DETAIL speaks of objects, locks and limits, and of no row."""


def without_values(sqlstate: str, message: str, text: str = "") -> str:
    """The server's sentence about the statement `text`, without what it quotes of a value."""
    line = message.split("\n", 1)[0]
    if sqlstate.startswith("22"):  # data exceptions end in the value
        line = line.partition(": ")[0]
    known = text.lower()
    foreign = [found for found in _QUOTED.finditer(line) if found[1].lower() not in known]
    if not foreign:
        return line
    # The value may hold quotes itself, so all from the first to the last goes.
    end = max(position for position, letter in enumerate(line) if letter in '"»“”') + 1
    return f'{line[: foreign[0].start()]}"…"{line[end:]}'


def redact(error: Any, sqlstate: str, said: str) -> None:
    """Leave of asyncpg's error for the server's what `said` says, and what the server knows of objects."""
    error.args = (said,)
    error.message = said
    error.context = error.internal_query = None
    if not sqlstate.startswith(_ABOUT_OBJECTS):
        error.detail = None


def redact_refusal(error: Exception, said: str) -> None:
    """Leave of an error with which a driver refuses a value what `said` says, and nothing of the errors behind it."""
    error.args = (said,)
    error.__cause__ = error.__context__ = None


def without_frames(error: E) -> E:
    """The error without its frames and the errors behind it: while connecting, they hold the password."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
