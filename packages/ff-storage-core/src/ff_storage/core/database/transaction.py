"""Transactions: all or nothing, over one connection.

Within the task that opened it, every call through the same pool joins a transaction, and a transaction opened inside
one is a savepoint of it. A child task does not inherit it: its call raises `TransactionNotShared`, since two tasks
would mix their statements; pass `connection=tx` to mean it. `pool.detached()` opts a block out.

A statement that fails dooms the transaction on every engine: nothing more runs, and leaving the block rolls back and
raises `TransactionAborted` if the error was swallowed. Within a savepoint it dooms only that. A canceled statement,
and a cancellation that passes through a savepoint's block, doom the whole: leaving a block on a cancellation awaits
nothing, and the pool's cleaner rolls back. A commit that is canceled ends in one of both outcomes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from ff_storage.core import program as programs
from ff_storage.core.database.connection import Connection, IsolationLevel
from ff_storage.core.database.executor import Bind, Executor
from ff_storage.core.database.lease import Lease, Performer
from ff_storage.core.errors import (
    CommitOutcomeUnknown,
    ConnectionLost,
    DatabaseError,
    InvalidValueError,
    SavepointAlreadyReleased,
    SavepointError,
    TransactionAborted,
    TransactionAlreadyStarted,
    TransactionClosed,
    TransactionError,
    TransactionNotShared,
    TransactionNotStarted,
)
from ff_storage.core.program import Program, Row
from ff_storage.core.tables import check_identifier

if TYPE_CHECKING:
    from ff_storage.core.database.pool import Pool
    from ff_storage.core.sql.dialect import Dialect

T = TypeVar("T")

logger = logging.getLogger("ff_storage.database")

_LEVELS: Final = [*IsolationLevel]


class _Detached:
    """Marks a stretch of code whose calls join no transaction of `pool`."""

    __slots__ = ("outer", "pool")

    def __init__(self, pool: Pool, outer: Transaction | _Detached | None) -> None:
        self.pool = pool
        self.outer = outer


_current: ContextVar[Transaction | _Detached | None] = ContextVar("ff_storage_transaction", default=None)

in_any: Callable[[], object] = _current.get
"""The quick question before `ambient`: whether the calling context has met any transaction."""


def ambient(pool: Pool) -> Transaction | None:
    """The innermost open transaction of `pool` in the calling context. Raises TransactionNotShared in a child task."""
    entry = _current.get()
    while entry is not None:
        if entry.pool is pool:
            if isinstance(entry, _Detached):
                return None
            if entry.is_active:
                if entry.task is asyncio.current_task():
                    return entry
                raise TransactionNotShared(
                    "this task was started inside a transaction that belongs to another task",
                    remedy="pass connection=tx to work in it, or use pool.detached() to work outside"
                    " (asyncio.timeout keeps the task, wait_for may not)",
                )
        entry = entry.outer
    return None


@contextlib.contextmanager
def detached(pool: Pool) -> Generator[None]:
    """Let the calls of the block through `pool` join no transaction that was opened outside."""
    outer = _current.get()
    marker = _Detached(pool, outer)
    _current.set(marker)
    try:
        yield
    finally:
        if _current.get() is marker:
            _current.set(outer)


class _Level:
    """A transaction or a savepoint within one; `failure` is the error that doomed it."""

    __slots__ = ("failure", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: Exception | None = None


class _Work:
    """One transaction of the database: its connection, and the savepoints within it."""

    def __init__(self, lease: Lease, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        self.lease = lease
        self.isolation = isolation
        self.readonly = readonly
        self.levels: list[_Level] = []
        self._names = (f"ff_sp_{number}" for number in itertools.count(1))

    @property
    def connection(self) -> Connection:
        return self.lease.member.connection

    async def call(self, function: Callable[[Connection], Awaitable[T]], raw: str | None = None) -> T:
        """Run a statement in the innermost level."""
        level = self.levels[-1]
        self._check(level)
        try:
            result = await self.lease.call(function, raw)
        except TransactionError:
            raise  # it was used wrongly, and nothing was sent
        except DatabaseError as error:
            level.failure = error
            self._note_end(error)
            raise
        if raw is not None and not self.connection.in_transaction:
            ended = TransactionError(
                "a statement ended the transaction", found="raw SQL", remedy="use tx.commit() and tx.rollback()"
            )
            self._note_end(ended)
            raise ended
        return result

    def _check(self, level: _Level) -> None:
        if self.lease.broken:
            raise TransactionAborted(
                "nothing more runs in this transaction", found="a statement or a savepoint in it was canceled"
            )
        if level.failure is not None:
            raise TransactionAborted(
                "nothing more runs in this transaction",
                found="a statement in it failed",
                remedy="leave its block, or use a savepoint around what may fail",
            ) from level.failure

    def _note_end(self, error: Exception) -> None:
        # Some errors make the engine itself roll everything back; then no savepoint is left to go back to.
        if not self.connection.in_transaction:
            for level in self.levels:
                level.failure = level.failure or error

    async def begin(self) -> None:
        """Begin the transaction."""
        await self.lease.call(lambda connection: connection.begin(self.isolation, readonly=self.readonly))
        self.levels = [_Level("")]

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
            await self.lease.call(lambda connection: connection.commit())
        except ConnectionLost as error:
            self.levels[0].failure = error
            raise CommitOutcomeUnknown(
                "the connection broke during COMMIT",
                found="the work may or may not be stored",
                remedy="read before you repeat it",
            ) from error
        except DatabaseError as error:
            self.levels[0].failure = error
            await self.rollback()
            raise

    async def rollback(self) -> None:
        """Roll everything back. A failure is logged: the pool's cleaner goes on, or discards the connection."""
        del self.levels[1:]
        if not self.lease.broken:
            try:
                await self.lease.call(lambda connection: connection.rollback())
            except DatabaseError as error:
                self.lease.abandon()
                logger.warning("a rollback failed, its connection is discarded: %s", error)

    async def push(self) -> _Level:
        """Set a savepoint."""
        level = _Level(next(self._names))
        await self.call(lambda connection: connection.savepoint(level.name))
        self.levels.append(level)
        return level

    async def pop(self, level: _Level, *, keep: bool) -> None:
        """End a savepoint, and those within it; `keep` what was done since, or undo it.

        One that is doomed is undone, and TransactionAborted raised if it was to be kept.
        """
        position = self.levels.index(level)
        failure = next((each.failure for each in self.levels[position:] if each.failure is not None), None)
        del self.levels[position:]
        below = self.levels[-1]
        self._check(below)
        level.failure = failure
        if keep and failure is None:
            self._check(level)
        try:
            if keep and failure is None:
                await self.lease.call(lambda connection: connection.release(level.name))
            else:
                await self.lease.call(lambda connection: connection.rollback_to(level.name))
        except DatabaseError as error:
            below.failure = error
            self._note_end(error)
            raise
        if keep:
            self._check(level)


