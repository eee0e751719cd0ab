"""Tortoise over asyncpg.

It knows one column as the key, so an update by `save` would search by half of the primary key; this one goes by both.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from tortoise import Tortoise, connections, fields
from tortoise.models import Model

from benchmarks.postgres.database import COMPARED
from benchmarks.workload import POOL, Row


class Item(Model):
    id = fields.UUIDField(primary_key=True)
    tenant_id = fields.UUIDField()
    name = fields.CharField(max_length=100)
    price = fields.DecimalField(max_digits=10, decimal_places=2)
    quantity = fields.BigIntField()
    active = fields.BooleanField()
    attributes: Any = fields.JSONField(encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()
    note = fields.TextField(null=True)
    created_by = fields.UUIDField(null=True)
    updated_by = fields.UUIDField(null=True)

    class Meta:
        table = "items"


class TortoiseOrm:
    """The contender."""

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> Item | None:
        return await Item.get_or_none(tenant_id=tenant, id=key)

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[Item]:
        items = Item.filter(tenant_id=tenant, active=True, quantity__gte=quantity)
        return await items.order_by("-created_at").limit(100)

    async def fetch(self, tenant: uuid.UUID) -> list[Item]:
        return await Item.filter(tenant_id=tenant)

    def make(self, rows: Sequence[Row]) -> list[Item]:
        return [Item(**row._asdict()) for row in rows]

    async def insert(self, item: Item) -> None:
        await item.save(force_create=True)

    async def bulk(self, items: list[Item]) -> None:
        await Item.bulk_create(items)

    async def update(self, item: Item, quantity: int) -> None:
        item.quantity = quantity
        item.updated_at = dt.datetime.now(dt.UTC)
        mine = Item.filter(tenant_id=item.tenant_id, id=item.id)
        if await mine.update(quantity=item.quantity, updated_at=item.updated_at) != 1:
            raise LookupError(item.id)

    def values(self, item: Item) -> Row:
        values = [getattr(item, name) for name in Row._fields]
        return Row(*(uuid.UUID(int=each.int) if isinstance(each, uuid.UUID) else each for each in values))

    async def settings(self) -> dict[str, Any]:
        client: Any = connections.get("default")
        async with client.acquire_connection() as connection:
            return {name: await connection.fetchval(f"SHOW {name}") for name in COMPARED}


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[TortoiseOrm]:
    await Tortoise.init(
        {
            "connections": {"default": f"{_asyncpg(address)}?minsize={POOL}&maxsize={POOL}"},
            "apps": {"benchmarks": {"models": [__name__], "default_connection": "default"}},
            "use_tz": True,
            "timezone": "UTC",
        }
    )
    try:
        yield TortoiseOrm()
    finally:
        await Tortoise.close_connections()


def _asyncpg(address: str) -> str:
    return address.replace("postgresql://", "asyncpg://", 1)
