"""What must hold after every fault: the head of the fault matrix."""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar
from urllib.parse import quote

import pytest

from faults.engines import SECRET, Engine, State
from faults.ledger import TABLE, WHOLE, store
from ff_storage.core.database import Pool
from ff_storage.core.errors import ConnectionLost, StorageError

E = TypeVar("E", bound=StorageError)

DEADLINE = 20.0
"""Seconds for what should take milliseconds, on a machine that does much else: a bound for correctness, not speed."""


async def ok_set(engine: Engine, pool: Pool, *, deadline: float = DEADLINE) -> None:
    """Assert that a fault left nothing behind, after it has ended. The pool is open and nobody uses it.

    (iii) the next operation succeeds within the deadline; (ii) the pool is within its bounds, the server holds no open
    transaction and no lock for it; (i) no unit of work is stored by half. `ours` asserts (iv), the kind of error, and
    `canceled` (v), that a cancellation stays one.
    """
    async with asyncio.timeout(deadline):
        unit = await store(pool)
        assert await pool.fetch_val(f"SELECT count(*) FROM {TABLE} WHERE unit = {unit}") == WHOLE
        await pool.settle()
    stats = pool.stats()
    assert (stats.used, stats.waiting) == (0, 0), stats
    assert stats.idle == stats.size <= stats.max_size, stats
    state = State()

    def is_at_rest() -> bool:
        nonlocal state
        state = engine.state()
        return state.sessions <= stats.max_size and state.in_transaction == state.locks == 0

    await eventually(is_at_rest, deadline, lambda: f"the server still holds {state}")
    stored = engine.stored()
    assert stored[unit] == WHOLE
    torn = [unit for unit, parts in stored.items() if parts != WHOLE]
    assert not torn, f"units stored by half: {torn}"


async def eventually(
    condition: Callable[[], bool], deadline: float = DEADLINE, otherwise: Callable[[], str] | None = None
) -> None:
    """Wait until `condition`, which may block, is met; the loop runs on meanwhile."""
    end = time.monotonic() + deadline
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end, otherwise() if otherwise else "it did not come about"
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
    """Wait until `condition`, about objects of this loop, is met."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.001)


@contextlib.contextmanager
def ours(*kinds: type[E], driver: bool = True, match: str | None = None) -> Generator[pytest.ExceptionInfo[E]]:
    """A block that must end in one of our errors, exactly of these kinds or below, with the driver's chained.

    `driver=False` for errors that no driver had part in. The password must be nowhere in what is shown of it.
    """
    with pytest.raises(kinds, match=match) as caught:
        yield caught
    check_ours(caught.value, driver=driver)


async def lost_once_at_most(use: Callable[[], Awaitable[object]], times: int = 8) -> None:
    """Assert that of so many uses the first alone may fail, with a connection that was lost before it got anything."""
    failures: dict[int, ConnectionLost] = {}
    for number in range(times):
        try:
            await use()
        except ConnectionLost as error:
            failures[number] = error
    assert failures.keys() <= {0}, failures
    for failure in failures.values():
        check_ours(failure)
        assert not failure.sent, "nobody could tell that it may be repeated"


def check_ours(error: BaseException, *, driver: bool = True) -> None:
    """Assert that an error is of our classes, is complete, leads to the driver's, and tells no secret."""
    assert isinstance(error, StorageError), repr(error)
    assert error.code in str(error)
    causes = [*_causes(error)]
    if driver:
        assert any(not isinstance(cause, StorageError) for cause in causes), f"nothing is chained to {error!r}"
    shown = "".join(traceback.format_exception(error)) + "".join(repr(each) + str(each) for each in [error, *causes])
    for secret in (SECRET, quote(SECRET, safe="")):
        assert secret not in shown


def _causes(error: BaseException) -> Generator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


async def canceled(task: asyncio.Task[Any], deadline: float = DEADLINE) -> None:
    """Cancel a task, and assert that it ends as canceled, soon."""
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=deadline)
    assert done, "the cancellation was swallowed"
    assert task.cancelled(), f"the cancellation became {task.exception()!r}"


async def outcome(task: asyncio.Task[Any], deadline: float = DEADLINE) -> Any:
    """The error that a task ends with, or its result; it must end in time."""
    done, _ = await asyncio.wait({task}, timeout=deadline)
    assert done, "it hangs"
    return asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()
