"""The dunder settings of a model class: what they do, and how wrong ones are refused when the class is made."""

import datetime as dt
import enum
import subprocess
import sys
from typing import Any, ClassVar
from uuid import UUID

import pytest
from pydantic import ConfigDict, RootModel, create_model
from pydantic import Field as PydanticField

from ff_storage import Field, PydanticModel, Relationship
from ff_storage.core import types
from ff_storage.core.errors import ConfigurationError, IdentifierError, MissingDistributionError
from ff_storage.core.tables import Table


def table_of(model: Any) -> Table:
    table: Table = model.__ff_entity__.table
    return table


def make(name: str = "Probe", /, **namespace: Any) -> Any:
    return type(PydanticModel)(name, (PydanticModel,), {"__module__": __name__, "__annotations__": {}, **namespace})


# --- names


def test_the_table_name_is_the_plural_unless_it_is_set() -> None:
    class OrderItem(PydanticModel):
        pass

    class Person(PydanticModel):
        __table_name__ = "persons"
        __schema__ = "hr"

    assert OrderItem.table_name() == OrderItem.get_table_name() == "order_items"
    assert OrderItem.full_table_name() == "public.order_items"
    assert Person.full_table_name() == "hr.persons"
    assert (table_of(Person).schema, table_of(Person).full_name) == ("hr", "hr.persons")


@pytest.mark.parametrize("schema", ["public", None])
def test_public_means_the_connections_default_schema(schema: str | None) -> None:
    assert table_of(make(__schema__=schema)).schema is None


class Evil(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "users; DROP TABLE x"

    def __format__(self, spec: str) -> str:
        return "users; DROP TABLE x"


_BAD_NAMES = [
    'a"b',
    "users; DROP TABLE x",
    'public";--',
    "a.b",
    "a b",
    "1a",
    "",
    "a\0b",
    "a\nb",
    "a\x1b",
    "a\u2028b",
    "tіtle",
    "ＴＩＴＬＥ",
    "tit\u200ble",
    "a" * 64,
    "a" * 129,
    "é" * 40,
    Evil("users"),
    b"users",
    5,
]


@pytest.mark.parametrize("setting", ["__table_name__", "__schema__", "__tenant_field__", "__version_column__"])
@pytest.mark.parametrize("name", _BAD_NAMES, ids=ascii)
def test_a09_names_in_settings_must_be_identifiers(setting: str, name: Any) -> None:
    """A05, A06, A08, A09, A13: in names that settings give."""
    with pytest.raises(IdentifierError, match=setting):
        make(**{setting: name})


@pytest.mark.parametrize("name", ['x"; DROP TABLE y; --', "a b", "tіtle", "a" * 64, "Größe"])
def test_a09_a_class_name_that_gives_no_table_name_is_refused(name: str) -> None:
    with pytest.raises(IdentifierError, match="set __table_name__"):
        create_model(name, __base__=PydanticModel, __module__=__name__)
    assert create_model(
        name, __base__=make(__abstract__=True), __module__=__name__, __namespace__={"__table_name__": "safe"}
    )


@pytest.mark.parametrize("name", [name for name in _BAD_NAMES if type(name) is str and name], ids=ascii)
def test_a05_a06_a08_field_names_must_be_identifiers(name: str) -> None:
    # NFKC folding must not turn a look-alike into a real column's name.
    with pytest.raises(IdentifierError, match=r"the column of Probe\."):
        create_model("Probe", __base__=PydanticModel, title=(str, ...), **{name: (int, ...)})


def test_a15_reserved_words_are_ordinary_names() -> None:
    class Order(PydanticModel):
        order: int
        select: str
        group: str
        user: str
        limit: int
        table: str
        where: str

    table = table_of(Order)
    for name in ("order", "select", "group", "user", "limit", "table", "where"):
        assert table.by_name[name].attribute == name
        assert repr(getattr(Order, name)) == f"Order.{name}"
    assert Order(order=1, select="a", group="b", user="c", limit=2, table="t", where="w").limit == 2


def test_a29_private_and_dunder_names_are_attributes_and_never_columns() -> None:
    class Product(PydanticModel):
        name: str

    for name in ("__sql__", "_sql", "__ff_nothing__", 'x"; --'):
        with pytest.raises(AttributeError):
            getattr(Product, name)


@pytest.mark.parametrize(
    "name", ["copy", "json", "dict", "schema", "model_dump", "model_fields", "field", "table_name"]
)
def test_fields_named_like_attributes_of_every_model_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Probe\.{name}: every model has an attribute.*db_column=\"{name}\""):
        make(__annotations__={name: str})


def test_class_variables_and_methods_may_be_named_so() -> None:
    class Probe(PydanticModel):
        schema: ClassVar[str] = "x"
        model_number: str = ""

    assert Probe.schema == "x"
    assert Probe(model_number="7").model_number == "7"


