"""A storm: jobs of every kind through one pool, some canceled, some out of time, their connections killed at random."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from faults.engines import Engine, ServerEngine
from faults.ledger import TABLE, enter, new_unit
from faults.models import Item
from faults.ok_set import check_ours, ok_set
from faults.soak import SEED, count
from faults.witness import witness
from ff_storage.core.database import IsolationLevel, Pool, Transaction
from ff_storage.core.errors import PoolTimeout, QueryError, StorageError, TransactionAborted
from ff_storage.core.query import Query
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository, UnitOfWork
from ff_storage.core.testing.tables import create_tables

JOBS: Final = 3_000
TASKS: Final = 24
CONNECTIONS: Final = 4
BULK: Final = 12

ENDS: Final = {"done", "done in time", "out of time", "canceled", "too late to cancel", "SerializationFailure"}
"""How a job may end where nobody is killed. Any other error means that a job met what another had left."""

ENDS_OF_KILLED: Final = {"killed", "ConnectionLost", "CommitOutcomeUnknown", "TransactionAborted"}


@dataclass(slots=True)
class Storm:
    """What happens, by chance; and what the jobs were told."""

    engine: Engine
    pool: Pool
    chance: random.Random
    acknowledged: set[int] = field(default_factory=set[int])
    ended: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, how: str) -> None:
        self.ended[how] = self.ended.get(how, 0) + 1


Job = Callable[[Storm], Awaitable[object]]


async def plain(storm: Storm) -> None:
    unit = new_unit()
    async with storm.pool.transaction():
        await enter(storm.pool, unit, 1)
        await enter(storm.pool, unit, 2)
    storm.acknowledged.add(unit)


async def with_savepoint(storm: Storm) -> None:
    unit = new_unit()
    async with storm.pool.transaction() as tx:
        await enter(storm.pool, unit, 1)
        with contextlib.suppress(QueryError):
            async with tx.savepoint():
                await tx.execute("SELEC")
        await enter(storm.pool, unit, 2)
    storm.acknowledged.add(unit)


async def run_again(storm: Storm) -> None:
    unit = new_unit()

    async def work(tx: Transaction) -> None:
        await enter(storm.pool, unit, 1, tx)
        await tx.fetch_val(f"SELECT count(*) FROM {TABLE} WHERE half = 1")
        await enter(storm.pool, unit, 2, tx)

    await storm.pool.run_in_transaction(work, isolation=IsolationLevel.SERIALIZABLE, retries=2)
    storm.acknowledged.add(unit)


async def unit_of_work(storm: Storm) -> None:
    unit = new_unit()
    async with UnitOfWork(storm.pool) as uow:
        await uow.repository(Item).create(Item(number=unit))
        for half in (1, 2):
            await enter(storm.pool, unit, half, uow.connection)
    storm.acknowledged.add(unit)


async def in_bulk(storm: Storm) -> None:
    numbers = [new_unit() for _ in range(BULK)]
    await bulk_insert(Item, [Item(number=number, name="bulk") for number in numbers], storm.pool, batch_size=5)


async def undone(storm: Storm) -> None:
    unit = new_unit()
    with contextlib.suppress(ZeroDivisionError):
        async with storm.pool.transaction():
            await enter(storm.pool, unit, 1)
            raise ZeroDivisionError


async def left_open(storm: Storm) -> None:
    """What raw SQL leaves behind: an open transaction, a temporary table, a lock."""
    async with storm.pool.acquire() as connection:
        await connection.execute("CREATE TEMP TABLE mine (n integer)")
        if isinstance(storm.engine, ServerEngine):
            await connection.fetch_val(f"SELECT pg_advisory_lock({storm.chance.randrange(1_000_000)})")
        await connection.execute("BEGIN")
        await connection.execute(f"INSERT INTO {TABLE} (unit, half) VALUES ({new_unit()}, 1)")


async def read(storm: Storm) -> None:
    repository = PydanticRepository(Item, storm.pool)
    await repository.get(1)
    await repository.list(limit=5)
    await storm.pool.fetch_all(f"SELECT unit FROM {TABLE} LIMIT 20")


async def streamed(storm: Storm) -> None:
    stop = storm.chance.randrange(1, 30)
    async with Query(Item).stream(storm.pool, batch=5) as rows:
        async for _ in rows:
            stop -= 1
            if stop == 0:
                break


async def slow(storm: Storm) -> None:
    await storm.pool.fetch_val(storm.engine.slow(0.03))


KINDS: Final[list[Job]] = [
    plain, plain, with_savepoint, run_again, unit_of_work, in_bulk, undone, left_open, read, read, streamed, slow,
]  # fmt: skip


async def suffer(storm: Storm, job: Job) -> None:
    """Run a job, and by chance cancel it, give it little time, or leave it alone."""
    fate = storm.chance.random()
    delay = storm.chance.random() ** 2 * 0.2
    try:
        if fate < 0.2:
            task = asyncio.ensure_future(job(storm))
            await asyncio.sleep(delay)
            task.cancel()
            if fate < 0.05:
                await asyncio.sleep(0)
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
                storm.note("too late to cancel")
                return
            storm.note("canceled")
        elif fate < 0.4:
            async with asyncio.timeout(delay):
                await job(storm)
            storm.note("done in time")
        else:
            await job(storm)
            storm.note("done")
    except TimeoutError:
        storm.note("out of time")
    except StorageError as error:
        check_ours(error, driver=not isinstance(error, PoolTimeout | TransactionAborted))
        storm.note(type(error).__name__)
        if isinstance(error, QueryError):
            import traceback

            traceback.print_exception(error)


async def kill(storm: Storm) -> None:
    """End a session of the library now and then."""
    async with witness(storm.engine) as outside:
        while True:
            await asyncio.sleep(storm.chance.random() * 0.03)
            if await outside.kill_one():
                storm.note("killed")


async def weather(storm: Storm) -> None:
    """Run the jobs, many at a time, in an order of chance."""
    jobs = iter([storm.chance.choice(KINDS) for _ in range(count(JOBS))])

    async def work() -> None:
        for job in jobs:
            await suffer(storm, job)

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(work())


@contextlib.asynccontextmanager
async def prepared(engine: Engine) -> AsyncGenerator[Storm]:
    """A database with some rows, and what is asserted when the storm is over."""
    async with engine.pool(max_size=CONNECTIONS, acquire_timeout=10.0) as pool:
        await create_tables(pool, Item)
        await bulk_insert(Item, [Item(number=number) for number in range(50)], pool)
        storm = Storm(engine, pool, random.Random(SEED))
        yield storm
        await ok_set(engine, pool)
        assert storm.acknowledged <= set(engine.stored())
        assert await pool.fetch_val("SELECT count(*) FROM fault_items WHERE name = 'bulk'") % BULK == 0
        assert storm.ended["done"] > count(JOBS) / 10
        for how in ("canceled", "out of time"):
            assert storm.ended[how] > 0, storm.ended


async def test_a_storm_of_cancellations_leaves_nothing_behind(engine: Engine) -> None:
    async with prepared(engine) as storm:
        await weather(storm)
        assert storm.ended.keys() <= ENDS, storm.ended


async def test_a_storm_of_cancellations_and_kills_leaves_nothing_behind(server_engine: ServerEngine) -> None:
    async with prepared(server_engine) as storm:
        killer = asyncio.create_task(kill(storm))
        try:
            await weather(storm)
        finally:
            killer.cancel()
            await asyncio.wait({killer})
        assert killer.cancelled()
        assert storm.ended.keys() <= ENDS | ENDS_OF_KILLED, storm.ended
        assert storm.ended["killed"] > 0
