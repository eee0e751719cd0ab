"""Pools outside the loop and the process that they belong to."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.queues import SimpleQueue

import pytest

from faults.engines import Engine, ServerEngine
from faults.ledger import WHOLE, store
from faults.ok_set import check_ours, ok_set, ours
from ff_storage.core.database import Pool
from ff_storage.core.errors import StorageError, WrongLoopError


async def uses(pool: Pool) -> list[str]:
    """What becomes of each use of a pool: `done`, or the name of the error."""
    found: list[str] = []

    async def acquire() -> None:
        async with pool.acquire():
            pass

    async def begin() -> None:
        async with pool.transaction():
            pass

    for use in (pool.connect, acquire, begin, lambda: pool.fetch_val("SELECT 1"), lambda: store(pool), pool.disconnect):
        try:
            await use()
        except StorageError as error:
            check_ours(error, driver=False)
            found.append(type(error).__name__)
        else:
            found.append("done")
    return found


async def test_f22_another_loop_is_refused(engine: Engine) -> None:
    """In another thread while the first loop runs; the pool goes on in its own."""
    async with engine.pool(max_size=2) as pool:
        await store(pool)
        found = await asyncio.to_thread(lambda: asyncio.run(uses(pool)))
        assert found == [WrongLoopError.__name__] * 6
        await ok_set(engine, pool)


def test_f22_a_pool_is_refused_in_the_next_loop_and_opens_there_anew(engine: Engine) -> None:
    pool = engine.pool(max_size=2)

    async def use() -> None:
        await pool.connect()
        await store(pool)

    async def misuse() -> None:
        with ours(WrongLoopError, driver=False):
            await store(pool)

    async def use_anew() -> None:
        async with pool:
            await ok_set(engine, pool)

    with asyncio.Runner() as first:
        first.run(use())
        with asyncio.Runner() as second:
            second.run(misuse())
        first.run(pool.disconnect())
    asyncio.run(use_anew())


def in_a_child(pool: Pool, answers: SimpleQueue[list[str]]) -> None:
    answers.put(asyncio.run(uses(pool)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_f22_a_forked_process_is_refused_and_does_no_harm(engine: Engine) -> None:
    async with engine.pool(max_size=2) as pool:
        await store(pool)
        sessions = engine.sessions() if isinstance(engine, ServerEngine) else []
        context = multiprocessing.get_context("fork")
        answers: SimpleQueue[list[str]] = context.SimpleQueue()
        child = context.Process(target=in_a_child, args=(pool, answers))
        child.start()
        # Disconnecting touches nothing of the parent's, and lets the child open it as its own.
        assert await asyncio.to_thread(answers.get) == [*[WrongLoopError.__name__] * 5, "done"]
        await asyncio.to_thread(child.join)
        assert child.exitcode == 0
        assert await pool.fetch_val("SELECT 1") == 1
        await ok_set(engine, pool)
        if isinstance(engine, ServerEngine):
            assert engine.sessions() == sessions, "the child has ended its parent's sessions"


def opens_its_own(engine: Engine, answers: SimpleQueue[int]) -> None:
    async def use() -> int:
        async with engine.pool(max_size=1) as pool:
            return await store(pool, 1)

    answers.put(asyncio.run(use()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_f22_a_forked_process_may_open_a_pool_of_its_own(engine: Engine) -> None:
    async with engine.pool(max_size=2) as pool:
        await store(pool)
        context = multiprocessing.get_context("fork")
        answers: SimpleQueue[int] = context.SimpleQueue()
        child = context.Process(target=opens_its_own, args=(engine, answers))
        child.start()
        assert await asyncio.to_thread(answers.get) == 1
        await asyncio.to_thread(child.join)
        assert engine.stored()[1] == WHOLE
        await ok_set(engine, pool)
