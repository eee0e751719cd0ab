"""The tables that the attacks aim at."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any, Final

from pydantic import SecretStr

from ff_storage import Field, PydanticModel

CANARY: Final = "S3CR3T-☃-canary-0451"
ACME: Final = uuid.UUID("00000000-0000-4000-8000-00000000ac3e")
BETA: Final = uuid.UUID("00000000-0000-4000-8000-00000000be7a")


class Status(enum.Enum):
    OPEN = "open"
    DONE = "done"


class Canary(PydanticModel):
    """What no attack may ever show."""

    __table_name__ = "attack_canaries"
    __multi_tenant__ = False

    secret: str


class Victim(PydanticModel):
    """A field of each kind, for one tenant."""

    __table_name__ = "attack_victims"
    __multi_tenant__ = False

    title: str = Field(default="", max_length=200)
    body: str | None = None
    number: int = 0
    price: Decimal | None = Field(default=None, max_digits=10, decimal_places=2)
    weight: float | None = None
    flag: bool | None = None
    moment: dt.datetime | None = None
    day: dt.date | None = None
    token: uuid.UUID | None = None
    status: Status = Status.OPEN
    details: dict[str, Any] | None = None
    words: list[str] | None = None
    data: bytes | None = None


class Owned(PydanticModel):
    """Rows of tenants."""

    __table_name__ = "attack_owned"

    title: str = Field(default="", max_length=200)
    number: int = 0


class Named(PydanticModel):
    """Rows of tenants that are texts."""

    __table_name__ = "attack_named"
    __tenant_field__ = "customer"

    customer: str = Field(default="", max_length=40)
    title: str = Field(default="", max_length=200)


class Account(PydanticModel):
    """A secret in a field."""

    __table_name__ = "attack_accounts"
    __multi_tenant__ = False

    name: str = Field(max_length=40, db_unique=True)
    password: SecretStr = Field(max_length=40)
    pin: str | None = Field(default=None, max_length=8)


MODELS: Final = (Canary, Victim, Owned, Named, Account)
