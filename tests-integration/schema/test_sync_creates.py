"""`sync_schema` creates what is missing, once, and proves it."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

import ff_storage
from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    ConfigurationError,
    QueryError,
    SchemaDifference,
    SchemaError,
    UniqueViolation,
)
from ff_storage.core.model import PydanticModel
from ff_storage.core.program import Program
from ff_storage.core.tables import Column, ForeignKey, Index, SqlCheck, Table
from ff_storage.core.types import Integer, Text
from ff_storage.schema import AsyncSchemaManager
from schema.engines import BY_DIALECT, Engine
from schema.gallery import Painter, Painting


@pytest.fixture
def pool(any_pool: Pool) -> Pool:
    return any_pool


async def names(pool: Pool, kind: str = "tables") -> set[str]:
    engine = BY_DIALECT[pool.dialect.name]
    return await (engine.tables(pool) if kind == "tables" else engine.indexes(pool))


async def leftovers(pool: Pool) -> Sequence[Any]:
    return await BY_DIALECT[pool.dialect.name].leftovers(pool)


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
    assert not await leftovers(pool)


async def test_a_missing_index_is_created(pool: Pool) -> None:
    manager = AsyncSchemaManager(pool)
    await manager.sync_schema([Painter, Painting])
    everything = await names(pool, "indexes")
    await pool.execute("DROP INDEX idx_paintings_title")
    await pool.execute("DROP INDEX uq_painters_name")
    assert await manager.sync_schema([Painter, Painting]) == 2
    assert manager.last_report is not None
    assert manager.last_report.created == (
        "index uq_painters_name of painters",
        "index idx_paintings_title of paintings",
    )
    assert await names(pool, "indexes") == everything
    assert await manager.sync_schema([Painter, Painting]) == 0


async def test_a_missing_table_beside_existing_ones(engine: Engine, pool: Pool) -> None:
    manager = AsyncSchemaManager(pool)
    await manager.sync_schema([Painter])
    await pool.execute("CREATE TABLE strangers (a integer, b integer CHECK (b > a))")
    await pool.execute("CREATE VIEW seen AS SELECT * FROM painters")
    await pool.execute(engine.trigger)
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
            await tx.execute("CREATE TABLE other (a integer)")
            raise Undone

    with pytest.raises(Undone):
        await work()
    assert await names(pool) == set()
    async with pool.transaction() as tx:
        await AsyncSchemaManager(tx).sync_schema([Painter])
    assert await names(pool) == {"painters"}


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_failure_leaves_nothing(engine: Engine, pool: Pool, dry_run: bool) -> None:
    """The second table is refused by the engine itself; the first is not there either."""
    bad = one_table("bad")
    bad = Table(bad.name, None, bad.columns, ("id",), checks=(SqlCheck("ck", "a > (SELECT 1)", "a"),))
    manager = AsyncSchemaManager(pool)
    await manager.sync_schema([Painter])
    with pytest.raises(ConfigurationError, match=f"{engine.title} cannot create bad") as caught:
        await manager.sync_schema([one_table(), bad], dry_run=dry_run)
    assert isinstance(caught.value.__cause__, QueryError)
    assert manager.last_report is None
    assert await names(pool) == {"painters"}
    assert not await leftovers(pool)
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


async def test_a_run_that_is_canceled_at_any_command_leaves_nothing(pool: Pool) -> None:
    class Canceling:
        """Runs on the pool, and cancels its own task when the command of a number comes."""

        dialect = pool.dialect

        def __init__(self, number: int) -> None:
            self.number = number
            self.commands = 0

        async def run(self, program: Program[Any], *, atomic: bool = False) -> Any:
            return await pool.run(self.watched(program), atomic=atomic)

        def watched(self, program: Program[Any]) -> Program[Any]:
            result = None
            while True:
                try:
                    command = program.send(result)
                except StopIteration as stop:
                    return stop.value
                if self.commands == self.number:
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                self.commands += 1
                result = yield command

    reference = ForeignKey("fk", ("a",), None, "t0", ("id",))
    tables = [one_table(f"t{number}") for number in range(4)]
    tables[2] = Table("t2", None, tables[2].columns, ("id",), foreign_keys=(reference,))
    number = 0
    while True:
        canceling = Canceling(number)
        task = asyncio.create_task(AsyncSchemaManager(canceling).sync_schema(tables))
        try:
            await task
        except asyncio.CancelledError:
            await pool.settle()
        else:
            break
        assert await names(pool) == set(), number
        assert not await leftovers(pool)
        number += 1
    assert number == canceling.commands > 15
    assert len(await names(pool)) == 4
    assert await AsyncSchemaManager(pool).sync_schema(tables) == 0


# --- references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_reference_to_a_table_that_is_nowhere(pool: Pool, dry_run: bool) -> None:
    with pytest.raises(SchemaError, match=r"fk_paintings_painter_id → painters\(tenant_id, id\)"):
        await AsyncSchemaManager(pool).sync_schema([Painting], dry_run=dry_run)
    assert await names(pool) == set()


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
    assert await manager.sync_schema(tables) >= 4  # where a reference needs its target, that of a cycle comes behind
    assert manager.last_report is not None
    assert manager.last_report.created == ("table c", "table b", "table d", "table a")
    assert await manager.sync_schema(tables[::-1]) == 0


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


async def test_allow_destructive_destroys_nothing(pool: Pool) -> None:
    manager = AsyncSchemaManager(pool)
    await manager.sync_schema([Painter])
    await pool.execute("ALTER TABLE painters ADD COLUMN extra TEXT")
    for allowed in (False, True):
        with pytest.raises(SchemaDifference, match="the column extra is only in the database"):
            await manager.sync_schema([Painter], allow_destructive=allowed)


def test_the_flat_name() -> None:
    assert ff_storage.AsyncSchemaManager is AsyncSchemaManager
