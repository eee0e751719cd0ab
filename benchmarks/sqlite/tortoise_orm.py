"""Tortoise, with fields of our own for the values that it stores in another form on SQLite."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson
from tortoise import Tortoise, connections, fields
from tortoise.fields.base import Field
from tortoise.models import Model

from benchmarks.sqlite.database import PRAGMAS, read_settings
from benchmarks.workload import Row


class CentsField(Field[Decimal], Decimal):  # type: ignore[misc]  # as Tortoise's own fields are made
    """A scaled integer; the built-in field is text on SQLite."""

    SQL_TYPE = "INTEGER"

    def to_db_value(self, value: Any, instance: Any) -> int | None:  # noqa: ARG002
        return None if value is None else int(value.scaleb(2))

    def to_python_value(self, value: Any) -> Decimal | None:
        return Decimal(value).scaleb(-2) if type(value) is int else value


class UtcField(Field[dt.datetime], dt.datetime):
    """Text of fixed width in UTC, without the zone that the built-in field writes."""

    SQL_TYPE = "TEXT"

    def to_db_value(self, value: Any, instance: Any) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=None).isoformat(" ", "microseconds")

    def to_python_value(self, value: Any) -> dt.datetime | None:
        return dt.datetime.fromisoformat(value + "+00:00") if type(value) is str else value


class Item(Model):
    id = fields.UUIDField(primary_key=True)
    tenant_id = fields.UUIDField()
    name = fields.CharField(max_length=100)
    price = CentsField()
    quantity = fields.IntField()
    active = fields.BooleanField()
    attributes: Any = fields.JSONField(encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads)
    created_at = UtcField()
    updated_at = UtcField()
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
        await item.save(update_fields=["quantity", "updated_at"])

    def values(self, item: Item) -> Row:
        return Row(*(getattr(item, name) for name in Row._fields))

    async def settings(self) -> dict[str, Any]:
        client: Any = connections.get("default")
        async with client.acquire_connection() as connection:
            settings: dict[str, Any] = await connection._execute(read_settings, connection._conn)
            return settings


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[TortoiseOrm]:
    await Tortoise.init(
        {
            "connections": {
                "default": {
                    "engine": "tortoise.backends.sqlite",
                    "credentials": {"file_path": address, "journal_size_limit": -1, **PRAGMAS},
                }
            },
            "apps": {"benchmarks": {"models": [__name__], "default_connection": "default"}},
            "use_tz": True,
            "timezone": "UTC",
        }
    )
    try:
        yield TortoiseOrm()
    finally:
        await Tortoise.close_connections()
