"""Each fact changed alone, in the model and in the database: refused, with both values, and nothing is touched."""

import dataclasses

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import SchemaDifference
from ff_storage.core.tables import Action, SqlCheck
from ff_storage.core.types import Bytes, Decimal, Float, Integer, Text
from ff_storage.schema import AsyncSchemaManager
from schema.engines import Engine
from schema.shop import (
    BASE,
    OTHER,
    PARENT,
    TABLES,
    Change,
    added,
    also,
    column,
    columns,
    create,
    index,
    refused,
    things,
)

CHANGES: dict[str, tuple[Change, list[tuple[str, str]]]] = {
    # what is changed: (kind, name) of each difference
    "type": (columns(note={"type": Float()}), [("column.type", "note")]),
    "another type": (columns(note={"type": Bytes()}), [("column.type", "note")]),
    "nullable": (columns(size={"nullable": False}), [("column.nullable", "size")]),
    "not nullable": (columns(name={"nullable": True}), [("column.nullable", "name")]),
    "default": (columns(name={"default": "'a b'"}), [("column.default", "name")]),
    "default of another type": (columns(code={"default": "'1'"}), [("column.default", "code")]),
    "default gone": (columns(name={"default": None}), [("column.default", "name")]),
    "default of a decimal": (columns(price={"default": "0"}), [("column.default", "price")]),
    "generated": (columns(twice={"generated": "size * 3"}), [("column.generated", "twice")]),
    "not generated": (columns(twice={"generated": None}), [("column.generated", "twice")]),
    "column more": (added(column("extra", Integer(), nullable=False)), [("column", "extra")]),
    "boolean": (
        columns(active={"type": Integer(), "default": "1"}),
        [("check", "ck_items_active_bool")],
    ),
    "length": (columns(name={"type": Text(51)}), [("check.expression", "ck_items_name_length")]),
    "digits": (columns(price={"type": Decimal(9, 2)}), [("check.expression", "ck_items_price_digits")]),
    "scale": (columns(price={"type": Decimal(8, 3)}), [("check.expression", "ck_items_price_digits")]),
    "no scale": (columns(price={"type": Decimal(8, 0)}), [("check.expression", "ck_items_price_digits")]),
    "digits of a wide decimal": (
        columns(wide={"type": Decimal(31, 2)}),
        [("check.expression", "ck_items_wide_digits")],
    ),
    "scale of a wide decimal": (columns(wide={"type": Decimal(30, 3)}), [("check.expression", "ck_items_wide_digits")]),
    "text for a wide decimal": (columns(wide={"type": Text()}), [("check", "ck_items_wide_digits")]),
    "bits": (columns(size={"type": Integer(16)}), [("check", "ck_items_size_bits")]),
    "range": (
        things("checks", "ck_items_size_ge", operator=">"),
        [("check.expression", "ck_items_size_ge")],
    ),
    "bound": (things("checks", "ck_items_size_ge", bound=1), [("check.expression", "ck_items_size_ge")]),
    "choice": (
        things("checks", "ck_items_code_choice", values=("a", "b", "c")),
        [("check.expression", "ck_items_code_choice")],
    ),
    "check": (
        things("checks", "ck_items_name", expression="name <> 'a b' OR size > 1"),
        [("check.expression", "ck_items_name")],
    ),
    "check gone": (things("checks", "ck_items_name"), [("check", "ck_items_name")]),
    "check more": (also("checks", SqlCheck("ck_more", "size < 100")), [("check", "ck_more")]),
    "check name": (
        things("checks", "ck_items_name", name="ck_renamed"),
        [("check", "ck_items_name"), ("check", "ck_renamed")],
    ),
    "key": (
        lambda table: dataclasses.replace(table, primary_key=("tenant_id",)),
        [("primary_key.columns", "")],
    ),
    "key order": (
        lambda table: dataclasses.replace(table, primary_key=("id", "tenant_id")),
        [("primary_key.columns", "")],
    ),
    "no key": (lambda table: dataclasses.replace(table, primary_key=()), [("primary_key", "")]),
    "foreign key target": (
        things("foreign_keys", "fk_items_shop", target_table="other"),
        [("foreign_key.definition", "fk_items_shop")],
    ),
    "foreign key column": (
        things("foreign_keys", "fk_items_shop", columns=("tenant_id", "size")),
        [("foreign_key.definition", "fk_items_shop")],
    ),
    "foreign key target column": (
        things("foreign_keys", "fk_items_shop", target_columns=("tenant_id", "code")),
        [("foreign_key.definition", "fk_items_shop")],
    ),
    "on delete": (
        things("foreign_keys", "fk_items_shop", on_delete=Action.CASCADE),
        [("foreign_key.definition", "fk_items_shop")],
    ),
    "on update": (
        things("foreign_keys", "fk_items_shop", on_update=Action.RESTRICT),
        [("foreign_key.definition", "fk_items_shop")],
    ),
    "foreign key gone": (things("foreign_keys", "fk_items_shop"), [("foreign_key", "fk_items_shop")]),
    "index order": (
        index("idx_items_name", columns=("code", "name")),
        [("index.columns", "idx_items_name")],
    ),
    "index column less": (index("idx_items_name", columns=("name",)), [("index.columns", "idx_items_name")]),
    "index unique": (index("idx_items_name", unique=True), [("index.unique", "idx_items_name")]),
    "index of the living": (index("idx_items_name", live_only=True), [("index.predicate", "idx_items_name")]),
    "unique among all": (index("uq_items_code", live_only=False), [("index.predicate", "uq_items_code")]),
    "predicate": (
        index("idx_items_size", where="size > 5 AND name <> 'x y'"),
        [("index.predicate", "idx_items_size")],
    ),
}

