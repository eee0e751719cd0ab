"""One transaction of a synchronous database, and the savepoints within it.

The rules are those of `ff_storage.core.database.Transaction`: a statement that fails dooms the innermost level, and
what is doomed is never committed.
"""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from ff_storage.core.database.connection import IsolationLevel
from ff_storage.core.database.sync.connection import SyncConnection
from ff_storage.core.database.sync.store import Member, Store
from ff_storage.core.errors import (
    CommitOutcomeUnknown,
    ConcurrentUseError,
    ConnectionLost,
    DatabaseError,
    TransactionAborted,
    TransactionError,
)

T = TypeVar("T")

logger = logging.getLogger("ff_storage.database")


class Level:
    """The transaction, or with a `name` a savepoint within it; `failure` is the error that doomed it."""

    __slots__ = ("failure", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.failure: Exception | None = None


class SyncWork:
    """A transaction from begin to end, on a connection that it takes and gives back.

    It belongs to the thread that began it. `block` says that a `with` block ends it, and nobody else may.
    """

    def __init__(self, store: Store, isolation: IsolationLevel | None, *, readonly: bool, block: bool) -> None:
        self.isolation = isolation
        self.readonly = readonly
        self.block = block
        self.levels = [Level()]
        self._store = store
        self._names = (f"ff_sp_{number}" for number in itertools.count(1))
        self._busy = False
        self._broken = False
        self._member: Member | None = store.take()
        try:
            self._run(lambda connection: connection.begin(isolation, readonly=readonly))
        except BaseException:
            self._end()
            raise

    def __del__(self) -> None:
        # Its thread has ended inside the transaction, or forgot the database with it.
        if getattr(self, "_member", None) is not None and not sys.is_finalizing():
            self._end()

    def _end(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            self._store.give(member, sound=not self._broken)

    def _run(self, function: Callable[[SyncConnection], T]) -> T:
        if self._member is None:
            raise TransactionAborted("the transaction has ended")
        if self._busy:
            raise ConcurrentUseError(
                "a call was made while a statement of its transaction is running",
                found="arguments that use the database while they are read",
                remedy="make a list of them first",
            )
        self._busy = True
        try:
            return function(self._member.connection)
        except Exception:
            raise
        except BaseException:  # KeyboardInterrupt
            self._broken = True
            raise
        finally:
            self._busy = False

    def call(self, function: Callable[[SyncConnection], T], raw: str | None = None) -> T:
        """Run a statement in the innermost level; `raw` is its text when a caller wrote it."""
        self._store.check_process()
        level = self.levels[-1]
        self._check(level)
        member = self._member
        if raw is not None and member is not None and not member.connection.keeps_session(raw):
            member.dirty = True
        try:
            result = self._run(function)
        except ConcurrentUseError:
            raise  # it was used wrongly, and nothing was sent
        except DatabaseError as error:
            level.failure = error
            self._note_end(error)
            raise
        if raw is not None and not self._is_open():
            ended = TransactionError(
                "a statement ended the transaction", found="raw SQL", remedy="use commit() and rollback()"
            )
            self._note_end(ended)
            raise ended
        return result

    def _is_open(self) -> bool:
        return self._member is not None and self._member.connection.in_transaction

    def _check(self, level: Level) -> None:
        if self._broken:
            raise TransactionAborted("nothing more runs in this transaction", found="a statement in it was interrupted")
        if level.failure is not None:
            raise TransactionAborted(
                "nothing more runs in this transaction",
                found="a statement in it failed",
                remedy="roll it back, or put a transaction() block around what may fail",
            ) from level.failure

    def _note_end(self, error: Exception) -> None:
        # Some errors make the engine itself roll everything back; then no savepoint is left to go back to.
        if not self._is_open():
            for level in self.levels:
                level.failure = level.failure or error

    def commit(self) -> None:
        """Commit, and end; raises what failed, after rolling back."""
        self._store.check_process()
        try:
            self._check(self.levels[0])
            self._run(lambda connection: connection.commit())
        except ConnectionLost as error:
            if not error.sent:
                raise TransactionAborted(
                    "the connection of this transaction is gone, and all that was done in it is undone",
                    found="it ended before COMMIT was sent",
                    remedy="run it again as a whole",
                ) from error
            raise CommitOutcomeUnknown(
                "the connection broke during COMMIT",
                found="the work may or may not be stored",
                remedy="read before you repeat it",
            ) from error
        finally:
            self._end()  # where nothing was committed, the connection is rolled back

    def rollback(self) -> None:
        """Roll everything back, and end. A connection that cannot be rolled back is discarded."""
        self._store.check_process()
        self._end()

    def push(self) -> Level:
        """Set a savepoint."""
        level = Level(next(self._names))
        self.call(lambda connection: connection.savepoint(level.name))
        self.levels.append(level)
        return level

    def leave(self, level: Level, error: BaseException | None) -> None:
        """End a savepoint: keep what was done since, or undo it when an `error` leaves it or it is doomed."""
        if level not in self.levels:
            return
        position = self.levels.index(level)
        level.failure = next((each.failure for each in self.levels[position:] if each.failure is not None), None)
        del self.levels[position:]
        below = self.levels[-1]
        if error is not None and (self._broken or below.failure is not None or not isinstance(error, Exception)):
            self._broken = self._broken or not isinstance(error, Exception)
            return  # what is around it will be undone as a whole
        self._check(below)
        kept = error is None and level.failure is None
        try:
            self._run(lambda connection: (connection.release if kept else connection.rollback_to)(level.name))
        except DatabaseError as failure:
            below.failure = failure
            self._note_end(failure)
            if error is None:
                raise
            # The error that leaves the block is the one to see; this one has doomed the transaction.
            logger.warning("a savepoint could not be undone: %s", failure)
        if error is None:
            self._check(level)
