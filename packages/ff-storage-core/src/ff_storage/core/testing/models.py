"""The models of the conformance kit; every table is called `kit_…`, so that it meets none of an application's."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any, Final, Literal

from ff_storage.core.model import Field, PydanticModel


class Status(enum.Enum):
    """An enum of text."""

    DRAFT = "draft"
    LIVE = "live"
    SOLD = "sold out"


class Level(enum.IntEnum):
    """An enum of numbers."""

    LOW = 1
    HIGH = 2


class Product(PydanticModel):
    """One of everything that queries ask about, for one tenant, softly deleted."""

    __table_name__ = "kit_products"
    __multi_tenant__ = False

    name: str = Field(max_length=200)
    price: Decimal = Field(default=Decimal(0), max_digits=12, decimal_places=2)
    stock: int = 0
    weight: float | None = None
    category: str | None = Field(default=None, max_length=80)
    status: Status = Status.LIVE
    featured: bool | None = None
    released: dt.date | None = None
    seen: dt.datetime | None = None
    rebate: Decimal | None = Field(default=None, max_digits=12, decimal_places=4)
    details: dict[str, Any] | None = None


class Values(PydanticModel):
    """One nullable column of each canonical type."""

    __table_name__ = "kit_values"
    __multi_tenant__ = False
    __soft_delete__ = False

    text: str | None = None
    short: str | None = Field(default=None, max_length=10)
    big: int | None = None
    small: int | None = Field(default=None, db_type="SMALLINT")
    flag: bool | None = None
    real: float | None = None
    money: Decimal | None = Field(default=None, max_digits=18, decimal_places=4)
    exact: Decimal | None = None
    wide: Decimal | None = Field(default=None, max_digits=38, decimal_places=0)
    instant: dt.datetime | None = None
    day: dt.date | None = None
    clock: dt.time | None = None
    span: dt.timedelta | None = None
    data: bytes | None = None
    token: uuid.UUID | None = None
    json_value: Any = None
    words: list[str] | None = None
    numbers: list[int] | None = None
    tokens: list[uuid.UUID] | None = None
    labels: set[str] | None = None
    status: Status | None = None
    level: Level | None = None
    size: Literal["S", "M", "L"] | None = None


class Country(PydanticModel):
    """A natural key, shared by all tenants, deleted for good."""

    __table_name__ = "kit_countries"
    __multi_tenant__ = False
    __soft_delete__ = False

    code: str = Field(max_length=2, db_primary_key=True)
    name: str = Field(max_length=80)


class Seat(PydanticModel):
    """A composite natural key, under a tenant that is a text of another name."""

    __table_name__ = "kit_seats"
    __tenant_field__ = "theater"

    theater: str = Field(default="", max_length=40)
    row: str = Field(max_length=2, db_primary_key=True)
    number: int = Field(db_primary_key=True)
    taken: bool = False


class Branch(PydanticModel):
    """A tenant that is one of a few."""

    __table_name__ = "kit_branches"
    __tenant_field__ = "status"

    status: Status = Status.DRAFT
    name: str = Field(max_length=40)


class Note(PydanticModel):
    """The common model: a tenant, soft deletion, a uniqueness rule."""

    __table_name__ = "kit_notes"

    title: str = Field(max_length=100, db_unique=True)
    body: str | None = None
    stars: int = Field(default=0, ge=0)


class Ticket(PydanticModel):
    """A uniqueness rule over all tenants."""

    __table_name__ = "kit_tickets"

    code: str = Field(max_length=40, db_unique="global")


class Counter(PydanticModel):
    """Optimistic concurrency by an integer."""

    __table_name__ = "kit_counters"
    __multi_tenant__ = False
    __version_column__ = "revision"

    name: str = Field(max_length=40)
    total: int = 0
    revision: int = 1


class Author(PydanticModel):
    """What others reference, under a tenant, softly deleted."""

    __table_name__ = "kit_authors"

    name: str = Field(max_length=100)
    country: str | None = Field(default=None, max_length=2, db_foreign_key="kit_countries(code)")


class Book(PydanticModel):
    """A RESTRICT child within the tenant."""

    __table_name__ = "kit_books"

    title: str = Field(max_length=100)
    author_id: uuid.UUID = Field(db_foreign_key="kit_authors(id)", db_on_delete="RESTRICT")


class Award(PydanticModel):
    """A CASCADE child within the tenant."""

    __table_name__ = "kit_awards"

    name: str = Field(max_length=100)
    author_id: uuid.UUID = Field(db_foreign_key="kit_authors(id)", db_on_delete="CASCADE")


class Medal(PydanticModel):
    """A CASCADE grandchild, deleted for good."""

    __table_name__ = "kit_medals"
    __soft_delete__ = False

    name: str = Field(max_length=100)
    award_id: uuid.UUID = Field(db_foreign_key="kit_awards(id)", db_on_delete="CASCADE")


class Speech(PydanticModel):
    """A RESTRICT grandchild, behind those that cascade."""

    __table_name__ = "kit_speeches"

    text: str
    award_id: uuid.UUID = Field(db_foreign_key="kit_awards(id)", db_on_delete="RESTRICT")


class Quote(PydanticModel):
    """A SET NULL child within the tenant: the key is composite, and only the reference may be cleared."""

    __table_name__ = "kit_quotes"

    text: str
    author_id: uuid.UUID | None = Field(default=None, db_foreign_key="kit_authors(id)", db_on_delete="SET NULL")


class Folder(PydanticModel):
    """A self reference that cascades."""

    __table_name__ = "kit_folders"
    __multi_tenant__ = False

    name: str = Field(max_length=40)
    parent_id: uuid.UUID | None = Field(default=None, db_foreign_key="kit_folders(id)", db_on_delete="CASCADE")


class Worker(PydanticModel):
    """A self reference that is cleared, under a tenant, deleted for good."""

    __table_name__ = "kit_workers"
    __soft_delete__ = False

    name: str = Field(max_length=40)
    boss_id: uuid.UUID | None = Field(default=None, db_foreign_key="kit_workers(id)", db_on_delete="SET NULL")


class Task(PydanticModel):
    """A self reference that restricts."""

    __table_name__ = "kit_tasks"
    __multi_tenant__ = False

    name: str = Field(max_length=40)
    after_id: uuid.UUID | None = Field(default=None, db_foreign_key="kit_tasks(id)", db_on_delete="RESTRICT")


AUTHORS: Final = (Country, Author, Book, Award, Medal, Speech, Quote)
"""`Author` and all that it takes part in: a deletion looks at every one of them."""

ACME: Final = uuid.UUID("00000000-0000-4000-8000-00000000ac3e")
BETA: Final = uuid.UUID("00000000-0000-4000-8000-00000000be7a")
GAMA: Final = uuid.UUID("00000000-0000-4000-8000-0000000009a3")
"""Three tenants."""
