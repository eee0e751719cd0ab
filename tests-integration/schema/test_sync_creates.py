"""`sync_schema` creates what is missing, once, and proves it."""

import asyncio
import datetime as dt
import enum
import logging
import sqlite3
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

import ff_storage
from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import (
    CheckViolation,
    ConfigurationError,
    ForeignKeyViolation,
    SchemaDifference,
    SchemaError,
    UniqueViolation,
)
from ff_storage.core.model import Field, PydanticModel
from ff_storage.core.program import Program
from ff_storage.core.tables import Column, ForeignKey, Index, SqlCheck, Table
from ff_storage.core.types import Integer, Text
from ff_storage.schema import AsyncSchemaManager


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


async def names(pool: Pool, kind: str = "table") -> set[str]:
    rows = await pool.fetch_all("SELECT name FROM sqlite_master WHERE type = ? AND sql IS NOT NULL", kind)
    return {row["name"] for row in rows}


async def test_tables_with_everything_once(pool: Pool) -> None:
    manager = AsyncSchemaManager(pool)
    assert manager.last_report is None
    count = await manager.sync_schema([Painting, Painter])
    report = manager.last_report
    assert report is not None
    assert count == len(report.statements) > 2
    assert await names(pool) == {"painters", "paintings"}
    assert report.applied
    assert report.created == ("table painters", "table paintings")  # the referenced one first
    assert set(report.tables) == {"painters", "paintings"}
    assert report.seconds > 0

    assert await manager.sync_schema([Painting, Painter]) == 0
    assert manager.last_report is not None
    assert manager.last_report.statements == manager.last_report.created == ()
    assert await AsyncSchemaManager(pool).sync_schema([Painter]) == 0
    assert not await names(pool, "temp")
    assert await pool.fetch_val("SELECT count(*) FROM temp.sqlite_master") == 0


async def test_the_constraints_hold_for_raw_sql(pool: Pool) -> None:
    await AsyncSchemaManager(pool).sync_schema([Painter, Painting])
    tenant, painter = str(uuid.uuid4()), str(uuid.uuid4())
    stamp = "2026-01-01 00:00:00.000000"
    insert = "INSERT INTO painters (id, tenant_id, created_at, updated_at, name, deleted_at) VALUES (?, ?, ?, ?, ?, ?)"
    await pool.execute(insert, painter, tenant, stamp, stamp, "Ann", None)
    with pytest.raises(UniqueViolation):
        await pool.execute(insert, str(uuid.uuid4()), tenant, stamp, stamp, "Ann", None)
    await pool.execute(insert, str(uuid.uuid4()), tenant, stamp, stamp, "Ann", stamp)  # a dead one
    await pool.execute(insert, str(uuid.uuid4()), str(uuid.uuid4()), stamp, stamp, "Ann", None)  # of another tenant
    with pytest.raises(UniqueViolation):
        await pool.execute(insert, painter, tenant, stamp, stamp, "Bea", None)

    async def painting(**values: Any) -> None:
        row = {
            "id": str(uuid.uuid4()), "tenant_id": tenant, "created_at": stamp, "updated_at": stamp, "title": "t",
            "painter_id": painter, "price": 100, "kind": "a", "stars": 1, "tags": "[]", "extra": "{}", **values,
        }  # fmt: skip
        marks = ", ".join("?" * len(row))
        await pool.execute(f"INSERT INTO paintings ({', '.join(row)}) VALUES ({marks})", *row.values())

    await painting()
    row = await pool.fetch_one("SELECT status, public, length, published FROM paintings")
    assert row is not None
    assert (row["status"], row["public"], row["length"], len(row["published"])) == ("draft", 0, 0, 26)
    for wrong in (
        {"price": -1}, {"price": 500_000}, {"price": 10**8}, {"status": "gone"}, {"kind": "c"}, {"stars": 6},
        {"public": 2}, {"title": "x" * 201},
    ):  # fmt: skip
        with pytest.raises(CheckViolation):
            await painting(**wrong)
    await painting(status="it's done", price=499_999)
    with pytest.raises(ForeignKeyViolation):
        await painting(painter_id=str(uuid.uuid4()))
    with pytest.raises(ForeignKeyViolation):
        await painting(tenant_id=str(uuid.uuid4()))
    await pool.execute("DELETE FROM painters WHERE id = ?", painter)
    assert await pool.fetch_val("SELECT count(*) FROM paintings") == 0


