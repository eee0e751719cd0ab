"""Each fact changed alone, in the model and in the database: refused, with both values, and nothing is touched."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import SchemaDifference
from ff_storage.core.tables import (
    Action,
    ChoiceCheck,
    Column,
    ForeignKey,
    Index,
    RangeCheck,
    SqlCheck,
    Table,
)
from ff_storage.core.types import (
    Array,
    Boolean,
    Bytes,
    ColumnType,
    Date,
    Decimal,
    Float,
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

ONE_WAY = {"column gone": (columns(extra=None), [("column", "extra")])}


async def create(pool: Pool, *tables: Table) -> None:
    await AsyncSchemaManager(pool).sync_schema(tables)


async def catalog(pool: Pool) -> list[Any]:
    return await pool.fetch_all("SELECT * FROM sqlite_master UNION ALL SELECT * FROM temp.sqlite_master", as_dict=False)


async def refused(pool: Pool, *tables: Table) -> list[Difference]:
    """The differences that the sync refuses, having touched nothing."""
    before = await catalog(pool)
    with pytest.raises(SchemaDifference) as caught:
        await AsyncSchemaManager(pool).sync_schema(tables)
    assert await catalog(pool) == before
    differences: list[Difference] = caught.value.details["differences"]
    for difference in differences:
        assert difference.table in {table.name for table in tables}
        assert difference.model != difference.database
        assert str(difference) in str(caught.value)
        assert difference.name in str(difference)
        for value in (difference.model, difference.database):
            assert value is None or value in str(difference)
    return differences


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_in_the_model(pool: Pool, what: str) -> None:
    change, expected = CHANGES[what]
    await create(pool, *TABLES)
    differences = await refused(pool, PARENT, OTHER, change(BASE))
    assert [(difference.kind, difference.name) for difference in differences] == expected


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_in_the_database(pool: Pool, what: str) -> None:
    change, expected = CHANGES[what]
    await create(pool, PARENT, OTHER, change(BASE))
    differences = await refused(pool, *TABLES)
    assert [(difference.kind, difference.name) for difference in differences] == expected


@pytest.mark.parametrize("what", CHANGES)
async def test_each_side_shows_its_own_value(pool: Pool, what: str) -> None:
    """The values of both directions are each other's, exchanged."""
    change, _ = CHANGES[what]
    await create(pool, *TABLES)
    there = await refused(pool, PARENT, OTHER, change(BASE))
    await pool.execute("DROP TABLE items")
    await create(pool, PARENT, OTHER, change(BASE))
    back = await refused(pool, *TABLES)
    assert [(d.model, d.database) for d in there] == [(d.database, d.model) for d in back]


async def test_a_missing_column_is_a_difference(pool: Pool) -> None:
    await create(pool, *TABLES)
    await pool.execute("DROP INDEX idx_items_size")  # which alone would be created
    (difference,) = await refused(pool, PARENT, OTHER, added(column("extra", Integer(), default="7"))(BASE))
    assert difference == Difference(
        "items", "column", "extra", "collation BINARY, default 7, nullable NULL, type INTEGER", None
    )


async def test_an_extra_index_is_a_difference_and_a_missing_one_is_not(pool: Pool) -> None:
    await create(pool, *TABLES)
    (difference,) = await refused(pool, PARENT, OTHER, index("idx_items_name")(BASE))
    assert (difference.kind, difference.name, difference.model) == ("index", "idx_items_name", None)
    await pool.execute("DROP INDEX idx_items_name")
    assert await AsyncSchemaManager(pool).sync_schema(TABLES) == 1


# --- what only a database can say ------------------------------------------------------------------------------------


def statements(table: Table, pool: Pool) -> list[str]:
    return pool.dialect.schema().create_table(table)


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


async def test_all_differences_of_all_tables_are_listed_and_nothing_is_created(pool: Pool) -> None:
    changed = columns(note={"type": Float()}, name={"default": "'new'"})(BASE)
    await create(pool, changed, PARENT, OTHER)
    await pool.execute("ALTER TABLE shops ADD COLUMN extra TEXT")
    await pool.execute("DROP INDEX uq_shops_code")
    missing = dataclasses.replace(OTHER, name="missing", indexes=())
    differences = await refused(pool, *TABLES, missing)
    assert [(d.table, d.kind, d.name) for d in differences] == [
        ("shops", "column", "extra"),
        ("items", "column.default", "name"),
        ("items", "column.type", "note"),
    ]


async def test_texts_of_the_database_are_shown_without_control_characters(pool: Pool) -> None:
    await create(pool, *TABLES)
    await pool.execute("ALTER TABLE items ADD COLUMN evil TEXT DEFAULT '\x1b[31m*/ '' ); DROP'")
    with pytest.raises(SchemaDifference) as caught:
        await AsyncSchemaManager(pool).sync_schema(TABLES)
    assert "\x1b" not in str(caught.value)
    assert "\\x1b[31m*/ '' ); DROP" in str(caught.value)


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
