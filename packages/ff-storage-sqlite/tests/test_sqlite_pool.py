"""The pool over SQLite: bounds, order, deadlines, cleaning, closing, and the loop and process it belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import multiprocessing
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ff_storage import open_pool
from ff_storage.core.database import Connection, Lease
from ff_storage.core.errors import (
    ConfigurationError,
    ConnectionFailure,
    ConnectionLost,
    ConnectionPoolExhausted,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseReadOnly,
    MissingDistributionError,
    PoolClosed,
    PoolError,
    PoolFull,
    PoolTimeout,
    QueryError,
    QueryTimeout,
    TooManyConnections,
    TransactionAborted,
    TransactionError,
    UniqueViolation,
    WrongLoopError,
)
from ff_storage.core.program import Execute, Program
from ff_storage.sqlite import SQLitePool
from ff_storage.sqlite.connection import SQLiteConnection

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


async def turns(count: int = 20) -> None:
    """Let the loop run for some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


class SlowPool(SQLitePool):
    """Opens connections when it is told to."""

    gate: asyncio.Event
    failures: list[Exception]

    async def _connect(self) -> Connection:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop()
        return await super()._connect()


@pytest.fixture
async def slow(path: Path) -> AsyncIterator[SlowPool]:
    pool = SlowPool(path, min_size=0, max_size=2, connect_timeout=0.5)
    pool.gate, pool.failures = asyncio.Event(), []
    async with pool:
        yield pool


# --- bounds, order, deadlines ----------------------------------------------------------------------------------------


async def test_the_pool_is_bounded_and_reuses_the_last_connection(file_pool: SQLitePool) -> None:
    await asyncio.gather(*(file_pool.fetch_val("SELECT ?", n) for n in range(50)))
    assert file_pool.stats().size <= 3
    await file_pool.settle()  # one may still be being opened for a caller that another has served
    before = file_pool.stats().opened
    for n in range(50):
        await file_pool.fetch_val("SELECT ?", n)
    assert file_pool.stats().opened == before


async def test_the_connection_used_last_is_used_next(file_pool: SQLitePool) -> None:
    leases = [await file_pool.lease() for _ in range(3)]
    for lease in leases:
        lease.give_back()
    for _ in range(10):
        lease = await file_pool.lease()
        assert lease.member is leases[-1].member
        lease.give_back()


async def test_waiters_are_served_in_their_order(path: Path) -> None:
    async with SQLitePool(path, max_size=1) as pool:
        served: list[int] = []

        async def work(number: int) -> None:
            await pool.fetch("SELECT 1", ())
            served.append(number)

        lease = await pool.lease()
        tasks = [asyncio.create_task(work(number)) for number in range(20)]
        await turns()
        assert pool.stats().waiting == 20
        lease.give_back()
        latecomer = asyncio.create_task(work(99))
        await asyncio.gather(*tasks, latecomer)
        assert served == [*range(20), 99]


async def test_exhaustion_raises_with_the_counts(path: Path) -> None:
    async with SQLitePool(path, max_size=2, acquire_timeout=0.02) as pool:
        first, second = await pool.lease(60), await pool.lease(60)

        async def another_task() -> None:
            await pool.fetch_val("SELECT 1")

        with pytest.raises(PoolTimeout, match="2 of 2 connections in use, 0 idle, 1 callers waiting") as caught:
            await asyncio.create_task(another_task())
        assert isinstance(caught.value, ConnectionPoolExhausted)
        assert "max_size" in caught.value.remedy
        with pytest.raises(PoolTimeout):
            async with pool.acquire(timeout=0.001):
                pass
        assert pool.stats().timeouts == 2
        first.give_back()
        second.give_back()
        assert await pool.fetch_val("SELECT 1") == 1


async def test_a_self_deadlock_is_named(path: Path) -> None:
    async with SQLitePool(path, max_size=1, acquire_timeout=0.02) as pool:
        async with pool.acquire():
            with pytest.raises(PoolTimeout, match="connection="):
                await pool.fetch_val("SELECT 1")
        async with pool.transaction():
            with pool.detached(), pytest.raises(PoolTimeout, match="connection="):
                await pool.fetch_val("SELECT 1")
        other = asyncio.create_task(pool.fetch(ENDLESS, ()))
        await turns()
        with pytest.raises(PoolTimeout, match="max_size"):  # this task has given its own back
            await pool.fetch_val("SELECT 1")
        other.cancel()


async def test_max_waiting_refuses_at_once(path: Path) -> None:
    async with SQLitePool(path, max_size=1, max_waiting=2) as pool:
        lease = await pool.lease()
        tasks = [asyncio.create_task(pool.fetch_val("SELECT 1")) for _ in range(2)]
        await turns()
        with pytest.raises(PoolFull):
            await pool.fetch_val("SELECT 1")
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
        tasks[0] = asyncio.create_task(pool.fetch_val("SELECT 2"))
        await turns()
        assert pool.stats().waiting == 2
        lease.give_back()
        assert await asyncio.gather(*tasks) == [2, 1]


