"""The connections of a pool: who has them, who waits for one, and what becomes of them.

Its rules, each of which some well-known pool breaks:

* At most `max_size` connections; callers that wait are served in their order, within a deadline.
* Taking a free connection is synchronous. Otherwise a caller awaits exactly one future; connecting, checking and
  cleaning run in tasks of the pool's own (`upkeep`), and all of them deliver through `_give`.
* Giving back is synchronous. A connection that is not surely clean (its caller was canceled, raw SQL may have changed
  its session, a transaction is open) goes to the cleaner; nobody else meets it before it is reset or replaced.
* An idle connection is given out only if nothing speaks against it: it is not closed, and if it rested for longer than
  a moment, nothing has arrived on it, and it is not due for a check or for replacement.
* When one connection is found lost, those that were idle then are checked before anybody meets them, so that a server
  that restarts is noticed once.
* A caller that is canceled after a connection was handed to it puts it back.
* Whenever a connection is discarded, another is opened if somebody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from time import monotonic
from typing import Any, Final

from ff_storage.core.database.lease import MOMENT, Member
from ff_storage.core.database.patience import Patience
from ff_storage.core.database.settings import PoolSettings, PoolStatistics
from ff_storage.core.database.upkeep import Upkeep
from ff_storage.core.errors import ConnectionLost, DatabaseError, PoolClosed, PoolFull, PoolTimeout, WrongLoopError

logger = logging.getLogger("ff_storage.database")

NEW: Final = "not connected"
OPEN: Final = "open"
CLOSING: Final = "closing"
CLOSED: Final = "closed"
FORKED: Final = "open in the parent process"

GONE: Final = float("-inf")
"""As the time at which a connection expires: it is closed as soon as it is given back."""


class Stock(Upkeep):
    """Gives connections out, takes them back, and discards them; for one event loop."""

    _state = NEW  # of the class too: a report of an error shows a pool whose arguments were refused

    def __init__(self, settings: PoolSettings) -> None:
        super().__init__(settings)
        self._state = NEW
        self._idle: list[Member] = []
        self._waiting: deque[asyncio.Future[Member]] = deque()
        self._closed: asyncio.Future[None] | None = None
        self._patience: Patience | None = None
        self._timeouts = self._reruns = 0
        self._moment = MOMENT if settings.check_after is None else min(MOMENT, settings.check_after)

    @property
    def state(self) -> str:
        """`not connected`, `open`, `closing`, `closed`, or, in a forked process, `open in the parent process`."""
        return self._state

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
            reruns=self._reruns,
        )

    def has(self, member: Member) -> bool:
        """Whether a connection is one of the pool's."""
        return member in self._members

    # --- taking ------------------------------------------------------------------------------------------------------

    def _take(self) -> Member | None:
        """A free connection against which nothing speaks, if there is one."""
        if asyncio.get_running_loop() is not self._loop:
            self.check_loop()
        if not self._idle:
            return None
        member = self._idle[-1]
        if monotonic() - member.idle_since > self._moment or member.connection.is_closed:
            return self._take_rested()
        return self._idle.pop()

    def _take_rested(self) -> Member | None:
        """The same, where the connection that was used last is not quite fresh."""
        now = monotonic()
        check_after = self._settings.check_after
        while self._idle:
            member = self._idle[-1]
            if not member.connection.is_closed:
                if (
                    member.connection.is_disturbed
                    or now > member.expires
                    or (check_after is not None and now - member.idle_since > check_after)
                ):
                    return None  # `_fill` sees to it
                return self._idle.pop()
            self._idle.pop()
            self._discard(member)
        return None

    def check_loop(self) -> None:
        """Raise unless the pool can be used here: PoolClosed, WrongLoopError."""
        if self._state == FORKED:
            raise WrongLoopError(
                "this pool belongs to another process",
                found="it was open when this one was forked",
                remedy="open a pool in each process, after it was forked",
            )
        if self._loop is None or self._state == CLOSED:
            raise self._refusal()
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoopError(
                "this pool belongs to another event loop",
                found="a closed one" if self._loop.is_closed() else "one that is not running here",
                remedy="open a pool in each loop and each process, and disconnect it before its loop ends",
            )

    def _is_here(self) -> bool:
        """Whether the running event loop is the pool's."""
        with contextlib.suppress(RuntimeError):  # none is running
            return asyncio.get_running_loop() is self._loop
        return False

    def interrupt(self, member: Member) -> None:
        """Stop what runs on a connection, if it is still this loop's and process's to stop."""
        if self._is_here():
            member.connection.cancel()

    def _refusal(self) -> PoolClosed:
        return PoolClosed(f"the pool is {self._state}", remedy="use it inside `async with pool:`, or await connect()")

    async def _wait(self, patience: float | None) -> Member:
        """A connection as soon as there is one for this caller: the one future that is awaited."""
        if self._state != OPEN or self._loop is None:
            raise self._refusal()
        limit = self._settings.max_waiting
        if limit is not None and len(self._waiting) >= limit:
            raise PoolFull(f"{limit} callers wait for a connection already", found=self._counts())
        future: asyncio.Future[Member] = self._loop.create_future()
        self._waiting.append(future)
        timer = None
        if patience is not None:
            if patience != self._settings.acquire_timeout:
                timer = self._loop.call_later(patience, self._expire, future, patience, asyncio.current_task())
            else:
                if self._patience is None:
                    self._patience = Patience(patience, self._loop, self._expire)
                self._patience.watch(future)
        self._fill()
        try:
            return await future
        except BaseException:
            with contextlib.suppress(ValueError):  # handed over, or refused; who is served is in the queue no more
                self._waiting.remove(future)
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give(future.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _expire(self, future: asyncio.Future[Member], patience: float, task: asyncio.Task[Any] | None) -> None:
        if future.done():
            return
        self._timeouts += 1
        failure = self._failure if self._opening else None
        if failure is not None:
            error = PoolTimeout(
                f"no connection could be opened within {patience:g} s",
                found=f"{self._counts()}; the last attempt failed: {_short(failure)}",
                remedy="see whether the server runs and has connections left",
            )
            error.__cause__ = failure
        else:
            own = sum(member.owner is task for member in self._members) if task is not None else 0
            error = PoolTimeout(
                f"no connection became free within {patience:g} s",
                found=f"{self._counts()}, {own} of them held by this task itself" if own else self._counts(),
                remedy="do not wait for a second connection while holding the first: pass it on as connection=…"
                if own
                else "raise max_size or acquire_timeout, or hold connections for less time",
            )
        future.set_exception(error)

    def _counts(self) -> str:
        stats = self.stats()
        return (
            f"{stats.used} of {stats.max_size} connections in use, {stats.idle} idle, {stats.waiting} callers waiting"
        )

    # --- giving ------------------------------------------------------------------------------------------------------

    def take_back(self, member: Member, error: BaseException | None = None, *, clean: bool = True) -> None:
        """Take a connection from whoever held it.

        `error` is what its last statement raised; it is not `clean` when that may not have ended.
        """
        connection = member.connection
        if not clean and not self._is_here():
            return  # a coroutine that is destroyed after its loop, or in a forked process, may touch nothing
        if member not in self._members:
            return  # the pool was closed under it
        if connection.is_closed or isinstance(error, ConnectionLost):
            connection.terminate()
            self._suspect(monotonic())
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
        now = monotonic()
        if now > member.expires:  # it grew old, or the pool was closed meanwhile
            self._discard(member)
            return
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(member)
                return
        member.idle_since = now
        self._idle.append(member)

    def _fill(self) -> None:
        """Start what brings a connection to each that waits: a check of an idle one, or a new one."""
        while len(self._opening) + len(self._checking) < len(self._waiting):
            if self._idle:
                member = self._idle.pop()
                if member.connection.is_closed or monotonic() > member.expires:
                    self._drop(member)
                else:
                    self._spawn(self._checking, self._check(member))
            elif len(self._members) + len(self._opening) < self._settings.max_size:
                self._spawn(self._opening, self._open())
            else:
                return

    def _suspect(self, since: float) -> None:
        suspects = [member for member in self._idle if member.idle_since <= since]
        if suspects:
            self._idle = [member for member in self._idle if member.idle_since > since]
            for member in suspects:
                self._spawn(self._checking, self._check(member))

    def _discard(self, member: Member) -> None:
        self._drop(member)
        if self._state == OPEN:
            self._fill()
        self._note_drained()

    def _drop(self, member: Member) -> None:
        """Close a connection, in a task of the pool's own."""
        if member in self._members:
            self._members.remove(member)
            self._discarded += 1
        if not member.connection.is_closed:
            self._spawn(self._ending, self._close(member.connection))

    def _refuse(self, error: Exception) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
                break
        else:
            logger.warning("a connection could not be opened: %s", error)
        if self._state == OPEN:
            self._fill()
        self._note_drained()

    def _is_wanted(self) -> bool:
        return self._state == OPEN and any(not future.done() for future in self._waiting)

    def _is_open(self) -> bool:
        return self._state == OPEN

    def _note_drained(self) -> None:
        closed = self._closed
        if self._state == CLOSING and not self._members and not self._opening and closed and not closed.done():
            closed.set_result(None)


def _short(error: Exception) -> str:
    """An error of ours without its code and remedy, in a sentence about another."""
    if isinstance(error, DatabaseError):
        return f"{error.message}: {error.found}" if error.found else error.message
    return str(error)
