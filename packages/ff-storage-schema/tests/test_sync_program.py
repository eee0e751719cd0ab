"""The sync's program, driven by hand over an engine that is not there: what it asks, and in which order."""

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from ff_storage.core.errors import ConfigurationError, QueryError, SchemaDifference, SchemaError
from ff_storage.core.facts import Fact
from ff_storage.core.program import Execute, Fetch, Program, run_sync
from ff_storage.core.tables import Column, ForeignKey, Index, Table
from ff_storage.core.types import Integer
from ff_storage.schema import AsyncSchemaManager
from ff_storage.schema.sync import synchronize

T = TypeVar("T")


class Backend:
    """Tables are their names, and the catalog is what `Catalog` was told to hold."""

    transactional_reads: ClassVar[bool] = False

    def check(self, tables: Sequence[Table]) -> None:
        pass

    def create_table(self, table: Table) -> list[str]:
        return [f"CREATE {table.name}", *(self.create_index(table, index.name) for index in table.indexes)]

    def create_tables(self, tables: Sequence[Table]) -> list[str]:
        return [statement for table in tables for statement in self.create_table(table)]

    def create_index(self, table: Table, name: str) -> str:
        return f"INDEX {table.name} {name}"

    def lock(self) -> Program[None]:
        yield Execute("LOCK")

    def pinned(self, work: Program[T]) -> Program[T]:
        yield Execute("PIN")
        result = yield from work
        yield Execute("UNPIN")
        return result

    def missing_schemas(self, tables: Sequence[Table]) -> Program[dict[str, str]]:
        named = {table.schema: f"SCHEMA {table.schema}" for table in tables if table.schema}
        return (yield Fetch("SCHEMAS", named)) if named else {}

    def current(self, tables: Sequence[Table]) -> Program[frozenset[Fact]]:
        return (yield Fetch("CURRENT", tables))

    def desired(self, tables: Sequence[Table], current: frozenset[Fact]) -> Program[frozenset[Fact]]:
        return (yield Fetch("DESIRED", tables))

    def unresolved(self, keys: Sequence[ForeignKey]) -> Program[list[ForeignKey]]:
        return (yield Fetch("UNRESOLVED", keys))

    def verify(self, tables: Sequence[Table]) -> Program[None]:
        yield Fetch("VERIFY", tables)


def declared(table: Table) -> set[Fact]:
    names = [("table.kind", "", "table"), *(("index.columns", index.name, "a") for index in table.indexes)]
    return {Fact("", table.name, kind, name, value) for kind, name, value in names}


class Catalog:
    """Performs the commands of `Backend`."""

    def __init__(self, *existing: Table, forgets: str = "", fails: str = "", absent: bool = False) -> None:
        self.facts = {fact for table in existing for fact in declared(table)}
        self.forgets, self.fails, self.absent = forgets, fails, absent
        self.sent: list[str] = []
        self.tables: dict[str, Table] = {}

    def perform(self, command: Any) -> Any:
        self.sent.append(command.text)
        verb, *names = command.text.split()
        if command.text == self.fails:
            raise QueryError("refused")
        if verb in {"CURRENT", "DESIRED"}:
            self.tables = {table.name: table for table in command.parameters}
            facts = {fact for table in self.tables.values() for fact in declared(table)}
            return frozenset(facts if verb == "DESIRED" else self.facts)
        if verb == "UNRESOLVED":
            return [*command.parameters] if self.absent else []
        if command.text != self.forgets and verb in {"CREATE", "INDEX"}:
            made = declared(self.tables[names[0]])
            self.facts |= {fact for fact in made if fact.name == (names[1] if verb == "INDEX" else "")}
        return 0


def table(name: str, *, targets: Sequence[str] = (), indexes: Sequence[str] = ()) -> Table:
    keys = tuple(ForeignKey(f"fk_{name}_{target}", ("a",), None, target, ("a",)) for target in targets)
    column = Column("a", Integer(), nullable=True, attribute="a")
    return Table(name, None, (column,), (), tuple(Index(index, ("a",)) for index in indexes), keys)


ONE, TWO = table("one", targets=["two"], indexes=["i"]), table("two", indexes=["j", "k"])


def test_the_order_of_a_run() -> None:
    catalog = Catalog(table("two", indexes=["j"]))
    outcome = run_sync(synchronize(Backend(), [ONE, TWO], apply=True), catalog)
    creating = ["CREATE one", "INDEX one i", "INDEX two k"]
    assert catalog.sent == ["LOCK", "PIN", "CURRENT", "DESIRED", *creating, "VERIFY", "CURRENT", "UNPIN"]
    assert outcome.statements == (*creating,)
    assert outcome.created == ("table one", "index k of two")
    again = Catalog(ONE, TWO)
    assert run_sync(synchronize(Backend(), [ONE, TWO], apply=True), again).statements == ()
    assert again.sent == ["LOCK", "PIN", "CURRENT", "DESIRED", "UNPIN"]


