"""The registry: replacing, conflicts, names as seen from a class, and classes that are gone."""

import gc
import weakref
from typing import Any
from uuid import UUID

import pytest
from pydantic import create_model

from ff_storage import Field, PydanticModel, Relationship
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.model import registry


def make(name: str, module: str, qualname: str | None = None, /, **namespace: Any) -> Any:
    body = {"__module__": module, "__qualname__": qualname or name, "__annotations__": {}, **namespace}
    return type(PydanticModel)(name, (PydanticModel,), body)


@pytest.fixture
def scoped() -> Any:
    with registry.scoped() as own:
        yield own


@pytest.mark.usefixtures("scoped")
def test_a_class_defined_again_replaces_itself() -> None:
    first = make("Product", "notebook")
    second = make("Product", "notebook", __annotations__={"name": str})
    found = first.__ff_entity__.registry.entities()
    assert [entity.model for entity in found] == [second]


@pytest.mark.usefixtures("scoped")
def test_references_follow_a_class_that_was_defined_again() -> None:
    first = make("Author", "notebook")
    post = make("Post", "notebook", __annotations__={"author_id": UUID}, author_id=Field(db_foreign_key="authors(id)"))
    assert [entity.model for entity, _ in first.__ff_entity__.referenced_by()] == [post]
    again = make("Author", "notebook", __annotations__={"name": str})
    assert [entity.model for entity, _ in again.__ff_entity__.referenced_by()] == [post]
    third = make("Author", "notebook", __annotations__={"id": int})
    with pytest.raises(ConfigurationError, match="author_id to be of the type"):
        _ = post.__ff_entity__.table
    assert third


@pytest.mark.usefixtures("scoped")
@pytest.mark.parametrize("table", ["products", "PRODUCTS"])
def test_two_classes_on_one_table_are_refused(table: str) -> None:
    first = make("Product", "shop.models")
    with pytest.raises(ConfigurationError, match=rf"Article and shop\.models\.Product are both on the table '{table}'"):
        make("Article", "other.models", __table_name__=table)
    assert [entity.model for entity in first.__ff_entity__.registry.entities()] == [first]


def test_two_classes_of_one_function_on_one_table_are_refused() -> None:
    class Product(PydanticModel):
        pass

    with pytest.raises(ConfigurationError, match="both on the table 'products'"):

        class Article(PydanticModel):
            __table_name__ = "products"

    assert Product


@pytest.mark.usefixtures("scoped")
def test_tables_of_different_schemas_are_different() -> None:
    first, second = make("Product", "shop"), make("Item", "shop", __table_name__="products", __schema__="archive")
    assert len(first.__ff_entity__.registry.entities()) == 2
    assert second


@pytest.mark.usefixtures("scoped")
def test_an_abstract_class_takes_no_table() -> None:
    base = make("Base", "shop", __abstract__=True, __table_name__="products")
    assert make("Product", "shop")
    assert base


def test_a_class_that_nobody_holds_is_gone() -> None:
    def define() -> "weakref.ref[Any]":
        class Passing(PydanticModel):
            other_id: UUID | None = Field(default=None, db_foreign_key="passings(id)")
            other: "Passing | None" = Relationship()

        assert Passing.__ff_entity__.table
        assert Passing.__ff_entity__.referenced_by()
        _ = Passing.other_id, Passing().model_dump_for_db()
        return weakref.ref(Passing)

    with registry.scoped() as own:
        reference = define()
        gc.collect()
        assert reference() is None
        assert own.entities() == []


@pytest.mark.usefixtures("scoped")
def test_a_table_is_free_when_its_class_is_gone() -> None:
    def define(name: str) -> None:
        make(name, "shop", __table_name__="products")

    define("Product")
    define("Article")


def test_classes_of_different_functions_do_not_meet() -> None:
    def one() -> Any:
        class Author(PydanticModel):
            pass

        class Post(PydanticModel):
            author_id: UUID
            author: Author = Relationship()

        return Author, Post

    def other() -> Any:
        class Author(PydanticModel):
            id: int

        class Post(PydanticModel):
            author_id: int = Field(db_foreign_key="authors(id)")
            author: "Author" = Relationship()

        return Author, Post

    (first_author, first_post), (second_author, second_post) = one(), other()
    assert [entity.model for entity, _ in first_author.__ff_entity__.referenced_by()] == [first_post]
    assert [entity.model for entity, _ in second_author.__ff_entity__.referenced_by()] == [second_post]
    assert second_post.author.config.target.model is second_author


