"""Piccolo, on a table of its own: it learns a value's type from the declared name, which a STRICT table cannot have.

It opens a connection, and a thread, for every statement outside a transaction: that is how it is used.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from piccolo.columns import JSON, UUID, Boolean, Integer, Numeric, Text, Timestamptz, Varchar
from piccolo.engine.sqlite import SQLiteEngine
from piccolo.table import Table

from benchmarks.sqlite.database import PRAGMAS, read_settings
from benchmarks.workload import Row


class Connection(sqlite3.Connection):
    """A connection with everybody's pragmas."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, value in PRAGMAS.items():
            self.execute(f"PRAGMA {name} = {value}")


class Item(Table, tablename="items_declared"):
    id = UUID(primary_key=True)
    tenant_id = UUID(index=True)
    name = Varchar(length=100)
    price = Numeric(digits=(10, 2))
    quantity = Integer()
    active = Boolean()
    attributes = JSON()
    created_at = Timestamptz()
    updated_at = Timestamptz()
    note = Text(null=True)
    created_by = UUID(null=True, default=None)
    updated_by = UUID(null=True, default=None)


class Piccolo:
    """The contender."""

    def __init__(self, engine: SQLiteEngine) -> None:
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
            # SQLite's limit of 32,766 parameters in one statement, 12 for each row
            for start in range(0, len(items), 2500):
                await Item.insert(*items[start : start + 2500])

    async def update(self, item: Item, quantity: int) -> None:
        item.quantity = quantity
        item.updated_at = dt.datetime.now(dt.UTC)
        await item.save(columns=[Item.quantity, Item.updated_at])

    def values(self, item: Item) -> Row:
        values = [getattr(item, name) for name in Row._fields]
        if isinstance(values[6], str):
            values[6] = orjson.loads(values[6])
        return Row(*values)

    async def settings(self) -> dict[str, Any]:
        connection: Any = await self._engine.get_connection()
        settings: dict[str, Any] = await connection._execute(read_settings, connection._conn)
        await connection.close()
        return settings


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[Piccolo]:
    engine = SQLiteEngine(path=address, factory=Connection)
    Item._meta._db = engine
    yield Piccolo(engine)
