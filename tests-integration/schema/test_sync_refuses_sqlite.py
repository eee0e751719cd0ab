"""What only a SQLite file can say, and other spellings and histories that mean the same."""

import dataclasses
import itertools

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import SchemaDifference
from ff_storage.core.tables import Table
from ff_storage.core.types import (
    Array,
    Boolean,
    ColumnType,
    Date,
    Decimal,
    Integer,
    Interval,
    Json,
    Text,
    Time,
    Timestamp,
    Uuid,
)
from ff_storage.schema import AsyncSchemaManager
from ff_storage.schema.compare import Difference
from schema import shop
from schema.engines import SQLite
from schema.shop import BASE, OTHER, PARENT, TABLES, added, column, columns, create, statements


async def refused(pool: Pool, *tables: Table) -> list[Difference]:
    return await shop.refused(pool, SQLite.catalog, *tables)


# --- what only a database can say ------------------------------------------------------------------------------------


REWRITTEN: dict[str, tuple[str, str, list[tuple[str, str]]]] = {
    # what is changed: (text of the statement, what stands there instead, differences)
    "not strict": (") STRICT", ")", [("table.strict", "")]),
    "without rowid": (") STRICT", ") STRICT, WITHOUT ROWID", [("table.rowid", "")]),
    "type of the same affinity": ('"size" INTEGER', '"size" INT', [("column.type", "size")]),
    "any": ('"code" TEXT', '"code" ANY', [("column.type", "code")]),
    "collation": ('"code" TEXT', '"code" TEXT COLLATE NOCASE', [
        ("column.collation", "code"), ("index.columns", "idx_items_name"), ("index.columns", "uq_items_code"),
    ]),
    "virtual": (") STORED", ") VIRTUAL", [("column.generated", "twice")]),
    "default in another case": ("'a  b',", "'A  b',", [("column.default", "name")]),
    "null on conflict": ('"price" INTEGER NOT NULL', '"price" INTEGER NOT NULL ON CONFLICT FAIL', [
        ("column.nullable", "price"),
    ]),
    "unnamed check": ('CONSTRAINT "ck_items_size_ge" CHECK', "CHECK", [("check", ""), ("check", "ck_items_size_ge")]),
    "check more": ('CONSTRAINT "ck_items_size_ge"', 'CHECK (size < 9), CONSTRAINT "ck_items_size_ge"', [("check", "")]),
    "check of a column": ('"size" INTEGER', '"size" INTEGER CHECK (size < 9)', [("check", "")]),
    "unique more": ('"size" INTEGER', '"size" INTEGER UNIQUE', [("unique", "(size)")]),
    "unnamed key": ('CONSTRAINT "pk_items" PRIMARY', "PRIMARY", [("primary_key.name", "")]),
    "key name": ('"pk_items"', '"pk"', [("primary_key.name", "")]),
    "key conflict": ('KEY ("tenant_id", "id")', 'KEY ("tenant_id", "id") ON CONFLICT FAIL', [
        ("primary_key.columns", ""),
    ]),
    "key direction": ('KEY ("tenant_id", "id")', 'KEY ("tenant_id", "id" DESC)', [("primary_key.columns", "")]),
    "key collation": (
        'KEY ("tenant_id", "id")', 'KEY ("tenant_id" COLLATE NOCASE, "id")', [("primary_key.columns", "")],
    ),
    "unnamed reference": ('CONSTRAINT "fk_items_shop" FOREIGN', "FOREIGN", [
        ("foreign_key", "(tenant_id, shop_id)"), ("foreign_key", "fk_items_shop"),
    ]),
    "deferred": ("ON UPDATE NO ACTION", "ON UPDATE NO ACTION DEFERRABLE INITIALLY DEFERRED", [
        ("foreign_key.definition", "fk_items_shop"),
    ]),
    "reference without columns": ('"shops" ("tenant_id", "id")', '"shops"', [
        ("foreign_key.definition", "fk_items_shop"),
    ]),
    "reference more": ('"size" INTEGER', '"size" INTEGER REFERENCES shops (code)', [("foreign_key", "(size)")]),
    "index direction": ('("name", "code")', '("name", "code" DESC)', [("index.columns", "idx_items_name")]),
    "index collation": ('("name", "code")', '("name" COLLATE NOCASE, "code")', [("index.columns", "idx_items_name")]),
    "index expression": ('("name", "code")', '("name", lower("code"))', [("index.columns", "idx_items_name")]),
    "index on another table": ('ON "items" ("name", "code")', 'ON "shops" ("code")', [("index", "idx_items_name")]),
}  # fmt: skip


@pytest.mark.parametrize("what", REWRITTEN)
async def test_what_no_model_says(pool: Pool, what: str) -> None:
    text, instead, expected = REWRITTEN[what]
    script = "\0".join(statement for table in TABLES for statement in statements(table, pool))
    before, found, after = script.partition(text)
    if text.startswith((")", "ON UPDATE")):  # those of the last table
        before, found, after = script.rpartition(text)
    assert found
    for statement in (before + instead + after).split("\0"):
        await pool.execute(statement)
    differences = await refused(pool, *TABLES)
    if what == "index on another table":
        stray = Difference("items", "index.table", "idx_items_name", "items", "shops")
        assert stray in differences
        differences = [difference for difference in differences if difference != stray]
    assert [(difference.kind, difference.name) for difference in differences] == expected


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE VIEW items AS SELECT 1 AS id", "view"),
        ("CREATE VIRTUAL TABLE items USING fts5 (name)", "virtual"),
        ("CREATE INDEX Items ON strange (x)", "index of strange"),
    ],
)
async def test_something_else_under_the_name_of_a_table(pool: Pool, statement: str, kind: str) -> None:
    await pool.execute("CREATE TABLE strange (x)")
    await pool.execute(statement)
    (difference,) = await refused(pool, *TABLES)
    assert difference.kind == "table.kind"
    assert difference.model == "table"
    assert difference.database is not None
    assert difference.database.startswith(kind)


