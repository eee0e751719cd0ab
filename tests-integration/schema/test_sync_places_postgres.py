"""Where PostgreSQL compares: with which rights, under which settings, in which schema, and what it leaves alone."""

import dataclasses
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

import servers
from ff_storage import Postgres as SyncPostgres
from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import ConfigurationError, SchemaDifference, SchemaError, SerializationFailure
from ff_storage.core.facts import Fact
from ff_storage.core.model import Field, PydanticModel
from ff_storage.core.program import Fetch, Program
from ff_storage.core.tables import Action, Column, ForeignKey, Index, Table
from ff_storage.core.types import Array, Bytes, Date, Integer, Text, Timestamp
from ff_storage.schema import AsyncSchemaManager, SchemaManager
from schema.engines import Postgres
from schema.gallery import Painter, Painting
from schema.shop import BASE, OTHER, PARENT, TABLES, column, columns, create, refused

# --- rights ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def role(pg: Pool) -> AsyncIterator[str]:
    """A role that may nothing but what everybody may."""
    name = f"ff_test_{uuid.uuid4().hex[:16]}"
    await pg.execute(f"CREATE ROLE {name}")
    await pg.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")  # which may create there before 15
    await pg.execute(f"GRANT USAGE ON SCHEMA public TO {name}")
    yield name
    await pg.execute(f"DROP OWNED BY {name}")
    await pg.execute(f"DROP ROLE {name}")


NO_TEMP = "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
RIGHTS = {
    "a temporary table": [],
    "a schema of its own": [NO_TEMP, "GRANT CREATE ON DATABASE {database} TO {role}"],
    "a name of its own": [NO_TEMP, "GRANT CREATE ON SCHEMA public TO {role}"],
}


async def grant(pg: Pool, role: str, rights: list[str]) -> None:
    database = await pg.fetch_val("SELECT current_database()")
    for statement in rights:
        await pg.execute(statement.format(database=database, role=role))


@pytest.mark.parametrize("place", RIGHTS)
async def test_each_place_tells_the_same(pg: Pool, role: str, place: str) -> None:
    await create(pg, *TABLES)
    await AsyncSchemaManager(pg).sync_schema([Painter, Painting])
    await grant(pg, role, RIGHTS[place])
    changed = columns(name={"default": "'a b'"})(BASE)
    expected = await refused(pg, Postgres.catalog, PARENT, OTHER, changed)
    before = await pg.fetch_all(Postgres.catalog, as_dict=False)
    with pytest.raises(SchemaDifference) as caught:
        async with pg.transaction() as tx:
            await tx.execute(f"SET LOCAL ROLE {role}")
            manager = AsyncSchemaManager(tx)
            assert await manager.sync_schema([*TABLES, Painter, Painting]) == 0
            await manager.sync_schema([PARENT, OTHER, changed])
    assert caught.value.details["differences"] == expected
    assert await pg.fetch_all(Postgres.catalog, as_dict=False) == before


async def test_no_place_at_all(pg: Pool, role: str) -> None:
    await create(pg, *TABLES)
    await grant(pg, role, [NO_TEMP])
    with pytest.raises(SchemaError, match="GRANT TEMPORARY ON DATABASE"):
        async with pg.transaction() as tx:
            await tx.execute(f"SET LOCAL ROLE {role}")
            await AsyncSchemaManager(tx).sync_schema(TABLES, dry_run=True)


async def test_a_right_that_is_missing_is_not_the_models_fault(pg: Pool, role: str) -> None:
    with pytest.raises(Exception, match="permission denied") as caught:
        async with pg.transaction() as tx:
            await tx.execute(f"SET LOCAL ROLE {role}")
            await AsyncSchemaManager(tx).sync_schema(TABLES)
    assert not isinstance(caught.value, ConfigurationError)


async def test_a_session_that_cannot_write(pg: Pool) -> None:
    await create(pg, *TABLES)
    with pytest.raises(SchemaError, match="cannot write"):
        async with pg.transaction(readonly=True) as tx:
            await AsyncSchemaManager(tx).sync_schema(TABLES, dry_run=True)


async def test_a_temporary_table_that_hides_one_of_ours(pg: Pool) -> None:
    async with pg.acquire() as connection:
        await connection.execute("CREATE TEMPORARY TABLE shops (mine integer)")
        with pytest.raises(SchemaError, match=r"temporary tables of this session hide .* shops;"):
            await AsyncSchemaManager(connection).sync_schema([PARENT])
        assert await connection.fetch_all("SELECT mine FROM pg_temp.shops") == []
    assert await AsyncSchemaManager(pg).sync_schema([PARENT]) == 2


