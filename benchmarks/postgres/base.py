"""The base: asyncpg through its own pool, with its records as they come: no model, and JSON as text.

Beside it, what is left when the pool is not used, and COPY for many rows.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson

from benchmarks.postgres.database import COLUMNS, COMPARED
from benchmarks.workload import POOL, Row

_GET = f'SELECT {COLUMNS} FROM "items" WHERE "tenant_id" = $1 AND "id" = $2'
_PAGE = (
    f'SELECT {COLUMNS} FROM "items" WHERE "tenant_id" = $1 AND "active" AND "quantity" >= $2 '
    'ORDER BY "created_at" DESC LIMIT 100'
)
_FETCH = f'SELECT {COLUMNS} FROM "items" WHERE "tenant_id" = $1'
_INSERT = f'INSERT INTO "items" ({COLUMNS}) VALUES ({", ".join(f"${n}" for n in range(1, len(Row._fields) + 1))})'
_UPDATE = 'UPDATE "items" SET "quantity" = $1, "updated_at" = $2 WHERE "tenant_id" = $3 AND "id" = $4'


def _parameters(row: Row) -> tuple[Any, ...]:
    # by index: _replace of a named tuple would cost more than all else here
    return (*row[:6], orjson.dumps(row[6]).decode(), *row[7:])


class Asyncpg:
    """The contender; `database` is a pool or a connection, which have the same methods."""

    def __init__(self, database: Any) -> None:
        self._database = database

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> asyncpg.Record | None:
        return await self._database.fetchrow(_GET, tenant, key)

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[asyncpg.Record]:
        records: list[asyncpg.Record] = await self._database.fetch(_PAGE, tenant, quantity)
        return records

    async def fetch(self, tenant: uuid.UUID) -> list[asyncpg.Record]:
        records: list[asyncpg.Record] = await self._database.fetch(_FETCH, tenant)
        return records

    def make(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows)

    async def insert(self, item: Row) -> None:
        await self._database.execute(_INSERT, *_parameters(item))

    async def bulk(self, items: list[Row]) -> None:
        await self._database.executemany(_INSERT, map(_parameters, items))  # in one transaction by itself

    async def update(self, item: asyncpg.Record, quantity: int) -> None:
        now = dt.datetime.now(dt.UTC)
        status = await self._database.execute(_UPDATE, quantity, now, item["tenant_id"], item["id"])
        if status != "UPDATE 1":
            raise LookupError(item["id"])

    def values(self, item: asyncpg.Record) -> Row:
        # asyncpg has a UUID class of its own
        values = [uuid.UUID(int=value.int) if isinstance(value, uuid.UUID) else value for value in item.values()]
        values[6] = orjson.loads(values[6])
        return Row(*values)

    async def settings(self) -> dict[str, Any]:
        return {name: await self._database.fetchval(f"SHOW {name}") for name in COMPARED}


class Copying(Asyncpg):
    """The same, but for many rows."""

    async def bulk(self, items: list[Row]) -> None:
        await self._database.copy_records_to_table("items", records=map(_parameters, items), columns=Row._fields)


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[Asyncpg]:
    async with asyncpg.create_pool(address, min_size=POOL, max_size=POOL) as pool:
        yield Asyncpg(pool)


@asynccontextmanager
async def copying(address: str) -> AsyncIterator[Copying]:
    async with asyncpg.create_pool(address, min_size=1, max_size=1) as pool:
        yield Copying(pool)


@asynccontextmanager
async def held(address: str) -> AsyncIterator[Asyncpg]:
    connection = await asyncpg.connect(address)
    try:
        yield Asyncpg(connection)
    finally:
        await connection.close()
