"""SQLAlchemy 2 ORM over asyncpg."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, DateTime, Numeric, String, Text, Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.postgres.database import COMPARED
from benchmarks.workload import POOL, Row


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    quantity: Mapped[int] = mapped_column(BigInteger)
    active: Mapped[bool] = mapped_column(Boolean)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), onupdate=now)
    note: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    updated_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)


class SqlAlchemy:
    """The contender: one session for each operation, as in a request."""

    def __init__(self, engine: AsyncEngine, model: Any, session: Any) -> None:
        self._engine = engine
        self._model = model
        self._session = session

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> Any:
        async with self._session() as session:
            return await session.get(self._model, (key, tenant))

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[Any]:
        model = self._model
        statement = (
            select(model)
            .where(model.tenant_id == tenant, model.active, model.quantity >= quantity)
            .order_by(model.created_at.desc())
            .limit(100)
        )
        async with self._session() as session:
            return list((await session.scalars(statement)).all())

    async def fetch(self, tenant: uuid.UUID) -> list[Any]:
        async with self._session() as session:
            return list((await session.scalars(select(self._model).where(self._model.tenant_id == tenant))).all())

    def make(self, rows: Sequence[Row]) -> list[Any]:
        return [self._model(**row._asdict()) for row in rows]

    async def insert(self, item: Any) -> None:
        async with self._session() as session:
            session.add(item)
            await session.commit()

    async def bulk(self, items: list[Any]) -> None:
        async with self._session() as session:
            session.add_all(items)
            await session.commit()

    async def update(self, item: Any, quantity: int) -> None:
        async with self._session() as session:
            stored = await session.get_one(self._model, (item.id, item.tenant_id))
            stored.quantity = quantity
            await session.commit()

    def values(self, item: Any) -> Row:
        # asyncpg's own UUID class shows through; it is equal, but does not pickle everywhere
        values = [getattr(item, name) for name in Row._fields]
        return Row(*(uuid.UUID(int=each.int) if isinstance(each, uuid.UUID) else each for each in values))

    async def settings(self) -> dict[str, Any]:
        async with self._engine.connect() as connection:
            return {name: (await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in COMPARED}


def engine_of(address: str) -> AsyncEngine:
    """An engine with a pool as large as everybody's, and JSON by orjson."""
    return create_async_engine(
        address.replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=POOL,
        max_overflow=0,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[SqlAlchemy]:
    engine = engine_of(address)
    try:
        yield SqlAlchemy(engine, Item, async_sessionmaker(engine, expire_on_commit=False))
    finally:
        await engine.dispose()
