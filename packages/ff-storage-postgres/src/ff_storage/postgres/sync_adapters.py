"""How psycopg carries the dialect's driver values, as asyncpg does.

The parameters of compiled statements are sent without a type, so that the server infers it from the statement, which
is what it does for asyncpg: the casts that the compiler writes decide. Results are read as text; JSON stays text, and
an instant is in UTC whatever the session's time zone. The ends of Python's calendar are the server's infinity, because
asyncpg makes it so.
"""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any, Final

import orjson
from psycopg import adapters, postgres
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types.json import set_json_loads
from psycopg.types.string import TextLoader

from ff_storage.core.errors import InvalidValueError

UNTYPED: Final = 0
"""The OID that lets the server infer a parameter's type."""


class _Untyped(Dumper):
    """A value as text of no type."""

    oid = UNTYPED

    def dump(self, obj: Any) -> Buffer:
        return _text(obj).encode()


class _UntypedBytes(Dumper):
    """Bytes in binary, which only bytea reads."""

    oid = UNTYPED
    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer:
        return obj


class _UntypedList(Dumper):
    """A list of values as an array literal."""

    oid = UNTYPED

    def dump(self, obj: list[Any]) -> Buffer:
        return ("{" + ",".join(["NULL" if item is None else _quoted(_text(item)) for item in obj]) + "}").encode()


_ENDS: Final[dict[dt.date, str]] = {
    dt.datetime.max.replace(tzinfo=dt.UTC): "infinity",
    dt.datetime.min.replace(tzinfo=dt.UTC): "-infinity",
    dt.date.max: "infinity",
    dt.date.min: "-infinity",
}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, dt.date):
        return _ENDS.get(value) or value.isoformat()
    if isinstance(value, dt.time):
        return value.isoformat()
    return str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _UtcLoader(Loader):
    """psycopg's own loader, which gives instants in the session's time zone, and then UTC."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._load = _INSTANTS(oid, context).load

    def load(self, data: Buffer) -> Any:
        if data[0] in _INFINITE:
            return (
                dt.datetime.max.replace(tzinfo=dt.UTC) if data[0] == _LAST else dt.datetime.min.replace(tzinfo=dt.UTC)
            )
        return self._load(data).astimezone(dt.UTC)


class _DateLoader(Loader):
    """psycopg's own loader, and infinity."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._load = _DATES(oid, context).load

    def load(self, data: Buffer) -> Any:
        if data[0] in _INFINITE:
            return dt.date.max if data[0] == _LAST else dt.date.min
        return self._load(data)


_INFINITE: Final = b"i-"
"""How `infinity` and `-infinity` begin, and no date does."""

_LAST: Final = _INFINITE[0]


def _loader(name: str) -> type[Any]:
    found = adapters.get_loader(postgres.types[name].oid, Format.TEXT)
    assert found is not None  # noqa: S101 - psycopg has one
    return found


_INSTANTS: Final = _loader("timestamptz")
_DATES: Final = _loader("date")


class _Object(Dumper):
    """A dict as JSON."""

    oid = postgres.types["jsonb"].oid

    def dump(self, obj: dict[str, Any]) -> Buffer:
        try:
            return orjson.dumps(obj)
        except TypeError as error:
            raise InvalidValueError("a dict is sent as JSON, and this one is none", found=str(error)) from error


def adapt_compiled(context: AdaptContext) -> None:
    """Let `context` carry the values of compiled statements."""
    found = context.adapters
    for kind in (int, float, bool, Decimal, uuid.UUID, dt.datetime, dt.date, dt.time):
        found.register_dumper(kind, _Untyped)
    found.register_dumper(bytes, _UntypedBytes)
    found.register_dumper(list, _UntypedList)
    for name in ("json", "jsonb"):
        found.register_loader(name, TextLoader)
    found.register_loader("timestamptz", _UtcLoader)
    found.register_loader("date", _DateLoader)


def adapt_raw(context: AdaptContext) -> None:
    """Let `context` send a dict as JSON, and read instants in UTC; all else is psycopg's."""
    context.adapters.register_dumper(dict, _Object)
    context.adapters.register_loader("timestamptz", _UtcLoader)
    context.adapters.register_loader("date", _DateLoader)
    set_json_loads(orjson.loads, context)
