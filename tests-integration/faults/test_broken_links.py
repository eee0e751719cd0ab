"""Links that break in the middle, and links that are slow and cut everything to pieces."""

from __future__ import annotations

import pytest

from faults.engines import ServerEngine
from faults.ledger import store
from faults.ok_set import ok_set, ours
from faults.proxy import DOWN, UP, FaultProxy
from ff_storage.core.errors import ConnectionFailure, ConnectionLost

ROWS = "SELECT n, repeat('x', 100) AS filling FROM generate_series(1, 5000) AS n"
"""About 600 kB."""


@pytest.mark.parametrize("after", [1, 1_000, 200_000])
async def test_f07_a_result_that_is_cut_off_is_an_error_and_no_shorter_list(
    server_engine: ServerEngine, proxy: FaultProxy, after: int
) -> None:
    async with server_engine.pool(server_engine.by(proxy), max_size=1) as pool:
        await store(pool)
        for fetch in (pool.fetch_all(ROWS), pool.fetch(ROWS, ())):
            discarded = pool.stats().discarded
            proxy.cut_after(DOWN, after)
            with ours(ConnectionLost) as caught:
                await fetch
            assert caught.value.sent
            assert await pool.fetch_val("SELECT 1") == 1
            assert pool.stats().discarded == discarded + 1
        await ok_set(server_engine, pool)


async def test_f07_a_stream_that_is_cut_off_does_not_end_like_a_whole_one(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    async with server_engine.pool(server_engine.by(proxy), max_size=1) as pool:
        await store(pool)
        seen = 0
        proxy.cut_after(DOWN, 300_000)
        with ours(ConnectionLost):
            async with pool.stream(ROWS, batch=100) as rows:
                async for _ in rows:
                    seen += 1
        assert 0 < seen < 5000
        await ok_set(server_engine, pool)


async def test_f07_a_bulk_that_is_cut_off_stores_nothing(server_engine: ServerEngine, proxy: FaultProxy) -> None:
    async with server_engine.pool(server_engine.by(proxy), max_size=1) as pool:
        await store(pool)
        marks = f"{pool.dialect.placeholder(1)}, {pool.dialect.placeholder(2)}"
        rows = [(unit, half) for unit in range(1000) for half in (1, 2)]
        proxy.cut_after(UP, 20_000)
        with ours(ConnectionLost):
            await pool.execute_many(f"INSERT INTO halves (unit, half) VALUES ({marks})", rows)
        await ok_set(server_engine, pool)
        assert not {*range(1000)} & server_engine.stored().keys()


@pytest.mark.parametrize("after", [0, 1, 20, 100])
async def test_f07_a_link_that_is_cut_while_connecting_is_a_failure_to_connect(
    server_engine: ServerEngine, proxy: FaultProxy, after: int
) -> None:
    pool = server_engine.pool(server_engine.by(proxy), min_size=1)
    proxy.cut_after(DOWN, after)
    with ours(ConnectionFailure):
        await pool.connect()
    async with pool:
        await ok_set(server_engine, pool)


async def test_f09_a_slow_link_in_slices_of_one_byte_gives_the_same(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    few = ROWS.replace("5000", "40")
    async with server_engine.pool() as direct:
        expected = await direct.fetch_all(few)
    async with server_engine.pool(server_engine.by(proxy), max_size=2) as pool:
        await store(pool)
        proxy.slice = 1
        proxy.latency = 0.2
        assert await pool.fetch_all(few) == expected
        proxy.latency = 0.001
        for _ in range(3):
            await store(pool)
            assert await pool.fetch_all(few) == expected
            async with pool.stream(few, batch=7) as rows:
                assert [row async for row in rows] == expected
        await ok_set(server_engine, pool)
