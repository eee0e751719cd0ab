"""F30, F39: processes that are told to stop, or killed, while they write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from faults.engines import Engine
from faults.models import Item
from faults.ok_set import DEADLINE, eventually, ok_set
from faults.soak import SEED, count
from ff_storage.core.testing.tables import create_tables


@contextlib.asynccontextmanager
async def worker(engine: Engine, *arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A process that works on the database, has begun, and is gone at the end of the block."""
    here = Path(__file__).parents[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faults.worker", arguments[0], engine.url, *arguments[1:],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(here)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        assert line == b"begun\n", (await process.communicate())[1].decode()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("signum", "arguments", "codes"),
    [
        (signal.SIGINT, (), {-signal.SIGINT, 1, 130}),
        (signal.SIGTERM, ("--graceful",), {0}),
        (signal.SIGTERM, (), {-signal.SIGTERM}),
    ],
    ids=["ctrl-c", "handled", "not-handled"],
)
async def test_f30_a_process_that_is_told_to_stop_in_a_bulk_insert(
    engine: Engine, signum: signal.Signals, arguments: tuple[str, ...], codes: set[int]
) -> None:
    """It ends soon, and so does what the server does for it; nothing of the bulk is stored."""
    async with engine.pool() as pool:
        await create_tables(pool, Item)
        async with worker(engine, "bulk", *arguments) as process:
            process.send_signal(signum)
            async with asyncio.timeout(DEADLINE):
                _, errors = await process.communicate()
            assert process.returncode in codes, errors.decode()
            if signum is signal.SIGTERM:
                assert errors == b""
        await eventually(lambda: engine.state().sessions <= 1)
        assert await pool.fetch_val("SELECT count(*) FROM fault_items") == 0
        await ok_set(engine, pool)


async def test_f39_what_a_killed_process_was_told_is_stored_and_no_halves_are(engine: Engine) -> None:
    """`kill -9` after a random number of units; the next process goes on where it stopped."""
    chance = random.Random(SEED)
    acknowledged: set[int] = set()
    async with engine.pool() as pool:
        await create_tables(pool, Item)
        for _ in range(count(30)):
            async with worker(engine, "units") as process:
                assert process.stdout is not None
                for _ in range(chance.randrange(1, 25)):
                    acknowledged.add(int(await process.stdout.readline()))
                await asyncio.sleep(chance.random() * 0.005)
                process.kill()
                acknowledged |= {int(line) for line in (await process.communicate())[0].split()}
            await eventually(lambda: engine.state().sessions <= 1)
            stored = engine.stored()
            assert acknowledged <= set(stored)
            assert set(stored.values()) == {2}
            items = await pool.fetch_all("SELECT number FROM fault_items", as_dict=False)
            assert {number for (number,) in items} == set(stored)
        await ok_set(engine, pool)
