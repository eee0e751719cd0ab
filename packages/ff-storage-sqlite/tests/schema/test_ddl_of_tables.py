"""The CREATE statements: what they hold against raw writes, and what is refused before any is sent."""

import datetime as dt
import decimal
import re
import sqlite3
import uuid
from typing import Any

import pytest

from ff_storage.core import types
from ff_storage.core.errors import ConfigurationError, LimitExceededError
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

INT = types.Integer()
PRICE = types.Decimal(6, 2)


def column(name: str, type_: types.ColumnType = INT, *, nullable: bool = True, **options: Any) -> Column:
    return Column(name=name, type=type_, nullable=nullable, attribute=name, **options)


def table(*columns: Column, name: str = "zz", key: tuple[str, ...] = (), **options: Any) -> Table:
    return Table(name=name, schema=options.pop("schema", None), columns=columns, primary_key=key, **options)


@pytest.fixture
def create(plain: Any, backend: Any) -> Any:
    """Creates tables, and says how the catalog reads them; the same facts as the private place gives."""

    def create(*tables: Table) -> dict[tuple[str, str], str]:
        backend.check(tables)
        desired = plain.run(backend.desired(tables, frozenset()))
        for one in tables:
            for statement in backend.create_table(one):
                plain.connection.execute(statement)
        facts = plain.run(backend.current(tables))
        assert facts == desired
        assert not plain.connection.in_transaction
        assert not plain.connection.execute("SELECT * FROM temp.sqlite_master").fetchall()
        return {(fact.kind, fact.name): fact.value for fact in facts}

    return create


def accepts(plain: Any, *values: Any) -> bool:
    marks = ", ".join("?" * len(values))
    try:
        plain.connection.execute(f"INSERT INTO zz VALUES ({marks})", values)
    except sqlite3.IntegrityError:
        return False
    return True


