"""Every public operation that awaits something, as a piece of work on a known database.

Each entry names what it covers as `Class.method` (a function by its own name). It begins at the state that
`World.reset` makes, and ends in one other state, or in the same when it only reads; `parts` are the states between, of
those that are not one unit by intention. `test_await_sweep` cancels each of them everywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from faults.engines import Engine
from faults.models import Extra, Item, Memo
from faults.witness import Witness
from ff_storage.core.circuit import CircuitBreaker
from ff_storage.core.database import IsolationLevel, Pool, Transaction
from ff_storage.core.database.executor import Executor
from ff_storage.core.database.health import HealthChecker, check_system_health
from ff_storage.core.metrics import async_timer
from ff_storage.core.query import Query
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository, UnitOfWork
from ff_storage.core.retry import retry_async
from ff_storage.core.testing.tables import create_tables
from ff_storage.schema import AsyncSchemaManager

Rows: TypeAlias = tuple[tuple[Any, ...], ...]

_ITEMS: Final = "SELECT number, name FROM fault_items ORDER BY number"
_MEMOS: Final = "SELECT number, item, CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END FROM fault_memos ORDER BY number"


@dataclass(slots=True)
class World:
    """A database with three items and three memos (of which the last is deleted), and a pool of one connection.

    `others` are the pools that an operation opened for itself.
    """

    engine: Engine
    pool: Pool
    witness: Witness
    others: list[Pool] = field(default_factory=list[Pool])

    @property
    def items(self) -> PydanticRepository[Item]:
        return PydanticRepository(Item, self.pool)

    @property
    def memos(self) -> PydanticRepository[Memo]:
        return PydanticRepository(Memo, self.pool)

    def other(self, min_size: int = 1) -> Pool:
        """Another pool, not open yet."""
        self.others.append(self.engine.pool(max_size=1, min_size=min_size))
        return self.others[-1]

    async def set_up(self) -> None:
        """Create the tables, and a copy of their rows, unless they are there."""
        if await self.witness.has_table("base_items"):
            return
        await create_tables(self.pool, Item, Memo)
        await bulk_insert(Item, [Item(number=n, name=f"item {n}") for n in (1, 2, 3)], self.pool)
        await bulk_insert(Memo, [Memo(number=n, item=1) for n in (1, 2, 3)], self.pool)
        await self.memos.delete(3)
        for name in ("items", "memos"):
            await self.witness.ask(f"CREATE TABLE base_{name} AS SELECT * FROM fault_{name}")

    async def state(self) -> tuple[Rows, Rows, bool]:
        """All that an operation may change."""
        items, memos = await self.witness.ask(_ITEMS), await self.witness.ask(_MEMOS)
        return tuple(items), tuple(memos), await self.witness.has_table("fault_extras")

    async def reset(self) -> None:
        """Bring back the state that every operation begins with."""
        for name in ("memos", "items"):
            await self.witness.ask(f"DELETE FROM fault_{name}")
        for name in ("items", "memos"):
            await self.witness.ask(f"INSERT INTO fault_{name} SELECT * FROM base_{name}")
        await self.witness.ask("DROP TABLE IF EXISTS fault_extras")


Work = Callable[[World], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A piece of work, and the states in which it may stop between its begin and its end."""

    work: Work
    covers: tuple[str, ...]
    parts: Callable[[Rows], Iterable[Rows]] | None = None


OPERATIONS: Final[dict[str, Operation]] = {}


def operation(*covers: str, parts: Callable[[Rows], Iterable[Rows]] | None = None) -> Callable[[Work], Work]:
    """Enter a piece of work under its own name."""

    def enter(work: Work) -> Work:
        OPERATIONS[work.__name__] = Operation(work, covers, parts)
        return work

    return enter


# --- what all executors do: pools, connections that were acquired, transactions ---------------------------------------

UPDATE: Final = "UPDATE fault_items SET name = 'changed'"
SELECT: Final = "SELECT number, name FROM fault_items ORDER BY number"


