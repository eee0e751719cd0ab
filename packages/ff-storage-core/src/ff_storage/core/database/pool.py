"""The one pool, over any driver's connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from ff_storage.core import program as programs
from ff_storage.core.database.ambient import ambient, detached, in_any
from ff_storage.core.database.backoff import pauses
from ff_storage.core.database.connection import Connection, IsolationLevel
from ff_storage.core.database.executor import Executor
from ff_storage.core.database.health import HealthChecker, HealthCheckResult
from ff_storage.core.database.lease import Direct, Lease, has_ended
from ff_storage.core.database.life import Life
from ff_storage.core.database.misuse import SyncMisuse
from ff_storage.core.database.observed import ObservedConnection
from ff_storage.core.database.transaction import Transaction
from ff_storage.core.errors import InvalidValueError, PoolError, SerializationFailure, TransactionAborted
from ff_storage.core.observe import Observer, Observers
from ff_storage.core.program import Program, Row

T = TypeVar("T")


class Pool(Life, SyncMisuse, Executor):
    """Connections to one database, shared by the tasks of one event loop.

    A part subclasses it and gives `_connect`, `bind` and `dialect`. Use it as `async with pool:`, or call `connect()`
    and `disconnect()`.
    """

    default_isolation: ClassVar[IsolationLevel]
    """What the engine gives a transaction that asks for nothing."""

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Run one compiled statement and return every row, in driver values. The hot path: no frame too many."""
        if in_any() is not None and (transaction := ambient(self)) is not None:
            return await transaction.fetch(text, parameters)
        member = self._take() or await self._wait(self._settings.acquire_timeout)
        try:
            statement = member.connection.fetch(text, parameters)
            rows = await (statement if self.deadlines is None else self.deadlines.run(statement))
        except BaseException as error:
            self.take_back(member, error, clean=has_ended(error))
            raise
        self._give(member)
        return rows

    async def call(self, function: Callable[[Connection], Awaitable[T]], raw: str | None = None) -> T:
        """Run `function` on a connection."""
        if in_any() is not None and (transaction := ambient(self)) is not None:
            return await transaction.call(function, raw)
        member = self._take() or await self._wait(self._settings.acquire_timeout)
        if raw is not None and not member.connection.keeps_session(raw):
            member.dirty = True
        try:
            statement = function(member.connection)
            result = await (statement if self.deadlines is None else self.deadlines.run(statement))
        except BaseException as error:
            self.take_back(member, error, clean=has_ended(error))
            raise
        self.take_back(member)
        return result

    async def run(self, program: Program[T], *, atomic: bool = False) -> T:
        """Drive `program` on one connection; with `atomic` in a transaction (within one: in a savepoint)."""
        if in_any() is not None and (transaction := ambient(self)) is not None:
            return await transaction.run(program, atomic=atomic)
        if atomic:
            program = programs.primed(program)
            async with self.transaction() as transaction:
                return await transaction.run(program)
        member = self._take() or await self._wait(self._settings.acquire_timeout)
        executor = Direct(member.connection, self.deadlines)
        try:
            result = await programs.run(program, executor)
        except BaseException as error:
            self.take_back(member, error, clean=has_ended(error) and not executor.broken)
            raise
        self.take_back(member, clean=not executor.broken)
        return result

    def acquire(self, timeout: float | None = None) -> Acquisition:
        """One connection for the block, as an executor: `async with pool.acquire() as connection`.

        `timeout` in seconds bounds the wait, in place of the pool's. Within a transaction it is that.
        """
        return Acquisition(self, timeout)

    def transaction(self, isolation: IsolationLevel | None = None, readonly: bool = False) -> Transaction:
        """A transaction: `async with pool.transaction() as tx`."""
        return Transaction(self, isolation, readonly)

    async def run_in_transaction(
        self,
        function: Callable[[Transaction], Awaitable[T]],
        *,
        isolation: IsolationLevel | None = None,
        readonly: bool = False,
        retries: int = 3,
    ) -> T:
        """What `function(tx)` returns, run in a transaction, and run again from the start if another was in its way.

        It is repeated up to `retries` times on SerializationFailure only, deadlocks included, after a random pause,
        each time in a new transaction; then the last error is raised. So it should do nothing but database work. Within
        an open transaction of the same pool it joins that, as a savepoint, and is not repeated: what the engine undoes
        is the whole, so `run_in_transaction` belongs around the whole.
        """
        if type(retries) is not int or retries < 0:
            raise InvalidValueError("retries is a number of times, 0 or more", found=ascii(retries)[:60])
        left = retries if in_any() is None or ambient(self) is None else 0
        pause = pauses()
        while True:
            try:
                async with self.transaction(isolation, readonly) as transaction:
                    return await function(transaction)
            except (SerializationFailure, TransactionAborted) as error:
                swallowed = isinstance(error, TransactionAborted) and isinstance(error.__cause__, SerializationFailure)
                if left == 0 or not (swallowed or isinstance(error, SerializationFailure)):
                    raise
            left -= 1
            self._reruns += 1
            await asyncio.sleep(next(pause))

    def detached(self) -> contextlib.AbstractContextManager[None]:
        """A block whose calls join no transaction opened outside it: `with pool.detached(): …`."""
        return detached(self)

    def observe(self, observer: Observer, *, parameters: bool = False) -> None:
        """Call `observer` with each statement that begins from now on, on whatever connection of the pool.

        It gets the bound values only with `parameters=True`. See `ff_storage.core.observe`.
        """
        observers = self._observers or Observers(self.dialect.name)
        observers.add(observer, parameters=parameters)
        if self._observers is None:
            self._observers = observers
            for member in self._members:
                member.connection = ObservedConnection(member.connection, observers)

    async def check_health(self) -> HealthCheckResult:
        """Whether the database answers, within 5 seconds, and whether connections suffice; never raises an error."""
        return await HealthChecker().check_database_pool(self)

    async def lease(self, patience: float | None = None) -> Lease:
        """A connection to hold for more than one statement; `give_back` must follow."""
        member = self._take() or await self._wait(self._settings.acquire_timeout if patience is None else patience)
        member.owner = asyncio.current_task()
        return Lease(self, member)


class Acquisition:
    """The block of `pool.acquire()`."""

    __slots__ = ("_lease", "_pool", "_timeout")

    def __init__(self, pool: Pool, timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._lease: Lease | None = None

    async def __aenter__(self) -> Lease | Transaction:
        if in_any() is not None and (transaction := ambient(self._pool)) is not None:
            return transaction
        if self._lease is not None:
            raise PoolError("an acquisition is entered once", remedy="call pool.acquire() again")
        self._lease = await self._pool.lease(self._timeout)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lease is not None:
            self._lease.give_back(error)
