"""Pools to test with, and cancellation at every await."""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Literal

import pytest

from ff_storage.sqlite import SQLitePool

HANG = 30.0
"""Seconds after which something that should have ended counts as hung; no test waits for it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Show where a test hangs, and end it, instead of hanging with it."""
    faulthandler.dump_traceback_later(4 * HANG, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture(params=["file", "memory"])
async def pool(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[SQLitePool]:
    """A pool with an empty table `t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)`; nothing may be left in use."""
    async with SQLitePool(path if request.param == "file" else ":memory:") as pool:
        await pool.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT")
        await pool.settle()
        yield pool
        await pool.settle()
        stats = pool.stats()
        assert (stats.used, stats.waiting) == (0, 0)


@pytest.fixture
async def file_pool(path: Path) -> AsyncIterator[SQLitePool]:
    """`pool`, on a file alone."""
    async with SQLitePool(path, max_size=3) as pool:
        await pool.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT")
        await pool.settle()
        yield pool
        await pool.settle()
        stats = pool.stats()
        assert (stats.used, stats.waiting) == (0, 0)


When = Literal["waiting", "ready"]
"""Cancel while the awaited future is open, or after it is done and before its task runs."""


class CancelAt:
    """Awaits a coroutine and cancels the task at its n-th suspension, as `Task.cancel()` from outside would."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], n: int, when: When) -> None:
        self.coroutine = coroutine
        self.n = n
        self.when = when
        self.seen = 0
        self.fired = False

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self.coroutine.send
        value: Any = None
        while True:
            try:
                future = step(value)
            except StopIteration as stop:
                return stop.value
            if self.seen == self.n:
                self.fired = True
                task = asyncio.current_task()
                assert task is not None
                if self.when == "waiting" or future is None:
                    task.cancel()
                else:
                    future.add_done_callback(lambda _, task=task: task.cancel())
            self.seen += 1
            try:
                value = yield future
                step = self.coroutine.send
            except BaseException as error:  # noqa: BLE001 - it goes on into the coroutine
                value, step = error, self.coroutine.throw


Sweep = Callable[[Callable[[], Coroutine[Any, Any, Any]], Callable[[str], Awaitable[None]]], Coroutine[Any, Any, int]]


@pytest.fixture(params=["waiting", "ready"])
def sweep(request: pytest.FixtureRequest) -> Sweep:
    """Run a coroutine again and again, canceled at its first, second, … await, until it completes.

    After each run `check` gets the outcome: `canceled` or `completed`. A cancellation that is swallowed or replaced,
    and a hang, fail the test. Returns the number of awaits.
    """

    async def run(make: Callable[[], Coroutine[Any, Any, Any]], check: Callable[[str], Awaitable[None]]) -> int:
        for n in range(1000):
            cancel = CancelAt(make(), n, request.param)

            async def main(cancel: CancelAt = cancel) -> Any:
                return await cancel

            task = asyncio.create_task(main())
            done, _ = await asyncio.wait({task}, timeout=HANG)
            assert done, f"hung when canceled at await {n}"
            if not cancel.fired:
                task.result()
                await check("completed")
                return n
            assert task.cancelled(), f"canceled at await {n}, it ended with {task.exception()!r}"
            await check("canceled")
        raise AssertionError("it never completes")

    return run