def _each(db: Executor) -> str:
    return f"UPDATE fault_items SET name = 'changed' WHERE number = {db.dialect.placeholder(1)}"


async def _fetch(db: Executor) -> None:
    assert len(await db.fetch(f"{UPDATE} RETURNING number", ())) == 3


async def _fetch_all(db: Executor) -> None:
    assert len(await db.fetch_all(f"{UPDATE} RETURNING number")) == 3


async def _fetch_one(db: Executor) -> None:
    assert await db.fetch_one(f"{UPDATE} RETURNING name") == {"name": "changed"}


async def _fetch_val(db: Executor) -> None:
    assert await db.fetch_val(f"{UPDATE} RETURNING name") == "changed"


async def _execute(db: Executor) -> None:
    assert await db.execute(UPDATE) == 3


async def _execute_many(db: Executor) -> None:
    assert await db.execute_many(_each(db), [(1,), (2,), (3,)]) == 3


async def _call(db: Executor) -> None:
    assert await db.call(lambda connection: connection.execute(UPDATE, ())) == 3


async def _run(db: Executor) -> None:
    assert await bulk_insert(Item, [Item(number=n) for n in range(4, 10)], db, batch_size=5) == 6


async def _stream(db: Executor) -> None:
    async with db.stream(SELECT, batch=2) as rows:
        assert len([row async for row in rows]) == 3


async def _stream_rows(db: Executor) -> None:
    async with db.stream_rows(SELECT, (), 2) as batches:
        assert [len(batch) async for batch in batches] == [2, 1]


async def _acquire(db: Executor) -> None:
    async with db.acquire() as connection:
        assert await connection.fetch_val("SELECT 1") == 1
        assert await connection.execute(UPDATE) == 3


async def _transaction(db: Executor) -> None:
    async with db.transaction() as tx:
        for number in (1, 2, 3):
            await tx.execute(_each(db), number)


_EXECUTOR: Final[dict[str, Callable[[Executor], Awaitable[None]]]] = {
    "acquire": _acquire,
    "call": _call,
    "execute": _execute,
    "execute_many": _execute_many,
    "fetch": _fetch,
    "fetch_all": _fetch_all,
    "fetch_one": _fetch_one,
    "fetch_val": _fetch_val,
    "run": _run,
    "stream": _stream,
    "stream_rows": _stream_rows,
    "transaction": _transaction,
}


def _enter_executors(name: str, work: Callable[[Executor], Awaitable[None]]) -> None:
    async def on_pool(world: World) -> None:
        await work(world.pool)

    async def on_lease(world: World) -> None:
        async with world.pool.acquire() as connection:
            await work(connection)

    async def on_transaction(world: World) -> None:
        async with world.pool.transaction() as tx:
            await work(tx)

    for kind, covered in (("Pool", on_pool), ("Lease", on_lease), ("Transaction", on_transaction)):
        OPERATIONS[f"{kind}.{name}"] = Operation(covered, (f"{kind}.{name}",))


for _name, _work in _EXECUTOR.items():
    _enter_executors(_name, _work)


# --- pools ------------------------------------------------------------------------------------------------------------


@operation("Pool.connect", "Pool.disconnect")
async def opened_and_closed(world: World) -> None:
    pool = world.other()
    try:
        await pool.connect()
        assert await pool.execute(UPDATE) == 3
    finally:
        await pool.disconnect()


@operation("Pool.__aenter__", "Pool.__aexit__")
async def open_for_a_block(world: World) -> None:
    async with world.other() as pool:
        assert await pool.execute(UPDATE) == 3


@operation("Pool.acquire", "Pool.transaction")
async def connected_on_demand(world: World) -> None:
    """The caller waits while the pool connects."""
    pool = world.other(min_size=0)
    await pool.connect()
    try:
        async with pool.transaction() as tx:
            await tx.execute(_each(tx), 1)
            await tx.execute(_each(tx), 2)
    finally:
        await pool.disconnect()


@operation("Pool.settle")
async def settled(world: World) -> None:
    async with world.pool.acquire() as connection:
        await connection.execute("CREATE TEMP TABLE swept (n integer)")
    await world.pool.settle()
    assert await world.pool.execute(UPDATE) == 3


