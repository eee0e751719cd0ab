"""SQLite's file: two processes that write it, disks that are full or read-only, files that vanish or are damaged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import servers
from faults.engines import SQLite
from faults.ledger import DEFINITION, TABLE, WHOLE, enter, store, workers
from faults.ok_set import DEADLINE, ok_set, ours, until
from ff_storage.core.errors import (
    ConnectionFailure,
    ConnectionLost,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    SerializationFailure,
)

WRITER = """
import asyncio, sys
from ff_storage.core.database import open_pool
from ff_storage.core.errors import SerializationFailure

async def main(url, first, count):
    insert = "INSERT INTO halves (unit, half) VALUES (?, ?)"
    async with open_pool(url, max_size=3, busy_timeout=30) as pool:
        for unit in range(first, first + count):
            async with pool.transaction() as tx:
                # Reads first, as programs do that then decide what to write.
                await tx.fetch_val("SELECT count(*) FROM halves")
                await tx.execute(insert, unit, 1)
                await tx.execute(insert, unit, 2)
            print(unit, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLite:
    servers.check_sqlite()
    engine = SQLite(tmp_path / "faults.db")
    engine.ask(DEFINITION)
    return engine


# --- F53 -------------------------------------------------------------------------------------------------------------


async def test_f53_processes_that_write_one_file_wait_for_each_other(sqlite: SQLite) -> None:
    """No one fails, though each reads before it writes: a transaction takes the write lock when it begins."""
    count = 150
    programs = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, sqlite.url, str(first), str(count)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for first in (0, 1000)
    ]
    async with sqlite.pool(max_size=3, busy_timeout=30) as pool, workers(pool, 2) as log:
        answers = await asyncio.gather(*(program.communicate() for program in programs))
    assert [(program.returncode, error) for program, (_, error) in zip(programs, answers, strict=True)] == [
        (0, b"")
    ] * 2
    assert log.errors == []
    acknowledged = {int(unit) for output, _ in answers for unit in output.split()} | {*log.acknowledged}
    assert {*range(count), *range(1000, 1000 + count)} <= acknowledged
    assert sqlite.stored() == dict.fromkeys(acknowledged, WHOLE)


