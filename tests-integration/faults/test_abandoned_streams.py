"""F31: streams that nobody reads to their end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any

import pytest

from faults.engines import Engine, ServerEngine
from faults.ledger import enter, new_unit, store
from faults.models import Item
from faults.ok_set import canceled, ok_set, ours, until
from ff_storage.core.database import Pool
from ff_storage.core.errors import ConnectionLost, PoolError, QueryError, TransactionAborted
from ff_storage.core.query import Query
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.testing.tables import create_tables

ROWS = 50
SQL = "SELECT number FROM fault_items ORDER BY number"
KINDS = ["raw", "query", "transaction"]


@pytest.fixture
async def pool(engine: Engine) -> AsyncIterator[Pool]:
    """A pool of one connection, on a table with rows."""
    async with engine.pool(max_size=1) as pool:
        await create_tables(pool, Item)
        await bulk_insert(Item, [Item(number=number) for number in range(ROWS)], pool)
        yield pool


def stream(pool: Pool, kind: str) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
    """One of the ways to stream; each batch is a part of the rows."""
    if kind == "query":
        return Query(Item).order_by(Item.number).stream(pool, batch=7)
    return pool.stream(SQL, batch=7)


async def numbers(pool: Pool, kind: str) -> AsyncGenerator[int]:
    """What people write around a stream: its block ends when the generator does, whenever that is."""
    if kind == "transaction":
        async with pool.transaction() as tx:
            await enter(pool, new_unit(), 1)
            async with tx.stream(SQL, batch=7) as rows:
                async for row in rows:
                    yield row["number"]
            raise ZeroDivisionError  # the unit is never whole
    async with stream(pool, kind) as rows:
        async for row in rows:
            yield row.number if kind == "query" else row["number"]


@pytest.mark.parametrize("kind", ["raw", "query"])
async def test_f31_a_block_left_early_gives_everything_back(engine: Engine, pool: Pool, kind: str) -> None:
    """And its iterator gives nothing more, not even what was fetched already."""
    for read in (0, 1, 7, 8, ROWS):
        async with stream(pool, kind) as rows:
            for _ in range(read):
                await anext(rows)
        with pytest.raises(StopAsyncIteration):
            await anext(rows)
        assert pool.stats().idle == 1
    async with stream(pool, kind) as rows:
        async for _ in rows:
            break
    assert pool.stats().idle == 1
    with pytest.raises(ZeroDivisionError):
        async with stream(pool, kind) as rows:
            async for _ in rows:
                raise ZeroDivisionError
    await ok_set(engine, pool)


@pytest.mark.parametrize("kind", KINDS)
async def test_f31_a_generator_that_is_forgotten_is_ended_by_the_loop(engine: Engine, pool: Pool, kind: str) -> None:
    """Nobody closes it; the loop does when it is collected, in another task and another context."""
    for _ in range(3):
        async for number in numbers(pool, kind):
            if number == 9:
                break
        gc.collect()
        await until(lambda: pool.stats().used == 0)
    with pool.detached():
        await ok_set(engine, pool)
    await ok_set(engine, pool)


@pytest.mark.parametrize("kind", KINDS)
async def test_f31_a_generator_that_another_task_closes(engine: Engine, pool: Pool, kind: str) -> None:
    generator = numbers(pool, kind)
    assert await anext(generator) == 0
    assert pool.stats().used == 1
    await asyncio.create_task(generator.aclose())
    await ok_set(engine, pool)


@pytest.mark.parametrize("kind", KINDS)
async def test_f31_a_generator_that_is_closed_after_the_pool(engine: Engine, kind: str, pool: Pool) -> None:
    generator = numbers(pool, kind)
    assert await anext(generator) == 0
    await pool.disconnect(timeout=0.05)
    assert pool.stats().size == 0
    with suppress(PoolError, ConnectionLost):
        await generator.aclose()
    async with engine.pool(max_size=1) as other:
        await ok_set(engine, other)
    await pool.connect()
    await ok_set(engine, pool)


@pytest.mark.parametrize("kind", KINDS)
async def test_f31_a_reader_that_is_canceled(engine: Engine, pool: Pool, kind: str) -> None:
    """Between two rows, where it awaits something of its own."""
    reached = asyncio.Event()

    async def read() -> None:
        async with aclosing(numbers(pool, kind)) as generator:
            async for number in generator:
                if number == 9:
                    reached.set()
                    await asyncio.sleep(60)

    task = asyncio.create_task(read())
    await reached.wait()
    await canceled(task)
    await ok_set(engine, pool)


@pytest.mark.parametrize("kind", ["raw", "query"])
async def test_f31_a_stream_ends_with_the_transaction_around_it(engine: Engine, pool: Pool, kind: str) -> None:
    """Committed and rolled back under its feet; it must not hand out a short result as a whole one."""
    for end in ("commit", "rollback"):
        with ours(TransactionAborted):
            async with pool.transaction() as tx:
                with ours(QueryError, match="read it before"):
                    async with stream(pool, kind) as rows:
                        await anext(rows)
                        await getattr(tx, end)()
                        async for _ in rows:
                            pass
    await ok_set(engine, pool)


async def test_f31_a_stream_whose_connection_dies_is_no_short_result(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=1) as pool:
        await store(pool)
        with ours(ConnectionLost):
            async with pool.stream("SELECT generate_series(1, 100000) AS n", batch=10) as rows:
                async for row in rows:
                    if row["n"] == 10:
                        server_engine.kill_all()
        await ok_set(server_engine, pool)
