"""Conditions nested at random, against an evaluation in Python in which NULL is unknown."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ff_storage.core.database import Pool
from ff_storage.core.query import Query
from ff_storage.core.testing.filters import ORDERINGS, FilterTests, names_of
from ff_storage.core.testing.models import Product

Truth = bool | None
"""A condition's value for one row: true, false, or NULL."""


class LogicTests(FilterTests):
    """Three-valued logic, whatever the nesting."""

    async def test_random_conditions_follow_three_valued_logic(self, pool: Pool) -> None:
        """Conditions of every kind, nested at random, against an evaluation in Python in which NULL is unknown."""
        dice = random.Random(20)
        products = [
            Product(name=str(n), stock=dice.randint(0, 3), category=dice.choice([None, "a", "b"]),
                    featured=dice.choice([None, True, False]), weight=dice.choice([None, 0.0, 1.5]))
            for n in range(40)
        ]  # fmt: skip
        await self.given(pool, *products)
        for _ in range(250):
            condition, truth = random_condition(dice, 4)
            expected = {product.name for product in products if truth(product) is True}
            assert await names_of(Query(Product).filter(condition), pool) == expected, repr(condition)


def random_condition(dice: random.Random, depth: int) -> tuple[Any, Callable[[Product], Truth]]:
    """A condition on products, and what it is for one of them."""
    if depth and dice.random() < 0.75:
        kind = dice.choice(("and", "or", "not", "not", "null", "in", "label"))
        left, left_truth = random_condition(dice, depth - 1)
        if kind == "null":
            return left.is_null(), lambda product: left_truth(product) is None
        if kind == "in":
            return left.in_([True, None]), lambda product: left_truth(product) is not False
        if kind == "label":
            return left.label("named"), left_truth
        if kind == "not":
            return ~left, lambda product: _not(left_truth(product))
        right, right_truth = random_condition(dice, depth - 1)
        if kind == "and":
            return left & right, lambda product: _and(left_truth(product), right_truth(product))
        return left | right, lambda product: _not(_and(_not(left_truth(product)), _not(right_truth(product))))
    return _leaf(dice)


def _leaf(dice: random.Random) -> tuple[Any, Callable[[Product], Truth]]:
    leaves: dict[str, list[Any]] = {
        "stock": [0, 1, 2, 9], "category": ["a", "b", "c"], "weight": [0.0, 1.5], "featured": [True, False],
    }  # fmt: skip
    field, values = dice.choice([*leaves.items()])
    column: Any = getattr(Product, field)
    value: Any = dice.choice(values)
    kind = dice.choice(("compare", "null", "in", "not in", "distinct"))
    if kind == "null":
        return column.is_null(), lambda product: getattr(product, field) is None
    if kind == "distinct":
        return column.is_distinct_from(value), lambda product: bool(getattr(product, field) != value)
    if kind == "compare":
        compare = ORDERINGS[dice.choice(("==", "!=") if field == "featured" else sorted(ORDERINGS))]
        return compare(column, value), lambda product: _unless_null(product, field, lambda own: compare(own, value))
    chosen = dice.sample(values, dice.randint(0, len(values)))
    null = dice.random() < 0.3
    within = {*chosen}
    condition = column.in_([*chosen, None] if null else chosen)
    if kind == "in":
        return condition, lambda product: _within(getattr(product, field), within, null=null)
    return (
        column.not_in([*chosen, None] if null else chosen),
        lambda product: _not(_within(getattr(product, field), within, null=null)),
    )


def _unless_null(product: Product, field: str, test: Callable[[Any], bool]) -> Truth:
    own = getattr(product, field)
    return None if own is None else test(own)


def _within(own: Any, values: set[Any], *, null: bool) -> Truth:
    if own is None:
        return True if null else (None if values else False)
    return own in values


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _and(left: Truth, right: Truth) -> Truth:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True
