"""psycopg 3 through its async pool, rows as dicts, JSON by orjson."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from benchmarks.postgres.database import COLUMNS, COMPARED
from benchmarks.workload import POOL, Row

_GET = f'SELECT {COLUMNS} FROM "items" WHERE "tenant_id" = %s AND "id" = %s'
_PAGE = (
    f'SELECT {COLUMNS} FROM "items" WHERE "tenant_id" = %s AND "active" AND "quantity" >= %s '
    'ORDER BY "created_at" DESC LIMIT 100'
)
_FETCH = f'SELECT {COLUMNS} FROM "items" WHERE "tenant_id" = %s'
_INSERT = f'INSERT INTO "items" ({COLUMNS}) VALUES ({", ".join(["%s"] * len(Row._fields))})'
_UPDATE = 'UPDATE "items" SET "quantity" = %s, "updated_at" = %s WHERE "tenant_id" = %s AND "id" = %s'


def _parameters(row: Row) -> tuple[Any, ...]:
    return (*row[:6], Jsonb(row[6]), *row[7:])


class Psycopg:
    """The contender. Connections are in autocommit: a statement by itself needs no transaction."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[DictRow]]) -> None:
        self._pool = pool

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> DictRow | None:
        async with self._pool.connection() as connection:
            return await (await connection.execute(_GET, (tenant, key))).fetchone()

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[DictRow]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(_PAGE, (tenant, quantity))).fetchall()

    async def fetch(self, tenant: uuid.UUID) -> list[DictRow]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(_FETCH, (tenant,))).fetchall()

    def make(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows)

    async def insert(self, item: Row) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_INSERT, _parameters(item))

    async def bulk(self, items: list[Row]) -> None:
        async with self._pool.connection() as connection, connection.transaction():
            await connection.cursor().executemany(_INSERT, map(_parameters, items))

    async def update(self, item: DictRow, quantity: int) -> None:
        parameters = (quantity, dt.datetime.now(dt.UTC), item["tenant_id"], item["id"])
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_UPDATE, parameters)
            if cursor.rowcount != 1:
                raise LookupError(item["id"])

    def values(self, item: DictRow) -> Row:
        return Row(**item)

    async def settings(self) -> dict[str, Any]:
        async with self._pool.connection() as connection:
            shown = [await (await connection.execute(f"SHOW {name}")).fetchone() for name in COMPARED]
            return {name: next(iter((row or {}).values())) for name, row in zip(COMPARED, shown, strict=True)}


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[Psycopg]:
    set_json_dumps(orjson.dumps)
    set_json_loads(orjson.loads)
    async with AsyncConnectionPool(
        address,
        connection_class=AsyncConnection[DictRow],
        kwargs={"row_factory": dict_row, "autocommit": True},
        min_size=POOL,
        max_size=POOL,
        open=False,
    ) as pool:
        await pool.wait()
        yield Psycopg(pool)