# --- tenancy, soft delete, versions


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (UUID, types.Uuid()),
        (int, types.Integer()),
        (str, types.Text()),
        (int | None, types.Integer()),
        (dt.date, types.Date()),
        (enum.Enum("Region", {"EU": "eu"}), types.Text(2)),
    ],
    ids=str,
)
def test_the_tenant_field_has_any_name_and_scalar_type(annotation: Any, expected: types.ColumnType) -> None:
    model = make(__tenant_field__="org", __annotations__={"org": annotation})
    table = table_of(model)
    assert table.tenant == "org"
    assert table.by_name["org"].type == expected
    assert not table.by_name["org"].nullable
    assert table.primary_key == ("org", "id")
    assert "tenant_id" not in table.by_name


def test_an_undeclared_tenant_field_is_added_as_a_uuid_that_waits_for_the_scope() -> None:
    model = make(__tenant_field__="org_id")
    assert table_of(model).by_name["org_id"].type == types.Uuid()
    instance = model()
    assert instance.org_id is None
    assert instance.model_dump()["org_id"] is None
    assert model.model_validate(instance.model_dump()) == instance


def test_a_declared_tenant_of_another_column_leads_the_key() -> None:
    model = make(__annotations__={"tenant_id": int}, tenant_id=Field(db_column="tenant"))
    assert (table_of(model).tenant, table_of(model).primary_key) == ("tenant", ("tenant", "id"))


