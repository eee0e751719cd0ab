"""The CREATE statements: what they hold against raw writes, and what is refused before any is sent."""

import datetime as dt
import decimal
import uuid
from typing import Any

import psycopg
import pytest

from ff_storage.core import types
from ff_storage.core.errors import ConfigurationError, IdentifierError
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
from ff_storage.postgres.dialect import PostgresDialect
from ff_storage.postgres.schema import PostgresSchema

INT = types.Integer()


def column(name: str, type_: types.ColumnType = INT, *, nullable: bool = True, **options: Any) -> Column:
    return Column(name=name, type=type_, nullable=nullable, attribute=name, **options)


def table(*columns: Column, name: str = "zz", key: tuple[str, ...] = (), **options: Any) -> Table:
    return Table(name=name, schema=options.pop("schema", None), columns=columns, primary_key=key, **options)


@pytest.fixture
def create(plain: Any, backend: PostgresSchema) -> Any:
    """Creates tables, and says how the catalog reads them; the same facts as the private place gives."""

    def create(*tables: Table) -> dict[tuple[str, str], str]:
        backend.check(tables)
        desired = plain.run(backend.desired(tables, frozenset()))
        for statement in backend.create_tables(tables):
            plain.script(statement)
        facts = plain.run(backend.current(tables))
        assert facts == desired
        assert plain.rows("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()") == []
        return {(fact.kind, fact.name): fact.value for fact in facts}

    return create


def accepts(plain: Any, *values: Any) -> bool:
    marks = ", ".join(["%s"] * len(values))
    try:
        plain.connection.execute(f"INSERT INTO zz VALUES ({marks})", values)
    except (psycopg.IntegrityError, psycopg.DataError):
        return False
    return True


