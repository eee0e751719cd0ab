"""What the pool asks of a driver: one open connection, and a cursor over a result.

A driver part implements `Connection`; the pool, transactions and streams are written once over it. The contract:

* A connection is used by one caller at a time; who holds it is the pool's business.
* It is in autocommit unless `begin` was called, and a statement that fails there leaves nothing behind.
* Errors are the library's, the driver's chained. A `DatabaseError` means that the statement may have reached the
  engine; anything else that it did not. `ConnectionLost` with `sent` false means that it surely did not.
* A caller that is canceled while it waits leaves a statement running. `cancel` stops it, and `reset` brings the
  connection back to a known state or says that it cannot be; until then nobody uses it.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Protocol

from ff_storage.core.errors import InvalidValueError
from ff_storage.core.program import Row, Target


def check_sql(sql: object) -> None:
    """Raise InvalidValueError unless a caller's statement is text."""
    if not isinstance(sql, str):
        raise InvalidValueError("a statement is given as text", found=f"a {type(sql).__name__}")


class IsolationLevel(enum.Enum):
    """What a transaction may see of others. An engine gives at least the level that was asked for."""

    READ_UNCOMMITTED = "READ UNCOMMITTED"
    READ_COMMITTED = "READ COMMITTED"
    REPEATABLE_READ = "REPEATABLE READ"
    SERIALIZABLE = "SERIALIZABLE"


class Cursor(Protocol):
    """The rows of one statement, batch by batch; it ends with its transaction."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        ...

    def fetch(self, count: int) -> Awaitable[list[Row]]:
        """The next `count` rows, or what is left; empty at the end."""
        ...

    def close(self) -> Awaitable[None]:
        """Give up the rest."""
        ...


class Connection(Protocol):
    """One open connection to a database."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it can no longer be used; so it is once `ConnectionLost` was raised."""
        ...

    @property
    def is_disturbed(self) -> bool:
        """Whether something has arrived, while nobody asked, that is not read yet: most likely the connection's end.

        Asked of an idle connection before it is given out again, so it is quick and does not wait. False where the
        driver cannot know.
        """
        ...

    def keeps_session(self, text: str) -> bool:
        """Whether raw SQL surely leaves the session's state as it was (settings, temporary tables, locks)."""
        ...

    def fetch(self, text: str, parameters: Sequence[Any]) -> Awaitable[list[Row]]:
        """Every row, in driver values."""
        ...

    def fetch_named(self, text: str, parameters: Sequence[Any]) -> Awaitable[tuple[tuple[str, ...], list[Row]]]:
        """The names of the columns, and every row as a tuple of plain Python values; no names without a row will do."""
        ...

    def fetch_first(self, text: str, parameters: Sequence[Any]) -> Awaitable[tuple[tuple[str, ...], Row | None]]:
        """The names of the columns, and the first row if there is one. A write is done as a whole."""
        ...

    def execute(self, text: str, parameters: Sequence[Any]) -> Awaitable[int]:
        """The number of rows touched; -1 where the engine does not say."""
        ...

    def execute_many(
        self, text: str, parameters: Iterable[Sequence[Any]], target: Target | None = None
    ) -> Awaitable[int]:
        """Run `text` for each of `parameters`, all or nothing, within a transaction and without; the rows touched.

        With a `target`, `text` is an INSERT into it, and a driver may fill it in a faster way.
        """
        ...

    def open_cursor(self, text: str, parameters: Sequence[Any], *, raw: bool = False) -> Awaitable[Cursor]:
        """A cursor over the rows of a statement; a `raw` one gives them as `fetch_named` does."""
        ...

    def begin(self, isolation: IsolationLevel | None, *, readonly: bool) -> Awaitable[None]:
        """Begin a transaction of at least this isolation; a read-only one refuses writes."""
        ...

    def commit(self) -> Awaitable[None]:
        """Commit the transaction; when that fails, it may still be open."""
        ...

    def rollback(self) -> Awaitable[None]:
        """Roll the transaction back, if there is one."""
        ...

    def savepoint(self, name: str) -> Awaitable[None]:
        """Set a savepoint; `name` is an identifier of the library's making."""
        ...

    def release(self, name: str) -> Awaitable[None]:
        """Forget a savepoint and keep what was done since."""
        ...

    def rollback_to(self, name: str) -> Awaitable[None]:
        """Undo what was done since a savepoint, and forget it."""
        ...

    def cancel(self) -> None:
        """Stop whatever is running, as far as that is possible, without waiting; `reset` or `terminate` follows."""
        ...

    def ping(self) -> Awaitable[None]:
        """Raise a DatabaseError unless the connection is sound."""
        ...

    def reset(self, *, dirty: bool) -> Awaitable[bool]:
        """Wait for what is running, end any transaction and stream, and, when `dirty`, restore the session's state.

        False, or an exception, when that cannot be had: the pool then discards the connection.
        """
        ...

    def close(self) -> Awaitable[None]:
        """Close it in order."""
        ...

    def terminate(self) -> None:
        """Close it at once, without waiting; also when its event loop does not run any more, or is closed."""
        ...
