"""SQLAlchemy 2 ORM over aiosqlite, with type decorators for the values that its SQLite dialect cannot keep."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import JSON, Boolean, Integer, String, Text, event, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from benchmarks.sqlite.database import PRAGMAS, read_settings
from benchmarks.workload import Row


class UuidText(TypeDecorator[uuid.UUID]):
    """36 characters; the built-in type writes 32."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: uuid.UUID | None, dialect: Any) -> str | None:  # noqa: ARG002
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> uuid.UUID | None:  # noqa: ARG002
        return None if value is None else uuid.UUID(value)


class Cents(TypeDecorator[Decimal]):
    """A scaled integer; the built-in type goes through float."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> int | None:  # noqa: ARG002
        return None if value is None else int(value.scaleb(2))

    def process_result_value(self, value: int | None, dialect: Any) -> Decimal | None:  # noqa: ARG002
        return None if value is None else Decimal(value).scaleb(-2)


class UtcText(TypeDecorator[dt.datetime]):
    """An aware datetime; the built-in type drops the zone."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Any) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=None).isoformat(" ", "microseconds")

    def process_result_value(self, value: str | None, dialect: Any) -> dt.datetime | None:  # noqa: ARG002
        return None if value is None else dt.datetime.fromisoformat(value + "+00:00")


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"

    id: Mapped[uuid.UUID] = mapped_column(UuidText, primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(UuidText, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    price: Mapped[Decimal] = mapped_column(Cents)
    quantity: Mapped[int] = mapped_column(Integer)
    active: Mapped[bool] = mapped_column(Boolean)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[dt.datetime] = mapped_column(UtcText)
    updated_at: Mapped[dt.datetime] = mapped_column(UtcText, onupdate=lambda: dt.datetime.now(dt.UTC))
    note: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[uuid.UUID | None] = mapped_column(UuidText)
    updated_by: Mapped[uuid.UUID | None] = mapped_column(UuidText)


class SqlAlchemy:
    """The contender: one session for each operation, as in a request."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._session = async_sessionmaker(engine, expire_on_commit=False)

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> Item | None:
        async with self._session() as session:
            return await session.get(Item, (key, tenant))

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[Item]:
        statement = (
            select(Item)
            .where(Item.tenant_id == tenant, Item.active, Item.quantity >= quantity)
            .order_by(Item.created_at.desc())
            .limit(100)
        )
        async with self._session() as session:
            return list((await session.scalars(statement)).all())

    async def fetch(self, tenant: uuid.UUID) -> list[Item]:
        async with self._session() as session:
            return list((await session.scalars(select(Item).where(Item.tenant_id == tenant))).all())

    def make(self, rows: Sequence[Row]) -> list[Item]:
        return [Item(**row._asdict()) for row in rows]

    async def insert(self, item: Item) -> None:
        async with self._session() as session:
            session.add(item)
            await session.commit()

    async def bulk(self, items: list[Item]) -> None:
        async with self._session() as session:
            session.add_all(items)
            await session.commit()

    async def update(self, item: Item, quantity: int) -> None:
        async with self._session() as session:
            stored = await session.get_one(Item, (item.id, item.tenant_id))
            stored.quantity = quantity
            await session.commit()

    def values(self, item: Item) -> Row:
        return Row(*(getattr(item, name) for name in Row._fields))

    async def settings(self) -> dict[str, Any]:
        async with self._engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            settings: dict[str, Any] = await raw._execute(read_settings, raw._conn)
            return settings


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[SqlAlchemy]:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{address}",
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name} = {value}")

    try:
        yield SqlAlchemy(engine)
    finally:
        await engine.dispose()
