"""The ways to ask a query for its results, and what a query keeps to itself."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    ConfigurationError,
    InvalidValueError,
    MultipleResultsFound,
    NoResultFound,
)
from ff_storage.core.query import Query, func
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.filters import FilterTests, names_of
from ff_storage.core.testing.models import Product
from ff_storage.core.testing.recording import Recorder
from ff_storage.core.testing.tables import names


class TerminalTests(FilterTests):
    """The ways to ask for results."""

    async def test_s73_exists_is_a_bool(self, pool: Pool) -> None:
        assert await Query(Product).exists(pool) is False
        await self.given(pool, Product(name="a"))
        assert await Query(Product).exists(pool) is True
        assert await Query(Product).filter(Product.name == "b").exists(pool) is False
        assert await Query(Product).offset(1).exists(pool) is False
        assert await Query(Product).order_by(Product.name).limit(1).exists(pool) is True

    async def test_exists_means_that_execute_has_results(self, pool: Pool) -> None:
        await self.given(pool, *[Product(name=name, stock=1) for name in "abc"])
        same = Query(Product).select(Product.stock).distinct()
        none = Query(Product).filter(Product.name == "z")
        more: Any = Product.stock + 1
        queries: list[Query[Any]] = [
            same, same.offset(1), same.limit(1), Query(Product).select(Product.name).distinct().offset(2),
            none.select(func.count()), none.select(func.sum(Product.stock)), none.select(func.count()).limit(0),
            none.select(func.count()).offset(1), none.select(Product.stock, func.count()).group_by(Product.stock),
            Query(Product).select(Product.stock, func.count()).group_by(Product.stock).offset(1),
            Query(Product).select(func.count()).having(func.count() > 3),
            Query(Product).select(more.label("more")).distinct().order_by("more").offset(1),
        ]  # fmt: skip
        for query in queries:
            found = await query.execute(pool)
            assert await query.exists(pool) is bool(found), repr(query)
            assert await query.count(pool) == len(found), repr(query)

    async def test_one_first_and_scalar(self, pool: Pool) -> None:
        query = Query(Product).order_by(Product.name)
        assert await query.first(pool) is None
        with pytest.raises(NoResultFound):
            await query.one(pool)
        assert await query.select(Product.name).scalar(pool) is None
        await self.given(pool, Product(name="a", weight=None))
        assert (await query.one(pool)).name == "a"
        assert await query.select(Product.weight).scalar(pool) is None
        assert await query.select(Product.weight).one(pool) == (None,)
        await self.given(pool, Product(name="b"), Product(name="c"))
        with pytest.raises(MultipleResultsFound):
            await query.one(pool)
        assert (await query.limit(1).one(pool)).name == "a"
        first = await query.first(pool)
        assert first is not None
        assert first.name == "a"
        assert await query.select(Product.name).scalar(pool) == "a"
        assert await query.offset(1).select(Product.name).first(pool) == ("b",)
        assert await query.limit(0).first(pool) is None

    async def test_scalar_needs_a_selection(self, recorder: Recorder) -> None:
        with pytest.raises(InvalidValueError, match="select"):
            await Query(Product).scalar(recorder)
        with pytest.raises(InvalidValueError):
            Query(Product).select()
        assert recorder.sent == []

    @pytest.mark.parametrize("batch", [1, 2, 7, 100])
    async def test_stream_yields_what_execute_returns(self, pool: Pool, batch: int) -> None:
        await self.given(pool, *[Product(name=f"{n:02}") for n in range(23)])
        query = Query(Product).order_by(Product.name)
        async with query.stream(pool, batch=batch) as rows:
            streamed = [row async for row in rows]
        assert streamed == await query.execute(pool)
        async with query.select(Product.name).limit(3).stream(pool, batch=batch) as selected:
            assert [row async for row in selected] == [("00",), ("01",), ("02",)]
        async with query.filter(Product.name == "none").stream(pool, batch=batch) as rows:
            assert [row async for row in rows] == []

    async def test_a_stream_that_is_left_early_leaves_nothing_behind(self, pool: Pool) -> None:
        """By break, by an error and without a single row read; the connection serves the next caller."""
        await self.given(pool, *[Product(name=f"{n:02}") for n in range(50)])
        query = Query(Product).order_by(Product.name)
        async with query.stream(pool, batch=2) as rows:
            async for _ in rows:
                break
        with pytest.raises(ZeroDivisionError):
            async with query.stream(pool, batch=2) as rows:
                async for _ in rows:
                    raise ZeroDivisionError
        async with query.stream(pool, batch=2):
            pass
        for _ in range(20):
            async with query.stream(pool, batch=2) as rows:
                assert (await anext(rows)).name == "00"
        assert await query.count(pool) == 50
        await PydanticRepository(Product, pool).create(Product(name="next"))

    async def test_queries_take_a_transaction(self, pool: Pool) -> None:
        """First, or as `connection`; both see what it has written and nobody else does after a rollback."""
        await self.given(pool, Product(name="kept"))
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction() as tx:
                await PydanticRepository(Product, pool).create(Product(name="gone"), connection=tx)
                assert await Query(Product).count(tx) == 2
                assert await Query(Product).count(pool, connection=tx) == 2
                assert await names_of(Query(Product), pool) == {"kept", "gone"}
                async with Query(Product).order_by("name").stream(tx) as rows:
                    assert names([row async for row in rows]) == ["gone", "kept"]
                raise ZeroDivisionError
        assert await names_of(Query(Product), pool) == {"kept"}

    async def test_a_query_never_changes(self, pool: Pool) -> None:
        """Every step returns another query, and conditions may be used again and twice."""
        await self.given(pool, *[Product(name=str(n), stock=n) for n in range(4)])
        base = Query(Product)
        low: Any = Product.stock < 2
        branch = base.filter(low).order_by("-name").limit(1)
        assert await base.count(pool) == 4
        assert names(await branch.execute(pool)) == ["1"]
        assert await base.filter(low).filter(low).filter(low | low).count(pool) == 2
        assert await base.filter(low | ((Product.stock == 3) & ~low)).count(pool) == 3
        assert names(await branch.copy().execute(pool)) == ["1"]

    async def test_one_shape_serves_all_values(self, pool: Pool) -> None:
        """Statements are kept by shape: values, limits and lists of another call never leak into this one."""
        await self.given(pool, *[Product(name=f"{n:03}", stock=n) for n in range(60)])
        for n in range(30):
            stock: Any = Product.stock
            condition = (stock == n) | (stock == 59 - n) | stock.in_(range(n, n + n % 5))
            query = Query(Product).select(Product.stock + n).filter(condition).order_by(Product.stock).limit(1 + n % 3)
            kept = sorted({n, 59 - n, *range(n, n + n % 5)})[: 1 + n % 3]
            assert await query.execute(pool) == [(each + n,) for each in kept]
        same: Any = Product.stock == 1
        for first, second in ((same, same), (Product.stock == 2, Product.stock == 3)):
            found = await Query(Product).filter(first | second).execute(pool)
            assert {product.stock for product in found} == {1} or {product.stock for product in found} == {2, 3}

    async def test_deleted_rows_are_out_unless_asked_for(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        products = [await repo.create(Product(name=name, stock=1)) for name in "ab"]
        await repo.delete(products[0].id)
        assert await names_of(Query(Product), pool) == {"b"}
        assert await names_of(Query(Product).include_deleted(), pool) == {"a", "b"}
        assert await Query(Product).count(pool) == 1
        assert await Query(Product).include_deleted().count(pool) == 2
        assert await Query(Product).select(func.sum(Product.stock)).scalar(pool) == 1
        assert await Query(Product).filter(Product.name == "a").exists(pool) is False
        assert await Query(Product).filter((Product.name == "a") | (Product.stock == 1)).count(pool) == 1

    async def test_a_query_needs_a_model_and_a_pool(self, recorder: Recorder) -> None:
        for wrong in (dict, Product(name="a"), "Product", None, object):
            with pytest.raises(ConfigurationError):
                Query(wrong)  # type: ignore[arg-type]
        for db in (None, "sqlite://", uuid.uuid4()):
            with pytest.raises(ConfigurationError):
                await Query(Product).execute(db)  # type: ignore[arg-type]
        assert recorder.sent == []
