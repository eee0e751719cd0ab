"""Transactions: all or nothing, over one connection.

Within the task that opened it, every call through the same pool joins a transaction, and a transaction opened inside
one is a savepoint of it. A child task does not inherit it: its call raises `TransactionNotShared`, since two tasks
would mix their statements; pass `connection=tx` to mean it. `pool.detached()` opts a block out. An async generator runs
in the task of who reads it: what that does between two items joins a transaction that the generator holds open.

A statement that fails dooms the transaction on every engine: nothing more runs, and leaving the block rolls back and
raises `TransactionAborted` if the error was swallowed. Within a savepoint it dooms only that. A canceled statement,
and a cancellation that passes through a savepoint's block, doom the whole: leaving a block on a cancellation awaits
nothing, and the pool's cleaner rolls back. A commit that is canceled ends in one of both outcomes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from ff_storage.core import program as programs
from ff_storage.core.database.ambient import Detached, ambient, enter, leave
from ff_storage.core.database.connection import Connection, IsolationLevel
from ff_storage.core.database.executor import Bind, Executor
from ff_storage.core.database.lease import Lease, Performer
from ff_storage.core.database.work import Level, Work
from ff_storage.core.errors import (
    DatabaseError,
    InvalidValueError,
    SavepointAlreadyReleased,
    SavepointError,
    TransactionAlreadyStarted,
    TransactionClosed,
    TransactionNotStarted,
)
from ff_storage.core.program import Program, Row
from ff_storage.core.tables import check_identifier

if TYPE_CHECKING:
    from ff_storage.core.database.pool import Pool
    from ff_storage.core.sql.dialect import Dialect

T = TypeVar("T")

_LEVELS: Final = [*IsolationLevel]


class Transaction(Executor):
    """All that is done through it is committed when its block ends, or nothing is.

    `isolation` is the least that it must have; without one, the engine's default. `readonly=True` refuses writes. Also
    made by `pool.transaction()`. It is an executor: pass it wherever a pool is taken, or as `connection=`. Instead of a
    pool it takes a transaction, of which it is then a savepoint, or a connection that was acquired, and whose
    transaction is open on it as one of its own.
    """

    def __init__(
        self, db_pool: Pool | Transaction | Lease, isolation: IsolationLevel | None = None, readonly: bool = False
    ) -> None:
        self.pool: Pool = db_pool.pool if isinstance(db_pool, Transaction | Lease) else db_pool
        self._within = db_pool if isinstance(db_pool, Transaction) else None
        self._borrowed = db_pool if isinstance(db_pool, Lease) else None
        self.outer: Transaction | Detached | None = None
        self.task: asyncio.Task[Any] | None = None
        self._isolation = _level(isolation)
        self._readonly = readonly
        self._work: Work | None = None
        self._level: Level | None = None
        self._ended = False

    def __repr__(self) -> str:
        state = "ended" if self._ended else "active" if self._work else "not started"
        return f"<Transaction of {self.pool!r}, {state}>"

    # --- its block ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._work is not None:
            raise TransactionAlreadyStarted("a transaction is entered once", remedy="make another")
        work = self._around()
        if work is not None:
            self._check_joined(work)
            level = await work.push()
        else:
            lease = self._borrowed or await self.pool.lease()
            work = Work(lease, self._isolation, readonly=self._readonly)
            try:
                await work.begin()
            except BaseException as error:
                self._give_back(lease, error)
                raise
            level = work.levels[0]
            lease.work = work
        self._work, self._level = work, level
        self.task = asyncio.current_task()
        self.outer = enter(self)
        return self

    def _around(self) -> Work | None:
        """What is open where this is to begin."""
        if self._borrowed is None:
            outer = self._within or ambient(self.pool)
            return outer._started() if outer is not None else None
        if self._borrowed.work is None and self._borrowed.member.connection.in_transaction:
            raise TransactionAlreadyStarted(
                "a transaction is open on this connection",
                found="one of raw SQL, or of a stream",
                remedy="end it first",
            )
        return self._borrowed.work

    def _check_joined(self, work: Work) -> None:
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
        leave(self)
        if level is None:
            return
        if level.name:
            await work.leave(level, error)
            return
        try:
            if error is None:
                await work.commit()
            elif isinstance(error, Exception):
                await work.rollback()
        except BaseException as failure:
            self._give_back(work.lease, failure)
            raise
        finally:
            work.lease.work = None
        self._give_back(work.lease, error)

    def _give_back(self, lease: Lease, error: BaseException | None) -> None:
        if self._borrowed is None:
            lease.give_back(error)
        elif error is not None and not isinstance(error, Exception):
            lease.abandon()

    def _started(self) -> Work:
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
    def has_connection(self) -> bool:
        """Whether its connection is still one of the pool's."""
        return self._work is not None and self.pool.has(self._work.lease.member)

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
        """Undo what was done and go on in a new transaction with the same settings, a doomed one too.

        While its task is being canceled there may be nothing to go on in. Then it just returns, so that
        `except BaseException: await tx.rollback(); raise` lets the cancellation through.
        """
        work, level = self._started(), self._level
        if level is not None and level.name:
            await work.pop(level, keep=False)
            if not work.is_over:
                self._level = await work.push()
        else:
            await work.rollback()
            if not work.is_over:
                await self._begin_again(work)

    async def _begin_again(self, work: Work) -> None:
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
        """Drive `program` within the transaction; with `atomic` in a savepoint, so that it leaves all or nothing.

        Without one, the caller who catches its error would commit the half of it that was done.
        """
        work = self._started()
        if not atomic:
            return await programs.run(program, Performer(work.call))
        program = programs.primed(program)
        async with self.savepoint():
            return await programs.run(program, Performer(work.call))

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
        self._work: Work | None = None
        self._level: Level | None = None

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
            await self._work.leave(self._level, error)

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

    def _open(self) -> tuple[Work, Level]:
        if self._work is None or self._level is None:
            raise SavepointError(f"the savepoint {self.name!r} is not set", remedy="async with tx.savepoint(): …")
        if self._level not in self._work.levels:
            raise SavepointAlreadyReleased(f"the savepoint {self.name!r} has ended")
        return self._work, self._level


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
