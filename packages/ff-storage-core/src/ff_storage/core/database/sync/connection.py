"""What the synchronous side asks of a driver: one open connection that blocks.

The twin of `ff_storage.core.database.Connection`, with the same contract: it is used by one caller at a time, is in
autocommit unless `begin` was called, and raises the library's errors with the driver's chained. Every method may be
called from any thread. An exception that is no `Exception` (KeyboardInterrupt) leaves it in an unknown state; `reset`
or `close` follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ff_storage.core.database.connection import IsolationLevel
from ff_storage.core.program import Row, Target


@dataclass(frozen=True, slots=True)
class Result:
    """What a raw statement gave: the names of its columns (none when it returns no rows), its rows, rows touched."""

    columns: tuple[str, ...]
    rows: list[Row]
    count: int


class SyncConnection(Protocol):
    """One open connection to a database."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it can no longer be used."""
        ...

    def keeps_session(self, text: str) -> bool:
        """Whether raw SQL surely leaves the session's state as it was (settings, temporary tables, locks)."""
        ...

    # --- compiled statements, in driver values

    def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Every row."""
        ...

    def execute(self, text: str, parameters: Sequence[Any]) -> int:
        """The number of rows touched; -1 where the engine does not say."""
        ...

    def execute_many(self, text: str, parameters: Iterable[Sequence[Any]], target: Target | None = None) -> int:
        """Run `text` for each of `parameters`, all or nothing, within a transaction and without; the rows touched.

        `target` is that of `ExecuteMany`.
        """
        ...

    # --- raw statements, as the part's `bind` made them

    def query(self, text: str, parameters: Sequence[Any]) -> Result:
        """Everything about one statement, in the driver's plain Python values."""
        ...

    def query_many(self, text: str, parameters: Iterable[Sequence[Any]]) -> int:
        """`execute_many`, for a raw statement."""
        ...

    # --- transactions

    def begin(self, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        """Begin a transaction of at least this isolation; a read-only one refuses writes."""
        ...

    def commit(self) -> None:
        """Commit the transaction; when that fails, it may still be open."""
        ...

    def rollback(self) -> None:
        """Roll the transaction back, if there is one."""
        ...

    def savepoint(self, name: str) -> None:
        """Set a savepoint; `name` is an identifier of the library's making."""
        ...

    def release(self, name: str) -> None:
        """Forget a savepoint and keep what was done since."""
        ...

    def rollback_to(self, name: str) -> None:
        """Undo what was done since a savepoint, and forget it."""
        ...

    # --- the session

    def ping(self) -> None:
        """Raise a DatabaseError unless the connection is sound."""
        ...

    def reset(self, *, dirty: bool) -> bool:
        """End any transaction and, when `dirty`, restore the session's state.

        False, or an exception, when that cannot be had: the connection is then closed.
        """
        ...

    def close(self) -> None:
        """Close it, whatever its state; it never raises a DatabaseError."""
        ...
