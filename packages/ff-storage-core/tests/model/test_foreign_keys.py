"""Foreign keys: what a reference names, the constraint it becomes, and what is refused."""

from typing import Any
from uuid import UUID

import pytest

from ff_storage import Field, PydanticModel, Relationship
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.model import registry
from ff_storage.core.tables import Action, ForeignKey, Index, Table


def table_of(model: Any) -> Table:
    table: Table = model.__ff_entity__.table
    return table


class Global(PydanticModel):
    __abstract__ = True
    __multi_tenant__ = False


def test_between_tenant_models_the_tenants_are_part_of_it() -> None:
    class Author(PydanticModel):
        name: str

    class Post(PydanticModel):
        author_id: UUID = Field(db_foreign_key="authors(id)", db_on_delete="CASCADE", db_on_update="CASCADE")

    assert table_of(Post).foreign_keys == (
        ForeignKey(
            "fk_posts_author_id",
            ("tenant_id", "author_id"),
            None,
            "authors",
            ("tenant_id", "id"),
            Action.CASCADE,
            Action.NO_ACTION,
        ),
    )
    assert Index("idx_posts_author_id", ("tenant_id", "author_id")) in table_of(Post).indexes


def test_a_reference_to_a_global_model_stays_single() -> None:
    class Airline(Global):
        carrier: str = Field(max_length=2, db_primary_key=True)

    class Flight(Global):
        carrier: str = Field(max_length=2, db_foreign_key="public.airlines(carrier)")

    class Booking(PydanticModel):
        carrier: str = Field(max_length=2, db_foreign_key="airlines")

    expected = ForeignKey(
        "fk_flights_carrier", ("carrier",), None, "airlines", ("carrier",), Action.RESTRICT, Action.CASCADE
    )
    assert table_of(Flight).foreign_keys == (expected,)
    assert table_of(Booking).foreign_keys[0].columns == ("carrier",)
    assert Index("idx_flights_carrier", ("carrier",)) in table_of(Flight).indexes


def test_set_null_clears_the_reference_and_never_the_tenant() -> None:
    class Author(PydanticModel):
        pass

    class Post(PydanticModel):
        author_id: UUID | None = Field(default=None, db_foreign_key="authors(id)", db_on_delete="SET NULL")

    (key,) = table_of(Post).foreign_keys
    assert (key.on_delete, key.set_null) == (Action.SET_NULL, ("author_id",))


@pytest.mark.parametrize("option", ["db_on_delete", "db_on_update"])
def test_set_null_on_a_column_that_is_not_null_is_refused(option: str) -> None:
    class Airline(Global):
        carrier: str = Field(db_primary_key=True)

    class Implied(Global):
        airline_id: str = Field(**{option: "SET NULL"})
        airline: Airline = Relationship()

    reason = "foreign key.* says SET NULL, and the column is NOT NULL"
    with pytest.raises(ConfigurationError, match=rf"Flight\.carrier: the {reason}"):

        class Flight(Global):
            carrier: str = Field(db_foreign_key="airlines(carrier)", **{option: "SET NULL"})

    with pytest.raises(ConfigurationError, match=rf"{reason}"):
        table_of(Implied)


def test_a_global_model_cannot_reference_a_tenants_row() -> None:
    class Author(PydanticModel):
        pass

    class Post(Global):
        author_id: UUID = Field(db_foreign_key="authors(id)")

    with pytest.raises(ConfigurationError, match=r"Post\.author_id goes to Author, which is multi-tenant"):
        table_of(Post)


def test_a_model_may_be_named_itself() -> None:
    class Author(PydanticModel):
        pass

    class Post(PydanticModel):
        author_id: UUID = Field(db_foreign_key=Author)
        parent_id: UUID | None = Field(default=None, db_foreign_key="posts(id)")

    assert [key.target_table for key in table_of(Post).foreign_keys] == ["authors", "posts"]

    class Wrong(PydanticModel):
        author_id: UUID = Field(db_foreign_key=int)

    with pytest.raises(ConfigurationError, match="int, which is no model with a table"):
        table_of(Wrong)


def test_a_reference_may_come_before_its_target() -> None:
    class Post(PydanticModel):
        author_id: UUID = Field(db_foreign_key="authors(id)")

    assert repr(Post.author_id) == "Post.author_id"
    with pytest.raises(ConfigurationError, match="names the table 'authors', and no model has it"):
        table_of(Post)

    class Author(PydanticModel):
        pass

    assert table_of(Post).foreign_keys[0].target_table == "authors"


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("autors(id)", r"the table 'autors', and no model has it; did you mean 'authors'"),
        ("hr.authors(id)", r"the table 'hr\.authors'"),
        ("authors(idd)", r"authors\(idd\), and Author has no such column; did you mean 'id'"),
        ("authors(name)", r"authors\(name\), which is not a key of Author: its key is \(id\)"),
        ("authors(email)", r"which is not a key of Author: it is unique among some rows only"),
    ],
)
def test_a_reference_to_nothing_is_refused(reference: str, reason: str) -> None:
    class Author(PydanticModel):
        name: str
        email: str = Field(db_unique=True)

    class Post(PydanticModel):
        author_id: UUID = Field(db_foreign_key=reference)

    with pytest.raises(ConfigurationError, match=rf"the foreign key of Post\.author_id .*{reason}"):
        registry.resolve(Post)