def test_a_dry_run_only_reads() -> None:
    catalog = Catalog()
    outcome = run_sync(synchronize(Backend(), [ONE, TWO], apply=False), catalog)
    assert catalog.sent == ["PIN", "CURRENT", "DESIRED", "UNPIN"]
    assert outcome.statements == ("CREATE two", "INDEX two j", "INDEX two k", "CREATE one", "INDEX one i")


@pytest.mark.parametrize("apply", [True, False])
def test_a_difference_stops_everything(apply: bool) -> None:
    catalog = Catalog(table("two", indexes=["j", "x"]))
    with pytest.raises(SchemaDifference) as caught:
        run_sync(synchronize(Backend(), [ONE, TWO], apply=apply), catalog)
    assert not [text for text in catalog.sent if text.startswith(("CREATE", "INDEX"))]
    (difference,) = caught.value.details["differences"]
    assert (difference.kind, difference.name, difference.model) == ("index", "x", None)


@pytest.mark.parametrize("apply", [True, False])
def test_a_reference_to_nowhere_stops_everything(apply: bool) -> None:
    catalog = Catalog(absent=True)
    with pytest.raises(SchemaError, match=r"one\.fk_one_two → two\(a\)"):
        run_sync(synchronize(Backend(), [ONE], apply=apply), catalog)
    assert "CREATE one" not in catalog.sent
    assert run_sync(synchronize(Backend(), [ONE], apply=apply), Catalog()).created == ("table one",)


@pytest.mark.parametrize("forgotten", ["CREATE two", "INDEX two k"])
def test_what_does_not_read_back_as_declared_is_an_error(forgotten: str) -> None:
    catalog = Catalog(forgets=forgotten)
    with pytest.raises(SchemaError, match="do not read back"):
        run_sync(synchronize(Backend(), [ONE, TWO], apply=True), catalog)


def test_the_failing_statement_is_named() -> None:
    catalog = Catalog(fails="INDEX two j")
    with pytest.raises(QueryError) as caught:
        run_sync(synchronize(Backend(), [ONE, TWO], apply=True), catalog)
    assert caught.value.__notes__ == ["while applying the schema: INDEX two j"]
    assert catalog.sent[-1] == "INDEX two j"


# --- the manager -----------------------------------------------------------------------------------------------------


class Dialect:
    def schema(self) -> Backend:
        return Backend()


class Executor:
    """Drives a program at once, and notes whether it was to be atomic."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.dialect: Any = Dialect()
        self.atomic: list[bool] = []

    async def run(self, program: Program[Any], *, atomic: bool = False) -> Any:
        self.atomic.append(atomic)
        return run_sync(program, self.catalog)


async def test_the_manager_counts_and_reports() -> None:
    executor = Executor(Catalog())
    manager = AsyncSchemaManager(executor)
    assert await manager.sync_schema([ONE, TWO], dry_run=True) == 0
    assert manager.last_report is not None
    assert (len(manager.last_report.statements), manager.last_report.applied) == (5, False)
    assert await manager.sync_schema([ONE, TWO], allow_destructive=True) == 5
    assert manager.last_report.applied
    assert await manager.sync_schema([ONE, TWO]) == 0
    assert manager.last_report.statements == ()
    assert manager.last_report.tables == ("one", "two")
    assert executor.atomic == [False, True, True]


async def test_a_failed_run_leaves_no_report() -> None:
    manager = AsyncSchemaManager(Executor(Catalog()))
    await manager.sync_schema([TWO])
    assert manager.last_report is not None
    with pytest.raises(ConfigurationError):
        await manager.sync_schema([TWO, "two"])
    assert manager.last_report is None


@pytest.mark.parametrize("models", ["one", ONE, [None], [int], None, 5, [ONE, "two"], {"one": ONE}], ids=str)
async def test_what_is_no_list_of_models(models: Any) -> None:
    executor = Executor(Catalog())
    with pytest.raises(ConfigurationError, match="sync_schema needs"):
        await AsyncSchemaManager(executor).sync_schema(models)
    assert executor.atomic == []


@pytest.mark.parametrize("db_pool", [None, "sqlite://", object()], ids=str)
def test_what_is_no_pool(db_pool: Any) -> None:
    with pytest.raises(ConfigurationError, match="open_pool"):
        AsyncSchemaManager(db_pool)
