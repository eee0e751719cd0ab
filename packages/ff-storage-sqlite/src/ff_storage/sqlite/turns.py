"""The turns of the writers of one pool.

SQLite lets one writer in and the others try again and again: under steady load one of them may try in vain until its
time is up. Here the writers of one pool queue before they ask SQLite. A writer that comes while the lock is free goes
first even if others are still waking up, which keeps short writes fast; once the first of the queue has waited for
`PATIENCE`, the turn is handed over to it. Writers of other processes are met in SQLite, as ever.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

PATIENCE: Final = 0.005
"""Seconds."""


class Writer:
    """One connection as a writer; `wake` also ends its other waits."""

    __slots__ = ("canceled", "handed", "since", "wake")

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.canceled = False
        self.handed = False
        self.since = 0.0

    def cancel(self) -> None:
        """End the wait that is under way, or the next one. For other threads."""
        self.canceled = True
        self.wake.set()

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until something happens; False once it is canceled."""
        if not self.canceled:
            self.wake.wait(seconds)
            # `canceled` is set before `wake`, so a cancellation between these two lines is seen by the last.
            self.wake.clear()
        return not self.canceled


class Turns:
    """Who of a pool may write; used by the connections' threads."""

    __slots__ = ("_lock", "_queue", "_taken")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Writer] = deque()
        self._taken = False

    def take(self, writer: Writer, timeout: float) -> bool:
        """Wait for the turn; False when it did not come within `timeout` seconds, or the writer was canceled."""
        if not self._taken and self._try(writer):
            return True
        with self._lock:
            writer.since = time.monotonic()
            self._queue.append(writer)
        deadline = writer.since + timeout
        while not self._try(writer):
            if not writer.wait(deadline - time.monotonic()) or time.monotonic() >= deadline:
                return self._leave(writer)
        return True

    def _try(self, writer: Writer) -> bool:
        with self._lock:
            if writer.handed:
                writer.handed = False  # `give` has taken it off the queue
                return True
            if self._taken:
                return False
            self._taken = True
            if writer in self._queue:
                self._queue.remove(writer)
            return True

    def _leave(self, writer: Writer) -> bool:
        with self._lock:
            if writer.handed:
                writer.handed = False
                return True
            self._queue.remove(writer)
            return False

    def give(self) -> None:
        """Let the next one in."""
        with self._lock:
            if not self._queue:
                self._taken = False
                return
            first = self._queue[0]
            if time.monotonic() - first.since > PATIENCE:
                self._queue.popleft()
                first.handed = True
            else:
                self._taken = False
            first.wake.set()
