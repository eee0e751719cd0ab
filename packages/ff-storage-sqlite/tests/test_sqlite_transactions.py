"""The rules of transactions: joining, savepoints, doom, sharing, settings."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.database import IsolationLevel, Savepoint, Transaction
from ff_storage.core.errors import (
    CheckViolation,
    ConcurrentUseError,
    DatabaseReadOnly,
    ForeignKeyViolation,
    IdentifierError,
    InvalidValueError,
    SavepointAlreadyReleased,
    SavepointError,
    SerializationFailure,
    TransactionAborted,
    TransactionAlreadyStarted,
    TransactionClosed,
    TransactionError,
    TransactionNotShared,
    TransactionNotStarted,
    UniqueViolation,
)
from ff_storage.core.program import Execute, Fetch, Program
from ff_storage.sqlite import SQLitePool


async def ids(pool: SQLitePool | Transaction) -> list[int]:
    return [row[0] for row in await pool.fetch("SELECT id FROM t ORDER BY id", ())]


async def add(db: SQLitePool | Transaction, number: int) -> None:
    await db.fetch("INSERT INTO t (id) VALUES (?)", (number,))


class Oops(Exception):
    pass


# --- all or nothing --------------------------------------------------------------------------------------------------


async def test_success_commits_and_an_error_rolls_back(pool: SQLitePool) -> None:
    async with Transaction(pool) as tx:
        await add(tx, 1)
    with pytest.raises(Oops):
        async with Transaction(pool) as tx:
            await add(tx, 2)
            raise Oops
    assert await ids(pool) == [1]


async def test_the_published_methods_work_within(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        assert await tx.execute("INSERT INTO t VALUES (?, ?)", 1, "a") == 1
        assert await tx.execute_many("INSERT INTO t VALUES (?, ?)", [(2, "b"), (3, "c")]) == 2
        assert await tx.fetch_all("SELECT id FROM t WHERE id < ?", 3) == [{"id": 1}, {"id": 2}]
        assert await tx.fetch_one("SELECT name FROM t WHERE id = 3") == {"name": "c"}
        assert await tx.fetch_val("SELECT count(*) FROM t") == 3
        assert await tx.connection.fetch_val("SELECT count(*) FROM t") == 3
        async with tx.stream("SELECT id FROM t ORDER BY id", as_dict=False) as rows:
            assert [row async for row in rows] == [(1,), (2,), (3,)]
        async with tx.stream_rows("SELECT id FROM t ORDER BY id", (), batch=2) as batches:
            assert [batch async for batch in batches] == [[(1,), (2,)], [(3,)]]


async def test_a_program_runs_within(pool: SQLitePool) -> None:
    def program() -> Program[int]:
        yield Execute("INSERT INTO t (id) VALUES (?)", (1,))
        rows = yield Fetch("SELECT count(*) FROM t")
        return int(rows[0][0])

    async with pool.transaction() as tx:
        assert await tx.run(program()) == 1
        assert await pool.run(program_of(2), atomic=True) == [(1,), (2,)]
        raise_later = await tx.fetch("SELECT id FROM t", ())
        assert len(raise_later) == 2
        await tx.rollback()
    assert await ids(pool) == []


def program_of(number: int) -> Program[Any]:
    yield Execute("INSERT INTO t (id) VALUES (?)", (number,))
    return (yield Fetch("SELECT id FROM t ORDER BY id"))


async def test_an_atomic_program_is_all_or_nothing(pool: SQLitePool) -> None:
    def failing() -> Program[None]:
        yield Execute("INSERT INTO t (id) VALUES (1)")
        yield Execute("INSERT INTO t (id) VALUES (1)")

    with pytest.raises(UniqueViolation):
        await pool.run(failing(), atomic=True)
    assert await ids(pool) == []
    with pytest.raises(UniqueViolation):
        await pool.run(failing())
    assert await ids(pool) == [1]


async def test_a_program_may_handle_an_error_outside_a_transaction(pool: SQLitePool) -> None:
    def careful() -> Program[str]:
        yield Execute("INSERT INTO t (id) VALUES (1)")
        try:
            yield Execute("INSERT INTO t (id) VALUES (1)")
        except UniqueViolation:
            yield Execute("INSERT INTO t (id) VALUES (2)")
            return "handled"
        return "not reached"

    assert await pool.run(careful()) == "handled"
    assert await ids(pool) == [1, 2]


async def test_an_error_at_commit_rolls_back_and_surfaces(pool: SQLitePool) -> None:
    await pool.execute(
        "CREATE TABLE c (t INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED) STRICT",
    )
    with pytest.raises(ForeignKeyViolation):
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO c VALUES (9)")
    assert await pool.fetch_val("SELECT count(*) FROM c") == 0
    with pytest.raises(TransactionAborted):
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO c VALUES (9)")
            with pytest.raises(ForeignKeyViolation):
                await tx.commit()
            await tx.execute("INSERT INTO t (id) VALUES (9)")
    assert await pool.fetch_val("SELECT count(*) FROM c") == 0
    assert await ids(pool) == []


# --- midway ----------------------------------------------------------------------------------------------------------


async def test_commit_and_rollback_midway_go_on(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await add(tx, 1)
        await tx.commit()
        assert tx.is_active
        await add(tx, 2)
        await tx.rollback()
        assert tx.is_active
        await add(tx, 3)
    assert await ids(pool) == [1, 3]


async def test_the_settings_survive_midway(file_pool: SQLitePool) -> None:
    async with file_pool.transaction(readonly=True) as tx:
        for end in (tx.commit, tx.rollback):
            await end()
            with pytest.raises(DatabaseReadOnly):
                await add(tx, 1)
            await tx.rollback()
    assert await ids(file_pool) == []


async def test_rollback_midway_revives_a_doomed_transaction(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await add(tx, 1)
        with pytest.raises(UniqueViolation):
            await add(tx, 1)
        await tx.rollback()
        await add(tx, 2)
    assert await ids(pool) == [2]


# --- doom ------------------------------------------------------------------------------------------------------------


async def test_a_failed_statement_dooms_the_transaction(pool: SQLitePool) -> None:
    with pytest.raises(TransactionAborted) as caught:
        async with pool.transaction() as tx:
            await add(tx, 1)
            with pytest.raises(UniqueViolation):
                await add(tx, 1)
            for call in (add(tx, 2), tx.fetch_all("SELECT 1"), add(pool, 3), tx.execute_many("SELECT ?", [(1,)])):
                with pytest.raises(TransactionAborted):
                    await call
    assert isinstance(caught.value.__cause__, UniqueViolation)
    assert await ids(pool) == []


async def test_a_refused_value_dooms_nothing(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await add(tx, 1)
        with pytest.raises(InvalidValueError):
            await tx.execute("INSERT INTO t (name) VALUES (?)", "a\0")
    assert await ids(pool) == [1]


async def test_a_savepoint_contains_the_failure(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await add(tx, 1)
        with pytest.raises(UniqueViolation):
            async with tx.savepoint("attempt"):
                await add(tx, 2)
                await add(tx, 1)
        await add(tx, 3)
    assert await ids(pool) == [1, 3]


async def test_a_swallowed_failure_within_a_savepoint_undoes_it(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await add(tx, 1)
        with pytest.raises(TransactionAborted):
            async with tx.savepoint():
                await add(tx, 2)
                with pytest.raises(UniqueViolation):
                    await add(tx, 1)
        await add(tx, 3)
    assert await ids(pool) == [1, 3]


async def test_an_error_that_ends_the_transaction_itself_dooms_every_level(
    pool: SQLitePool, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.execute("CREATE TABLE r (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK) STRICT")
    with pytest.raises(TransactionAborted):
        async with pool.transaction() as tx:
            await add(tx, 1)
            await tx.execute("INSERT INTO r VALUES (1)")
            with pytest.raises(TransactionAborted):
                async with tx.savepoint():
                    with pytest.raises(UniqueViolation):
                        async with tx.savepoint():
                            await tx.execute("INSERT INTO r VALUES (1)")
            with pytest.raises(TransactionAborted):
                await add(tx, 2)
    assert await ids(pool) == []
    assert not caplog.records, "nothing went wrong beside it"


@pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK", "END"])
async def test_raw_sql_must_not_end_the_transaction(pool: SQLitePool, sql: str) -> None:
    with pytest.raises(TransactionError, match="ended the transaction"):
        async with pool.transaction() as tx:
            await tx.execute(sql)
    with pytest.raises(TransactionAborted):
        async with pool.transaction() as tx:
            with pytest.raises(TransactionError):
                await tx.execute(sql)
            await add(tx, 1)
    assert await ids(pool) == []


# --- savepoints ------------------------------------------------------------------------------------------------------


async def test_savepoints_nest(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        async with tx.savepoint("same") as outer:
            await add(tx, 1)
            with pytest.raises(Oops):
                async with tx.savepoint("same") as inner:
                    assert inner.is_active
                    await add(tx, 2)
                    raise Oops
            assert outer.is_active
            assert not inner.is_active
            await add(tx, 3)
        assert not outer.is_active
    assert await ids(pool) == [1, 3]


async def test_a_savepoint_can_be_ended_within_its_block(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        async with tx.savepoint() as kept:
            await add(tx, 1)
            await kept.release()
            await add(tx, 2)
        async with tx.savepoint() as undone:
            await add(tx, 3)
            await undone.rollback()
            await add(tx, 4)
        for savepoint in (kept, undone):
            for end in (savepoint.release, savepoint.rollback):
                with pytest.raises(SavepointAlreadyReleased):
                    await end()
        with pytest.raises(SavepointError):
            await Savepoint(tx).release()
        with pytest.raises(SavepointError):
            async with kept:
                pass
    assert await ids(pool) == [1, 2, 4]


async def test_ending_an_outer_savepoint_ends_the_inner(pool: SQLitePool) -> None:
    async with pool.transaction() as tx, tx.savepoint() as outer:
        async with tx.savepoint() as inner:
            await add(tx, 1)
            await outer.rollback()
            assert not inner.is_active
            with pytest.raises(SavepointAlreadyReleased):
                await inner.release()
        await add(tx, 2)
    assert await ids(pool) == [2]


@pytest.mark.parametrize("name", ["a; DROP TABLE t", 'a"b', "", "1a", "tіtle", "a" * 64, 5])
async def test_a_savepoint_label_is_an_identifier_and_never_sql(pool: SQLitePool, name: Any) -> None:
    async with pool.transaction() as tx:
        with pytest.raises(IdentifierError):
            tx.savepoint(name)
        async with tx.savepoint("select") as savepoint:
            await add(tx, 1)
        assert savepoint.name == "select"
    assert await ids(pool) == [1]


async def test_a_commit_within_a_savepoint_is_refused(pool: SQLitePool) -> None:
    with pytest.raises(SavepointError):
        async with pool.transaction() as tx, tx.savepoint():
            await add(tx, 1)
            await tx.commit()
    assert await ids(pool) == []


# --- joining ---------------------------------------------------------------------------------------------------------


async def test_calls_through_the_pool_join(pool: SQLitePool) -> None:
    with pytest.raises(Oops):
        async with pool.transaction():
            await add(pool, 1)
            await pool.execute("INSERT INTO t (id) VALUES (2)")
            await pool.execute_many("INSERT INTO t (id) VALUES (?)", [(3,)])
            await pool.run(program_of(4), atomic=True)
            async with pool.acquire() as connection:
                await connection.execute("INSERT INTO t (id) VALUES (5)")
            async with pool.stream("SELECT id FROM t ORDER BY id", as_dict=False) as rows:
                assert [row async for row in rows] == [(1,), (2,), (3,), (4,), (5,)]
            assert pool.stats().used == 1
            raise Oops
    assert await ids(pool) == []


async def test_a_transaction_within_one_is_a_savepoint(pool: SQLitePool) -> None:
    async with pool.transaction() as outer:
        await add(outer, 1)
        with pytest.raises(Oops):
            async with Transaction(pool) as inner:
                await add(inner, 2)
                await add(pool, 3)
                raise Oops
        async with outer.transaction() as inner:
            await add(inner, 4)
            await inner.rollback()
            await add(inner, 5)
            await inner.commit()
            await add(inner, 6)
        assert pool.stats().used == 1
        with pytest.raises(TransactionClosed):
            await add(inner, 7)
    assert await ids(pool) == [1, 5, 6]


async def test_after_the_block_nothing_joins(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await add(pool, 1)
    await add(pool, 2)
    with pytest.raises(TransactionClosed):
        await add(tx, 3)
    assert await ids(pool) == [1, 2]


async def test_pools_do_not_join_each_other(file_pool: SQLitePool, tmp_path: Path) -> None:
    async with SQLitePool(tmp_path / "other.db") as other:
        await other.execute("CREATE TABLE t (id INTEGER) STRICT")
        with pytest.raises(Oops):
            async with file_pool.transaction():
                async with other.transaction():
                    await add(file_pool, 1)
                    await add(other, 2)
                await add(other, 3)
                raise Oops
        assert await ids(file_pool) == []
        assert await ids(other) == [2, 3]


async def test_a_detached_block_does_not_join(file_pool: SQLitePool) -> None:
    with pytest.raises(Oops):
        async with file_pool.transaction(readonly=True):
            with file_pool.detached():
                await add(file_pool, 1)
                with pytest.raises(Oops):
                    async with file_pool.transaction() as own:
                        await add(own, 2)
                        await add(file_pool, 3)
                        raise Oops
            with pytest.raises(DatabaseReadOnly):
                await add(file_pool, 4)
            raise Oops
    assert await ids(file_pool) == [1]


async def test_a_child_task_does_not_inherit(file_pool: SQLitePool) -> None:
    async def child() -> None:
        await add(file_pool, 2)

    async def detached_child() -> list[int]:
        with file_pool.detached():
            return await ids(file_pool)

    async with file_pool.transaction() as tx:
        await add(tx, 1)
        for work in (
            child(),
            Transaction(file_pool).__aenter__(),
            file_pool.fetch_all("SELECT 1"),
            file_pool.run(program_of(9)),
            file_pool.acquire().__aenter__(),
            file_pool.stream("SELECT 1").__aenter__(),
        ):
            with pytest.raises(TransactionNotShared, match="connection=tx"):
                await asyncio.create_task(work)
        # What it names works: the transaction itself, and a pool that is detached.
        await asyncio.create_task(add(tx, 3))
        assert await asyncio.create_task(detached_child()) == []
    assert await ids(file_pool) == [1, 3]


async def test_a_child_task_that_outlives_the_transaction_works_by_itself(pool: SQLitePool) -> None:
    ended = asyncio.Event()

    async def late() -> None:
        await ended.wait()
        await add(pool, 2)

    with pytest.raises(Oops):
        async with pool.transaction():
            task = asyncio.create_task(late())
            await add(pool, 1)
            raise Oops
    ended.set()
    await task
    assert await ids(pool) == [2]


async def test_concurrent_use_is_refused(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        results = await asyncio.gather(add(tx, 1), add(tx, 2), add(tx, 3), return_exceptions=True)
        assert [type(result) for result in results] == [type(None), ConcurrentUseError, ConcurrentUseError]
        await add(tx, 4)
    async with pool.acquire() as connection:
        results = await asyncio.gather(
            connection.fetch_val("SELECT 1"), connection.fetch_val("SELECT 2"), return_exceptions=True
        )
        assert results[0] == 1
        assert isinstance(results[1], ConcurrentUseError)
    assert await ids(pool) == [1, 4]


async def test_leaving_the_block_under_a_running_statement_rolls_back(file_pool: SQLitePool) -> None:
    tasks: list[asyncio.Task[Any]] = []
    with pytest.raises(ConcurrentUseError):
        async with file_pool.transaction() as tx:
            await add(tx, 1)
            endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
            tasks.append(asyncio.create_task(tx.fetch(endless, ())))
            await asyncio.sleep(0.01)
    with pytest.raises(Exception, match="FF-"):
        await tasks[0]
    await file_pool.settle()
    assert await ids(file_pool) == []


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", [None, *IsolationLevel, "SERIALIZABLE", "READ COMMITTED"])
async def test_every_isolation_level_is_satisfied(pool: SQLitePool, isolation: Any) -> None:
    async with Transaction(pool, isolation) as tx:
        await add(tx, 1)
        async with Transaction(pool, isolation):
            await add(pool, 2)
    assert await ids(pool) == [1, 2]


@pytest.mark.parametrize("isolation", ["serializable", "SNAPSHOT", "READ COMMITTED; DROP TABLE t", 4, True, ""])
async def test_another_isolation_is_refused(pool: SQLitePool, isolation: Any) -> None:
    with pytest.raises(InvalidValueError, match="SERIALIZABLE"):
        Transaction(pool, isolation)


async def test_a_read_only_transaction_refuses_writes_and_blocks_no_writer(file_pool: SQLitePool) -> None:
    await add(file_pool, 1)
    async with file_pool.transaction(readonly=True) as reader:
        assert await ids(reader) == [1]
        with file_pool.detached():
            await add(file_pool, 2)
        assert await ids(reader) == [1], "a snapshot"
    with pytest.raises(DatabaseReadOnly):
        async with file_pool.transaction(readonly=True) as reader:
            await add(reader, 3)
    await file_pool.settle()
    await asyncio.gather(*(add(file_pool, number) for number in range(10, 20)))
    assert await ids(file_pool) == [1, 2, *range(10, 20)]


async def test_a_read_only_transaction_cannot_be_had_within_a_writing_one(pool: SQLitePool) -> None:
    async with pool.transaction():
        with pytest.raises(TransactionAlreadyStarted):
            await pool.transaction(readonly=True).__aenter__()
    async with pool.transaction(readonly=True), pool.transaction(readonly=True), pool.transaction():
        assert await ids(pool) == []


async def test_a_writing_transaction_holds_the_lock_from_its_beginning(file_pool: SQLitePool, path: Path) -> None:
    async with SQLitePool(path, busy_timeout=0) as other:
        async with file_pool.transaction():
            with pytest.raises(SerializationFailure):
                await other.transaction().__aenter__()
            with pytest.raises(SerializationFailure):
                await add(other, 1)
            assert await ids(other) == []
        await add(other, 1)
    assert await ids(file_pool) == [1]


# --- its life --------------------------------------------------------------------------------------------------------


async def test_a_transaction_is_used_within_its_block_and_once(pool: SQLitePool) -> None:
    tx = Transaction(pool)
    assert not tx.is_active
    for call in (add(tx, 1), tx.commit(), tx.rollback(), tx.run(program_of(1))):
        with pytest.raises(TransactionNotStarted):
            await call
    with pytest.raises(TransactionNotStarted):
        _ = tx.connection
    async with tx:
        assert tx.is_active
        assert tx.connection is tx
        with pytest.raises(TransactionAlreadyStarted):
            await tx.__aenter__()
    assert not tx.is_active
    for call in (add(tx, 1), tx.commit(), tx.rollback(), tx.savepoint().__aenter__()):
        with pytest.raises(TransactionClosed):
            await call
    with pytest.raises(TransactionAlreadyStarted):
        await tx.__aenter__()


async def test_a_transaction_on_an_acquired_connection(file_pool: SQLitePool) -> None:
    async with file_pool.acquire() as connection:
        async with connection.transaction() as tx:
            await add(tx, 1)
            await add(file_pool, 2)
            assert file_pool.stats().used == 1
        with pytest.raises(Oops):
            async with connection.transaction() as tx:
                await add(tx, 3)
                raise Oops
        assert await connection.run(program_of(4), atomic=True) == [(1,), (2,), (4,)]
        assert await connection.fetch_val("SELECT count(*) FROM t") == 3


async def test_the_error_that_leaves_the_block_is_the_one_to_see(
    file_pool: SQLitePool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Oops):
        async with file_pool.transaction() as tx:
            await add(tx, 1)
            # The connection breaks, so that the rollback cannot be sent.
            await file_pool.settle()
            for member in file_pool._members:
                member.connection.terminate()
            raise Oops
    await file_pool.settle()
    assert await ids(file_pool) == []


async def test_checks_hold_at_the_end_of_a_statement(pool: SQLitePool) -> None:
    await pool.execute("CREATE TABLE k (n INTEGER CHECK (n < 3)) STRICT")
    with pytest.raises(CheckViolation):
        await pool.execute_many("INSERT INTO k VALUES (?)", ((n,) for n in range(5)))
    assert await pool.fetch_val("SELECT count(*) FROM k") == 0