async def test_a_connection_is_given_back_once(file_pool: SQLitePool) -> None:
    lease = await file_pool.lease()
    lease.give_back()
    with pytest.raises(PoolError, match="given back"):
        lease.give_back()
    with pytest.raises(PoolError, match="block has ended"):
        await lease.fetch("SELECT 1", ())
    assert file_pool.stats().idle == file_pool.stats().size
    async with file_pool.acquire() as connection:
        pass
    with pytest.raises(PoolError):
        await connection.fetch_val("SELECT 1")


async def test_an_acquired_connection_is_held(file_pool: SQLitePool) -> None:
    async with file_pool.acquire() as connection:
        assert isinstance(connection, Lease)
        await connection.execute("CREATE TEMP TABLE mine (x INTEGER)")
        assert await connection.fetch_val("SELECT count(*) FROM mine") == 0
        async with connection.stream("SELECT 1 AS one") as rows:
            assert [row async for row in rows] == [{"one": 1}]
        async with connection.acquire() as same:
            assert same is connection
        assert file_pool.stats().used == 1


# --- connecting ------------------------------------------------------------------------------------------------------


async def test_a_hung_connect_ends_and_blocks_nobody(slow: SlowPool) -> None:
    with pytest.raises(PoolTimeout, match="no connection could be opened") as caught:
        await slow.lease(0.8)
    assert isinstance(caught.value.__cause__, ConnectionFailure)
    assert "0.5 s" in caught.value.__cause__.message
    slow.gate.set()
    assert await slow.fetch_val("SELECT 1") == 1
    slow.gate.clear()
    lease = await slow.lease()
    hung = asyncio.create_task(slow.fetch_val("SELECT 2"))
    await turns()
    # The second connection hangs; the first serves meanwhile.
    lease.give_back()
    assert await hung == 2


async def test_a_failed_connect_is_told_to_who_waits_and_the_next_tries_again(slow: SlowPool) -> None:
    slow.failures = [ConnectionFailure("second"), ConnectionFailure("first")]
    slow.gate.set()
    results = await asyncio.gather(*(slow.fetch_val("SELECT ?", n) for n in range(4)), return_exceptions=True)
    assert [str(result)[:5] for result in results if isinstance(result, Exception)] == ["first", "secon"]
    assert sorted(result for result in results if isinstance(result, int)) == [2, 3]


def transient(message: str) -> ConnectionFailure:
    failure = ConnectionFailure(message)
    failure.transient = True
    return failure


async def test_what_may_succeed_later_is_tried_again_while_somebody_waits(slow: SlowPool) -> None:
    slow.failures = [transient(f"attempt {n}") for n in range(4)]
    slow.gate.set()
    assert await slow.fetch_val("SELECT 1") == 1
    assert not slow.failures


async def test_who_waits_in_vain_learns_why(slow: SlowPool) -> None:
    slow.failures = [transient("the server starts up") for _ in range(1000)]
    slow.gate.set()
    for _ in range(2):
        with pytest.raises(PoolTimeout, match="the last attempt failed: the server starts up") as caught:
            await slow.lease(0.1)
        assert isinstance(caught.value.__cause__, ConnectionFailure)
    await slow.settle()
    left = len(slow.failures)
    assert 900 < left < 1000
    await turns()
    assert len(slow.failures) == left, "nobody waits, so nothing is tried"


async def test_what_exists_goes_on_serving_while_no_more_can_be_opened(slow: SlowPool) -> None:
    """F15: a server that has no connection left delays those who want another, and nobody else."""
    slow.gate.set()
    async with slow.acquire() as held:
        slow.failures = [TooManyConnections("too many") for _ in range(1000)]
        waiting = [asyncio.create_task(slow.fetch_val("SELECT ?", n)) for n in range(5)]
        await turns()
        assert await held.fetch_val("SELECT 1") == 1
        assert slow.stats().waiting == 5
    assert await asyncio.gather(*waiting) == [*range(5)]
    assert slow.stats().opened == 1


async def test_opening_a_pool_fails_with_the_first_failure(path: Path) -> None:
    class FailingPool(SQLitePool):
        async def _connect(self) -> Connection:
            attempts.append(1)
            raise transient("refused")

    attempts: list[int] = []
    pool = FailingPool(path)
    with pytest.raises(ConnectionFailure, match="refused"):
        await pool.connect()
    assert len(attempts) == 1
    assert pool.state == "closed"
    async with FailingPool(path, min_size=0, acquire_timeout=0.1) as lazy:
        with pytest.raises(PoolTimeout, match="refused"):
            await lazy.fetch_val("SELECT 1")


