"""Pools at their limits: exhausted, waited for, closed, and used against their contract."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from faults.engines import Engine, ServerEngine
from faults.ledger import enter, store
from faults.ok_set import DEADLINE, canceled, ok_set, ours, outcome, until
from faults.proxy import FaultProxy
from ff_storage.core.database import Pool, Transaction
from ff_storage.core.errors import (
    ConcurrentUseError,
    ConnectionFailure,
    PoolClosed,
    PoolError,
    PoolFull,
    PoolTimeout,
    TransactionClosed,
    TransactionNotShared,
)
from ff_storage.core.testing import cancel_at_each_await

# --- F10 -------------------------------------------------------------------------------------------------------------


async def test_f10_connecting_fails_fast_while_the_server_is_down(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    proxy.refuse()
    pool = server_engine.pool(server_engine.by(proxy), min_size=1, connect_timeout=60, acquire_timeout=60)
    async with asyncio.timeout(10):
        with ours(ConnectionFailure) as caught:
            await pool.connect()
    assert caught.value.transient
    assert pool.state != "open"
    await proxy.accept()
    async with pool:
        await ok_set(server_engine, pool)


async def test_f10_a_pool_without_connections_opens_and_serves_once_the_server_is_up(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    proxy.refuse()
    async with server_engine.pool(server_engine.by(proxy), min_size=0) as pool:
        for _ in range(2):
            async with asyncio.timeout(10):
                with ours(PoolTimeout, ConnectionFailure):
                    async with pool.acquire(timeout=0.5):
                        pass
        await proxy.accept()
        await ok_set(server_engine, pool)


async def test_f10_who_waits_while_the_server_is_down_is_served_when_it_comes_up(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    proxy.refuse()
    async with server_engine.pool(server_engine.by(proxy), min_size=0, acquire_timeout=DEADLINE) as pool:
        waiting = [asyncio.create_task(store(pool)) for _ in range(5)]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in waiting)
        await proxy.accept()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*waiting)
        await ok_set(server_engine, pool)


# --- F11 -------------------------------------------------------------------------------------------------------------


async def test_f11_exhaustion_is_told_with_counts_and_who_waits_is_served_in_order(engine: Engine) -> None:
    served: list[int] = []

    async def use(pool: Pool, number: int) -> None:
        async with pool.acquire():
            served.append(number)

    async with engine.pool(max_size=2, max_waiting=6) as pool:
        async with pool.acquire(), pool.acquire():
            waiting: list[asyncio.Task[None]] = []
            for number in range(5):
                waiting.append(asyncio.create_task(use(pool, number)))
                await until(lambda: pool.stats().waiting == len(waiting))
            with ours(PoolTimeout, driver=False, match="2 of 2 connections in use, 0 idle, 6 callers waiting"):
                async with pool.acquire(timeout=0.3):
                    pass
            last = asyncio.create_task(use(pool, 5))
            await until(lambda: pool.stats().waiting == 6)
            with ours(PoolFull, driver=False):
                async with pool.acquire():
                    pass
        await asyncio.gather(*waiting, last)
        assert served == [*range(6)]
        assert pool.stats().timeouts == 1
        await ok_set(engine, pool)


# --- F12 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
async def test_f12_a_waiter_canceled_at_any_await_of_acquire_loses_nothing(engine: Engine, late: bool) -> None:
    async with engine.pool(max_size=1) as pool:

        async def acquire(_: int) -> None:
            async with pool.acquire():
                pass

        async def acquire_behind_another(_: int) -> None:
            held = await pool.lease()
            asyncio.get_running_loop().call_later(0.005, held.give_back)
            async with pool.acquire():
                pass

        for work in (acquire, acquire_behind_another):
            async for _ in cancel_at_each_await(work, late=late):
                async with pool.acquire(timeout=DEADLINE):
                    pass
                await pool.settle()
        await ok_set(engine, pool)


async def test_f12_ten_thousand_waits_canceled_or_timed_out_at_hand_over_lose_nothing(engine: Engine) -> None:
    dice = random.Random(12)
    async with engine.pool(max_size=2, acquire_timeout=DEADLINE) as pool:
        outcomes = {"served": 0, "canceled": 0, "timed out": 0}

        async def use() -> None:
            try:
                async with asyncio.timeout(dice.choice([None, None, 0, 0.0001])), pool.acquire():
                    await asyncio.sleep(0)
            except TimeoutError:
                outcomes["timed out"] += 1
            else:
                outcomes["served"] += 1

        for _ in range(1000):
            tasks = [asyncio.create_task(use()) for _ in range(10)]
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            for task in dice.sample(tasks, 3):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            outcomes["canceled"] += sum(isinstance(result, asyncio.CancelledError) for result in results)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        assert sum(outcomes.values()) == 10_000
        assert min(outcomes.values()) > 100, f"the dice miss something: {outcomes}"
        await ok_set(engine, pool)


# --- F14 -------------------------------------------------------------------------------------------------------------


async def test_f14_closing_waits_for_what_is_in_use_and_refuses_who_waits(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        held = await pool.lease()
        waiting = asyncio.create_task(pool.fetch_val("SELECT 1"))
        await until(lambda: pool.stats().waiting == 1)
        closing = asyncio.create_task(pool.disconnect(DEADLINE))
        with ours(PoolClosed, driver=False):
            await waiting
        assert not closing.done()
        assert await held.fetch_val("SELECT 1") == 1
        held.give_back()
        assert await outcome(closing) is None
        await pool.disconnect()
        with ours(PoolClosed, driver=False):
            await pool.fetch_val("SELECT 1")
        assert pool.stats().size == 0
    async with pool:
        await ok_set(engine, pool)


async def test_f14_closing_cuts_off_what_does_not_end_in_time(engine: Engine) -> None:
    async with engine.pool(max_size=2) as pool:
        idle = await pool.lease()
        transaction = pool.transaction()
        tx = await transaction.__aenter__()
        await enter(pool, 1, 1, tx)
        async with asyncio.timeout(DEADLINE):
            await pool.disconnect(timeout=0.2)
        idle.give_back()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever of ours it is
            await enter(pool, 1, 2, tx)
        await transaction.__aexit__(type(caught.value), caught.value, None)
        assert pool.stats().size == 0
    async with pool:
        await ok_set(engine, pool)
        assert 1 not in engine.stored()


async def test_f14_a_canceled_close_closes(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        held = await pool.lease()
        closing = asyncio.create_task(pool.disconnect(None))
        await until(lambda: pool.state == "closing")
        await canceled(closing)
        assert pool.state == "closed"
        held.give_back()
    async with pool:
        await ok_set(engine, pool)


# --- F19, F20 --------------------------------------------------------------------------------------------------------


async def test_f19_a_connection_given_back_is_nobodys(engine: Engine) -> None:
    """There is no release of a connection that is not the caller's: only its own block, or lease, gives it back."""
    async with engine.pool(max_size=2) as pool:
        await store(pool)
        lease = await pool.lease()
        lease.give_back()
        with ours(PoolError, driver=False):
            lease.give_back()
        with ours(PoolError, driver=False):
            await lease.fetch_val("SELECT 1")
        with ours(PoolError, driver=False):
            async with Transaction(lease):
                pass
        acquisition = pool.acquire()
        async with acquisition as connection:
            pass
        with ours(PoolError, driver=False):
            await enter(pool, 1, 1, connection)
        with ours(PoolError, driver=False):
            async with acquisition:
                pass
        async with pool.transaction() as tx:
            pass
        with ours(TransactionClosed, driver=False):
            await enter(pool, 1, 1, tx)
        assert pool.stats().idle == pool.stats().size
        await ok_set(engine, pool)


