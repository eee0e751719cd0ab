"""A task canceled at any await leaves no open transaction, no lost connection, and its own CancelledError."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.database import Lease
from ff_storage.core.errors import ConnectionFailure, PoolError, QueryTimeout, TransactionAborted, UniqueViolation
from ff_storage.core.program import Execute, Fetch, Program
from ff_storage.sqlite import SQLitePool
from ff_storage.sqlite.connection import SQLiteConnection
from ff_storage.sqlite.session import Session, Settings

Sweep = Callable[[Callable[[], Coroutine[Any, Any, Any]], Callable[[str], Awaitable[None]]], Coroutine[Any, Any, int]]

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
ENDLESS_WRITE = "INSERT INTO t (id) WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"


class Sound:
    """What must hold after each run of a sweep: nothing in use, no lock held, all or nothing of `rows`."""

    def __init__(self, pool: SQLitePool, witness: SQLitePool, rows: int) -> None:
        self.pool = pool
        self.witness = witness
        self.rows = rows
        self.outcomes: set[tuple[str, int]] = set()

    async def __call__(self, outcome: str) -> None:
        await self.pool.settle()
        stats = self.pool.stats()
        assert stats.used == stats.waiting == 0
        assert stats.size == stats.idle
        # The witness waits for no lock at all.
        count = await self.witness.execute("DELETE FROM t")
        assert count in ((self.rows,) if outcome == "completed" else (0, self.rows))
        self.outcomes.add((outcome, count))
        assert await self.pool.fetch_val("SELECT count(*) FROM t") == 0


@pytest.fixture
async def witness(file_pool: SQLitePool, path: Path) -> Any:
    async with SQLitePool(path, busy_timeout=0, max_size=1) as witness:
        yield witness


def insert_two() -> Program[int]:
    first = yield Execute("INSERT INTO t VALUES (?, ?)", (1, "a"))
    second = yield Execute("INSERT INTO t VALUES (?, ?)", (2, "b"))
    return first + second


async def statement(pool: SQLitePool) -> None:
    await pool.fetch("INSERT INTO t VALUES (?, ?)", (1, "a"))


async def many(pool: SQLitePool) -> None:
    await pool.execute_many("INSERT INTO t VALUES (?, ?)", ((n, f"n{n}") for n in range(100)))


async def transaction(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await tx.execute("INSERT INTO t VALUES (1, 'a')")
        await pool.fetch("INSERT INTO t VALUES (?, ?)", (2, "b"))


async def savepoints(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await tx.execute("INSERT INTO t VALUES (1, 'a')")
        async with tx.savepoint("part"):
            await tx.execute("INSERT INTO t VALUES (2, 'b')")
        async with pool.transaction():
            await pool.execute("INSERT INTO t VALUES (3, 'c')")


async def failing_transaction(pool: SQLitePool) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            raise ZeroDivisionError


async def raw_transaction(pool: SQLitePool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO t VALUES (1, 'a')")
        await connection.execute("COMMIT")


async def open_transaction(pool: SQLitePool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("BEGIN IMMEDIATE")
        await connection.execute("INSERT INTO t VALUES (1, 'a')")


async def program(pool: SQLitePool) -> None:
    await pool.run(insert_two(), atomic=True)


async def stream(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await tx.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        async with tx.stream("SELECT id FROM t", batch=1) as rows:
            assert [row["id"] async for row in rows] == [1, 2, 3]


async def pool_stream(pool: SQLitePool) -> None:
    sql = "INSERT INTO t VALUES (1, 'a'), (2, 'b') RETURNING id"
    async with pool.stream(sql, batch=1, as_dict=False) as rows:
        assert [row async for row in rows] == [(1,), (2,)]


async def commit_midway(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await tx.rollback()
        await tx.execute("INSERT INTO t VALUES (1, 'a')")
        await tx.commit()


@pytest.mark.parametrize(
    ("work", "rows"),
    [
        (statement, 1),
        (many, 100),
        (transaction, 2),
        (savepoints, 3),
        (failing_transaction, 0),
        (raw_transaction, 1),
        (open_transaction, 0),
        (program, 2),
        (stream, 3),
        (pool_stream, 2),
        (commit_midway, 1),
    ],
    ids=lambda part: getattr(part, "__name__", None),
)
async def test_canceled_at_every_await(
    file_pool: SQLitePool, witness: SQLitePool, sweep: Sweep, work: Callable[[SQLitePool], Any], rows: int
) -> None:
    check = Sound(file_pool, witness, rows)
    awaits = await sweep(lambda: work(file_pool), check)
    assert awaits >= 1
    assert ("completed", rows) in check.outcomes


async def test_waiters_canceled_at_every_await(file_pool: SQLitePool, sweep: Sweep, witness: SQLitePool) -> None:
    async def wait_for_it() -> None:
        held: list[Lease] = []
        waiting = asyncio.create_task(asyncio.sleep(0))
        try:
            for _ in range(3):
                held.append(await file_pool.lease())  # noqa: PERF401 - each is held, should the next await be canceled
            waiting = asyncio.create_task(file_pool.fetch("SELECT 1", ()))
            asyncio.get_running_loop().call_later(0.001, lambda: held.pop(0).give_back())
            assert await file_pool.fetch("SELECT 2", ()) == [(2,)]
        finally:
            for lease in held:
                lease.give_back()
            await waiting

    async def check(outcome: str) -> None:
        await asyncio.sleep(0.002)
        await Sound(file_pool, witness, 0)(outcome)

    await sweep(wait_for_it, check)


async def test_connecting_canceled_at_every_await(path: Path, sweep: Sweep) -> None:
    async def connect() -> None:
        async with SQLitePool(path, min_size=2) as pool:
            await pool.fetch("SELECT 1", ())

    async def check(outcome: str) -> None:
        async with SQLitePool(path) as pool:
            await pool.execute("CREATE TABLE IF NOT EXISTS free (x INTEGER) STRICT")

    await sweep(connect, check)


# --- what runs is stopped, what waits is not run --------------------------------------------------------------------


async def test_a_running_statement_is_stopped(pool: SQLitePool) -> None:
    for sql in (ENDLESS, ENDLESS_WRITE):
        task = asyncio.create_task(pool.execute(sql))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pool.settle()
        assert await pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_a_statement_canceled_as_it_begins_is_stopped(pool: SQLitePool) -> None:
    # The interrupt may fall before the statement runs, where SQLite forgets it: it is repeated.
    for _ in range(100):
        task = asyncio.create_task(pool.fetch(ENDLESS, ()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pool.settle()
    assert await pool.fetch_val("SELECT 1") == 1


async def test_a_lazy_bulk_write_is_stopped_between_its_rows(file_pool: SQLitePool, witness: SQLitePool) -> None:
    def endless() -> Any:
        n = 0
        while True:
            n += 1
            yield (n, f"n{n}")

    task = asyncio.create_task(file_pool.execute_many("INSERT INTO t VALUES (?, ?)", endless()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await file_pool.settle()
    assert await witness.execute("DELETE FROM t") == 0


async def test_a_statement_canceled_in_the_queue_is_never_run(path: Path) -> None:
    connection = await SQLiteConnection.open(Settings(str(path), 5.0, "WAL", "FULL", readonly=False, create=True))
    await connection.execute("CREATE TABLE t (id INTEGER) STRICT", ())
    running = asyncio.ensure_future(connection.fetch(ENDLESS, ()))
    queued = asyncio.ensure_future(connection.execute("INSERT INTO t VALUES (1)", ()))
    await asyncio.sleep(0.01)
    queued.cancel()
    connection.cancel()
    await asyncio.wait({running, queued})
    assert running.exception() is not None
    assert await connection.reset(dirty=False)
    assert await connection.fetch("SELECT count(*) FROM t", ()) == [(0,)]
    await connection.close()


async def test_a_writer_that_waits_for_a_lock_stops_waiting(file_pool: SQLitePool, path: Path) -> None:
    async with SQLitePool(path, busy_timeout=600) as patient:
        async with file_pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            task = asyncio.create_task(patient.execute("INSERT INTO t VALUES (2, 'b')"))
            await asyncio.sleep(0.05)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await patient.settle()
        assert await patient.fetch_val("SELECT count(*) FROM t") == 1


async def test_asyncio_timeout_ends_a_statement(pool: SQLitePool) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pool.fetch_val(ENDLESS)
    assert await pool.fetch_val("SELECT 1") == 1


async def test_a_canceled_statement_dooms_its_transaction(file_pool: SQLitePool) -> None:
    with pytest.raises(TransactionAborted):
        async with file_pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), tx.savepoint():
                    await tx.fetch_val(ENDLESS)
            with pytest.raises(TransactionAborted):
                await tx.execute("INSERT INTO t VALUES (2, 'b')")
    await file_pool.settle()
    assert await file_pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_a_statement_that_is_given_up_dooms_its_transaction(file_pool: SQLitePool) -> None:
    with pytest.raises(TransactionAborted):
        async with file_pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await tx.fetch_val(ENDLESS)
            with pytest.raises(TransactionAborted):
                await tx.execute("INSERT INTO t VALUES (2, 'b')")
    await file_pool.settle()
    assert await file_pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_f27_a_cancellation_through_a_savepoint_dooms_the_whole(file_pool: SQLitePool) -> None:
    with pytest.raises(TransactionAborted):
        async with file_pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), tx.savepoint():
                    await tx.execute("INSERT INTO t VALUES (2, 'b')")
                    await asyncio.Event().wait()
            with pytest.raises(TransactionAborted):
                await tx.execute("INSERT INTO t VALUES (3, 'c')")
    await file_pool.settle()
    assert await file_pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_a_cancellation_through_a_transaction_makes_its_connection_unusable(file_pool: SQLitePool) -> None:
    async with file_pool.acquire() as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), connection.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1, 'a')")
                await asyncio.Event().wait()
        with pytest.raises(PoolError):
            await connection.execute("INSERT INTO t VALUES (2, 'b')")
    await file_pool.settle()
    assert await file_pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_an_interrupt_that_was_lost_is_repeated(file_pool: SQLitePool, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt, calls = Session.interrupt, 0

    def lose_the_first(session: Session) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            interrupt(session)

    monkeypatch.setattr(Session, "interrupt", lose_the_first)
    task = asyncio.create_task(file_pool.fetch(ENDLESS, ()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await file_pool.settle()
    assert calls > 1
    assert file_pool.stats().idle == file_pool.stats().size == 1


async def test_a_second_cancel_changes_nothing(file_pool: SQLitePool) -> None:
    async def work() -> None:
        async with file_pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            await tx.fetch_val(ENDLESS)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.02)
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await file_pool.settle()
    assert await file_pool.fetch_val("SELECT count(*) FROM t") == 0


# --- deadlines -------------------------------------------------------------------------------------------------------


async def test_query_timeout_ends_a_statement(path: Path) -> None:
    async with SQLitePool(path, synchronous="OFF", query_timeout=0.25) as pool:
        await pool.execute("CREATE TABLE t (id INTEGER) STRICT")
        for call in (
            pool.fetch_val(ENDLESS),
            pool.fetch(ENDLESS, ()),
            pool.execute(ENDLESS_WRITE),
        ):
            with pytest.raises(QueryTimeout):
                await call
            assert await pool.fetch_val("SELECT count(*) FROM t") == 0
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_a_program_that_handles_its_timeout_leaves_nothing_running(path: Path) -> None:
    def program() -> Program[str]:
        try:
            yield Fetch(ENDLESS)
        except QueryTimeout:
            return "handled"
        return "not reached"

    def stubborn() -> Program[None]:
        with contextlib.suppress(QueryTimeout):
            yield Fetch(ENDLESS)
        yield Fetch("SELECT 1")

    async with SQLitePool(path, synchronous="OFF", query_timeout=0.25, max_size=1) as pool:
        assert await pool.run(program()) == "handled"
        assert await pool.fetch_val("SELECT 1") == 1
        with pytest.raises(PoolError):
            await pool.run(stubborn())
        assert await pool.fetch_val("SELECT 1") == 1


async def test_query_timeout_dooms_a_transaction(path: Path) -> None:
    async with SQLitePool(path, synchronous="OFF", query_timeout=0.25) as pool:
        await pool.execute("CREATE TABLE t (id INTEGER) STRICT")
        with pytest.raises(QueryTimeout):
            async with pool.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1)")
                await tx.fetch_val(ENDLESS)
        await pool.settle()
        assert await pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_an_outer_cancel_wins_over_the_deadline(path: Path) -> None:
    async with SQLitePool(path, query_timeout=0.5) as pool:
        task = asyncio.create_task(pool.fetch_val(ENDLESS))
        await asyncio.sleep(0.01)
        # Both come in one turn of the loop, the deadline first.
        asyncio.get_running_loop().call_later(0.5, task.cancel)
        time.sleep(0.6)  # noqa: ASYNC251 - so that both are due
        await asyncio.wait({task})
        assert task.cancelled()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await pool.fetch_val(ENDLESS)


async def test_statements_within_the_deadline_do_not_notice_it(path: Path) -> None:
    async with SQLitePool(path, query_timeout=30) as pool:
        assert await asyncio.gather(*(pool.fetch_val("SELECT ?", n) for n in range(100))) == list(range(100))


# --- storms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
async def test_a_storm_of_cancellations_loses_nothing(file_pool: SQLitePool, witness: SQLitePool, seed: int) -> None:
    chance = random.Random(seed)
    works = [statement, transaction, savepoints, open_transaction, program, stream, pool_stream, many]

    tasks = [asyncio.create_task(chance.choice(works)(file_pool)) for _ in range(200)]
    while pending := [task for task in tasks if not task.done()]:
        chance.choice(pending).cancel()
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.002]))
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        # They all insert the same keys, and a stream counts what others inserted.
        assert outcome is None or isinstance(outcome, asyncio.CancelledError | UniqueViolation | AssertionError)
    await file_pool.settle()
    stats = file_pool.stats()
    assert stats.used == stats.waiting == 0
    assert stats.size == stats.idle <= 3
    await witness.execute("DELETE FROM t")
    assert await file_pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_a_refused_connection_does_not_hang_its_waiters(tmp_path: Path) -> None:
    pool = SQLitePool(tmp_path / "missing" / "test.db", min_size=0)
    async with pool:
        results = await asyncio.gather(*(pool.fetch("SELECT 1", ()) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(result, ConnectionFailure) for result in results)