async def test_a_missing_index_is_created(pool: Pool) -> None:
    manager = AsyncSchemaManager(pool)
    await manager.sync_schema([Painter, Painting])
    everything = await names(pool, "index")
    await pool.execute("DROP INDEX idx_paintings_title")
    await pool.execute("DROP INDEX uq_painters_name")
    assert await manager.sync_schema([Painter, Painting]) == 2
    assert manager.last_report is not None
    assert manager.last_report.created == (
        "index uq_painters_name of painters",
        "index idx_paintings_title of paintings",
    )
    assert await names(pool, "index") == everything
    assert await manager.sync_schema([Painter, Painting]) == 0


async def test_a_missing_table_beside_existing_ones(pool: Pool) -> None:
    manager = AsyncSchemaManager(pool)
    await manager.sync_schema([Painter])
    await pool.execute("CREATE TABLE strangers (a, b REFERENCES painters (nowhere))")
    await pool.execute("CREATE VIEW seen AS SELECT * FROM painters")
    await pool.execute("CREATE TRIGGER busy AFTER UPDATE ON painters BEGIN SELECT 1; END")
    assert await manager.sync_schema([Painting]) > 0
    assert await manager.sync_schema([Painter, Painting]) == 0
    assert await names(pool) == {"painters", "paintings", "strangers"}


async def test_a_dry_run_changes_nothing_and_shows_the_plan(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    manager = AsyncSchemaManager(pool, logger=logging.getLogger("mine"))
    with caplog.at_level(logging.INFO, "mine"):
        assert await manager.sync_schema([Painter, Painting], dry_run=True) == 0
    assert await names(pool) == set()
    assert manager.last_report is not None
    assert not manager.last_report.applied
    planned = manager.last_report.statements
    assert 'CREATE TABLE "painters" (' in caplog.text
    assert caplog.records[0].getMessage().startswith(f"would apply {len(planned)} statements")
    assert await manager.sync_schema([Painter, Painting]) == len(planned)
    assert manager.last_report.statements == planned
    assert await manager.sync_schema([Painter, Painting], dry_run=True) == 0
    assert manager.last_report.statements == ()


async def test_a_dry_run_needs_no_right_to_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'data.db'}"
    async with open_pool(url) as pool:
        await AsyncSchemaManager(pool).sync_schema([Painter])
    async with open_pool(url, readonly=True) as pool:
        manager = AsyncSchemaManager(pool)
        assert await manager.sync_schema([Painter, Painting], dry_run=True) == 0
        assert manager.last_report is not None
        assert manager.last_report.created == ("table paintings",)