async def test_f20_a_task_that_waits_for_itself_is_told_so(engine: Engine) -> None:
    async with engine.pool(max_size=1, acquire_timeout=0.2) as pool:
        async with asyncio.timeout(DEADLINE):
            async with pool.acquire():
                with ours(PoolTimeout, driver=False, match="1 of them held by this task itself.*connection="):
                    await store(pool)
            async with pool.transaction():
                with ours(PoolTimeout, driver=False, match="connection="):
                    await store(pool)
        await ok_set(engine, pool)


# --- F21 -------------------------------------------------------------------------------------------------------------


async def test_f21_two_tasks_in_one_transaction_never_mix_their_statements(engine: Engine) -> None:
    async with engine.pool(max_size=2) as pool:
        async with pool.transaction() as tx:
            results = await asyncio.gather(
                enter(pool, 1, 1, tx), tx.fetch_val("SELECT 7"), enter(pool, 1, 2, tx), return_exceptions=True
            )
            assert [result for result in results if not isinstance(result, BaseException)] in ([None], [None, None])
            refused = [result for result in results if isinstance(result, BaseException)]
            assert len(refused) == 2
            assert all(isinstance(error, ConcurrentUseError) for error in refused)
            await enter(pool, 1, 2, tx)
        await ok_set(engine, pool)
        assert engine.stored()[1] == 2


async def test_f21_a_child_task_does_not_slip_into_its_parents_transaction(engine: Engine) -> None:
    async with engine.pool(max_size=2) as pool:
        async with pool.transaction() as tx:
            await enter(pool, 1, 1)
            (refused,) = await asyncio.gather(asyncio.create_task(enter(pool, 1, 2)), return_exceptions=True)
            assert isinstance(refused, TransactionNotShared)
            assert "connection=tx" in str(refused)
            await asyncio.create_task(enter(pool, 1, 2, tx))
        await ok_set(engine, pool)
        assert engine.stored()[1] == 2


async def test_f21_two_tasks_on_one_connection_are_told(engine: Engine) -> None:
    async with engine.pool(max_size=2) as pool:
        async with pool.acquire() as connection:
            slow = asyncio.create_task(connection.fetch_val(engine.slow(60)))
            await asyncio.sleep(0)
            with ours(ConcurrentUseError, driver=False):
                await connection.fetch_val("SELECT 1")
            slow.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await slow
        await ok_set(engine, pool)
