"""F25, F32, F33, F35–F38, F41: how transactions end when something is in their way."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from faults.engines import Engine, ServerEngine, SQLite
from faults.ledger import TABLE, enter, insertion, new_unit, store
from faults.models import Item
from faults.ok_set import canceled, eventually, ok_set, ours, until
from faults.proxy import DOWN, UP, FaultProxy
from ff_storage.core.database import IsolationLevel, Pool, Transaction
from ff_storage.core.errors import (
    CommitOutcomeUnknown,
    ConnectionLost,
    DatabaseError,
    ForeignKeyViolation,
    QueryError,
    SerializationFailure,
    TransactionAborted,
    UniqueViolation,
)
from ff_storage.core.repository import PydanticRepository, UnitOfWork
from ff_storage.core.testing.tables import create_tables

# --- F32: the answer to COMMIT is lost -------------------------------------------------------------------------------


async def by_transaction(pool: Pool, unit: int, note: Callable[[], None]) -> None:
    async with pool.transaction() as tx:
        note()
        await enter(pool, unit, 1, tx)
        await enter(pool, unit, 2, tx)


async def by_run(pool: Pool, unit: int, note: Callable[[], None]) -> None:
    async def work(tx: Transaction) -> None:
        note()
        await enter(pool, unit, 1, tx)
        await enter(pool, unit, 2, tx)

    await pool.run_in_transaction(work, retries=5)


async def by_unit_of_work(pool: Pool, unit: int, note: Callable[[], None]) -> None:
    async with UnitOfWork(pool) as uow:
        note()
        await enter(pool, unit, 1, uow.connection)
        await enter(pool, unit, 2, uow.connection)


WAYS: dict[str, Callable[[Pool, int, Callable[[], None]], Coroutine[Any, Any, None]]] = {
    "transaction": by_transaction,
    "run": by_run,
    "unit-of-work": by_unit_of_work,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("arrives", [True, False], ids=["committed", "not-committed"])
async def test_f32_a_lost_commit_has_an_unknown_outcome_and_is_not_repeated(
    server_engine: ServerEngine, proxy: FaultProxy, way: str, arrives: bool
) -> None:
    """Whether COMMIT arrived or not: the client cannot tell."""
    runs = 0

    def note() -> None:
        nonlocal runs
        runs += 1

    async with server_engine.pool(server_engine.by(proxy), max_size=2) as pool:
        await store(pool)
        unit = new_unit()
        proxy.at(UP, b"COMMIT", lambda: proxy.swallowed.add(DOWN if arrives else UP))
        task = asyncio.create_task(WAYS[way](pool, unit, note))
        await until(lambda: bool(proxy.swallowed))
        if arrives:
            await eventually(lambda: unit in server_engine.stored())
        proxy.reset_all()
        with ours(CommitOutcomeUnknown):
            await task
        proxy.heal()
        assert (runs, pool.stats().reruns) == (1, 0)
        await ok_set(server_engine, pool)
        assert server_engine.stored().get(unit, 0) == (2 if arrives else 0)


async def test_f32_a_lost_answer_to_a_single_write_is_not_repeated_either(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    async with server_engine.pool(server_engine.by(proxy), max_size=2) as pool:
        await store(pool)
        unit = new_unit()
        both = f"INSERT INTO {TABLE} (unit, half) VALUES ({unit}, 1), ({unit}, 2) -- in one"
        proxy.at(UP, b"-- in one", lambda: proxy.swallowed.add(DOWN))
        proxy.swallowed.clear()
        task = asyncio.create_task(pool.execute(both))
        await until(lambda: DOWN in proxy.swallowed)
        await asyncio.sleep(0.05)
        proxy.reset_all()
        with ours(ConnectionLost) as caught:
            await task
        assert caught.value.sent
        proxy.heal()
        await ok_set(server_engine, pool)


async def test_f25_a_connection_that_was_gone_before_commit_has_committed_nothing(server_engine: ServerEngine) -> None:
    """Then the outcome is known, and says so."""
    async with server_engine.pool(max_size=1) as pool:
        unit = new_unit()
        with ours(TransactionAborted):
            async with pool.transaction():
                await enter(pool, unit, 1)
                server_engine.kill_all()
                await asyncio.sleep(0.1)  # the loop hears of it
        assert unit not in server_engine.stored()
        await ok_set(server_engine, pool)


async def test_f25_a_deadline_during_commit_says_that_the_outcome_is_unknown(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    async with server_engine.pool(server_engine.by(proxy), max_size=1, query_timeout=1.0, reset_timeout=0.5) as pool:
        await store(pool)
        unit = new_unit()
        proxy.at(UP, b"COMMIT", lambda: proxy.swallowed.add(DOWN))
        with ours(CommitOutcomeUnknown):
            await by_transaction(pool, unit, lambda: None)
        assert server_engine.stored()[unit] == 2
        proxy.heal()
        await ok_set(server_engine, pool)


# --- F33: conflicts --------------------------------------------------------------------------------------------------


@pytest.fixture
async def counter(server_engine: ServerEngine) -> AsyncIterator[Pool]:
    """A pool on a database with two rows that count."""
    async with server_engine.pool(max_size=2) as pool:
        await pool.execute("CREATE TABLE counters (id integer PRIMARY KEY, value integer NOT NULL)")
        await pool.execute("INSERT INTO counters (id, value) VALUES (1, 0), (2, 0)")
        yield pool


async def test_f33_a_serialization_failure_runs_the_whole_function_again(
    server_engine: ServerEngine, counter: Pool
) -> None:
    """Twice it meets another's change between its read and its write; the third time it sees what both left."""
    runs = outside = 0

    async def work(tx: Transaction) -> int:
        nonlocal runs
        runs += 1
        await enter(counter, runs, 1, tx)
        value: int = await tx.fetch_val("SELECT value FROM counters WHERE id = 1")
        if runs < 3:
            await server_engine.ask_aside("UPDATE counters SET value = value + 10 WHERE id = 1")
        await tx.execute(f"UPDATE counters SET value = {value + 1} WHERE id = 1")
        await enter(counter, runs, 2, tx)
        return value

    outside += 1
    assert await counter.run_in_transaction(work, isolation=IsolationLevel.REPEATABLE_READ) == 20
    assert (runs, outside, counter.stats().reruns) == (3, 1, 2)
    assert await counter.fetch_val("SELECT value FROM counters WHERE id = 1") == 21
    assert set(server_engine.stored()) & {1, 2, 3} == {3}
    await ok_set(server_engine, counter)


