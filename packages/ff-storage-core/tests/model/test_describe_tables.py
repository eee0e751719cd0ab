"""Keys, uniqueness, indexes and checks of a model's table."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from ff_storage import Field, PydanticModel
from ff_storage.core import types
from ff_storage.core.errors import ConfigurationError, IdentifierError
from ff_storage.core.model.checks import bound
from ff_storage.core.tables import ChoiceCheck, Index, RangeCheck, SqlCheck, Table


def table_of(model: Any) -> Table:
    table: Table = model.__ff_entity__.table
    return table


class Global(PydanticModel):
    __abstract__ = True
    __multi_tenant__ = False
    __soft_delete__ = False


# --- the columns that every table has


def test_the_default_table_has_the_published_columns() -> None:
    class Product(PydanticModel):
        name: str

    table = table_of(Product)
    assert [column.name for column in table.columns] == [
        "id", "created_at", "updated_at", "created_by", "updated_by",
        "name",
        "tenant_id", "deleted_at", "deleted_by",
    ]  # fmt: skip
    assert {column.name for column in table.columns if column.nullable} == {
        "created_by", "updated_by", "deleted_at", "deleted_by",
    }  # fmt: skip
    assert {column.name for column in table.columns if not column.injected} == {"name"}
    assert (table.tenant, table.deleted_at, table.version) == ("tenant_id", "deleted_at", None)
    assert (table.name, table.schema, table.full_name) == ("products", None, "products")


def test_settings_take_columns_away() -> None:
    class Product(Global):
        name: str

    assert [column.name for column in table_of(Product).columns] == [
        "id", "created_at", "updated_at", "created_by", "updated_by", "name",
    ]  # fmt: skip
    assert (table_of(Product).tenant, table_of(Product).deleted_at) == (None, None)


def test_a_field_of_ones_own_takes_the_place_of_an_added_one() -> None:
    class Product(PydanticModel):
        name: str
        created_by: str | None = None
        id: int = Field(gt=0)

    table = table_of(Product)
    assert table.by_name["created_by"].type == types.Text()
    assert table.by_name["id"].type == types.Integer()
    assert table.primary_key == ("tenant_id", "id")
    assert [column.name for column in table.columns][:5] == [
        "created_at",
        "updated_at",
        "updated_by",
        "name",
        "created_by",
    ]


# --- keys


def test_the_tenant_leads_the_key() -> None:
    class Product(PydanticModel):
        name: str

    assert table_of(Product).primary_key == ("tenant_id", "id")
    assert table_of(Product).identity == ("id",)


def test_marked_fields_are_the_key_in_the_place_of_id() -> None:
    class Flight(Global):
        time_hour: dt.datetime = Field(db_primary_key=True)
        carrier: str = Field(max_length=2, db_primary_key=True)
        flight: int | None = Field(default=None, db_primary_key=True)

    table = table_of(Flight)
    assert table.primary_key == table.identity == ("time_hour", "carrier", "flight")
    assert "id" not in table.by_name
    assert "id" not in Flight.model_fields
    assert not table.by_name["flight"].nullable


def test_a_key_in_annotated_a_base_or_a_mixin_counts() -> None:
    class Base(PydanticModel):
        __abstract__ = True
        code: Annotated[str, Field(max_length=3, db_primary_key=True)]

    class Mixin:
        key: int = Field(db_primary_key=True)

    class Inherits(Base):
        name: str

    class Mixes(Mixin, PydanticModel):
        name: str

    class Concrete(Inherits):
        more: int = 0

    assert table_of(Inherits).primary_key == ("tenant_id", "code")
    assert table_of(Concrete).primary_key == ("tenant_id", "code")
    assert table_of(Mixes).primary_key == ("tenant_id", "key")
    assert "id" not in Mixes.model_fields
    assert "id" not in Concrete.model_fields


def test_a_class_with_a_key_of_its_own_drops_an_inherited_id() -> None:
    class Product(PydanticModel):
        name: str

    class Coded(Product):
        code: str = Field(db_primary_key=True)

    assert "id" in Product.model_fields
    assert "id" not in Coded.model_fields
    assert table_of(Coded).primary_key == ("tenant_id", "code")
    assert not hasattr(Coded, "id")


def test_the_tenant_may_be_marked_and_still_comes_first_once() -> None:
    class Setting(PydanticModel):
        key: str = Field(db_primary_key=True)
        tenant_id: UUID = Field(db_primary_key=True)

    assert table_of(Setting).primary_key == ("tenant_id", "key")


@pytest.mark.parametrize(
    ("annotation", "options", "reason"),
    [
        (dict[str, int], {}, "a key is a plain value"),
        (list[int], {}, "a key is a plain value"),
        (int, {"db_nullable": True}, "a key is never NULL"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused(annotation: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Keyed\.code: {reason}"):
        create_model("Keyed", __base__=Global, code=(annotation, Field(db_primary_key=True, **options)))


def test_the_tenant_alone_is_no_key() -> None:
    with pytest.raises(ConfigurationError, match="the tenant alone"):

        class Setting(PydanticModel):
            tenant_id: UUID = Field(db_primary_key=True)


# --- columns


def test_column_options_reach_the_column() -> None:
    class Product(PydanticModel):
        price: Decimal = Field(db_default="0", db_column="net_price", alias="netPrice")
        gross: Decimal | None = Field(default=None, db_generated="net_price * 1.19")

    table = table_of(Product)
    column = table.by_attribute["price"]
    assert (column.name, column.default, column.attribute) == ("net_price", "0", "price")
    assert table.by_name["gross"].generated == "net_price * 1.19"
    assert "netPrice" not in table.by_name


def test_a_column_is_generated_or_has_a_default() -> None:
    with pytest.raises(ConfigurationError, match=r"Product\.gross: db_generated and db_default"):

        class Product(PydanticModel):
            gross: int | None = Field(default=None, db_generated="1", db_default="1")


@pytest.mark.parametrize(
    "fields",
    [
        {"a": (int, Field(db_column="b")), "b": (int, ...)},
        {"title": (str, ...), "Title": (str, ...)},
        {"a": (int, Field(db_column="created_AT"))},
    ],
    ids=["same", "case", "injected"],
)
def test_two_fields_of_one_column_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Twice\.\w+: the column '\w+' is \w+'s already"):
        create_model("Twice", __base__=PydanticModel, **fields)


def test_a_field_named_unlike_an_identifier_needs_a_column_name() -> None:
    with pytest.raises(IdentifierError, match=r"the column of Person\.größe"):

        class Person(PydanticModel):
            größe: int  # noqa: PLC2401 - the case

    class Human(PydanticModel):
        größe: int = Field(db_column="height")  # noqa: PLC2401 - the case

    assert table_of(Human).by_attribute["größe"].name == "height"


# --- uniqueness and indexes


def test_uniqueness_is_per_tenant_over_live_rows() -> None:
    class User(PydanticModel):
        email: str = Field(max_length=255, db_unique=True)
        login: str = Field(max_length=50, db_unique="global")

    unique = [index for index in table_of(User).indexes if index.unique]
    assert unique == [
        Index("uq_users_email", ("tenant_id", "email"), unique=True, live_only=True),
        Index("uq_users_login", ("login",), unique=True, live_only=True),
    ]


def test_uniqueness_without_tenants_and_soft_delete_is_plain() -> None:
    class User(Global):
        email: str = Field(db_unique=True)
        part: str = Field(db_unique=True, db_index_where="part <> ''", db_index_name="one_part")

    assert [index for index in table_of(User).indexes if index.unique] == [
        Index("uq_users_email", ("email",), unique=True),
        Index("one_part", ("part",), unique=True, where="part <> ''"),
    ]


def test_a_unique_key_needs_no_second_rule() -> None:
    class Airline(Global):
        carrier: str = Field(db_primary_key=True, db_unique=True)

    assert not any(index.unique for index in table_of(Airline).indexes)


def test_declared_indexes_come_with_their_options() -> None:
    class Document(Global):
        status: str = Field(db_index=True)
        body: dict[str, Any] = Field(db_index=True, db_index_type="gin")
        score: int = Field(db_index=True, db_index_where="score > 0", db_index_name="by_score")
        first: str = Field(db_index_columns=["first", "second"])
        second: str = Field(db_unique=True, db_index=True, db_column="second_name")

    found = {index.name: index for index in table_of(Document).indexes}
    assert found == {
        "idx_documents_status": Index("idx_documents_status", ("status",)),
        "idx_documents_body": Index("idx_documents_body", ("body",), method="gin"),
        "by_score": Index("by_score", ("score",), where="score > 0"),
        "idx_documents_first_second_name": Index("idx_documents_first_second_name", ("first", "second_name")),
        "uq_documents_second_name": Index("uq_documents_second_name", ("second_name",), unique=True),
        "idx_documents_second_name": Index("idx_documents_second_name", ("second_name",)),
        "idx_documents_created_at": Index("idx_documents_created_at", ("created_at",)),
    }


def test_automatic_indexes() -> None:
    class Product(PydanticModel):
        name: str

    class Event(Global):
        name: str

    class Hard(PydanticModel):
        __soft_delete__ = False

    class Indexed(Global):
        created_at: dt.datetime = Field(db_index=True)

    assert table_of(Product).indexes == (
        Index("idx_products_tenant_id_created", ("tenant_id", "created_at"), live_only=True),
    )
    assert table_of(Event).indexes == (Index("idx_events_created_at", ("created_at",)),)
    assert table_of(Hard).indexes == (Index("idx_hards_tenant_id_created", ("tenant_id", "created_at")),)
    assert len(table_of(Indexed).indexes) == 1


def test_an_index_over_no_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ConfigurationError, match=r"Product\.name: db_index_columns names no field 'prise'; did you mean 'price'"
    ):

        class Product(PydanticModel):
            price: int
            name: str = Field(db_index=True, db_index_columns=["name", "prise"])


def test_two_indexes_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Product has two indexes named 'BY_IT'"):

        class Product(PydanticModel):
            a: int = Field(db_index=True, db_index_name="by_it")
            b: int = Field(db_index=True, db_index_name="BY_IT")


def test_long_generated_names_are_cut_and_stay_different() -> None:
    name = "a" * 60
    model = create_model(
        "Long", __base__=Global, **{name: (int, Field(db_index=True)), name + "b": (int, Field(db_index=True))}
    )
    names = [index.name for index in table_of(model).indexes]
    assert len(set(names)) == 3
    assert all(len(each) <= 63 for each in names)


# --- checks


def test_bounds_and_sql_become_checks() -> None:
    class Product(Global):
        price: Decimal = Field(gt=0, le=Decimal("99.5"), max_digits=6, decimal_places=2)
        stock: int = Field(ge=0, lt=1000)
        ratio: Annotated[float, pydantic.Field(ge=0)] | None = None
        since: dt.date = Field(ge=dt.date(2020, 1, 1))
        size: pydantic.PositiveInt = Field(db_check="size <> 13")
        count: pydantic.conint(ge=3, multiple_of=3) = 3

    assert table_of(Product).checks == (
        RangeCheck("ck_products_price_gt", "price", ">", Decimal(0)),
        RangeCheck("ck_products_price_le", "price", "<=", Decimal("99.5")),
        RangeCheck("ck_products_stock_ge", "stock", ">=", 0),
        RangeCheck("ck_products_stock_lt", "stock", "<", 1000),
        RangeCheck("ck_products_ratio_ge", "ratio", ">=", 0.0),
        RangeCheck("ck_products_since_ge", "since", ">=", dt.date(2020, 1, 1)),
        RangeCheck("ck_products_size_gt", "size", ">", 0),
        SqlCheck("ck_products_size", "size <> 13", "size"),
        RangeCheck("ck_products_count_ge", "count", ">=", 3),
    )


def test_check_names_use_the_column_and_are_each_given_once() -> None:
    class Product(Global):
        size: Annotated[int, Field(gt=0)] = Field(gt=1, db_column="cm")

    assert [(check.name, check.column) for check in table_of(Product).checks] == [
        ("ck_products_cm_gt", "cm"),
        ("ck_products_cm_gt_2", "cm"),
    ]


@pytest.mark.parametrize(
    ("type_", "operator", "value", "expected"),
    [
        (types.Integer(), ">=", 0.5, (">=", 1)),
        (types.Integer(), ">", 0.5, (">=", 1)),
        (types.Integer(), "<", 0.5, ("<=", 0)),
        (types.Integer(), ">=", Decimal(3), (">=", 3)),
        (types.Integer(16), "<=", 40_000, None),
        (types.Integer(16), "<=", 32_767, None),
        (types.Integer(16), "<", 32_767, ("<", 32_767)),
        (types.Integer(), ">=", -(2**70), None),
        (types.Integer(), "<", float("inf"), None),
        (types.Decimal(6, 2), ">", Decimal("0.005"), (">=", Decimal("0.01"))),
        (types.Decimal(6, 2), "<=", Decimal("0.005"), ("<=", Decimal(0))),
        (types.Decimal(6, 2), "<=", 0.1, ("<=", Decimal("0.1"))),
        (types.Decimal(6, 2), "<", 10_000, None),
        (types.Decimal(6, 2), "<", Decimal("9999.99"), ("<", Decimal("9999.99"))),
        (types.Float(), ">", 1, (">", 1.0)),
        (types.Float(), ">", float("-inf"), None),
        (types.Text(), ">=", "a", (">=", "a")),
        (types.Interval(), ">", dt.timedelta(0), (">", dt.timedelta(0))),
        (
            types.Timestamp(),
            ">=",
            dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            (">=", dt.datetime(2019, 12, 31, 22, tzinfo=dt.UTC)),
        ),
        (types.Json(), ">", 0, None),
    ],
    ids=str,
)
def test_a_bound_is_brought_to_the_values_of_the_column(
    type_: types.ColumnType, operator: str, value: Any, expected: Any
) -> None:
    assert bound(type_, operator, value) == expected


@pytest.mark.parametrize(
    ("annotation", "options"),
    [
        (int, {"ge": 2**63}),
        (int, {"gt": 2**63 - 1}),
        (int, {"lt": -(2**63)}),
        (float, {"ge": float("nan")}),
        (float, {"gt": float("inf")}),
        (int, {"ge": True}),
        (dt.datetime, {"ge": dt.datetime(2020, 1, 1)}),  # noqa: DTZ001 - the case
        (Annotated[Decimal, Field(max_digits=4, decimal_places=2)], {"gt": 100}),
    ],
    ids=str,
)
def test_a_bound_that_no_value_meets_is_refused(annotation: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Bounded\.value: the bound"):
        create_model("Bounded", __base__=PydanticModel, value=(annotation, Field(**options)))


_OPERATORS = {">": Decimal.__gt__, ">=": Decimal.__ge__, "<": Decimal.__lt__, "<=": Decimal.__le__}


@given(
    st.sampled_from(list(_OPERATORS)),
    st.decimals(-20, 20, places=4),
    st.decimals(Decimal("-9.99"), Decimal("9.99"), places=2),
)
def test_a_moved_bound_means_the_same_for_every_value(operator: str, limit: Decimal, value: Decimal) -> None:
    meant = _OPERATORS[operator](value, limit)
    try:
        fitted = bound(types.Decimal(3, 2), operator, limit)
    except ConfigurationError:
        assert not meant
        return
    assert meant is (True if fitted is None else _OPERATORS[fitted[0]](value, fitted[1]))


def test_choices_stand_beside_other_checks() -> None:
    import enum

    class Level(enum.IntEnum):
        LOW = 1
        HIGH = 5

    class Alarm(Global):
        level: Level = Field(db_check="level <> 3")

    assert table_of(Alarm).checks == (
        ChoiceCheck("ck_alarms_level_choice", "level", (1, 5)),
        SqlCheck("ck_alarms_level", "level <> 3", "level"),
    )
