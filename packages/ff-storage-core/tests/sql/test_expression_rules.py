"""What expressions refuse, and when."""

from __future__ import annotations

from typing import Any

import pytest

from ff_storage.core.context import TenantScope
from ff_storage.core.errors import (
    ConfigurationError,
    IdentifierError,
    InvalidValueError,
    LimitExceededError,
    UnknownFieldError,
    UnsafeSQLError,
    UnsupportedFeature,
)
from ff_storage.core.query import AND, F, Query, col, func, not_
from ff_storage.core.sql.scope import Scope

STRICT = Scope(TenantScope.of("00000000-0000-0000-0000-000000000001"))


def test_an_unknown_name_is_refused_by_the_step_that_uses_it(item: Any) -> None:
    with pytest.raises(UnknownFieldError, match="did you mean 'price'"):
        Query(item).filter(F.pricee > 1)
    with pytest.raises(UnknownFieldError, match="did you mean 'name'"):
        Query(item).select("nam")
    with pytest.raises(UnknownFieldError):
        Query(item).filter_by(author__password__startswith="a")


def test_a_field_of_another_model_is_refused(item: Any, plain: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Plain\.code .* Item"):
        Query(item).filter(plain.code == "x")


@pytest.mark.parametrize("value", [True, False, "price > 1", 1, None, {"__raw__": "1=1"}, object()])
def test_only_expressions_are_conditions(value: Any, item: Any) -> None:
    with pytest.raises(UnsafeSQLError if isinstance(value, str) else InvalidValueError):
        Query(item).filter(value)
    with pytest.raises((UnsafeSQLError, InvalidValueError)):
        AND(item.active, value)
    with pytest.raises((UnsafeSQLError, InvalidValueError)):
        not_(value)


def test_a_condition_has_no_truth_value(item: Any) -> None:
    with pytest.raises(TypeError, match="AND, OR, NOT"):
        _ = item.price > 1 and item.active


def test_col_takes_fields_only(item: Any) -> None:
    assert col(item.price) is item.price
    with pytest.raises(ConfigurationError):
        col("price")


@pytest.mark.parametrize(
    "build",
    [
        lambda m: m.price > None,
        lambda m: m.price.in_("12"),
        lambda m: m.price.in_(5),
        lambda m: m.name.contains(5),
        lambda m: m.price.desc(nulls="LAST; --"),
        lambda m: m.price.asc("DESC"),
        lambda m: func.count(distinct=True),
    ],
)
def test_malformed_expressions(build: Any, item: Any) -> None:
    with pytest.raises(InvalidValueError):
        build(item)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (lambda m: Query(m).filter(m.price == m.name), InvalidValueError),
        (lambda m: Query(m).filter(m.price), InvalidValueError),
        (lambda m: Query(m).filter(m.price.contains("1")), InvalidValueError),
        (lambda m: Query(m).filter(m.extra == {"a": 1}), UnsupportedFeature),
        (lambda m: Query(m).order_by(m.extra), UnsupportedFeature),
        (lambda m: Query(m).select(m.name, func.count()), InvalidValueError),
        (lambda m: Query(m).select(func.sum(m.name)), InvalidValueError),
        (lambda m: Query(m).select(func.lower(m.price)), InvalidValueError),
        (lambda m: Query(m).filter(func.count() > 1), InvalidValueError),
        (lambda m: Query(m).group_by(m.name), InvalidValueError),
        (lambda m: Query(m).select(m.name + 1), InvalidValueError),
        (lambda m: Query(m).filter(m.price == "1"), InvalidValueError),
        (lambda m: Query(m).filter(m.price == True), InvalidValueError),  # noqa: E712 - what is tested
        (lambda m: Query(m).filter(m.name == 0), InvalidValueError),
        (lambda m: Query(m).filter(m.name == {"sql": "x"}), InvalidValueError),
        (lambda m: Query(m).filter(m.name == "x" * 51), InvalidValueError),
        (lambda m: Query(m).filter(m.price.in_([1, "2"])), InvalidValueError),
        (lambda m: Query(m).filter(m.price.in_(range(1001))), LimitExceededError),
    ],
)
def test_what_the_compiler_refuses(query: Any, error: type[Exception], item: Any, dialect: Any) -> None:
    with pytest.raises(error):
        query(item).prepare(dialect, STRICT)


def test_a_bad_value_names_its_field(item: Any, dialect: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"Item\.price: "):
        Query(item).filter(item.name == "x", item.price > "1").prepare(dialect, STRICT)


@pytest.mark.parametrize("n", ["1", -1, True, 1.5, 10**30, float("nan"), None])
def test_limits_are_counts(n: Any, item: Any) -> None:
    for step in (Query(item).limit, Query(item).offset):
        with pytest.raises(InvalidValueError):
            step(n)


def test_flat_lists_of_conditions_do_not_nest(item: Any, dialect: Any) -> None:
    condition = item.price == 0
    for number in range(1, 900):
        condition = condition | (item.price == number)
    prepared, parameters = Query(item).filter(condition).prepare(dialect, STRICT)
    assert prepared.text.count(" OR ") == 899
    assert parameters[1:] == list(range(900))
    for _ in range(1000):
        condition = ~condition
    assert "NOT" not in Query(item).filter(condition).prepare(dialect, STRICT)[0].text


def test_deep_and_long_conditions_have_limits(item: Any) -> None:
    condition = item.active
    with pytest.raises(LimitExceededError, match="100 levels"):
        for _ in range(10_000):
            condition = ~(condition & item.active) | item.active
    doubled, number = item.active, item.price
    with pytest.raises(LimitExceededError, match="100,000 parts"):
        for _ in range(50):
            doubled = (doubled & item.active) | ~doubled
    with pytest.raises(LimitExceededError, match="100,000 parts"):
        for _ in range(50):
            number = number + number
    with pytest.raises(LimitExceededError, match="10,000"):
        AND(*[item.price == number for number in range(10_001)])
    with pytest.raises(LimitExceededError):
        item.price.in_(range(200_000))


@pytest.mark.parametrize("name", ["_private", "__class__x", "__ff_x"])
def test_f_has_no_private_names(name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(F, name)


@pytest.mark.parametrize("name", ['x"; --', "a b", "", "1a", "тitle", "ｔｉｔｌｅ", "a" * 64, "a\x00b", "a.b"])
def test_names_are_identifiers(name: str, item: Any) -> None:
    for use in (
        lambda: F[name],
        lambda: Query(item).order_by(name),
        lambda: Query(item).order_by("-" + name),
        lambda: Query(item).group_by(name),
        lambda: Query(item).select(name),
        lambda: func.sum(name),
        lambda: item.price.label(name),
    ):
        with pytest.raises(IdentifierError):
            use()


@pytest.mark.parametrize("name", ["pg_sleep", "load_file", "summ", "__import__"])
def test_functions_are_an_allow_list(name: str) -> None:
    assert not hasattr(func, name)
    with pytest.raises(IdentifierError):
        getattr(func, name)
