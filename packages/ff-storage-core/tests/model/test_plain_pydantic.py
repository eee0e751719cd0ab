"""A model is a Pydantic model in every respect: what Pydantic promises holds for subclasses of PydanticModel too."""

import copy
import inspect
import pickle
import pydoc
import threading
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from unittest.mock import create_autospec
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)

from ff_storage import Field, PydanticModel, Relationship
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.model.registry import scoped
from ff_storage.core.sql.expressions import ColumnRef

T = TypeVar("T")


class PlainProduct(PydanticModel):
    name: str
    price: int = 0
    tags: list[str] = Field(default_factory=list)
    _note: str = PrivateAttr(default="")


class PlainLater(PydanticModel):
    later: "PlainDefinedLater | None" = None
    children: list["PlainLater"] = Field(default_factory=list)


class PlainDefinedLater(BaseModel):
    x: int


def test_class_access_gives_expressions_and_instance_access_values() -> None:
    assert isinstance(PlainProduct.price, ColumnRef)
    assert PlainProduct.price is PlainProduct.price
    product = PlainProduct(name="a", price=3)
    assert (product.name, product.price, product.tags) == ("a", 3, [])
    assert isinstance(product.id, UUID)
    assert not hasattr(PlainProduct, "nothing")
    assert not hasattr(product, "nothing")
    assert PlainProduct.__private_attributes__["_note"].default == ""


def test_overrides_keep_required_fields_required_and_warn_nothing() -> None:
    class Base(PydanticModel):
        __abstract__ = True
        name: str
        size: int

    class Narrow(Base):
        size: bool

    class Deeper(Narrow):
        name: str = "x"
        price: Annotated[int, Field(ge=0)]

    assert Narrow.model_fields["name"].is_required()
    assert Narrow.model_fields["size"].is_required()
    assert Narrow.model_fields["size"].annotation is bool
    assert Deeper.model_fields["price"].is_required()
    assert Deeper(size=True, price=1).name == "x"
    assert Deeper.size is not Narrow.size


def test_overriding_a_field_of_a_class_with_expressions() -> None:
    assert isinstance(PlainProduct.price, ColumnRef)

    class Dearer(PlainProduct):
        price: int

    assert Dearer.model_fields["price"].is_required()
    assert isinstance(Dearer.price, ColumnRef)
    assert Dearer.price is not PlainProduct.price


def test_the_other_classes_answer_while_one_is_made() -> None:
    seen: list[Any] = []

    class Watching(PlainProduct):
        __table_name__ = "watchings"

        @classmethod
        def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
            super().__pydantic_init_subclass__(**kwargs)
            seen.append(PlainLater.children)

    class Watched(Watching):
        pass

    assert seen == [PlainLater.children] or isinstance(seen[0], ColumnRef)
    assert Watched


def test_mixins_abc_and_multiple_inheritance() -> None:
    class Stamp:
        stamp: int = 7

        def shout(self) -> str:
            return "!"

    class Shape(PydanticModel, ABC):
        __abstract__ = True
        sides: int

        @abstractmethod
        def area(self) -> float: ...

    class Square(Stamp, Shape):
        edge: float

        def area(self) -> float:
            return self.edge**2

    square = Square(sides=4, edge=2.0)
    assert (square.area(), square.stamp, square.shout()) == (4.0, 7, "!")
    assert {"stamp", "sides", "edge"} <= Square.model_fields.keys()
    with pytest.raises(TypeError, match="abstract"):
        Shape(sides=3)


def test_a_plain_model_may_share_its_fields_with_a_table() -> None:
    class ProductBase(BaseModel):
        name: str = Field(max_length=20, db_unique=True)
        code: int = Field(db_primary_key=True)

    class Product(ProductBase, PydanticModel):
        stock: int = 0

    class ProductOut(ProductBase):
        pass

    table = Product.__ff_entity__.table
    assert table.identity == ("code",)
    assert any(index.name == "uq_products_name" for index in table.indexes)
    assert ProductOut.model_validate(Product(name="a", code=1), from_attributes=True).model_dump() == {
        "name": "a",
        "code": 1,
    }


def test_a_class_may_have_two_parents_with_tables() -> None:
    class Left(PydanticModel):
        left: int = 1

    class Right(PydanticModel):
        __soft_delete__ = False
        right: int = 2

    class Both(Left, Right):
        pass

    table = Both.__ff_entity__.table
    assert (table.name, table.deleted_at) == ("boths", "deleted_at")
    assert (Both().left, Both().right) == (1, 2)


def test_class_keywords_and_attribute_docstrings_are_pydantics() -> None:
    class Documented(PydanticModel, extra="forbid", use_attribute_docstrings=True):
        name: str
        """The name."""

    assert Documented.model_fields["name"].description == "The name."
    with pytest.raises(ValidationError, match="extra"):
        Documented(name="a", other=1)
    with pytest.raises(ConfigurationError, match="extra='allow'"):

        class Open(PydanticModel, extra="allow"):
            pass


