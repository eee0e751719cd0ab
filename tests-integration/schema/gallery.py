"""Two models with everything that a field can say."""

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Literal

from ff_storage.core.model import Field, PydanticModel


class Status(enum.Enum):
    DRAFT = "draft"
    DONE = "it's done"


class Painter(PydanticModel):
    name: str = Field(max_length=80, db_unique=True)
    born: dt.date | None = None


class Painting(PydanticModel):
    title: str = Field(max_length=200, db_index=True)
    body: str = Field(default="", db_default="''")
    painter_id: uuid.UUID = Field(db_foreign_key="painters(id)", db_on_delete="CASCADE")
    price: Decimal = Field(default=Decimal(0), max_digits=8, decimal_places=2, ge=0, db_check="price < 5000")
    status: Status = Field(default=Status.DRAFT, db_default="'draft'")
    kind: Literal["a", "b"] = "a"
    stars: int = Field(default=0, ge=0, le=5, db_index=True, db_index_where="stars > 3")
    public: bool = Field(default=False, db_default="FALSE")
    tags: list[str] = Field(default_factory=list)
    extra: dict[str, str] = Field(default_factory=dict)
    published: dt.datetime | None = Field(default=None, db_default="now()")
    length: int | None = Field(default=None, db_generated="length(body)")
