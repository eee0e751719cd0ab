"""What each isolation level lets happen between two transactions: the schedules of Hermitage, asserted both ways.

An anomaly that a level does not prevent must be seen, too: it shows that a level reaches its own connection, before the
first statement, and no other. https://github.com/ept/hermitage describes the schedules.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import pytest

from faults.engines import Engine, ServerEngine, SQLite
from faults.ok_set import eventually, ok_set
from ff_storage.core.database import IsolationLevel, Pool, Transaction
from ff_storage.core.errors import SerializationFailure

Schedule = Callable[[Transaction, Transaction, Callable[[], Awaitable[None]]], Awaitable[bool]]
"""Two transactions, and a wait until one of them waits for the other's lock → whether the anomaly happened."""

TABLE: Final = "CREATE TABLE accounts (id integer PRIMARY KEY, value integer NOT NULL)"
ROWS: Final = "INSERT INTO accounts (id, value) VALUES (1, 10), (2, 20)"


async def value(tx: Transaction, key: int) -> int:
    return int(await tx.fetch_val(f"SELECT value FROM accounts WHERE id = {key}"))


async def change(tx: Transaction, key: int, new: int) -> None:
    await tx.execute(f"UPDATE accounts SET value = {new} WHERE id = {key}")


async def lost_update(one: Transaction, two: Transaction, blocked: Callable[[], Awaitable[None]]) -> bool:
    """P4: both read, both write; the second overwrites what it has not seen."""
    first, second = await value(one, 1), await value(two, 1)
    await change(one, 1, first + 1)
    waiting = asyncio.create_task(change(two, 1, second + 5))
    try:
        await blocked()
        await one.commit()
        await waiting
    finally:
        waiting.cancel()
        await asyncio.wait({waiting})
    await two.commit()
    return await value(one, 1) == 15


async def read_skew(one: Transaction, two: Transaction, blocked: Callable[[], Awaitable[None]]) -> bool:
    """G-single: one sees half of the other's work."""
    del blocked
    before = await value(one, 1)
    await change(two, 1, 12)
    await change(two, 2, 18)
    await two.commit()
    return (before, await value(one, 2)) == (10, 18)


async def write_skew(one: Transaction, two: Transaction, blocked: Callable[[], Awaitable[None]]) -> bool:
    """G2-item: each writes a row that the other has read."""
    del blocked
    for tx in (one, two):
        assert (await value(tx, 1), await value(tx, 2)) == (10, 20)
    await change(one, 1, 11)
    await change(two, 2, 21)
    await one.commit()
    await two.commit()
    return (await value(one, 1), await value(one, 2)) == (11, 21)


async def phantom_skew(one: Transaction, two: Transaction, blocked: Callable[[], Awaitable[None]]) -> bool:
    """G2: each inserts a row that the other's condition would have met."""
    del blocked
    for tx in (one, two):
        assert await tx.fetch_val("SELECT count(*) FROM accounts WHERE value % 3 = 0") == 0
    await one.execute("INSERT INTO accounts (id, value) VALUES (3, 30)")
    await two.execute("INSERT INTO accounts (id, value) VALUES (4, 42)")
    await one.commit()
    await two.commit()
    return bool(await one.fetch_val("SELECT count(*) FROM accounts WHERE value % 3 = 0") == 2)


SCHEDULES: Final[dict[str, Schedule]] = {
    "P4": lost_update,
    "G-single": read_skew,
    "G2-item": write_skew,
    "G2": phantom_skew,
}

PREVENTED: Final[dict[IsolationLevel, set[str]]] = {
    IsolationLevel.READ_UNCOMMITTED: set(),
    IsolationLevel.READ_COMMITTED: set(),
    IsolationLevel.REPEATABLE_READ: {"P4", "G-single"},
    IsolationLevel.SERIALIZABLE: {"P4", "G-single", "G2-item", "G2"},
}
"""What PostgreSQL prevents at each level."""