class Transaction(Executor):
    """All that is done through it is committed when its block ends, or nothing is.

    `isolation` is the least that it must have; without one, the engine's default. `readonly=True` refuses writes. Also
    made by `pool.transaction()`. It is an executor: pass it wherever a pool is taken, or as `connection=`. Instead of a
    pool it takes a transaction, of which it is then a savepoint, or a connection that was acquired.
    """

    def __init__(
        self, db_pool: Pool | Transaction | Lease, isolation: IsolationLevel | None = None, readonly: bool = False
    ) -> None:
        self.pool: Pool = db_pool.pool if isinstance(db_pool, Transaction | Lease) else db_pool
        self._within = db_pool if isinstance(db_pool, Transaction) else None
        self._borrowed = db_pool if isinstance(db_pool, Lease) else None
        self.outer: Transaction | _Detached | None = None
        self.task: asyncio.Task[Any] | None = None
        self._isolation = _level(isolation)
        self._readonly = readonly
        self._work: _Work | None = None
        self._level: _Level | None = None
        self._ended = False

    def __repr__(self) -> str:
        state = "ended" if self._ended else "active" if self._work else "not started"
        return f"<Transaction of {self.pool!r}, {state}>"

    # --- its block ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._work is not None:
            raise TransactionAlreadyStarted("a transaction is entered once", remedy="make another")
        outer = self._within or (None if self._borrowed else ambient(self.pool))
        if outer is not None:
            work = outer._started()
            self._check_joined(work)
            level = await work.push()
        else:
            lease = self._borrowed or await self.pool.lease()
            work = _Work(lease, self._isolation, readonly=self._readonly)
            try:
                await work.begin()
            except BaseException as error:
                self._give_back(lease, error)
                raise
            level = work.levels[0]
        self._work, self._level = work, level
        self.task = asyncio.current_task()
        self.outer = _current.get()
        _current.set(self)
        return self

    def _check_joined(self, work: _Work) -> None:
        own = work.isolation or self.pool.default_isolation
        if self._isolation is not None and _LEVELS.index(self._isolation) > _LEVELS.index(own):
            raise TransactionAlreadyStarted(
                f"isolation {self._isolation.value} cannot be had inside a transaction of {own.value}",
                remedy="ask the outer transaction for it, or use pool.detached()",
            )
        if self._readonly and not work.readonly:
            raise TransactionAlreadyStarted(
                "a read-only transaction cannot be had inside one that writes",
                remedy="leave readonly out, or use pool.detached()",
            )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        work, level = self._started(), self._level
        self._ended = True
        if _current.get() is self:
            _current.set(self.outer)
        if level is None:
            return
        if level.name:
            await _leave(work, level, error)
            return
        try:
            if error is None:
                await work.commit()
            elif isinstance(error, Exception):
                await work.rollback()
        except BaseException as failure:
            self._give_back(work.lease, failure)
            raise
        self._give_back(work.lease, error)

    def _give_back(self, lease: Lease, error: BaseException | None) -> None:
        if self._borrowed is None:
            lease.give_back(error)
        elif error is not None and not isinstance(error, Exception):
            lease.abandon()

    def _started(self) -> _Work:
        if self._work is None:
            raise TransactionNotStarted("the transaction has not begun", remedy="async with Transaction(pool) as tx: …")
        if self._ended:
            raise TransactionClosed("the transaction has ended", remedy="begin another")
        return self._work

    @property
    def is_active(self) -> bool:
        """Whether its block is entered and not left."""
        return self._work is not None and not self._ended

    @property
    def connection(self) -> Transaction:
        """What stands for its connection: the transaction itself. Raises when it is not active."""
        self._started()
        return self

    async def commit(self) -> None:
        """Commit what was done and go on in a new transaction with the same settings."""
        work, level = self._started(), self._level
        if level is not None and level.name:
            await work.pop(level, keep=True)
            self._level = await work.push()
        else:
            await work.commit()
            await self._begin_again(work)

    async def rollback(self) -> None:
        """Undo what was done and go on in a new transaction with the same settings, a doomed one too."""
        work, level = self._started(), self._level
        if level is not None and level.name:
            await work.pop(level, keep=False)
            self._level = await work.push()
        else:
            await work.rollback()
            await self._begin_again(work)

    async def _begin_again(self, work: _Work) -> None:
        try:
            await work.begin()
        except DatabaseError as error:
            work.levels[0].failure = error
            raise
        self._level = work.levels[0]

    def savepoint(self, name: str | None = None) -> Savepoint:
        """A block within the transaction that can fail by itself: `async with tx.savepoint(): …`."""
        return Savepoint(self, name)

    # --- statements --------------------------------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        """The engine's dialect."""
        return self.pool.dialect

    @property
    def bind(self) -> Bind:
        """How raw arguments become the driver's parameters."""
        return self.pool.bind

    async def call(self, function: Callable[[Connection], Awaitable[T]], raw: str | None = None) -> T:
        """Run `function` on the transaction's connection."""
        return await self._started().call(function, raw)

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Run one compiled statement and return every row, in driver values."""
        return await self._started().call(lambda connection: connection.fetch(text, parameters))

    async def run(self, program: Program[T], *, atomic: bool = False) -> T:
        """Drive `program` within the transaction, which is atomic already."""
        del atomic
        return await programs.run(program, Performer(self._started().call))

    def acquire(self, timeout: float | None = None) -> contextlib.AbstractAsyncContextManager[Transaction]:
        """Itself."""
        del timeout
        return contextlib.nullcontext(self)

    def transaction(self, isolation: IsolationLevel | None = None, readonly: bool = False) -> Transaction:
        """A transaction within this one: a savepoint."""
        return Transaction(self, isolation, readonly)


class Savepoint:
    """A part of a transaction that can be undone by itself.

    It is kept when its block ends and undone when an error leaves it. `name` is a label for people; the name in SQL is
    the library's own.
    """

    def __init__(self, transaction: Transaction, name: str | None = None) -> None:
        self.name = check_identifier(name, "the name of a savepoint") if name is not None else "savepoint"
        self._transaction = transaction
        self._work: _Work | None = None
        self._level: _Level | None = None

    def __repr__(self) -> str:
        return f"<Savepoint {self.name}, {'active' if self.is_active else 'not active'}>"

    async def __aenter__(self) -> Self:
        if self._work is not None:
            raise SavepointError("a savepoint is entered once", remedy="make another")
        work = self._transaction._started()
        self._level = await work.push()
        self._work = work
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._work is not None and self._level is not None and self._level in self._work.levels:
            await _leave(self._work, self._level, error)

    @property
    def is_active(self) -> bool:
        """Whether it is set and neither released nor undone."""
        return self._work is not None and self._level in self._work.levels

    @property
    def connection(self) -> Transaction:
        """What stands for its connection: the transaction."""
        return self._transaction.connection

    async def release(self) -> None:
        """End it and keep what was done since."""
        work, level = self._open()
        await work.pop(level, keep=True)

    async def rollback(self) -> None:
        """End it and undo what was done since."""
        work, level = self._open()
        await work.pop(level, keep=False)

    def _open(self) -> tuple[_Work, _Level]:
        if self._work is None or self._level is None:
            raise SavepointError(f"the savepoint {self.name!r} is not set", remedy="async with tx.savepoint(): …")
        if self._level not in self._work.levels:
            raise SavepointAlreadyReleased(f"the savepoint {self.name!r} has ended")
        return self._work, self._level


async def _leave(work: _Work, level: _Level, error: BaseException | None) -> None:
    """End the block of a savepoint."""
    if level not in work.levels:
        return
    if error is None:
        await work.pop(level, keep=True)
    elif not isinstance(error, Exception):
        work.lease.abandon()
    elif not work.lease.broken:
        try:
            await work.pop(level, keep=False)
        except DatabaseError as failure:
            # The error that leaves the block is the one to see; this one has doomed the transaction.
            logger.warning("a savepoint could not be undone: %s", failure)


def _level(isolation: Any) -> IsolationLevel | None:
    if isolation is None or isinstance(isolation, IsolationLevel):
        return isolation
    if type(isolation) is str:
        with contextlib.suppress(ValueError):
            return IsolationLevel(isolation)
    raise InvalidValueError(
        "an IsolationLevel is expected",
        found=ascii(isolation)[:60] if type(isolation) is str else f"a {type(isolation).__name__}",
        remedy="use one of " + ", ".join(f"IsolationLevel.{level.name}" for level in IsolationLevel),
    )
