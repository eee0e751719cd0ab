"""The await-sweep: every public operation, canceled at its first await, its second, and so on (F12, F24–F27, F29)."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

import ff_storage
from faults.engines import Engine, State
from faults.ok_set import DEADLINE
from faults.operations import OPERATIONS, Operation, Rows, World
from faults.witness import witness
from ff_storage.core import _flat
from ff_storage.core.database import Pool
from ff_storage.core.database.lease import Lease
from ff_storage.core.observe import ObservedStatement
from ff_storage.core.testing.cancellation import cancel_at_each_await

_AWAITED: Final = re.compile(
    r"(\w+\.)*(Abstract)?(Async\w*|Coroutine|Awaitable|Stream|Acquisition|Transaction|Savepoint"
    r"|Session|UnitOfWork)\b"
)
"""What a method says to return that is awaited, or entered with `async with`."""

_HANDED_OUT: Final = (Lease,)
"""Classes without a public name, whose objects the public ones give."""


def awaits(function: Any) -> bool:
    """Whether a call of `function` gives something to await."""
    returned = str(getattr(function, "__annotations__", {}).get("return", ""))
    return inspect.iscoroutinefunction(function) or (
        inspect.isfunction(function) and _AWAITED.match(returned) is not None
    )


def public_operations() -> set[str]:
    """`Class.method` and `function` of all that is public and awaited. All pools are one."""
    found: set[str] = set()
    for each in [*(getattr(ff_storage, name) for name in _flat.__all__), *_HANDED_OUT]:
        if not inspect.isclass(each):
            if awaits(each):
                found.add(each.__name__)
        elif not issubclass(each, BaseException):
            owner = "Pool" if issubclass(each, Pool) else each.__name__
            for name, member in inspect.getmembers(each):
                if awaits(member) and (not name.startswith("_") or name in ("__aenter__", "__aexit__")):
                    found.add(f"{owner}.{name}")
    return found


def test_every_public_operation_is_swept() -> None:
    """What is new comes into `operations.py`."""
    covered = {name for each in OPERATIONS.values() for name in each.covers}
    wrappers = {"retry_async"}  # what it makes is awaited, and not what it is
    assert covered - wrappers == public_operations()


@pytest.fixture
async def world(shared_engine: Engine) -> AsyncIterator[World]:
    """One database for all of them, as each begins with the same state."""
    async with witness(shared_engine) as outside, shared_engine.pool(max_size=1) as pool:
        world = World(shared_engine, pool, outside)
        await world.set_up()
        await world.reset()
        yield world


async def check_left_nothing(world: World) -> None:
    """Assert that nobody holds anything, here and on the server, and that the next operation succeeds."""
    async with asyncio.timeout(DEADLINE):
        for pool in (world.pool, *world.others):
            await pool.settle()
        assert all(pool.stats().size == 0 for pool in world.others)
        world.others.clear()
        stats = world.pool.stats()
        assert (stats.used, stats.waiting) == (0, 0), stats
        assert stats.idle == stats.size <= 1, stats
        # Before the next operation, which might end what was left open.
        while (state := await world.witness.state()) not in (State(), State(sessions=1)):
            assert state.sessions <= 3, state
            await asyncio.sleep(0.005)  # the end of a connection takes the server a moment
        assert await world.pool.fetch_val("SELECT 1") == 1


def allowed(operation: Operation, before: tuple[Rows, Rows, bool], after: tuple[Rows, Rows, bool]) -> list[Any]:
    """The states in which an operation may be found."""
    parts = operation.parts(after[0]) if operation.parts is not None else ()
    return [before, after, *((part, *after[1:]) for part in parts)]


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_cancellation_at_any_await_leaves_all_or_nothing(world: World, name: str) -> None:
    """Early, then late and watched, and twice if it can: it stays one, and leaves a whole state and a whole pool."""
    operation = OPERATIONS[name]
    before = await world.state()
    await operation.work(world)
    await check_left_nothing(world)
    after = await world.state()
    states = allowed(operation, before, after)

    async def work(number: int) -> None:
        del number
        await operation.work(world)

    seen: list[ObservedStatement] = []
    for late in (False, True):
        stopped = 0
        await world.reset()
        if late:
            world.pool.observe(seen.append)
        async for number, finished in cancel_at_each_await(work, late=late, times=2):
            await check_left_nothing(world)
            state = await world.state()
            assert state in states, f"canceled at await {number}"
            if finished:
                assert state == after
            elif state != before:
                await world.reset()
            stopped += not finished
        assert stopped > 0
    assert seen
