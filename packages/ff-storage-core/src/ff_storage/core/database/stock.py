"""The connections of a pool: how many there are, who has them, and what becomes of them.

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
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from types import TracebackType
from typing import Any, Final, Self

from ff_storage.core.database.connection import Connection
from ff_storage.core.database.deadlines import Deadlines
from ff_storage.core.database.lease import Member
from ff_storage.core.database.observed import ObservedConnection
from ff_storage.core.database.settings import PoolSettings, PoolStatistics
from ff_storage.core.errors import (
    ConnectionFailure,
    DatabaseError,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    WrongLoopError,
)
from ff_storage.core.observe import Observers

logger = logging.getLogger("ff_storage.database")

_NEW: Final = "not connected"
_OPEN: Final = "open"
_CLOSING: Final = "closing"
_CLOSED: Final = "closed"


class Stock(ABC):
    """Opens connections, gives them out, takes them back, cleans and discards them; for one event loop."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._state = _NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._members: set[Member] = set()
        self._idle: list[Member] = []
        self._waiting: deque[asyncio.Future[Member]] = deque()
        # The pool's own tasks, by what they do. Canceled before it has begun, a task runs no code of its own, so the
        # sets are also kept by callbacks.
        self._opening: set[asyncio.Task[None]] = set()
        self._checking: set[asyncio.Task[None]] = set()
        self._cleaning: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self.deadlines: Deadlines | None = None
        self._observers: Observers | None = None
        self._closed: asyncio.Future[None] | None = None
        self._aging = settings.check_after is not None or settings.max_age is not None
        self._opened = self._discarded = self._timeouts = 0

    @abstractmethod
    async def _connect(self) -> Connection:
        """Open one connection. Canceled, it leaves none behind."""

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
        while tasks := self._tasks():
            await asyncio.wait(tasks)

    def stats(self) -> PoolStatistics:
        """The pool at this moment."""
        return PoolStatistics(
            size=len(self._members) + len(self._opening),
            idle=len(self._idle),
            used=len(self._members) - len(self._idle) - len(self._checking) - len(self._cleaning),
            waiting=sum(not future.done() for future in self._waiting),
            max_size=self._settings.max_size,
            opened=self._opened,
            discarded=self._discarded,
            timeouts=self._timeouts,
        )

    # --- taking ------------------------------------------------------------------------------------------------------

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
            self._spawn(self._cleaning, self._clean(member))
        elif member.dirty or connection.in_transaction:
            self._spawn(self._cleaning, self._clean(member))
        else:
            self._give(member)

    def _give(self, member: Member) -> None:
        """Hand a clean connection to the next that waits, or keep it: the one place that does."""
        if member not in self._members:  # the pool was closed under it, and perhaps opened again
            self._discard(member)
            return
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
        while len(self._opening) + len(self._checking) < len(self._waiting):
            if self._idle:
                self._spawn(self._checking, self._check(self._idle.pop()))
            elif len(self._members) + len(self._opening) < self._settings.max_size:
                self._spawn(self._opening, self._open())
            else:
                return

    def _discard(self, member: Member) -> None:
        """Close a connection for good, and open another if somebody waits."""
        connection = member.connection
        if member in self._members:
            self._members.remove(member)
            self._discarded += 1
        if not connection.is_closed:
            self._spawn(self._ending, self._close(connection))
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
            for task in self._tasks():
                task.cancel()
            if self._closed is not None and not self._closed.done():
                self._closed.set_result(None)

    # --- the pool's own tasks ----------------------------------------------------------------------------------------

    def _spawn(self, kind: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        # In a context of its own: whoever triggers it may be inside a transaction.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        kind.add(task)
        task.add_done_callback(kind.discard)

    def _tasks(self) -> set[asyncio.Task[None]]:
        return self._opening | self._checking | self._cleaning | self._ending

    def _is_done(self, kind: set[asyncio.Task[None]]) -> None:
        """Count the running task no longer, before what it has done is acted upon."""
        task = asyncio.current_task()
        if task is not None:
            kind.discard(task)

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                connection = await self._connect()
        except Exception as error:  # noqa: BLE001 - it belongs to who waits
            self._is_done(self._opening)
            self._fail(error)
            return
        self._is_done(self._opening)
        if self._state == _CLOSED:
            connection.terminate()
            return
        self._opened += 1
        if self._observers is not None:
            connection = ObservedConnection(connection, self._observers)
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
            self._is_done(self._checking)
            self._reject(member, error)
            return
        self._is_done(self._checking)
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
            self._is_done(self._cleaning)
            self._reject(member, error)
            return
        self._is_done(self._cleaning)
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
