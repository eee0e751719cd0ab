"""Random tables with hostile texts: created once, seen as equal ever after, and any change is seen."""

import asyncio
import dataclasses
import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import servers
from ff_storage.core.database import open_pool
from ff_storage.core.errors import SchemaDifference
from ff_storage.core.tables import (
    Action,
    Check,
    ChoiceCheck,
    Column,
    ForeignKey,
    Index,
    RangeCheck,
    SqlCheck,
    Table,
)
from ff_storage.core.types import (
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
from schema.engines import BY_DIALECT

HOSTILE = st.one_of(
    st.text(alphabet="ab '\"`[](),;-/*\n\t\\%_é\u2028", max_size=12),
    st.sampled_from(
        [
            "x'; DROP TABLE pa; --",
            "a, b",
            "a\nb",
            ");",
            "REFERENCES pa(id)",
            "CHECK (1)",
            "/*",
            "--",
            "''",
            "it's",
            "NULL",
        ]
    ),
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@st.composite
def typed(draw: st.DrawFn) -> tuple[ColumnType, str | None]:
    """A type, and a default for it."""
    default: st.SearchStrategy[str]
    type_: ColumnType
    kind = draw(st.integers(0, 12))
    if kind == 0:
        type_ = Text(draw(st.one_of(st.none(), st.integers(30, 99))))
        default = HOSTILE.map(quoted)
    elif kind == 1:
        type_, default = Integer(draw(st.sampled_from([16, 32, 64]))), st.integers(-999, 999).map(str)
    elif kind == 2:
        type_, default = Boolean(), st.sampled_from(["TRUE", "false", "0", "1"])
    elif kind == 3:
        type_, default = Float(), st.floats(-1e9, 1e9, allow_subnormal=False).map(repr)
    elif kind == 4:
        precision = draw(st.sampled_from([5, 18, 20]))
        type_, default = Decimal(precision, draw(st.integers(0, 4))), st.integers(-9, 9).map(str)
    elif kind == 5:
        type_, default = Timestamp(), st.sampled_from(["now()", "CURRENT_TIMESTAMP", "'2026-01-01T00:00:00+00:00'"])
    elif kind == 6:
        type_, default = Date(), st.dates().map(lambda day: quoted(day.isoformat()))
    elif kind == 7:
        type_, default = Time(), st.sampled_from(["CURRENT_TIME", "'10:00:00'"])
    elif kind == 8:
        type_, default = Interval(), st.integers(-(10**9), 10**9).map(str)
    elif kind == 9:
        type_, default = (
            Bytes(draw(st.one_of(st.none(), st.integers(12, 99)))),
            st.binary(max_size=6).map(lambda data: f"x'{data.hex()}'"),
        )
    elif kind == 10:
        type_, default = Uuid(), st.one_of(st.just("gen_random_uuid()"), st.uuids().map(lambda u: quoted(str(u))))
    elif kind == 11:
        type_, default = Json(), st.sampled_from(["'{}'", "'[1, \"a''b\"]'", "'null'", "1.5"])
    else:
        type_, default = Text(), st.sampled_from(["lower('A')", "'a' || 'b'", "upper('it') || ' '"])
    return type_, draw(st.one_of(st.none(), st.just("NULL"), default))


NAMES = ["a", "Bee", "order", "select", "c_1", "_d", "value", "key", "rowid", "Text"]


@st.composite
def tables(draw: st.DrawFn, name: str, others: tuple[Table, ...] = ()) -> Table:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    columns = [Column("id", Integer(), nullable=False, attribute="id")]
    for one in names:
        type_, default = draw(typed())
        columns.append(Column(one, type_, draw(st.booleans()), one, default=default))
    checks: list[Check] = []
    for column in columns[1:]:
        if isinstance(column.type, Integer) and draw(st.booleans()):
            checks.append(RangeCheck(f"ck_{name}_{column.name}_r", column.name, draw(st.sampled_from(["<", ">="])), 5))
        if isinstance(column.type, Text) and draw(st.booleans()):
            choices = draw(st.lists(HOSTILE, min_size=1, max_size=3, unique=True))
            kept = tuple(choice for choice in choices if len(choice) <= (column.type.max_length or 99))
            if kept:
                checks.append(ChoiceCheck(f"ck_{name}_{column.name}_c", column.name, kept))
        if isinstance(column.type, Text) and draw(st.booleans()):
            text = draw(HOSTILE)
            expression = f'"{column.name}" <> {quoted(text)} -- {" ".join(text.split())}'
            checks.append(SqlCheck(f"ck_{name}_{column.name}", expression))
    indexes: list[Index] = []
    for number in range(draw(st.integers(0, 3))):
        chosen = draw(st.lists(st.sampled_from([c.name for c in columns]), min_size=1, max_size=3, unique=True))
        where = draw(st.one_of(st.none(), HOSTILE.map(lambda text: f"id > 5 AND {quoted(text)} <> 'x'")))
        indexes.append(Index(f"ix_{name}_{number}", tuple(chosen), draw(st.booleans()), where=where))
    keys: list[ForeignKey] = []
    if others and draw(st.booleans()):
        columns.append(Column("ref", Integer(), nullable=True, attribute="ref"))
        actions = st.sampled_from([*Action])
        target = draw(st.sampled_from(others))
        keys.append(
            ForeignKey(f"fk_{name}", ("ref",), None, target.name, ("id",), draw(actions), draw(actions), ("ref",))
        )
    return Table(name, None, tuple(columns), ("id",), tuple(indexes), tuple(keys), tuple(checks))


@st.composite
def schemas(draw: st.DrawFn) -> list[Table]:
    made: tuple[Table, ...] = ()
    for name in ("pa", "Zz", "index"):
        made = (*made, draw(tables(name, made)))
    return [*draw(st.permutations(made))]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schemas(), st.data())
def test_random_schemas_on_sqlite(schema: list[Table], data: st.DataObject) -> None:
    asyncio.run(check("sqlite://", schema, data))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(schema=schemas(), data=st.data())
def test_random_schemas_on_postgres(
    postgres_database: servers.Server, schema: list[Table], data: st.DataObject
) -> None:
    postgres_database.ask("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    asyncio.run(check(postgres_database.url, schema, data))


async def check(url: str, schema: list[Table], data: st.DataObject) -> None:
    async with open_pool(url) as pool:
        canary = f"t{uuid.uuid4().hex}"
        await pool.execute(f"CREATE TABLE {canary} (a integer)")
        manager = AsyncSchemaManager(pool)
        count = await manager.sync_schema(schema)
        assert count == len(schema) + sum(len(table.indexes) for table in schema)
        assert await manager.sync_schema(schema) == 0
        assert await manager.sync_schema(data.draw(st.permutations(schema))) == 0
        found = await BY_DIALECT[pool.dialect.name].tables(pool)
        assert found == {canary, *(table.name for table in schema)}

        position = data.draw(st.integers(0, len(schema) - 1))
        table = schema[position]
        column = data.draw(st.integers(1, len(table.columns) - 1))
        other = dataclasses.replace(table.columns[column], nullable=not table.columns[column].nullable)
        changed = dataclasses.replace(table, columns=(*table.columns[:column], other, *table.columns[column + 1 :]))
        try:
            await manager.sync_schema([*schema[:position], changed, *schema[position + 1 :]])
        except SchemaDifference as error:
            first, *rest = error.details["differences"]
            assert (first.table, first.kind, first.name) == (table.name, "column.nullable", other.name)
            # Where indexes know of nullable columns, theirs differ too.
            containing = {index.name for index in table.indexes if other.name in index.columns}
            assert {(each.kind, each.name) for each in rest} <= {("index.columns", name) for name in containing}
        else:
            raise AssertionError("the change was not seen")
