"""asyncpg's connection, which prepares the library's own statements with codecs of their own.

asyncpg cannot have text inside ranges, records and COPY. So the codecs for text are in force only while a typed
statement is prepared, which then keeps them; raw SQL, and what a caller does with the connection itself, have asyncpg's
or the caller's.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import Any, Final

import asyncpg

from ff_storage.postgres.codecs import INSTANTS, INSTANTS_ABROAD, NUMBERS, Codec, instants_to_copy, plain_uuids


class TypedRecord(asyncpg.Record):
    """A row of a statement of the library's own; asyncpg keeps such statements apart from others of the same text."""

    __slots__ = ()


class _RecordAbroad(TypedRecord):
    """One of a statement that was prepared while the session was not in UTC."""

    __slots__ = ()


class _RecordOfOldStyle(TypedRecord):
    """One of a statement that was prepared while the session wrote dates in another style than ISO's."""

    __slots__ = ()


class _RecordToCopy(asyncpg.Record):
    """One of the statement by which COPY learns of its columns, apart from the callers' own of the same text."""

    __slots__ = ()


_UTC: Final = ("UTC", "Etc/UTC", "GMT")


_OIDS: Final = {"timestamptz": 1184, "numeric": 1700, "uuid": 2950}
_NAMES: Final = {**{name: name for name in _OIDS}, "timestamp with time zone": "timestamptz", "decimal": "numeric"}

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
        self._copies = False

    def use_plain_uuids(self) -> None:
        """Take and give `uuid.UUID`, and for typed statements its bytes."""
        self._plain_uuids = True
        codec = plain_uuids()
        self._own["uuid"] = lambda: self._set("uuid", codec)
        self._restore("uuid")

    # Both are asyncpg's _execute(), by fewer steps: the hot paths.

    async def rows(self, query: str, arguments: Sequence[Any]) -> list[Any]:
        """The rows of a typed statement."""
        driver: Any = self  # its stubs leave out what is private
        rows: list[Any]
        if driver._query_loggers or driver.is_closed():
            driver._check_open()
            rows = await driver._execute(query, arguments, 0, None, record_class=TypedRecord)
            return rows

        def execute(statement: Any, timeout: Any) -> Awaitable[list[Any]]:
            running: Awaitable[list[Any]] = driver._protocol.bind_execute(statement, arguments, "", 0, False, timeout)
            return running

        rows, _ = await driver._do_execute(query, execute, None, record_class=TypedRecord)
        return rows

    async def status(self, query: str, arguments: Sequence[Any]) -> str | bytes | None:
        """The tag of a statement whose rows nobody wants. One statement: execute() takes a text alone for a script."""
        driver: Any = self
        found: tuple[list[Any], str | bytes | None, bool]
        if driver._query_loggers or driver.is_closed():
            driver._check_open()
            found = await driver._execute(query, arguments, 0, None, return_status=True)
            return found[1]

        def execute(statement: Any, timeout: Any) -> Awaitable[Any]:
            running: Awaitable[Any] = driver._protocol.bind_execute(statement, arguments, "", 0, True, timeout)
            return running

        found, _ = await driver._do_execute(query, execute, None)
        return found[1]

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

    # asyncpg calls these two, and passes their limit of time.

    async def _introspect_types(
        self,
        typeoids: Iterable[int],
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> tuple[Any, Any]:
        """What the server says about types: asyncpg's own method, whose answers are kept as it keeps their codecs."""
        asked = frozenset(typeoids)
        if asked in self._types:
            return self._types[asked], _REMEMBERED
        found, statement = await _introspect(self, typeoids, timeout)
        if len(self._types) >= _MOST_TYPES:
            self._types.clear()
        self._types[asked] = found
        return found, statement

    async def _get_statement(self, query: str, timeout: float | None, **options: Any) -> Any:  # noqa: ASYNC109 - as above
        """The prepared statement: asyncpg's own method, by which all of its ways to run one pass."""
        record: type[asyncpg.Record] | None = options.get("record_class")
        if record is TypedRecord:
            options["record_class"] = record = self._record()
        elif self._copies and not options.get("ignore_custom_codec", False):
            options["record_class"] = record = _RecordToCopy
        if options.get("use_cache", True):  # looked up here too, a step sooner
            cache: Any = self._stmt_cache  # type: ignore[attr-defined]  # its stubs leave out what is private
            statement = cache.get((query, record or asyncpg.Record, options.get("ignore_custom_codec", False)))
            if statement is not None:
                return statement  # pyright: ignore[reportUnknownVariableType]
        if record is not None and issubclass(record, TypedRecord):
            with contextlib.suppress(asyncpg.UnsupportedClientFeatureError), self._typed(record):
                return await _prepare(self, query, timeout, **options)
            # It returns a range, or a record, of such a type.
        return await _prepare(self, query, timeout, **options)

    def _record(self) -> type[TypedRecord]:
        """The class of the rows of typed statements, as the session is now; a pooler may not tell how it is."""
        settings: Any = self.get_settings()
        if not getattr(settings, "DateStyle", "").startswith("ISO"):
            return _RecordOfOldStyle
        return TypedRecord if getattr(settings, "TimeZone", "") in _UTC else _RecordAbroad

    @contextlib.contextmanager
    def _typed(self, record: type[TypedRecord]) -> Generator[None]:
        """The codecs of typed statements while the block runs. Nobody else can use the connection in the meantime."""
        codecs: dict[str, Codec | None] = {"numeric": NUMBERS}
        if record is not _RecordOfOldStyle:
            codecs["timestamptz"] = INSTANTS_ABROAD if record is _RecordAbroad else INSTANTS
        if self._plain_uuids:
            codecs["uuid"] = None
        try:
            for name, codec in codecs.items():
                self._set(name, codec)
            yield
        finally:
            self._restore(*codecs)

    @contextlib.contextmanager
    def copying(self) -> Generator[None]:
        """A codec for instants that COPY can use, while the block runs."""
        self._set("timestamptz", instants_to_copy())
        self._copies = True
        try:
            yield
        finally:
            self._copies = False
            self._restore("timestamptz")

    def _set(self, name: str, codec: Codec | None) -> None:
        """Set the codec of a type; without one, its values are bytes."""
        # What set_type_codec() does for a type of PostgreSQL's own, without asking the server which one that is.
        settings: Any = self.get_settings()
        if codec is None:
            settings.set_builtin_type_codec(_OIDS[name], name, "pg_catalog", "scalar", "bytea", "binary")
            return
        settings.add_python_codec(
            _OIDS[name], name, "pg_catalog", (), "scalar", codec.encode, codec.decode, codec.format
        )

    def _restore(self, *names: str) -> None:
        if self.is_closed():  # which its error says, and has no settings any more
            return
        settings: Any = self.get_settings()
        for name in names:
            settings.remove_python_codec(_OIDS[name], name, "pg_catalog")
            if name in self._own:
                self._own[name]()
        # asyncpg has forgotten its arrays, ranges and the like; statements that it has prepared name their types.
        for known in self._types.values():
            with contextlib.suppress(asyncpg.UnsupportedClientFeatureError):
                settings.register_data_types(known)
