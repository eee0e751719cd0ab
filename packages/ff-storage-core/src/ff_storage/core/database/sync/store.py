"""The connections of a synchronous database, shared by its threads.

A connection is with one caller at a time. Callers that find none free wait in the order in which they came, each for
its own wake-up; a connection that is given back goes straight to the first of them. Nothing runs in the background:
connections are opened, checked and replaced by the caller that needs one, so an error is raised where it happened.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ff_storage.core.database.settings import check_limit
from ff_storage.core.database.sync.connection import SyncConnection
from ff_storage.core.database.sync.observed import ObservedSyncConnection
from ff_storage.core.errors import (
    ConcurrentUseError,
    ConfigurationError,
    DatabaseError,
    PoolClosed,
    PoolTimeout,
    WrongLoopError,
)
from ff_storage.core.observe import Observers

logger = logging.getLogger("ff_storage.database")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The limits of a store; times in seconds, None for no limit.

    One connection is never waited for: who asks for it while it is in use has a bug. Several are brought back to their
    first state after raw SQL; a single one is its owner's to set up. A connection that was idle for `check_after` is
    checked before it is given out; one of several that is older than `max_age` is replaced.
    """

    size: int = 1
    acquire_timeout: float | None = 30.0
    check_after: float | None = 30.0
    max_age: float | None = 3600.0

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 1:
            raise ConfigurationError("pool_size must be an int of at least 1", found=ascii(self.size)[:60])
        for name in ("acquire_timeout", "check_after", "max_age"):
            check_limit(name, getattr(self, name))


def chosen_size(pool_size: int, max_size: int | None) -> int:
    """The size that is meant: `max_size` is what pools, and `PoolSettings`, call it. Raises ConfigurationError."""
    if max_size is None:
        return pool_size
    if pool_size != 1:
        raise ConfigurationError("pool_size and max_size are one limit under two names", remedy="pass one of them")
    return max_size


class Member:
    """A connection of a store; times in seconds of the monotonic clock.

    `dirty`: raw SQL may have changed its session.
    """

    __slots__ = ("born", "connection", "dirty", "idle_since")

    def __init__(self, connection: SyncConnection) -> None:
        self.connection: SyncConnection = connection
        self.born = self.idle_since = time.monotonic()
        self.dirty = False


class _Waiter:
    """A caller that waits, and what it is given: a connection, or with None the place for a new one."""

    __slots__ = ("event", "member", "served")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.member: Member | None = None
        self.served = False


