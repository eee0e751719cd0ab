"""Relationships are declared and resolved, and are never fields or columns."""

import copy
import pickle
from typing import Any, List, Optional  # noqa: UP035 - the old spellings are cases
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from ff_storage import Field, Many, One, PydanticModel, Relationship
from ff_storage.core.errors import ConfigurationError, RelationNotLoaded, UnknownFieldError
from ff_storage.core.model import registry
from ff_storage.core.model.relationship import RelationType


class RelAuthor(PydanticModel):
    name: str
    posts: list["RelPost"] = Relationship(back_populates="author")


class RelPost(PydanticModel):
    title: str
    rel_author_id: UUID = Field(db_foreign_key="rel_authors(id)")
    author: "RelAuthor" = Relationship(back_populates="posts", foreign_key="rel_author_id")


def loaded() -> RelAuthor:
    """An author whose posts were loaded, and whose posts know their author: what a query leaves behind."""
    author = RelAuthor(name="Ann")
    post = RelPost(title="One", rel_author_id=author.id)
    author.__dict__["posts"] = [post]
    post.__dict__["author"] = author
    return author


# --- never fields or columns


def test_a_relationship_is_no_field_and_no_column() -> None:
    assert "posts" not in RelAuthor.model_fields
    assert "posts" not in RelAuthor.__annotations__
    assert "posts" not in RelAuthor.__ff_entity__.table.by_attribute
    assert "posts" not in RelAuthor.model_json_schema()["properties"]
    assert "posts" not in RelAuthor(name="Ann").model_dump()
    assert "posts" not in repr(RelAuthor.__signature__)


def test_a_class_body_keeps_its_own_annotations() -> None:
    annotations = {"name": str, "posts": list["RelPost"]}
    namespace = {"__module__": __name__, "__annotations__": annotations, "posts": Relationship()}
    type(PydanticModel)("RelBody", (PydanticModel,), namespace)
    assert set(annotations) == {"name", "posts"}
    assert "posts" in namespace


def test_reading_one_that_was_not_loaded_names_the_load_to_write() -> None:
    author = RelAuthor(name="Ann")
    with pytest.raises(RelationNotLoaded, match=r'RelAuthor\.posts was not loaded; add \.load\("posts"\)'):
        _ = author.posts
    # Not an AttributeError: a default must not slip in silently.
    with pytest.raises(RelationNotLoaded):
        getattr(author, "posts", [])
    with pytest.raises(RelationNotLoaded):
        hasattr(author, "posts")


def test_a_loaded_value_is_read_like_any_attribute() -> None:
    author = loaded()
    assert author.posts[0].title == "One"
    assert author.posts[0].author is author


def test_a_loaded_value_stays_out_of_dump_schema_repr_and_iteration() -> None:
    author, plain = loaded(), RelAuthor(name="Ann")
    assert author.model_dump().keys() == plain.model_dump().keys() == dict(author).keys()
    assert "posts" not in author.model_dump_json()
    assert "posts" not in repr(author)
    assert "posts" not in author.model_dump(mode="json", round_trip=True)
    assert author.model_fields_set == {"name"}


def test_a_loaded_value_is_no_part_of_equality() -> None:
    author = loaded()
    same = RelAuthor.model_validate(author.model_dump())
    assert author == same
    assert same == author
    other = loaded()
    assert author != other
    # Cycles on both sides end: only fields are compared.
    twin = copy.deepcopy(author)
    assert twin == author
    assert twin.posts[0] == author.posts[0]
    twin.posts[0].title = "Two"
    assert twin == author


def test_copies_and_pickles_keep_a_loaded_value() -> None:
    author = loaded()
    assert copy.copy(author).posts is author.posts
    assert author.model_copy(update={"name": "Bob"}).posts is author.posts
    for made in (copy.deepcopy(author), author.model_copy(deep=True), pickle.loads(pickle.dumps(author))):
        assert made.posts[0].title == "One"
        assert made.posts[0] is not author.posts[0]
        assert made.posts[0].author is made


def test_assignment_of_fields_leaves_a_loaded_value_in_place() -> None:
    author = loaded()
    author.name = "Bob"
    author.update_timestamp()
    assert author.name == "Bob"
    assert author.posts[0].title == "One"
    with pytest.raises(ValueError, match="posts"):
        author.posts = []


