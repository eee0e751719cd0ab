"""Piccolo over asyncpg's pool.

It knows one column as the key, so an update by `save` would search by half of the primary key; this one goes by both.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from piccolo.columns import JSONB, UUID, BigInt, Boolean, Numeric, Text, Timestamptz, Varchar
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table

from benchmarks.postgres.database import COMPARED
from benchmarks.workload import POOL, Row

MAX_ROWS = 2500
"""Rows of one INSERT: PostgreSQL's limit is 32,767 parameters to asyncpg, 12 for each row."""


class Item(Table, tablename="items"):
    id = UUID(primary_key=True)
    tenant_id = UUID()
    name = Varchar(length=100)
    price = Numeric(digits=(10, 2))
    quantity = BigInt()
    active = Boolean()
    attributes = JSONB()
    created_at = Timestamptz()
    updated_at = Timestamptz()
    note = Text(null=True)
    created_by = UUID(null=True, default=None)
    updated_by = UUID(null=True, default=None)


class Piccolo:
    """The contender."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> Item | None:
        return await Item.objects().where(Item.tenant_id == tenant, Item.id == key).first().output(load_json=True)

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[Item]:
        return await (
            Item.objects()
            .where(Item.tenant_id == tenant, Item.active.eq(True), Item.quantity >= quantity)
            .order_by(Item.created_at, ascending=False)
            .limit(100)
            .output(load_json=True)
        )

    async def fetch(self, tenant: uuid.UUID) -> list[Item]:
        return await Item.objects().where(Item.tenant_id == tenant).output(load_json=True)

    def make(self, rows: Sequence[Row]) -> list[Item]:
        return [Item(**{**row._asdict(), "attributes": orjson.dumps(row.attributes).decode()}) for row in rows]

    async def insert(self, item: Item) -> None:
        await item.save()

    async def bulk(self, items: list[Item]) -> None:
        async with self._engine.transaction():
            for start in range(0, len(items), MAX_ROWS):
                await Item.insert(*items[start : start + MAX_ROWS])

    async def update(self, item: Item, quantity: int) -> None:
        item.quantity = quantity
        item.updated_at = dt.datetime.now(dt.UTC)
        changes = {Item.quantity: item.quantity, Item.updated_at: item.updated_at}
        await Item.update(changes).where(Item.tenant_id == item.tenant_id, Item.id == item.id)

    def values(self, item: Item) -> Row:
        values = [getattr(item, name) for name in Row._fields]
        if isinstance(values[6], str):
            values[6] = orjson.loads(values[6])
        return Row(*(uuid.UUID(int=each.int) if isinstance(each, uuid.UUID) else each for each in values))

    async def settings(self) -> dict[str, Any]:
        shown = [await self._engine._run_in_pool(f"SHOW {name}", []) for name in COMPARED]
        return {name: next(iter(rows[0].values())) for name, rows in zip(COMPARED, shown, strict=True)}


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[Piccolo]:
    engine = PostgresEngine(config={"dsn": address})
    await engine.start_connection_pool(min_size=POOL, max_size=POOL)
    Item._meta._db = engine
    try:
        yield Piccolo(engine)
    finally:
        await engine.close_connection_pool()
