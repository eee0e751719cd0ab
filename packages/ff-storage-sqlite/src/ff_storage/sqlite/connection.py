"""The asynchronous connection: a session in a thread of its own."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from ff_storage.core.database import IsolationLevel
from ff_storage.core.program import Target
from ff_storage.sqlite.session import Row, Session, Settings
from ff_storage.sqlite.turns import Turns
from ff_storage.sqlite.worker import Worker

_BATCH: Final = 1000

_ROWS_ONLY: Final = re.compile(r"\s*(?:SELECT|VALUES|INSERT|REPLACE|UPDATE|DELETE|WITH|EXPLAIN)\b", re.IGNORECASE)

_numbers = itertools.count(1)


@lru_cache(1024)
def is_about_rows(text: str) -> bool:
    """Whether raw SQL is a query or a change of rows, which leaves the session as it was."""
    return _ROWS_ONLY.match(text) is not None


class SQLiteConnection:
    """One open database connection; see `ff_storage.core.database.Connection` for the contract.

    Statements are futures, not coroutines: they are on their way when the method returns, and cost no frame.
    """

    __slots__ = ("_closed", "_session", "_worker")

    def __init__(self, worker: Worker, session: Session) -> None:
        self._worker = worker
        self._session = session
        self._closed = False

    @classmethod
    async def open(cls, settings: Settings, turns: Turns | None = None) -> SQLiteConnection:
        """Start a thread and open the database in it; `turns` is shared by the writers of a pool."""
        worker = Worker(f"ff-sqlite-{next(_numbers)}")
        opened: list[Session] = []
        try:
            await worker.submit(lambda: opened.append(Session(settings, turns)))
        except BaseException:
            # Canceled, the thread may be opening it this moment.
            worker.stop(lambda: _close_all(opened))
            raise
        return cls(worker, opened[0])

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return not self._closed and self._session.in_transaction

    @property
    def is_closed(self) -> bool:
        """Whether `close` or `terminate` was called."""
        return self._closed

    @property
    def is_disturbed(self) -> bool:
        """Nothing arrives here by itself."""
        return False

    def keeps_session(self, text: str) -> bool:
        """Whether raw SQL is a query or a change of rows; anything else may set, attach or create something."""
        return is_about_rows(text)

    # --- statements --------------------------------------------------------------------------------------------------

    def fetch(self, text: str, parameters: Sequence[Any]) -> Awaitable[list[Row]]:
        """Every row."""
        return self._worker.submit(self._session.fetch, text, parameters)

    def fetch_named(self, text: str, parameters: Sequence[Any]) -> Awaitable[tuple[tuple[str, ...], list[Row]]]:
        """The names of the columns, and every row."""
        return self._worker.submit(self._session.fetch_named, text, parameters)

    def fetch_first(self, text: str, parameters: Sequence[Any]) -> Awaitable[tuple[tuple[str, ...], Row | None]]:
        """The names of the columns, and the first row if there is one."""
        return self._worker.submit(self._session.fetch_first, text, parameters)

    def execute(self, text: str, parameters: Sequence[Any]) -> Awaitable[int]:
        """The number of rows touched."""
        return self._worker.submit(self._session.execute, text, parameters)

    def execute_many(
        self, text: str, parameters: Iterable[Sequence[Any]], target: Target | None = None
    ) -> Awaitable[int]:
        """Run `text` for each of `parameters`, which the thread consumes one by one; all or nothing."""
        del target  # an INSERT is the fastest way here
        return self._worker.submit(self._session.execute_many, text, parameters)

    async def open_cursor(self, text: str, parameters: Sequence[Any], *, raw: bool = False) -> SQLiteCursor:
        """A cursor over the rows of a statement."""
        del raw  # what is stored is what raw SQL shows
        cursor, columns = await self._worker.submit(self._session.open_cursor, text, parameters)
        return SQLiteCursor(self._worker, self._session, cursor, columns)

    # --- transactions ------------------------------------------------------------------------------------------------

    def begin(self, isolation: IsolationLevel | None, *, readonly: bool) -> Awaitable[None]:
        """Begin a transaction, which is SERIALIZABLE whatever is asked."""
        del isolation
        return self._worker.submit(self._session.begin, readonly)

    def commit(self) -> Awaitable[None]:
        """Commit the transaction."""
        return self._worker.submit(self._session.commit)

    def rollback(self) -> Awaitable[None]:
        """Roll the transaction back, if there is one."""
        return self._worker.submit(self._session.rollback)

    def savepoint(self, name: str) -> Awaitable[None]:
        """Set a savepoint."""
        return self._worker.submit(self._session.script, f"SAVEPOINT {name}")

    def release(self, name: str) -> Awaitable[None]:
        """Forget a savepoint and keep what was done since."""
        return self._worker.submit(self._session.script, f"RELEASE {name}")

    def rollback_to(self, name: str) -> Awaitable[None]:
        """Undo what was done since a savepoint, and forget it."""
        return self._worker.submit(self._session.script, f"ROLLBACK TO {name}", f"RELEASE {name}")

    # --- the session -------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop what is running; `reset` must follow."""
        self._session.interrupt()

    def ping(self) -> Awaitable[None]:
        """Raise a DatabaseError unless the connection is sound."""
        return self._worker.submit(self._session.ping)

    async def reset(self, *, dirty: bool) -> bool:
        """Bring the session back to how it was opened; False when it must be replaced instead.

        An interrupt that falls between two statements is lost, so it is repeated until the thread has come this far.
        """
        future = self._worker.submit(self._session.reset, dirty)
        wait = 0.002
        while not (await asyncio.wait({future}, timeout=wait))[0]:
            wait = min(wait * 2, 0.1)
            self._session.interrupt()
        self._session.ready()
        return await future  # type: ignore[no-any-return]  # what reset() returns

    async def close(self) -> None:
        """Close the database and end the thread."""
        if not self._closed:
            self._closed = True
            future = self._worker.submit(self._session.close)
            self._worker.stop()
            await asyncio.shield(future)

    def terminate(self) -> None:
        """Close it without waiting: the thread does it as soon as it can."""
        self._session.interrupt()
        if not self._closed:
            self._closed = True
            self._worker.stop(self._session.close)


class SQLiteCursor:
    """The rows of one statement, batch by batch."""

    __slots__ = ("_cursor", "_session", "_worker", "columns")

    def __init__(self, worker: Worker, session: Session, cursor: Any, columns: tuple[str, ...]) -> None:
        self._worker = worker
        self._session = session
        self._cursor = cursor
        self.columns = columns

    def fetch(self, count: int = _BATCH) -> Awaitable[list[Row]]:
        """The next `count` rows, or what is left; empty at the end."""
        return self._worker.submit(self._session.fetch_batch, self._cursor, count)

    def close(self) -> Awaitable[None]:
        """Give up the rest."""
        return self._worker.submit(self._session.close_cursor, self._cursor)


def _close_all(sessions: list[Session]) -> None:
    for session in sessions:
        session.close()