def test_a_loaded_value_does_not_disturb_outer_models_and_unions() -> None:
    class Page(BaseModel):
        item: RelAuthor | RelPost
        items: list[RelPost | RelAuthor]

    author = loaded()
    page = Page(item=author, items=[author, author.posts[0]])
    dumped = page.model_dump(warnings="error")
    assert dumped["item"] == RelAuthor.model_validate(author.model_dump()).model_dump()
    assert "posts" not in page.model_dump_json(warnings="error")
    assert TypeAdapter(list[RelAuthor | RelPost]).dump_python([author], warnings="error")[0]["name"] == "Ann"


def test_a_response_model_reads_fields_and_loaded_values() -> None:
    class PostOut(BaseModel, from_attributes=True):
        title: str

    class AuthorOut(BaseModel, from_attributes=True):
        name: str
        posts: list[PostOut]

    assert AuthorOut.model_validate(loaded()).posts[0].title == "One"
    with pytest.raises(ValidationError, match=r"RelAuthor\.posts was not loaded"):
        AuthorOut.model_validate(RelAuthor(name="Ann"))


def test_the_constructor_does_not_take_a_relationship() -> None:
    author = RelAuthor(name="Ann", posts=[])
    with pytest.raises(RelationNotLoaded):
        _ = author.posts


# --- references


def test_the_class_gives_a_reference() -> None:
    reference: Any = RelAuthor.posts
    assert repr(reference) == "RelAuthor.posts"
    config = reference.config
    assert config is RelAuthor.__ff_entity__.relationship("posts")
    assert config.relationship_type is RelationType.ONE_TO_MANY
    assert config.is_collection
    assert (config.owner.model, config.target.model) == (RelAuthor, RelPost)
    assert config.join == (("tenant_id", "tenant_id"), ("id", "rel_author_id"))
    back = RelAuthor.__ff_entity__.relationship("posts").target.relationship("author")
    assert back.relationship_type is RelationType.MANY_TO_ONE
    assert back.join == (("tenant_id", "tenant_id"), ("rel_author_id", "id"))
    assert not back.is_collection


def test_an_unknown_relationship_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownFieldError, match=r"RelAuthor has no field 'post'; did you mean 'posts'"):
        RelAuthor.__ff_entity__.relationship("post")


class RelTag(PydanticModel):
    pass


@pytest.mark.parametrize(
    ("annotation", "many"),
    [
        (list["RelTag"], True),
        (List["RelTag"], True),  # noqa: UP006
        (list[RelTag], True),
        ("list[RelTag]", True),
        ('list["RelTag"]', True),
        ("typing.List[RelTag]", True),
        (Many["RelTag"], True),
        (Many[RelTag], True),
        ("Many[RelTag]", True),
        ("'Many[\"RelTag\"]'", True),
        (RelTag, False),
        ("RelTag", False),
        ("RelTag | None", False),
        ("None | RelTag", False),
        (RelTag | None, False),
        (Optional["RelTag"], False),
        ("Optional[RelTag]", False),
        (One["RelTag"], False),
        ("One[RelTag]", False),
        ("One[RelTag | None]", False),
        (One[RelTag | None], False),
    ],
    ids=str,
)
def test_the_annotation_names_the_other_side(annotation: Any, many: bool) -> None:
    meta = type(PydanticModel)
    relation = Relationship(link_model="RelTagging") if many else Relationship()
    namespace = {
        "__module__": __name__,
        "__annotations__": {"tag": annotation, "tag_id": UUID},
        "tag": relation,
    }
    owner = meta("RelOwner", (PydanticModel,), namespace)

    class RelTagging(PydanticModel):
        __table_name__ = f"taggings_{uuid4().hex[:8]}"

    found = owner.__ff_entity__.relations["tag"].target
    assert found.many is many
    if not many:
        assert owner.tag.config.target.model is RelTag


