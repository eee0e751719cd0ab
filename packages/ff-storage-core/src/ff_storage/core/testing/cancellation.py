"""Cancel a piece of work at its first await, then at its second, until it runs through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any


class _Interrupted:
    """Awaits `work`, and cancels its own task at the suspension `number`, counted from 0, and at `times - 1` more.

    `late`: when what it waits for is done, and before it goes on; the moment at which a hand-over loses things.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], number: int, *, late: bool, times: int) -> None:
        self._work = work
        self._number = number
        self._late = late
        self._times = times
        self.fired = False

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        error: BaseException | None = None
        result: Any = None
        while True:
            try:
                awaited = steps.send(result) if error is None else steps.throw(error)
            except StopIteration as stop:
                return stop.value
            if -self._times < self._number <= 0 and (task := asyncio.current_task()) is not None:
                self.fired = True
                if self._late and awaited is not None:
                    awaited.add_done_callback(_canceler(task))
                else:
                    task.cancel()  # delivered at the suspension below, as another task's call would be
            self._number -= 1
            try:
                result, error = (yield awaited), None
            except BaseException as thrown:  # noqa: BLE001 - whatever comes goes to the work
                error = thrown


def _canceler(task: asyncio.Task[Any]) -> Callable[[object], None]:
    def cancel(_: object) -> None:
        task.cancel()

    return cancel


async def cancel_at_each_await(
    make: Callable[[int], Coroutine[Any, Any, Any]], *, late: bool = False, times: int = 1, within: float = 60.0
) -> AsyncIterator[tuple[int, bool]]:
    """Run `make(0)`, canceled at its first await, `make(1)` at its second, and so on; yields after each run.

    The pairs are the run's number and whether it ended without a cancellation, which the last one does. With `late` the
    cancellation comes when what is awaited is done already; with `times` it comes again, that often in all, if the work
    awaits something on its way out. Raises AssertionError when a run swallows its cancellation, turns it into another
    error, or takes more than `within` seconds.
    """
    number = 0
    while True:
        work = _Interrupted(make(number), number, late=late, times=times)

        async def run(work: _Interrupted = work) -> None:
            await work

        task = asyncio.create_task(run())
        _, hung = await asyncio.wait({task}, timeout=within)
        if hung:
            task.cancel()
            raise AssertionError(f"canceled at await {number}, the work did not end within {within:g} s")
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if work.fired and not isinstance(outcome, asyncio.CancelledError):
            raise AssertionError(f"canceled at await {number}, the work ended with {outcome!r}")
        if isinstance(outcome, BaseException) and not work.fired:
            raise outcome
        yield number, not work.fired
        if not work.fired:
            return
        number += 1