# --- what is left alone ----------------------------------------------------------------------------------------------


async def test_comparing_takes_no_lock_on_a_table_that_is_there(pg: Pool) -> None:
    await create(pg, *TABLES)
    query = """
        SELECT c.relname, l.mode FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
        WHERE l.pid = pg_backend_pid() AND c.relname IN ('shops', 'other', 'items') AND c.relpersistence = 'p'
    """
    seen: list[Any] = []

    class Watching:
        dialect = pg.dialect

        async def run(self, program: Program[Any], *, atomic: bool = False) -> Any:
            return await pg.run(self.watched(program), atomic=atomic)

        def watched(self, program: Program[Any]) -> Program[Any]:
            result = None
            while True:
                try:
                    command = program.send(result)
                except StopIteration as stop:
                    return stop.value
                result = yield command
                seen.append((command.text, [tuple(row) for row in (yield Fetch(query))]))

    await AsyncSchemaManager(Watching()).sync_schema(TABLES)
    assert any("TEMPORARY TABLE" in text for text, _ in seen)
    assert {mode for _, locks in seen for _, mode in locks} <= {"AccessShareLock"}


async def test_the_settings_of_a_callers_transaction_stay(pg: Pool) -> None:
    names = [
        "TimeZone",
        "DateStyle",
        "IntervalStyle",
        "search_path",
        "jit",
        "lock_timeout",
        "bytea_output",
        "quote_all_identifiers",
    ]
    query = f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}"
    async with pg.transaction() as tx:
        await tx.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
        await tx.execute("SET LOCAL search_path = public, pg_catalog")
        before = await tx.fetch_one(query, as_dict=False)
        assert await AsyncSchemaManager(tx).sync_schema(TABLES) > 0
        assert await AsyncSchemaManager(tx).sync_schema(TABLES, dry_run=True) == 0
        assert await tx.fetch_one(query, as_dict=False) == before


