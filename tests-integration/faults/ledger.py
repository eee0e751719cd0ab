"""The work whose wholeness is checked: units of two rows, stored in one transaction each."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final

from ff_storage.core.database import Executor, Pool
from ff_storage.core.errors import StorageError

TABLE: Final = "halves"
DEFINITION: Final = f"CREATE TABLE {TABLE} (unit integer NOT NULL, half integer NOT NULL, PRIMARY KEY (unit, half))"
WHOLE: Final = 2
"""The rows of a unit that is stored as a whole."""

_numbers = itertools.count(1_000_000)


def new_unit() -> int:
    """A unit that no test has used; tests may use smaller numbers themselves."""
    return next(_numbers)


def insertion(pool: Pool) -> str:
    """The statement that stores one half, in the engine's placeholders."""
    return f"INSERT INTO {TABLE} (unit, half) VALUES ({pool.dialect.placeholder(1)}, {pool.dialect.placeholder(2)})"


async def enter(pool: Pool, unit: int, half: int, connection: Executor | None = None) -> None:
    """Store one half, on `connection` if one is given."""
    await (connection or pool).execute(insertion(pool), unit, half)


async def store(pool: Pool, unit: int | None = None) -> int:
    """Store a unit as a whole, in a transaction of its own; its number."""
    unit = new_unit() if unit is None else unit
    with pool.detached():
        async with pool.transaction():
            await enter(pool, unit, 1)
            await enter(pool, unit, 2)
    return unit


@dataclass(slots=True)
class Log:
    """What tasks were told about the units that they stored: `acknowledged` is stored, surely."""

    acknowledged: list[int] = field(default_factory=list[int])
    errors: list[StorageError] = field(default_factory=list[StorageError])


@contextlib.asynccontextmanager
async def workers(pool: Pool, count: int) -> AsyncGenerator[Log]:
    """Tasks that store units, one after the other, for the length of the block; each goes on after an error of ours."""
    log = Log()
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            try:
                log.acknowledged.append(await store(pool))
            except StorageError as error:
                log.errors.append(error)
                await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(work()) for _ in range(count)]
    try:
        yield log
    finally:
        stop.set()
        await asyncio.gather(*tasks)
