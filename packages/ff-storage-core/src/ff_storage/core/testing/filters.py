"""Conditions: which rows a query keeps, the same on every engine."""

from __future__ import annotations

import datetime as dt
import operator
import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, Final

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    ConfigurationError,
    InvalidValueError,
    LimitExceededError,
    UnknownFieldError,
    UnsafeSQLError,
    UnsupportedFeature,
)
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import AND, NOT, OR, F, Query, col, func, not_
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.conformance import Conformance
from ff_storage.core.testing.models import Country, Product, Status
from ff_storage.core.testing.recording import Recorder

ORDERINGS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


async def names_of(query: Query[Product], pool: Pool) -> set[str]:
    """The names of the products that a query keeps."""
    return {product.name for product in await query.execute(pool)}


class FilterTests(Conformance):
    """What `filter` keeps."""

    models: ClassVar[tuple[type[PydanticModel], ...]] = (Product, Country)

    async def given(self, pool: Pool, *products: Product) -> None:
        """Store `products`."""
        await bulk_insert(Product, products, pool)

    # --- comparisons -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("sign", sorted(ORDERINGS))
    async def test_a_comparison_keeps_what_python_would(self, pool: Pool, sign: str) -> None:
        stocks = [-5, -1, 0, 1, 7, 7]
        await self.given(pool, *[Product(name=str(i), stock=stock) for i, stock in enumerate(stocks)])
        for pivot in (-5, 0, 6, 7):
            found = await Query(Product).filter(ORDERINGS[sign](Product.stock, pivot)).execute(pool)
            expected = [stock for stock in stocks if ORDERINGS[sign](stock, pivot)]
            assert sorted(product.stock for product in found) == expected

    async def test_s06_equal_to_none_means_null(self, pool: Pool) -> None:
        await self.given(pool, Product(name="none"), Product(name="some", category="c"))
        same = (Product.category == None, col(Product.category).is_null(), F.category == None)  # noqa: E711 - the operator
        other = (Product.category != None, col(Product.category).is_not_null())  # noqa: E711 - as above
        for condition in same:
            assert await names_of(Query(Product).filter(condition), pool) == {"none"}
        for condition in other:
            assert await names_of(Query(Product).filter(condition), pool) == {"some"}
        assert await names_of(Query(Product).filter_by(category=None), pool) == {"none"}

    async def test_s07_unequal_leaves_null_out_and_distinct_from_does_not(self, pool: Pool) -> None:
        await self.given(pool, Product(name="none"), Product(name="a", category="a"), Product(name="b", category="b"))
        category = col(Product.category)
        assert await names_of(Query(Product).filter(Product.category != "a"), pool) == {"b"}
        assert await names_of(Query(Product).filter(category.is_distinct_from("a")), pool) == {"b", "none"}
        assert await names_of(Query(Product).filter(category.is_not_distinct_from("a")), pool) == {"a"}
        assert await names_of(Query(Product).filter(category.is_distinct_from(None)), pool) == {"a", "b"}
        assert await names_of(Query(Product).filter(category.is_not_distinct_from(None)), pool) == {"none"}
        assert await names_of(Query(Product).filter(category.is_distinct_from(Product.name)), pool) == {"none"}

    async def test_none_has_no_order(self, recorder: Recorder) -> None:
        for sign in ("<", "<=", ">", ">="):
            with pytest.raises(InvalidValueError, match="None"):
                ORDERINGS[sign](Product.stock, None)
        assert recorder.sent == []

    async def test_between_takes_both_ends(self, pool: Pool) -> None:
        await self.given(pool, *[Product(name=str(n), stock=n) for n in range(5)])
        stock = col(Product.stock)
        assert await names_of(Query(Product).filter(stock.between(1, 3)), pool) == {"1", "2", "3"}
        assert await names_of(Query(Product).filter(stock.between(3, 1)), pool) == set()
        assert await names_of(Query(Product).filter(not_(stock.between(1, 3))), pool) == {"0", "4"}

    async def test_s12_equality_of_text_is_exact(self, pool: Pool) -> None:
        for name in ("abc", "ABC", "Abc", "abc ", "äbc"):
            await self.given(pool, Product(name=name))
        for name in ("abc", "ABC", "Abc", "abc ", "äbc"):
            assert await names_of(Query(Product).filter(Product.name == name), pool) == {name}
        assert await names_of(Query(Product).filter(Product.name == "aBC"), pool) == set()

    async def test_s24_a_boolean_column_is_a_condition(self, pool: Pool) -> None:
        await self.given(
            pool, Product(name="yes", featured=True), Product(name="no", featured=False), Product(name="unknown")
        )
        featured: Any = Product.featured
        for condition, expected in (
            (featured, {"yes"}),
            (~featured, {"no"}),
            (featured == True, {"yes"}),  # noqa: E712 - the operator is the library's
            (featured != True, {"no"}),  # noqa: E712 - as above
            (featured == False, {"no"}),  # noqa: E712 - as above
            (featured | (Product.stock == 5), {"yes"}),
            (featured == (Product.stock == 0), {"yes"}),
        ):
            assert await names_of(Query(Product).filter(condition), pool) == expected

    async def test_s57_a_uuid_is_equal_in_any_of_its_texts(self, pool: Pool) -> None:
        key = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
        await self.given(pool, Product(id=key, name="it"), Product(name="other"))
        column: Any = Product.id
        for form in (key, str(key), str(key).upper(), key.hex):
            assert await names_of(Query(Product).filter(column == form), pool) == {"it"}
            assert await names_of(Query(Product).filter(column.in_([form, uuid.uuid4()])), pool) == {"it"}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("stock", "5"), ("stock", True), ("stock", 1.5), ("stock", [1]), ("stock", {"a": 1}), ("name", 0),
            ("name", True), ("name", b"a"), ("name", ["a"]), ("name", {"$gt": ""}), ("price", 0.1), ("price", "1"),
            ("featured", 1), ("featured", "true"), ("released", "2024-01-01"), ("seen", dt.date(2024, 1, 1)),
            ("id", 1), ("status", "nope"), ("weight", "1"), ("category", object()),
        ],
    )  # fmt: skip
    async def test_s40_a_value_of_another_type_is_refused(self, recorder: Recorder, field: str, value: object) -> None:
        """Nothing is cast or guessed: what one engine finds equal another does not."""
        column = F[field]
        for condition in (column == value, column != value, column.in_([value]), column.is_distinct_from(value)):
            with pytest.raises(InvalidValueError):
                await Query(Product).filter(condition).execute(recorder)
        with pytest.raises(InvalidValueError):
            await Query(Product).filter_by(**{field: value}).count(recorder)
        assert recorder.sent == []

    # --- lists -------------------------------------------------------------------------------------------------------

    async def test_s01_a_list_never_holds_null_unless_it_says_so(self, pool: Pool) -> None:
        await self.given(pool, Product(name="none"), Product(name="a", category="a"), Product(name="b", category="b"))
        category = col(Product.category)
        filled: Any = func.coalesce(Product.category, "c")
        everything = {"none", "a", "b"}
        cases: list[tuple[Any, set[str]]] = [
            (category.in_(["a", "x"]), {"a"}),
            (category.in_(["a", "a", "a"]), {"a"}),
            (category.in_([]), set()),
            (category.in_([None]), {"none"}),
            (category.in_(["a", None]), {"a", "none"}),
            (category.not_in(["a"]), {"b"}),
            (category.not_in([]), everything),
            (filled.in_(["a", "c", None]), {"a", "none"}),
            (filled.not_in(["a", "b", None]), {"none"}),
            (category.not_in([None]), {"a", "b"}),
            (category.not_in(["a", None]), {"b"}),
            (not_(category.in_([])), everything),
            (not_(category.in_(["a"])), {"b"}),
            (not_(category.not_in([])), set()),
            (category.in_(("a", "b")), {"a", "b"}),
            (category.in_({"b"}), {"b"}),
            (category.in_({"a": 1}.keys()), {"a"}),
        ]
        for condition, expected in cases:
            assert await names_of(Query(Product).filter(condition), pool) == expected

    @pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100, 999, 1_000, 2_100, 33_000, 50_000])
    async def test_s92_a_list_of_any_length_finds_the_same(self, pool: Pool, count: int) -> None:
        """Lengths around the engines' limits of parameters, rows and padding; all answer in the asked order."""
        stored = [0, 1, 5, 6, 7, 8, 98, 99, 998, 999, 2_099, 32_999, 49_998, 49_999, 60_000]
        await self.given(pool, *[Product(name=f"n{n}", stock=n, price=Decimal(n) / 4) for n in stored])
        expected = [n for n in stored if n < count]
        wanted = list(range(count))
        random.Random(count).shuffle(wanted)
        for condition in (
            col(Product.stock).in_(wanted),
            col(Product.name).in_([f"n{n}" for n in wanted]),
            col(Product.price).in_([Decimal(n) / 4 for n in wanted]),
        ):
            query = Query(Product).select(Product.stock).filter(condition).order_by(Product.stock)
            assert await query.execute(pool) == [(n,) for n in expected]
        outside = Query(Product).select(Product.stock).filter(col(Product.stock).not_in(wanted)).order_by(F.stock)
        assert await outside.execute(pool) == [(n,) for n in stored if n >= count]

    async def test_s92_keys_by_the_thousand(self, pool: Pool) -> None:
        """50,000 UUIDs, of which ten exist; through a query and through `get_many`."""
        products = [Product(name=str(n)) for n in range(10)]
        await self.given(pool, *products)
        ids = [uuid.UUID(int=n) for n in range(1, 49_991)] + [product.id for product in products]
        assert await names_of(Query(Product).filter(col(Product.id).in_(ids)), pool) == {str(n) for n in range(10)}
        found = await PydanticRepository(Product, pool).get_many(ids[-2_000:])
        assert len(found) == 2_000
        assert {row.name for row in found.values() if row is not None} == {str(n) for n in range(10)}

    async def test_what_is_no_list_is_refused(self, recorder: Recorder) -> None:
        for value in ("abc", b"abc", 5, None, iter([1]), (n for n in [1]), F.name):
            with pytest.raises(InvalidValueError):
                col(Product.stock).in_(value)  # type: ignore[arg-type]
        with pytest.raises(LimitExceededError):
            col(Product.stock).in_(range(1_000_000))
        assert recorder.sent == []

    # --- numbers -----------------------------------------------------------------------------------------------------

    async def test_expressions_stand_on_both_sides(self, pool: Pool) -> None:
        await self.given(
            pool,
            Product(name="a", stock=2, price=Decimal("4.00"), rebate=Decimal("4.0000"), weight=2.0),
            Product(name="b", stock=3, price=Decimal("4.01"), rebate=Decimal("4.0099"), weight=2.5),
            Product(name="c", stock=5, price=Decimal("5.00"), rebate=None, weight=None),
        )
        stock, price, rebate, weight = (col(F[each]) for each in ("stock", "price", "rebate", "weight"))
        for condition, expected in (
            (stock * 2 > price, {"b", "c"}),
            (price < stock + stock, {"b", "c"}),
            (price == stock, {"c"}),
            (5 == stock, {"c"}),  # noqa: SIM300 - the reflected operator
            (2 < stock, {"b", "c"}),  # noqa: SIM300 - as above
            (10 - stock == 5, {"c"}),
            (price == rebate, {"a"}),
            (price > rebate, {"b"}),
            (price != rebate, {"b"}),
            (weight == stock, {"a"}),
            (stock > weight, {"b"}),
            (price - rebate == Decimal("0.0001"), {"b"}),
            (price + 1 == 6, {"c"}),
            (price * stock == Decimal("8.00"), {"a"}),
            (stock / 2 == 1.5, {"b"}),
            (stock / 2 > 1, {"b", "c"}),
        ):
            assert await names_of(Query(Product).filter(condition), pool) == expected

    async def test_s27_division_is_true_and_by_zero_null(self, pool: Pool) -> None:
        await self.given(
            pool,
            Product(name="a", stock=0, price=Decimal("1.00"), weight=0.0, rebate=Decimal(0)),
            Product(name="b", stock=4, price=Decimal("10.00"), weight=8.0, rebate=Decimal(3)),
        )
        stock, price, weight, rebate = (col(F[each]) for each in ("stock", "price", "weight", "rebate"))
        one: Any = 1
        query = Query(Product).select(one / stock, weight / stock, price / stock, price / rebate, stock / 3)
        (first, second) = await query.order_by(Product.name).execute(pool)
        assert first == (None, None, None, None, 0.0)
        assert second[:3] == (0.25, 2.0, Decimal("2.5"))
        assert second[3] == Decimal("3.33333333").quantize(second[3])
        assert second[4] == pytest.approx(4 / 3)
        assert [type(each) for each in second] == [float, float, Decimal, Decimal, float]
        assert await names_of(Query(Product).filter(one / stock > 0), pool) == {"b"}
        assert await names_of(Query(Product).filter((one / stock).is_null()), pool) == {"a"}

    async def test_values_on_both_sides_and_foreign_types_are_refused(self, recorder: Recorder) -> None:
        fields: list[Any] = [F[each] for each in ("name", "stock", "seen", "details")]
        name, stock, seen, details = fields
        conditions: list[Any] = [
            name == stock,
            seen == name,
            stock + name == 1,
            name * 2 == "aa",
            seen + 1 == seen,
            details == {"a": 1},
            details < "x",
            stock.contains("1"),
            func.lower(stock) == "1",
            name,
            stock,
            name | (stock == 1),
            ~stock,
        ]
        for condition in conditions:
            with pytest.raises((InvalidValueError, UnsupportedFeature)):
                await Query(Product).filter(condition).execute(recorder)
        assert recorder.sent == []

    # --- junctions ---------------------------------------------------------------------------------------------------

    async def test_and_or_not_and_their_operators(self, pool: Pool) -> None:
        await self.given(pool, *[Product(name=f"{a}{b}", stock=a, price=Decimal(b)) for a in (0, 1) for b in (0, 1)])
        a: Any = Product.stock == 1
        b: Any = Product.price == 1
        for condition, expected in (
            (a & b, {"11"}),
            (a | b, {"01", "10", "11"}),
            (~a, {"00", "01"}),
            (AND(a, b), {"11"}),
            (OR(a, b), {"01", "10", "11"}),
            (NOT(a), {"00", "01"}),
            (not_(NOT(a)), {"10", "11"}),
            (a & ~b | ~a & b, {"01", "10"}),
            ((a | b) & ~(a & b), {"01", "10"}),
            (~(a | b), {"00"}),
            (OR(AND(a, b), NOT(OR(a, b))), {"00", "11"}),
            (OR(a), {"10", "11"}),
            (AND(a, a, a), {"10", "11"}),
        ):
            assert await names_of(Query(Product).filter(condition), pool) == expected
        assert await names_of(Query(Product).filter(a, b), pool) == {"11"}
        assert await names_of(Query(Product).filter(a).filter(b), pool) == {"11"}
        assert await names_of(Query(Product).filter(OR(a, b)).filter(OR(~a, ~b)), pool) == {"01", "10"}
        assert await names_of(Query(Product).filter(), pool) == {"00", "01", "10", "11"}

    async def test_a_condition_is_an_expression(self, recorder: Recorder) -> None:
        product = Product(name="a")
        conditions: list[Any] = [
            True,
            False,
            product.name == "a",
            None,
            1,
            "",
            "1 = 1",
            ("a", 1),
            {"name": "a"},
            Product,
            object(),
        ]
        for wrong in conditions:
            with pytest.raises((InvalidValueError, UnsafeSQLError)):
                Query(Product).filter(wrong)
            with pytest.raises((InvalidValueError, UnsafeSQLError)):
                OR(Product.stock == 1, wrong)
        with pytest.raises(TypeError):
            bool(Product.stock == 1)
        for empty in (AND, OR):
            with pytest.raises(InvalidValueError):
                empty()
        assert recorder.sent == []

    async def test_an_unknown_name_is_named_with_its_nearest(self, recorder: Recorder) -> None:
        query = Query(Product)
        attempts: list[Callable[[], Any]] = [
            lambda: query.filter(F.nmae == "a"),
            lambda: query.filter_by(nmae="a"),
            lambda: query.filter(func.lower(F.nmae) == "a"),
            lambda: query.filter((F.stock == 1) | ~(F.nmae == "a")),
            lambda: query.select(F.nmae),
            lambda: query.select("nmae"),
        ]
        for attempt in attempts:
            with pytest.raises(UnknownFieldError, match="name"):
                attempt()
        with pytest.raises(UnknownFieldError, match="name"):
            _ = Product.nmae  # type: ignore[attr-defined]
        for late in (query.order_by("nmae"), query.select(func.count()).group_by("nmae")):
            with pytest.raises(UnknownFieldError, match="name"):
                await late.execute(recorder)
        assert recorder.sent == []

    async def test_fields_of_another_model_are_refused(self, recorder: Recorder) -> None:
        attempts: list[Callable[[], Any]] = [
            lambda: Query(Product).filter(Country.name == "a"),
            lambda: Query(Product).select(Country.name),
            lambda: Query(Product).filter(Product.name == Country.name),
        ]
        for attempt in attempts:
            with pytest.raises(ConfigurationError, match="Country"):
                attempt()
        with pytest.raises(ConfigurationError, match="Country"):
            await Query(Product).order_by(Country.name).execute(recorder)
        assert recorder.sent == []

    async def test_an_enum_is_compared_by_member_and_value(self, pool: Pool) -> None:
        await self.given(pool, Product(name="a", status=Status.SOLD), Product(name="b", status=Status.DRAFT))
        status: Any = Product.status
        for value in (Status.SOLD, "sold out"):
            assert await names_of(Query(Product).filter(status == value), pool) == {"a"}
            assert await names_of(Query(Product).filter(status.in_([value])), pool) == {"a"}
