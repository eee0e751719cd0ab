"""A dialect of standard SQL, so that core's compiler is tested without any part, and models to write it for."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from ff_storage.core.model import Field, PydanticModel
from ff_storage.core.sql import values
from ff_storage.core.sql.compiler import Compiler
from ff_storage.core.sql.dialect import Capability, Convert, Dialect
from ff_storage.core.sql.expressions import Match
from ff_storage.core.types import ColumnType


class StandardCompiler(Compiler):
    def match(self, node: Match, operand: str, position: int) -> str:
        return f"{operand} LIKE {self.parameter(position, str, node.kind)}"


class StandardDialect(Dialect):
    name: ClassVar[str] = "standard"
    capabilities: frozenset[Capability] = frozenset({Capability.RETURNING})
    max_parameters: ClassVar[int] = 1000
    compiler: ClassVar[type[Compiler]] = StandardCompiler

    def placeholder(self, position: int) -> str:
        return f"${position}"

    def encoder(self, type_: ColumnType) -> Convert:
        return values.canonical(type_)

    def decoder(self, type_: ColumnType) -> Convert | None:
        return None

    def literal(self, value: Any, type_: ColumnType) -> str:
        return repr(value)


class Item(PydanticModel):
    __table_name__ = "sql_items"

    name: str = Field(max_length=50)
    price: int = Field(ge=0)
    weight: float | None = None
    note: str | None = None
    active: bool = True
    extra: dict[str, int] = Field(default_factory=dict)


class Plain(PydanticModel):
    __table_name__ = "sql_plain"
    __multi_tenant__ = False
    __soft_delete__ = False

    code: str = Field(max_length=5, db_primary_key=True)
    amount: int = Field(default=0, db_column="amount_now")


@pytest.fixture
def dialect() -> StandardDialect:
    return StandardDialect()


@pytest.fixture
def item() -> Any:
    return Item


@pytest.fixture
def plain() -> Any:
    return Plain