async def test_control_characters_of_a_model_do_not_reach_the_log(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    table = one_table(default="'\x1b[31mred\r\n\x07'", type_=Text())
    with caplog.at_level(logging.INFO, "ff_storage.schema"):
        await AsyncSchemaManager(pool).sync_schema([table])
    assert "\\x1b[31mred\\r" in caplog.text
    assert not {"\x1b", "\x07", "\r"} & set(caplog.text)
    await pool.execute("INSERT INTO things (id) VALUES (1)")
    assert await pool.fetch_val("SELECT a FROM things") == "\x1b[31mred\r\n\x07"


def one_table(name: str = "things", type_: Any = None, **options: Any) -> Table:
    a = Column("a", type_ or Integer(), nullable=True, attribute="a", **options)
    return Table(name, None, (Column("id", Integer(), nullable=False, attribute="id"), a), ("id",))


# --- transactions ----------------------------------------------------------------------------------------------------


async def test_it_joins_the_callers_transaction(pool: Pool) -> None:
    class Undone(Exception):
        pass

    async def work() -> None:
        async with pool.transaction() as tx:
            assert await AsyncSchemaManager(tx).sync_schema([Painter]) > 0
            assert await AsyncSchemaManager(pool).sync_schema([Painting]) > 0
            await tx.execute("CREATE TABLE other (a)")
            raise Undone

    with pytest.raises(Undone):
        await work()
    assert await names(pool) == set()
    async with pool.transaction() as tx:
        await AsyncSchemaManager(tx).sync_schema([Painter])
    assert await names(pool) == {"painters"}


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_failure_leaves_nothing(pool: Pool, dry_run: bool) -> None:
    """The second table is refused by SQLite itself; the first is not there either."""
    bad = one_table("bad")
    bad = Table(bad.name, None, bad.columns, ("id",), checks=(SqlCheck("ck", "a > (SELECT 1)", "a"),))
    manager = AsyncSchemaManager(pool)
    await manager.sync_schema([Painter])
    with pytest.raises(ConfigurationError, match="SQLite cannot create bad"):
        await manager.sync_schema([one_table(), bad], dry_run=dry_run)
    assert manager.last_report is None
    assert await names(pool) == {"painters"}
    assert await pool.fetch_val("SELECT count(*) FROM temp.sqlite_master") == 0
    assert await manager.sync_schema([one_table()]) == 1


async def test_rows_that_a_new_unique_index_forbids(pool: Pool) -> None:
    manager = AsyncSchemaManager(pool)
    plain = one_table()
    await manager.sync_schema([plain])
    await pool.execute("INSERT INTO things VALUES (1, 5), (2, 5)")
    unique = Table("things", None, plain.columns, ("id",), indexes=(Index("uq", ("a",), unique=True),))
    with pytest.raises(UniqueViolation) as caught:
        await manager.sync_schema([unique, one_table("more")])
    assert any("CREATE UNIQUE INDEX" in note for note in caught.value.__notes__)
    assert await names(pool) == {"things"}


@pytest.mark.parametrize(
    "moment", ["SAVEPOINT", 'CREATE TEMP TABLE "t5"', "ROLLBACK TO", 'CREATE TABLE "t5"', "PRAGMA"]
)
async def test_a_canceled_run_leaves_nothing(file_pool: Pool, moment: str) -> None:
    class Canceling:
        """Runs on the pool, and cancels its own task when a certain command comes."""

        dialect = file_pool.dialect

        async def run(self, program: Program[Any], *, atomic: bool = False) -> Any:
            return await file_pool.run(self.watched(program), atomic=atomic)

        def watched(self, program: Program[Any]) -> Program[Any]:
            result = None
            while True:
                try:
                    command = program.send(result)
                except StopIteration as stop:
                    return stop.value
                if command.text.startswith(moment):
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                result = yield command

    reference = ForeignKey("fk", ("a",), None, "t0", ("id",))
    tables = [one_table(f"t{number}") for number in range(10)]
    tables[5] = Table("t5", None, tables[5].columns, ("id",), foreign_keys=(reference,))
    task = asyncio.create_task(AsyncSchemaManager(Canceling()).sync_schema(tables))
    with pytest.raises(asyncio.CancelledError):
        await task
    await file_pool.settle()
    assert await names(file_pool) == set()
    assert await AsyncSchemaManager(file_pool).sync_schema(tables) == 10


# --- references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_reference_to_a_table_that_is_nowhere(pool: Pool, dry_run: bool) -> None:
    with pytest.raises(SchemaError, match=r"fk_paintings_painter_id → painters\(tenant_id, id\)"):
        await AsyncSchemaManager(pool).sync_schema([Painting], dry_run=dry_run)
    assert await names(pool) == set()


async def test_a_reference_to_a_table_of_the_database(pool: Pool) -> None:
    await pool.execute("CREATE TABLE Painters (ID integer, Tenant_ID text, PRIMARY KEY (Tenant_ID, ID))")
    assert await AsyncSchemaManager(pool).sync_schema([Painting]) > 0


async def test_a_reference_to_what_is_no_key_there(pool: Pool) -> None:
    await pool.execute("CREATE TABLE painters (id integer, tenant_id text)")
    with pytest.raises(ConfigurationError, match="no key"):
        await AsyncSchemaManager(pool).sync_schema([Painting])
    assert await names(pool) == {"painters"}


async def test_tables_that_refer_to_each_other_and_to_themselves(pool: Pool) -> None:
    def table(name: str, *targets: str) -> Table:
        columns = [Column(f"{target}_id", Integer(), nullable=True, attribute=f"{target}_id") for target in targets]
        keys = [ForeignKey(f"fk_{name}_{t}", (f"{t}_id",), None, t, ("id",)) for t in targets]
        return Table(
            name,
            None,
            (Column("id", Integer(), nullable=False, attribute="id"), *columns),
            ("id",),
            foreign_keys=(*keys,),
        )

    tables = [table("a", "b", "d"), table("b", "c"), table("c", "a", "c"), table("d")]
    manager = AsyncSchemaManager(pool)
    assert await manager.sync_schema(tables) == 4
    assert manager.last_report is not None
    assert manager.last_report.created == ("table c", "table b", "table d", "table a")
    assert await manager.sync_schema(tables[::-1]) == 0


async def test_a_table_of_a_module_that_is_not_there(tmp_path: Path) -> None:
    """Virtual tables whose module another program brings are left alone."""
    path = tmp_path / "data.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE painters (id TEXT, tenant_id TEXT, PRIMARY KEY (tenant_id, id));
        PRAGMA writable_schema = ON;
        INSERT INTO sqlite_master VALUES ('table', 'ghost', 'ghost', 0, 'CREATE VIRTUAL TABLE ghost USING absent (a)');
        """
    )
    connection.close()
    async with open_pool(f"sqlite:///{path}") as pool:
        assert await AsyncSchemaManager(pool).sync_schema([Painting]) > 0
        assert await AsyncSchemaManager(pool).sync_schema([Painting]) == 0


# --- arguments -------------------------------------------------------------------------------------------------------


async def test_nothing_to_do(pool: Pool) -> None:
    assert await AsyncSchemaManager(pool).sync_schema([]) == 0


async def test_a_model_given_twice_counts_once(pool: Pool) -> None:
    assert await AsyncSchemaManager(pool).sync_schema([Painter, Painter]) > 0
    assert await AsyncSchemaManager(pool).sync_schema(model for model in [Painter, Painter]) == 0


@pytest.mark.parametrize(
    "models",
    [
        Painter,
        "Painter",
        [int],
        ["Painter"],
        [Painter, None],
        None,
        {"Painter": Painter},
        [PydanticModel],
        5,
        [Painter.model_construct()],
    ],
    ids=str,
)
async def test_what_is_no_list_of_models(pool: Pool, models: Any) -> None:
    with pytest.raises(ConfigurationError):
        await AsyncSchemaManager(pool).sync_schema(models)
    assert await names(pool) == set()


@pytest.mark.parametrize("db_pool", [None, "sqlite://", object()])
def test_what_is_no_pool(db_pool: Any) -> None:
    with pytest.raises(ConfigurationError, match="open_pool"):
        AsyncSchemaManager(db_pool)


async def test_another_schema_is_refused(pool: Pool) -> None:
    class Elsewhere(PydanticModel):
        __schema__ = "sales"
        name: str

    with pytest.raises(ConfigurationError, match="elsewheres"):
        await AsyncSchemaManager(pool).sync_schema([Painter, Elsewhere])
    assert await names(pool) == set()


async def test_allow_destructive_destroys_nothing(pool: Pool) -> None:
    manager = AsyncSchemaManager(pool)
    await manager.sync_schema([Painter])
    await pool.execute("ALTER TABLE painters ADD COLUMN extra TEXT")
    for allowed in (False, True):
        with pytest.raises(SchemaDifference, match="the column extra is only in the database"):
            await manager.sync_schema([Painter], allow_destructive=allowed)


def test_the_flat_name() -> None:
    assert ff_storage.AsyncSchemaManager is AsyncSchemaManager
