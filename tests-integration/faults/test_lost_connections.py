"""Connections that the server ends, alone or with itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from faults.engines import Engine, ServerEngine
from faults.ledger import TABLE, enter, insertion, new_unit, store, workers
from faults.ok_set import DEADLINE, canceled, check_ours, eventually, lost_once_at_most, ok_set, ours, outcome, until
from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    CommitOutcomeUnknown,
    ConnectionFailure,
    ConnectionLost,
    DatabaseError,
    PoolTimeout,
    TransactionAborted,
)


async def fill(pool: Pool, count: int) -> None:
    """Have the pool keep `count` idle connections."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(pool.acquire())
    await pool.settle()
    assert pool.stats().idle == count


@contextlib.asynccontextmanager
async def running(engine: ServerEngine, pool: Pool, sql: str) -> AsyncGenerator[asyncio.Task[object]]:
    """A task in whose session `sql` runs; it may have ended when the block does."""
    await pool.fetch_val("SELECT 1")  # so that what is seen to run is `sql`, and not what a session begins with
    task = asyncio.create_task(pool.fetch_val(sql))
    try:
        await eventually(lambda: len(engine.busy()) > 0)
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


# --- F01 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["raw", "compiled", "transaction"])
async def test_f01_connections_killed_while_idle_are_not_served(server_engine: ServerEngine, way: str) -> None:
    async with server_engine.pool(max_size=3) as pool:
        uses: dict[str, Callable[[], Awaitable[object]]] = {
            "raw": lambda: pool.fetch_val("SELECT 1"),
            "compiled": lambda: pool.fetch("SELECT 1", ()),
            "transaction": lambda: store(pool),
        }
        await fill(pool, 3)
        server_engine.kill_all()  # it blocks the loop, which has read no good-bye when the next statement comes
        await lost_once_at_most(uses[way])
        await ok_set(server_engine, pool)


async def test_f01_many_callers_after_a_kill_see_no_error(server_engine: ServerEngine) -> None:
    """Once the loop has read what the server said, or the pool asks the socket."""
    async with server_engine.pool(max_size=3) as pool:
        for _ in range(3):
            await fill(pool, 3)
            await asyncio.to_thread(server_engine.kill_all)
            await asyncio.gather(*(store(pool) for _ in range(9)))
        await ok_set(server_engine, pool)


# --- F02 -------------------------------------------------------------------------------------------------------------


async def test_f02_a_connection_killed_under_a_query_is_lost_and_replaced(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=1) as pool:
        async with running(server_engine, pool, server_engine.slow(60)) as task:
            server_engine.kill_all()
            error = await outcome(task)
        assert isinstance(error, ConnectionLost)
        assert error.sent
        check_ours(error)
        await ok_set(server_engine, pool)
        assert pool.stats().discarded == 1


async def test_f02_a_write_that_was_sent_is_not_repeated(server_engine: ServerEngine) -> None:
    slow_write = f"INSERT INTO {TABLE} SELECT 1, 1 FROM ({server_engine.slow(1)}) AS slowly"
    async with server_engine.pool(max_size=2) as pool:
        await pool.fetch_val("SELECT 1")  # as in `running`
        task = asyncio.create_task(pool.execute(slow_write))
        await eventually(lambda: len(server_engine.busy()) == 1)
        server_engine.kill_all()
        error = await outcome(task)
        assert isinstance(error, ConnectionLost)
        assert error.sent
        check_ours(error)
        assert 1 not in server_engine.stored()
        await ok_set(server_engine, pool)
        await asyncio.sleep(1.2)
        assert 1 not in server_engine.stored()


async def test_f02_a_transaction_ends_with_its_connection(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=2) as pool:
        with ours(ConnectionLost):
            async with pool.transaction() as tx:
                await enter(pool, 1, 1, tx)
                slow = asyncio.create_task(tx.fetch_val(server_engine.slow(60)))
                await eventually(lambda: len(server_engine.busy()) == 1)
                server_engine.kill_all()
                error = await outcome(slow)
                assert isinstance(error, ConnectionLost)
                for _ in range(2):
                    with ours(TransactionAborted):
                        await enter(pool, 1, 2, tx)
                raise error
        await ok_set(server_engine, pool)
        assert 1 not in server_engine.stored()


async def test_f02_a_transaction_that_hides_the_loss_does_not_commit(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=2) as pool:
        with ours(TransactionAborted):
            async with pool.transaction() as tx:
                await enter(pool, 1, 1, tx)
                server_engine.kill_all()
                with contextlib.suppress(ConnectionLost):
                    await enter(pool, 1, 2, tx)
        await ok_set(server_engine, pool)
        assert 1 not in server_engine.stored()


