"""The time limits of a pool's statements: each has its own, and one within another leaves that one its own."""

import asyncio

import pytest

from ff_storage.core.database.deadlines import Deadlines
from ff_storage.core.errors import QueryTimeout

NEVER = 3600.0
HANG = 30.0
"""Seconds after which a limit counts as lost; no test waits for it."""


async def test_a_statement_within_another_leaves_it_its_limit() -> None:
    deadlines = Deadlines(0.01)

    async def outer() -> None:
        await deadlines.run(asyncio.sleep(0))
        await asyncio.sleep(NEVER)

    with pytest.raises(QueryTimeout):
        async with asyncio.timeout(HANG):
            await deadlines.run(outer())
    assert await deadlines.run(asyncio.sleep(0, "again")) == "again"


async def test_a_statement_within_another_ends_with_it() -> None:
    deadlines = Deadlines(0.01)

    async def outer() -> None:
        await deadlines.run(asyncio.sleep(NEVER))

    with pytest.raises(QueryTimeout):
        async with asyncio.timeout(HANG):
            await deadlines.run(outer())


async def test_one_that_runs_out_of_time_takes_nothing_from_another_task() -> None:
    deadlines = Deadlines(0.5)
    late = asyncio.ensure_future(deadlines.run(asyncio.sleep(NEVER)))
    for _ in range(3):
        assert await deadlines.run(asyncio.sleep(0.01, "soon")) == "soon"
    with pytest.raises(QueryTimeout):
        await late


async def test_a_cancellation_of_somebody_elses_stays_one() -> None:
    deadlines = Deadlines(NEVER)
    running = asyncio.ensure_future(deadlines.run(asyncio.sleep(NEVER)))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
