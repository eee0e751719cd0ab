"""A time limit for every statement of a pool, with one timer for all of them.

`asyncio.timeout` makes a timer for each use, which costs more than finding a statement's SQL. Here all limits of a pool
are equal, so they end in the order in which they began: an ordered set, and a timer for its first. The rule of
`asyncio.timeout` holds: the statement's task is canceled, and the cancellation becomes QueryTimeout unless somebody
else canceled the task too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from ff_storage.core.errors import QueryTimeout
from ff_storage.core.observe import EXPIRED

T = TypeVar("T")


class Deadlines:
    """Gives each awaitable `seconds`; for one event loop."""

    __slots__ = ("_ends", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, statement: Awaitable[T]) -> T:
        """The result of `statement`. Raises QueryTimeout when it is not there in time."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a statement is awaited outside a task")
        ends = self._ends
        if task in ends:  # within a statement that has its limit
            return await statement
        before = task.cancelling()
        ends[task] = end = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(end, self._tick)
        try:
            return await statement
        except BaseException as error:
            only_ours = task not in ends and task.uncancel() <= before
            if only_ours and isinstance(error, asyncio.CancelledError):
                raise QueryTimeout(
                    f"the statement did not end within {self._seconds:g} s",
                    remedy="raise query_timeout, or ask for less",
                ) from error
            raise
        finally:
            ends.pop(task, None)

    def _tick(self) -> None:
        now = self._loop.time()
        self._timer = None
        while self._ends:
            task, end = next(iter(self._ends.items()))
            if end > now:
                self._timer = self._loop.call_at(end, self._tick)
                return
            del self._ends[task]  # by which it sees that its time is up
            task.cancel(EXPIRED)
