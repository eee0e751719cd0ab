"""Two tables with everything that a description can say, ways to change it, and what a refused sync says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import SchemaDifference
from ff_storage.core.tables import Action, ChoiceCheck, Column, ForeignKey, Index, RangeCheck, SqlCheck, Table
from ff_storage.core.types import Boolean, Decimal, Integer, Text, Timestamp
from ff_storage.schema import AsyncSchemaManager
from ff_storage.schema.compare import Difference


def column(name: str, type_: Any, *, nullable: bool = True, **options: Any) -> Column:
    return Column(name, type_, nullable, name, **options)


PARENT = Table(
    "shops",
    None,
    (
        column("tenant_id", Integer(), nullable=False),
        column("id", Integer(), nullable=False),
        column("code", Integer(), nullable=False),
    ),
    ("tenant_id", "id"),
    indexes=(Index("uq_shops_code", ("tenant_id", "code"), unique=True),),
    tenant="tenant_id",
)
OTHER = dataclasses.replace(PARENT, name="other", indexes=(Index("uq_other_code", ("tenant_id", "code"), unique=True),))

BASE = Table(
    "items",
    None,
    (
        column("tenant_id", Integer(), nullable=False),
        column("id", Integer(), nullable=False),
        column("name", Text(50), nullable=False, default="'a  b'"),
        column("code", Text()),
        column("price", Decimal(8, 2), nullable=False),
        column("wide", Decimal(30, 2)),
        column("active", Boolean(), nullable=False, default="TRUE"),
        column("size", Integer()),
        column("twice", Integer(), generated="size * 2"),
        column("shop_id", Integer()),
        column("note", Text()),
        column("deleted_at", Timestamp()),
    ),
    ("tenant_id", "id"),
    indexes=(
        Index("idx_items_name", ("name", "code")),
        Index("uq_items_code", ("tenant_id", "code"), unique=True, live_only=True),
        Index("idx_items_size", ("size",), where="size > 5 AND name <> 'x  y'"),
    ),
    foreign_keys=(
        ForeignKey(
            "fk_items_shop", ("tenant_id", "shop_id"), None, "shops", ("tenant_id", "id"), on_update=Action.NO_ACTION
        ),
    ),
    checks=(
        RangeCheck("ck_items_size_ge", "size", ">=", 0),
        ChoiceCheck("ck_items_code_choice", "code", ("a", "b")),
        SqlCheck("ck_items_name", "name <> 'a  b' OR size > 1", "name"),
    ),
    tenant="tenant_id",
    deleted_at="deleted_at",
)
TABLES = (PARENT, OTHER, BASE)

Change = Callable[[Table], Table]


def columns(**changes: dict[str, Any] | None) -> Change:
    """The table with other properties of its columns; None takes one away."""

    def change(table: Table) -> Table:
        kept = [
            dataclasses.replace(c, **(changes.get(c.name) or {}))
            for c in table.columns
            if c.name not in changes or changes[c.name] is not None
        ]
        return dataclasses.replace(table, columns=tuple(kept))

    return change


def added(new: Column) -> Change:
    return lambda table: dataclasses.replace(table, columns=(*table.columns, new))


def things(attribute: str, name: str, /, **changes: Any) -> Change:
    """The table with one of its indexes, keys or checks changed; without changes it is taken away."""

    def change(table: Table) -> Table:
        found = getattr(table, attribute)
        assert any(thing.name == name for thing in found)
        new = [dataclasses.replace(t, **changes) if t.name == name else t for t in found if changes or t.name != name]
        return dataclasses.replace(table, **{attribute: tuple(new)})

    return change


def also(attribute: str, thing: Any) -> Change:
    return lambda table: dataclasses.replace(table, **{attribute: (*getattr(table, attribute), thing)})


def index(name: str, /, **changes: Any) -> Change:
    return things("indexes", f"{name}", **changes)


async def create(pool: Pool, *tables: Table) -> None:
    await AsyncSchemaManager(pool).sync_schema(tables)


def statements(table: Table, pool: Pool) -> list[str]:
    return pool.dialect.schema().create_table(table)


async def refused(pool: Pool, catalog: str, *tables: Table) -> list[Difference]:
    """The differences that the sync refuses, having touched nothing that the query `catalog` sees."""
    before = await pool.fetch_all(catalog, as_dict=False)
    with pytest.raises(SchemaDifference) as caught:
        await AsyncSchemaManager(pool).sync_schema(tables)
    assert await pool.fetch_all(catalog, as_dict=False) == before
    differences: list[Difference] = caught.value.details["differences"]
    for difference in differences:
        assert difference.table in {table.name for table in tables}
        assert difference.model != difference.database
        assert str(difference) in str(caught.value)
        assert difference.name in str(difference)
        for value in (difference.model, difference.database):
            assert value is None or value in str(difference)
    return differences
