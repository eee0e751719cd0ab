"""Models: fields, the constructor, class and instance access, relationships."""

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar, assert_type
from uuid import UUID

from pydantic import BaseModel, ConfigDict, field_validator

from ff_storage import Field, Many, One, PydanticModel, Relationship
from ff_storage.core.model.relationship import RelationRef
from ff_storage.core.sql.expressions import ColumnRef
from ff_storage.core.tables import Table


class Status(Enum):
    ACTIVE = "active"


class Address(BaseModel):
    street: str


class Author(PydanticModel):
    __table_name__ = "writers"
    __schema__ = "blog"
    __soft_delete__ = False
    __multi_tenant__ = False

    name: str = Field(max_length=255, db_unique=True)
    posts: Many["Post"] = Relationship(back_populates="author")


class Post(PydanticModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    limit: ClassVar[int] = 10

    title: str = Field(max_length=255)
    price: Decimal = Field(gt=0, max_digits=10, decimal_places=2)
    status: Status = Status.ACTIVE
    body: str | None = None
    words: int = Field(default=0, ge=0, db_index=True)
    tags: list[str] = Field(default_factory=list)
    meta: dict[str, Any] = Field(default_factory=dict)
    place: Address | None = Field(default=None, db_column="address")
    code: Annotated[str, Field(max_length=3)] = "abc"
    published: dt.date | None = Field(default=None, db_default="CURRENT_DATE")
    author_id: UUID = Field(db_foreign_key="writers(id)", db_on_delete="CASCADE")
    author: One[Author] = Relationship(back_populates="posts")
    editor_id: UUID | None = Field(default=None, db_foreign_key=None)
    editor: One[Author | None] = Relationship(foreign_key="editor_id")
    related: list["Post"] = Relationship(link_model="Link", link_local_key="one", link_remote_key="other")

    @field_validator("title")
    @classmethod
    def _titled(cls, value: str) -> str:
        return value.title()


class Link(PydanticModel):
    one: UUID
    other: UUID


class Special(Post):
    extra: int


# The constructor takes fields by name, required ones always, added ones too, relationships never.
post = Post(title="One", price=Decimal(3), author_id=UUID(int=1))
Post(title="One", price=Decimal(3), author_id=UUID(int=1), words=3, tags=["a"], created_by=UUID(int=2), tenant_id=None)
Special(title="One", price=Decimal(3), author_id=UUID(int=1), extra=1)
Author(name="Ann")

# Instances hold values.
assert_type(post.title, str)
assert_type(post.price, Decimal)
assert_type(post.status, Status)
assert_type(post.body, str | None)
assert_type(post.tags, list[str])
assert_type(post.place, Address | None)
assert_type(post.id, UUID)
assert_type(post.created_at, dt.datetime)
assert_type(post.created_by, UUID | None)
assert_type(post.tenant_id, UUID | None)
assert_type(post.deleted_at, dt.datetime | None)
assert_type(post.author, Author)
assert_type(post.editor, Author | None)
assert_type(post.related, list[Post])
assert_type(Author(name="Ann").posts, list[Post])
assert_type(post.author.posts[0].title, str)
assert_type(post.model_copy(update={"title": "x"}), Post)
assert_type(Post.model_validate({}), Post)
post.title = "Two"

# A column of the class has the type of its value, a relationship is a reference.
assert_type(Post.title, str)
assert_type(Post.price, Decimal)
assert_type(Post.body, str | None)
assert_type(Post.id, UUID)
assert_type(Post.price > 100, bool)
assert_type(Post.limit, int)
assert_type(Author.posts, RelationRef[Post])
assert_type(Post.author, RelationRef[Author])
assert_type(Post.editor, RelationRef[Author | None])

# Helpers.
assert_type(Post.table_name(), str)
assert_type(Post.full_table_name(), str)
assert_type(Post.field("title"), ColumnRef)
assert_type(Post.get_auxiliary_tables(), tuple[Table, ...])
assert_type(Post.get_user_fields().keys() <= {"title"}, bool)
assert_type(post.model_dump_for_db(exclude_none=True), dict[str, Any])
post.update_timestamp()
