"""`Field`: what it requires, what it passes on, and what it refuses at once."""

import inspect
from decimal import Decimal
from typing import Annotated, Any

import pydantic
import pytest
from pydantic import BaseModel, ValidationError, create_model

from ff_storage import Field, PydanticModel
from ff_storage.core.errors import ConfigurationError, IdentifierError
from ff_storage.core.model.field import ColumnOptions, column_options
from ff_storage.core.tables import Action


def options_of(model: type[BaseModel], name: str) -> ColumnOptions:
    return column_options(model.model_fields[name])


def test_a_field_without_a_default_is_required() -> None:
    class Document(PydanticModel):
        title: str = Field(max_length=255)

    assert Document.model_fields["title"].is_required()
    with pytest.raises(ValidationError, match="title"):
        Document()
    assert not Document.__ff_entity__.table.by_name["title"].nullable


def test_a_default_is_given_by_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Field("draft")
    with pytest.raises(TypeError, match="both default and default_factory"):
        Field(default=1, default_factory=int)


def test_the_published_parameters_are_there() -> None:
    assert {
        "default", "default_factory", "description", "max_length", "min_length", "ge", "le", "gt", "lt",
        "db_type", "db_default", "db_nullable", "db_precision", "db_scale", "db_primary_key", "db_unique", "db_index",
        "db_index_type", "db_index_where", "db_foreign_key", "db_on_delete", "db_on_update", "db_check", "db_generated",
        "mock_pattern", "mock_generator", "mock_skip",
    } <= inspect.signature(Field).parameters.keys()  # fmt: skip


def test_pydantic_options_are_passed_on() -> None:
    class Product(PydanticModel):
        price: Decimal = Field(gt=0, max_digits=6, decimal_places=2, description="net", alias="netPrice")
        code: str = Field(default="A1", pattern=r"^[A-Z]\d$", validate_default=True, title="Code", frozen=True)

    product = Product(netPrice=Decimal("1.50"))
    assert product.price == Decimal("1.50")
    assert Product.model_fields["price"].description == "net"
    assert Product.model_fields["code"].title == "Code"
    with pytest.raises(ValidationError, match="frozen"):
        product.code = "B2"
    with pytest.raises(ValidationError, match="decimal_max_places"):
        Product(price=Decimal("1.555"))


def test_options_survive_annotated_inheritance_and_create_model() -> None:
    code_text = Annotated[str, Field(max_length=8, db_index=True, db_column="code_text")]

    class Base(PydanticModel):
        __abstract__ = True
        code: code_text

    class Item(Base):
        name: Annotated[str, Field(db_unique=True), pydantic.Field(description="shown")]

    made = create_model("MadeItem", __base__=Item, size=(int, Field(db_index=True)))
    for model in (Item, made):
        assert options_of(model, "code").column == "code_text"
        assert options_of(model, "code").index
        assert options_of(model, "name").unique is True
    assert options_of(made, "size").index
    assert Item.model_fields["name"].description == "shown"
    assert Item.__ff_entity__.table.by_name["code_text"].type.max_length == 8


def test_the_assigned_field_wins_over_annotated_and_the_outer_over_the_inner() -> None:
    code_text = Annotated[str, Field(db_index=True, db_column="inner", db_default="'x'")]

    class Item(PydanticModel):
        assigned: code_text = Field(db_column="outer_1")
        nested: Annotated[code_text, Field(db_column="outer_2")]

    assert options_of(Item, "assigned").column == "outer_1"
    assert options_of(Item, "nested").column == "outer_2"
    assert options_of(Item, "assigned").default == options_of(Item, "nested").default == "'x'"
    assert options_of(Item, "assigned").index


def test_options_in_json_schema_extra_are_honored_and_weigh_least() -> None:
    class Item(PydanticModel):
        code: str = Field(
            json_schema_extra={"db_index": True, "db_index_name": "by_code", "db_column": "a", "example": "x"},
            db_column="b",
        )

    options = options_of(Item, "code")
    assert (options.index, options.index_name, options.column) == (True, "by_code", "b")
    assert Item.model_json_schema()["properties"]["code"]["example"] == "x"


def test_a_wrong_option_in_json_schema_extra_names_the_field() -> None:
    with pytest.raises(ConfigurationError, match=r"Item\.code.*db_indx.*db_index"):

        class Item(PydanticModel):
            code: str = Field(json_schema_extra={"db_indx": True})


def test_mock_options_are_carried() -> None:
    def generate(faker: Any) -> str:
        return str(faker)

    class Item(PydanticModel):
        code: str = Field(mock_pattern="email", mock_generator=generate, mock_skip=True)

    options = options_of(Item, "code")
    assert (options.mock_pattern, options.mock_generator, options.mock_skip) == ("email", generate, True)


def test_actions_have_the_published_defaults() -> None:
    assert ColumnOptions.of({}).on_delete is Action.RESTRICT
    assert ColumnOptions.of({}).on_update is Action.CASCADE
    assert ColumnOptions.of({"db_on_delete": "SET NULL"}).on_delete is Action.SET_NULL


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("db_type", ""),
        ("db_type", 5),
        ("db_type", "text\0"),
        ("db_default", 0),
        ("db_nullable", "yes"),
        ("db_precision", 0),
        ("db_precision", True),
        ("db_scale", -1),
        ("db_scale", 1.5),
        ("db_primary_key", 1),
        ("db_unique", "tenant"),
        ("db_unique", 1),
        ("db_index", "btree"),
        ("db_index_type", "b-tree"),
        ("db_index_where", "  "),
        ("db_index_columns", "name"),
        ("db_index_columns", []),
        ("db_index_columns", ["a", "a"]),
        ("db_foreign_key", 5),
        ("db_foreign_key", ""),
        ("db_foreign_key", "authors id"),
        ("db_foreign_key", "authors(id); DROP TABLE x"),
        ("db_foreign_key", "a.b.authors(id)"),
        ("db_foreign_key", "authors(id, name)"),
        ("db_foreign_key", "authоrs(id)"),
        ("db_on_delete", "cascade"),
        ("db_on_delete", None),
        ("db_on_update", "SET DEFAULT"),
        ("db_check", b"x > 0"),
        ("db_generated", True),
        ("mock_generator", "email"),
        ("mock_skip", None),
    ],
)
def test_a_wrong_value_is_refused_where_it_is_written(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        Field(**{option: value})


@pytest.mark.parametrize("option", ["db_column", "db_index_name"])
@pytest.mark.parametrize("name", ['a"b', "a b", "", "1a", "a" * 64, "tіtle", "x; DROP TABLE y", 5])
def test_a_name_must_be_an_identifier(option: str, name: Any) -> None:
    with pytest.raises(IdentifierError, match=option):
        Field(**{option: name})
    if option == "db_column":
        with pytest.raises(IdentifierError):
            Field(db_index_columns=[name])


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"db_uniqe.*did you mean 'db_unique'"):
        Field(db_uniqe=True)
    with pytest.raises(ConfigurationError, match=r"max_lenght.*did you mean 'max_length'"):
        Field(max_lenght=5)