# --- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "stored", "good", "bad"),
    [
        (types.Text(), "TEXT", ["", "x" * 1000], [b"x"]),
        (types.Text(3), "TEXT", ["", "abc", "äöü", None], ["abcd"]),
        (types.Integer(16), "INTEGER", [0, -32768, 32767, None], [-32769, 32768, "x"]),
        (types.Integer(32), "INTEGER", [-(2**31), 2**31 - 1], [2**31]),
        (types.Integer(64), "INTEGER", [-(2**63), 2**63 - 1], [1.5, "x"]),
        (types.Boolean(), "INTEGER", [0, 1, None], [2, -1, "x"]),
        (types.Float(), "REAL", [0.5, 1], ["x", b"x"]),
        (types.Decimal(4, 2), "INTEGER", [9999, -9999, 0, None], [10000, -10000, "x"]),
        (types.Decimal(18, 2), "INTEGER", [10**18 - 1, 1 - 10**18], [10**18, -(10**18)]),
        (types.Decimal(4, 4), "INTEGER", [9999, -9999], [10000, -10000]),
        (types.Decimal(4, 0), "INTEGER", [9999, -9999], [10000, -10000]),
        (types.Decimal(19, 2), "TEXT", ["0" + "1" * 19, None], [b"x", "0", "0" + "1" * 20]),
        (types.Timestamp(), "TEXT", ["2026-01-01 00:00:00.000000"], [b"x"]),
        (types.Date(), "TEXT", ["2026-01-01"], [b"x"]),
        (types.Time(), "TEXT", ["10:00:00.000000"], [b"x"]),
        (types.Interval(), "INTEGER", [10**15], ["x"]),
        (types.Bytes(), "BLOB", [b"", b"xyz"], ["x"]),
        (types.Bytes(2), "BLOB", [b"xy", None], [b"xyz"]),
        (types.Uuid(), "TEXT", [str(uuid.UUID(int=1))], [b"x"]),
        (types.Json(), "TEXT", ["{}"], [b"x"]),
        (types.Array(types.Integer()), "TEXT", ["[1]"], [b"x"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_a_type_holds(
    plain: Any, create: Any, type_: types.ColumnType, stored: str, good: list[Any], bad: list[Any]
) -> None:
    facts = create(table(column("a", type_)))
    assert facts["column.type", "a"] == stored
    assert facts["table.strict", ""] == "yes"
    assert [accepts(plain, value) for value in good] == [True] * len(good)
    assert [accepts(plain, value) for value in bad] == [False] * len(bad)


def test_not_null_and_names_that_need_quotes(plain: Any, create: Any) -> None:
    names = ["order", "select", "group", "Camel", "index", "rowid_", "_x"]
    facts = create(
        table(*(column(name, nullable=False) for name in names), name="table", indexes=(Index("unique", ("order",)),))
    )
    assert {name for kind, name in facts if kind == "column.type"} == set(names)
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
        plain.connection.execute('INSERT INTO "table" ("order") VALUES (1)')


def test_a_single_int_key_is_the_rowid(plain: Any, create: Any) -> None:
    facts = create(table(column("id", nullable=False), column("a"), key=("id",)))
    assert (facts["primary_key.columns", ""], facts["primary_key.name", ""]) == ("id", "pk_zz")
    assert not plain.connection.execute("PRAGMA index_list(zz)").fetchall()
    assert accepts(plain, 7, 1)
    assert plain.connection.execute("SELECT rowid FROM zz").fetchall() == [(7,)]
    assert not accepts(plain, 7, 2)


def test_the_tenant_leads_the_key(plain: Any, create: Any) -> None:
    facts = create(
        table(
            column("id", nullable=False),
            column("tenant_id", nullable=False),
            key=("tenant_id", "id"),
            tenant="tenant_id",
        )
    )
    assert facts["primary_key.columns", ""] == "tenant_id, id"
    assert accepts(plain, 1, 1)
    assert accepts(plain, 1, 2)
    assert not accepts(plain, 1, 1)


def test_generated_columns_are_stored(plain: Any, create: Any) -> None:
    facts = create(table(column("a"), column("b", generated="a * 2 -- twice\n")))
    assert facts["column.generated", "b"] == "a * 2 STORED"
    plain.connection.execute("INSERT INTO zz (a) VALUES (21)")
    assert plain.connection.execute("SELECT b FROM zz").fetchall() == [(42,)]


# --- defaults --------------------------------------------------------------------------------------------------------


def default_of(plain: Any, create: Any, type_: types.ColumnType, default: str) -> Any:
    create(table(column("x", nullable=True), column("a", type_, default=default)))
    plain.connection.execute("INSERT INTO zz (x) VALUES (1)")
    return plain.connection.execute("SELECT a FROM zz").fetchone()[0]


@pytest.mark.parametrize(
    ("type_", "default", "stored"),
    [
        (INT, "0", 0),
        (INT, "-1", -1),
        (INT, "+1", 1),
        (INT, "(-1)", -1),
        (INT, "0x10", 16),
        (INT, "1e3", 1000),
        (INT, "(1 + 1)", 2),
        (INT, "1 + 1", 2),
        (INT, "NULL", None),
        (INT, "null", None),
        (INT, "abs(-3)", 3),
        (INT, "abs(-3) -- three", 3),
        (INT, "/* three */ abs(/* 3 */-3) /* open", 3),
        (types.Text(), "''", ""),
        (types.Text(), "'it''s'", "it's"),
        (types.Text(), "'a, b);\nREFERENCES \"x\" --'", 'a, b);\nREFERENCES "x" --'),
        (types.Text(), "'x''); DROP TABLE zz; --'", "x'); DROP TABLE zz; --"),
        (types.Text(), "'now()'", "now()"),
        (types.Text(), "5", "5"),
        (types.Text(), "lower('ABC')", "abc"),
        (types.Text(3), "'abc'", "abc"),
        (types.Boolean(), "TRUE", 1),
        (types.Boolean(), "false", 0),
        (types.Boolean(), "1", 1),
        (types.Float(), "1", 1.0),
        (types.Float(), "-0.5", -0.5),
        (PRICE, "9.99", 999),
        (PRICE, "0", 0),
        (PRICE, "-1.5", -150),
        (PRICE, "'1.50'", 150),
        (PRICE, "NULL", None),
        (types.Decimal(20, 0), "5", "0" + "5".zfill(20)),
        (types.Bytes(), "x'00Ff'", b"\x00\xff"),
        (types.Interval(), "1000000", 1_000_000),
        (types.Date(), "'2026-02-28'", "2026-02-28"),
        (types.Time(), "'10:30'", "10:30:00.000000"),
        (types.Timestamp(), "'2026-01-01 01:00:00+01:00'", "2026-01-01 00:00:00.000000"),
        (types.Uuid(), "'ABCDEFAB-0000-0000-0000-000000000001'", "abcdefab-0000-0000-0000-000000000001"),
        (types.Json(), "'{\"a\": [1, null]}'", '{"a":[1,null]}'),
        (types.Json(), "TRUE", "true"),
        (types.Array(types.Integer()), "'[1, 2]'", "[1,2]"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_default_is_stored_as_the_encoder_would(
    plain: Any, create: Any, type_: types.ColumnType, default: str, stored: Any
) -> None:
    value = default_of(plain, create, type_, default)
    assert value == stored
    assert type(value) is type(stored)


@pytest.mark.parametrize("spelling", ["CURRENT_TIMESTAMP", "current_timestamp", "now()", "NOW ( )", "(now())"])
def test_now_is_written_in_the_stored_form(plain: Any, create: Any, spelling: str) -> None:
    before = dt.datetime.now(dt.UTC)
    value = default_of(plain, create, types.Timestamp(), spelling)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", value)
    stored = dt.datetime.fromisoformat(value + "+00:00")
    assert abs(stored - before) < dt.timedelta(minutes=1)


def test_the_other_portable_expressions(plain: Any, create: Any) -> None:
    create(
        table(
            column("x"),
            column("d", types.Date(), default="current_date"),
            column("t", types.Time(), default="CURRENT_TIME"),
            column("u", types.Uuid(), default="gen_random_uuid()"),
        )
    )
    plain.connection.executemany("INSERT INTO zz (x) VALUES (?)", [(n,) for n in range(200)])
    rows = plain.connection.execute("SELECT d, t, u FROM zz").fetchall()
    assert len({u for _, _, u in rows}) == 200
    for d, t, u in rows:
        assert dt.date.fromisoformat(d)
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6}", t)
        assert str(uuid.UUID(u)) == u
        assert (uuid.UUID(u).version, uuid.UUID(u).variant) == (4, uuid.RFC_4122)


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        (INT, "'x'"),
        (INT, "1.5"),
        (INT, "TRUE"),
        (INT, "9223372036854775808"),
        (types.Integer(16), "40000"),
        (INT, ""),
        (INT, "   "),
        (INT, "-- nothing"),
        (INT, "1; DROP TABLE zz"),
        (INT, "1) NOT NULL, (2"),
        (INT, "(1"),
        (INT, "'open"),
        (INT, "1::int"),
        (INT, "?"),
        (types.Text(3), "'abcd'"),
        (types.Text(), "x'00'"),
        (types.Boolean(), "2"),
        (types.Boolean(), "'yes'"),
        (types.Float(), "'x'"),
        (types.Float(), "1e999"),
        (PRICE, "0.001"),
        (PRICE, "10000"),
        (PRICE, "1 + 1"),
        (PRICE, "'x'"),
        (PRICE, "abs(1)"),
        (types.Timestamp(), "'2026-01-01 00:00:00'"),
        (types.Timestamp(), "datetime('now')"),
        (types.Timestamp(), "0"),
        (types.Timestamp(), "now() + 1"),
        (types.Time(), "time('now')"),
        (types.Date(), "'2026-02-30'"),
        (types.Interval(), "'1 day'"),
        (types.Uuid(), "'x'"),
        (types.Uuid(), "lower(hex(randomblob(16)))"),
        (types.Json(), "'{'"),
        (types.Json(), "'NaN'"),
        (types.Array(types.Integer()), "'{}'"),
        (types.Bytes(), "'x'"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_default_that_is_no_value_of_its_column_is_refused(
    backend: Any, type_: types.ColumnType, default: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"db_default of zz\.a"):
        backend.check([table(column("a", type_, default=default))])


# --- checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "operator", "bound", "good", "bad"),
    [
        (INT, ">=", 0, 0, -1),
        (INT, "<=", 2**63 - 1, 2**63 - 1, None),
        (types.Float(), ">", 0.0, 0.5, 0.0),
        (PRICE, ">=", decimal.Decimal("1.50"), 150, 149),
        (PRICE, ">", decimal.Decimal(1), 101, 100),
        (PRICE, "<", decimal.Decimal("9999.99"), 999_998, 999_999),
        (types.Decimal(20, 2), ">=", 0, "0" + "0" * 20, "-" + "9" * 20),
        (types.Text(), ">=", "b", "b", "a"),
        (types.Date(), ">=", dt.date(2026, 1, 1), "2026-01-01", "2025-12-31"),
        (
            types.Timestamp(),
            ">=",
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            "2026-01-01 00:00:00.000000",
            "2025-12-31 23:59:59.999999",
        ),
        (types.Interval(), "<", dt.timedelta(seconds=1), 999_999, 1_000_000),
    ],
)
def test_a_range_holds_in_the_stored_form(
    plain: Any, create: Any, type_: types.ColumnType, operator: str, bound: Any, good: Any, bad: Any
) -> None:
    create(table(column("a", type_), checks=(RangeCheck("ck", "a", operator, bound),)))
    assert accepts(plain, None)
    assert good is None or accepts(plain, good)
    assert bad is None or not accepts(plain, bad)


@pytest.mark.parametrize(
    ("type_", "bound"),
    [
        (types.Float(), float("nan")),
        (PRICE, decimal.Decimal("NaN")),
        (types.Timestamp(), dt.datetime(2026, 1, 1)),  # noqa: DTZ001  # naive on purpose
        (INT, 0.5),
        (INT, 2**63),
        (PRICE, decimal.Decimal("0.001")),
        (PRICE, decimal.Decimal(10_000)),
        (types.Text(), 5),
    ],
)
def test_a_bound_that_cannot_be_stored_is_refused(backend: Any, type_: types.ColumnType, bound: Any) -> None:
    with pytest.raises(ConfigurationError, match="no value of the column"):
        backend.check([table(column("a", type_), checks=(RangeCheck("ck", "a", ">=", bound),))])


def test_a_choice_of_another_type_is_refused(backend: Any) -> None:
    with pytest.raises(ConfigurationError, match="no value of the column"):
        backend.check([table(column("a"), checks=(ChoiceCheck("ck", "a", (1, "b")),))])


def test_choices(plain: Any, create: Any) -> None:
    evil = "x'); DROP TABLE zz; --"
    create(table(column("a", types.Text()), checks=(ChoiceCheck("ck", "a", ("new", "Done", evil)),)))
    assert [accepts(plain, value) for value in ("new", "Done", evil, None)] == [True] * 4
    assert [accepts(plain, value) for value in ("NEW", "done", "", "x")] == [False] * 4


def test_a_check_of_the_users_stands_as_written(plain: Any, create: Any) -> None:
    facts = create(
        table(column("a"), column("b"), checks=(SqlCheck("ck", "a > 0 -- positive\n OR b IS NOT NULL", "a"),))
    )
    assert facts["check.expression", "ck"] == "a > 0 OR b IS NOT NULL"
    assert accepts(plain, 1, None)
    assert not accepts(plain, 0, None)


@pytest.mark.parametrize(
    "expression",
    ["", "a > 0); DROP TABLE zz", "a > 0) OR (1", "a > 0 --\n)", "(a > 0", "a > 'x", "a > ?", "a > :x", ";"],
)  # fmt: skip
def test_a_fragment_cannot_leave_its_clause(backend: Any, expression: str) -> None:
    for options in (
        {"checks": (SqlCheck("ck", expression, "a"),)},
        {"indexes": (Index("ix", ("a",), where=expression),)},
    ):
        with pytest.raises(ConfigurationError):
            backend.check([table(column("a"), **options)])
    with pytest.raises(ConfigurationError):
        backend.check([table(column("a", generated=expression))])


@pytest.mark.parametrize(
    "expression",
    ["a <= date('now')", "a < DATETIME ( a, 'LocalTime')", "a > julianday()", "a = strftime('%Y')",
     "a > time(a, \"utc\")", "coalesce(a, [date](lower('NOW')))", "unixepoch('now') > 0"],
)  # fmt: skip
def test_a_rule_about_the_current_time_is_refused_since_every_write_would_fail(backend: Any, expression: str) -> None:
    for options in (
        {"checks": (SqlCheck("ck", expression, "a"),)},
        {"indexes": (Index("ix", ("a",), where=expression),)},
    ):
        with pytest.raises(ConfigurationError, match="current time"):
            backend.check([table(column("a"), **options)])
    with pytest.raises(ConfigurationError, match="current time"):
        backend.check([table(column("a"), column("b", generated=expression))])


def test_a_rule_may_compute_with_times(plain: Any, create: Any) -> None:
    rule = "a = date(a) AND a < date(a, '+1 day') AND strftime('%Y', a) < 'now' AND \"time\" > 0"
    create(table(column("a", types.Text()), column("time"), checks=(SqlCheck("ck", rule),)))
    assert accepts(plain, "2026-01-01", 1)
    assert not accepts(plain, "2026-01-01 05:00:00", 1)


@pytest.mark.parametrize(
    "options",
    [
        {"checks": (SqlCheck("ck", "no_such_column > 0"),)},
        {"checks": (SqlCheck("ck", "no_such_function(a) > 0"),)},
        {"checks": (SqlCheck("ck", "a > (SELECT 1)"),)},
        {"checks": (SqlCheck("ck", "a, b"),)},
        {"checks": (SqlCheck("ck", "a > > 0"),)},
        {"indexes": (Index("ix", ("a",), where="random() > 0"),)},
    ],
    ids=str,
)
def test_what_sqlite_refuses_is_refused_in_private(plain: Any, backend: Any, options: dict[str, Any]) -> None:
    tables = [table(column("fine"), name="fine"), table(column("a"), column("b"), **options)]
    backend.check(tables)
    with pytest.raises(ConfigurationError, match="SQLite cannot create zz"):
        plain.run(backend.desired(tables, frozenset()))
    assert not plain.connection.in_transaction
    assert not plain.connection.execute(
        "SELECT * FROM temp.sqlite_master UNION ALL SELECT * FROM sqlite_master"
    ).fetchall()


def test_a_default_with_an_unknown_function_is_refused_in_private(plain: Any, backend: Any) -> None:
    tables = [table(column("a", default="no_such_function(1)"))]
    with pytest.raises(ConfigurationError, match=r"no_such_function") as caught:
        plain.run(backend.desired(tables, frozenset()))
    assert "DEFAULT" in str(caught.value)
    assert not plain.connection.in_transaction


def test_a_temporary_table_of_the_session_is_in_the_way_and_stays(plain: Any, backend: Any) -> None:
    plain.connection.execute("CREATE TEMP TABLE zz (x)")
    with pytest.raises(ConfigurationError, match="already exists"):
        plain.run(backend.desired([table(column("a"))], frozenset()))
    assert plain.connection.execute("SELECT name FROM temp.sqlite_master").fetchall() == [("zz",)]


# --- Decimal columns in fragments ------------------------------------------------------------------------------------

MONEY = table(
    column("price", PRICE),
    column("cost", types.Decimal(8, 2)),
    column("rate", types.Decimal(6, 4)),
    column("wide", types.Decimal(20, 2)),
    column("n"),
)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("price > 5", "price > 500"),
        ("price>=5.50", "price>=550"),
        ("PRICE <> -1.5", "PRICE <> -150"),
        ("zz.price = + 2", "zz.price = 200"),
        ('"zz"."price" < 1', '"zz"."price" < 100'),
        ("[price] != 0", "[price] != 0"),
        ("5 < price", "500 < price"),
        ("-5 <= price AND 1 > rate", "-500 <= price AND 10000 > rate"),
        ("price BETWEEN 1 AND 2.5", "price BETWEEN 100 AND 250"),
        ("price NOT BETWEEN -1 AND 1 OR n = 5", "price NOT BETWEEN -100 AND 100 OR n = 5"),
        ("n BETWEEN 1 AND 5 AND price > 1", "n BETWEEN 1 AND 5 AND price > 100"),
        ("price IN (1, 2, -3.5)", "price IN (100, 200, -350)"),
        ("price NOT IN (1)", "price NOT IN (100)"),
        ("price IS NULL OR price IS NOT NULL", "price IS NULL OR price IS NOT NULL"),
        ("price ISNULL OR price NOTNULL OR price NOT NULL", "price ISNULL OR price NOTNULL OR price NOT NULL"),
        ("NOT price > 5", "NOT price > 500"),
        ("CASE WHEN price > 1 THEN price < 9 ELSE n END", "CASE WHEN price > 100 THEN price < 900 ELSE n END"),
        ("coalesce(price > 1, 1)", "coalesce(price > 100, 1)"),
        ("price > -- euros\n 1 -- euros\n", "price > -- euros\n 100"),
        ("price /* euros */ > /* > */ 1", "price /* euros */ > /* > */ 100"),
        ("price <= cost", "price <= cost"),
        ("price > 1 AND 'price > 1' <> ''", "price > 100 AND 'price > 1' <> ''"),
        ("wide >= 1", f"wide >= '0{'100'.zfill(20)}'"),
        ("n > 5", "n > 5"),
        ("price(n) > 5", "price(n) > 5"),
    ],
)  # fmt: skip
def test_comparisons_of_a_decimal_are_brought_to_the_stored_form(backend: Any, written: str, stored: str) -> None:
    checked = Table(**{**vars_of(MONEY), "checks": (SqlCheck("ck", written),)})
    (statement,) = backend.create_table(checked)
    assert f'CONSTRAINT "ck" CHECK ({stored})' in statement


def vars_of(one: Table) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Table.__dataclass_fields__}


@pytest.mark.parametrize(
    "written",
    [
        "price + 1 > 5", "1 + price > 5", "price > 5 + 1", "price > n", "n > price", "price * n > 5", "-price < 5",
        "abs(price) > 5", "round(price, 1) = price", "price > '5'", "price LIKE '5%'", "price || 'x' = 'y'",
        "price BETWEEN 1 AND n", "n BETWEEN 1 AND price = 5", "n BETWEEN price AND 5", "price IN (1, n)",
        "n IN (1, price)", "price IN (SELECT 1)", "price IS 5",
        "n IS NOT price = 5", "price = 5 = 1", "0 < price < 5", "price <= rate",
        "price <= wide", "CASE price WHEN 5 THEN 1 END", "price", "price > 0.001", "price < 100000", "price > 0x10",
        "price > 5 COLLATE NOCASE", "price > (5)", "(price) > 5", "- 5 < - price", "n - 5 < price", "price > 1 IS TRUE",
        "price = NULL", "price -> 'x' = 1", "cast(price AS REAL) > 5", "5 BETWEEN price AND 9", "not n < price",
    ],
)  # fmt: skip
def test_other_uses_of_a_decimal_are_refused(backend: Any, written: str) -> None:
    for options in ({"checks": (SqlCheck("ck", written),)}, {"indexes": (Index("ix", ("n",), where=written),)}):
        with pytest.raises(ConfigurationError) as caught:
            backend.check([Table(**{**vars_of(MONEY), **options})])
        assert "Decimal column" in str(caught.value)


def test_a_generated_decimal_is_refused(backend: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"db_generated of zz\.total"):
        backend.check([table(column("n"), column("total", PRICE, generated="n * 2"))])


def test_a_generated_column_may_compare_a_decimal(plain: Any, create: Any) -> None:
    create(table(column("price", PRICE), column("dear", types.Boolean(), generated="price >= 100")))
    plain.connection.execute("INSERT INTO zz (price) VALUES (10000), (9999)")
    assert plain.connection.execute("SELECT dear FROM zz").fetchall() == [(1,), (0,)]


# --- keys, foreign keys, indexes -------------------------------------------------------------------------------------

PARENT = table(
    column("tenant_id", nullable=False),
    column("id", nullable=False),
    name="pa",
    key=("tenant_id", "id"),
    tenant="tenant_id",
)


def child(on_delete: Action, on_update: Action = Action.NO_ACTION, **options: Any) -> Table:
    key = ForeignKey("fk", ("tenant_id", "pa_id"), None, "pa", ("tenant_id", "id"), on_delete, on_update, **options)
    return table(
        column("tenant_id", nullable=False), column("id", nullable=False), column("pa_id"),
        key=("tenant_id", "id"), tenant="tenant_id", foreign_keys=(key,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("action", "written"),
    [
        (Action.NO_ACTION, "NO ACTION"),
        (Action.RESTRICT, "RESTRICT"),
        (Action.CASCADE, "CASCADE"),
        (Action.SET_NULL, "NO ACTION"),  # it would clear the tenant
    ],
)
def test_actions_of_a_composite_key(create: Any, action: Action, written: str) -> None:
    facts = create(PARENT, child(action, set_null=("pa_id",)))
    assert facts["foreign_key.definition", "fk"] == (
        f"(tenant_id, pa_id) REFERENCES pa (tenant_id, id) ON DELETE {written} ON UPDATE NO ACTION"
    )


@pytest.mark.parametrize("cleared", [(), ("pa_id",), ("tenant_id", "pa_id")])
def test_no_action_clears_a_tenant(create: Any, cleared: tuple[str, ...]) -> None:
    facts = create(PARENT, child(Action.SET_NULL, Action.SET_NULL, set_null=cleared))
    assert "SET NULL" not in facts["foreign_key.definition", "fk"]


def test_actions_of_a_single_key(create: Any) -> None:
    key = ForeignKey("fk", ("pa_id",), None, "pa", ("id",), Action.SET_NULL, Action.CASCADE, ("pa_id",))
    parent = table(column("id", nullable=False), name="pa", key=("id",))
    facts = create(parent, table(column("pa_id"), foreign_keys=(key,)))
    assert facts["foreign_key.definition", "fk"].endswith("ON DELETE SET NULL ON UPDATE CASCADE")


def test_foreign_keys_hold(plain: Any, create: Any) -> None:
    create(PARENT, child(Action.CASCADE))
    plain.connection.execute("INSERT INTO pa VALUES (1, 1)")
    assert accepts(plain, 1, 1, 1)
    assert accepts(plain, 1, 2, None)
    assert not accepts(plain, 2, 1, 1)
    plain.connection.execute("DELETE FROM pa")
    assert plain.connection.execute("SELECT id FROM zz").fetchall() == [(2,)]


@pytest.mark.parametrize("target", [("id",), ("id", "tenant_id"), ("code",), ("live",)])
def test_a_reference_to_what_is_no_key_is_found_before_a_row_is_written(plain: Any, backend: Any, target: Any) -> None:
    columns = (column("tenant_id", nullable=False), column("id", nullable=False), column("code"), column("live"))
    parent = table(
        *columns, name="pa", key=("tenant_id", "id"), deleted_at="live",
        indexes=(Index("ix", ("code",)), Index("ux", ("live",), unique=True, live_only=True)),
    )  # fmt: skip
    names = [f"c{number}" for number in range(len(target))]
    one = table(*map(column, names), foreign_keys=(ForeignKey("fk", tuple(names), None, "pa", target),))
    for made in (parent, one):
        for statement in backend.create_table(made):
            plain.connection.execute(statement)
    if target == ("id", "tenant_id"):  # SQLite takes a key's columns in any order
        plain.run(backend.verify([parent, one]))
        return
    with pytest.raises(ConfigurationError, match="no key"):
        plain.run(backend.verify([parent, one]))


def test_unresolved_references(plain: Any, backend: Any) -> None:
    plain.script("create table PA(ID integer primary key); create view v as select 1 as id")
    keys = [
        ForeignKey("fk", ("a",), None, target, (name,))
        for target, name in [("pa", "id"), ("pa", "x"), ("pb", "id"), ("v", "id")]
    ]
    assert plain.run(backend.unresolved(keys)) == keys[1:]


def test_indexes(plain: Any, create: Any) -> None:
    facts = create(
        table(
            column("a", types.Text()), column("b"), column("deleted_at", types.Timestamp()), deleted_at="deleted_at",
            indexes=(
                Index("plain", ("b", "a"), method="gin"),
                Index("live", ("a",), unique=True, live_only=True),
                Index("both", ("b",), live_only=True, where="a = 'x' OR b > 1"),
                Index("where", ("b",), where="a = ') WHERE ('"),
            ),
        )
    )  # fmt: skip
    assert {name: facts["index.columns", name] for name in ("plain", "live", "both", "where")} == {
        "plain": "b, a", "live": "a", "both": "b", "where": "b",
    }  # fmt: skip
    assert facts["index.predicate", "both"] == "deleted_at IS NULL AND (a = 'x' OR b > 1)"
    assert facts["index.predicate", "where"] == "a = ') WHERE ('"
    assert ("index.predicate", "plain") not in facts
    assert accepts(plain, "x", 1, "2026-01-01 00:00:00.000000")
    assert accepts(plain, "x", 2, None)
    assert not accepts(plain, "x", 3, None)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tables",
    [
        [table(column("a"), schema="sales")],
        [table(column("a"), schema="temp")],
        [table(column("a"), foreign_keys=(ForeignKey("fk", ("a",), "sales", "pa", ("id",)),))],
        [table(column("a"), name="sqlite_stat1")],
        [table(column("a"), indexes=(Index("SQLite_x", ("a",)),))],
        [table(column("a"), name="aa"), table(column("a"), name="AA")],
        [table(column("a"), indexes=(Index("ix", ("a",)), Index("IX", ("a",))))],
        [table(column("a"), name=name, indexes=(Index("ix", ("a",)),)) for name in ("aa", "bb")],
        [table(column("a"), indexes=(Index("zz", ("a",)),))],
    ],
)  # fmt: skip
def test_names_that_sqlite_does_not_have(backend: Any, tables: list[Table]) -> None:
    with pytest.raises(ConfigurationError):
        backend.check(tables)


@pytest.mark.parametrize(
    "options",
    [
        {"key": ("nope",)},
        {"indexes": (Index("ix", ("a", "nope")),)},
        {"foreign_keys": (ForeignKey("fk", ("nope",), None, "pa", ("id",)),)},
        {"checks": (RangeCheck("ck", "nope", ">", 1),)},
        {"checks": (ChoiceCheck("ck", "A", (1,)),)},
        {"checks": (SqlCheck("ck", "a > 1", "nope"),)},
    ],
    ids=str,
)
def test_names_of_no_column(backend: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="known names: a"):
        backend.check([table(column("a"), **options)])


def test_main_is_the_default_schema(create: Any) -> None:
    assert create(table(column("a"), schema="main"))["column.type", "a"] == "INTEGER"


def test_a_statement_beyond_the_limit_is_refused(backend: Any) -> None:
    choices = ChoiceCheck("ck", "a", tuple(range(100_000)))
    with pytest.raises(LimitExceededError, match="zz"):
        backend.check([table(column("a"), checks=(choices,))])


def test_a_very_long_name_and_text_in_a_key(create: Any) -> None:
    name = "n" * 63
    facts = create(table(column(name, types.Text(), nullable=False), name="t" * 63, key=(name,)))
    assert facts["primary_key.columns", ""] == name
    assert len(facts["primary_key.name", ""]) == 63