async def test_who_connects_at_the_same_time_learns_the_same(path: Path, tmp_path: Path) -> None:
    """A second `connect()` returns when there is a pool, and raises when there is none."""
    nowhere = SQLitePool(tmp_path / "none" / "x.db")
    outcomes = await asyncio.gather(nowhere.connect(), nowhere.connect(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionFailure, ConnectionFailure]
    pool = SQLitePool(path, min_size=2)
    first = asyncio.create_task(pool.connect())
    await asyncio.sleep(0)
    second = asyncio.create_task(pool.connect())
    await second
    assert first.done()
    assert pool.stats().idle == 2
    await pool.disconnect()
    first, second = asyncio.create_task(pool.connect()), asyncio.create_task(pool.connect())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    assert pool.stats().idle == 2
    await pool.disconnect()


async def test_closing_does_not_wait_for_what_is_being_opened(slow: SlowPool) -> None:
    waiting = [asyncio.create_task(slow.fetch_val("SELECT 1")) for _ in range(2)]
    await turns()
    slow.failures = [transient("refused")]
    async with asyncio.timeout(0.4):  # the attempt itself may take 0.5 s
        await slow.disconnect()
    assert all(isinstance(error, PoolClosed) for error in await asyncio.gather(*waiting, return_exceptions=True))
    assert slow.stats().size == 0


async def test_a_canceled_waiter_does_not_cancel_the_connecting(slow: SlowPool) -> None:
    task = asyncio.create_task(slow.fetch_val("SELECT 1"))
    await turns()
    task.cancel()
    await asyncio.wait({task})
    slow.gate.set()
    await slow.settle()
    assert slow.stats().idle == 1


async def test_connecting_knows_nothing_of_who_triggers_it(path: Path) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    class WatchedPool(SQLitePool):
        async def _connect(self) -> Connection:
            seen.append(who.get())
            return await super()._connect()

    seen: list[str] = []
    async with WatchedPool(path, min_size=0) as pool:
        who.set("a request")
        await pool.fetch_val("SELECT 1")
    assert seen == ["nobody"]


async def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to have a header of 100 bytes" * 10)
    for path, options, error in [
        (tmp_path / "no" / "such" / "directory.db", {}, ConnectionFailure),
        (tmp_path, {}, ConnectionFailure),
        (tmp_path / "missing.db", {"create": False}, ConnectionFailure),
        (tmp_path / "missing.db", {"readonly": True}, ConnectionFailure),
        (tmp_path / "text.db", {}, DatabaseCorrupt),
    ]:
        pool = SQLitePool(path, **options)
        with pytest.raises(error) as caught:
            await pool.connect()
        assert isinstance(caught.value.__cause__, sqlite3.Error)
        assert pool.state == "closed"
        with pytest.raises(PoolClosed):
            await pool.fetch_val("SELECT 1")
    assert not (tmp_path / "missing.db").exists()


async def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(ConnectionFailure, match=r"3\.37"):
        await SQLitePool(path).connect()


async def test_a_read_only_pool_reads(file_pool: SQLitePool, path: Path) -> None:
    await file_pool.execute("INSERT INTO t VALUES (1, 'a')")
    async with SQLitePool(path, readonly=True) as reader:
        assert await reader.fetch_val("SELECT name FROM t") == "a"
        with pytest.raises(DatabaseReadOnly):
            await reader.execute("DELETE FROM t")


# --- clean and dirty -------------------------------------------------------------------------------------------------

CHANGES = [
    "PRAGMA foreign_keys = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA case_sensitive_like = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA query_only = ON",
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA reverse_unordered_selects = ON",
    "CREATE TEMP TABLE secret (x TEXT)",
    "CREATE TEMP VIEW secret AS SELECT 1",
    "CREATE TEMP TRIGGER secret AFTER INSERT ON main.t BEGIN DELETE FROM t; END",
    "ATTACH ':memory:' AS other",
    "BEGIN IMMEDIATE",
    "SAVEPOINT mine",
]


async def session(pool: SQLitePool) -> list[Any]:
    names = ("foreign_keys", "synchronous", "recursive_triggers", "query_only", "ignore_check_constraints")
    state = [await pool.fetch(f"PRAGMA {name}", ()) for name in (*names, "reverse_unordered_selects", "trusted_schema")]
    state += [await pool.fetch("SELECT name FROM sqlite_temp_master", ())]
    state += [await pool.fetch("SELECT name FROM pragma_database_list WHERE name <> 'temp'", ())]
    state += [await pool.fetch("SELECT 'A' LIKE 'a'", ())]
    return state


@pytest.mark.parametrize("change", CHANGES)
async def test_no_session_state_reaches_the_next_user(pool: SQLitePool, change: str) -> None:
    await pool.execute("INSERT INTO t VALUES (1, 'kept')")
    before = await session(pool)
    begins = change in ("BEGIN IMMEDIATE", "SAVEPOINT mine")
    with pytest.raises(TransactionError) if begins else contextlib.nullcontext():
        await pool.execute(change)
    await pool.settle()
    assert await session(pool) == before
    async with pool.acquire() as connection:
        await connection.execute(change)
        await connection.fetch_all("SELECT 1")
    await pool.settle()
    assert await session(pool) == before
    async with asyncio.timeout(10):
        assert await pool.execute("INSERT INTO t VALUES (2, 'new')") == 1
    assert await pool.fetch_val("SELECT group_concat(name) FROM t") == "kept,new"


async def test_a_connection_that_was_cleaned_is_clean(pool: SQLitePool) -> None:
    await pool.execute("PRAGMA foreign_keys = OFF")
    await pool.settle()
    await pool.fetch_val("SELECT 1")
    assert pool.stats().idle == pool.stats().size == 1, "it is back at once"


async def test_a_program_that_leaves_a_transaction_open_is_rolled_back(pool: SQLitePool) -> None:
    def careless() -> Program[None]:
        yield Execute("BEGIN")
        yield Execute("INSERT INTO t VALUES (1, 'a')")

    await pool.run(careless())
    await pool.settle()
    assert await pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_nobody_meets_a_connection_before_it_is_clean(path: Path) -> None:
    async with SQLitePool(path, max_size=1) as pool:
        async with pool.acquire() as connection:
            await connection.execute("PRAGMA foreign_keys = OFF")
            waiting = asyncio.create_task(pool.fetch("PRAGMA foreign_keys", ()))
            await turns()
        assert await waiting == [(1,)]


async def test_queries_keep_their_connection(file_pool: SQLitePool) -> None:
    await file_pool.fetch_val("SELECT 1")
    discarded = file_pool.stats().discarded
    for sql in (
        " select 1",
        "VALUES (1)",
        "INSERT INTO t (id) VALUES (1)",
        "with x as (select 1) select * from x",
        "UPDATE t SET name = 'x'",
        "DELETE FROM t",
        "REPLACE INTO t (id) VALUES (2)",
        "EXPLAIN SELECT 1",
    ):
        await file_pool.execute(sql)
    await file_pool.settle()
    assert file_pool.stats().discarded == discarded


# --- checks ----------------------------------------------------------------------------------------------------------


async def test_a_connection_is_checked_after_idleness(path: Path) -> None:
    async with SQLitePool(path, check_after=0) as pool:
        await pool.execute("CREATE TABLE t (id INTEGER) STRICT")
        assert await pool.fetch_val("SELECT count(*) FROM t") == 0
        await pool.settle()
        opened = pool.stats().opened
        assert await asyncio.gather(*(pool.fetch_val("SELECT ?", n) for n in range(20))) == [*range(20)]
        assert await pool.fetch_val("SELECT count(*) FROM t") == 0
        assert pool.stats().discarded <= 1
        assert pool.stats().opened <= opened + 4


async def test_a_database_file_that_vanished_is_noticed(path: Path) -> None:
    async with SQLitePool(path, check_after=0) as pool:
        await pool.execute("CREATE TABLE t (id INTEGER) STRICT")
        await pool.fetch_val("SELECT count(*) FROM t")
        await asyncio.to_thread(path.unlink)
        with pytest.raises(ConnectionFailure):
            await pool.fetch_val("SELECT count(*) FROM t")
        assert not await asyncio.to_thread(path.exists), "no empty database was put in its place"


async def test_an_old_connection_is_replaced(path: Path) -> None:
    async with SQLitePool(path, max_age=0, max_size=1) as pool:
        for _ in range(3):
            assert await pool.fetch_val("SELECT 1") == 1
        assert pool.stats().opened >= 3
        assert pool.stats().size <= 1


async def test_an_old_connection_is_replaced_though_it_never_rests(path: Path) -> None:
    """Handed from one caller to the next, a connection is replaced as soon as it is old."""
    async with SQLitePool(path, max_age=0, max_size=1) as pool:
        assert await asyncio.gather(*(pool.fetch_val("SELECT ?", n) for n in range(20))) == [*range(20)]
        assert pool.stats().opened >= 20


async def test_what_nobody_uses_is_closed_down_to_the_least(path: Path) -> None:
    async with SQLitePool(path, min_size=1, max_size=3, max_idle=0.05) as pool:
        leases = [await pool.lease() for _ in range(3)]
        for lease in leases:
            lease.give_back()
        assert pool.get_open_connections() == 3
        async with asyncio.timeout(30):
            while pool.get_open_connections() > 1:  # noqa: ASYNC110 - a timer of the pool's has no event
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert pool.get_open_connections() == 1


async def test_a_connection_that_broke_is_replaced_while_others_wait(path: Path) -> None:
    async with SQLitePool(path, max_size=1) as pool:
        lease = await pool.lease()
        tasks = [asyncio.create_task(pool.fetch_val("SELECT ?", n)) for n in range(3)]
        await turns()
        lease.member.connection.terminate()
        with pytest.raises(ConnectionLost):
            await lease.fetch_val("SELECT 1")
        lease.give_back()
        assert await asyncio.gather(*tasks) == [0, 1, 2]


async def test_a_database_in_memory_is_never_replaced_silently() -> None:
    pool = SQLitePool()
    async with pool:
        await pool.execute("CREATE TABLE t (id INTEGER) STRICT")
        await pool.settle()
        lease = await pool.lease()
        lease.member.connection.terminate()
        lease.give_back()
        with pytest.raises(ConnectionLost, match="memory"):
            await pool.fetch_val("SELECT count(*) FROM t")
    async with pool:
        assert await pool.fetch_val("SELECT count(*) FROM sqlite_master") == 0


class WatchedConnection(SQLiteConnection):
    """One that can be disturbed, and is dead when it is then pinged."""

    __slots__ = ("dead", "pings")

    @property
    def is_disturbed(self) -> bool:
        return getattr(self, "dead", False)

    async def ping(self) -> None:
        self.pings = getattr(self, "pings", 0) + 1
        if self.is_disturbed:
            raise ConnectionLost("the server is gone")
        await super().ping()


class WatchedPool(SQLitePool):
    """A pool of such connections."""

    async def _connect(self) -> Connection:
        return await WatchedConnection.open(self._database, self._turns)


async def rested(pool: WatchedPool, count: int) -> list[WatchedConnection]:
    """`count` idle connections that have rested for more than a moment."""
    leases = [await pool.lease() for _ in range(count)]
    for lease in leases:
        lease.give_back()
    await asyncio.sleep(0.005)
    found = [lease.member.connection for lease in leases]
    assert all(isinstance(connection, WatchedConnection) for connection in found)
    return found  # type: ignore[return-value]  # as just seen


async def test_f01_an_idle_connection_on_which_its_end_arrived_is_not_given_out(path: Path) -> None:
    async with WatchedPool(path, max_size=4) as pool:
        connections = await rested(pool, 4)
        connections[3].dead = True
        assert await pool.fetch_val("SELECT 1") == 1
        await pool.settle()
        assert connections[3].is_closed
        assert pool.stats().discarded == 1
        assert [connection.pings for connection in connections[:3]] == [1, 1, 1], "the others were suspects"
        assert await asyncio.gather(*(pool.fetch_val("SELECT ?", n) for n in range(9))) == [*range(9)]


async def test_f01_a_server_that_restarts_is_noticed_once(path: Path) -> None:
    async with WatchedPool(path, max_size=4) as pool:
        connections = await rested(pool, 4)
        lease = await pool.lease()
        for connection in connections:
            connection.dead = True
        lease.member.connection.terminate()  # what a driver does when it finds the connection lost
        lease.give_back()
        assert await asyncio.gather(*(pool.fetch_val("SELECT ?", n) for n in range(9))) == [*range(9)]
        assert all(connection.is_closed for connection in connections)
        await pool.settle()
        assert pool.stats().used == 0


async def test_a_connection_that_is_found_closed_is_passed_over(path: Path) -> None:
    async with WatchedPool(path, max_size=3) as pool:
        connections = await rested(pool, 3)
        connections[1].terminate()
        connections[2].terminate()
        lease = await pool.lease()
        assert lease.member.connection is connections[0]
        lease.give_back()
        assert pool.get_open_connections() == 1


# --- closing ---------------------------------------------------------------------------------------------------------


async def test_all_connections_are_closed_now_or_when_they_are_given_back(file_pool: SQLitePool) -> None:
    held, other = await file_pool.lease(), await file_pool.lease()
    other.give_back()
    assert file_pool.get_open_connections() == 2
    file_pool.close_all_connections()
    assert file_pool.get_open_connections() == 1
    assert await held.fetch_val("SELECT 1") == 1
    waiting = [asyncio.create_task(file_pool.fetch_val("SELECT ?", n)) for n in range(5)]
    await turns()
    held.give_back()
    assert await asyncio.gather(*waiting) == [*range(5)]
    assert held.member.connection.is_closed
    assert other.member.connection.is_closed
    assert file_pool.state == "open"


def test_all_connections_are_closed_from_outside_the_loop(path: Path) -> None:
    pool = SQLitePool(path)
    assert pool.get_open_connections() == 0
    pool.close_all_connections()

    async def use() -> None:
        await pool.connect()
        assert pool.get_open_connections() == 1
        await asyncio.to_thread(pool.close_all_connections)
        await turns()
        assert pool.get_open_connections() == 0
        assert await pool.fetch_val("SELECT 1") == 1
        assert pool.get_open_connections() == 1

    asyncio.run(use())
    pool.close_all_connections()
    assert pool.get_open_connections() == 0
    asyncio.run(pool.disconnect())
    pool.close_all_connections()


async def test_a_pool_is_used_while_it_is_open(path: Path) -> None:
    pool = SQLitePool(path)
    for call in (pool.fetch_val("SELECT 1"), pool.transaction().__aenter__(), pool.acquire().__aenter__()):
        with pytest.raises(PoolClosed, match="not connected"):
            await call
    await pool.disconnect()
    await pool.connect()
    await pool.connect()
    assert pool.state == "open"
    assert await pool.fetch_val("SELECT 1") == 1
    await pool.disconnect()
    await pool.disconnect()
    with pytest.raises(PoolClosed, match="closed"):
        await pool.fetch_val("SELECT 1")
    async with pool:
        assert await pool.fetch_val("SELECT 1") == 1


async def test_closing_waits_for_who_works_and_refuses_who_waits(path: Path) -> None:
    pool = SQLitePool(path, max_size=1)
    await pool.connect()
    await pool.execute("CREATE TABLE t (id INTEGER) STRICT")
    async with pool.transaction() as tx:
        waiting = asyncio.create_task(asyncio.wait_for(fetch_detached(pool), 30))
        await turns()
        closing = [asyncio.create_task(pool.disconnect()) for _ in range(2)]
        await turns()
        assert pool.state == "closing"
        with pytest.raises(PoolClosed):
            await waiting
        with pool.detached(), pytest.raises(PoolClosed, match="closing"):
            await pool.fetch_val("SELECT 1")
        with pytest.raises(PoolClosed, match="closing"):
            await pool.connect()
        await tx.execute("INSERT INTO t VALUES (1)")
    await asyncio.gather(*closing)
    assert pool.state == "closed"
    assert pool.stats().size == 0
    async with pool:
        assert await pool.fetch_val("SELECT count(*) FROM t") == 1


async def fetch_detached(pool: SQLitePool) -> Any:
    with pool.detached():
        return await pool.fetch_val("SELECT 1")


async def test_closing_cuts_off_who_does_not_end(path: Path) -> None:
    pool = SQLitePool(path)
    await pool.connect()
    await pool.execute("CREATE TABLE t (id INTEGER) STRICT")

    begun = asyncio.Event()

    async def endless() -> None:
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1)")
            begun.set()
            await tx.fetch_val(ENDLESS)

    task = asyncio.create_task(endless())
    await begun.wait()
    await pool.disconnect(timeout=0.01)
    with pytest.raises((QueryError, ConnectionLost)):
        await task
    async with pool:
        assert await pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_closing_in_the_midst_of_the_pools_own_work_keeps_the_count(path: Path) -> None:
    pool = SQLitePool(path, max_size=2)
    for _ in range(3):
        await pool.connect()
        tasks = [asyncio.create_task(pool.fetch_val("SELECT 1")) for _ in range(4)]
        async with pool.acquire() as connection:
            await connection.execute("PRAGMA foreign_keys = OFF")
        pool._terminate()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with pool:
        leases = [await pool.lease(), await pool.lease()]
        assert (pool.stats().used, pool.stats().size) == (2, 2)
        for lease in leases:
            lease.give_back()
        await pool.execute("PRAGMA foreign_keys = OFF")
        assert pool.stats().used == 0, "it is being cleaned"