async def test_f53_a_writer_that_waits_too_long_is_told_to_run_again(sqlite: SQLite) -> None:
    async with sqlite.pool(**sqlite.impatient) as pool:
        await store(pool)
        with contextlib.closing(sqlite3.connect(sqlite.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                with ours(SerializationFailure):
                    await store(pool)
            with ours(SerializationFailure):
                await enter(pool, 1, 1)
            assert await pool.fetch_val(f"SELECT count(*) FROM {TABLE}") == WHOLE, "readers do not wait for it"
            other.execute("ROLLBACK")
        await ok_set(sqlite, pool)


async def test_f53_a_snapshot_that_is_too_old_to_write_is_told_to_run_again(sqlite: SQLite) -> None:
    """Raw SQL that begins as a reader: another commit meanwhile, and no wait helps (BUSY_SNAPSHOT)."""
    async with sqlite.pool(busy_timeout=30) as pool:
        await store(pool)
        async with asyncio.timeout(10):
            with ours(SerializationFailure):
                async with pool.acquire() as connection:
                    await connection.execute("BEGIN")
                    await connection.fetch_val(f"SELECT count(*) FROM {TABLE}")
                    await store(pool)
                    await enter(pool, 1, 1, connection)
        await ok_set(sqlite, pool)
        assert 1 not in sqlite.stored()


# --- F54 -------------------------------------------------------------------------------------------------------------

DISK = """
import asyncio, os, subprocess, sys
from pathlib import Path
from ff_storage.core.database import open_pool
from ff_storage.core.errors import DatabaseError

os.chdir("/")  # a file system that is the working directory is busy
disk = Path(sys.argv[1])
insert = "INSERT INTO t VALUES (?, ?)"

def pool_of(mode):
    return open_pool(f"sqlite:///{disk / mode}.db", journal_mode=mode, max_size=2)

async def prepare(mode):
    async with pool_of(mode) as pool:
        await pool.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB)")
        await pool.execute(insert, 0, b"kept")

async def fill(pool):
    async with pool.transaction() as tx:
        for n in range(1, 10_000):
            await tx.execute(insert, n, b"x" * 5000)

async def show(mode):
    async with pool_of(mode) as pool:
        print(mode, await pool.fetch_val("SELECT count(*) FROM t"), await pool.fetch_val("PRAGMA integrity_check"))

async def write(mode):
    async with pool_of(mode) as pool:
        await pool.execute(insert, 2, b"refused")

async def main():
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=True)
    await prepare("WAL")
    await prepare("DELETE")
    for mode in ("WAL", "DELETE"):
        async with pool_of(mode) as pool:
            await tell(fill(pool))
            await pool.execute(insert, 1, b"after")
        await show(mode)
    # Closed pools have let go of their files, or this fails.
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    await tell(write("WAL"))  # it needs a file of its own beside the database, and so is not even opened
    await tell(write("DELETE"))
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    for mode in ("WAL", "DELETE"):
        await show(mode)

async def tell(work):
    try:
        await work
    except DatabaseError as error:
        print(type(error).__name__, type(error.__cause__).__name__)

asyncio.run(main())
"""


def test_f54_a_full_and_a_read_only_disk_are_told_and_old_data_is_intact(tmp_path: Path) -> None:
    """On a small file system of the program's own, which ends with it."""
    separate = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    program = subprocess.run(
        [*separate, sys.executable, "-c", DISK, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert program.returncode == 0, program.stderr
    assert program.stdout.splitlines() == [
        "DatabaseFull OperationalError",
        "WAL 2 ok",
        "DatabaseFull OperationalError",
        "DELETE 2 ok",
        "ConnectionFailure OperationalError",
        "DatabaseReadOnly OperationalError",
        "WAL 2 ok",
        "DELETE 2 ok",
    ]


async def test_f54_a_quota_that_is_reached_undoes_the_transaction(sqlite: SQLite) -> None:
    async with sqlite.pool(max_size=1) as pool:
        await store(pool)
        with ours(DatabaseFull):
            async with pool.acquire() as connection:
                pages = await connection.fetch_val("PRAGMA page_count")
                await connection.execute(f"PRAGMA max_page_count = {pages + 1}")
                async with connection.transaction() as tx:
                    for unit in range(5000):
                        await enter(pool, unit, 1, tx)
        assert len(sqlite.stored()) == 1
        await ok_set(sqlite, pool)


async def test_f54_a_file_that_was_deleted_is_an_error_and_not_an_empty_database(sqlite: SQLite) -> None:
    async with sqlite.pool(check_after=0) as pool:
        await store(pool)
        kept = sqlite.path.with_suffix(".kept")
        sqlite.path.rename(kept)
        for _ in range(3):
            with ours(ConnectionLost, ConnectionFailure, driver=False):
                await store(pool)
        assert not sqlite.path.exists()
        kept.rename(sqlite.path)
        await ok_set(sqlite, pool)


@pytest.mark.parametrize("damage", ["header", "page", "truncated", "text"])
async def test_f54_a_damaged_file_is_told(sqlite: SQLite, damage: str) -> None:
    async with sqlite.pool() as pool:
        for _ in range(300):
            await store(pool)
    sound = sqlite.path.with_suffix(".sound")
    shutil.copy(sqlite.path, sound)
    with sqlite.path.open("r+b") as file:
        if damage == "header":
            file.write(b"\xff" * 100)
        elif damage == "page":
            file.seek(4096)
            file.write(b"\xff" * 4096)
        elif damage == "truncated":
            file.truncate(4096)
        else:
            file.truncate(0)
            file.write(b"This is a text, and no database.\n" * 40)
    with ours(DatabaseCorrupt):
        async with sqlite.pool() as pool:
            await pool.fetch_all(f"SELECT * FROM {TABLE}")
    shutil.copy(sound, sqlite.path)
    async with sqlite.pool() as pool:
        await ok_set(sqlite, pool)


async def test_f54_an_error_of_the_disk_under_an_open_pool_ends_with_it(sqlite: SQLite) -> None:
    """The file is damaged under an open pool, and put right again."""
    async with sqlite.pool(max_size=1) as pool:
        for _ in range(300):
            await store(pool)
        await pool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sound = sqlite.path.read_bytes()
        sqlite.path.write_bytes(sound[:4096] + b"\xff" * (len(sound) - 4096))
        with ours(DatabaseError):
            async with asyncio.timeout(DEADLINE):
                await pool.fetch_all(f"SELECT * FROM {TABLE}")
                await pool.execute("PRAGMA shrink_memory")
                await pool.fetch_all(f"SELECT * FROM {TABLE} ORDER BY half")
        sqlite.path.write_bytes(sound)
        await until(lambda: pool.stats().used == 0)
    async with sqlite.pool() as pool:
        await ok_set(sqlite, pool)
