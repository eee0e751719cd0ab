"""ff-storage on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.ours import FFStorage, check_schema
from benchmarks.sqlite.database import COMPARED, PRAGMAS
from ff_storage import open_pool


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[FFStorage]:
    async with open_pool(f"sqlite:///{address}", synchronous=PRAGMAS["synchronous"]) as pool:
        await check_schema(pool)
        yield FFStorage(pool, "PRAGMA {}", COMPARED)
