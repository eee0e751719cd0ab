"""Writers of one file, in one pool, in several and in several processes; and what a fault leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.errors import DatabaseCorrupt, DatabaseFull, SerializationFailure
from ff_storage.sqlite import SQLitePool
from ff_storage.sqlite.turns import PATIENCE, Turns, Writer


def apart(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that inherits no transaction."""
    return asyncio.create_task(work, context=contextvars.Context())


async def until_queued(pool: SQLitePool, count: int) -> None:
    """Wait until so many writers of the pool wait for their turn."""
    assert pool._turns is not None
    while len(pool._turns._queue) < count:  # noqa: ASYNC110 - threads fill it
        await asyncio.sleep(0.001)


async def add(pool: SQLitePool, number: int) -> None:
    await pool.execute("INSERT INTO t (id) VALUES (?)", number)


# --- one pool --------------------------------------------------------------------------------------------------------


async def test_writers_that_waited_go_in_their_order(path: Path) -> None:
    async with SQLitePool(path, max_size=8) as pool:
        await pool.execute("CREATE TABLE t (place INTEGER PRIMARY KEY, id INTEGER) STRICT")
        async with pool.transaction():
            tasks: list[asyncio.Task[Any]] = []
            for number in range(6):
                tasks.append(apart(add(pool, number)))
                await until_queued(pool, number + 1)
            # Longer than a writer's patience: from now on none overtakes.
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)
        assert await pool.fetch_val("SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY place)") == "0,1,2,3,4,5"


def test_a_writer_out_of_patience_is_not_overtaken() -> None:
    turns, busy, patient = Turns(), Writer(), Writer()
    assert turns.take(busy, 0)
    thread = threading.Thread(target=turns.take, args=(patient, 60))
    thread.start()
    while not turns._queue:
        time.sleep(0.001)
    time.sleep(2 * PATIENCE)
    turns.give()
    assert not turns.take(busy, 0)
    thread.join()
    turns.give()
    assert turns.take(busy, 0)


async def test_no_writer_starves_beside_a_busy_one(file_pool: SQLitePool) -> None:
    done = asyncio.Event()

    async def never_rest() -> int:
        count = 0
        while not done.is_set():
            async with file_pool.transaction() as tx:
                await tx.execute("UPDATE t SET name = 'x' WHERE id = 0")
            count += 1
        return count

    busy = [asyncio.create_task(never_rest()) for _ in range(2)]
    async with asyncio.timeout(60):
        for number in range(20):
            await add(file_pool, number)
    done.set()
    assert all(await asyncio.gather(*busy))


async def test_a_turn_ends_with_whatever_ends_the_transaction(file_pool: SQLitePool) -> None:
    await file_pool.execute("CREATE TABLE r (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK) STRICT")
    await file_pool.execute("INSERT INTO r VALUES (1)")
    for statements in (
        ["BEGIN IMMEDIATE", "COMMIT"],
        ["BEGIN IMMEDIATE", "ROLLBACK"],
        ["BEGIN IMMEDIATE", "INSERT INTO r VALUES (1)"],
        ["BEGIN IMMEDIATE"],
        ["begin exclusive", "end"],
        ["INSERT INTO r VALUES (1)"],
        ["INSERT INTO r VALUES (2)"],
        ["CREATE TABLE nonsense"],
        ["WITH x AS (SELECT 1) INSERT INTO r SELECT * FROM x"],
    ):
        with contextlib.suppress(Exception):
            async with file_pool.acquire() as connection:
                for sql in statements:
                    await connection.execute(sql)
        await file_pool.settle()
        assert file_pool._turns is not None
        assert not file_pool._turns._taken, statements
    with contextlib.suppress(Exception):
        await file_pool.execute_many("INSERT INTO r VALUES (?)", [(3,), (3,)])
    assert not file_pool._turns._taken
    async with file_pool.transaction(), file_pool.transaction():
        await add(file_pool, 1)
    with pytest.raises(ZeroDivisionError):
        async with file_pool.transaction():
            raise ZeroDivisionError
    assert not file_pool._turns._taken


async def test_a_writer_whose_turn_does_not_come_gives_up(path: Path) -> None:
    async with SQLitePool(path, busy_timeout=0.05) as pool:
        await pool.execute("CREATE TABLE t (id INTEGER) STRICT")
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1)")
            with pool.detached(), pytest.raises(SerializationFailure, match="busy_timeout"):
                await add(pool, 2)
            with pool.detached():
                assert await pool.fetch_val("SELECT count(*) FROM t") == 0, "a reader does not wait"
        await add(pool, 3)
        assert await pool.fetch_val("SELECT group_concat(id) FROM t") == "1,3"


