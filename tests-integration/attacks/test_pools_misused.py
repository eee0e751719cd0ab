"""Pools that are used against their contract, on every engine: an error of ours each, which says what to do."""

# pyright: basic, reportArgumentType=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from attacks.models import Victim
from attacks.oracle import Target, hostile_text
from databases import ENGINES, Databases
from ff_storage import IsolationLevel, PydanticRepository, Query, open_pool
from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    AsyncPoolUsedSync,
    ConcurrentUseError,
    IdentifierError,
    InvalidValueError,
    PoolClosed,
    PoolError,
    PoolFull,
    PoolTimeout,
    StorageError,
    TransactionAlreadyStarted,
    TransactionClosed,
    TransactionNotShared,
    TransactionNotStarted,
    WrongLoopError,
)


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """A database that serves several connections."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/misused.db"
        return
    with databases.of(request.param, "misused", ()) as database:
        yield database.url


async def refused(work: Any, error: type[StorageError]) -> StorageError:
    """`work`, called and awaited where it can be, raises exactly `error`, with a code and a remedy in its text."""
    with pytest.raises(error) as caught:
        result = work()
        if isinstance(result, Awaitable):
            await result
        else:
            async with result:
                pass
    assert type(caught.value) is error
    assert caught.value.code in str(caught.value)
    assert caught.value.remedy, f"no remedy: {caught.value}"
    assert caught.value.remedy in str(caught.value)
    return caught.value


def uses(pool: Pool) -> list[Callable[[], Any]]:
    """Each way to use a pool."""
    repo = PydanticRepository(Victim, pool)
    return [
        lambda: pool.fetch_all("SELECT 1"),
        lambda: pool.fetch_one("SELECT 1"),
        lambda: pool.fetch_val("SELECT 1"),
        lambda: pool.execute("SELECT 1"),
        lambda: pool.execute_many(f"SELECT {pool.dialect.placeholder(1)}", [(1,)]),
        lambda: pool.stream("SELECT 1"),
        pool.acquire,
        pool.transaction,
        lambda: pool.run_in_transaction(lambda tx: tx.fetch_val("SELECT 1")),
        repo.list,
        lambda: repo.create(Victim()),
        lambda: Query(Victim).count(pool),
        lambda: Query(Victim).stream(pool),
    ]


# --- open, closed, another's -----------------------------------------------------------------------------------------


async def test_a_pool_that_was_never_opened(url: str) -> None:
    for work in uses(open_pool(url)):
        assert "connect()" in (await refused(work, PoolClosed)).remedy


async def test_a_pool_that_is_closed(url: str) -> None:
    async with open_pool(url) as pool:
        assert await pool.fetch_val("SELECT 1") == 1
    for work in uses(pool):
        assert "closed" in str(await refused(work, PoolClosed))


async def test_a_pool_of_another_loop_that_runs(url: str) -> None:
    """Used from a thread with a loop of its own."""
    async with open_pool(url) as pool:
        assert await asyncio.to_thread(said_in_a_thread, pool) == "refused"
        assert await pool.fetch_val("SELECT 1") == 1


def test_a_pool_of_a_loop_that_has_ended(url: str) -> None:
    pool = open_pool(url)

    async def leave_open() -> None:
        await pool.connect()
        assert await pool.fetch_val("SELECT 1") == 1

    async def use_again() -> None:
        for work in uses(pool):
            await refused(work, WrongLoopError)

    with asyncio.Runner() as runner:
        runner.run(leave_open())
    asyncio.run(use_again())
    with asyncio.Runner() as runner:
        runner.run(pool.disconnect())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
async def test_a_pool_of_the_parent_process(url: str) -> None:
    """A child refuses it before it touches a connection of its parent's, and the parent goes on."""
    async with open_pool(url, min_size=1) as pool:
        assert await pool.fetch_val("SELECT 1") == 1
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child does not use
            child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                os.close(reader)
                os.write(writer, said_in_a_thread(pool).encode())
                status = 0
            os._exit(status)
        os.close(writer)
        with os.fdopen(reader, "rb") as said:
            text = (await asyncio.to_thread(said.read)).decode()
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert (text, status) == ("refused", 0)
        assert await pool.fetch_val("SELECT 1") == 1


def said_in_a_thread(pool: Pool) -> str:
    """What comes of using `pool` in a thread that has a loop of its own; a forked child's thread has inherited one."""
    said: list[str] = []

    def use() -> None:
        async def each() -> None:
            for work in uses(pool):
                await refused(work, WrongLoopError)

        try:
            asyncio.run(each())
            said.append("refused")
        except BaseException as error:  # noqa: BLE001 - shown by the parent
            said.append("".join(traceback.format_exception(error)))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    return said[0]


# --- two tasks -------------------------------------------------------------------------------------------------------