def test_a_reference_of_another_type_is_refused() -> None:
    class Author(PydanticModel):
        id: int

    class Post(PydanticModel):
        author_id: str = Field(db_foreign_key="authors(id)")

    class Small(PydanticModel):
        author_id: int = Field(db_foreign_key="authors(id)", db_type="smallint")

    with pytest.raises(
        ConfigurationError, match=r"Post\.author_id needs author_id to be of the type of Author\.id: Text and Integer"
    ):
        table_of(Post)
    with pytest.raises(ConfigurationError, match=r"Integer\(bits=16\) and Integer\(bits=64\)"):
        table_of(Small)


def test_tenants_of_different_types_are_refused() -> None:
    class Author(PydanticModel):
        tenant_id: int

    class Post(PydanticModel):
        author_id: UUID = Field(db_foreign_key="authors(id)")

    with pytest.raises(
        ConfigurationError,
        match=r"Post\.author_id needs tenant_id to be of the type of Author\.tenant_id: Uuid and Integer",
    ):
        table_of(Post)


def test_a_part_of_a_key_is_no_key() -> None:
    class Weather(Global):
        origin: str = Field(db_primary_key=True)
        hour: int = Field(db_primary_key=True)

    class Flight(Global):
        origin: str = Field(db_foreign_key="weather(origin)")

    class Other(Global):
        origin: str = Field(db_foreign_key="weather")

    with pytest.raises(ConfigurationError, match=r"not a key of Weather: its key is \(origin, hour\)"):
        table_of(Flight)
    with pytest.raises(ConfigurationError, match=r"Weather, whose key has several columns: origin, hour"):
        table_of(Other)


def test_a_unique_column_over_all_rows_is_a_key() -> None:
    class Plane(Global):
        __soft_delete__ = False
        tailnum: str = Field(max_length=6, db_unique=True, db_column="tail")

    class Flight(Global):
        tailnum: str | None = Field(default=None, max_length=6, db_foreign_key="planes(tail)")

    assert table_of(Flight).foreign_keys[0].target_columns == ("tail",)


def test_an_unqualified_table_is_looked_for_in_ones_own_schema_first() -> None:
    class Base(PydanticModel):
        __abstract__ = True
        __schema__ = "app"

    class Author(Base):
        pass

    class Editor(PydanticModel):
        pass

    class Post(Base):
        author_id: UUID = Field(db_foreign_key="authors(id)")
        editor_id: UUID = Field(db_foreign_key="editors(id)")
        again_id: UUID = Field(db_foreign_key="app.authors(id)")

    assert [key.target_schema for key in table_of(Post).foreign_keys] == ["app", None, "app"]


def test_a_foreign_key_column_gets_an_index_unless_one_leads_with_it() -> None:
    class Author(PydanticModel):
        pass

    class Post(PydanticModel):
        author_id: UUID = Field(db_foreign_key="authors(id)", db_index=True)
        editor_id: UUID = Field(db_foreign_key="authors(id)")

    class Detail(PydanticModel):
        id: UUID = Field(db_foreign_key="authors(id)")

    assert [index.name for index in table_of(Post).indexes] == [
        "idx_posts_author_id", "idx_posts_tenant_id_created", "idx_posts_editor_id",
    ]  # fmt: skip
    assert [index.name for index in table_of(Detail).indexes] == ["idx_details_tenant_id_created"]


def test_the_tenant_itself_may_reference_a_global_model() -> None:
    class Tenant(Global):
        name: str

    class Product(PydanticModel):
        tenant_id: UUID = Field(db_foreign_key="tenants(id)")

    (key,) = table_of(Product).foreign_keys
    assert (key.columns, key.target_columns) == (("tenant_id",), ("id",))


# --- constraints from relationships


def test_a_relationship_to_one_row_makes_the_constraint() -> None:
    class Author(PydanticModel):
        pass

    class Post(PydanticModel):
        author_id: UUID | None = Field(default=None, db_on_delete="SET NULL")
        author: "Author | None" = Relationship()
        checker: UUID
        reviewer: Author = Relationship(foreign_key="checker")

    keys = {key.name: key for key in table_of(Post).foreign_keys}
    assert keys["fk_posts_author_id"].columns == ("tenant_id", "author_id")
    assert keys["fk_posts_author_id"].on_delete is Action.SET_NULL
    assert keys["fk_posts_checker"].target_columns == ("tenant_id", "id")


def test_a_field_may_say_that_there_is_no_constraint() -> None:
    class Author(PydanticModel):
        pass

    class Post(PydanticModel):
        author_id: UUID = Field(db_foreign_key=None)
        author: Author = Relationship()

    assert table_of(Post).foreign_keys == ()
    assert Post.author.config.join == (("tenant_id", "tenant_id"), ("author_id", "id"))


def test_actions_without_a_constraint_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"Post\.author_id: db_on_delete and db_on_update are for foreign keys"
    ):

        class Post(PydanticModel):
            author_id: UUID = Field(db_foreign_key=None, db_on_delete="CASCADE")


# --- who references a table


def test_referenced_by_lists_every_constraint_to_a_table() -> None:
    class Author(PydanticModel):
        pass

    class Post(PydanticModel):
        author_id: UUID = Field(db_foreign_key="authors(id)")
        editor_id: UUID = Field(db_foreign_key=Author)

    class Note(PydanticModel):
        author_id: UUID
        author: Author = Relationship()

    class Other(PydanticModel):
        post_id: UUID = Field(db_foreign_key="posts(id)")

    entity = Author.__ff_entity__
    found = [(each.name, key.columns[-1]) for each, key in entity.referenced_by()]
    assert found == [("Post", "author_id"), ("Post", "editor_id"), ("Note", "author_id")]
    assert entity.registry.referencing(entity.table) == entity.referenced_by()
    assert [each.name for each, _ in Post.__ff_entity__.referenced_by()] == ["Other"]
    assert Other.__ff_entity__.referenced_by() == ()