@pytest.mark.parametrize(
    "annotation",
    [
        "list[list[RelTag]]",
        "dict[str, RelTag]",
        "RelTag | RelPost",
        "1 +",
        "",
        "set[RelTag]",
        int | str,
        dict[str, int],
        list,
    ],
    ids=str,
)
def test_an_annotation_that_names_no_model_is_refused(annotation: Any) -> None:
    namespace = {"__module__": __name__, "__annotations__": {"tag": annotation}, "tag": Relationship()}
    if annotation is list:
        owner = type(PydanticModel)("RelOwner", (PydanticModel,), namespace)
        with pytest.raises(ConfigurationError, match=r"RelOwner\.tag names list, which is no model with a table"):
            _ = owner.tag.config
        return
    with pytest.raises(ConfigurationError, match=r"RelOwner\.tag: the annotation of a Relationship names no model"):
        type(PydanticModel)("RelOwner", (PydanticModel,), namespace)


def test_a_relationship_needs_an_annotation_and_a_free_name() -> None:
    meta = type(PydanticModel)
    with pytest.raises(ConfigurationError, match=r"RelOwner\.tag: a Relationship needs an annotation"):
        meta("RelOwner", (PydanticModel,), {"__module__": __name__, "tag": Relationship()})
    with pytest.raises(ConfigurationError, match=r"RelOwner\.copy: every model has an attribute"):
        meta(
            "RelOwner",
            (PydanticModel,),
            {"__module__": __name__, "__annotations__": {"copy": "RelTag"}, "copy": Relationship()},
        )
    with pytest.raises(ConfigurationError, match=r"RelChild\.posts: every model has an attribute"):

        class RelChild(RelAuthor):
            posts: list[str]


