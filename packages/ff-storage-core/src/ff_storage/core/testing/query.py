"""Queries: order, pages and what is selected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel
from pydantic import Field as PydanticField
from typing_extensions import TypedDict

from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    ConfigurationError,
    IdentifierError,
    InvalidRowError,
    InvalidValueError,
)
from ff_storage.core.query import F, Query, col, func
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.aggregates import AggregateTests
from ff_storage.core.testing.filters import FilterTests
from ff_storage.core.testing.logic import LogicTests
from ff_storage.core.testing.matches import MatchTests
from ff_storage.core.testing.models import Product, Status
from ff_storage.core.testing.recording import Recorder
from ff_storage.core.testing.tables import names
from ff_storage.core.testing.terminals import TerminalTests


class NameAndStock(BaseModel):
    """Two fields of a product."""

    name: str
    stock: int


class Aliased(BaseModel):
    """A model whose field has another name outside."""

    name: str = PydanticField(alias="title")


class AsDate(BaseModel):
    """A model that no name fits."""

    name: dt.date


class Total(NamedTuple):
    """A group and its sum."""

    category: str | None
    total: int | None


class Entry(TypedDict):
    """One field of a product."""

    name: str


@dataclass
class Priced:
    """A field and one with a default."""

    price: Decimal
    note: str = "none"


class OrderTests(FilterTests):
    """ORDER BY, LIMIT and OFFSET."""

    async def test_s08_null_is_the_smallest_value(self, pool: Pool) -> None:
        """First when ascending and last when descending, unless the caller says otherwise."""
        await self.given(pool, Product(name="b", weight=2.0), Product(name="n"), Product(name="a", weight=1.0))
        weight = col(Product.weight)
        for term, expected in (
            (weight, "nab"),
            (weight.asc(), "nab"),
            (weight.desc(), "ban"),
            (weight.asc(nulls="FIRST"), "nab"),
            (weight.asc(nulls="LAST"), "abn"),
            (weight.desc(nulls="FIRST"), "nba"),
            (weight.desc(nulls="LAST"), "ban"),
            ("weight", "nab"),
            ("-weight", "ban"),
            (F.weight.desc(), "ban"),
            ((weight * 2).desc(), "ban"),
            (func.coalesce(weight, 9.0), "abn"),
        ):
            found = await Query(Product).order_by(term).execute(pool)
            assert "".join(names(found)) == expected, repr(term)

    async def test_terms_decide_one_after_the_other(self, pool: Pool) -> None:
        await self.given(
            pool, *[Product(name=name, stock=stock) for name, stock in (("a", 1), ("b", 2), ("c", 1), ("d", 2))]
        )
        for terms, expected in (
            ((Product.stock, Product.name), "acbd"),
            ((col(Product.stock).desc(), Product.name), "bdac"),
            (("-stock", "-name"), "dbca"),
            ((F.stock, F.name.desc()), "cadb"),
        ):
            assert "".join(names(await Query(Product).order_by(*terms).execute(pool))) == expected
        steps = Query(Product).order_by(Product.stock).order_by("-name")
        assert "".join(names(await steps.execute(pool))) == "cadb"

    async def test_order_of_text_is_by_code_point(self, pool: Pool) -> None:
        texts = ["", " ", "A", "B", "Z", "a", "b", "É", "é", "ﬀ", "\uffff", "🦆"]
        await self.given(pool, *[Product(name=text) for text in reversed(texts)])
        assert names(await Query(Product).order_by(Product.name).execute(pool)) == texts

    async def test_s69_pages(self, pool: Pool) -> None:
        """An offset needs no limit; one beyond the end finds nothing."""
        await self.given(pool, *[Product(name=str(n)) for n in range(5)])
        query = Query(Product).order_by(Product.name)
        for page, expected in (
            (query.limit(2), "01"),
            (query.limit(2).offset(1), "12"),
            (query.offset(3), "34"),
            (query.offset(5), ""),
            (query.offset(2**63 - 1), ""),
            (query.limit(0), ""),
            (query.limit(2**63 - 1), "01234"),
            (query.limit(1).limit(3), "012"),
            (query.offset(4).offset(1).limit(1), "1"),
        ):
            assert "".join(names(await page.execute(pool))) == expected
        unordered = await Query(Product).offset(1).execute(pool)
        assert len(unordered) == 4

    @pytest.mark.parametrize(
        "value", [-1, True, False, 1.0, 1.5, "1", "1; DROP", None, 2**63, 10**30, float("nan"), [1]]
    )
    async def test_a_number_of_rows_is_an_int(self, recorder: Recorder, value: Any) -> None:
        for step in (Query(Product).limit, Query(Product).offset):
            with pytest.raises(InvalidValueError):
                step(value)
        assert recorder.sent == []


class SelectTests(FilterTests):
    """What is read: models, tuples, classes of the caller's."""

    async def test_selected_values_have_their_fields_types(self, pool: Pool) -> None:
        when = dt.datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=dt.UTC)
        product = Product(
            name="a", price=Decimal("9.99"), stock=3, weight=1.5, status=Status.SOLD, featured=True,
            released=dt.date(2024, 2, 29), seen=when, details={"a": [1]},
        )  # fmt: skip
        await self.given(pool, product)
        p = Product
        row = await (
            Query(p)
            .select(p.id, p.name, p.price, p.stock, p.weight, p.status, p.featured, p.released, p.seen, p.details)
            .one(pool)
        )
        expected = (
            product.id, "a", Decimal("9.99"), 3, 1.5, Status.SOLD, True, dt.date(2024, 2, 29), when, {"a": [1]},
        )  # fmt: skip
        assert row == expected
        assert [type(each) for each in row] == [type(each) for each in expected]

    async def test_one_field_is_a_tuple_of_one(self, pool: Pool) -> None:
        await self.given(pool, Product(name="a"), Product(name="b"))
        assert await Query(Product).select(Product.name).order_by("name").execute(pool) == [("a",), ("b",)]
        assert await Query(Product).select("name").order_by("-name").execute(pool) == [("b",), ("a",)]
        assert await Query(Product).select(F.name, F.name).order_by("name").first(pool) == ("a", "a")

    async def test_a_model_is_read_whole(self, pool: Pool) -> None:
        product = Product(name="a", details={"b": None}, status=Status.DRAFT)
        await self.given(pool, product)
        (found,) = await Query(Product).execute(pool)
        stored = await PydanticRepository(Product, pool).get(product.id)
        assert found == stored
        assert found.model_dump(exclude={"created_at", "updated_at"}) == product.model_dump(
            exclude={"created_at", "updated_at"}
        )
        assert found.model_fields_set == set(Product.model_fields)
        assert await Query(Product, validate=True).execute(pool) == [found]

    async def test_distinct_returns_each_result_once(self, pool: Pool) -> None:
        """NULL is one of them, and letters of another case are others."""
        given = [None, None, "a", "a", "A", "b"]
        await self.given(pool, *[Product(name=str(n), category=each) for n, each in enumerate(given)])
        query = Query(Product).select(Product.category).distinct().order_by(Product.category)
        assert await query.execute(pool) == [(None,), ("A",), ("a",), ("b",)]
        assert await query.count(pool) == 4
        assert await query.limit(2).count(pool) == 2
        assert await query.offset(3).execute(pool) == [("b",)]

    async def test_into_makes_instances_of_the_callers_classes(self, pool: Pool) -> None:
        await self.given(
            pool,
            Product(name="a", stock=1, category="c", price=Decimal("1.50")),
            Product(name="b", stock=2, category="c"),
        )
        query = Query(Product).order_by(Product.name)
        assert await query.into(NameAndStock).execute(pool) == [
            NameAndStock(name="a", stock=1),
            NameAndStock(name="b", stock=2),
        ]
        assert await query.select(Product.stock, Product.name).into(NameAndStock).first(pool) == NameAndStock(
            name="a", stock=1
        )
        assert await query.select(Product.price).into(Priced).first(pool) == Priced(Decimal("1.50"))
        labeled = query.select(Product.price, col(Product.name).label("note")).into(Priced)
        assert await labeled.first(pool) == Priced(Decimal("1.50"), "a")
        assert await query.select(Product.name).into(Entry).execute(pool) == [{"name": "a"}, {"name": "b"}]
        aliased = await query.select(Product.name).into(Aliased).first(pool)
        assert aliased is not None
        assert aliased.name == "a"
        with pytest.raises(InvalidRowError, match=r"AsDate.*name"):
            await query.select(Product.name).into(AsDate).first(pool)

        groups = Query(Product).select(Product.category, _labeled(func.sum(Product.stock), "total"))
        assert await groups.group_by(Product.category).into(Total).execute(pool) == [Total("c", 3)]

    async def test_into_refuses_what_does_not_fit(self, recorder: Recorder) -> None:
        attempts: list[Callable[[], Any]] = [
            lambda: Query(Product).select(Product.name).into(NameAndStock),
            lambda: Query(Product).select(Product.name, Product.stock, Product.price).into(NameAndStock),
            lambda: Query(Product).select(func.count()).into(NameAndStock),
            lambda: Query(Product).select(Product.name, Product.name).into(NameAndStock),
        ]
        for attempt in attempts:
            with pytest.raises((ConfigurationError, InvalidValueError)):
                attempt()
        assert recorder.sent == []

    async def test_labels_are_identifiers(self, recorder: Recorder) -> None:
        for name in ("a b", 'a"b', "", "1a", "a" * 64, "a;--", "é", "a.b"):
            with pytest.raises(IdentifierError):
                col(Product.name).label(name)
        assert recorder.sent == []


class QueryConformance(MatchTests, LogicTests, OrderTests, SelectTests, AggregateTests, TerminalTests):
    """Queries: conditions, order, selections, aggregates and terminals."""


def _labeled(expression: Any, name: str) -> Any:
    return expression.label(name)
