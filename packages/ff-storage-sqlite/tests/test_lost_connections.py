"""What a transaction says when its connection is lost: before it, in it, in COMMIT. Real connections, cut by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ff_storage.core.database import Connection, Transaction
from ff_storage.core.errors import (
    CommitOutcomeUnknown,
    ConnectionLost,
    DatabaseError,
    QueryTimeout,
    SerializationFailure,
    TransactionAborted,
)
from ff_storage.sqlite import SQLitePool
from ff_storage.sqlite.connection import SQLiteConnection


def lost(*, sent: bool) -> ConnectionLost:
    error = ConnectionLost("the link is down")
    error.sent = sent
    return error


class CutConnection(SQLiteConnection):
    """Fails at COMMIT as its pool says."""

    __slots__ = ("pool",)
    pool: CutPool

    async def commit(self) -> None:
        cut, self.pool.cut = self.pool.cut, ""
        if cut == "before":
            self.terminate()
            raise lost(sent=False)
        if cut == "hangs":
            await asyncio.sleep(60)
        if cut == "refused":
            raise SerializationFailure("a conflict at COMMIT")
        await super().commit()
        if cut == "after":
            self.terminate()
            raise lost(sent=True)
        if cut == "closed":
            self.terminate()
            raise DatabaseError("the server goes down")


class CutPool(SQLitePool):
    cut = ""

    async def _connect(self) -> Connection:
        connection = await CutConnection.open(self._database, self._turns)
        connection.pool = self
        return connection


@pytest.fixture
async def pool(path: Path) -> AsyncIterator[CutPool]:
    async with CutPool(path, max_size=3, query_timeout=0.5) as pool:
        await pool.execute("CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT")
        await pool.settle()
        yield pool
        await pool.settle()
        assert pool.stats().used == 0


async def insert(pool: CutPool, cut: str) -> None:
    async with pool.transaction() as tx:
        await tx.execute("INSERT INTO t VALUES (1)")
        pool.cut = cut


@pytest.mark.parametrize(
    ("cut", "error", "cause", "stored"),
    [
        ("after", CommitOutcomeUnknown, ConnectionLost, 1),
        ("closed", CommitOutcomeUnknown, DatabaseError, 1),
        ("hangs", CommitOutcomeUnknown, QueryTimeout, 0),
        ("before", TransactionAborted, ConnectionLost, 0),
        ("refused", SerializationFailure, None, 0),
    ],
)
async def test_f32_f36_a_commit_that_fails_says_what_is_known(
    pool: CutPool, cut: str, error: type[Exception], cause: type[Exception] | None, stored: int
) -> None:
    with pytest.raises(error) as caught:
        await insert(pool, cut)
    assert type(caught.value) is error
    assert cause is None or isinstance(caught.value.__cause__, cause)
    await pool.settle()
    assert await pool.fetch_val("SELECT count(*) FROM t") == stored


@pytest.mark.parametrize("cut", ["after", "hangs", "closed"])
async def test_f32_an_unknown_outcome_is_never_repeated(pool: CutPool, cut: str) -> None:
    runs: list[Transaction] = []

    async def work(tx: Transaction) -> None:
        runs.append(tx)
        await tx.execute("INSERT INTO t VALUES (1)")
        pool.cut = cut

    with pytest.raises(CommitOutcomeUnknown):
        await pool.run_in_transaction(work)
    assert len(runs) == 1


async def test_f33_a_conflict_at_commit_is(pool: CutPool) -> None:
    runs: list[Transaction] = []

    async def work(tx: Transaction) -> None:
        runs.append(tx)
        await tx.execute("INSERT INTO t VALUES (1)")
        if len(runs) == 1:
            pool.cut = "refused"

    await pool.run_in_transaction(work)
    assert len(runs) == 2
    assert await pool.fetch_val("SELECT count(*) FROM t") == 1


async def test_f25_a_commit_that_is_canceled_stays_a_cancellation(pool: CutPool) -> None:
    task = asyncio.create_task(insert(pool, "hangs"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await pool.settle()
    assert await pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_f37_a_transaction_whose_connection_was_ended_meanwhile_says_so(pool: CutPool) -> None:
    with pytest.raises(TransactionAborted):
        async with pool.transaction() as tx:
            tx._started().connection.terminate()
            with pytest.raises(TransactionAborted, match="connection of this transaction is gone") as caught:
                await tx.execute("INSERT INTO t VALUES (1)")
            assert isinstance(caught.value.__cause__, ConnectionLost)
            with pytest.raises(TransactionAborted):
                await tx.fetch_val("SELECT 1")
            with pytest.raises(TransactionAborted):
                await tx.savepoint().__aenter__()
            with pytest.raises(DatabaseError):
                await tx.rollback()
    await pool.settle()
    assert await pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_f02_a_connection_that_breaks_under_a_statement_dooms_its_transaction(pool: CutPool) -> None:
    async def cut(connection: Connection) -> None:
        connection.terminate()
        raise lost(sent=True)

    before = pool.stats().discarded
    with pytest.raises(ConnectionLost) as caught:
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1)")
            async with tx.savepoint():
                await tx.call(cut)
    assert caught.value.sent
    with pytest.raises(TransactionAborted):
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(ConnectionLost):
                await tx.call(cut)
    await pool.settle()
    assert await pool.fetch_val("SELECT count(*) FROM t") == 0
    assert pool.stats().discarded == before + 2