ON_POSTGRES: dict[str, list[tuple[str, str]]] = {
    "type": [("column.collation", "note"), ("column.type", "note")],
    "another type": [("column.collation", "note"), ("column.type", "note")],
    "nullable": [("column.nullable", "size"), ("index.columns", "idx_items_size")],
    "not nullable": [("column.nullable", "name"), ("index.columns", "idx_items_name")],
    "boolean": [("column.default", "active"), ("column.type", "active")],
    "length": [("column.type", "name")],
    "digits": [("column.type", "price")],
    "scale": [("column.type", "price")],
    "no scale": [("column.type", "price")],
    "digits of a wide decimal": [("column.type", "wide")],
    "scale of a wide decimal": [("column.type", "wide")],
    "text for a wide decimal": [("column.collation", "wide"), ("column.type", "wide")],
    "bits": [("column.type", "size")],
}
"""What PostgreSQL says otherwise: it has types for what a CHECK is elsewhere, and indexes know of nullable columns."""


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_on_either_side(engine: Engine, any_pool: Pool, what: str) -> None:
    """The values of both directions are each other's, exchanged."""
    change, expected = CHANGES[what]
    if any_pool.dialect.name == "postgres":
        expected = ON_POSTGRES.get(what, expected)
    await create(any_pool, *TABLES)
    there = await refused(any_pool, engine.catalog, PARENT, OTHER, change(BASE))
    assert [(difference.kind, difference.name) for difference in there] == expected
    await any_pool.execute("DROP TABLE items")
    await create(any_pool, PARENT, OTHER, change(BASE))
    back = await refused(any_pool, engine.catalog, *TABLES)
    assert [(difference.kind, difference.name) for difference in back] == expected
    assert [(d.model, d.database) for d in there] == [(d.database, d.model) for d in back]


async def test_a_missing_column_is_a_difference(engine: Engine, any_pool: Pool) -> None:
    await create(any_pool, *TABLES)
    await any_pool.execute("DROP INDEX idx_items_size")  # which alone would be created
    tables = (PARENT, OTHER, added(column("extra", Integer(), default="7"))(BASE))
    (difference,) = await refused(any_pool, engine.catalog, *tables)
    assert (difference.table, difference.kind, difference.name) == ("items", "column", "extra")
    assert difference.database is None
    assert difference.model is not None
    for word in ("default 7", "nullable NULL", "type "):
        assert word in difference.model


async def test_an_extra_index_is_a_difference_and_a_missing_one_is_not(engine: Engine, any_pool: Pool) -> None:
    await create(any_pool, *TABLES)
    (difference,) = await refused(any_pool, engine.catalog, PARENT, OTHER, index("idx_items_name")(BASE))
    assert (difference.kind, difference.name, difference.model) == ("index", "idx_items_name", None)
    await any_pool.execute("DROP INDEX idx_items_name")
    assert await AsyncSchemaManager(any_pool).sync_schema(TABLES) == 1


async def test_all_differences_of_all_tables_are_listed_and_nothing_is_created(engine: Engine, any_pool: Pool) -> None:
    changed = columns(note={"type": Text(9)}, name={"default": "'new'"})(BASE)
    await create(any_pool, changed, PARENT, OTHER)
    await any_pool.execute("ALTER TABLE shops ADD COLUMN extra TEXT")
    await any_pool.execute("DROP INDEX uq_shops_code")
    missing = dataclasses.replace(OTHER, name="missing", indexes=())
    differences = await refused(any_pool, engine.catalog, *TABLES, missing)
    assert [(d.table, d.kind, d.name) for d in differences[:1]] == [("shops", "column", "extra")]
    assert {d.table for d in differences[1:]} == {"items"}
    assert ("column.default", "name") in {(d.kind, d.name) for d in differences}
    assert len(differences) == 3


async def test_texts_of_the_database_are_shown_without_control_characters(any_pool: Pool) -> None:
    await create(any_pool, *TABLES)
    await any_pool.execute("ALTER TABLE items ADD COLUMN evil TEXT DEFAULT '\x1b[31m*/ '' ); DROP'")
    with pytest.raises(SchemaDifference) as caught:
        await AsyncSchemaManager(any_pool).sync_schema(TABLES)
    assert "\x1b" not in str(caught.value)
    assert "\\x1b[31m*/ '' ); DROP" in str(caught.value)