@pytest.mark.parametrize("kind", ["table", "view"])
@pytest.mark.parametrize("there", [True, False], ids=["its table is there", "its table is missing"])
async def test_something_else_under_the_name_of_an_index(pool: Pool, kind: str, there: bool) -> None:
    if there:
        await create(pool, *TABLES)
        await pool.execute("DROP INDEX idx_items_name")
    await pool.execute(f"CREATE {kind} IDX_items_name AS SELECT 1 AS x")
    (difference,) = await refused(pool, *TABLES)
    assert (difference.table, difference.name) == ("items", "idx_items_name")
    assert (difference.model, difference.database) == ("items", f"none (IDX_items_name is a {kind})")


async def test_a_trigger_has_names_of_its_own(pool: Pool) -> None:
    await pool.execute("CREATE TABLE strange (x)")
    await pool.execute("CREATE TRIGGER items AFTER INSERT ON strange BEGIN SELECT 1; END")
    await create(pool, *TABLES)


async def test_a_huge_expression_in_the_database_is_cut_in_the_message(pool: Pool) -> None:
    await create(pool, PARENT, OTHER)
    (table, *indexes) = statements(BASE, pool)
    await pool.execute(table.replace('CHECK ("size" >= 0)', f"CHECK (size >= 0 OR code = '{'x' * 700_000}')"))
    for index_ in indexes:
        await pool.execute(index_)
    with pytest.raises(SchemaDifference) as caught:
        await AsyncSchemaManager(pool).sync_schema(TABLES)
    assert "more than are read" in str(caught.value)
    assert len(str(caught.value)) < 20_000


STORED_ALIKE = {
    "INTEGER": [Integer(), Boolean(), Interval(), Decimal(8, 2)],
    "TEXT": [Text(), Timestamp(), Date(), Time(), Uuid(), Json(), Array(Text()), Array(Integer()), Decimal(30, 2)],
}


@pytest.mark.parametrize(
    ("before", "after"), [pair for types in STORED_ALIKE.values() for pair in itertools.permutations(types, 2)]
)
async def test_another_type_of_the_same_storage_class_is_refused(
    pool: Pool, before: ColumnType, after: ColumnType
) -> None:
    await create(pool, columns(note={"type": before})(BASE), PARENT, OTHER)
    differences = await refused(pool, columns(note={"type": after})(BASE), PARENT, OTHER)
    assert {(d.table, d.name.rpartition("_note_")[0]) for d in differences} == {("items", "ck_items")}


# --- equal meaning ---------------------------------------------------------------------------------------------------


async def test_a_table_made_by_hand_with_other_spelling_is_equal(pool: Pool) -> None:
    await create(pool, PARENT, OTHER)
    await pool.execute(
        """
        create table Items ( -- by hand
            deleted_at text constraint ck_items_deleted_at_timestamp check (length(deleted_at)=26), [shop_id] integer,
            note text, `twice` INTEGER AS ( Size*2 ) STORED,
            size integer constraint CK_items_size_ge check ( (SIZE>=0) ),
            "active" integer DEFAULT (1) not null constraint ck_items_active_bool check (active in(0,1)),
            price integer not null,
            code text /* a or b */, wide text constraint ck_items_wide_digits check(length(Wide) - 2 = 29),
            name text DEFAULT 'a  b' NOT NULL,
            'id' integer not null, tenant_id integer not null,
            constraint fk_items_shop foreign key (tenant_id,shop_id) references Shops on update no action
                on delete RESTRICT not deferrable,
            constraint pk_items primary key (tenant_id asc, id)
            constraint ck_items_price_digits check (price / 100 between -999999 and 999999),
            constraint ck_items_name_length check (LENGTH(name)<=50),
            constraint ck_items_code_choice check (code in ("a", 'b')),
            constraint ck_items_name check (name != 'a  b' or size>1)
        ) strict
        """.replace("references Shops", "references Shops(Tenant_id, ID)")
    )
    await pool.execute("create unique index UQ_ITEMS_CODE on items(tenant_id, 'code') where [deleted_at] is null")
    await pool.execute("create index idx_items_size on items(size) where ((size>5 and name<>'x  y'))")
    await pool.execute("create index idx_items_name on items(name asc, code)")
    assert await AsyncSchemaManager(pool).sync_schema(TABLES) == 0


async def test_rewritten_histories_are_equal(pool: Pool) -> None:
    await create(pool, PARENT, OTHER)
    first = columns(size=None, twice=None)(BASE)
    first = dataclasses.replace(first, checks=(BASE.checks[1],), indexes=first.indexes[:2])
    (table, *indexes) = [text.replace('"items"', '"things"') for text in statements(first, pool)]
    await pool.execute(table.replace('"shop_id"', '"old id"').replace('"code" TEXT', '"code" TEXT, "gone" TEXT'))
    for text in [
        *indexes,
        "ALTER TABLE things DROP COLUMN gone",
        "ALTER TABLE things RENAME COLUMN [old id] TO shop_id",
        "ALTER TABLE things RENAME TO items",
    ]:
        await pool.execute(text)
    assert await AsyncSchemaManager(pool).sync_schema([PARENT, OTHER, first]) == 0
    await pool.execute("ALTER TABLE items ADD COLUMN size INTEGER CONSTRAINT ck_items_size_ge CHECK (size >= 0)")
    longer = dataclasses.replace(added(column("size", Integer()))(first), checks=(*first.checks, BASE.checks[0]))
    assert await AsyncSchemaManager(pool).sync_schema([PARENT, OTHER, longer]) == 0