class Store:
    """Up to `settings.size` connections, made by `connect`. It is opened once, and closed once."""

    def __init__(self, connect: Callable[[], SyncConnection], settings: StoreSettings) -> None:
        self.settings: Final = settings
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[Member] = []
        self._waiting: deque[_Waiter] = deque()
        self._places = settings.size
        self._process = os.getpid()
        self.is_open = True
        self.observers: Observers | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether this process was forked from the one that opened it."""
        return self._process != os.getpid()

    @property
    def count(self) -> int:
        """The connections that are open, or being opened."""
        return self.settings.size - self._places

    # --- taking ------------------------------------------------------------------------------------------------------

    def take(self) -> Member:
        """A connection for the caller alone; `give` must follow.

        Raises PoolTimeout, ConcurrentUseError for an only connection that is in use, PoolClosed, WrongLoopError in a
        forked process, and what the driver says of opening one.
        """
        self.check_process()
        waiter = member = None
        with self._lock:
            if not self.is_open:
                raise _closed()
            if self._idle:
                member = self._idle.pop()
            elif self._places:
                self._places -= 1
            elif self.settings.size == 1:
                raise ConcurrentUseError(
                    "this database has one connection, and it is in use",
                    found="another thread, or a call within a call",
                    remedy="give each thread its own object, or pass pool_size=…",
                )
            else:
                waiter = _Waiter()
                self._waiting.append(waiter)
        if waiter is not None:
            member = self._wait(waiter)
        member = self._checked(member)
        if self.observers is not None and not isinstance(member.connection, ObservedSyncConnection):
            member.connection = ObservedSyncConnection(member.connection, self.observers)
        return member

    def check_process(self) -> None:
        """Raise WrongLoopError in a process that was forked from the one that connected."""
        if self.is_foreign:
            raise WrongLoopError(
                "a connection belongs to the process that opened it",
                found="a process that was forked from it",
                remedy="connect after the fork",
            )

    def _wait(self, waiter: _Waiter) -> Member | None:
        limit = self.settings.acquire_timeout
        try:
            waiter.event.wait(limit)
        except BaseException:  # KeyboardInterrupt: what was handed over meanwhile goes to the next one
            if self._withdraw(waiter):
                self._put(waiter.member)
            raise
        if self._withdraw(waiter):
            return waiter.member
        if not self.is_open:
            raise _closed()
        raise PoolTimeout(
            f"no connection became free within {limit:g} s",
            found=f"{self.settings.size} in use",
            remedy="raise pool_size or acquire_timeout, or hold connections for less time",
        )

    def _withdraw(self, waiter: _Waiter) -> bool:
        """Stop waiting; whether it was served before."""
        with self._lock:
            if not waiter.served and waiter in self._waiting:
                self._waiting.remove(waiter)
            return waiter.served

    def _checked(self, member: Member | None) -> Member:
        """A sound connection: this one, or a new one in its place."""
        try:
            if member is not None and not self._is_fit(member):
                member.connection.close()
                member = None
            return member or Member(self._connect())
        except BaseException:
            if member is not None:
                member.connection.close()
            self._put(None)
            raise

    def _is_fit(self, member: Member) -> bool:
        now, settings = time.monotonic(), self.settings
        if member.connection.is_closed:
            return False
        if settings.size > 1 and settings.max_age is not None and now - member.born > settings.max_age:
            return False
        if settings.check_after is not None and now - member.idle_since > settings.check_after:
            try:
                member.connection.ping()
            except DatabaseError as error:
                if member.dirty:  # what its owner has set up would be gone without a word
                    raise
                logger.info("an idle connection is replaced: %s", error)
                return False
        return True

    # --- giving back -------------------------------------------------------------------------------------------------

    def give(self, member: Member, *, sound: bool = True) -> None:
        """Take a connection back; it never raises a DatabaseError. `sound`: the last statement has surely ended."""
        if self.is_foreign:
            self._idle.append(member)  # nobody gets it, and it is not collected: that could close it
            return
        if self._is_restored(member, sound=sound):
            member.idle_since = time.monotonic()
            self._put(member)
        else:
            member.connection.close()
            self._put(None)

    def _is_restored(self, member: Member, *, sound: bool) -> bool:
        connection = member.connection
        if connection.is_closed:
            return False
        dirty = member.dirty and self.settings.size > 1
        if sound and not dirty and not connection.in_transaction:
            return True
        try:
            restored = connection.reset(dirty=dirty)
        except DatabaseError as error:
            logger.warning("a connection could not be reset, and is discarded: %s", error)
            return False
        member.dirty = member.dirty and not dirty
        return restored

    def _put(self, member: Member | None) -> None:
        """Give a connection, or the place for one, to whom has waited longest, else keep it."""
        with self._lock:
            if self.is_open and self._waiting:
                waiter = self._waiting.popleft()
                waiter.member, waiter.served = member, True
                waiter.event.set()
                return
            if member is not None and self.is_open:
                self._idle.append(member)
                return
            self._places += 1
        if member is not None:
            member.connection.close()

    def close(self) -> None:
        """Close the idle connections now, and those in use when they are given back; a forked process closes none."""
        if self.is_foreign:
            self.is_open = False
            return
        with self._lock:
            self.is_open = False
            idle, self._idle = self._idle, []
            waiting, self._waiting = self._waiting, deque()
            self._places += len(idle)
        for waiter in waiting:
            waiter.event.set()
        for member in idle:
            member.connection.close()


def _closed() -> PoolClosed:
    return PoolClosed("the database was closed", remedy="call connect() again, or write: with … as db")