@pytest.mark.parametrize("annotation", [dict[str, int], list[str], Any, set[int]], ids=str)
def test_a_tenant_of_no_scalar_type_is_refused(annotation: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Probe\.org: a tenant is one plain value"):
        make(__tenant_field__="org", __annotations__={"org": annotation})


def test_a_tenant_is_never_null() -> None:
    with pytest.raises(ConfigurationError, match="a tenant is never NULL"):
        make(__annotations__={"tenant_id": UUID}, tenant_id=Field(db_nullable=True))


def test_a_tenant_field_that_is_no_field_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Probe has no field 'org'"):
        make(__tenant_field__="org", __annotations__={"org": ClassVar[int]})


def test_a_version_column_is_added_or_taken_as_declared() -> None:
    added = make(__version_column__="revision")
    assert (table_of(added).version, table_of(added).by_name["revision"].type) == ("revision", types.Integer())
    assert added().revision == 1
    declared = make(__version_column__="revision", __annotations__={"revision": int}, revision=Field(default=0, ge=0))
    assert declared().revision == 0
    assert table_of(declared).by_name["revision"].injected


@pytest.mark.parametrize("annotation", [str, int | None, float], ids=str)
def test_a_version_column_is_an_integer(annotation: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Probe\.revision: must be an int"):
        make(__version_column__="revision", __annotations__={"revision": annotation})


@pytest.mark.parametrize("annotation", [str | None, dt.datetime, dt.date | None], ids=str)
def test_a_declared_deleted_at_must_serve_soft_delete(annotation: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Probe\.deleted_at: must be a datetime or None"):
        make(__annotations__={"deleted_at": annotation})
    assert table_of(make(__soft_delete__=False, __annotations__={"deleted_at": annotation})).deleted_at is None


# --- inheritance of settings


def test_settings_are_inherited_and_columns_follow_each_class() -> None:
    class Base(PydanticModel):
        __abstract__ = True
        __schema__ = "app"
        __tenant_field__ = "org_id"
        org_id: int

    class Kept(Base):
        pass

    class Free(Kept):
        __multi_tenant__ = False
        __soft_delete__ = False

    class Back(Free):
        __soft_delete__ = True

    assert (table_of(Kept).schema, table_of(Kept).tenant) == ("app", "org_id")
    assert (table_of(Free).tenant, table_of(Free).deleted_at) == (None, None)
    assert "deleted_at" not in Free.model_fields
    assert "org_id" in Free.model_fields  # declared, so it stays: an ordinary column now
    assert table_of(Back).deleted_at == "deleted_at"
    assert Back(org_id=1).deleted_at is None


def test_a_subclass_may_move_the_tenant() -> None:
    class Product(PydanticModel):
        pass

    class Owned(Product):
        __tenant_field__ = "owner_id"

    assert list(table_of(Owned).primary_key) == ["owner_id", "id"]
    assert "tenant_id" not in Owned.model_fields


def test_an_abstract_class_has_no_table_and_no_added_fields() -> None:
    class Base(PydanticModel):
        __abstract__ = True
        name: str

    class Product(Base):
        pass

    assert list(Base.model_fields) == ["name"]
    assert next(iter(Product.model_fields)) == "name"
    with pytest.raises(ConfigurationError, match="Base has no table: it is abstract"):
        Base.table_name()
    with pytest.raises(AttributeError, match=r"Base\.name is no column: it is abstract"):
        _ = Base.name
    assert repr(Product.name) == "Product.name"


def test_a_table_name_is_inherited_from_abstract_classes_and_mixins_only() -> None:
    class Named(PydanticModel):
        __abstract__ = True
        __table_name__ = "things"

    class First(Named):
        pass

    class Second(First):
        pass

    class Mixin:
        __table_name__ = "others"

    class Third(Mixin, PydanticModel):
        pass

    assert (First.table_name(), Second.table_name(), Third.table_name()) == ("things", "seconds", "others")


# --- wrong settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("__soft_delete__", "yes"),
        ("__soft_delete__", None),
        ("__multi_tenant__", 1),
        ("__abstract__", "true"),
        ("__db_type__", 5),
        ("__temporal_strategy__", None),
        ("__temporal_strategy__", ["none"]),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Probe\.{setting} must be"):
        make(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("__tablename__", "__table_name__"),
        ("__table__", "__table_name__"),
        ("__softdelete__", "__soft_delete__"),
        ("__soft_deletes__", "__soft_delete__"),
        ("__multitenant__", "__multi_tenant__"),
        ("__tennant_field__", "__tenant_field__"),
        ("__temporal_stratgy__", "__temporal_strategy__"),
        ("__schemas__", "__schema__"),
        ("__abstact__", "__abstract__"),
        ("__version_colum__", "__version_column__"),
    ],
)
def test_a_misspelled_setting_is_refused_with_the_nearest(setting: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Probe has no setting {setting}; did you mean {meant}"):
        make(**{setting: "x"})


def test_other_dunder_names_are_left_alone() -> None:
    class Probe(PydanticModel):
        """Documented."""

        __hash__ = object.__hash__
        __match_args__ = ("name",)
        __ai_extraction__ = True
        __version__ = "3"
        name: str = ""

        def __str__(self) -> str:
            return self.name

        def __lt__(self, other: object) -> bool:
            return True

    assert str(Probe(name="x")) == "x"


@pytest.mark.parametrize("strategy", ["copy_on_change", "scd2"])
def test_a_strategy_of_a_missing_part_names_the_distribution(strategy: str) -> None:
    with pytest.raises(MissingDistributionError, match="ff-storage-temporal"):
        make(__temporal_strategy__=strategy)


def test_an_unknown_strategy_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'copy_on_chnge'.*did you mean 'copy_on_change'"):
        make(__temporal_strategy__="copy_on_chnge")


def test_no_history_asks_no_plugin() -> None:
    code = (
        "import sys; from ff_storage import PydanticModel\n"
        "class Product(PydanticModel): name: str\n"
        "assert Product.get_temporal_strategy() == 'none'\n"
        "assert 'pluggy' not in sys.modules, 'plugins were loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_extra_values_need_a_column() -> None:
    with pytest.raises(ConfigurationError, match="extra='allow'"):
        make(model_config=ConfigDict(extra="allow"))
    assert make(model_config=ConfigDict(extra="forbid"))


def test_a_root_model_has_no_columns() -> None:
    with pytest.raises(ConfigurationError, match="root model"):
        type(PydanticModel)("Probe", (PydanticModel, RootModel[int]), {"__module__": __name__})


def test_a_class_that_was_refused_leaves_nothing_behind() -> None:
    with pytest.raises(ConfigurationError):
        make("Refused", __annotations__={"x": complex})

    class Other(PydanticModel):
        __table_name__ = "refuseds"
        refused_id: UUID = Field(db_foreign_key="refuseds(id)")

    assert Other.table_name() == "refuseds"


# --- helpers


def test_helpers_tell_the_fields_apart() -> None:
    class Product(PydanticModel):
        __version_column__ = "revision"
        name: str = PydanticField(max_length=5)
        price: int = 0
        author: "Product | None" = Relationship()

    assert Product.get_base_fields() == {"id", "created_at", "updated_at", "created_by", "updated_by"}
    assert Product.get_system_fields() == Product.get_base_fields() | {
        "tenant_id", "deleted_at", "deleted_by", "revision",
    }  # fmt: skip
    assert list(Product.get_user_fields()) == ["name", "price"]
    assert Product.get_temporal_strategy() == "none"
    assert (Product.get_temporal_fields(), Product.get_temporal_indexes(), Product.get_auxiliary_tables()) == (
        {},
        (),
        (),
    )


def test_field_gives_the_one_expression_of_a_column() -> None:
    class Product(PydanticModel):
        price: int

    assert Product.field("price") is Product.price
    assert Product.price is Product.__ff_entity__.column("price")
    with pytest.raises(ValueError, match="Product has no field 'prize'; did you mean 'price'"):
        Product.field("prize")
    with pytest.raises(AttributeError, match="Product has no field 'prize'; did you mean 'price'"):
        _ = Product.prize


def test_update_timestamp_sets_now() -> None:
    class Product(PydanticModel):
        pass

    product = Product()
    before = product.updated_at
    product.update_timestamp()
    assert product.updated_at > before
    assert product.updated_at.tzinfo is dt.UTC
    assert product.created_at.utcoffset() == dt.timedelta(0)