@operation("Pool.lease")
async def leased(world: World) -> None:
    lease = await world.pool.lease()
    try:
        await lease.execute(UPDATE)
    except BaseException as error:
        lease.give_back(error)
        raise
    lease.give_back()


@operation("Pool.run_in_transaction")
async def run_in_transaction(world: World) -> None:
    async def work(tx: Transaction) -> int:
        await tx.execute(UPDATE)
        return await world.items.count(connection=tx)

    assert await world.pool.run_in_transaction(work, isolation=IsolationLevel.SERIALIZABLE) == 3


@operation("Pool.session")
async def within_a_session(world: World) -> None:
    """A pool that is its own replica, where the engine lets it."""
    pool = world.other()
    pool.serve_reads_from([world.other()])
    items = PydanticRepository(Item, pool)
    try:
        await pool.connect()
        async with pool.session():
            assert await items.count() == 3
            assert await pool.execute(UPDATE) == 3
            for _ in range(2):
                assert await items.count({"name": "changed"}) == 3
    finally:
        await pool.disconnect()


@operation("Pool.check_health", "HealthChecker.check_database_pool")
async def health_of_a_pool(world: World) -> None:
    assert (await world.pool.check_health()).is_healthy
    assert (await HealthChecker().check_database_pool(world.pool)).is_healthy


@operation("HealthChecker.check_metrics", "HealthChecker.run_all_checks", "check_system_health")
async def health_of_all(world: World) -> None:
    checker = HealthChecker()
    checker.register_check("database", world.pool.check_health, is_async=True)
    assert await checker.run_all_checks()
    assert (await checker.check_metrics()).name == "metrics"
    assert await check_system_health()


_TIMER: Final = ("AsyncTimerContext.__aenter__", "AsyncTimerContext.__aexit__")


@operation("CircuitBreaker.async_call", "retry_async", "async_timer", *_TIMER)
async def through_a_breaker_with_retries(world: World) -> None:
    calls = 0
    breaker = CircuitBreaker(failure_threshold=1)

    @retry_async(max_attempts=5)
    async def work() -> int:
        nonlocal calls
        calls += 1
        return await world.pool.execute(UPDATE)

    try:
        async with async_timer("sweep"):
            assert await breaker.async_call(work) == 3
    finally:
        assert calls <= 1, "a cancellation was tried again"
        assert not breaker.is_open, "a cancellation was taken for a failure"


# --- transactions -----------------------------------------------------------------------------------------------------


@operation("Transaction.__aenter__", "Transaction.__aexit__", "Transaction.commit", "Transaction.rollback")
async def committed_by_hand(world: World) -> None:
    async with Transaction(world.pool, IsolationLevel.REPEATABLE_READ) as tx:
        await tx.execute("DELETE FROM fault_memos")
        await tx.rollback()
        await tx.execute(_each(tx), 1)
        await tx.execute(_each(tx), 2)
        await tx.commit()
        await tx.execute("DELETE FROM fault_memos")
        await tx.rollback()


@operation("Transaction.savepoint", "Savepoint.__aenter__", "Savepoint.__aexit__")
async def within_savepoints(world: World) -> None:
    async with world.pool.transaction() as tx:
        await tx.execute(_each(tx), 1)
        with contextlib.suppress(ZeroDivisionError):
            async with tx.savepoint():
                await tx.execute("DELETE FROM fault_memos")
                raise ZeroDivisionError
        async with tx.savepoint(), tx.savepoint():
            await tx.execute(_each(tx), 2)


@operation("Savepoint.release", "Savepoint.rollback")
async def savepoints_by_hand(world: World) -> None:
    async with world.pool.transaction() as tx:
        await tx.execute(_each(tx), 1)
        async with tx.savepoint() as point:
            await tx.execute("DELETE FROM fault_memos")
            await point.rollback()
        async with tx.savepoint() as point:
            await tx.execute(_each(tx), 2)
            await point.release()