async def test_two_tasks_in_one_transaction(url: str) -> None:
    """A child does not inherit it; given the transaction itself, both may not use it at the same time."""
    async with open_pool(url, max_size=3) as pool:
        async with pool.transaction():
            for work in uses(pool)[:5]:
                error = await asyncio.create_task(refused(work, TransactionNotShared))
                assert "connection=" in error.remedy or "detached" in error.remedy
            assert await pool.fetch_val("SELECT 1") == 1
        async with pool.transaction() as tx:
            first = asyncio.create_task(tx.fetch_val("SELECT 1"))
            second = asyncio.create_task(tx.fetch_val("SELECT 1"))
            results = await asyncio.gather(first, second, return_exceptions=True)
            errors = [each for each in results if each != 1]
            assert [type(each) for each in errors] == [ConcurrentUseError]
            assert getattr(errors[0], "remedy", "")
        async with pool.acquire() as connection:
            tasks = [asyncio.create_task(connection.fetch_val("SELECT 1")) for _ in range(2)]
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in results if each != 1] == [ConcurrentUseError]
        assert await pool.fetch_val("SELECT 1") == 1


async def test_a_transaction_before_and_after_its_block(url: str) -> None:
    async with open_pool(url) as pool:
        tx = pool.transaction()
        await refused(lambda: tx.fetch_all("SELECT 1"), TransactionNotStarted)
        async with tx:
            await refused(lambda: tx, TransactionAlreadyStarted)
        for work in (lambda: tx.fetch_all("SELECT 1"), tx.commit, tx.rollback, tx.savepoint):
            await refused(work, TransactionClosed)
        async with pool.acquire() as connection:
            pass
        await refused(lambda: connection.fetch_all("SELECT 1"), PoolError)


async def test_more_callers_than_connections(url: str) -> None:
    async with open_pool(url, max_size=1, acquire_timeout=0.1, max_waiting=1) as pool, pool.acquire():
        await refused(lambda: pool.fetch_val("SELECT 1"), PoolTimeout)
        waiting = asyncio.create_task(refused(lambda: pool.fetch_val("SELECT 1"), PoolTimeout))
        await asyncio.sleep(0)
        with pytest.raises(PoolFull) as full:
            await pool.fetch_val("SELECT 1")
        assert full.value.code in str(full.value)
        await waiting


SYNC: Final = (
    "read_query", "execute_query", "begin_transaction", "commit_transaction", "rollback_transaction", "close_connection"
)  # fmt: skip


@pytest.mark.parametrize("name", SYNC)
async def test_a_pool_that_is_taken_for_a_synchronous_database(url: str, name: str) -> None:
    pool: Any = open_pool(url)
    with pytest.raises(AsyncPoolUsedSync) as early:
        getattr(pool, name)("SELECT 1")
    assert "await" in early.value.remedy
    async with pool:
        with pytest.raises(AsyncPoolUsedSync) as late:
            getattr(pool, name)("SELECT 1")
        assert "await" in late.value.remedy or "async with" in late.value.remedy


# --- A38: names of levels and savepoints -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "isolation",
    [
        "SERIALIZABLE; DROP TABLE attack_victims", "serializable", "SERIALIZABLE ", "", "SNAPSHOT", "READ  COMMITTED",
        "SERIALIZABLE READ WRITE", "repeatable_read", "SERIALIZABLE\0", 5, True, b"SERIALIZABLE", ["SERIALIZABLE"],
        object(), {"level": 1}, IsolationLevel, hostile_text("SERIALIZABLE", "x; DROP TABLE attack_victims"),
        hostile_text("x; DROP TABLE attack_victims", "SERIALIZABLE"),
    ],
    ids=ascii,
)  # fmt: skip
async def test_a38_an_isolation_level_is_one_of_four(target: Target, isolation: Any) -> None:
    await target.refuses(lambda: target.pool.transaction(isolation), InvalidValueError)
    await target.refuses(lambda: target.pool.transaction(isolation=isolation), InvalidValueError)
    await target.refuses(
        lambda: target.pool.run_in_transaction(lambda tx: tx.fetch_val("SELECT 1"), isolation=isolation),
        InvalidValueError,
    )


NAMES: Final = (
    "a; DROP TABLE attack_victims; --", 'a"b', "a b", "a'b", "", "1a", "a-b", "a" * 64, "a" * 300, "é", "a\0", "a\n",
    "child-ops", "$1", "a.b", 'x" ; ROLLBACK; --', hostile_text("a b", "a"), hostile_text("a", "b; DROP TABLE x"),
)  # fmt: skip


@pytest.mark.parametrize("name", [*NAMES, 5, True, b"a", ["a"], object()], ids=ascii)
async def test_a38_a_savepoint_is_named_by_an_identifier(target: Target, name: Any) -> None:
    async with target.pool.transaction() as tx:
        await target.refuses(lambda: tx.savepoint(name), IdentifierError)


async def test_a38_the_name_of_a_savepoint_is_never_sent(target: Target) -> None:
    """It is for people; in SQL the library's own names stand, so that two of one name are two."""
    async with target.pool.transaction() as tx:
        target.sent.clear()
        async with tx.savepoint("child_ops"), tx.savepoint("child_ops") as inner:
            await PydanticRepository(Victim, tx).create(Victim())
            await inner.rollback()
        assert any("SAVEPOINT" in text for text in target.sent)
        assert not [text for text in target.sent if "child_ops" in text]


@pytest.mark.parametrize("readonly", ["yes; DROP TABLE attack_victims", "READ ONLY"])
async def test_a38_read_only_is_a_fact_and_no_text(target: Target, readonly: Any) -> None:
    target.sent.clear()
    async with target.pool.transaction(readonly=readonly) as tx:
        await tx.fetch_val("SELECT 1")
    assert not [text for text in target.sent if "DROP" in text]
