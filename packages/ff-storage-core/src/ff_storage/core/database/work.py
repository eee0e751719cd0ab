"""One transaction of the database, and the savepoints within it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ff_storage.core.database.connection import Connection, IsolationLevel
from ff_storage.core.database.lease import Lease
from ff_storage.core.errors import (
    CommitOutcomeUnknown,
    ConcurrentUseError,
    ConnectionLost,
    DatabaseError,
    PoolClosed,
    QueryTimeout,
    SavepointError,
    TransactionAborted,
    TransactionError,
)

T = TypeVar("T")

logger = logging.getLogger("ff_storage.database")


class Level:
    """A transaction or a savepoint within one; `failure` is the error that doomed it.

    `undone`: it was rolled back together with one around it, while its own block was still open.
    """

    __slots__ = ("failure", "name", "undone")

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: Exception | None = None
        self.undone = False


class Work:
    """One transaction of the database: its connection, and the savepoints within it."""

    def __init__(self, lease: Lease, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        self.lease = lease
        self.isolation = isolation
        self.readonly = readonly
        self.levels: list[Level] = []
        self._names = (f"ff_sp_{number}" for number in itertools.count(1))

    @property
    def connection(self) -> Connection:
        return self.lease.member.connection

    @property
    def is_over(self) -> bool:
        """Whether nothing runs any more, and the task is being canceled: it shall hear of that, and of nothing else."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0 and (self.lease.broken or self.connection.is_closed)

    async def call(self, function: Callable[[Connection], Awaitable[T]], raw: str | None = None) -> T:
        """Run a statement in the innermost level."""
        level = self.levels[-1]
        self._check(level)
        try:
            result = await self.lease._perform(function, raw)
        except ConcurrentUseError:
            raise  # it was used wrongly, and nothing was sent
        except DatabaseError as error:
            level.failure = error
            self._note_end(error)
            if isinstance(error, ConnectionLost) and not error.sent:
                raise _gone(error) from error
            raise
        if raw is not None and not self.connection.in_transaction:
            ended = TransactionError(
                "a statement ended the transaction", found="raw SQL", remedy="use tx.commit() and tx.rollback()"
            )
            self._note_end(ended)
            raise ended
        return result

    def _check_lease(self) -> None:
        if self.lease.broken:
            raise TransactionAborted(
                "nothing more runs in this transaction", found="a statement or a savepoint in it was canceled"
            )

    def _check(self, level: Level) -> None:
        self._check_lease()
        if level.failure is not None:
            raise TransactionAborted(
                "nothing more runs in this transaction",
                found="a statement in it failed",
                remedy="leave its block, or use a savepoint around what may fail",
            ) from level.failure

    def _note_end(self, error: Exception) -> None:
        # Some errors make the engine itself roll everything back; then no savepoint is left to go back to.
        if self.connection.is_closed or isinstance(error, ConnectionLost) or not self.connection.in_transaction:
            for level in self.levels:
                level.failure = level.failure or error

    async def begin(self) -> None:
        """Begin the transaction."""
        self._check_lease()
        await self.lease._perform(lambda connection: connection.begin(self.isolation, readonly=self.readonly))
        self.levels = [Level("")]

    async def commit(self) -> None:
        """Commit; raises what failed, after rolling back."""
        try:
            self._check(self.levels[0])
            if len(self.levels) > 1:
                raise SavepointError("a transaction is committed outside its savepoints", remedy="leave them first")
        except TransactionError:
            await self.rollback()
            raise
        try:
            await self.lease._perform(lambda connection: connection.commit())
            self.lease.pool.note_write()
        except DatabaseError as error:
            self.levels[0].failure = error
            if isinstance(error, PoolClosed) or (isinstance(error, ConnectionLost) and not error.sent):
                raise _gone(error) from error
            if isinstance(error, ConnectionLost | QueryTimeout) or self.connection.is_closed:
                # Sent, and not answered. A canceled COMMIT is no different, and stays a cancellation.
                raise CommitOutcomeUnknown(
                    "the connection broke during COMMIT"
                    if not isinstance(error, QueryTimeout)
                    else "COMMIT was not answered in time",
                    found="the work may or may not be stored",
                    remedy="read before you repeat it",
                ) from error
            await self.rollback()
            raise

    async def rollback(self) -> None:
        """Roll everything back. A failure is logged: the pool's cleaner goes on, or discards the connection."""
        for level in self.levels[1:]:
            level.undone = True
        del self.levels[1:]
        if not self.lease.broken and not self.connection.is_closed:
            try:
                await self.lease._perform(lambda connection: connection.rollback())
            except DatabaseError as error:
                self.lease.abandon()
                logger.warning("a rollback failed, its connection is discarded: %s", error)

    async def push(self) -> Level:
        """Set a savepoint."""
        level = Level(next(self._names))
        await self.call(lambda connection: connection.savepoint(level.name))
        self.levels.append(level)
        return level

    async def pop(self, level: Level, *, keep: bool) -> None:
        """End a savepoint, and those within it; `keep` what was done since, or undo it.

        One that is doomed is undone, and TransactionAborted raised if it was to be kept.
        """
        position = self.levels.index(level)
        level.failure = next((each.failure for each in self.levels[position:] if each.failure is not None), None)
        inner = self.levels[position + 1 :]
        for each in inner:
            each.undone = True
        del self.levels[position:]
        below = self.levels[-1]
        if not keep and (below.failure is not None or self.is_over):
            return  # what is around it will be undone as a whole
        self._check(below)
        kept = keep and level.failure is None
        try:
            await self.lease._perform(
                lambda connection: connection.release(level.name) if kept else connection.rollback_to(level.name)
            )
        except DatabaseError as error:
            below.failure = error
            self._note_end(error)
            raise
        for each in inner:
            each.undone = not kept
        if keep:
            self._check(level)

    async def leave(self, level: Level, error: BaseException | None) -> None:
        """End the block of a savepoint."""
        if level not in self.levels:
            if error is None and level.undone:
                raise TransactionAborted(
                    "what was done in this block was undone with the one around it",
                    found="an outer transaction or savepoint that ended first",
                    remedy="leave blocks in the reverse order of entering them",
                )
            return
        if error is None:
            await self.pop(level, keep=True)
        elif not isinstance(error, Exception):
            self.lease.abandon()
        elif not self.lease.broken:
            try:
                await self.pop(level, keep=False)
            except DatabaseError as failure:
                # The error that leaves the block is the one to see; this one has doomed the transaction.
                logger.warning("a savepoint could not be undone: %s", failure)


def _gone(error: DatabaseError) -> TransactionAborted:
    return TransactionAborted(
        "the connection of this transaction is gone, and all that was done in it is undone",
        found="the pool was closed meanwhile"
        if isinstance(error, PoolClosed)
        else "the server, or something on the way to it, ended the connection while nothing ran",
        remedy="run it again as a whole; do not let a transaction wait longer than the server's"
        " limits for idle sessions",
    )
