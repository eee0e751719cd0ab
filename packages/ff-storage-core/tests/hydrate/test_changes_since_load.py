"""What changed in an instance since it was loaded."""

import copy
import datetime as dt
import decimal
import enum
import json
import pickle
import uuid
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PrivateAttr, SecretStr, model_validator

from ff_storage.core.model.hydrate import changed_columns, loaded_row, row_builder
from ff_storage.core.sql.dialect import Dialect
from ff_storage.core.tables import Column
from ff_storage.core.types import Array, Decimal, Integer, Json, Text


class Base(BaseModel):
    __slots__ = ("__ff_plan__", "__ff_row__", "__ff_values__")


class Status(enum.Enum):
    OPEN = "open"
    SHUT = "shut"


class Inner(BaseModel):
    at: dt.datetime
    tags: list[str] = []


class Order(Base):
    id: uuid.UUID
    status: Status
    total: decimal.Decimal
    paid: bool
    at: dt.datetime
    tags: set[str]
    lines: list[dict[str, Any]]
    inner: Inner
    secret: SecretStr
    numbers: list[int]
    note: str | None = None


NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)


@pytest.fixture
def columns(columns_of: Any) -> list[Column]:
    made: list[Column] = columns_of(
        Order,
        status=(Text(), lambda status: status.value),
        total=Decimal(12, 2),
        tags=(Json(), sorted),
        lines=Json(),
        inner=(Json(), lambda inner: inner.model_dump(mode="json")),
        secret=(Text(), lambda secret: secret.get_secret_value()),
        numbers=Array(Integer()),
    )
    return made


@pytest.fixture
def order(columns: list[Column], row_of: Any, dialect: Dialect) -> Order:
    new = Order(
        id=uuid.UUID(int=1),
        status=Status.OPEN,
        total=decimal.Decimal("1.50"),
        paid=True,
        at=NOON,
        tags={"b", "a"},
        lines=[{"n": 1, "ok": True}],
        inner=Inner(at=NOON),
        secret=SecretStr("s"),
        numbers=[1, 2],
    )
    return row_builder(Order, columns, dialect)(row_of(new, columns, dialect))


def test_nothing_has_changed_after_loading(order: Order, dialect: Dialect) -> None:
    assert changed_columns(order) == {}


@pytest.mark.parametrize(
    ("field", "value", "canonical"),
    [
        ("id", uuid.UUID(int=2), uuid.UUID(int=2)),
        ("status", Status.SHUT, "shut"),
        ("total", decimal.Decimal("1.51"), decimal.Decimal("1.51")),
        ("paid", False, False),
        ("at", NOON + dt.timedelta(microseconds=1), NOON + dt.timedelta(microseconds=1)),
        ("tags", {"a"}, ["a"]),
        ("lines", [], []),
        ("secret", SecretStr("t"), "t"),
        ("numbers", [2, 1], [2, 1]),
        ("note", "n", "n"),
        ("note", "", ""),
    ],
)
def test_an_assigned_value_is_a_change(order: Order, dialect: Dialect, field: str, value: Any, canonical: Any) -> None:
    setattr(order, field, value)

    assert changed_columns(order) == {field: canonical}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total", decimal.Decimal("1.5")),
        ("at", NOON.astimezone(dt.timezone(dt.timedelta(hours=2)))),
        ("tags", {"a", "b"}),
        ("lines", [{"ok": True, "n": 1}]),
        ("note", None),
        ("status", Status.OPEN),
    ],
)
def test_an_equal_value_is_none(order: Order, dialect: Dialect, field: str, value: Any) -> None:
    setattr(order, field, value)

    assert changed_columns(order) == {}


def test_a_change_in_place_counts(order: Order, dialect: Dialect) -> None:
    order.lines[0]["n"] = 2
    order.tags.add("c")
    order.inner.tags.append("x")
    order.numbers.append(3)

    assert changed_columns(order) == {
        "lines": [{"n": 2, "ok": True}],
        "tags": ["a", "b", "c"],
        "inner": order.inner.model_dump(mode="json"),
        "numbers": [1, 2, 3],
    }


@pytest.mark.parametrize("value", [1, 1.0, "1", None, [True], {}])
def test_json_tells_true_from_one(order: Order, dialect: Dialect, value: Any) -> None:
    order.lines[0]["ok"] = value

    assert changed_columns(order) == {"lines": [{"n": 1, "ok": value}]}


def test_undoing_a_change_leaves_none(order: Order, dialect: Dialect) -> None:
    order.note = "x"
    order.lines.append({})
    order.note = None
    order.lines.pop()

    assert changed_columns(order) == {}


def test_set_fields_do_not_matter(order: Order, dialect: Dialect) -> None:
    order.model_fields_set.clear()
    order.note = "x"
    order.model_fields_set.clear()

    assert changed_columns(order) == {"note": "x"}


