"""A transaction of which the server has kept nothing does not end as if it had."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import InvalidValueError, QueryError, TransactionAborted
from ff_storage.core.program import Target

ITEMS = Target(None, "items", ("id",))


@pytest_asyncio.fixture
async def pool(empty_database: str) -> AsyncIterator[Pool]:
    async with open_pool(empty_database, max_size=2) as pool:
        await pool.execute("CREATE TABLE items (id integer)")
        yield pool


def failing() -> Iterator[tuple[int]]:
    yield from [(number,) for number in range(20)]
    raise ZeroDivisionError


async def test_rows_that_fail_on_their_way_doom_the_transaction(pool: Pool) -> None:
    """The server knows that COPY has failed, and answers the COMMIT with a rollback and no error."""
    for rows, failure in ((failing(), ZeroDivisionError), ([(1,)] * 20 + [("x",)], InvalidValueError)):
        with pytest.raises(TransactionAborted):
            async with pool.transaction() as tx:
                await tx.execute("INSERT INTO items VALUES (1)")
                with pytest.raises(failure):
                    await tx.call(lambda driver, rows=rows: driver.execute_many("", rows, ITEMS))
        assert await pool.fetch_val("SELECT count(*) FROM items") == 0
    async with pool.transaction() as tx:
        await tx.execute("INSERT INTO items VALUES (1)")
    assert await pool.fetch_val("SELECT count(*) FROM items") == 1


async def test_one_that_the_pool_cut_off_says_so(pool: Pool) -> None:
    """Its connection was closed before COMMIT was sent: the outcome is known, and no error is the driver's own."""
    with pytest.raises(TransactionAborted):
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO items VALUES (1)")
            await pool.disconnect(0.05)
    await pool.connect()
    with pytest.raises(TransactionAborted):
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO items VALUES (1)")
            await pool.disconnect(0.05)
            await pool.connect()
            with pytest.raises(TransactionAborted):
                await tx.execute("INSERT INTO items VALUES (2)")
    assert await pool.fetch_val("SELECT count(*) FROM items") == 0


async def test_a_stream_that_failed_tells_so_once(pool: Pool) -> None:
    async with pool.stream("SELECT 1 / (3 - n) FROM generate_series(1, 5) n", batch=1) as rows:
        with pytest.raises(QueryError):
            [row async for row in rows]
    assert pool.stats().used == 0


async def test_an_empty_statement_touches_no_row(pool: Pool) -> None:
    assert await pool.execute("") == 0
    async with pool.transaction() as tx:
        assert await tx.execute("-- nothing") == 0
        await tx.execute("INSERT INTO items VALUES (1)")
    assert await pool.fetch_val("SELECT count(*) FROM items") == 1
