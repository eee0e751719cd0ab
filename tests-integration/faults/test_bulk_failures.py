"""F40: a bulk insert that fails in one of its chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from faults.engines import Engine, ServerEngine
from faults.models import Item
from faults.ok_set import check_ours, ok_set, ours
from faults.proxy import UP, FaultProxy
from ff_storage.core.database import Pool
from ff_storage.core.errors import ConnectionLost, DatabaseError, UniqueViolation
from ff_storage.core.query import ChunkResult
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.tables import create_tables

ROWS = 5_000
BATCH = 1_000
TWICE = 2_500
"""The row, counted from 0, that has the key of the first."""


def items() -> Iterator[Item]:
    for number in range(ROWS):
        yield Item(number=0 if number == TWICE else number, name=f"item {number}")


@pytest.fixture
async def pool(engine: Engine) -> AsyncIterator[Pool]:
    """A pool on an empty table."""
    async with engine.pool() as pool:
        await create_tables(pool, Item)
        yield pool


def check_named(error: DatabaseError, size: int = BATCH) -> None:
    """Assert that an error says where it was: in which chunk, and which rows that is."""
    start = TWICE // size * size
    assert error.details["chunk"] == start // size + 1
    assert error.details["rows"] == (start, start + size)
    (note,) = error.__notes__
    assert f"chunk {start // size + 1} " in note
    assert f"rows {start} to {start + size - 1}" in note
    assert "item 2500" not in f"{error} {note}"


@pytest.mark.parametrize("size", [BATCH, 100])
async def test_f40_a_failing_chunk_takes_the_whole_back(engine: Engine, pool: Pool, size: int) -> None:
    with ours(UniqueViolation) as caught:
        await bulk_insert(Item, items(), pool, batch_size=size)
    check_named(caught.value, size)
    assert engine.ask("SELECT count(*) FROM fault_items") in ([("0",)], [(0,)])
    await ok_set(engine, pool)


async def test_f40_one_statement_for_all_takes_the_whole_back(engine: Engine, pool: Pool) -> None:
    with ours(UniqueViolation) as caught:
        await bulk_insert(Item, items(), pool, batch_size=ROWS)
    assert caught.value.details["rows"] == (0, ROWS)
    await ok_set(engine, pool)
    assert await PydanticRepository(Item, pool).count() == 0


async def test_f40_create_many_does_the_same(engine: Engine, pool: Pool) -> None:
    repository = PydanticRepository(Item, pool)
    with ours(UniqueViolation) as caught:
        await repository.create_many(items(), batch_size=BATCH)
    check_named(caught.value)
    assert await repository.count() == 0
    await ok_set(engine, pool)


async def test_f40_within_a_transaction_a_savepoint_stands_around_it(engine: Engine, pool: Pool) -> None:
    """Who catches the error there keeps what was done before, and none of the chunks."""
    repository = PydanticRepository(Item, pool)
    async with pool.transaction():
        await repository.create(Item(number=ROWS + 1))
        with ours(UniqueViolation) as caught:
            await bulk_insert(Item, items(), pool, batch_size=BATCH)
        check_named(caught.value)
        await repository.create(Item(number=ROWS + 2))
    assert {item.number for item in await repository.list()} == {ROWS + 1, ROWS + 2}
    await ok_set(engine, pool)


def check_chunks(results: list[ChunkResult], kind: type[DatabaseError]) -> None:
    """Assert that the third chunk failed as a whole, and no other did."""
    assert [(result.start, result.stop) for result in results] == [(n, n + BATCH) for n in range(0, ROWS, BATCH)]
    assert [result.count for result in results] == [BATCH, BATCH, 0, BATCH, BATCH]
    assert [result.error is not None for result in results] == [False, False, True, False, False]
    error = results[2].error
    assert isinstance(error, kind)
    check_ours(error)


async def test_f40_chunks_that_stand_for_themselves_say_what_became_of_each(engine: Engine, pool: Pool) -> None:
    repository = PydanticRepository(Item, pool)
    for write in (
        bulk_insert(Item, items(), pool, batch_size=BATCH, atomic=False),
        repository.create_many(items(), batch_size=BATCH, atomic=False),
    ):
        check_chunks(await write, UniqueViolation)
        assert await repository.count() == ROWS - BATCH
        assert await repository.count({"number": [*range(2_000, 3_000)]}) == 0
        await pool.execute("DELETE FROM fault_items")
    await ok_set(engine, pool)


async def test_f40_a_connection_lost_in_a_chunk(server_engine: ServerEngine, proxy: FaultProxy) -> None:
    """All or nothing is nothing; chunks of their own go on through another connection."""

    def sound() -> Iterator[Item]:
        return (Item(number=number, name=f"item {number}") for number in range(ROWS))

    async with server_engine.pool(server_engine.by(proxy), max_size=1) as pool:
        await create_tables(pool, Item)
        repository = PydanticRepository(Item, pool)
        proxy.at(UP, b"item 2500", proxy.reset_all)
        with ours(ConnectionLost) as caught:
            await bulk_insert(Item, sound(), pool, batch_size=BATCH)
        # What the server has read by then cannot be known, so more than the one chunk may be named.
        start, stop = caught.value.details["rows"]
        assert start <= TWICE < stop
        assert f"rows {start} to {stop - 1}" in caught.value.__notes__[0]
        assert await repository.count() == 0
        proxy.at(UP, b"item 2500", proxy.reset_all)
        check_chunks(await bulk_insert(Item, sound(), pool, batch_size=BATCH, atomic=False), ConnectionLost)
        assert await repository.count() == ROWS - BATCH
        await ok_set(server_engine, pool)
