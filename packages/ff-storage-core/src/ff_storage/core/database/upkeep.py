"""What a pool does in tasks of its own: open connections, check, clean and close them.

No cancellation of a caller reaches this work, and a caller that is canceled meanwhile does not undo it. Whatever comes
of it is delivered through `_give`, or told to who waits through `_refuse`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from ff_storage.core.database.backoff import pauses
from ff_storage.core.database.connection import Connection
from ff_storage.core.database.lease import Member
from ff_storage.core.database.observed import ObservedConnection
from ff_storage.core.database.settings import PoolSettings
from ff_storage.core.errors import ConnectionFailure, ConnectionLost, DatabaseError
from ff_storage.core.observe import Observers

logger = logging.getLogger("ff_storage.database")


class Upkeep(ABC):
    """Opens, checks, cleans and closes the connections of a pool."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._members: set[Member] = set()
        # The tasks, by what they do. Canceled before it has begun, a task runs no code of its own, so the sets are also
        # kept by callbacks.
        self._opening: set[asyncio.Task[None]] = set()
        self._checking: set[asyncio.Task[None]] = set()
        self._cleaning: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._insists = True
        self._persistent = False
        """Whether an attempt to open a connection that failed is repeated: not while the pool is being opened."""
        self._failure: Exception | None = None
        """Why the last attempt to open a connection failed, until one succeeds."""
        self._opened: int = 0
        self._discarded: int = 0
        self._observers: Observers | None = None

    @abstractmethod
    async def _connect(self) -> Connection:
        """Open one connection. Canceled, it leaves none behind."""

    @abstractmethod
    def _give(self, member: Member) -> None:
        """Hand a clean connection to the next that waits, or keep it."""

    @abstractmethod
    def _discard(self, member: Member) -> None:
        """Close a connection for good, and open another if somebody waits."""

    @abstractmethod
    def _suspect(self, since: float) -> None:
        """Check what has been idle `since`, because another connection was found lost."""

    @abstractmethod
    def _refuse(self, error: Exception) -> None:
        """Tell the first that waits that no connection can be had."""

    @abstractmethod
    def _is_wanted(self) -> bool:
        """Whether somebody waits for a connection."""

    @abstractmethod
    def _is_open(self) -> bool:
        """Whether the pool takes new connections."""

    @abstractmethod
    def _note_drained(self) -> None:
        """Notice that nothing is left in a pool that is being closed."""

    async def settle(self) -> None:
        """Wait until the pool's own work is done: connecting, checking, and rolling back what was abandoned."""
        while tasks := self._tasks():
            await asyncio.wait(tasks)

    def _tasks(self) -> set[asyncio.Task[None]]:
        return self._opening | self._checking | self._cleaning | self._ending

    def _spawn(self, kind: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        # In a context of its own: whoever triggers it may be inside a transaction.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        kind.add(task)
        task.add_done_callback(functools.partial(self._has_ended, kind))

    def _has_ended(self, kind: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        kind.discard(task)
        self._note_drained()

    def _is_done(self, kind: set[asyncio.Task[None]]) -> None:
        """Count the running task no longer, before what it has done is acted upon."""
        task = asyncio.current_task()
        if task is not None:
            kind.discard(task)

    # --- opening -----------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Open a connection and deliver it; repeat what may succeed a little later while somebody waits."""
        pause = pauses()
        while True:
            try:
                async with asyncio.timeout(self._settings.connect_timeout):
                    connection = await self._connect()
                break
            except Exception as error:  # noqa: BLE001 - it belongs to who waits
                self._failure = failure = self._named(error)
            if not (self._persistent and isinstance(failure, ConnectionFailure) and failure.transient):
                self._is_done(self._opening)
                self._refuse(failure)
                return
            logger.info("a connection could not be opened, and is tried again while somebody waits: %s", failure)
            await asyncio.sleep(next(pause))
            if not self._is_wanted():
                # At once, and not when the task has ended: who comes in between would count on it.
                self._is_done(self._opening)
                return
        self._is_done(self._opening)
        self._failure = None
        if not self._is_open():
            connection.terminate()
            return
        self._opened += 1
        if self._observers is not None:
            connection = ObservedConnection(connection, self._observers)
        member = Member(connection)
        self._members.add(member)
        self._give(member)
        # From now on: with however short an age, it serves once.
        member.expires = self._expiry()

    def _expiry(self) -> float:
        # Spread, so that those opened together are not replaced together.
        age = self._settings.max_age
        return float("inf") if age is None else time.monotonic() + age * random.uniform(0.9, 1)  # noqa: S311 - as said

    def _named(self, error: Exception) -> Exception:
        if not isinstance(error, TimeoutError):
            return error
        timeout = self._settings.connect_timeout or 0.0
        failure = ConnectionFailure(
            f"no connection could be opened within {timeout:g} s",
            found="no answer",
            remedy="check host and port and what stands between, or raise connect_timeout",
        )
        failure.transient = True
        failure.__cause__ = error
        return failure

    # --- checking, cleaning, closing ---------------------------------------------------------------------------------

    async def _check(self, member: Member) -> None:
        """Deliver an idle connection if it is sound, else discard it."""
        since = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.reset_timeout):
                await member.connection.ping()
        except BaseException as error:  # noqa: BLE001 - raised again there, unless it is an ordinary one
            self._is_done(self._checking)
            self._reject(member, error, since)
            return
        self._is_done(self._checking)
        self._pass_on(member)

    async def _clean(self, member: Member) -> None:
        """Reset a connection and deliver it, or discard it."""
        since = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.reset_timeout):
                restored = await member.connection.reset(dirty=member.dirty)
        except BaseException as error:  # noqa: BLE001 - as above
            self._is_done(self._cleaning)
            self._reject(member, error, since)
            return
        self._is_done(self._cleaning)
        if restored:
            member.dirty = False
            self._pass_on(member)
        else:
            self._discard(member)

    def _pass_on(self, member: Member) -> None:
        # Its end may have arrived together with its last answer.
        if member.connection.is_closed or member.connection.is_disturbed:
            self._discard(member)
        else:
            self._give(member)

    def _reject(self, member: Member, error: BaseException, since: float) -> None:
        """Discard a connection of which nothing may be expected, an orderly end included."""
        member.connection.terminate()
        if isinstance(error, ConnectionLost):
            self._suspect(since)
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