@pytest.fixture
async def pools(server_engine: ServerEngine) -> AsyncIterator[tuple[Pool, Pool]]:
    """Two pools of one connection each: a task may have a transaction in both."""
    async with server_engine.pool(max_size=1) as one, server_engine.pool(max_size=1) as two:
        await one.execute(TABLE)
        yield one, two


async def anomalies(pools: tuple[Pool, Pool], engine: Engine, *levels: IsolationLevel | None) -> set[str]:
    """The anomalies that happen between transactions of these levels; one that is refused prevents its own."""

    async def blocked() -> None:
        await eventually(lambda: engine.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") == [("1",)])

    found: set[str] = set()
    for name, schedule in SCHEDULES.items():
        await pools[0].execute("DELETE FROM accounts")
        await pools[0].execute(ROWS)
        with contextlib.suppress(SerializationFailure):
            async with pools[0].transaction(levels[0]) as one, pools[1].transaction(levels[-1]) as two:
                if await schedule(one, two, blocked):
                    found.add(name)
    return found


@pytest.mark.parametrize("level", PREVENTED, ids=lambda level: level.name)
async def test_a_level_prevents_what_it_promises_and_no_more(
    server_engine: ServerEngine, pools: tuple[Pool, Pool], level: IsolationLevel
) -> None:
    assert await anomalies(pools, server_engine, level) == set(SCHEDULES) - PREVENTED[level]
    for pool in pools:
        # On the one connection of each: nothing of the level is left.
        async with pool.transaction() as tx:
            assert await tx.fetch_val("SHOW transaction_isolation") == "read committed"
    await pools[1].disconnect()  # the check is about one pool
    await ok_set(server_engine, pools[0])


async def test_the_default_is_what_the_pool_says(server_engine: ServerEngine, pools: tuple[Pool, Pool]) -> None:
    level = pools[0].default_isolation
    assert await anomalies(pools, server_engine, None) == set(SCHEDULES) - PREVENTED[level]


async def test_only_the_transaction_that_asks_gets_the_level(
    server_engine: ServerEngine, pools: tuple[Pool, Pool]
) -> None:
    """A serializable one is not protected from another that is not: the level is that of one connection."""
    assert "G2-item" in await anomalies(pools, server_engine, IsolationLevel.SERIALIZABLE, None)


async def test_the_level_holds_from_the_first_statement(pools: tuple[Pool, Pool]) -> None:
    for level in IsolationLevel:
        async with pools[0].transaction(level) as tx:
            assert await tx.fetch_val("SHOW transaction_isolation") == level.value.lower()
            async with tx.savepoint():
                assert await tx.fetch_val("SHOW transaction_isolation") == level.value.lower()
            for end in (tx.commit, tx.rollback):
                await end()
                assert await tx.fetch_val("SHOW transaction_isolation") == level.value.lower()


@pytest.mark.parametrize("level", [None, *IsolationLevel], ids=str)
async def test_writers_of_sqlite_follow_one_another(sqlite: SQLite, level: IsolationLevel | None) -> None:
    """The second is refused before it has read anything, whatever was asked."""
    async with sqlite.pool(**sqlite.impatient) as one, sqlite.pool(**sqlite.impatient) as two:
        await one.execute(TABLE)
        assert not await anomalies((one, two), sqlite, level)
        await ok_set(sqlite, one)


async def test_a_reader_of_sqlite_sees_one_state(sqlite: SQLite) -> None:
    async with sqlite.pool() as pool, sqlite.pool() as other:
        await pool.execute(TABLE)
        await pool.execute(ROWS)
        async with pool.transaction(readonly=True) as one, other.transaction() as two:
            assert not await read_skew(one, two, never)
        assert await pool.fetch_val("SELECT value FROM accounts WHERE id = 2") == 18
        await ok_set(sqlite, pool)


async def never() -> None:
    """No transaction waits for another in this schedule."""
    raise AssertionError
