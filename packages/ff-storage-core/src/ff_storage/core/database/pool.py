"""The one pool, over any driver's connections.

Its rules, each of which some well-known pool breaks:

* At most `max_size` connections; callers that wait are served in their order, within a deadline.
* Taking a free connection is synchronous. Otherwise a caller awaits exactly one future; connecting, checking and
  cleaning run in tasks of the pool's own, so that no cancellation of a caller reaches them, and all of them deliver
  through `_give`.
* Giving back is synchronous. A connection that is not surely clean (its caller was canceled, raw SQL may have changed
  its session, a transaction is open) goes to the cleaner; nobody else meets it before it is reset or replaced.
* A caller that is canceled after a connection was handed to it puts it back.
* Whenever a connection is discarded, another is opened if somebody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, ClassVar, Final, Self, TypeVar

from ff_storage.core import program as programs
from ff_storage.core.database.connection import Connection, IsolationLevel
from ff_storage.core.database.deadlines import Deadlines
from ff_storage.core.database.executor import Executor
from ff_storage.core.database.lease import Lease, Member, Performer, has_ended
from ff_storage.core.database.transaction import Transaction, ambient, detached, in_any
from ff_storage.core.errors import (
    ConfigurationError,
    ConnectionFailure,
    DatabaseError,
    PoolClosed,
    PoolError,
    PoolFull,
    PoolTimeout,
    WrongLoopError,
)
from ff_storage.core.program import Program, Row

T = TypeVar("T")

logger = logging.getLogger("ff_storage.database")

_NEW: Final = "not connected"
_OPEN: Final = "open"
_CLOSING: Final = "closing"
_CLOSED: Final = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The limits of a pool; times in seconds, None for no limit.

    `acquire_timeout` bounds the wait for a connection, `max_waiting` the number of callers that wait,
    `connect_timeout` the opening of one connection, `query_timeout` each statement, `reset_timeout` the cleaning of a
    connection. One that was idle for `check_after` is checked before it is given out, one older than `max_age` is
    replaced.
    """

    min_size: int = 1
    max_size: int = 10
    acquire_timeout: float | None = 30.0
    max_waiting: int | None = None
    connect_timeout: float | None = 10.0
    query_timeout: float | None = None
    reset_timeout: float | None = 5.0
    check_after: float | None = 30.0
    max_age: float | None = 3600.0

    def __post_init__(self) -> None:
        if self.max_size < 1:
            raise ConfigurationError("max_size must be at least 1", found=repr(self.max_size))
        if not 0 <= self.min_size <= self.max_size:
            raise ConfigurationError("min_size must be between 0 and max_size", found=repr(self.min_size))
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value >= 0:
                raise ConfigurationError(f"{field.name} must not be negative", found=repr(value))


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool at one moment, and what happened since it was made.

    `size` connections exist: `idle`, `used` by callers, and the rest being opened, checked or cleaned; `waiting`
    callers have none yet.
    """

    size: int
    idle: int
    used: int
    waiting: int
    max_size: int
    opened: int
    discarded: int
    timeouts: int


class Pool(Executor):
    """Connections to one database, shared by the tasks of one event loop.

    A part subclasses it and gives `_connect`, `bind` and `dialect`. Use it as `async with pool:`, or call `connect()`
    and `disconnect()`.
    """

    default_isolation: ClassVar[IsolationLevel]
    """What the engine gives a transaction that asks for nothing."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._state = _NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._members: set[Member] = set()
        self._idle: list[Member] = []
        self._waiting: deque[asyncio.Future[Member]] = deque()
        self._opening = 0
        self._coming = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.deadlines: Deadlines | None = None
        self._closed: asyncio.Future[None] | None = None
        self._aging = settings.check_after is not None or settings.max_age is not None
        self._opened = self._discarded = self._timeouts = 0

    @abstractmethod
    async def _connect(self) -> Connection:
        """Open one connection. Canceled, it leaves none behind."""

    # --- statements --------------------------------------------------------------------------------------------------

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Run one compiled statement and return every row, in driver values. The hot path: no frame too many."""
        if in_any() is not None and (transaction := ambient(self)) is not None:
            return await transaction.fetch(text, parameters)
        member = self._take() or await self._wait(self._settings.acquire_timeout)
        try:
            statement = member.connection.fetch(text, parameters)
            rows = await (statement if self.deadlines is None else self.deadlines.run(statement))
        except BaseException as error:
            self.take_back(member, clean=has_ended(error))
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
            self.take_back(member, clean=has_ended(error))
            raise
        self.take_back(member)
        return result

    async def run(self, program: Program[T], *, atomic: bool = False) -> T:
        """Drive `program` on one connection; with `atomic` in a transaction (within one already: in that)."""
        if in_any() is not None and (transaction := ambient(self)) is not None:
            return await transaction.run(program)
        if atomic:
            program = programs.primed(program)
            async with self.transaction() as transaction:
                return await transaction.run(program)
        lease = await self.lease()
        try:
            result = await programs.run(program, Performer(lease.call))
        except BaseException as error:
            lease.give_back(error)
            raise
        lease.give_back()
        return result

    def acquire(self, timeout: float | None = None) -> Acquisition:
        """One connection for the block, as an executor: `async with pool.acquire() as connection`.

        `timeout` in seconds bounds the wait, in place of the pool's. Within a transaction it is that.
        """
        return Acquisition(self, timeout)

    def transaction(self, isolation: IsolationLevel | None = None, readonly: bool = False) -> Transaction:
        """A transaction: `async with pool.transaction() as tx`."""
        return Transaction(self, isolation, readonly)

    def detached(self) -> contextlib.AbstractContextManager[None]:
        """A block whose calls join no transaction opened outside it: `with pool.detached(): …`."""
        return detached(self)

    # --- its life ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """`not connected`, `open`, `closing` or `closed`."""
        return self._state

    async def connect(self) -> None:
        """Open the pool with `min_size` connections, unless it is open. Raises ConnectionFailure and its kin."""
        if self._state == _OPEN:
            self._check_loop()
            return
        if self._state == _CLOSING:
            raise PoolClosed("the pool is closing", remedy="wait for disconnect() to return")
        self._loop = asyncio.get_running_loop()
        self._closed = self._loop.create_future()
        self._state = _OPEN
        if self._settings.query_timeout is not None:
            self.deadlines = Deadlines(self._settings.query_timeout)
        first: list[asyncio.Future[Member]] = []
        try:
            for _ in range(self._settings.min_size):
                first.append(self._loop.create_future())
                self._waiting.append(first[-1])
            self._fill()
            members = [await future for future in first]
        except BaseException:
            for future in first:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # seen: only one of them can be raised
            self._terminate()
            raise
        # Given back in one go, or the first would serve all of those that wait.
        for member in members:
            self._give(member)

    async def disconnect(self, timeout: float | None = 10.0) -> None:  # noqa: ASYNC109 - the published name
        """Close the pool: who waits is refused, who works has `timeout` seconds to finish; then it is cut off."""
        if self._state in (_NEW, _CLOSED):
            return
        loop, closed = self._loop, self._closed
        if loop is None or closed is None:
            return
        if loop.is_closed():
            self._terminate()
            return
        self._check_loop()
        if self._state == _OPEN:
            self._state = _CLOSING
            for future in self._waiting:
                if not future.done():
                    future.set_exception(self._refusal())
            self._waiting.clear()
            for member in [*self._idle]:
                self._discard(member)
            self._idle.clear()
            self._note_drained()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(closed)
                await self.settle()
        except TimeoutError:
            logger.warning("%d connections were still in use when the pool was closed", len(self._members))
            self._terminate()
        except BaseException:
            self._terminate()
            raise
        self._state = _CLOSED

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            await self.disconnect()
        else:
            self._terminate()

    async def settle(self) -> None:
        """Wait until the pool's own work is done: connecting, checking, and rolling back what was abandoned."""
        while self._tasks:
            await asyncio.wait({*self._tasks})

    def stats(self) -> PoolStatistics:
        """The pool at this moment."""
        return PoolStatistics(
            size=len(self._members) + self._opening,
            idle=len(self._idle),
            used=len(self._members) - len(self._idle),
            waiting=sum(not future.done() for future in self._waiting),
            max_size=self._settings.max_size,
            opened=self._opened,
            discarded=self._discarded,
            timeouts=self._timeouts,
        )

    # --- taking ------------------------------------------------------------------------------------------------------

    async def lease(self, patience: float | None = None) -> Lease:
        """A connection to hold for more than one statement; `give_back` must follow."""
        member = self._take() or await self._wait(self._settings.acquire_timeout if patience is None else patience)
        member.owner = asyncio.current_task()
        return Lease(self, member)

    def _take(self) -> Member | None:
        """A free connection that needs no check, if there is one."""
        if asyncio.get_running_loop() is not self._loop:
            self._check_loop()
        if not self._idle or (self._aging and self._aged(self._idle[-1], time.monotonic())):
            return None
        return self._idle.pop()

    def _aged(self, member: Member, now: float) -> bool:
        check_after, max_age = self._settings.check_after, self._settings.max_age
        return (check_after is not None and now - member.idle_since > check_after) or (
            max_age is not None and now - member.born > max_age
        )

    def _check_loop(self) -> None:
        if self._loop is None or self._state == _CLOSED:
            raise self._refusal()
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoopError(
                "this pool belongs to another event loop",
                found="a closed one" if self._loop.is_closed() else "one that is not running here",
                remedy="open a pool in each loop and each process, and disconnect it before its loop ends",
            )

    def _refusal(self) -> PoolClosed:
        return PoolClosed(f"the pool is {self._state}", remedy="use it inside `async with pool:`, or await connect()")

    async def _wait(self, patience: float | None) -> Member:
        """A connection as soon as there is one for this caller: the one future that is awaited."""
        if self._state != _OPEN or self._loop is None:
            raise self._refusal()
        limit = self._settings.max_waiting
        if limit is not None and len(self._waiting) >= limit:
            raise PoolFull(f"{limit} callers wait for a connection already", found=self._counts())
        future: asyncio.Future[Member] = self._loop.create_future()
        self._waiting.append(future)
        timer = None
        if patience is not None:
            timer = self._loop.call_later(patience, self._expire, future, patience, asyncio.current_task())
        self._fill()
        try:
            return await future
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give(future.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()
            with contextlib.suppress(ValueError):  # served, or refused
                self._waiting.remove(future)

    def _expire(self, future: asyncio.Future[Member], patience: float, task: asyncio.Task[Any] | None) -> None:
        if not future.done():
            self._timeouts += 1
            own = sum(member.owner is task for member in self._members) if task is not None else 0
            future.set_exception(
                PoolTimeout(
                    f"no connection became free within {patience:g} s",
                    found=self._counts(),
                    remedy="this task holds one itself: pass it on as connection=…"
                    if own
                    else "raise max_size or acquire_timeout, or hold connections for less time",
                )
            )

    def _counts(self) -> str:
        stats = self.stats()
        return (
            f"{stats.used} of {stats.max_size} connections in use, {stats.idle} idle, {stats.waiting} callers waiting"
        )

    # --- giving ------------------------------------------------------------------------------------------------------

    def take_back(self, member: Member, *, clean: bool = True) -> None:
        """Take a connection from whoever held it; not `clean` when its last statement may not have ended."""
        connection = member.connection
        if member not in self._members or connection.is_closed:
            self._discard(member)
        elif not clean:
            connection.cancel()
            self._spawn(self._clean(member))
        elif member.dirty or connection.in_transaction:
            self._spawn(self._clean(member))
        else:
            self._give(member)

    def _give(self, member: Member) -> None:
        """Hand a clean connection to the next that waits, or keep it: the one place that does."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(member)
                return
        if self._state != _OPEN:
            self._discard(member)
            return
        if self._aging:
            member.idle_since = time.monotonic()
        self._idle.append(member)

    def _fill(self) -> None:
        """Start what brings a connection to each that waits: a check of an idle one, or a new one."""
        while self._coming < len(self._waiting):
            if self._idle:
                member = self._idle.pop()
                self._coming += 1
                self._spawn(self._check(member))
            elif len(self._members) + self._opening < self._settings.max_size:
                self._coming += 1
                self._opening += 1
                self._spawn(self._open())
            else:
                return

    def _discard(self, member: Member) -> None:
        """Close a connection for good, and open another if somebody waits."""
        connection = member.connection
        if member in self._members:
            self._members.remove(member)
            self._discarded += 1
        if not connection.is_closed:
            self._spawn(self._close(connection))
        if self._state == _OPEN:
            self._fill()
        self._note_drained()

    def _note_drained(self) -> None:
        closed = self._closed
        if self._state == _CLOSING and not self._members and not self._opening and closed and not closed.done():
            closed.set_result(None)

    def _terminate(self) -> None:
        """Close everything at once, without waiting."""
        self._state = _CLOSED
        loop_is_open = self._loop is not None and not self._loop.is_closed()
        for future in self._waiting:
            if loop_is_open and not future.done():
                future.set_exception(self._refusal())
        self._waiting.clear()
        self._idle.clear()
        for member in [*self._members]:
            self._members.remove(member)
            self._discarded += 1
            member.connection.terminate()
        if loop_is_open:
            for task in self._tasks:
                task.cancel()
            if self._closed is not None and not self._closed.done():
                self._closed.set_result(None)

    # --- the pool's own tasks ----------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # In a context of its own: whoever triggers it may be inside a transaction.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                connection = await self._connect()
        except BaseException as error:
            self._opening -= 1
            self._coming -= 1
            if isinstance(error, Exception):
                self._fail(error)
                return
            raise
        self._opening -= 1
        self._coming -= 1
        if self._state == _CLOSED:
            connection.terminate()
            return
        self._opened += 1
        member = Member(connection, time.monotonic())
        self._members.add(member)
        self._give(member)

    def _fail(self, error: Exception) -> None:
        """Tell the first that waits that no connection can be had."""
        if isinstance(error, TimeoutError):
            timeout = self._settings.connect_timeout
            failure: Exception = ConnectionFailure(f"no connection could be opened within {timeout:g} s")
            failure.__cause__ = error
            error = failure
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
                break
        else:
            logger.warning("a connection could not be opened: %s", error)
        if self._state == _OPEN:
            self._fill()
        self._note_drained()

    async def _check(self, member: Member) -> None:
        """Deliver an idle connection if it is sound and young, else discard it."""
        max_age = self._settings.max_age
        try:
            young = max_age is None or time.monotonic() - member.born <= max_age
            if young:
                async with asyncio.timeout(self._settings.connect_timeout):
                    await member.connection.ping()
        except BaseException as error:  # noqa: BLE001 - raised again there, unless it is an ordinary one
            self._coming -= 1
            self._reject(member, error)
            return
        self._coming -= 1
        if young and not member.connection.is_closed:
            self._give(member)
        else:
            self._discard(member)

    async def _clean(self, member: Member) -> None:
        """Reset a connection and deliver it, or discard it."""
        try:
            async with asyncio.timeout(self._settings.reset_timeout):
                restored = await member.connection.reset(dirty=member.dirty)
        except BaseException as error:  # noqa: BLE001 - as above
            self._reject(member, error)
            return
        if restored and not member.connection.is_closed:
            member.dirty = False
            self._give(member)
        else:
            self._discard(member)

    def _reject(self, member: Member, error: BaseException) -> None:
        """Discard a connection of which nothing may be expected, an orderly end included."""
        member.connection.terminate()
        self._discard(member)
        if not isinstance(error, Exception):
            raise error
        logger.info(
            "a connection is discarded: %s", error, exc_info=not isinstance(error, DatabaseError | TimeoutError)
        )

    async def _close(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(self._settings.reset_timeout):
                await connection.close()
        except (DatabaseError, TimeoutError) as error:
            logger.info("a connection could not be closed in order: %s", error)
            connection.terminate()


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