async def test_f33_the_last_error_is_raised_when_the_runs_are_used_up(
    server_engine: ServerEngine, counter: Pool
) -> None:
    errors: list[SerializationFailure] = []

    async def work(tx: Transaction) -> None:
        await enter(counter, len(errors), 1, tx)
        await tx.fetch_val("SELECT value FROM counters WHERE id = 1")
        await server_engine.ask_aside("UPDATE counters SET value = value + 1 WHERE id = 1")
        try:
            await tx.execute("UPDATE counters SET value = 0 WHERE id = 1")
        except SerializationFailure as error:
            errors.append(error)
            raise

    with ours(SerializationFailure) as caught:
        await counter.run_in_transaction(work, isolation=IsolationLevel.REPEATABLE_READ, retries=2)
    assert len(errors) == 3
    assert caught.value is errors[-1]
    assert counter.stats().reruns == 2
    assert await counter.fetch_val("SELECT value FROM counters WHERE id = 1") == 3
    await ok_set(server_engine, counter)


async def test_f33_a_deadlock_runs_one_of_both_again(server_engine: ServerEngine, counter: Pool) -> None:
    runs = 0
    met = asyncio.Barrier(2)

    async def work(tx: Transaction, first: int, second: int) -> None:
        nonlocal runs
        runs += 1
        await tx.execute(f"UPDATE counters SET value = value + 1 WHERE id = {first}")
        if runs <= 2:
            await met.wait()
        await tx.execute(f"UPDATE counters SET value = value + 1 WHERE id = {second}")

    await asyncio.gather(
        counter.run_in_transaction(lambda tx: work(tx, 1, 2)), counter.run_in_transaction(lambda tx: work(tx, 2, 1))
    )
    assert (runs, counter.stats().reruns) == (3, 1)
    assert await counter.fetch_all("SELECT value FROM counters", as_dict=False) == [(2,), (2,)]
    await ok_set(server_engine, counter)


