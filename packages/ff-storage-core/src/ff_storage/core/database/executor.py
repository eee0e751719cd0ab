"""What can run statements: a pool, a transaction, a connection that was acquired.

All three offer the same methods. `fetch`, `run` and `stream_rows` serve the library itself, with compiled statements
and driver values; the published methods (`fetch_all` and the others) take raw SQL with the engine's own placeholders
and return plain Python values of the driver.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from ff_storage.core.database.connection import Connection, Cursor, IsolationLevel, check_sql
from ff_storage.core.errors import DatabaseError, InvalidValueError, QueryError
from ff_storage.core.program import Program, Row

if TYPE_CHECKING:
    from ff_storage.core.database.transaction import Transaction
    from ff_storage.core.sql.dialect import Dialect

T = TypeVar("T")

Bind = Callable[[str, Sequence[Any]], Sequence[Any]]
"""Raw SQL and its arguments as the caller gave them → the driver's parameters. Raises InvalidValueError."""


Stream: TypeAlias = contextlib.AbstractAsyncContextManager[AsyncIterator[T]]
"""What a stream is to its caller: `async with` gives an async iterator."""


class Executor(ABC):
    """Runs statements on some connection."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect:
        """The engine's dialect."""

    @property
    @abstractmethod
    def bind(self) -> Bind:
        """How raw arguments become the driver's parameters."""

    # --- for the library ---------------------------------------------------------------------------------------------

    @abstractmethod
    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Run one compiled statement and return every row, in driver values. The hot path."""

    @abstractmethod
    async def run(self, program: Program[T], *, atomic: bool = False) -> T:
        """Drive `program` on one connection; with `atomic` in a transaction (within one: in a savepoint)."""

    @abstractmethod
    async def call(self, function: Callable[[Connection], Awaitable[T]], raw: str | None = None) -> T:
        """Run `function` on a connection. `raw` is the SQL text when a caller wrote it."""

    @abstractmethod
    def acquire(self, timeout: float | None = None) -> contextlib.AbstractAsyncContextManager[Executor]:
        """One connection for the block, as an executor: `async with pool.acquire() as connection`.

        `timeout` in seconds bounds the wait for it. A transaction, and a connection, give themselves.
        """

    @abstractmethod
    def transaction(self, isolation: IsolationLevel | None = None, readonly: bool = False) -> Transaction:
        """A transaction: `async with … as tx`. Within one already, a savepoint of it."""

    def stream_rows(self, text: str, parameters: Sequence[Any], batch: int = 1000) -> Stream[list[Row]]:
        """The rows of a compiled statement, in lists of up to `batch`: `async with … as batches`."""
        return RowStream(self, text, parameters, batch, _batches)

    # --- published ---------------------------------------------------------------------------------------------------

    def _bound(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        check_sql(sql)
        return self.bind(sql, arguments)

    @overload
    async def fetch_all(self, sql: str, *params: Any, as_dict: Literal[True] = True) -> list[dict[str, Any]]: ...
    @overload
    async def fetch_all(self, sql: str, *params: Any, as_dict: Literal[False]) -> list[tuple[Any, ...]]: ...
    async def fetch_all(self, sql: str, *params: Any, as_dict: bool = True) -> list[Any]:
        """Every row, as a dict by column name, or as a tuple."""
        parameters = self._bound(sql, params)
        columns, rows = await self.call(lambda connection: connection.fetch_named(sql, parameters), sql)
        return _dicts(columns, rows) if as_dict else rows

    @overload
    async def fetch_one(self, sql: str, *params: Any, as_dict: Literal[True] = True) -> dict[str, Any] | None: ...
    @overload
    async def fetch_one(self, sql: str, *params: Any, as_dict: Literal[False]) -> tuple[Any, ...] | None: ...
    async def fetch_one(self, sql: str, *params: Any, as_dict: bool = True) -> Any:
        """The first row, or None."""
        parameters = self._bound(sql, params)
        columns, row = await self.call(lambda connection: connection.fetch_first(sql, parameters), sql)
        return _dicts(columns, [row])[0] if row is not None and as_dict else row

    async def fetch_val(self, sql: str, *params: Any) -> Any:
        """The first value of the first row, or None."""
        parameters = self._bound(sql, params)
        _, row = await self.call(lambda connection: connection.fetch_first(sql, parameters), sql)
        return row[0] if row else None

    async def execute(self, sql: str, *params: Any) -> int:
        """Run a statement; the number of rows touched."""
        parameters = self._bound(sql, params)
        return await self.call(lambda connection: connection.execute(sql, parameters), sql)

    async def execute_many(self, sql: str, args_list: Iterable[Sequence[Any] | Mapping[str, Any]]) -> int:
        """Run a statement for each of `args_list`, all or nothing; the number of rows touched.

        `args_list` may be lazy. It is consumed once, possibly in another thread.
        """
        check_sql(sql)
        bind = self.bind
        bound = (bind(sql, _row(row)) for row in args_list)
        return await self.call(lambda connection: connection.execute_many(sql, bound), sql)

    @overload
    def stream(
        self, sql: str, *params: Any, as_dict: Literal[True] = True, batch: int = 1000
    ) -> Stream[dict[str, Any]]: ...
    @overload
    def stream(self, sql: str, *params: Any, as_dict: Literal[False], batch: int = 1000) -> Stream[tuple[Any, ...]]: ...
    def stream(self, sql: str, *params: Any, as_dict: bool = True, batch: int = 1000) -> Stream[Any]:
        """The rows one by one, fetched `batch` at a time: `async with pool.stream(…) as rows: async for row in …`."""
        return RowStream(self, sql, self._bound(sql, params), batch, _dict_rows if as_dict else _tuple_rows, raw=sql)


class RowStream(contextlib.AbstractAsyncContextManager[AsyncIterator[T]]):
    """A result that is read while it arrives; it holds its connection, and its cursor, for the block."""

    def __init__(
        self,
        source: Executor,
        text: str,
        parameters: Sequence[Any],
        batch: int,
        shape: Callable[[Executor, Cursor, int], AsyncGenerator[T]],
        raw: str | None = None,
    ) -> None:
        if batch < 1:
            raise InvalidValueError("a batch of at least 1 row is expected", found=repr(batch))
        self._text = text
        self._parameters = parameters
        self._batch = batch
        self._shape = shape
        self._raw = raw
        self._lease = source.acquire()
        self._executor: Executor | None = None
        self._cursor: Cursor | None = None
        self._rows: AsyncGenerator[T] | None = None

    async def __aenter__(self) -> AsyncIterator[T]:
        if self._executor is not None:
            raise InvalidValueError("a stream is entered once")
        self._executor = executor = await self._lease.__aenter__()
        try:
            raw = self._raw is not None
            self._cursor = await executor.call(
                lambda connection: connection.open_cursor(self._text, self._parameters, raw=raw), self._raw
            )
        except BaseException as error:
            await self._lease.__aexit__(type(error), error, error.__traceback__)
            raise
        self._rows = self._shape(executor, self._cursor, self._batch)
        return self._rows

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        executor, cursor, rows = self._executor, self._cursor, self._rows
        if executor is None or cursor is None or rows is None:
            return
        try:
            # On a cancellation nothing may be awaited: the connection goes to the pool's cleaner as it is.
            if error is None or isinstance(error, Exception):
                await rows.aclose()
                await executor.call(lambda _: cursor.close())
        except BaseException as failure:
            if error is None or not isinstance(failure, DatabaseError):
                await self._lease.__aexit__(type(failure), failure, failure.__traceback__)
                raise
            # What failed before is the error to see; the cursor ends with its transaction, or with the connection.
        await self._lease.__aexit__(kind, error, traceback)


async def _batches(executor: Executor, cursor: Cursor, batch: int) -> AsyncGenerator[list[Row]]:
    while rows := await executor.call(lambda _: cursor.fetch(batch)):
        yield rows


async def _tuple_rows(executor: Executor, cursor: Cursor, batch: int) -> AsyncGenerator[Row]:
    while rows := await executor.call(lambda _: cursor.fetch(batch)):
        for row in rows:
            yield row


async def _dict_rows(executor: Executor, cursor: Cursor, batch: int) -> AsyncGenerator[dict[str, Any]]:
    while rows := await executor.call(lambda _: cursor.fetch(batch)):
        for row in _dicts(cursor.columns, rows):
            yield row


def _row(arguments: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any]:
    if isinstance(arguments, list | tuple):
        return arguments
    if isinstance(arguments, Mapping):
        return (arguments,)
    raise InvalidValueError(
        "the arguments of each execution must be a tuple, a list or a mapping", found=f"a {type(arguments).__name__}"
    )


def _dicts(columns: Sequence[str], rows: list[Row]) -> list[dict[str, Any]]:
    if len(set(columns)) != len(columns):
        twice = next(name for name in columns if list(columns).count(name) > 1)
        raise QueryError(
            "two columns of the result have one name, of which a dict would keep one",
            found=repr(twice),
            remedy="name them apart with AS, or pass as_dict=False",
        )
    return [dict(zip(columns, row, strict=True)) for row in rows]
