"""asyncpg's connection, with codecs of ours: what values look like to it, and how fast they become Python's.

asyncpg has a UUID class of its own, which serializers that look at exact types refuse. So a connection decodes UUIDs
to Python's own class, unless it is asked not to. A memory of the last ones saves an object of every row for the columns
whose rows share few values, tenants and users: both the time to make it, and what the garbage collector looks at.

Instants and numbers come in binary, and asyncpg builds them with arithmetic in Python objects: half of the time of a
large result. Their text is parsed by one function of C each, in a quarter of that. But asyncpg cannot have text inside
ranges, records and COPY. So those codecs are in force only while a statement of the library's own is prepared, which
then keeps them; raw SQL, and what a caller does with the connection itself, have asyncpg's.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import types
import uuid
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import asyncpg

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


class TypedRecord(asyncpg.Record):
    """A row of a statement of the library's own; asyncpg keeps such statements apart from others of the same text."""

    __slots__ = ()


class _RecordAbroad(TypedRecord):
    """One of a statement that was prepared while the session was not in UTC."""

    __slots__ = ()


class _RecordOfOldStyle(TypedRecord):
    """One of a statement that was prepared while the session wrote dates in another style than ISO's."""

    __slots__ = ()


_UTC: Final = ("UTC", "Etc/UTC", "GMT")


class Codec(NamedTuple):
    """How asyncpg takes and gives the values of a type: from and to text, or bytes in the binary format."""

    encode: Callable[[Any], str | bytes]
    decode: Callable[[Any], Any]
    format: str


_OIDS: Final = {"timestamptz": 1184, "numeric": 1700, "uuid": 2950}
_NAMES: Final = {**{name: name for name in _OIDS}, "timestamp with time zone": "timestamptz", "decimal": "numeric"}

_TYPED: Final = {
    "timestamptz": Codec(_instant_text, _INSTANTS.__getitem__, "text"),
    "numeric": Codec(str, Decimal, "text"),
    "uuid": None,
}
"""The codecs of typed statements; UUIDs are plain bytes there if they are to be Python's own."""

_ABROAD: Final = Codec(_instant_text, _INSTANTS_ABROAD.__getitem__, "text")

_MOST_TYPES: Final = 256
"""Answers about types that are remembered; then all are forgotten."""

_REMEMBERED: Final = types.SimpleNamespace(name="of no statement")
"""In the place of the statement that asks about types: nothing on the server gave way to it."""

# private, so without a stub
_prepare: Callable[..., Awaitable[Any]] = vars(asyncpg.Connection)["_get_statement"]
_introspect: Callable[..., Awaitable[tuple[Any, Any]]] = vars(asyncpg.Connection)["_introspect_types"]