class RegistryOuter(PydanticModel):
    __table_name__ = "registry_outers"


def test_a_function_sees_the_classes_around_it_and_hides_those_of_one_table() -> None:
    class Inside(PydanticModel):
        outer_id: UUID = Field(db_foreign_key="registry_outers(id)")

    def nested() -> Any:
        class Deep(PydanticModel):
            inside_id: UUID = Field(db_foreign_key="insides(id)")
            outer_id: UUID = Field(db_foreign_key="registry_outers(id)")

        return Deep

    assert Inside.__ff_entity__.table.foreign_keys[0].target_table == "registry_outers"
    deep = nested()
    assert [entity.model for entity, _ in Inside.__ff_entity__.referenced_by()] == [deep]
    before = len(RegistryOuter.__ff_entity__.referenced_by())

    def hiding() -> Any:
        class Hidden(PydanticModel):
            __table_name__ = "registry_outers"

        class User(PydanticModel):
            outer_id: UUID = Field(db_foreign_key="registry_outers(id)")

        return Hidden, User

    hidden, user = hiding()
    assert [entity.model for entity, _ in hidden.__ff_entity__.referenced_by()] == [user]
    assert len(RegistryOuter.__ff_entity__.referenced_by()) == before


def test_a_local_class_is_not_seen_from_outside() -> None:
    def local() -> Any:
        class OnlyHere(PydanticModel):
            pass

        return OnlyHere

    held = local()

    class Elsewhere(PydanticModel):
        here_id: UUID = Field(db_foreign_key="only_heres(id)")

    with pytest.raises(ConfigurationError, match="no model has it"):
        _ = Elsewhere.__ff_entity__.table
    assert held


@pytest.mark.usefixtures("scoped")
def test_an_ambiguous_name_is_refused_unless_one_is_nearer_or_it_is_full() -> None:
    one = make("Post", "blog.models", __table_name__="blog_posts")
    two = make("Post", "forum.models", __table_name__="forum_posts")
    ids = {"__annotations__": {"post_id": UUID, "post": "Post"}, "post": Relationship()}
    far = make("Far", "app.models", **ids)
    with pytest.raises(
        ConfigurationError, match=r"a model 'Post', and there are 2: blog\.models\.Post, forum\.models\.Post"
    ):
        _ = far.post.config
    near = make("Near", "blog.models", **ids)
    assert near.post.config.target.model is one
    ids["__annotations__"] = {"post_id": UUID, "post": "forum.models.Post"}
    full = make("Full", "app.models", **{**ids, "post": Relationship()})
    assert full.post.config.target.model is two


@pytest.mark.usefixtures("scoped")
def test_resolve_reports_the_first_reference_to_nothing() -> None:
    good = make("Good", "shop")
    bad = make("Bad", "shop", __annotations__={"x_id": UUID}, x_id=Field(db_foreign_key="nothing(id)"))
    registry.resolve(good)
    with pytest.raises(ConfigurationError, match="nothing"):
        registry.resolve()
    with pytest.raises(ConfigurationError, match="nothing"):
        registry.resolve(good, bad)


@pytest.mark.usefixtures("scoped")
def test_names_of_indexes_and_constraints_are_each_one_tables() -> None:
    first = make(
        "Stock", "shop", __table_name__="stock", __annotations__={"item_id": int}, item_id=Field(db_index=True)
    )
    second = make(
        "StockItem", "shop", __table_name__="stock_item", __annotations__={"id": int}, id=Field(db_index=True)
    )
    with pytest.raises(
        ConfigurationError, match="Stock and StockItem both have an index or constraint named 'idx_stock_item_id'"
    ):
        registry.resolve(first, second)
    registry.resolve(second)
    third = make(
        "Other",
        "shop",
        __table_name__="stock_item",
        __schema__="far",
        __annotations__={"id": int},
        id=Field(db_index=True),
    )
    registry.resolve(first, third)


def test_a_scoped_registry_knows_only_its_own() -> None:
    with registry.scoped() as own:
        model = create_model("RegistryOuter", __base__=PydanticModel, __module__="elsewhere")
        assert [entity.model for entity in own.entities()] == [model]
        assert registry.current() is own
    assert registry.current() is not own
    assert model.__ff_entity__.registry is own
