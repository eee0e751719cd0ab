"""Aggregates, groups and counts: exact, and never answered by chance."""

from __future__ import annotations

import datetime as dt
import decimal
from decimal import Decimal
from typing import Any

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    DatabaseError,
    InvalidValueError,
    UnknownFieldError,
    UnsupportedFeature,
)
from ff_storage.core.query import F, Query, func
from ff_storage.core.testing.filters import FilterTests
from ff_storage.core.testing.models import Product
from ff_storage.core.testing.recording import Recorder

MOST: int = 2**63 - 1


class AggregateTests(FilterTests):
    """Aggregates, groups and counts."""

    async def test_s28_s29_aggregates_of_no_rows(self, pool: Pool) -> None:
        stock, price = Product.stock, Product.price
        query = Query(Product).select(
            func.count(), func.count(stock), func.sum(stock), func.avg(price), func.min(Product.name), func.max(price)
        )
        assert await query.one(pool) == (0, 0, None, None, None, None)
        assert await Query(Product).select(func.sum(stock)).scalar(pool) is None
        assert await Query(Product).count(pool) == 0

    async def test_aggregates_leave_null_out(self, pool: Pool) -> None:
        weights = (None, 1.5, 1.5, None, 2.0)
        await self.given(pool, *[Product(name=str(n), weight=weight) for n, weight in enumerate(weights)])
        weight = Product.weight
        row: tuple[Any, ...] = (
            await Query(Product)
            .select(
                func.count(), func.count(weight), func.count(weight, distinct=True), func.sum(weight),
                func.sum(weight, distinct=True), func.avg(weight),
            )
            .one(pool)
        )  # fmt: skip
        assert row == (5, 3, 2, 5.0, 3.5, pytest.approx(5 / 3))

    async def test_sums_and_means_are_exact(self, pool: Pool) -> None:
        """The mean of integers is not cut off, and Decimals take no detour through floats."""
        for n in range(10):
            await self.given(
                pool, Product(name=str(n), stock=n % 2, price=Decimal("0.10"), rebate=Decimal("9999999.0001"))
            )
        await self.given(pool, Product(name="large", stock=1, price=Decimal("9999999999.99")))
        query = Query(Product).select(
            func.sum(Product.stock), func.avg(Product.stock), func.sum(Product.price), func.avg(Product.price),
            func.sum(Product.rebate), func.avg(Product.rebate),
        )  # fmt: skip
        found: tuple[Any, ...] = await query.one(pool)
        assert found == (
            6, pytest.approx(6 / 11), Decimal("10000000000.99"), Decimal("909090909.180909"),
            Decimal("99999990.001"), Decimal("9999999.0001"),
        )  # fmt: skip
        assert [type(each) for each in found] == [int, float, Decimal, Decimal, Decimal, Decimal]
        cents = Query(Product).filter(Product.price < 1).select(func.sum(Product.price))
        assert await cents.scalar(pool) == Decimal("1.00")

    async def test_quotients_are_rounded_once(self, pool: Pool) -> None:
        """The digits after those that count are 4995, which nobody may round up before they are cut off."""
        price = Decimal("9271331995.57")
        await self.given(pool, Product(name="a", price=price))
        context = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_UP)
        for divisor in map(Decimal, ("4.76", "5.65", "10.51", "25.41")):
            exact = context.quantize(context.divide(price, divisor), Decimal("0.000001"))
            assert await Query(Product).select(F.price / divisor).scalar(pool) == exact, divisor

    async def test_aggregates_of_what_is_computed(self, pool: Pool) -> None:
        """Values within an aggregate are bound wherever the engine has to write it."""
        for n in range(4):
            await self.given(pool, Product(name=str(n), stock=n, price=Decimal(n), weight=n / 2))
        aggregates: list[Any] = [
            func.avg(F.price * 2), func.avg(F.price + 1, distinct=True), func.sum(F.price * F.stock),
            func.avg(F.stock * 2), func.sum(func.coalesce(F.weight, 0.5)), func.max(F.stock + 1),
            func.count(F.price - 1),
        ]  # fmt: skip
        query = Query(Product).filter(Product.stock > 0).select(*aggregates)
        row = await query.having(func.count() > 2).one(pool)
        assert row == (Decimal(4), Decimal(3), Decimal(14), pytest.approx(4.0), 3.0, 4, 3)

    async def test_s31_a_sum_beyond_64_bits_is_exact_or_an_error(self, pool: Pool) -> None:
        await self.given(pool, *[Product(name=str(n), stock=MOST) for n in range(3)])
        try:
            total = await Query(Product).select(func.sum(Product.stock)).scalar(pool)
        except DatabaseError:
            return
        assert total == 3 * MOST
        assert type(total) is int

    async def test_s32_arithmetic_beyond_64_bits_is_exact_or_an_error(self, pool: Pool) -> None:
        await self.given(pool, Product(name="a", stock=MOST))
        stock: Any = Product.stock
        for expression, exact in ((stock + 1, MOST + 1), (stock * 2, MOST * 2), (-2 - stock, -2 - MOST)):
            try:
                value = await Query(Product).select(expression).scalar(pool)
            except DatabaseError:
                continue
            assert value == exact
            assert type(value) is int

    async def test_s50_a_float_beyond_its_range_is_an_error(self, pool: Pool) -> None:
        await self.given(pool, *[Product(name=n, weight=1e308, price=Decimal(10)) for n in "abc"])
        assert await Query(Product).select(F.weight + 1).order_by(F.name).first(pool) == (1e308,)
        for wrong in (F.weight * 10, -10 * F.weight, F.weight * F.price, func.sum(F.weight), F.weight / 0.1):
            with pytest.raises(DatabaseError):
                await Query(Product).select(wrong).execute(pool)

    async def test_least_and_greatest_keep_the_type(self, pool: Pool) -> None:
        days = (dt.date(2023, 12, 31), dt.date(2024, 1, 1))
        await self.given(
            pool, *[Product(name=f"n{n}", released=day, price=Decimal(n) / 4) for n, day in enumerate(days)]
        )
        query = Query(Product).select(func.min(Product.released), func.max(Product.price), func.min(Product.name))
        assert await query.one(pool) == (days[0], Decimal("0.25"), "n0")

    async def test_coalesce_meets_as_an_operator_does(self, pool: Pool, recorder: Recorder) -> None:
        """Another column in place of NULL keeps its value, whatever digits the first one has."""
        await self.given(pool, Product(name="a", price=Decimal("1.25"), rebate=Decimal("2.0625"), stock=3, weight=0.5))
        await self.given(pool, Product(name="b", price=Decimal("1.25"), stock=3, category="c"))
        cases: list[tuple[Any, list[Any]]] = [
            (func.coalesce(F.rebate, F.price), [Decimal("2.0625"), Decimal("1.25")]),
            (func.coalesce(F.price, F.rebate), [Decimal("1.25"), Decimal("1.25")]),
            (func.coalesce(F.price / 0, F.rebate), [Decimal("2.0625"), None]),
            (func.coalesce(func.coalesce(F.rebate / 0, F.price), F.rebate), [Decimal("1.25"), Decimal("1.25")]),
            (func.coalesce(F.weight, F.stock), [0.5, 3.0]),
            (func.coalesce(F.stock, F.weight), [3.0, 3.0]),
            (func.coalesce(F.category, F.name), ["a", "c"]),
        ]
        for expression, expected in cases:
            found = [each for (each,) in await Query(Product).select(expression).order_by(F.name).execute(pool)]
            assert found == expected, repr(expression)
            assert [type(each) for each in found] == [type(each) for each in expected]
        computed: Any = func.coalesce(F.rebate / 0, F.price)
        assert await Query(Product).filter(computed == Decimal("1.25")).count(pool) == 2
        for wrong in (func.coalesce(F.stock, F.name), func.coalesce(F.released, F.seen)):
            with pytest.raises(InvalidValueError, match="coalesce"):
                await Query(Product).select(wrong).execute(recorder)
        assert recorder.sent == []

    async def test_groups(self, pool: Pool) -> None:
        given = [("a", 1), ("a", 2), (None, 4), ("A", 8), (None, 16)]
        await self.given(pool, *[Product(name=str(n), category=c, stock=s) for n, (c, s) in enumerate(given)])
        total = func.sum(Product.stock)
        query = Query(Product).select(Product.category, func.count(), total).group_by(Product.category)
        ordered = query.order_by(Product.category)
        assert await ordered.execute(pool) == [(None, 2, 20), ("A", 1, 8), ("a", 2, 3)]
        assert await query.order_by(total).execute(pool) == [("a", 2, 3), ("A", 1, 8), (None, 2, 20)]
        assert await ordered.limit(1).offset(1).execute(pool) == [("A", 1, 8)]
        assert await query.count(pool) == 3
        assert await query.filter(Product.stock > 100).execute(pool) == []
        by_two = Query(Product).select(F.category, F.status, func.max(F.name)).group_by("category", F.status)
        assert len(await by_two.execute(pool)) == 3

    async def test_s67_having_takes_aggregates_and_labels(self, pool: Pool) -> None:
        given = [("a", 1), ("a", 2), ("b", 4), ("c", 8)]
        await self.given(pool, *[Product(name=str(n), category=c, stock=s) for n, (c, s) in enumerate(given)])
        aggregate: Any = func.sum(Product.stock)
        total: Any = aggregate.label("total")
        query = Query(Product).select(Product.category, total).group_by(Product.category).order_by(F.total)
        cases: list[tuple[Any, list[str]]] = [
            (F.total > 3, ["b", "c"]),
            (total >= 4, ["b", "c"]),
            (aggregate < 4, ["a"]),
            (func.count() > 1, ["a"]),
            ((F.total == 3) | (F.total == 8), ["a", "c"]),
            (func.max(Product.name) == "3", ["c"]),
            (F.category == "b", ["b"]),
        ]
        for condition, expected in cases:
            assert [name for name, _ in await query.having(condition).execute(pool)] == expected, repr(condition)
        assert await query.having(F.total > 3).count(pool) == 2
        assert await query.having(F.total > 100).exists(pool) is False
        assert [each for each, _ in await query.order_by("-total").execute(pool)] == ["a", "b", "c"]
        descending = Query(Product).select(F.category, total).group_by("category").order_by("-total")
        assert [each for each, _ in await descending.execute(pool)] == ["c", "b", "a"]

    async def test_a_label_may_have_the_name_of_a_field(self, pool: Pool) -> None:
        given = [("a", 1), ("a", 2), ("B", 4), ("c", 8)]
        await self.given(pool, *[Product(name=n, category=n, stock=s) for n, s in given])
        aggregate: Any = func.sum(F.stock)
        total = aggregate.label("stock")
        query = Query(Product).select(F.category, total).group_by(F.category)
        assert await query.order_by("-stock").execute(pool) == [("c", 8), ("B", 4), ("a", 3)]
        assert await query.order_by(aggregate).execute(pool) == [("a", 3), ("B", 4), ("c", 8)]
        assert await query.having(aggregate > 4).execute(pool) == [("c", 8)]
        assert await query.having(F.stock > 4).execute(pool) == [("c", 8)]
        assert await query.filter(F.stock > 1).having(F.stock < 4).count(pool) == 1
        lower: Any = func.lower(F.name)
        folded = Query(Product).select(lower.label("name")).distinct()
        assert await folded.order_by(F.name).execute(pool) == [("a",), ("b",), ("c",)]
        counted = Query(Product).select(lower.label("name"), func.count()).group_by(F.name).order_by("name")
        assert await counted.execute(pool) == [("a", 2), ("b", 1), ("c", 1)]

    async def test_groups_of_what_is_computed_with_values(self, pool: Pool) -> None:
        """An expression is the same one in every clause if its values are, whether it is one object or two."""
        given = [("a", 1), ("B", 2), ("b", 3), ("c", 4)]
        await self.given(pool, *[Product(name=n, category=n, stock=s) for n, s in given])

        def made() -> list[Any]:
            return [
                F.stock + 7, F.stock > 2, F.stock.in_([1, 2]), F.name.contains("b"), func.lower(F.name + "x"),
                func.coalesce(F.category, "none"), (F.stock * 2 + 1).label("more"),
            ]  # fmt: skip

        for one, two, three, four in zip(made(), made(), made(), made(), strict=True):
            query = Query(Product).select(one, func.count()).group_by(two).having(func.count() > 0).order_by(three)
            rows = await query.execute(pool)
            assert sum(count for _, count in rows) == 4, repr(one)
            assert [row for row, _ in rows] == sorted({row for row, _ in rows}), repr(one)
            assert await query.count(pool) == len(rows)
            distinct = Query(Product).select(four).distinct().order_by(three)
            assert await distinct.execute(pool) == [(row,) for row, _ in rows], repr(one)
        both = Query(Product).select(F.stock + 1, F.stock + 2).group_by(F.stock + 2, F.stock + 1).order_by(F.stock + 1)
        assert await both.execute(pool) == [(2, 3), (3, 4), (4, 5), (5, 6)]
        assert await both.having(F.stock + 2 > 5).execute(pool) == [(5, 6)]

    async def test_an_expression_with_other_values_is_another_one(self, recorder: Recorder) -> None:
        query = Query(Product).select(F.stock + 7, func.count())
        await query.group_by(F.stock + 7).execute(recorder)  # the same shape, which is right
        recorder.sent.clear()
        distinct = Query(Product).select(F.stock + 7).distinct()
        for wrong in (
            query.group_by(F.stock + 8), query.group_by(F.stock + 7).order_by(F.stock + 8),
            distinct.order_by(F.stock + 8), distinct.order_by(F.stock), distinct.order_by(F.name),
        ):  # fmt: skip
            with pytest.raises(InvalidValueError, match=r"select|group"):
                await wrong.execute(recorder)
        assert recorder.sent == []

    async def test_s66_a_bare_field_beside_an_aggregate_is_refused(self, recorder: Recorder) -> None:
        query = Query(Product)
        bare: list[Any] = [
            query.select(Product.name, func.count()),
            query.select(Product.name, func.count()).group_by(Product.category),
            query.select(func.count()).order_by(Product.name),
            query.select(Product.category, func.count()).group_by(Product.category).order_by(Product.name),
            query.select(Product.category).group_by(Product.category).having(Product.stock > 1),
            query.select(F.stock + func.sum(F.stock)),
            query.group_by(Product.name),
            query.order_by(func.count()),
            query.select(Product.name).order_by(func.max(Product.stock)),
        ]
        for wrong in bare:
            with pytest.raises(InvalidValueError, match=r"group|select"):
                await wrong.execute(recorder)
        for wrong in (query.filter(func.count() > 1), query.filter(func.max(Product.stock) == 1)):
            with pytest.raises(InvalidValueError, match="having"):
                await wrong.execute(recorder)
        assert recorder.sent == []

    async def test_json_is_neither_grouped_nor_told_apart(self, pool: Pool, recorder: Recorder) -> None:
        """To one engine 1 and 1.0 are the same, and objects without regard to order; to another they are texts."""
        query = Query(Product)
        for wrong in (
            query.select(F.details).distinct(), query.select(F.details, func.count()).group_by(F.details),
            query.select(func.count(F.details, distinct=True)), query.select(F.name, F.details).distinct(),
        ):  # fmt: skip
            with pytest.raises(UnsupportedFeature):
                await wrong.execute(recorder)
        assert recorder.sent == []
        await self.given(pool, Product(name="a", details={"a": 1}), Product(name="b", details={"a": 1}))
        assert await query.distinct().count(pool) == 2
        assert await query.select(F.id, F.details).distinct().count(pool) == 2
        assert await query.select(func.count(F.details)).scalar(pool) == 2

    async def test_aggregates_need_what_they_can_compute(self, recorder: Recorder) -> None:
        wrongs: list[Any] = [
            func.sum(F.name), func.avg(F.released), func.sum(F.featured), func.avg(F.id), func.max(F.details),
            func.min(F.details), func.sum(func.sum(F.stock)), func.max(func.count()),
            func.avg(F.stock + func.max(F.stock)),
        ]  # fmt: skip
        for wrong in wrongs:
            with pytest.raises((InvalidValueError, UnsupportedFeature)):
                await Query(Product).select(wrong).execute(recorder)
        with pytest.raises(InvalidValueError):
            func.count(distinct=True)
        with pytest.raises(UnknownFieldError):
            await Query(Product).select(func.sum(F.nope)).execute(recorder)
        assert recorder.sent == []

    async def test_count_is_the_number_of_results(self, pool: Pool) -> None:
        await self.given(pool, *[Product(name=str(n), stock=n % 3) for n in range(10)])
        query = Query(Product)
        some = query.filter(Product.stock == 1)
        assert await query.count(pool) == 10
        assert await some.count(pool) == 3
        assert await query.limit(4).count(pool) == 4
        assert await query.offset(8).count(pool) == 2
        assert await query.limit(5).offset(8).count(pool) == 2
        assert await query.limit(0).count(pool) == 0
        assert await query.order_by(Product.name).count(pool) == 10
        assert await query.select(Product.stock).distinct().count(pool) == 3
        assert await query.select(Product.stock, func.count()).group_by(Product.stock).count(pool) == 3
        assert await query.select(func.count()).count(pool) == 1