async def test_a_table_that_somebody_holds_is_not_waited_for_without_end(pg: Pool) -> None:
    await create(pg, PARENT)
    database = await pg.fetch_val("SELECT current_database()")
    await pg.execute(f"ALTER DATABASE {database} SET lock_timeout = '200ms'")
    async with open_pool(await url_of(pg)) as other, pg.transaction() as tx:
        await tx.execute("LOCK TABLE shops IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SerializationFailure, match="lock timeout"):
            await AsyncSchemaManager(other).sync_schema(TABLES)
    assert await Postgres.tables(pg) == {"shops"}


async def url_of(pg: Pool) -> str:
    row = await pg.fetch_one("SELECT current_user AS role, inet_server_port() AS port, current_database() AS name")
    assert row is not None
    return f"postgresql://{row['role']}@127.0.0.1:{row['port']}/{row['name']}"


# --- settings that change the words ----------------------------------------------------------------------------------

HOSTILE = {
    "TimeZone": "Asia/Tokyo",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "quote_all_identifiers": "on",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "jit": "on",
    "jit_above_cost": "0",
    "search_path": "public, pg_catalog",
}
WORDED = Table(
    "worded",
    None,
    (
        column("at", Timestamp(), default="'2020-01-01 00:00:00'"),
        column("day", Date(), default="'2020-02-01'"),
        column("gap", Text(), sql_type="interval day to second", default="'1 day 02:00:00'"),
        column("raw", Bytes(), default="'\\x00ff'"),
        column("text", Text(), default="'a\\b'"),
        column("list", Array(Text()), default="'{NULL,a}'"),
        column("order", Integer(), default="5"),
        column("double", Text(), generated="\"order\"::text || '\\'"),
    ),
    (),
    indexes=(
        Index("ix_worded", ("at",), where="at > '2021-01-01' and day <> '2020-03-02' and (\"order\" = NULL) is null"),
    ),
)


async def facts_of(pool: Pool, *tables: Table) -> frozenset[Fact]:
    backend = pool.dialect.schema()
    return await pool.run(backend.pinned(backend.current(tables)), atomic=True)


@pytest.mark.parametrize("when", ["before", "behind"])
async def test_no_setting_changes_what_is_compared(pg: Pool, when: str) -> None:
    """Created by one session and compared by another, whose settings print and read literals otherwise."""
    url = await url_of(pg)
    if when == "behind":
        await create(pg, WORDED, *TABLES)
    database = await pg.fetch_val("SELECT current_database()")
    for name, value in HOSTILE.items():
        await pg.execute(f"ALTER DATABASE {database} SET {name} = {value if name == 'search_path' else repr(value)}")
    async with open_pool(url) as hostile:
        assert await hostile.fetch_val("SELECT current_setting('TimeZone')") == "Asia/Tokyo"
        assert (await AsyncSchemaManager(hostile).sync_schema([WORDED, *TABLES]) > 0) is (when == "before")
        assert await AsyncSchemaManager(hostile).sync_schema([WORDED, *TABLES]) == 0
        facts = await facts_of(hostile, WORDED)
    assert await AsyncSchemaManager(pg).sync_schema([WORDED, *TABLES]) == 0
    assert await facts_of(pg, WORDED) == facts
    await pg.execute('INSERT INTO worded ("order") VALUES (1)')
    row = await pg.fetch_one("SELECT at, day, raw, text, list, double FROM worded")
    assert row == {
        "at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        "day": dt.date(2020, 2, 1),
        "raw": b"\0\xff",
        "text": "a\\b",
        "list": [None, "a"],
        "double": "1\\",
    }


# --- schemas ---------------------------------------------------------------------------------------------------------


async def test_schemas_are_created_and_hold_tables_of_one_name(pg: Pool) -> None:
    class Shop(PydanticModel):
        __schema__ = "sales"
        __multi_tenant__ = False
        name: str = Field(db_index=True, db_check="name <> ''")

    class Order(PydanticModel):
        __schema__ = "sales"
        __table_name__ = "orders"
        __multi_tenant__ = False
        shop_id: uuid.UUID = Field(db_foreign_key="sales.shops(id)")
        name: str = Field(db_index=True, db_default="'x'")

    class Archived(PydanticModel):
        __schema__ = "Archive"
        __table_name__ = "orders"
        __multi_tenant__ = False
        shop_id: uuid.UUID = Field(db_foreign_key="sales.shops(id)")
        name: str = Field(db_index=True, db_default="'y'")

    models = [Archived, Order, Shop, Painter]
    manager = AsyncSchemaManager(pg)
    assert await manager.sync_schema(models, dry_run=True) == 0
    assert manager.last_report is not None
    planned = manager.last_report.statements
    assert await manager.sync_schema(models) == len(planned)
    assert manager.last_report.statements == planned
    assert planned[:2] == ('CREATE SCHEMA "Archive"', 'CREATE SCHEMA "sales"')
    assert manager.last_report.created[:2] == ("schema Archive", "schema sales")
    assert await manager.sync_schema(models) == 0
    assert await manager.sync_schema([Order]) == 0
    await pg.execute('DROP INDEX "Archive".idx_orders_name')
    assert await manager.sync_schema(models) == 1
    assert manager.last_report.created == ("index idx_orders_name of Archive.orders",)
    await pg.execute("ALTER TABLE sales.orders ALTER name SET DEFAULT 'y'")
    with pytest.raises(SchemaDifference) as caught:
        await manager.sync_schema(models)
    (difference,) = caught.value.details["differences"]
    assert (difference.table, difference.kind) == ("sales.orders", "column.default")
    found = await pg.fetch_all("SELECT schemaname, tablename FROM pg_tables WHERE tablename = 'orders'", as_dict=False)
    assert sorted(found) == [("Archive", "orders"), ("sales", "orders")]


async def test_the_default_schema_is_the_connections(pg: Pool) -> None:
    database = await pg.fetch_val("SELECT current_database()")
    await pg.execute('CREATE SCHEMA "My App"')
    await pg.execute("""CREATE TYPE "My App".mood AS ENUM ('sad', 'ok')""")
    await create(pg, *TABLES)
    await pg.execute(f'ALTER DATABASE {database} SET search_path = nowhere, "My App", public')
    moody = Table("moody", None, (column("m", Text(), sql_type="mood", default="'sad'"),), ())
    async with open_pool(await url_of(pg)) as pool:
        assert await AsyncSchemaManager(pool).sync_schema([*TABLES, moody]) > 0
        assert await AsyncSchemaManager(pool).sync_schema([*TABLES, moody]) == 0
        assert await Postgres.tables(pool) == {"shops", "other", "items", "moody"}
    assert await Postgres.tables(pg) == {"shops", "other", "items"}


async def test_a_connection_without_a_default_schema(pg: Pool) -> None:
    await pg.execute("DROP SCHEMA public")
    with pytest.raises(SchemaError, match="no default schema"):
        await AsyncSchemaManager(pg).sync_schema([PARENT])


async def test_one_table_described_twice(pg: Pool) -> None:
    with pytest.raises(ConfigurationError, match=r"of one table, public\.shops"):
        await AsyncSchemaManager(pg).sync_schema([PARENT, dataclasses.replace(PARENT, schema="public")])


# --- references ------------------------------------------------------------------------------------------------------


async def test_set_null_spares_the_tenant(pg: Pool) -> None:
    key = dataclasses.replace(BASE.foreign_keys[0], on_delete=Action.SET_NULL, set_null=("shop_id",))
    items = dataclasses.replace(BASE, foreign_keys=(key,))
    await create(pg, PARENT, items)
    assert await AsyncSchemaManager(pg).sync_schema([PARENT, items]) == 0
    await pg.execute("INSERT INTO shops VALUES (1, 2, 3)")
    await pg.execute("INSERT INTO items (tenant_id, id, price, shop_id) VALUES (1, 1, 0, 2)")
    await pg.execute("DELETE FROM shops")
    assert await pg.fetch_one("SELECT tenant_id, shop_id FROM items", as_dict=False) == (1, None)
    differences = await refused(pg, Postgres.catalog, PARENT, BASE)
    assert [(d.kind, d.name) for d in differences] == [("foreign_key.definition", "fk_items_shop")]


async def test_a_reference_to_another_type(pg: Pool) -> None:
    target = Table("target", None, (column("id", Text(), nullable=False),), ("id",))
    source = Table(
        "source", None, (column("a", Integer()),), (), foreign_keys=(ForeignKey("fk", ("a",), None, "target", ("id",)),)
    )
    with pytest.raises(ConfigurationError, match="another type") as caught:
        await AsyncSchemaManager(pg).sync_schema([target, source])
    assert caught.value.__cause__ is not None
    assert any("REFERENCES" in note for note in caught.value.__notes__)
    assert await Postgres.tables(pg) == set()


async def test_a_reference_to_a_table_of_another_schema_of_the_database(pg: Pool) -> None:
    await pg.execute("CREATE SCHEMA base")
    await pg.execute("CREATE TABLE base.target (id bigint PRIMARY KEY)")

    def source(schema: str | None) -> Table:
        key = ForeignKey("fk", ("a",), schema, "target", ("id",))
        return Table("source", None, (column("a", Integer()),), (), foreign_keys=(key,))

    with pytest.raises(SchemaError, match="nor in the database"):
        await AsyncSchemaManager(pg).sync_schema([source(None)])
    assert await AsyncSchemaManager(pg).sync_schema([source("base")]) == 1
    assert await AsyncSchemaManager(pg).sync_schema([source("base")]) == 0


# --- many tables, and the other driver -------------------------------------------------------------------------------


def numbered(number: int) -> Table:
    names = Column("id", Integer(), False, "id"), Column("up", Integer(), True, "up")
    key = ForeignKey(f"fk_{number}", ("up",), None, f"t{max(number - 1, 0)}", ("id",))
    return Table(f"t{number}", None, names, ("id",), foreign_keys=(key,), comment=f"the table {number}")


async def test_more_tables_than_one_batch(pg: Pool) -> None:
    tables = [numbered(number) for number in range(230)]
    assert await AsyncSchemaManager(pg).sync_schema(tables) == 460
    assert await AsyncSchemaManager(pg).sync_schema(tables[::-1]) == 0
    await pg.execute("COMMENT ON TABLE t7 IS 'another'")
    differences = await refused(pg, Postgres.catalog, *tables)
    assert [(d.table, d.kind, d.model, d.database) for d in differences] == [
        ("t7", "table.comment", "the table 7", "another")
    ]


def test_the_synchronous_manager_says_the_same(postgres_database: servers.Server) -> None:
    with SyncPostgres.from_url(postgres_database.url) as database:
        manager = SchemaManager(database)
        assert manager.sync_schema([*TABLES, Painting, Painter, WORDED], dry_run=True) == 0
        assert manager.sync_schema([*TABLES, Painting, Painter, WORDED]) > 10
        assert manager.sync_schema([*TABLES, Painting, Painter, WORDED]) == 0
        with pytest.raises(SchemaDifference):
            manager.sync_schema([PARENT, OTHER, columns(name={"default": "'a b'"})(BASE)])
        assert manager.sync_schema([Painter]) == 0