@pytest.mark.parametrize(
    "options",
    [
        {"back_populates": 5},
        {"foreign_key": RelTag},
        {"order_by": ["title"]},
        {"lazy": 1},
        {"link_model": 5},
        {"link_local_key": "author_id"},
    ],
    ids=str,
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Relationship(**options)


# --- resolving


def test_the_usual_foreign_keys_are_found_on_either_side() -> None:
    class BlogAuthor(PydanticModel):
        posts: list["Entry"] = Relationship()
        profile: Optional["Profile"] = Relationship(back_populates="author")

    class Entry(PydanticModel):
        blog_author_id: UUID

    class Profile(PydanticModel):
        author_id: UUID = Field(db_unique=True)
        author: One[BlogAuthor] = Relationship(back_populates="profile")

    registry.resolve(BlogAuthor, Entry, Profile)
    posts, profile = (BlogAuthor.__ff_entity__.relationship(name) for name in ("posts", "profile"))
    assert posts.join == (("tenant_id", "tenant_id"), ("id", "blog_author_id"))
    assert profile.join == (("tenant_id", "tenant_id"), ("id", "author_id"))
    assert profile.relationship_type is RelationType.ONE_TO_ONE
    assert Profile.__ff_entity__.relationship("author").relationship_type is RelationType.ONE_TO_ONE


def test_a_global_side_joins_without_tenants() -> None:
    class Country(PydanticModel):
        __multi_tenant__ = False
        code: str = Field(max_length=2, db_primary_key=True)

    class City(PydanticModel):
        country_id: str = Field(max_length=2)
        country: Country = Relationship()

    assert City.__ff_entity__.relationship("country").join == (("country_id", "code"),)
    assert City.__ff_entity__.table.foreign_keys[0].columns == ("country_id",)


def test_many_to_many_goes_through_a_link_model() -> None:
    class Student(PydanticModel):
        courses: Many["Course"] = Relationship(link_model="Enrolment", back_populates="students", order_by="name")
        friends: Many["Student"] = Relationship(
            link_model="Friendship", link_local_key="one_id", link_remote_key="other_id"
        )

    class Course(PydanticModel):
        name: str
        students: list[Student] = Relationship(link_model="Enrolment", back_populates="courses")

    class Enrolment(PydanticModel):
        student_id: UUID = Field(db_foreign_key="students(id)")
        course_id: UUID = Field(db_foreign_key="courses(id)")

    class Friendship(PydanticModel):
        one_id: UUID = Field(db_foreign_key="students(id)")
        other_id: UUID = Field(db_foreign_key="students(id)")

    registry.resolve(Student, Course)
    config = Student.__ff_entity__.relationship("courses")
    assert config.relationship_type is RelationType.MANY_TO_MANY
    assert config.join == ()
    assert config.link is not None
    assert config.link.entity.model is Enrolment
    assert config.link.local == (("tenant_id", "tenant_id"), ("id", "student_id"))
    assert config.link.remote == (("tenant_id", "tenant_id"), ("id", "course_id"))
    friends = Student.__ff_entity__.relationship("friends")
    assert friends.link is not None
    assert (friends.link.local[-1], friends.link.remote[-1]) == (("id", "one_id"), ("id", "other_id"))


def _resolve_pair(
    posts: Any, author: Any = None, *, post_fields: dict[str, Any] | None = None, many: str = "list[Post]"
) -> None:
    class Author(PydanticModel):
        name: str = ""
        posts_: Any

    meta: Any = type(PydanticModel)
    owner = meta(
        "Author",
        (PydanticModel,),
        {
            "__module__": __name__,
            "__qualname__": "_resolve_pair.<locals>.Author",
            "__annotations__": {"posts": many},
            "posts": posts,
        },
    )
    fields: dict[str, Any] = {"author_id": (UUID, ...)} if post_fields is None else post_fields
    other = meta(
        "Post",
        (PydanticModel,),
        {
            "__module__": __name__,
            "__qualname__": "_resolve_pair.<locals>.Post",
            "__annotations__": {
                **{name: annotation for name, (annotation, _) in fields.items()},
                **({} if author is None else {"author": "Author"}),
            },
            **{name: value for name, (_, value) in fields.items() if value is not ...},
            **({} if author is None else {"author": author}),
        },
    )
    try:
        registry.resolve(owner, other)
    finally:
        del owner, other


@pytest.mark.parametrize(
    ("posts", "author", "fields", "many", "reason"),
    [
        (
            Relationship(back_populates="writer"), Relationship(back_populates="posts"), None, "list[Post]",
            r"Author\.posts back-populates Post\.writer, which is no relationship",
        ),
        (
            Relationship(back_populates="author"), Relationship(), None, "list[Post]",
            r"Author\.posts back-populates Post\.author, which does not name it back.*back_populates='posts' there",
        ),
        (
            Relationship(), Relationship(back_populates="posts"), None, "list[Post]",
            r"Post\.author back-populates Author\.posts, which does not name it back",
        ),
        (
            Relationship(), None, {"name": (str, ...)}, "list[Post]",
            r"Author\.posts: Post must have one field that references Author: it has none; name it with foreign_key=",
        ),
        (
            Relationship(foreign_key="autor_id"), None, None, "list[Post]",
            r"Author\.posts names the foreign key 'autor_id', no field of Post; did you mean 'author_id'",
        ),
        (
            Relationship(), None,
            {
                "first": (UUID, Field(db_foreign_key="authors(id)")),
                "second": (UUID, Field(db_foreign_key="authors(id)")),
            },
            "list[Post]", r"must have one field that references Author: first, second",
        ),
        (
            Relationship(order_by="titel"), None, {"author_id": (UUID, ...), "title": (str, ...)}, "list[Post]",
            r"Author\.posts orders by 'titel', no field of Post; did you mean 'title'",
        ),
        (Relationship(), None, None, "list[Pots]", r"a model 'Pots', and there is none; did you mean 'Post'"),
        (Relationship(), None, {"author_id": (int, ...)}, "list[Post]", r"is of another type than its key"),
        (
            Relationship(link_model="Post"), None, None, "Post", r"Author\.posts has a link_model and is not a list",
        ),
        (
            Relationship(link_model="Post", link_local_key="nope"), None, None, "list[Post]",
            r"Author\.posts: Post has no field 'nope'",
        ),
    ],
)  # fmt: skip
def test_a_relationship_that_does_not_fit_is_refused_when_resolved(
    posts: Any, author: Any, fields: dict[str, Any] | None, many: str, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        _resolve_pair(posts, author, post_fields=fields, many=many)


def test_a_subclass_with_its_own_table_is_not_held_to_inherited_relationships() -> None:
    class Sub(RelAuthor):
        extra: str = ""

    registry.resolve(Sub)
    assert repr(Sub.posts) == "Sub.posts"


def test_relationships_of_an_abstract_base_belong_to_each_class() -> None:
    class Owned(PydanticModel):
        __abstract__ = True
        owner_id: UUID
        owner: "Person" = Relationship()

    class Person(PydanticModel):
        pass

    class Car(Owned):
        pass

    class Boat(Owned):
        pass

    for model in (Car, Boat):
        assert model.__ff_entity__.table.foreign_keys[0].target_table == "people"
        assert model.__ff_entity__.relationship("owner").target.model is Person