@operation("UnitOfWork.__aenter__", "UnitOfWork.__aexit__", "UnitOfWork.savepoint")
async def unit_of_work(world: World) -> None:
    async with UnitOfWork(world.pool) as uow:
        await uow.repository(Item).create(Item(number=4))
        async with uow.savepoint():
            await uow.repository(Memo).create(Memo(number=4, item=4))
        assert await uow.repository(Memo).delete(1)


@operation("UnitOfWork.commit", "UnitOfWork.rollback")
async def unit_of_work_by_hand(world: World) -> None:
    async with UnitOfWork(world.pool) as uow:
        await uow.repository(Item).create(Item(number=5))
        await uow.rollback()
        await uow.repository(Item).create(Item(number=4))
        await uow.repository(Memo).create(Memo(number=4, item=4))
        await uow.commit()
        assert await uow.repository(Item).count() == 4


# --- repositories -----------------------------------------------------------------------------------------------------


@operation(*[f"PydanticRepository.{name}" for name in ("get", "get_many", "list", "count")])
async def read(world: World) -> None:
    items = world.items
    assert await items.get(1) is not None
    assert len(await items.get_many([1, 2, 7])) == 3
    assert len(await items.list()) == await items.count() == 3


@operation("PydanticRepository.create")
async def created(world: World) -> None:
    await world.items.create(Item(number=4, name="new"))


@operation("PydanticRepository.create_many")
async def many_created(world: World) -> None:
    assert len(await world.items.create_many([Item(number=n) for n in range(4, 9)], batch_size=2)) == 5


def _in_chunks(final: Rows) -> Iterable[Rows]:
    return (final[:5], final[:7])


@operation("PydanticRepository.create_many", parts=_in_chunks)
async def many_created_chunk_by_chunk(world: World) -> None:
    await world.items.create_many([Item(number=n) for n in range(4, 9)], batch_size=2, atomic=False)


@operation("PydanticRepository.update")
async def updated(world: World) -> None:
    await world.items.update(1, Item(number=1, name="changed"))


@operation("PydanticRepository.delete")
async def deleted(world: World) -> None:
    assert await world.memos.delete(1)


@operation("PydanticRepository.delete")
async def deleted_where_others_refer_to_it(world: World) -> None:
    assert await world.items.delete(1)


@operation("PydanticRepository.restore")
async def restored(world: World) -> None:
    assert await world.memos.restore(3) is not None


@operation("PydanticRepository.transaction")
async def within_the_transaction_of_a_repository(world: World) -> None:
    items, memos = world.items, world.memos
    async with items.transaction():
        await items.create(Item(number=4))
        await memos.create(Memo(number=4, item=4))
        await memos.restore(3)


# --- queries, bulk, schema --------------------------------------------------------------------------------------------


@operation(*[f"Query.{name}" for name in ("execute", "first", "one", "scalar", "count", "exists", "stream")])
async def queried(world: World) -> None:
    query, pool = Query(Item).order_by(Item.number), world.pool
    assert len(await query.execute(pool)) == await query.count(pool) == 3
    assert await query.first(pool) is not None
    assert (await query.filter(Item.number == 2).one(pool)).name == "item 2"
    assert await Query(Item).filter(Item.number == 2).select(Item.name).scalar(pool) == "item 2"
    assert await query.exists(pool)
    async with query.stream(pool, batch=2) as rows:
        assert len([row async for row in rows]) == 3


@operation("bulk_insert")
async def inserted_in_bulk(world: World) -> None:
    assert await bulk_insert(Item, [Item(number=n) for n in range(4, 24)], world.pool, batch_size=8) == 20


@operation("bulk_insert", parts=lambda final: (final[:9], final[:15]))
async def inserted_chunk_by_chunk(world: World) -> None:
    await bulk_insert(Item, [Item(number=n) for n in range(4, 20)], world.pool, batch_size=6, atomic=False)


@operation("AsyncSchemaManager.sync_schema")
async def schema_synchronized(world: World) -> None:
    assert await AsyncSchemaManager(world.pool).sync_schema([Item, Memo, Extra]) > 0
