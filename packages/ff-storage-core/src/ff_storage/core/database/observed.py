"""A connection whose statements are reported."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ff_storage.core.database.connection import Connection, Cursor, IsolationLevel
from ff_storage.core.program import Row, Target

if TYPE_CHECKING:
    from ff_storage.core.observe import Observers, StatementKind, Watch


class ObservedConnection:
    """`connection`, with each of its statements reported to `observers`.

    It stands in the place of a driver's connection, so it sees what reaches the driver, whoever sent it, and a pool
    without observers pays nothing. What is no statement (ping, reset, close) passes unreported, as does what a driver
    offers beyond the protocol.
    """

    __slots__ = ("_connection", "_observers")

    def __init__(self, connection: Connection, observers: Observers) -> None:
        self._connection = connection
        self._observers = observers

    def __repr__(self) -> str:
        return f"<ObservedConnection {self._connection!r}>"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    @property
    def is_closed(self) -> bool:
        """Whether it can no longer be used."""
        return self._connection.is_closed

    @property
    def is_disturbed(self) -> bool:
        """Whether something has arrived while nobody asked."""
        return self._connection.is_disturbed

    def keeps_session(self, text: str) -> bool:
        """Whether raw SQL surely leaves the session's state as it was."""
        return self._connection.keeps_session(text)

    def _watch(self, kind: StatementKind, text: str, parameters: Sequence[Any] | None = None) -> Watch:
        return self._observers.watch(kind, text, parameters, in_transaction=self._connection.in_transaction)

    # --- statements --------------------------------------------------------------------------------------------------

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Every row."""
        with self._watch("fetch", text, parameters) as watch:
            rows = await self._connection.fetch(text, parameters)
            watch.rows = len(rows)
        return rows

    async def fetch_named(self, text: str, parameters: Sequence[Any]) -> tuple[tuple[str, ...], list[Row]]:
        """The names of the columns, and every row."""
        with self._watch("fetch", text, parameters) as watch:
            columns, rows = await self._connection.fetch_named(text, parameters)
            watch.rows = len(rows)
        return columns, rows

    async def fetch_first(self, text: str, parameters: Sequence[Any]) -> tuple[tuple[str, ...], Row | None]:
        """The names of the columns, and the first row if there is one."""
        with self._watch("fetch", text, parameters) as watch:
            columns, row = await self._connection.fetch_first(text, parameters)
            watch.rows = 0 if row is None else 1
        return columns, row

    async def execute(self, text: str, parameters: Sequence[Any]) -> int:
        """The number of rows touched."""
        with self._watch("execute", text, parameters) as watch:
            watch.rows = touched = await self._connection.execute(text, parameters)
        return touched

    async def execute_many(self, text: str, parameters: Iterable[Sequence[Any]], target: Target | None = None) -> int:
        """Run `text` for each of `parameters`."""
        with self._watch("execute_many", text) as watch:
            watch.rows = touched = await self._connection.execute_many(text, parameters, target)
        return touched

    async def open_cursor(self, text: str, parameters: Sequence[Any], *, raw: bool = False) -> ObservedCursor:
        """A cursor over the rows of a statement, whose batches are reported too."""
        with self._watch("open", text, parameters):
            cursor = await self._connection.open_cursor(text, parameters, raw=raw)
        return ObservedCursor(self._connection, cursor, text, self._observers)

    # --- transactions ------------------------------------------------------------------------------------------------

    async def begin(self, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        """Begin a transaction."""
        with self._watch("transaction", "BEGIN"):
            await self._connection.begin(isolation, readonly=readonly)

    async def commit(self) -> None:
        """Commit the transaction."""
        with self._watch("transaction", "COMMIT"):
            await self._connection.commit()

    async def rollback(self) -> None:
        """Roll the transaction back, if there is one."""
        with self._watch("transaction", "ROLLBACK"):
            await self._connection.rollback()

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        with self._watch("transaction", "SAVEPOINT"):
            await self._connection.savepoint(name)

    async def release(self, name: str) -> None:
        """Forget a savepoint and keep what was done since."""
        with self._watch("transaction", "RELEASE"):
            await self._connection.release(name)

    async def rollback_to(self, name: str) -> None:
        """Undo what was done since a savepoint, and forget it."""
        with self._watch("transaction", "ROLLBACK TO"):
            await self._connection.rollback_to(name)

    # --- the session -------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop what is running."""
        self._connection.cancel()

    def ping(self) -> Awaitable[None]:
        """Raise a DatabaseError unless the connection is sound."""
        return self._connection.ping()

    def reset(self, *, dirty: bool) -> Awaitable[bool]:
        """Bring the connection back to a known state."""
        return self._connection.reset(dirty=dirty)

    def close(self) -> Awaitable[None]:
        """Close it in order."""
        return self._connection.close()

    def terminate(self) -> None:
        """Close it at once."""
        self._connection.terminate()


class ObservedCursor:
    """A cursor whose batches are reported."""

    __slots__ = ("_connection", "_cursor", "_observers", "_text")

    def __init__(self, connection: Connection, cursor: Cursor, text: str, observers: Observers) -> None:
        self._connection = connection
        self._cursor = cursor
        self._text = text
        self._observers = observers

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self._cursor.columns

    async def fetch(self, count: int) -> list[Row]:
        """The next `count` rows, or what is left; empty at the end."""
        with self._observers.watch("batch", self._text, in_transaction=self._connection.in_transaction) as watch:
            rows = await self._cursor.fetch(count)
            watch.rows = len(rows)
        return rows

    def close(self) -> Awaitable[None]:
        """Give up the rest."""
        return self._cursor.close()
