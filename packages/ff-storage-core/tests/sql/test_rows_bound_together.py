"""The parameters of many rows, made column by column, are those that each row would get by itself."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from ff_storage.core.context import TenantScope
from ff_storage.core.errors import InvalidValueError, LimitExceededError
from ff_storage.core.model import PydanticModel
from ff_storage.core.sql import values
from ff_storage.core.sql.columns import encoded
from ff_storage.core.sql.compiled import Compiled, Slot
from ff_storage.core.sql.scope import Scope
from ff_storage.core.sql.statements import Insert

COLUMNS = ("name", "price", "weight", "extra", "tenant_id")
TENANT = UUID(int=1)


@pytest.fixture
def insert(dialect: Any, item: type[PydanticModel]) -> Compiled:
    entity = item.__ff_entity__
    statement = Insert(entity, tuple(entity.table.by_attribute[name] for name in COLUMNS))
    compiled: Compiled = dialect.compiler(dialect, Scope(TenantScope(everything=True))).compile(statement)
    return compiled


def rows(change: Callable[[int, list[Any]], None] = lambda number, row: None) -> list[list[Any]]:
    made: list[list[Any]] = []
    for number in range(20):
        row: list[Any] = ["same", number, None if number % 3 else 0.5, {"n": number}, TENANT]
        change(number, row)
        made.append(row)
    return made


def together(insert: Compiled, made: list[list[Any]]) -> list[tuple[Any, ...]]:
    return insert.bind_columns([list(column) for column in zip(*made, strict=True)])


def test_they_equal_the_parameters_of_single_rows(insert: Compiled) -> None:
    made = rows()
    assert together(insert, made) == [tuple(insert.bind(row)) for row in made]


def test_a_value_of_the_first_row_and_the_last_is_not_that_of_all(insert: Compiled) -> None:
    def change(number: int, row: list[Any]) -> None:
        if number == 7:
            row[0] = "other"

    made = rows(change)
    assert made[0][0] is made[-1][0]
    assert together(insert, made) == [tuple(insert.bind(row)) for row in made]


def test_equal_values_of_different_types_stay_apart(insert: Compiled) -> None:
    def change(number: int, row: list[Any]) -> None:
        row[2] = 1 if number in (0, 19) else 1.0

    parameters = together(insert, rows(change))
    assert {type(row[2]) for row in parameters} == {float}


def test_the_error_is_that_of_the_first_row_at_fault(insert: Compiled) -> None:
    def change(number: int, row: list[Any]) -> None:
        if number == 7:
            row[3] = {"n": object()}
        if number == 12:
            row[0] = 5

    with pytest.raises(InvalidValueError, match="extra") as caught:
        together(insert, rows(change))
    with pytest.raises(InvalidValueError) as alone:
        insert.bind(rows(change)[7])
    assert str(caught.value) == str(alone.value)


def test_a_limit_that_a_later_row_exceeds_is_not_the_first_error() -> None:
    def encode(value: str) -> str:
        if value == "large":
            raise LimitExceededError("too large")
        return value

    compiled = Compiled("", [Slot(0, encode, "text"), Slot(1, values.integer(), "number")])
    with pytest.raises(InvalidValueError, match="number"):
        compiled.bind_columns([["small", "large"], ["one", 2]])
    with pytest.raises(LimitExceededError):
        compiled.bind_columns([["small", "large"], [1, "two"]])


def test_long_texts_are_not_copied_all_at_once() -> None:
    check = values.text()
    column = [f"{number}é" + "x" * 1_000_000 for number in range(20)]
    tracemalloc.start()
    try:
        assert encoded(check, column) == column
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