class Driver(asyncpg.Connection):
    """asyncpg's connection, which prepares the statements of `TypedRecord`s with codecs of their own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._own: dict[str, Callable[[], None]] = {}
        """What sets the codecs of all other statements, by type, where they are not asyncpg's."""
        self._types: dict[frozenset[int], Any] = {}
        """What the server has said about types, by what it was asked."""
        self._plain_uuids = False

    def use_plain_uuids(self) -> None:
        """Take and give `uuid.UUID`, and for typed statements its bytes."""
        self._plain_uuids = True
        codec = Codec(uuid_bytes, UuidMemory().__getitem__, "binary")
        self._own["uuid"] = lambda: self._set("uuid", codec)
        self._restore("uuid")

    async def rows(self, query: str, arguments: Sequence[Any]) -> list[Any]:
        """The rows of a typed statement: what fetch() does for it, by fewer steps. The hot path."""
        driver: Any = self  # its stubs leave out what is private
        if driver._query_loggers or driver.is_closed():
            fetched: list[Any] = await driver.fetch(query, *arguments, record_class=TypedRecord)
            return fetched

        def execute(statement: Any, timeout: Any) -> Awaitable[list[Any]]:
            running: Awaitable[list[Any]] = driver._protocol.bind_execute(statement, arguments, "", 0, False, timeout)
            return running

        rows: list[Any]
        rows, _ = await driver._do_execute(query, execute, None, record_class=TypedRecord)
        return rows

    async def set_type_codec(self, typename: str, **options: Any) -> None:
        """asyncpg's: a codec of the caller's own, of which typed statements take no notice."""
        self._types.clear()
        await super().set_type_codec(typename, **options)
        name = _NAMES.get(typename.lower())
        if name is not None:
            codec = Codec(options["encoder"], options["decoder"], options.get("format", "text"))
            self._own[name] = lambda: self._set(name, codec)

    async def set_builtin_type_codec(self, typename: str, **options: Any) -> None:
        """asyncpg's: the codec of another type, of which typed statements take no notice."""
        self._types.clear()
        await super().set_builtin_type_codec(typename, **options)
        name = _NAMES.get(typename.lower())
        if name is not None:
            settings: Any = self.get_settings()
            given = (_OIDS[name], name, "pg_catalog", "scalar", options["codec_name"], options.get("format"))
            self._own[name] = lambda: settings.set_builtin_type_codec(*given)

    async def reset_type_codec(self, typename: str, *, schema: str = "public") -> None:
        """asyncpg's: no codec of the caller's own any more."""
        self._types.clear()
        await super().reset_type_codec(typename, schema=schema)
        self._own.pop(_NAMES.get(typename.lower(), ""), None)

    def _drop_local_type_cache(self) -> None:
        # asyncpg's own method; types have changed.
        self._types.clear()
        settings: Any = self.get_settings()
        settings.clear_type_cache()

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> tuple[Any, Any]:  # noqa: ASYNC109
        """What the server says about types: asyncpg's own method, whose answers are kept as it keeps their codecs."""
        asked = frozenset(typeoids)
        if asked in self._types:
            return self._types[asked], _REMEMBERED
        found, statement = await _introspect(self, typeoids, timeout)
        if len(self._types) >= _MOST_TYPES:
            self._types.clear()
        self._types[asked] = found
        return found, statement

    async def _get_statement(self, query: str, timeout: float | None, **options: Any) -> Any:  # noqa: ASYNC109
        """The prepared statement: asyncpg's own method, by which all of its ways to run one pass."""
        if options.get("record_class") is not TypedRecord:
            return await _prepare(self, query, timeout, **options)
        settings: Any = self.get_settings()
        if not settings.DateStyle.startswith("ISO"):
            options["record_class"] = _RecordOfOldStyle
        elif settings.TimeZone not in _UTC:
            options["record_class"] = _RecordAbroad
        record = options["record_class"]
        if options.get("use_cache", True):
            cache: Any = self._stmt_cache  # type: ignore[attr-defined]  # as above
            statement = cache.get((query, record, False))
            if statement is not None:
                return statement  # pyright: ignore[reportUnknownVariableType]
        with contextlib.suppress(asyncpg.UnsupportedClientFeatureError), self._typed(record):
            return await _prepare(self, query, timeout, **options)
        return await _prepare(self, query, timeout, **options)  # it returns a range, or a record, of such a type

    @contextlib.contextmanager
    def _typed(self, record: type[TypedRecord]) -> Generator[None]:
        """The codecs of typed statements while the block runs. Nobody else can use the connection in the meantime."""
        codecs: dict[str, Codec | None] = {**_TYPED}
        if record is _RecordOfOldStyle:
            del codecs["timestamptz"]
        elif record is _RecordAbroad:
            codecs["timestamptz"] = _ABROAD
        if not self._plain_uuids:
            del codecs["uuid"]
        try:
            for name, codec in codecs.items():
                self._set(name, codec)
            yield
        finally:
            self._restore(*codecs)

    @contextlib.contextmanager
    def copying(self) -> Generator[None]:
        """A codec for instants that COPY can use, while the block runs."""
        self._set("timestamptz", Codec(InstantBytes().__getitem__, instant_of, "binary"))
        try:
            yield
        finally:
            self._restore("timestamptz")

    def _set(self, name: str, codec: Codec | None) -> None:
        # What set_type_codec() does for a type of PostgreSQL's own, without asking the server which one that is.
        settings: Any = self.get_settings()
        if codec is None:
            settings.set_builtin_type_codec(_OIDS[name], name, "pg_catalog", "scalar", "bytea", "binary")
            return
        settings.add_python_codec(
            _OIDS[name], name, "pg_catalog", (), "scalar", codec.encode, codec.decode, codec.format
        )

    def _restore(self, *names: str) -> None:
        settings: Any = self.get_settings()
        for name in names:
            settings.remove_python_codec(_OIDS[name], name, "pg_catalog")
            if name in self._own:
                self._own[name]()
        # asyncpg has forgotten its arrays, ranges and the like; statements that it has prepared name their types.
        for known in self._types.values():
            with contextlib.suppress(asyncpg.UnsupportedClientFeatureError):
                settings.register_data_types(known)