def test_the_base_itself_has_no_table() -> None:
    with pytest.raises(ConfigurationError, match="PydanticModel has no table: it is abstract"):
        PydanticModel.table_name()
    assert not hasattr(PydanticModel, "id")


def test_generics_have_tables_when_their_parameters_are_given() -> None:
    class Box(PydanticModel, Generic[T]):
        value: T

    class IntBox(Box[int]):
        pass

    class TextBox(Box[str]):
        label: str = ""

    assert IntBox(value=3).value == 3
    with pytest.raises(ValidationError):
        IntBox(value="x")
    assert IntBox.table_name() == "int_boxes"
    assert TextBox.__ff_entity__.table.by_name["value"].type.python is str
    assert Box[int](value=1).value == 1
    for generic in (Box, Box[int]):
        with pytest.raises(ConfigurationError, match="has no table: it is"):
            generic.table_name()


def test_create_model() -> None:
    made = create_model("PlainMade", __base__=PlainProduct, size=(int, Field(gt=0)))
    assert made(name="a", size=1).price == 0
    assert made.__ff_entity__.table.name == "plain_mades"
    assert isinstance(made.size, ColumnRef)


def test_pickle_copy_and_deepcopy() -> None:
    product = PlainProduct(name="a", tags=["x"])
    product._note = "private"
    for made in (
        pickle.loads(pickle.dumps(product)),
        copy.copy(product),
        copy.deepcopy(product),
        product.model_copy(),
        product.model_copy(deep=True),
    ):
        assert made == product
        assert made._note == "private"
        assert made.model_fields_set == {"name", "tags"}
    assert copy.copy(product).tags is product.tags
    assert copy.deepcopy(product).tags is not product.tags


def test_the_loaded_row_travels_and_is_no_part_of_the_value() -> None:
    product = PlainProduct(name="a")
    assert not hasattr(product, "__ff_row__")
    row = ("plan", (1, 2))
    PlainProduct.__ff_row__.__set__(product, row)  # the slot, as the constructor of loaded rows sets it
    for made in (
        copy.copy(product),
        copy.deepcopy(product),
        product.model_copy(update={"price": 5}),
        product.model_copy(deep=True),
    ):
        assert made.__ff_row__ == row
    assert not hasattr(pickle.loads(pickle.dumps(product)), "__ff_row__")
    plain = PlainProduct.model_validate(product.model_dump())
    assert plain == product
    assert not hasattr(plain, "__ff_row__")
    assert "ff_row" not in f"{product!r}{product.model_dump()}{product.model_dump_json()}{dict(product)}"


def test_forward_references_are_resolved_as_pydantic_does() -> None:
    assert PlainLater(later=PlainDefinedLater(x=1), children=[PlainLater()]).later == PlainDefinedLater(x=1)
    assert isinstance(PlainLater.later, ColumnRef)
    assert PlainLater.__ff_entity__.table.by_name["later"].nullable


def test_a_local_forward_reference_waits_for_model_rebuild() -> None:
    class Holder(PydanticModel):
        item: "LocalItem"

    with pytest.raises(ConfigurationError, match="'LocalItem', which is not defined"):
        _ = Holder.item

    class LocalItem(BaseModel):
        x: int

    Holder.model_rebuild()
    assert Holder(item=LocalItem(x=1)).item.x == 1
    assert isinstance(Holder.item, ColumnRef)


def test_a_name_of_the_enclosing_function_is_found() -> None:
    class Inner(BaseModel):
        x: int

    class Holder(PydanticModel):
        item: "Inner"
        items: "list[Inner]" = Field(default_factory=list)

    assert Holder(item=Inner(x=1)).item.x == 1


def test_what_is_wrong_is_reported_once_the_forward_reference_is_known() -> None:
    with scoped():  # or it would be reported by whatever asks for every model, until the class is collected

        class Holder(PydanticModel):
            item: "LocalItem"

        class LocalItem:
            pass

        with pytest.raises(ConfigurationError, match=r"Holder\.item: no column type for LocalItem"):
            Holder.model_rebuild()


def test_validators_aliases_computed_and_cached_fields() -> None:
    class Order(PydanticModel):
        model_config = ConfigDict(str_strip_whitespace=True)
        number: str = Field(validation_alias=AliasChoices("no", "nr"), serialization_alias="No")
        amount: int

        @field_validator("amount")
        @classmethod
        def _positive(cls, value: int) -> int:
            if value < 0:
                raise ValueError("negative")
            return value

        @model_validator(mode="after")
        def _checked(self) -> "Order":
            return self

        @computed_field
        @property
        def double(self) -> int:
            return self.amount * 2

        @cached_property
        def triple(self) -> int:
            return self.amount * 3

    order = Order(nr=" 7 ", amount=2)
    assert (order.number, order.double, order.triple) == ("7", 4, 6)
    assert order.model_dump(by_alias=True)["No"] == "7"
    assert order.model_dump()["double"] == 4
    assert "double" not in order.model_dump_for_db()
    assert "double" not in Order.__ff_entity__.table.by_name
    assert Order.__ff_entity__.table.by_attribute["number"].name == "number"
    with pytest.raises(ValidationError, match="negative"):
        order.amount = -1
    with pytest.raises(ValidationError):
        Order(number="1", amount="x")