# --- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "stored", "good", "bad"),
    [
        (types.Text(), "text", ["", "x" * 1000, None], []),
        (types.Text(3), "character varying(3)", ["", "abc", "äöü", None], ["abcd"]),
        (types.Integer(16), "smallint", [0, -32768, 32767, None], [-32769, 32768]),
        (types.Integer(32), "integer", [-(2**31), 2**31 - 1], [2**31]),
        (types.Integer(64), "bigint", [-(2**63), 2**63 - 1], [2**63]),
        (types.Boolean(), "boolean", [True, False, None], []),
        (types.Float(), "double precision", [0.5, 1], []),
        (types.Decimal(4, 2), "numeric(4,2)", [decimal.Decimal("99.99"), None], [decimal.Decimal(100)]),
        (types.Timestamp(), "timestamp with time zone", [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], []),
        (types.Date(), "date", [dt.date(2026, 1, 1)], []),
        (types.Time(), "time without time zone", [dt.time(10, 0, 0, 1)], []),
        (types.Interval(), "bigint", [10**15, -(2**63)], [2**63]),
        (types.Bytes(), "bytea", [b"", b"xyz"], []),
        (types.Bytes(2), "bytea", [b"xy", None], [b"xyz"]),
        (types.Uuid(), "uuid", [uuid.UUID(int=1)], []),
        (types.Json(), "jsonb", ["{}", "null"], ["{"]),
        (types.Array(types.Integer()), "bigint[]", [[1], []], []),
        (types.Array(types.Text(3)), "character varying(3)[]", [["abc"]], [["abcd"]]),
        (types.Array(types.Decimal(4, 2)), "numeric(4,2)[]", [[decimal.Decimal(1)]], [[decimal.Decimal(100)]]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_a_type_holds(
    plain: Any, create: Any, type_: types.ColumnType, stored: str, good: list[Any], bad: list[Any]
) -> None:
    facts = create(table(column("a", type_)))
    assert facts["column.type", "a"] == stored
    assert facts.get(("column.collation", "a")) == ("C" if stored.startswith(("text", "character")) else None)
    assert [accepts(plain, value) for value in good] == [True] * len(good)
    assert [accepts(plain, value) for value in bad] == [False] * len(bad)


@pytest.mark.parametrize(
    ("type_", "declared", "stored"),
    [
        (types.Text(), "citext", "citext"),
        (types.Text(), "inet", "inet"),
        (types.Text(50), "VARCHAR", "character varying(50)"),
        (types.Text(10), "nvarchar(10)", "character varying(10)"),
        (types.Text(3), "char(3)", "character(3)"),
        (types.Decimal(10, 2), "NUMERIC", "numeric(10,2)"),
        (types.Timestamp(), "TIMESTAMP", "timestamp with time zone"),
        (types.Timestamp(), "datetime", "timestamp with time zone"),
        (types.Timestamp(), "timestamptz(3)", "timestamp(3) with time zone"),
        (types.Interval(), "interval", "bigint"),
        (types.Boolean(), "TINYINT", "boolean"),
        (types.Bytes(), "blob", "bytea"),
        (types.Json(), "json", "json"),
        (types.Float(), "real", "real"),
        (types.Float(), "double", "double precision"),
        (types.Text(), "tsvector", "tsvector"),
        (types.Array(types.Text(5)), "varchar(5)[]", "character varying(5)[]"),
    ],
)
def test_what_db_type_means(plain: Any, create: Any, type_: types.ColumnType, declared: str, stored: str) -> None:
    if declared == "citext":
        plain.script("CREATE EXTENSION citext SCHEMA pg_catalog")
    assert create(table(column("a", type_, sql_type=declared)))["column.type", "a"] == stored


def test_a_length_that_the_declared_type_lacks_is_a_check(plain: Any, create: Any) -> None:
    create(table(column("a", types.Text(3), sql_type="text")))
    assert accepts(plain, "äöü")
    assert not accepts(plain, "abcd")


def test_text_is_ordered_by_code_point(plain: Any, create: Any) -> None:
    create(table(column("a", types.Text())))
    for word in ("b", "A", "a", "B", "ä"):
        assert accepts(plain, word)
    assert plain.rows("SELECT a FROM zz ORDER BY a") == [("A",), ("B",), ("a",), ("b",), ("ä",)]


def test_not_null_and_names_that_need_quotes(plain: Any, create: Any) -> None:
    names = ["order", "select", "group", "Camel", "index", "user", "_x"]
    facts = create(
        table(*(column(name, nullable=False) for name in names), name="table", indexes=(Index("unique", ("order",)),))
    )
    assert {name for kind, name in facts if kind == "column.type"} == set(names)
    with pytest.raises(psycopg.errors.NotNullViolation):
        plain.script('INSERT INTO "table" ("order") VALUES (1)')


# --- constraints -----------------------------------------------------------------------------------------------------


def test_checks_hold(plain: Any, create: Any) -> None:
    checks = (
        RangeCheck("ck_low", "a", ">=", -5),
        RangeCheck("ck_price", "p", "<", decimal.Decimal("9.99")),
        RangeCheck("ck_at", "at", ">", dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
        ChoiceCheck("ck_word", "w", ("it's", "b\\c")),
        SqlCheck("ck_both", "a < 10 -- fine\n or w = 'b\\c' -- too", "a"),
    )
    create(
        table(
            column("a"),
            column("p", types.Decimal(6, 2)),
            column("at", types.Timestamp()),
            column("w", types.Text(9)),
            checks=checks,
        )
    )
    day = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert accepts(plain, -5, decimal.Decimal("9.98"), day, "it's")
    assert accepts(plain, 20, None, None, "b\\c")
    assert accepts(plain, None, None, None, None)
    for wrong in (
        (-6, None, None, None),
        (None, decimal.Decimal("9.99"), None, None),
        (None, None, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None),
        (None, None, None, "its"),
        (20, None, None, "it's"),
    ):
        assert not accepts(plain, *wrong)


def test_unique_treats_nulls_as_different(plain: Any, create: Any) -> None:
    index = Index("uq", ("a", "b"), unique=True)
    facts = create(table(column("a", nullable=False), column("b"), indexes=(index,)))
    assert facts["index.columns", "uq"] == "a, b NULLS FIRST"
    assert [accepts(plain, *row) for row in [(1, None), (1, None), (1, 2), (1, 2)]] == [True, True, True, False]


def test_unique_among_the_living_and_where(plain: Any, create: Any) -> None:
    index = Index("uq", ("a",), unique=True, live_only=True, where="a > 0 or a < -10")
    deleted = column("deleted_at", types.Timestamp())
    create(table(column("a"), deleted, indexes=(index,), deleted_at="deleted_at"))
    day = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    rows = [(1, None), (1, day), (-5, None), (-5, None), (1, None), (-11, None), (-11, None)]
    assert [accepts(plain, *row) for row in rows] == [True, True, True, True, False, True, False]


@pytest.mark.parametrize("method", ["btree", "hash", "brin"])
def test_the_method_of_an_index(create: Any, method: str) -> None:
    facts = create(table(column("a"), indexes=(Index("ix", ("a",), method=method),)))
    assert facts["index.method", "ix"] == method


def test_generated_columns_are_stored(plain: Any, create: Any) -> None:
    facts = create(table(column("a"), column("b", generated="a * 2 -- twice\n")))
    assert facts["column.generated", "b"] == "(a * 2) STORED"
    plain.script("INSERT INTO zz (a) VALUES (21)")
    assert plain.rows("SELECT b FROM zz") == [(42,)]


def test_a_comment(plain: Any, create: Any) -> None:
    facts = create(table(column("a"), comment="it's \\ ours"))
    assert facts["table.comment", ""] == "it's \\ ours"
    assert plain.rows("SELECT obj_description('zz'::regclass)") == [("it's \\ ours",)]


# --- foreign keys ----------------------------------------------------------------------------------------------------


def parent() -> Table:
    return table(column("t", nullable=False), column("id", nullable=False), name="pa", key=("t", "id"))


def child(delete: Action, update: Action = Action.NO_ACTION, **options: Any) -> Table:
    key = ForeignKey("fk", ("t", "pa"), None, "pa", ("t", "id"), delete, update, **options)
    return table(column("t", nullable=False), column("pa"), foreign_keys=(key,), tenant="t")


@pytest.mark.parametrize("action", Action)
def test_actions(create: Any, action: Action) -> None:
    facts = create(parent(), child(action, action))
    value = facts["foreign_key.definition", "fk"]
    if action is Action.SET_NULL:
        assert value.endswith("ON DELETE SET NULL (pa) ON UPDATE NO ACTION")
    else:
        assert value.endswith(f"ON DELETE {action.value} ON UPDATE {action.value}")


def test_set_null_clears_the_columns_that_are_not_the_tenant(plain: Any, create: Any) -> None:
    create(parent(), child(Action.SET_NULL))
    plain.script("INSERT INTO pa VALUES (1, 2); INSERT INTO zz VALUES (1, 2); DELETE FROM pa")
    assert plain.rows("SELECT * FROM zz") == [(1, None)]


def test_a_server_that_cannot_clear_some_columns() -> None:
    dialect = PostgresDialect()
    dialect.learn(140_010, frozenset())
    statements = PostgresSchema(dialect).create_table(child(Action.SET_NULL))
    assert "ON DELETE NO ACTION ON UPDATE NO ACTION" in statements[0]
    dialect.learn(150_000, frozenset())
    assert 'ON DELETE SET NULL ("pa")' in PostgresSchema(dialect).create_table(child(Action.SET_NULL))[0]


def test_a_cycle_is_closed_behind_the_tables(plain: Any, backend: PostgresSchema) -> None:
    def one(name: str, *targets: str) -> Table:
        keys = tuple(ForeignKey(f"fk_{name}_{each}", ("a",), None, each, ("id",)) for each in targets)
        return table(column("id", nullable=False), column("a"), name=name, key=("id",), foreign_keys=keys)

    tables = [one("a", "b", "a"), one("b", "c"), one("c", "a")]
    statements = backend.create_tables(tables)
    assert [text.split()[0] for text in statements] == ["CREATE", "CREATE", "CREATE", "ALTER", "ALTER"]
    for statement in statements:
        plain.script(statement)
    assert plain.run(backend.current(tables)) == plain.run(backend.desired(tables, frozenset()))


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tables",
    [
        [table(column("a"), indexes=(Index("zz", ("a",)),))],
        [table(column("a"), indexes=(Index("i", ("a",)), Index("i", ("a",), unique=True)))],
        [table(column("a"), indexes=(Index("i", ("a",)),)), table(column("a"), name="i")],
        [table(column("a"), key=("a",)), table(column("a"), name="pk_zz")],
        [table(column("a"), checks=(SqlCheck("k", "a > 0"), SqlCheck("k", "a > 1")))],
        [table(column("a"), indexes=(Index("i", ("b",)),))],
        [table(column("a"), key=("b",))],
        [table(column("a"), indexes=(Index("i" * 64, ("a",)),))],
        [table(column("ä" * 32))],
        [table(column("a"), checks=(RangeCheck("k", "b", ">", 1),))],
        [table(column("a"), checks=(RangeCheck("k", "a", ">", "x"),))],
        [table(column("a", types.Text(3)), checks=(ChoiceCheck("k", "a", ("abcd",)),))],
        [table(column("a"), foreign_keys=(ForeignKey("k", ("b",), None, "zz", ("a",)),))],
    ],
)
def test_refused_before_anything_is_sent(backend: PostgresSchema, tables: list[Table]) -> None:
    with pytest.raises(ConfigurationError):
        backend.check(tables)


def test_a_method_that_is_no_name(backend: PostgresSchema) -> None:
    with pytest.raises(IdentifierError, match="method"):
        backend.check([table(column("a"), indexes=(Index("i", ("a",), method="gin (a); --"),))])


def test_one_name_in_two_schemas(backend: PostgresSchema) -> None:
    one = table(column("a"), indexes=(Index("i", ("a",)),))
    backend.check([one, table(column("a"), schema="other", indexes=(Index("i", ("a",)),))])
