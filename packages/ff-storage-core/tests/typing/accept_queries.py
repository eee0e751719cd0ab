"""Expressions have the types of their values, and results follow from what was selected."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

from ff_storage import (
    AND,
    NOT,
    OR,
    ChunkResult,
    F,
    Field,
    PydanticModel,
    PydanticRepository,
    Query,
    SQLitePool,
    bulk_insert,
    col,
    func,
    not_,
)


class Product(PydanticModel):
    """A model with a field of each kind that matters here."""

    name: str = Field(max_length=50)
    price: Decimal = Field(gt=0, max_digits=10, decimal_places=2)
    quantity: int = 0
    active: bool = True
    note: str | None = None


@dataclass
class Summary:
    """What a query can be read into."""

    name: str
    total: Decimal


async def reads(pool: SQLitePool) -> None:
    """Every terminal, with what it gives."""
    everything = Query(Product)
    assert_type(everything, Query[Product])
    assert_type(await everything.execute(pool), list[Product])
    assert_type(await everything.first(pool, tenant_id=UUID(int=1)), Product | None)
    assert_type(await everything.one(pool), Product)
    assert_type(await everything.count(pool), int)
    assert_type(await everything.exists(pool), bool)
    assert_type(everything.stream(pool), AbstractAsyncContextManager[AsyncIterator[Product]])
    async with everything.stream(pool) as products:
        async for product in products:
            assert_type(product, Product)

    filtered = (
        everything.filter(Product.price > 100)
        .filter(Product.name == "Lamp", Product.active)
        .filter(F.quantity >= 1, col(Product.note).is_null(), col(Product.name).icontains("la"))
        .filter(AND(Product.price < 5, OR(Product.quantity == 0, NOT(Product.active))), not_(Product.active))
        .filter((Product.price > 1) & (Product.quantity < 3) | (Product.name == "x"))
        .filter_by(name="Lamp")
        .order_by(col(Product.created_at).desc(), F.name.asc(nulls="LAST"), "-price")
        .limit(10)
        .offset(5)
        .distinct()
        .include_deleted()
    )
    assert_type(filtered, Query[Product])

    assert_type(await everything.select(Product.name, Product.price).execute(pool), list[tuple[str, Decimal]])
    assert_type(await everything.select(Product.note).execute(pool), list[tuple[str | None]])
    grouped = (
        everything.select(Product.name, func.count(), func.sum(Product.price), func.avg(Product.quantity))
        .group_by(Product.name)
        .having(func.count() > 3)
    )
    assert_type(await grouped.execute(pool), list[tuple[str, int, Decimal | None, float | None]])
    assert_type(func.avg(Product.price), Decimal | None)
    assert_type(func.max(Product.created_at), datetime | None)
    assert_type(func.coalesce(Product.note, ""), str)
    assert_type(await everything.select(F.name).execute(pool), list[tuple[Any]])
    summaries = everything.select(Product.name, col(func.sum(Product.price)).label("total")).into(Summary)
    assert_type(await summaries.execute(pool), list[Summary])


async def writes(pool: SQLitePool) -> None:
    """The repository gives the model's own class."""
    repository = PydanticRepository(Product, pool, tenant_id=UUID(int=1))
    product = await repository.create(Product(name="Lamp", price=Decimal(9)), user_id=UUID(int=2))
    assert_type(product, Product)
    assert_type(await repository.get(product.id), Product | None)
    assert_type(await repository.get_many([product.id]), dict[Any, Product | None])
    assert_type(await repository.list(filters={"name": "Lamp"}, order_by="-price"), list[Product])
    assert_type(await repository.count(), int)
    assert_type(await repository.update(product.id, product, expected=product), Product)
    assert_type(await repository.delete(product.id), bool)
    assert_type(await repository.restore(product.id), Product | None)
    assert_type(await repository.create_many([product]), list[Product])
    assert_type(await repository.create_many([product], atomic=False), list[ChunkResult])
    assert_type(await bulk_insert(Product, [product, {"name": "x"}], pool), int)
    assert_type(await bulk_insert(Product, [product], pool, atomic=False), list[ChunkResult])