async def test_a_canceled_writer_leaves_the_queue(file_pool: SQLitePool) -> None:
    async with file_pool.transaction() as tx:
        await tx.execute("INSERT INTO t (id) VALUES (1)")
        first, second = apart(add(file_pool, 2)), apart(add(file_pool, 3))
        await until_queued(file_pool, 2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    await second
    await file_pool.settle()
    assert await file_pool.fetch_val("SELECT group_concat(id) FROM t") == "1,3"


async def test_readers_and_writers_lose_nothing(path: Path) -> None:
    async with SQLitePool(path, max_size=6, busy_timeout=60, synchronous="NORMAL") as pool:
        await pool.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER) STRICT")
        await pool.execute("CREATE TABLE log (id INTEGER PRIMARY KEY) STRICT")
        await pool.execute("INSERT INTO account VALUES (1, 500), (2, 500)")
        done = asyncio.Event()

        async def read() -> int:
            count = 0
            while not done.is_set():
                assert await pool.fetch_val("SELECT sum(amount) FROM account") == 1000
                count += 1
            return count

        async def move(rounds: int) -> None:
            for _ in range(rounds):
                async with pool.transaction() as tx:
                    amount = await tx.fetch_val("SELECT amount FROM account WHERE id = 1")
                    await tx.execute("UPDATE account SET amount = ? WHERE id = 1", amount - 1)
                    await tx.execute("UPDATE account SET amount = amount + 1 WHERE id = 2")

        async def write(rounds: int) -> None:
            for _ in range(rounds):
                await pool.execute("INSERT INTO log DEFAULT VALUES")

        readers = [asyncio.create_task(read()) for _ in range(4)]
        await asyncio.gather(*(move(25) for _ in range(4)), *(write(25) for _ in range(4)))
        done.set()
        assert all(await asyncio.gather(*readers))
        assert await pool.fetch_all("SELECT amount FROM account ORDER BY id", as_dict=False) == [(400,), (600,)]
        assert await pool.fetch_val("SELECT count(*) FROM log") == 100


# --- several pools and processes -------------------------------------------------------------------------------------


async def test_a_writer_waits_for_the_lock_and_then_gives_up(file_pool: SQLitePool, path: Path) -> None:
    async with SQLitePool(path, busy_timeout=60) as patient, SQLitePool(path, busy_timeout=0.01) as hasty:
        async with file_pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            waiting = apart(add(patient, 2))
            with pytest.raises(SerializationFailure, match="busy_timeout"):
                await add(hasty, 3)
            assert not waiting.done()
        await waiting
        await add(hasty, 3)
    assert await file_pool.fetch_val("SELECT count(*) FROM t") == 3


async def test_f53_a_stale_snapshot_is_a_serialization_failure(file_pool: SQLitePool, path: Path) -> None:
    async with SQLitePool(path) as other, SQLitePool(path, busy_timeout=600) as pool:
        async with pool.acquire() as connection:
            await connection.execute("BEGIN")
            assert await connection.fetch_val("SELECT count(*) FROM t") == 0
            await add(other, 1)
            # Waiting would not help: it must be run again as a whole.
            with pytest.raises(SerializationFailure):
                await connection.execute("INSERT INTO t (id) VALUES (2)")
        assert await file_pool.fetch_val("SELECT group_concat(id) FROM t") == "1"


WRITER = """
import asyncio, sys
from ff_storage.sqlite import SQLitePool

async def main(path, name, count):
    async with SQLitePool(path, busy_timeout=60) as pool:
        for n in range(count):
            async with pool.transaction() as tx:
                await tx.execute("INSERT INTO half (writer, n) VALUES (?, ?)", name, n)
                await tx.execute("INSERT INTO half (writer, n) VALUES (?, ?)", name, n)
            print(n, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
async def halves(path: Path) -> Path:
    async with SQLitePool(path) as pool:
        await pool.execute("CREATE TABLE half (writer TEXT, n INTEGER) STRICT")
    return path


async def test_f53_two_processes_write_without_an_error(halves: Path) -> None:
    writers = [start_writer(halves, name, 50) for name in ("a", "b")]
    for writer in writers:
        out, _ = await asyncio.to_thread(writer.communicate)
        assert writer.returncode == 0
        assert len(out.split()) == 50
    async with SQLitePool(halves) as pool:
        assert await pool.fetch_val("SELECT count(*) FROM half") == 200


@pytest.mark.parametrize("after", [0, 7, 23])
async def test_f39_a_killed_writer_leaves_no_halves_and_loses_nothing(halves: Path, after: int) -> None:
    writer = start_writer(halves, "a", 100_000)
    assert writer.stdout is not None
    acknowledged = [int(await asyncio.to_thread(writer.stdout.readline)) for _ in range(after + 1)]
    writer.kill()
    rest, _ = await asyncio.to_thread(writer.communicate)
    # A last line may have been cut off.
    acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    async with SQLitePool(halves) as pool:
        counts = await pool.fetch_all("SELECT n, count(*) FROM half GROUP BY n", as_dict=False)
    assert {count for _, count in counts} == {2}
    assert {n for n, _ in counts} >= {*acknowledged}


# --- faults of the file ----------------------------------------------------------------------------------------------


async def test_f54_a_full_database_keeps_what_it_has(file_pool: SQLitePool) -> None:
    await add(file_pool, 1)
    async with file_pool.acquire() as connection:
        pages = await connection.fetch_val("PRAGMA page_count")
        await connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(DatabaseFull):
            await connection.execute_many("INSERT INTO t VALUES (?, ?)", ((n, f"{n}" * 100) for n in range(2, 1000)))
    await file_pool.settle()
    assert await file_pool.fetch_val("SELECT group_concat(id) FROM t") == "1"
    await add(file_pool, 2)


async def test_f54_a_damaged_file_is_named_so(file_pool: SQLitePool, path: Path) -> None:
    await file_pool.execute_many("INSERT INTO t VALUES (?, ?)", ((n, f"name {n}") for n in range(5000)))
    await file_pool.disconnect()

    def damage() -> None:
        data = bytearray(path.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        path.write_bytes(data)

    await asyncio.to_thread(damage)
    await file_pool.connect()
    with pytest.raises(DatabaseCorrupt) as caught:
        await file_pool.fetch_all("SELECT * FROM t")
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
