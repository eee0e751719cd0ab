"""What values of asyncpg's connections look like, and how fast they become Python's.

asyncpg has a UUID class of its own, which serializers that look at exact types refuse. So UUIDs are decoded to Python's
own class. A memory of the last ones saves an object of every row for the columns whose rows share few values, tenants
and users: both the time to make it, and what the garbage collector looks at.

Instants and numbers come in binary, and asyncpg builds them with arithmetic in Python objects: half of the time of a
large result. Their text is parsed by one function of C each, in a quarter of that.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ff_storage.core.sql.values import MAX_INT64 as _MAX_INT64
from ff_storage.core.sql.values import MIN_INT64 as _MIN_INT64
from ff_storage.postgres.values import uuid_of

_UUID_SIZE: Final = 16

_MEMORIES: Final = 1024
"""Values that are remembered; then all are forgotten."""


class UuidMemory(dict[bytes, uuid.UUID]):
    """The sixteen bytes of a UUID → the UUID, made when it is first asked for."""

    __slots__ = ()

    def __missing__(self, data: bytes) -> uuid.UUID:
        if len(self) >= _MEMORIES:
            self.clear()
        made = self[data] = uuid_of(data)
        return made


def uuid_bytes(value: Any) -> bytes:
    """The sixteen bytes of a UUID, of its text or of themselves. Raises ValueError."""
    if type(value) is bytes and len(value) == _UUID_SIZE:
        return value
    if isinstance(value, uuid.UUID):
        return value.int.to_bytes(16, "big")  # as its `bytes` does, without a property's frame
    if isinstance(value, str):
        return uuid.UUID(value).bytes
    raise ValueError(f"a UUID is expected, got {type(value).__name__}")


_LAST: Final = dt.datetime.max.replace(tzinfo=dt.UTC)
_FIRST: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


class _Instants(dict[str, dt.datetime]):
    """An instant's ISO text → the instant, in the session's zone. The entries are what has no such text.

    What is missing is parsed, and not kept. A function of Python's in this place would take three times as long.
    """

    __slots__ = ()
    __missing__ = staticmethod(dt.datetime.fromisoformat)


class _InstantsAbroad(_Instants):
    """The same in a session that is not in UTC, where the first and the last hours of all have years of their own."""

    __slots__ = ()

    def __missing__(
        self,
        text: str,
        # as defaults: local names instead of look-ups for each of 10,000 rows
        parse: Callable[[str], dt.datetime] = dt.datetime.fromisoformat,
        utc: dt.tzinfo = dt.UTC,
    ) -> dt.datetime:
        try:
            return parse(text).astimezone(utc)
        except ValueError:
            if text.startswith("10000-01-01 "):
                return parse(text[1:].replace("0000", "9999", 1)).astimezone(utc) + _YEAR
            if text.startswith("0001-12-31 ") and text.endswith(" BC"):
                return parse(text.removesuffix(" BC")).astimezone(utc) - _YEAR
            raise


_YEAR: Final = dt.timedelta(365)

_INSTANTS: Final = _Instants({"infinity": _LAST, "-infinity": _FIRST})
_INSTANTS_ABROAD: Final = _InstantsAbroad(_INSTANTS)
_ENDS: Final = {_LAST.isoformat(): "infinity", _FIRST.isoformat(): "-infinity"}


def _instant_text(value: dt.datetime) -> str:
    """The text of an instant in UTC; the first and the last one are infinity, as to asyncpg's own codec."""
    text = value.isoformat()
    return _ENDS.get(text, text)


_EPOCH: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


class InstantBytes(dict[dt.datetime, bytes]):
    """An instant → its eight bytes in the binary format, made when they are first asked for.

    Rows that are written together share the time of writing, and to compute it takes longer than all else in a row.
    """

    __slots__ = ()

    def __missing__(self, value: dt.datetime) -> bytes:
        if len(self) >= _MEMORIES:
            self.clear()
        number = _MAX_INT64 if value == _LAST else _MIN_INT64 if value == _FIRST else (value - _EPOCH) // _MICROSECOND
        made = self[value] = number.to_bytes(8, "big", signed=True)
        return made


def instant_of(data: bytes) -> dt.datetime:
    """The instant of eight bytes. Raises OverflowError for one that Python has not."""
    number = int.from_bytes(data, "big", signed=True)
    if number in (_MAX_INT64, _MIN_INT64):
        return _LAST if number > 0 else _FIRST
    return _EPOCH + dt.timedelta(microseconds=number)


class Codec(NamedTuple):
    """How asyncpg takes and gives the values of a type: from and to text, or bytes in the binary format."""

    encode: Callable[[Any], str | bytes]
    decode: Callable[[Any], Any]
    format: str


INSTANTS: Final = Codec(_instant_text, _INSTANTS.__getitem__, "text")
"""Instants of a session that is in UTC and writes dates as ISO does."""

INSTANTS_ABROAD: Final = Codec(_instant_text, _INSTANTS_ABROAD.__getitem__, "text")
"""Instants of a session in another zone."""

NUMBERS: Final = Codec(str, Decimal, "text")


def plain_uuids() -> Codec:
    """UUIDs of Python's own class, with a memory."""
    return Codec(uuid_bytes, UuidMemory().__getitem__, "binary")


def instants_to_copy() -> Codec:
    """Instants in the binary format, which COPY needs, with a memory."""
    return Codec(InstantBytes().__getitem__, instant_of, "binary")
