"""SQLModel: SQLAlchemy's sessions with models that are Pydantic's."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from benchmarks.postgres.sqlalchemy_orm import SqlAlchemy, engine_of, now


class Item(SQLModel, table=True):
    __tablename__ = "items"

    id: uuid.UUID = Field(primary_key=True)
    tenant_id: uuid.UUID = Field(primary_key=True)
    name: str = Field(max_length=100)
    price: Decimal = Field(max_digits=10, decimal_places=2)
    quantity: int = Field(sa_type=BigInteger)
    active: bool
    attributes: dict[str, Any] = Field(sa_type=JSONB)
    created_at: dt.datetime = Field(sa_type=DateTime(timezone=True))
    updated_at: dt.datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs={"onupdate": now})
    note: str | None = None
    created_by: uuid.UUID | None = None
    updated_by: uuid.UUID | None = None


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[SqlAlchemy]:
    engine = engine_of(address)
    try:
        yield SqlAlchemy(engine, Item, async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False))
    finally:
        await engine.dispose()
