"""What type checkers must refuse in models."""

from decimal import Decimal
from uuid import UUID

from ff_storage import Field, Many, One, PydanticModel, Relationship


class Author(PydanticModel):
    name: str = Field(max_length=255)
    posts: Many["Post"] = Relationship(back_populates="author")


class Post(PydanticModel):
    title: str = Field(max_length=255)
    price: Decimal = Field(gt=0, max_digits=10, decimal_places=2)
    words: int = Field(default=0)
    author_id: UUID
    author: One[Author] = Relationship()


# A field without a default is required, and its type is checked.
Author()  # error
Author("Ann")  # error
Author(nam="Ann")  # error
Author(name=5)  # error
Post(title="One", price=Decimal(3))  # error
Author(name="Ann", posts=[])  # error

# A misspelled name is an error on the class and on an instance.
Author.nam  # error
Author(name="Ann").nam  # error
Author.posts.nam  # error
Author(name="Ann").posts[0].titel  # error
Author.table_nam()  # error

# Values keep their types.
text: int = Post.title  # error
wrong: str = Author(name="Ann").posts  # error
Author(name="Ann").name = 5  # error


# Options are checked by name and value, and a default by its type.
class Options(PydanticModel):
    a: int = Field(db_uniqe=True)  # error
    b: int = Field(db_unique="tenant")  # error
    c: int = Field(db_on_delete="cascade")  # error
    d: int = Field(default="x")  # error
    e: int = Field(5)  # error
    f: int = Field(max_length="x")  # error
    g: list["Post"] = Relationship(back_populate="author")  # error