async def test_a_connection_given_back_after_the_end_is_closed(path: Path) -> None:
    pool = SQLitePool(path)
    await pool.connect()
    lease = await pool.lease()
    await pool.disconnect(timeout=0)
    await pool.connect()
    lease.give_back()
    assert pool.stats().idle == pool.stats().size == 1
    await pool.disconnect()


async def test_closing_ends_the_threads(path: Path) -> None:
    before = {*threading.enumerate()}
    async with SQLitePool(path, min_size=3, max_size=3):
        threads = {*threading.enumerate()} - before
        assert len(threads) == 3
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])


async def test_the_last_connection_leaves_one_whole_file(path: Path) -> None:
    # One connection, so that it is the last: of two that close at the same moment, SQLite may take neither for it.
    async with SQLitePool(path, max_size=1) as pool:
        await pool.execute("CREATE TABLE t (id INTEGER) STRICT")
        await pool.execute("INSERT INTO t VALUES (1)")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT * FROM t").fetchall() == [(1,)]


# --- loops and processes ---------------------------------------------------------------------------------------------


def test_a_pool_belongs_to_its_loop(path: Path) -> None:
    pool = SQLitePool(path)

    async def use() -> Any:
        return await pool.fetch_val("SELECT 1")

    async def open_and_forget() -> None:
        await pool.connect()

    asyncio.run(open_and_forget())
    with pytest.raises(WrongLoopError, match="closed"):
        asyncio.run(use())
    asyncio.run(pool.disconnect())
    assert pool.state == "closed"

    async def both() -> None:
        async with pool:
            with pytest.raises(WrongLoopError):
                await asyncio.to_thread(asyncio.run, use())
            with pytest.raises(WrongLoopError):
                await asyncio.to_thread(asyncio.run, pool.connect())
            assert await use() == 1

    asyncio.run(both())


