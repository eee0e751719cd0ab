"""A time limit for callers that wait for a connection, with one timer for all that wait equally long.

Under load most calls wait for a moment, and a timer for each would cost as much as the pool's other work for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

Expire = Callable[[asyncio.Future[Any], float, asyncio.Task[Any] | None], None]
"""What ends a wait: the future, the seconds that it had, and the task that waits."""


class Patience:
    """Gives each future `seconds`, then has `expire` end it, unless it is done; for one event loop."""

    __slots__ = ("_expire", "_loop", "_queue", "_seconds", "_timer")

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop, expire: Expire) -> None:
        self._seconds = seconds
        self._loop = loop
        self._expire = expire
        self._queue: deque[tuple[float, asyncio.Future[Any], asyncio.Task[Any] | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[Any]) -> None:
        """Let the time of a future begin, which the calling task is about to await."""
        queue = self._queue
        while queue and queue[0][1].done():
            queue.popleft()
        queue.append((self._loop.time() + self._seconds, future, asyncio.current_task()))
        if self._timer is None:
            self._timer = self._loop.call_at(queue[0][0], self._tick)

    def _tick(self) -> None:
        queue = self._queue
        self._timer = None
        while queue:
            when, future, task = queue[0]
            if not future.done():
                if when > self._loop.time():
                    self._timer = self._loop.call_at(when, self._tick)
                    return
                self._expire(future, self._seconds, task)
            queue.popleft()
