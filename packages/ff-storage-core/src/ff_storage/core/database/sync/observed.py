"""A synchronous connection whose statements are reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ff_storage.core.database.connection import IsolationLevel
from ff_storage.core.database.sync.connection import Result, SyncConnection
from ff_storage.core.program import Row, Target

if TYPE_CHECKING:
    from ff_storage.core.observe import Observers, StatementKind, Watch


class ObservedSyncConnection:
    """`connection`, with each of its statements reported to `observers`, in the thread that runs it.

    The twin of `ff_storage.core.database.observed.ObservedConnection`.
    """

    __slots__ = ("_connection", "_observers")

    def __init__(self, connection: SyncConnection, observers: Observers) -> None:
        self._connection = connection
        self._observers = observers

    def __repr__(self) -> str:
        return f"<ObservedSyncConnection {self._connection!r}>"

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

    def keeps_session(self, text: str) -> bool:
        """Whether raw SQL surely leaves the session's state as it was."""
        return self._connection.keeps_session(text)

    def _watch(self, kind: StatementKind, text: str, parameters: Sequence[Any] | None = None) -> Watch:
        return self._observers.watch(kind, text, parameters, in_transaction=self._connection.in_transaction)

    # --- statements --------------------------------------------------------------------------------------------------

    def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Every row."""
        with self._watch("fetch", text, parameters) as watch:
            rows = self._connection.fetch(text, parameters)
            watch.rows = len(rows)
        return rows

    def execute(self, text: str, parameters: Sequence[Any]) -> int:
        """The number of rows touched."""
        with self._watch("execute", text, parameters) as watch:
            watch.rows = touched = self._connection.execute(text, parameters)
        return touched

    def execute_many(self, text: str, parameters: Iterable[Sequence[Any]], target: Target | None = None) -> int:
        """Run `text` for each of `parameters`."""
        with self._watch("execute_many", text) as watch:
            watch.rows = touched = self._connection.execute_many(text, parameters, target)
        return touched

    def query(self, text: str, parameters: Sequence[Any]) -> Result:
        """Everything about one statement; reported as a `fetch` if it has columns."""
        with self._watch("execute", text, parameters) as watch:
            result = self._connection.query(text, parameters)
            if result.columns:
                watch.kind, watch.rows = "fetch", len(result.rows)
            else:
                watch.rows = result.count
        return result

    def query_many(self, text: str, parameters: Iterable[Sequence[Any]]) -> int:
        """`execute_many`, for a raw statement."""
        with self._watch("execute_many", text) as watch:
            watch.rows = touched = self._connection.query_many(text, parameters)
        return touched

    # --- transactions ------------------------------------------------------------------------------------------------

    def begin(self, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        """Begin a transaction."""
        with self._watch("transaction", "BEGIN"):
            self._connection.begin(isolation, readonly=readonly)

    def commit(self) -> None:
        """Commit the transaction."""
        with self._watch("transaction", "COMMIT"):
            self._connection.commit()

    def rollback(self) -> None:
        """Roll the transaction back, if there is one."""
        with self._watch("transaction", "ROLLBACK"):
            self._connection.rollback()

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        with self._watch("transaction", "SAVEPOINT"):
            self._connection.savepoint(name)

    def release(self, name: str) -> None:
        """Forget a savepoint and keep what was done since."""
        with self._watch("transaction", "RELEASE"):
            self._connection.release(name)

    def rollback_to(self, name: str) -> None:
        """Undo what was done since a savepoint, and forget it."""
        with self._watch("transaction", "ROLLBACK TO"):
            self._connection.rollback_to(name)

    # --- the session -------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Raise a DatabaseError unless the connection is sound."""
        self._connection.ping()

    def reset(self, *, dirty: bool) -> bool:
        """End any transaction, reported as a ROLLBACK, and bring the connection back to a known state."""
        if not self._connection.in_transaction:
            return self._connection.reset(dirty=dirty)
        with self._watch("transaction", "ROLLBACK"):
            return self._connection.reset(dirty=dirty)

    def close(self) -> None:
        """Close it."""
        self._connection.close()