def in_a_child(work: Callable[[], Awaitable[Any]]) -> str:
    """What `work` gives in a forked process."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    async def answer() -> None:
        try:
            answers.put(f"{await work()}")
        except DatabaseError as error:
            answers.put(f"{type(error).__name__}: {error}")

    # From this thread, with its loop: that is how a service forks.
    child = context.Process(target=lambda: asyncio.run(answer()))
    child.start()
    found: str = answers.get()
    child.join()
    return found


forking = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@forking
async def test_f22_a_pool_belongs_to_its_process(file_pool: SQLitePool) -> None:
    async def reopen() -> Any:
        await file_pool.disconnect()
        file_pool.close_all_connections()
        async with file_pool:
            return await file_pool.fetch_val("SELECT 1")

    async with file_pool.transaction() as tx:
        uses: list[Callable[[], Awaitable[Any]]] = [
            lambda: file_pool.fetch_val("SELECT 1"),
            file_pool.connect,
            file_pool.transaction().__aenter__,
            file_pool.acquire().__aenter__,
            lambda: tx.fetch_val("SELECT 1"),
        ]
        for use in uses:
            assert in_a_child(use) == (
                "WrongLoopError: this pool belongs to another process: it was open when this one was forked;"
                " open a pool in each process, after it was forked [FF-D503]"
            )
        assert in_a_child(reopen) == "1"
        assert await tx.fetch_val("SELECT 1") == 1
    assert await file_pool.fetch_val("SELECT 1") == 1


@forking
def test_a_pool_that_is_not_open_yet_may_be_inherited(path: Path) -> None:
    pool = SQLitePool(path)

    async def use() -> Any:
        async with pool:
            return await pool.fetch_val("SELECT 1")

    assert in_a_child(use) == "1"


# --- streams ---------------------------------------------------------------------------------------------------------


async def test_a_stream_reads_in_batches_and_gives_back(pool: SQLitePool) -> None:
    await pool.execute_many("INSERT INTO t VALUES (?, ?)", ((n, f"n{n}") for n in range(100)))
    async with pool.stream("SELECT * FROM t WHERE id < ? ORDER BY id", 50, batch=7) as rows:
        assert pool.stats().used == 1
        assert [row["id"] async for row in rows] == [*range(50)]
    assert pool.stats().used == 0
    async with pool.stream_rows("SELECT id FROM t ORDER BY id", (), batch=30) as batches:
        assert [len(batch) async for batch in batches] == [30, 30, 30, 10]
    async with pool.stream("SELECT * FROM t WHERE id < 0") as rows:
        assert [row async for row in rows] == []


async def test_a_stream_left_early_keeps_nothing(file_pool: SQLitePool, path: Path) -> None:
    await file_pool.execute_many("INSERT INTO t VALUES (?, ?)", ((n, f"n{n}") for n in range(100)))
    async with file_pool.stream("SELECT * FROM t ORDER BY id", batch=3) as rows:
        async for row in rows:
            if row["id"] == 4:
                break
    with pytest.raises(ZeroDivisionError):
        async with file_pool.stream("SELECT * FROM t ORDER BY id", batch=3) as rows:
            async for _ in rows:
                raise ZeroDivisionError
    assert file_pool.stats().used == 0
    # No snapshot is left open: the write-ahead log can be emptied.
    async with SQLitePool(path, busy_timeout=0) as other:
        assert (await other.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)"))["busy"] == 0  # type: ignore[index]


async def test_a_stream_within_a_transaction_goes_on_between_writes(pool: SQLitePool) -> None:
    await pool.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    async with pool.transaction() as tx, tx.stream("SELECT id FROM t ORDER BY id", batch=1) as rows:
        async for row in rows:
            await tx.execute("UPDATE t SET name = name || '!' WHERE id = ?", row["id"])
    assert await pool.fetch_val("SELECT group_concat(name) FROM t") == "a!,b!,c!"


async def test_a_stream_ends_with_its_transaction(pool: SQLitePool, path: Path) -> None:
    await pool.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    with pytest.raises(QueryError, match="ended with its transaction"):
        async with pool.transaction() as tx, tx.stream("SELECT id FROM t", batch=1) as rows:
            async for _ in rows:
                await tx.commit()
    with pytest.raises(UniqueViolation):
        async with pool.transaction() as tx, tx.stream("SELECT id FROM t", batch=1) as rows:
            async for row in rows:
                await tx.execute("INSERT INTO t (id) VALUES (?)", row["id"])
    # Nothing reads any more, so a checkpoint gets through to the end of the log.
    assert await pool.fetch_val("PRAGMA wal_checkpoint(TRUNCATE)") == 0


async def test_a_stream_that_times_out_says_so(path: Path) -> None:
    sql = f"SELECT 1 AS x UNION ALL SELECT * FROM ({ENDLESS})"
    async with SQLitePool(path, query_timeout=0.25) as pool:
        with pytest.raises(QueryTimeout):
            async with pool.stream(sql, batch=2) as rows:
                _ = [row async for row in rows]
        with pytest.raises(QueryTimeout):
            async with pool.transaction() as tx, tx.stream(sql, batch=2) as rows:
                _ = [row async for row in rows]
        with pytest.raises(TransactionAborted):
            async with pool.transaction() as tx:
                with pytest.raises(QueryTimeout):
                    await tx.fetch_all(sql)
                with pytest.raises(TransactionAborted):
                    await tx.rollback()


async def test_the_first_row_does_not_read_the_rest(pool: SQLitePool) -> None:
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    assert await pool.fetch_one(endless) == {"x": 1}
    assert await pool.fetch_val(endless) == 1
    assert await pool.fetch_one("SELECT id FROM t") is None


async def test_a_stream_fails_where_it_fails(pool: SQLitePool) -> None:
    with pytest.raises(QueryError):
        await pool.stream("SELECT nothing").__aenter__()
    with pytest.raises(QueryError):
        async with pool.stream("SELECT 1 AS a, 2 AS a") as rows:
            _ = [row async for row in rows]
    with pytest.raises(ValueError, match="batch"):
        pool.stream("SELECT 1", batch=0)
    with pytest.raises(QueryError, match="64 bits"):
        async with pool.stream("SELECT ff_decimal_ratio(column1, 1, 4) FROM (VALUES (1), (?))", 2**62, batch=1) as rows:
            _ = [row async for row in rows]
    stream = pool.stream("SELECT 1 AS one")
    async with stream:
        pass
    with pytest.raises(ValueError, match="once"):
        await stream.__aenter__()


# --- settings and URLs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"max_size": 0},
        {"min_size": 3, "max_size": 2},
        {"min_size": -1},
        {"acquire_timeout": -1},
        {"busy_timeout": -1},
        {"busy_timeout": float("nan")},
        {"journal_mode": "none; DROP TABLE t"},
        {"synchronous": 3},
        {"path": ":memory:", "max_size": 2},
        {"path": ":memory:", "readonly": True},
        {"path": ""},
        {"path": "a\0b"},
        {"path": b"bytes.db"},
        {"path": "file:x.db?mode=rwc"},
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SQLitePool(**{"path": "test.db"} | options)


async def test_settings_reach_the_connection(path: Path) -> None:
    async with SQLitePool(path) as pool:
        for pragma, value in [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("trusted_schema", 0)]:
            assert await pool.fetch(f"PRAGMA {pragma}", ()) == [(value,)]
    async with SQLitePool(path, synchronous="normal", journal_mode="delete") as pool:
        assert await pool.fetch("PRAGMA synchronous", ()) == [(1,)]
        assert await pool.fetch("PRAGMA journal_mode", ()) == [("delete",)]


async def test_a_pool_by_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, file in [
        ("sqlite:///relative.db", tmp_path / "relative.db"),
        (f"sqlite:///{tmp_path}/absolute.db", tmp_path / "absolute.db"),
        (f"SQLite:///{tmp_path}/with%20space.db", tmp_path / "with space.db"),
    ]:
        async with open_pool(url, max_size=2) as pool:
            assert await pool.fetch_val("SELECT 1") == 1
            assert pool.stats().max_size == 2
        assert file.exists()
    for url in ("sqlite://", "sqlite://:memory:", "sqlite:///:memory:"):
        async with open_pool(url) as pool:
            assert await pool.fetch_val("SELECT file FROM pragma_database_list") == ""


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        ("sqlite://user:S3CR3T@host/path.db", {}, ConfigurationError),
        ("sqlite:///path.db?password=S3CR3T", {}, ConfigurationError),
        ("S3CR3T", {}, ConfigurationError),
        ("S3CR3T.db", {}, ConfigurationError),
        ("oracle://user:S3CR3T@host/db", {}, ConfigurationError),
        ("mssql://user:S3CR3T@host/db", {}, MissingDistributionError),
        (5, {}, ConfigurationError),
        ("sqlite:///path.db", {"max_sise": 2}, ConfigurationError),
        ("sqlite:///path.db", {"path": "S3CR3T"}, ConfigurationError),
    ],
)
def test_a89_a_wrong_url_is_refused_and_never_repeated(
    url: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        open_pool(url, **options)
    found: BaseException | None = caught.value
    while found is not None:
        assert "S3CR3T" not in f"{found!r} {found} {vars(found)}"
        found = found.__cause__ or found.__context__


async def test_the_repr_says_what_and_how(file_pool: SQLitePool, path: Path) -> None:
    assert repr(file_pool) == f"<SQLitePool {str(path)!r}, open>"
    assert "not started" in repr(file_pool.transaction())
