"""Read-your-writes where replicas serve reads: `pool.session()` remembers what was written within it.

A replica replays the primary's writes a little later. Within a session, a read goes to a replica only once that has
replayed all that the session has written; until then the primary serves. Nothing is asked before the first write, nor
again of a replica that has come so far.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from ff_storage.core.database.pool import Pool


class Session:
    """The block of `pool.session()`; the tasks that are started in it share it.

    `with` and `async with` do the same: nothing is awaited.
    """

    __slots__ = ("_covered", "_outer", "_pool", "_position", "_reached", "_writes")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._outer: Session | None = None
        self._writes = 0
        self._covered = 0
        self._position: Any = None
        self._reached: set[Pool] = set()

    def __enter__(self) -> Self:
        self._outer = _current.get()
        _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if _current.get() is self:  # not so when the block is left in another context than it was entered in
            _current.set(self._outer)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def note_write(self) -> None:
        """Something may have been written."""
        self._writes += 1

    async def cover(self) -> None:
        """Learn how far the primary has come, if something was written since it was asked."""
        if self._covered < self._writes:
            # Counted before it is asked: what is written meanwhile is covered by the next answer only.
            writes = self._writes
            position = await self._pool.call(self._pool._position)
            if writes > self._covered:
                self._covered, self._position = writes, position
                self._reached.clear()

    async def may_read(self, replica: Pool) -> bool:
        """Whether `replica` has replayed all that was covered."""
        if not self._covered or replica in self._reached:
            return True
        covered, position = self._covered, self._position
        reached = await replica.call(lambda connection: replica._has_reached(connection, position))
        if reached and covered == self._covered:
            self._reached.add(replica)
        return reached


_current: ContextVar[Session | None] = ContextVar("ff_storage_session", default=None)


def session_of(pool: Pool) -> Session | None:
    """The innermost session of `pool` in the calling context."""
    session = _current.get()
    while session is not None and session._pool is not pool:
        session = session._outer
    return session