async def test_f33_a_conflict_at_commit_runs_the_whole_function_again(
    server_engine: ServerEngine, counter: Pool
) -> None:
    """Serializable: the error comes with COMMIT only."""
    runs = 0

    async def work(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await tx.fetch_val("SELECT sum(value) FROM counters")
        await tx.execute("UPDATE counters SET value = value + 1 WHERE id = 1")
        if runs == 1:
            with counter.detached():
                async with counter.transaction(IsolationLevel.SERIALIZABLE) as other:
                    await other.fetch_val("SELECT sum(value) FROM counters")
                    await other.execute("UPDATE counters SET value = value + 1 WHERE id = 2")

    await counter.run_in_transaction(work, isolation=IsolationLevel.SERIALIZABLE)
    assert (runs, counter.stats().reruns) == (2, 1)
    assert await counter.fetch_val("SELECT sum(value) FROM counters") == 2
    await ok_set(server_engine, counter)


async def test_f33_a_writer_of_another_process_makes_sqlite_try_again(sqlite: SQLite) -> None:
    async with sqlite.pool(busy_timeout=0.02) as pool:
        await store(pool)
        unit = new_unit()
        runs = 0

        async def work(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await enter(pool, unit, 1, tx)
            await enter(pool, unit, 2, tx)

        with contextlib.closing(sqlite3.connect(sqlite.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with ours(SerializationFailure):
                await pool.run_in_transaction(work, retries=2)
            assert (runs, pool.stats().reruns) == (0, 2)
            task = asyncio.create_task(pool.run_in_transaction(work, retries=1000))
            await until(lambda: pool.stats().reruns > 3)
            other.execute("ROLLBACK")
            await task
        assert runs == 1
        await ok_set(sqlite, pool)
        assert unit in sqlite.stored()


async def test_f33_other_errors_are_not_repeated(engine: Engine) -> None:
    async with engine.pool() as pool:
        unit = await store(pool)
        runs = 0

        async def work(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await enter(pool, new_unit(), 1, tx)
            await enter(pool, unit, 1, tx)

        with ours(UniqueViolation):
            await pool.run_in_transaction(work)
        assert (runs, pool.stats().reruns) == (1, 0)
        await ok_set(engine, pool)


async def test_f33_a_cancellation_between_two_runs_ends_it(sqlite: SQLite) -> None:
    async with sqlite.pool(busy_timeout=0.02) as pool:
        await store(pool)

        async def work(tx: Transaction) -> None:
            await enter(pool, new_unit(), 1, tx)

        with contextlib.closing(sqlite3.connect(sqlite.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.create_task(pool.run_in_transaction(work, retries=1000))
            await until(lambda: pool.stats().reruns > 3)
            await canceled(task)
        await ok_set(sqlite, pool)


# --- F35: an error inside, and the user goes on ----------------------------------------------------------------------


async def test_f35_an_error_dooms_the_transaction_on_every_engine(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        taken, unit = await store(pool), new_unit()
        with ours(TransactionAborted) as caught:
            async with pool.transaction() as tx:
                await enter(pool, unit, 1)
                with ours(UniqueViolation) as first:
                    await enter(pool, taken, 1)
                for attempt in (enter(pool, unit, 2), tx.fetch_val("SELECT 1"), tx.savepoint().__aenter__()):
                    with ours(TransactionAborted):
                        await attempt
        assert caught.value.__cause__ is first.value
        await ok_set(engine, pool)
        assert unit not in engine.stored()


async def test_f35_within_a_savepoint_it_dooms_only_that(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        taken, unit = await store(pool), new_unit()
        async with pool.transaction() as tx:
            await enter(pool, unit, 1)
            for _ in range(3):
                with ours(UniqueViolation):
                    async with tx.savepoint():
                        await enter(pool, new_unit(), 1)
                        await enter(pool, taken, 1)
            with ours(QueryError):
                async with tx.savepoint():
                    await tx.execute("SELEC")
            await enter(pool, unit, 2)
        await ok_set(engine, pool)
        assert unit in engine.stored()


# --- F36: an error at COMMIT -----------------------------------------------------------------------------------------


async def test_f36_what_commit_refuses_is_rolled_back_and_told(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        await pool.execute("CREATE TABLE parents (id integer PRIMARY KEY)")
        await pool.execute(
            "CREATE TABLE children (parent integer NOT NULL REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        await create_tables(pool, Item)
        unit = new_unit()
        given = Item(number=1, name="one")
        items = PydanticRepository(Item, pool)
        before = given.model_dump()
        with ours(ForeignKeyViolation):
            async with pool.transaction():
                await enter(pool, unit, 1)
                await items.create(given)
                await pool.execute("INSERT INTO children (parent) VALUES (7)")
        assert given.model_dump() == before
        assert await items.count() == 0
        assert await pool.fetch_val("SELECT count(*) FROM children") == 0
        await ok_set(engine, pool)
        assert unit not in engine.stored()
        # The same object can be stored by the next transaction.
        async with UnitOfWork(pool) as uow:
            await uow.repository(Item).create(given)
        assert await items.count() == 1


async def test_f36_commit_by_hand_tells_it_too(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        await pool.execute("CREATE TABLE parents (id integer PRIMARY KEY)")
        await pool.execute(
            "CREATE TABLE children (parent integer NOT NULL REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        unit = new_unit()
        with ours(TransactionAborted):
            async with pool.transaction() as tx:
                await enter(pool, unit, 1)
                await pool.execute("INSERT INTO children (parent) VALUES (7)")
                with ours(ForeignKeyViolation):
                    await tx.commit()
                await enter(pool, unit, 2)
        await ok_set(engine, pool)
        assert unit not in engine.stored()


# --- F37: idle in a transaction --------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["another statement", "commit"])
async def test_f37_a_transaction_that_idled_too_long_is_over(server_engine: ServerEngine, then: str) -> None:
    async with server_engine.pool(max_size=1) as pool:
        unit = new_unit()
        with ours(TransactionAborted):
            async with pool.transaction() as tx:
                await tx.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
                await enter(pool, unit, 1)
                await eventually(lambda: not server_engine.sessions())
                if then == "another statement":
                    await enter(pool, unit, 2)
        assert pool.stats().size == 0
        await ok_set(server_engine, pool)
        assert unit not in server_engine.stored()


# --- F38: a snapshot left open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", [None, IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE], ids=str)
@pytest.mark.parametrize("end", ["left", "failed", "canceled"])
async def test_f38_who_reads_next_sees_what_is_stored_then(
    engine: Engine, isolation: IsolationLevel | None, end: str
) -> None:
    async with engine.pool(max_size=1) as pool, engine.pool(max_size=1) as other:
        await store(pool)
        count = f"SELECT count(*) FROM {TABLE}"

        async def read() -> None:
            async with pool.transaction(isolation, readonly=True):
                before = await pool.fetch_val(count)
                await store(other)
                if isolation is not None:
                    assert await pool.fetch_val(count) == before
                if end == "failed":
                    raise ZeroDivisionError
                if end == "canceled":
                    raise asyncio.CancelledError

        with contextlib.suppress(ZeroDivisionError, asyncio.CancelledError):
            await read()
        assert await pool.fetch_val(count) == await other.fetch_val(count) == 4
        await other.disconnect()
        await ok_set(engine, pool)


async def test_f38_a_plain_read_leaves_no_snapshot(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool, engine.pool(max_size=1) as other:
        count = f"SELECT count(*) FROM {TABLE}"
        for stored in range(0, 6, 2):
            assert await pool.fetch_val(count) == stored
            async with pool.acquire() as connection:
                assert await connection.fetch_val(count) == stored
            async with pool.stream(f"SELECT unit FROM {TABLE}") as rows:
                assert len([row async for row in rows]) == stored
            await store(other)
        await other.disconnect()
        await ok_set(engine, pool)


# --- F41: an isolation level leaks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["left", "failed", "doomed", "canceled", "canceled late"])
async def test_f41_neither_isolation_nor_read_only_outlives_its_transaction(engine: Engine, end: str) -> None:
    async with engine.pool(max_size=1) as pool:
        await store(pool)

        async def use(level: IsolationLevel, *, readonly: bool) -> None:
            async with pool.transaction(level, readonly=readonly) as tx:
                await tx.fetch_val(f"SELECT count(*) FROM {TABLE}")
                match end:
                    case "failed":
                        raise ZeroDivisionError
                    case "doomed":
                        await tx.execute(insertion(pool), 1, None)
                    case "canceled":
                        raise asyncio.CancelledError
                    case "canceled late":
                        async with asyncio.timeout(0.02):
                            await tx.fetch_val(engine.slow(60))
                    case _:
                        pass

        for level in IsolationLevel:
            for readonly in (False, True):
                ended = contextlib.suppress(ZeroDivisionError, asyncio.CancelledError, TimeoutError)
                with ended if end != "doomed" else ours(DatabaseError):
                    await use(level, readonly=readonly)
                if isinstance(engine, ServerEngine):
                    for context in (pool.acquire(), pool.transaction()):
                        async with context as connection:
                            assert await connection.fetch_val("SHOW transaction_isolation") == "read committed"
                            assert await connection.fetch_val("SHOW transaction_read_only") == "off"
                await store(pool)
        await ok_set(engine, pool)
