"""The life of a pool: opening, closing, and the event loop and process to which it belongs."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from ff_storage.core.database.deadlines import Deadlines
from ff_storage.core.database.lease import Member
from ff_storage.core.database.settings import PoolSettings
from ff_storage.core.database.stock import CLOSED, CLOSING, FORKED, GONE, NEW, OPEN, Stock
from ff_storage.core.errors import PoolClosed

logger = logging.getLogger("ff_storage.database")


class Life(Stock):
    """Opens a pool and closes it."""

    def __init__(self, settings: PoolSettings) -> None:
        super().__init__(settings)
        self.deadlines: Deadlines | None = None
        self._trimming: asyncio.TimerHandle | None = None
        self._connected: asyncio.Future[None] | None = None
        """The end, one way or the other, of the `connect()` that is running."""
        _pools.add(self)

    async def connect(self) -> None:
        """Open the pool with `min_size` connections, unless it is open. Raises ConnectionFailure and its kin.

        The first failure is raised at once. Once open, the pool repeats what may succeed a little later for as long as
        callers wait; with `min_size=0` it is open at once, whether or not there is a server yet. A replica that cannot
        be reached is logged, and tried again later.
        """
        while self._state in (OPEN, FORKED):
            self.check_loop()
            if self._connected is None:
                return
            await asyncio.shield(self._connected)
        if self._state == CLOSING:
            raise PoolClosed("the pool is closing", remedy="wait for disconnect() to return")
        self._loop = asyncio.get_running_loop()
        self._closed = self._loop.create_future()
        self._connected = connected = self._loop.create_future()
        self._state = OPEN
        self._persistent = False
        self._patience = None
        if self._settings.query_timeout is not None:
            self.deadlines = Deadlines(self._settings.query_timeout)
        first: list[asyncio.Future[Member]] = []
        try:
            for _ in range(self._settings.min_size):
                first.append(self._loop.create_future())
                self._waiting.append(first[-1])
            self._fill()
            members = [await future for future in first]
            await self._connect_others()
        except BaseException:
            for future in first:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # seen: only one of them can be raised
            self._terminate()
            raise
        finally:
            self._connected = None
            connected.set_result(None)
        self._persistent = self._insists
        # Given back in one go, or the first would serve all of those that wait.
        for member in members:
            self._give(member)
        self._trim()

    async def disconnect(self, timeout: float | None = 10.0) -> None:  # noqa: ASYNC109 - the published name
        """Close the pool: who waits is refused, who works has `timeout` seconds to finish; then it is cut off."""
        if self._state == FORKED:
            # Nothing of the parent's is touched; from here on the pool is this process's.
            self._state = NEW
            for pool in self._others():
                await pool.disconnect()
        if self._state in (NEW, CLOSED):
            return
        loop, closed = self._loop, self._closed
        if loop is None or closed is None:
            return
        if loop.is_closed():
            self._terminate()
            return
        self.check_loop()
        if self._state == OPEN:
            self._state = CLOSING
            self._stop_trimming()
            for future in self._waiting:
                if not future.done():
                    future.set_exception(self._refusal())
            self._waiting.clear()
            self._forget_idle(terminate=False)
            for task in self._opening:
                task.cancel()
            self._note_drained()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(closed)
                await self.settle()
                for pool in self._others():
                    await pool.disconnect(None)
        except TimeoutError:
            logger.warning("%d connections were still in use when the pool was closed", len(self._members))
            self._terminate()
        except BaseException:
            self._terminate()
            raise
        self._state = CLOSED

    def _others(self) -> Sequence[Life]:
        """The pools that live and end with this one."""
        return ()

    async def _connect_others(self) -> None:
        """Open them, those that can be opened."""

    async def settle(self) -> None:
        """Wait until the pool's own work is done: connecting, checking, and rolling back what was abandoned."""
        await super().settle()
        for pool in self._others():
            await pool.settle()

    def get_open_connections(self) -> int:
        """The number of open connections, idle and in use, to replicas too."""
        return len(self._members) + sum(pool.get_open_connections() for pool in self._others())

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

    def close_all_connections(self) -> None:
        """Close the idle connections now, and those in use when they are given back; the pool stays open.

        For a restart of the server, or a failover: the next caller gets a new connection. It is synchronous and may be
        called from anywhere: from another thread too, and after the event loop has ended. `disconnect()` closes the
        pool itself, and waits for who works.
        """
        for pool in self._others():
            pool.close_all_connections()
        loop = self._loop
        if loop is None or self._state not in (OPEN, CLOSING):
            return
        if self._is_here():
            self._close_all()
        elif loop.is_running():
            loop.call_soon_threadsafe(self._close_all)
        else:
            self._forget_idle(terminate=True)

    def _close_all(self) -> None:
        self._forget_idle(terminate=False)
        self._note_drained()

    def _forget_idle(self, *, terminate: bool) -> None:
        for member in self._members:
            member.expires = GONE
        idle, self._idle = self._idle, []
        for member in idle:
            if terminate:
                member.connection.terminate()
            self._drop(member)

    def _terminate(self) -> None:
        """Close everything at once, without waiting."""
        for pool in self._others():
            pool._terminate()
        if self._state == FORKED:
            return
        self._state = CLOSED
        self._stop_trimming()
        loop_is_open = self._loop is not None and not self._loop.is_closed()
        for future in self._waiting:
            if loop_is_open and not future.done():
                future.set_exception(self._refusal())
        self._waiting.clear()
        self._idle.clear()
        for member in [*self._members]:
            self._members.remove(member)
            self._discarded += 1
            member.expires = GONE
            member.connection.terminate()
        if loop_is_open:
            for task in self._tasks():
                task.cancel()
            if self._closed is not None and not self._closed.done():
                self._closed.set_result(None)

    # --- idle connections beyond the least ---------------------------------------------------------------------------

    def _trim(self) -> None:
        """Close what nobody has used for `max_idle`, down to `min_size`, and look again when the next is due."""
        limit = self._settings.max_idle
        if limit is None or self._loop is None or self._state != OPEN:
            return
        now = monotonic()
        while len(self._members) > self._settings.min_size and self._idle and now - self._idle[0].idle_since >= limit:
            self._drop(self._idle.pop(0))
        self._trimming = self._loop.call_later(max(limit / 2, 0.01), self._trim)

    def _stop_trimming(self) -> None:
        if self._trimming is not None:
            self._trimming.cancel()
            self._trimming = None

    # --- a forked process --------------------------------------------------------------------------------------------

    def _leave_to_parent(self) -> None:
        """Forget everything, in a child that was forked; what is forgotten is kept from being destroyed."""
        if self._state in (NEW, CLOSED):
            return
        _parents.append(dict(vars(self)))
        self._state = FORKED
        self._loop = self._closed = self._connected = self._trimming = self.deadlines = None
        self._members, self._idle = set(), []
        self._waiting = type(self._waiting)()
        self._opening, self._checking, self._cleaning, self._ending = set(), set(), set(), set()


# A registry of the process, which is otherwise not the way here: a fork is an event of the process, os offers a hook
# for all of it and none for one object, and it holds pools weakly.
_pools: weakref.WeakSet[Life] = weakref.WeakSet()

_parents: Final[list[dict[str, Any]]] = []
"""What a child has of its parent's pools: a destructor that ran would speak on the parent's sockets."""


def _leave_all_to_parent() -> None:
    for pool in [*_pools]:
        pool._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_to_parent)
