"""Cancel a piece of work at its first await, then at its second, until it runs through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any


class _Interrupted:
    """Awaits `work`, and cancels its own task at the suspension `number`, counted from 0."""

    def __init__(self, work: Coroutine[Any, Any, Any], number: int) -> None:
        self._work = work
        self._number = number
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
            if self._number == 0 and (task := asyncio.current_task()) is not None:
                self.fired = True
                task.cancel()  # delivered at the suspension below, as another task's call would be
            self._number -= 1
            try:
                result, error = (yield awaited), None
            except BaseException as thrown:  # noqa: BLE001 - whatever comes goes to the work
                error = thrown


async def cancel_at_each_await(make: Callable[[int], Coroutine[Any, Any, Any]]) -> AsyncIterator[tuple[int, bool]]:
    """Run `make(0)`, canceled at its first await, `make(1)` at its second, and so on; yields after each run.

    The pairs are the run's number and whether it ended without a cancellation, which the last one does. Raises
    AssertionError when a run swallows its cancellation, or turns it into another error.
    """
    number = 0
    while True:
        work = _Interrupted(make(number), number)

        async def run(work: _Interrupted = work) -> None:
            await work

        (outcome,) = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
        if work.fired and not isinstance(outcome, asyncio.CancelledError):
            raise AssertionError(f"canceled at await {number}, the work ended with {outcome!r}")
        if isinstance(outcome, BaseException) and not work.fired:
            raise outcome
        yield number, not work.fired
        if not work.fired:
            return
        number += 1
