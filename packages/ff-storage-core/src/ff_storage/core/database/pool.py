"""The one pool, over any driver's connections."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

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
from ff_storage.core.database.replicas import Replicas
from ff_storage.core.database.session import Session, session_of
from ff_storage.core.database.settings import PoolSettings
from ff_storage.core.database.stock import NEW
from ff_storage.core.database.transaction import Transaction
from ff_storage.core.errors import (
    ConfigurationError,
    InvalidValueError,
    PoolError,
    SerializationFailure,
    TransactionAborted,
    TransactionError,
    nearest,
)
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

    _replicas: Replicas | None = None

    @classmethod
    def from_settings(cls, settings: PoolSettings, **options: Any) -> Self:
        """The pool of `settings` and further options: `PostgresPool.from_settings(PoolSettings.from_env())`."""
        given: dict[str, Any] = {**settings, **options}
        known = inspect.signature(cls).parameters
        if "pool_size" in given and "pool_size" not in known:
            given["max_size"] = given.pop("pool_size")
        if not any(each.kind is each.VAR_KEYWORD for each in known.values()):
            for name in given:
                if name not in known:
                    raise ConfigurationError(f"{cls.__name__} has no option {name!r}", remedy=nearest(name, known))
        return cls(**given)

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Run one compiled query and return every row, in driver values. The hot path: no frame too many.

        It is a query that writes nothing, for a replica may serve it.
        """
        if in_any() is not None and (transaction := ambient(self)) is not None:
            return await transaction.fetch(text, parameters)
        if self._replicas is not None and (found := await self._replicas.fetch(text, parameters)) is not None:
            return found
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
        """Run `function` on a connection.

        Raises TransactionError for raw SQL that began a transaction, which nobody could end: the next statement may
        get another connection.
        """
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
        finally:
            if raw is not None and self._replicas is not None:
                self.note_write()
        began = raw is not None and member.connection.in_transaction
        self.take_back(member)
        if began:
            raise TransactionError(
                "a statement began a transaction, which is rolled back",
                found="raw SQL",
                remedy="write async with pool.transaction() as tx: …",
            )
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
        finally:
            if self._replicas is not None:
                self.note_write()
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

    # --- replicas ----------------------------------------------------------------------------------------------------

    def serve_reads_from(self, replicas: Sequence[Pool]) -> None:
        """Have `replicas` serve compiled reads outside transactions; they are opened and closed with this pool.

        Call it before `connect()`. A part that offers replicas overrides `_position` and `_has_reached`.
        """
        if self._state != NEW:
            raise PoolError("replicas are named before the pool is connected")
        self._replicas = Replicas(self, replicas) if replicas else None

    def session(self) -> Session:
        """A block in which replicas serve no read that would miss what was written within: `with pool.session(): …`.

        Without replicas it does nothing. Outside a session, reads may be as old as the replicas are.
        """
        return Session(self)

    def note_write(self) -> None:
        """Tell the session of the calling context, if there is one, that something may have been written."""
        if self._replicas is not None and (session := session_of(self)) is not None:
            session.note_write()

    async def _position(self, connection: Connection) -> Any:
        """How far the primary has come, asked after a write on one of its connections.

        PostgreSQL: `SELECT pg_current_wal_insert_lsn()::text`, which holds for asynchronous commits too.
        """
        del connection
        return None

    async def _has_reached(self, connection: Connection, position: Any) -> bool:
        """Whether this replica has come as far as `position`, asked on one of its connections; False means not yet.

        PostgreSQL: `SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= $1::pg_lsn`.
        """
        del connection, position
        return False

    def _others(self) -> tuple[Pool, ...]:
        return self._replicas.pools if self._replicas is not None else ()

    async def _connect_others(self) -> None:
        if self._replicas is not None:
            await self._replicas.connect()

    # --- watching ----------------------------------------------------------------------------------------------------

    def observe(self, observer: Observer, *, parameters: bool = False) -> None:
        """Call `observer` with each statement that begins from now on, on whatever connection of the pool.

        It gets the bound values only with `parameters=True`. See `ff_storage.core.observe`.
        """
        observers = self._observers or Observers(self.dialect.name)
        observers.add(observer, parameters=parameters)
        for pool in self._others():
            pool.observe(observer, parameters=parameters)
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
