"""ff-storage: `PydanticRepository`, `Query` and `bulk_insert` in a strict tenant scope, with every check on."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from benchmarks.workload import CHANGE, READ, SCRATCH, Row
from ff_storage import AsyncSchemaManager, Field, PydanticModel, PydanticRepository, Query, bulk_insert, col


class Item(PydanticModel):
    __soft_delete__ = False

    name: str = Field(max_length=100)
    price: Decimal = Field(max_digits=10, decimal_places=2)
    quantity: int
    active: bool = Field(db_index=True, db_index_name="idx_items_newest", db_index_columns=["tenant_id", "created_at"])
    attributes: dict[str, Any]
    note: str | None = None


class FFStorage:
    """The contender, on any engine's pool; `setting` is how the engine is asked for each of `compared`."""

    def __init__(self, pool: Any, setting: str, compared: Sequence[str]) -> None:
        self._pool = pool
        self._setting = setting
        self._compared = compared
        self._items = {tenant: PydanticRepository(Item, pool, tenant_id=tenant) for tenant in (READ, CHANGE, SCRATCH)}

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> Item | None:
        return await self._items[tenant].get(key)

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[Item]:
        query = Query(Item).filter(Item.active == True, Item.quantity >= quantity)  # noqa: E712 - an expression
        return await query.order_by(col(Item.created_at).desc()).limit(100).execute(self._pool, tenant_id=tenant)

    async def fetch(self, tenant: uuid.UUID) -> list[Item]:
        return await Query(Item).execute(self._pool, tenant_id=tenant)

    def make(self, rows: Sequence[Row]) -> list[Item]:
        return [Item(**{name: getattr(row, name) for name in _GIVEN}) for row in rows]

    async def insert(self, item: Item) -> None:
        await self._items[item.tenant_id].create(item)

    async def bulk(self, items: list[Item]) -> None:
        await bulk_insert(Item, items, self._pool, tenant_id=SCRATCH)

    async def update(self, item: Item, quantity: int) -> None:
        item.quantity = quantity
        await self._items[item.tenant_id].update(item.id, item)

    def values(self, item: Item) -> Row:
        return Row(*(getattr(item, name) for name in Row._fields))

    async def settings(self) -> dict[str, Any]:
        return {name: await self._pool.fetch_val(self._setting.format(name)) for name in self._compared}


_GIVEN = [name for name in Row._fields if not name.startswith(("created_", "updated_"))]


async def check_schema(pool: Any) -> None:
    """Raise RuntimeError unless the table that the benchmark made is the one that the library makes."""
    changes = await AsyncSchemaManager(pool).sync_schema([Item])
    if changes:
        raise RuntimeError(f"the benchmark's table is not the library's: {changes} changes")
