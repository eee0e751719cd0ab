"""Pools: opening, limits, fairness, cancellation, closing; one contract on every driver."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.database.misuse import LINES
from ff_storage.core.errors import (
    AsyncPoolUsedSync,
    ConfigurationError,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    WrongLoopError,
)
from ff_storage.core.query import Query
from ff_storage.core.testing.cancellation import cancel_at_each_await
from ff_storage.core.testing.conformance import connections
from ff_storage.core.testing.models import Country
from ff_storage.core.testing.observing import HealthTests, ObserverTests
from ff_storage.core.testing.raw import TABLE, RawTests
from ff_storage.core.testing.transactions import TransactionTests
from ff_storage.core.testing.units import RerunTests, UnitOfWorkTests


class LifeTests(RawTests):
    """A pool's life: opening, limits, closing."""

    async def test_a_pool_is_open_within_its_block(self, url: str) -> None:
        pool = open_pool(url, **self.options)
        for _ in range(2):
            with pytest.raises(PoolClosed):
                await pool.fetch_val("SELECT 1")
            async with pool:
                assert await pool.fetch_val("SELECT 1") == 1
        with pytest.raises(PoolClosed):
            await pool.execute("SELECT 1")
        with pytest.raises(PoolClosed):
            async with pool.transaction():
                pass
        await pool.disconnect()
        await pool.disconnect()

    async def test_who_waits_is_served_in_order(self, url: str) -> None:
        served: list[int] = []

        async def use(pool: Pool, number: int) -> None:
            async with pool.acquire():
                served.append(number)

        async with self.open(url, min_size=1, max_size=1) as pool:
            async with pool.acquire():
                tasks = [asyncio.create_task(use(pool, number)) for number in range(20)]
                await _until(lambda: pool.stats().waiting == 20)
            await asyncio.gather(*tasks)
        assert served == list(range(20))

    async def test_waiting_has_a_deadline_and_says_who_holds(self, url: str) -> None:
        async with self.open(url, min_size=1, max_size=1, acquire_timeout=0.01) as pool, pool.acquire():
            with pytest.raises(PoolTimeout, match=r"1 of 1 .*connection="):
                await pool.fetch_val("SELECT 1")
            with pytest.raises(PoolTimeout):
                async with pool.acquire(timeout=0.001):
                    pass
            assert pool.stats().timeouts == 2

    async def test_the_queue_has_a_bound(self, url: str) -> None:
        async with self.open(url, min_size=1, max_size=1, max_waiting=2) as pool:
            async with pool.acquire():
                waiting = [asyncio.create_task(pool.fetch_val("SELECT 1")) for _ in range(2)]
                await _until(lambda: pool.stats().waiting == 2)
                with pytest.raises(PoolFull):
                    await pool.fetch_val("SELECT 1")
            assert await asyncio.gather(*waiting) == [1, 1]

    async def test_a_waiter_that_is_canceled_takes_nothing(self, url: str) -> None:
        """At hand-over too: the connection goes to the next or back."""
        async with self.open(url, min_size=1, max_size=1, acquire_timeout=5) as pool:
            for turns in range(6):
                async with pool.acquire():
                    waiting = [asyncio.create_task(pool.fetch_val("SELECT 1")) for _ in range(3)]
                    await _until(lambda: pool.stats().waiting == 3)
                for _ in range(turns):
                    await asyncio.sleep(0)
                waiting[0].cancel()
                first, *others = await asyncio.gather(*waiting, return_exceptions=True)
                assert first == 1 or isinstance(first, asyncio.CancelledError)
                assert others == [1, 1]
                await pool.settle()
                assert pool.stats().used == 0

    async def test_closing_refuses_who_waits_and_lets_who_works_finish(self, url: str) -> None:
        pool = open_pool(url, **{**self.options, "min_size": 1, "max_size": 1})
        await pool.connect()
        async with pool.acquire() as connection:
            waiting = asyncio.create_task(pool.fetch_val("SELECT 1"))
            await _until(lambda: pool.stats().waiting == 1)
            closing = asyncio.create_task(pool.disconnect())
            with pytest.raises(PoolClosed):
                await waiting
            assert await connection.fetch_val("SELECT 1") == 1
            assert not closing.done()
        await closing
        assert pool.stats().size == 0

    async def test_a_pool_serves_one_event_loop(self, pool: Pool) -> None:
        def elsewhere() -> None:
            asyncio.run(_ask(pool))

        with pytest.raises(WrongLoopError):
            await asyncio.to_thread(elsewhere)
        assert await pool.fetch_val("SELECT 1") == 1

    @pytest.mark.parametrize(
        "wrong",
        [{"min_size": -1}, {"max_size": 0}, {"min_size": 3, "max_size": 2}, {"acquire_timeout": -1}, {"no_such": 1}],
        ids=str,
    )
    async def test_wrong_options_are_refused_when_the_pool_is_made(self, url: str, wrong: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            open_pool(url, **{**self.options, **wrong})

    @connections(3)
    async def test_connections_come_and_go_within_their_bounds(self, url: str) -> None:
        async with self.open(url, min_size=0, max_size=3) as pool:
            assert pool.stats().size == 0
            counts = await asyncio.gather(*[pool.fetch_val(f"SELECT COUNT(*) FROM {TABLE}") for _ in range(50)])
            assert counts == [0] * 50
            assert 1 <= pool.stats().opened <= 3
            assert pool.stats().used == 0

    async def test_all_connections_are_closed_now_or_when_they_are_given_back(self, url: str) -> None:
        """The pool stays open, and opens others. Where the database is its one connection, that is the end of it."""
        async with self.open(url, min_size=1, max_size=1) as pool:
            assert pool.get_open_connections() == 1
            pool.close_all_connections()
            assert pool.get_open_connections() == 0
            assert pool.state == "open"
        async with self.open(url, min_size=1, max_size=1) as pool:
            async with pool.acquire() as connection:
                pool.close_all_connections()
                assert pool.get_open_connections() == 1
                assert await connection.fetch_val("SELECT 1") == 1
            assert pool.get_open_connections() == 0
            await asyncio.to_thread(pool.close_all_connections)
        assert pool.get_open_connections() == 0
        pool.close_all_connections()

    @connections(2)
    async def test_the_next_caller_gets_another_connection(self, pool: Pool) -> None:
        for _ in range(3):
            pool.close_all_connections()
            assert await asyncio.gather(*[pool.fetch_val("SELECT 1") for _ in range(5)]) == [1] * 5
        await pool.settle()
        assert pool.stats().used == 0

    @pytest.mark.parametrize("name", [name for name in LINES if not name.startswith("__")])
    async def test_methods_of_the_synchronous_classes_say_what_to_write(self, url: str, name: str) -> None:
        pool: Any = open_pool(url, **self.options)
        for _ in range(2):
            with pytest.raises(AsyncPoolUsedSync) as caught:
                getattr(pool, name)("SELECT 1")
            assert LINES[name] in caught.value.remedy
            await pool.connect()
        await pool.disconnect()

    async def test_a_session_reads_what_it_wrote(self, pool: Pool) -> None:
        with pool.session():
            await self.given(pool, "aa")
            assert await Query(Country).count(pool) == 1
            async with pool.transaction() as tx:
                await tx.execute(self.insertion(pool), *self.row(pool, "bb"))
            assert await Query(Country).count(pool) == 2

    async def test_a_canceled_statement_leaves_the_pool_whole(self, pool: Pool) -> None:
        """At every await: the connection is clean before anyone else meets it, and the write happened or did not."""
        text = self.insertion(pool)

        def insert(number: int) -> Any:
            return pool.execute(text, *self.row(pool, f"{number:02}"))

        async for number, finished in cancel_at_each_await(insert):
            await pool.settle()
            assert pool.stats().used == 0
            assert (f"{number:02}" in await self.codes(pool)) or not finished
        await self.given(pool, "zz")


class PoolConformance(LifeTests, TransactionTests, UnitOfWorkTests, RerunTests, ObserverTests, HealthTests):
    """Pools, transactions, units of work, observers, health: rows, limits, cancellation, all or nothing."""


async def _ask(pool: Pool) -> None:
    await pool.fetch_val("SELECT 1")


async def _until(condition: Any) -> None:
    """Let other tasks run until `condition()` holds."""
    while not condition():  # noqa: ASYNC110 - what is waited for is the pool's own state, which has no event
        await asyncio.sleep(0)
