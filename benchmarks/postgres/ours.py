"""ff-storage on PostgreSQL, every statement within a deadline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.ours import FFStorage, Item, check_schema
from benchmarks.postgres.database import COMPARED
from benchmarks.workload import POOL
from ff_storage import open_pool

DEADLINE = 30.0
"""Seconds."""


class Blind(FFStorage):
    """An update whose stored row is not asked for."""

    async def update(self, item: Item, quantity: int) -> None:
        item.quantity = quantity
        await self._items[item.tenant_id].update(item.id, item, returning=False)


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[FFStorage]:
    async with open_pool(address, min_size=POOL, max_size=POOL, query_timeout=DEADLINE) as pool:
        await check_schema(pool)
        yield FFStorage(pool, "SHOW {}", COMPARED)


@asynccontextmanager
async def driver_uuids(address: str) -> AsyncIterator[FFStorage]:
    async with open_pool(address, min_size=POOL, max_size=POOL, query_timeout=DEADLINE, uuid="driver") as pool:
        yield FFStorage(pool, "SHOW {}", COMPARED)


@asynccontextmanager
async def blind(address: str) -> AsyncIterator[Blind]:
    async with open_pool(address, min_size=1, max_size=1, query_timeout=DEADLINE) as pool:
        yield Blind(pool, "SHOW {}", COMPARED)