def test_frozen_models_hash() -> None:
    class Fixed(PydanticModel):
        model_config = ConfigDict(frozen=True)
        name: str

    fixed = Fixed(name="a")
    assert hash(fixed) == hash(fixed.model_copy())
    with pytest.raises(ValidationError, match="frozen"):
        fixed.name = "b"


def test_the_class_can_be_inspected() -> None:
    assert "name: str" in str(inspect.signature(PlainProduct))
    assert dict(inspect.getmembers(PlainProduct))["table_name"]
    assert "PlainProduct" in pydoc.render_doc(PlainProduct)
    assert create_autospec(PlainProduct, instance=True).table_name
    assert typing.get_type_hints(PlainProduct)["name"] is str
    assert callable(PlainProduct.model_json_schema)
    assert TypeAdapter(PlainProduct).validate_python({"name": "a"}).name == "a"
    assert TypeAdapter(list[PlainProduct]).json_schema()


def test_published_configuration() -> None:
    config = PydanticModel.model_config
    assert config.get("from_attributes")
    assert config.get("validate_assignment")
    assert config.get("populate_by_name")

    class Source:
        name = "a"
        price = 2

    assert PlainProduct.model_validate(Source()).price == 2
    product = PlainProduct(name="a")
    with pytest.raises(ValidationError):
        product.price = "x"


def test_class_variables_and_methods_are_untouched() -> None:
    class Shop(PydanticModel):
        limit: ClassVar[int] = 3
        Callback: ClassVar[Callable[[], int]] = lambda: 4
        name: str = ""

        class Nested(BaseModel):
            x: int = 1

        def describe(self) -> str:
            return f"{self.name}:{self.limit}"

    assert (Shop.limit, Shop.Nested().x, Shop(name="a").describe()) == (3, 1, "a:3")


def test_json_schema_is_pydantics() -> None:
    schema = PlainProduct.model_json_schema()
    assert schema["required"] == ["name"]
    assert list(schema["properties"]) == list(PlainProduct.model_fields)
    assert schema["properties"]["tenant_id"]["anyOf"] == [{"format": "uuid", "type": "string"}, {"type": "null"}]


def test_models_are_made_in_several_threads_at_once() -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                made = create_model(f"Threaded{number}x{step}", __base__=PlainProduct, size=(int, 0))
                assert isinstance(made.size, ColumnRef)
                assert isinstance(PlainProduct.name, ColumnRef)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_pep_563_annotations_of_a_whole_module() -> None:
    source = (
        "from __future__ import annotations\n"
        "from typing import Annotated, ClassVar\n"
        "from uuid import UUID\n"
        "from ff_storage import Field, Many, PydanticModel, Relationship\n"
        "class FutureAuthor(PydanticModel):\n"
        "    limit: ClassVar[int] = 3\n"
        "    code: Annotated[str, Field(max_length=3, db_primary_key=True)]\n"
        "    posts: Many[FuturePost] = Relationship(back_populates='author')\n"
        "class FuturePost(PydanticModel):\n"
        "    author_id: str | None = Field(default=None, max_length=3)\n"
        "    author: FutureAuthor | None = Relationship(back_populates='posts')\n"
    )
    namespace: dict[str, Any] = {"__name__": "future_module"}
    import sys
    import types

    module = types.ModuleType("future_module")
    sys.modules["future_module"] = module
    try:
        exec(compile(source, "future_module.py", "exec"), module.__dict__)
        author, post = module.FutureAuthor, module.FuturePost
        assert author.__ff_entity__.table.identity == ("code",)
        assert "id" not in author.model_fields
        assert post.__ff_entity__.table.foreign_keys[0].target_columns == ("tenant_id", "code")
        assert author.posts.config.target.model is post
    finally:
        del sys.modules["future_module"]
    assert namespace


def test_dump_for_db_gives_canonical_values_by_column() -> None:
    class Item(PydanticModel):
        __multi_tenant__ = False
        __soft_delete__ = False
        name: str = Field(db_column="title")
        total: int | None = Field(default=None, db_generated="1")
        tags: set[str] = Field(default_factory=set)
        note: str | None = None
        other: "Item | None" = Relationship()

    values = Item(name="a", tags={"y", "x"}).model_dump_for_db()
    assert values["title"] == "a"
    assert values["tags"] == ["x", "y"]
    assert values["note"] is None
    assert not {"name", "total", "other"} & values.keys()
    assert "note" not in Item(name="a").model_dump_for_db(exclude_none=True)