def test_nothing_is_known_of_instances_that_were_not_loaded(order: Order, dialect: Dialect) -> None:
    others = [
        Order(**order.model_dump()),
        order.model_copy(),
        copy.deepcopy(order),
        pickle.loads(pickle.dumps(order)),
        Order.model_construct(),
    ]

    assert [changed_columns(other) for other in others] == [None] * 5


def test_a_row_means_something_to_its_own_engine_only(order: Order, dialect: Dialect) -> None:
    class Other(type(dialect)):  # type: ignore[misc]
        pass

    assert loaded_row(order, type(dialect)()) == loaded_row(order, dialect)
    assert loaded_row(order, Other()) is None


def test_the_loaded_row_stays_what_it_was(order: Order, dialect: Dialect) -> None:
    before = loaded_row(order, dialect)
    order.note = "another"

    assert loaded_row(order, dialect) == before


def test_a_field_that_was_deleted_is_no_change(order: Order, dialect: Dialect) -> None:
    del order.note

    assert changed_columns(order) == {}


# --- what loading itself changed


class Moving(Base):
    model_config = ConfigDict(str_strip_whitespace=True)
    text: str
    number: Annotated[int, AfterValidator(lambda value: value + 1)]
    filled: Annotated[str | None, BeforeValidator(lambda value: value or "none")]


class Ordered(Base):
    low: int
    high: int

    @model_validator(mode="after")
    def order(self) -> "Ordered":
        if self.low > self.high:
            self.low, self.high = self.high, self.low
        return self


class Sized(Base):
    name: str
    size: int


class Titled(Base):
    name: str
    size: int
    _note: str = PrivateAttr("")

    def model_post_init(self, context: Any, /) -> None:
        self.name = self.name.title()


@pytest.mark.parametrize(
    ("model", "row", "field", "value"),
    [
        (Moving, (" a ", 1, None), "text", "b"),
        (Moving, (" a ", 1, None), "filled", "x"),
        (Moving, (" a ", 1, None), "number", 1000),
        (Ordered, (5, 1), "low", 0),
        (Titled, ("ada", 1), "name", "bob"),
    ],
)
def test_what_loading_makes_of_a_value_is_no_change(
    natives: Dialect, columns_of: Any, model: type[Base], row: tuple[Any, ...], field: str, value: Any
) -> None:
    loaded = row_builder(model, columns_of(model, filled=Text()), natives)(row)
    assert changed_columns(loaded) == {}

    setattr(loaded, field, value)

    assert changed_columns(loaded) == {field: value}


def test_a_value_that_its_constraints_no_longer_take_is_no_obstacle(columns_of: Any, natives: Dialect) -> None:
    def refuse(value: Any) -> Any:
        raise AssertionError(value)

    natives_that_refuse = type(natives)()
    natives_that_refuse.encoder = lambda type_: refuse  # type: ignore[method-assign]
    loaded = row_builder(Sized, columns_of(Sized), natives_that_refuse)(("Ada", 1))

    assert changed_columns(loaded) == {}


class Document(Base):
    content: Any


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2).filter(lambda x: x != 0) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=1), inner, max_size=3),
    max_leaves=6,
)


@given(before=DOCUMENTS, after=DOCUMENTS)
def test_json_has_changed_when_its_text_has(before: Any, after: Any) -> None:
    from_text = [Column("content", Json(), True, "content")]
    dialect = _Json()
    loaded = row_builder(Document, from_text, dialect)((json.dumps(before),))
    loaded.content = after

    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)

    assert (changed_columns(loaded) == {}) is same


class _Json(Dialect):
    name = "json"

    def encoder(self, type_: Any) -> Any:
        return json.dumps

    def decoder(self, type_: Any) -> Any:
        return json.loads


# --- validated assignment, as models with tables have it


class Checked(Order):
    model_config = ConfigDict(validate_assignment=True)


@pytest.fixture
def checked(order: Order, columns: list[Column], dialect: Dialect) -> Checked:
    row = loaded_row(order, dialect)
    assert row is not None
    return row_builder(Checked, columns, dialect)(tuple(row.values()))


def test_an_assigned_field_has_changed_and_no_other(checked: Checked) -> None:
    checked.note = "new"
    assert changed_columns(checked) == {"note": "new"}
    checked.paid = False
    assert changed_columns(checked) == {"note": "new", "paid": False}
    checked.note = None
    checked.paid = True
    assert changed_columns(checked) == {}


def test_what_changes_in_place_counts_after_an_assignment_too(checked: Checked) -> None:
    checked.note = "new"
    checked.numbers.append(3)
    checked.lines[0]["ok"] = 1
    checked.inner.tags.append("t")
    changes = changed_columns(checked)
    assert changes is not None
    assert changes.keys() == {"note", "numbers", "lines", "inner"}


def test_a_value_put_past_the_model_counts(checked: Checked) -> None:
    checked.__dict__["note"] = "put"
    assert changed_columns(checked) == {"note": "put"}
    checked.paid = False
    checked.__dict__["total"] = decimal.Decimal(7)
    changes = changed_columns(checked)
    assert changes is not None
    assert changes.items() >= {"paid": False, "total": decimal.Decimal(7)}.items()