# --- F03, F04 --------------------------------------------------------------------------------------------------------


async def check_work_around(engine: ServerEngine, pool: Pool, acknowledged: list[int], errors: list[Exception]) -> None:
    """What was acknowledged is stored as a whole, errors are of the kinds that a lost server may give."""
    for error in errors:
        check_ours(error)
        assert isinstance(error, ConnectionLost | ConnectionFailure | CommitOutcomeUnknown | PoolTimeout), repr(error)
    await ok_set(engine, pool)
    assert {*acknowledged} <= engine.stored().keys()


async def test_f03_pools_ride_through_the_crash_of_one_session(own_server: ServerEngine) -> None:
    """Its process dies, the server ends all others and recovers; the application goes on as it is."""
    async with own_server.pool(max_size=2) as idle:
        await fill(idle, 2)
        async with own_server.pool(max_size=3) as pool:
            async with workers(pool, 6) as log:
                await until(lambda: len(log.acknowledged) > 10)
                own_server.crash(own_server.sessions()[-1])
                await until(lambda: len(log.errors) > 0)
                before = len(log.acknowledged)
                await until(lambda: len(log.acknowledged) > before + 60)
            await pool.settle()
        await check_work_around(own_server, idle, log.acknowledged, [*log.errors])


async def test_f04_pools_ride_through_a_server_that_is_down_for_a_while(own_server: ServerEngine) -> None:
    async with own_server.pool(max_size=3) as pool:
        async with workers(pool, 6) as log:
            await until(lambda: len(log.acknowledged) > 10)
            await asyncio.to_thread(own_server.cluster.stop_immediately)
            await until(lambda: len(log.errors) > 0)
            await asyncio.sleep(2)
            own_server.cluster.start()
            assert await asyncio.to_thread(own_server.cluster.wait)
            before = len(log.acknowledged)
            async with asyncio.timeout(DEADLINE):
                await until(lambda: len(log.acknowledged) > before + 60)
        await check_work_around(own_server, pool, log.acknowledged, [*log.errors])


async def test_f04_a_caller_that_waits_is_served_when_the_server_is_back(own_server: ServerEngine) -> None:
    async with own_server.pool(max_size=1, acquire_timeout=DEADLINE) as pool:
        await store(pool)
        await asyncio.to_thread(own_server.cluster.stop_immediately)
        waiting = [asyncio.create_task(store(pool)) for _ in range(3)]
        await asyncio.sleep(1)
        assert not any(task.done() and task.exception() is None for task in waiting)
        own_server.cluster.start()
        assert await asyncio.to_thread(own_server.cluster.wait)
        results = [await outcome(task) for task in waiting]
        lost = [error for error in results if isinstance(error, BaseException)]
        assert len(lost) <= 1, "only the caller that got the dead connection may have seen it"
        assert all(isinstance(error, ConnectionLost) for error in lost)
        await ok_set(own_server, pool)


# --- F13 -------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def queue(pool: Pool, count: int) -> AsyncGenerator[list[asyncio.Task[int]]]:
    """Callers that wait for a connection; each must be served within the deadline."""
    waiting = [asyncio.create_task(store(pool, new_unit())) for _ in range(count)]
    await until(lambda: pool.stats().waiting == count)
    yield waiting
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*waiting)


async def test_f13_waiters_are_served_when_the_holders_connection_is_killed(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=1) as pool:
        with ours(ConnectionLost):
            async with pool.acquire() as held, queue(pool, 3) as waiting:
                server_engine.kill_all()
                try:
                    await held.fetch_val("SELECT 1")
                finally:
                    assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)
        await ok_set(server_engine, pool)


async def test_f13_waiters_are_served_when_the_holder_is_canceled(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        holder = asyncio.create_task(pool.fetch_val(engine.slow(60)))
        await until(lambda: pool.stats().used == 1)
        async with queue(pool, 3):
            await canceled(holder)
        await ok_set(engine, pool)


async def test_f13_waiters_are_served_when_a_transaction_was_left_open(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        acquisition = pool.acquire()
        held = await acquisition.__aenter__()
        await held.execute("BEGIN")
        await enter(pool, 1, 1, held)
        async with queue(pool, 3):
            await acquisition.__aexit__(None, None, None)
        await ok_set(engine, pool)
        assert 1 not in engine.stored()


async def test_f13_waiters_are_served_when_the_holder_fails(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        with ours(DatabaseError):
            async with pool.transaction() as tx:
                waiting = [asyncio.create_task(store(pool)) for _ in range(3)]
                await until(lambda: pool.stats().waiting == 3)
                await tx.execute(insertion(pool), 1, None)
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*waiting)
        await ok_set(engine, pool)
