"""The published methods on SQLite: results, row counts, parameters."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest

from ff_storage.core.errors import (
    CheckViolation,
    ForeignKeyViolation,
    InvalidValueError,
    NotNullViolation,
    QueryError,
    UniqueViolation,
)
from ff_storage.sqlite import SQLitePool


async def test_rows_are_dicts_or_tuples(pool: SQLitePool) -> None:
    await pool.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    assert await pool.fetch_all("SELECT * FROM t ORDER BY id") == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert await pool.fetch_all("SELECT * FROM t WHERE id = ?", 2, as_dict=False) == [(2, "b")]
    assert await pool.fetch_one("SELECT * FROM t ORDER BY id DESC") == {"id": 2, "name": "b"}
    assert await pool.fetch_one("SELECT * FROM t ORDER BY id", as_dict=False) == (1, "a")
    assert await pool.fetch_val("SELECT name FROM t WHERE id = ?", 1) == "a"


async def test_no_rows(pool: SQLitePool) -> None:
    assert await pool.fetch_all("SELECT * FROM t") == []
    assert await pool.fetch_one("SELECT * FROM t") is None
    assert await pool.fetch_val("SELECT name FROM t") is None


async def test_a_dict_never_drops_a_column(pool: SQLitePool) -> None:
    await pool.execute("INSERT INTO t VALUES (1, 'a')")
    with pytest.raises(QueryError, match="one name"):
        await pool.fetch_all("SELECT a.id, b.id FROM t AS a JOIN t AS b")
    assert await pool.fetch_all("SELECT a.id, b.id FROM t AS a JOIN t AS b", as_dict=False) == [(1, 1)]


async def test_execute_counts_the_rows_it_touched(pool: SQLitePool) -> None:
    assert await pool.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')") == 3
    assert await pool.execute("UPDATE t SET name = name || '!' WHERE id > ?", 1) == 2
    assert await pool.execute("WITH x AS (SELECT 3 AS id) UPDATE t SET name = 'z' WHERE id IN (SELECT id FROM x)") == 1
    assert await pool.execute("WITH x AS (SELECT 9 AS id) UPDATE t SET name = 'z' WHERE id IN (SELECT id FROM x)") == 0
    assert await pool.execute("INSERT INTO t VALUES (4, 'd'), (5, 'e') RETURNING id") == 2
    assert await pool.execute("DELETE FROM t WHERE id = 99") == 0
    assert await pool.execute("SELECT * FROM t") == 0
    assert await pool.execute("CREATE TABLE other (x INTEGER) STRICT") == 0
    assert await pool.execute("DELETE FROM t") == 5


async def test_a_returning_write_is_complete_though_one_row_is_read(file_pool: SQLitePool) -> None:
    assert await file_pool.fetch_val("INSERT INTO t VALUES (1, 'a'), (2, 'b') RETURNING id") == 1
    async with SQLitePool(file_pool._database.path, busy_timeout=0) as other:
        assert await other.fetch_val("SELECT count(*) FROM t") == 2
        assert await other.execute("DELETE FROM t") == 2


# --- execute_many ----------------------------------------------------------------------------------------------------


async def test_execute_many_takes_lazy_arguments(pool: SQLitePool) -> None:
    assert await pool.execute_many("INSERT INTO t VALUES (?, ?)", ((n, f"n{n}") for n in range(1000))) == 1000
    assert await pool.execute_many("UPDATE t SET name = ? WHERE id = ?", [["x", 5], {"name": "y", "id": 6}]) == 2
    assert await pool.execute_many("DELETE FROM t WHERE id = ?", []) == 0
    assert await pool.fetch_val("SELECT count(*) FROM t") == 1000


def rows_then(error: Exception) -> Any:
    yield (10, "ten")
    yield (11, "eleven")
    raise error


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([(10, "ten"), (11, "ten")], UniqueViolation),
        ([(10, "ten"), (11, "a\0")], InvalidValueError),
        ([(10, "ten"), (11, math.nan)], InvalidValueError),
        ([(10, "ten"), (11,)], InvalidValueError),
        ([(10, "ten"), "ab"], InvalidValueError),
        (rows_then(KeyError("stop")), KeyError),
        (rows_then(OverflowError("stop")), InvalidValueError),
    ],
    ids=["statement", "nul", "nan", "count", "str", "generator", "driver"],
)
async def test_execute_many_is_all_or_nothing(file_pool: SQLitePool, arguments: Any, error: type[Exception]) -> None:
    await file_pool.execute("INSERT INTO t VALUES (1, 'a')")
    rows = list(arguments) if isinstance(arguments, list) else arguments
    with pytest.raises(error):
        await file_pool.execute_many("INSERT INTO t VALUES (?, ?)", rows)
    assert await file_pool.fetch_all("SELECT * FROM t", as_dict=False) == [(1, "a")]


async def test_execute_many_is_all_or_nothing_within_a_transaction(pool: SQLitePool) -> None:
    async with pool.transaction() as tx:
        await tx.execute("INSERT INTO t VALUES (1, 'a')")
        with pytest.raises(InvalidValueError):
            await tx.execute_many("INSERT INTO t VALUES (?, ?)", [(10, "ten"), (11, "a\0")])
        # Nothing of it was kept, and nothing failed in the database, so the transaction goes on.
        assert await tx.execute_many("INSERT INTO t VALUES (?, ?)", [(2, "b"), (3, "c")]) == 2
    assert await pool.fetch_val("SELECT group_concat(id) FROM t") == "1,2,3"


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (True, 1),
        (5, 5),
        (1.5, 1.5),
        ("é", "é"),
        (b"\0", b"\0"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (dt.datetime(2026, 1, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=5))), "2026-01-01 00:00:00.000000"),
        (dt.date(2026, 1, 1), "2026-01-01"),
        (dt.time(1, 2, 3), "01:02:03.000000"),
        (dt.timedelta(seconds=1), 1_000_000),
    ],
)
async def test_raw_parameters_take_the_stored_form(pool: SQLitePool, value: Any, stored: Any) -> None:
    assert await pool.fetch_val("SELECT ?", value) == stored


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.5"),
        math.nan,
        math.inf,
        2**63,
        "a\0",
        "\ud800",
        dt.datetime(2026, 1, 1),  # noqa: DTZ001
        [1],
        {1},
        object(),
    ],
)
async def test_what_sqlite_cannot_hold_is_refused(pool: SQLitePool, value: Any) -> None:
    with pytest.raises(InvalidValueError):
        await pool.execute("INSERT INTO t (name) VALUES (?)", value)
    assert await pool.fetch_val("SELECT count(*) FROM t") == 0


async def test_a_mapping_binds_in_order(pool: SQLitePool) -> None:
    assert await pool.fetch_all("SELECT ? AS a, ? AS b", {"x": 1, "y": 2}) == [{"a": 1, "b": 2}]
    with pytest.raises(InvalidValueError, match="2 placeholders"):
        await pool.fetch_all("SELECT ?, ?", {"x": 1})


@pytest.mark.parametrize(
    ("sql", "arguments"),
    [
        ("SELECT ?", ()),
        ("SELECT ?", (1, 2)),
        ("SELECT 1", (1,)),
        ("SELECT '?', \"?\", [?], `?` -- ?\n /* ? */", (1,)),
        ("SELECT $1", (1,)),
        ("SELECT :a", ({"a": 1},)),
        ("SELECT @a", (1,)),
        ("SELECT ?1", (1,)),
    ],
)
async def test_a_mismatch_shows_the_right_form(pool: SQLitePool, sql: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidValueError, match=r"\?"):
        await pool.fetch_all(sql, *arguments)


async def test_placeholders_within_literals_and_comments_are_none(pool: SQLitePool) -> None:
    sql = "SELECT '?' AS a, 'it''s :x' AS b, ? AS c /* $1 ? */ -- ?"
    assert await pool.fetch_one(sql, 5) == {"a": "?", "b": "it's :x", "c": 5}


# --- errors ----------------------------------------------------------------------------------------------------------


async def test_constraints_have_their_own_errors(pool: SQLitePool) -> None:
    await pool.execute(
        "CREATE TABLE c (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n > 0), t INTEGER REFERENCES t (id)) STRICT"
    )
    await pool.execute("INSERT INTO t VALUES (1, 'a')")
    await pool.execute("INSERT INTO c VALUES (1, 1, 1)")
    for sql, error in [
        ("INSERT INTO t VALUES (1, 'b')", UniqueViolation),
        ("INSERT INTO t VALUES (2, 'a')", UniqueViolation),
        ("INSERT INTO c VALUES (2, NULL, NULL)", NotNullViolation),
        ("INSERT INTO c VALUES (2, 0, NULL)", CheckViolation),
        ("INSERT INTO c VALUES (2, 1, 9)", ForeignKeyViolation),
        ("DELETE FROM t", ForeignKeyViolation),
        ("INSERT INTO c VALUES (2, 'text', NULL)", QueryError),
        ("SELECT nothing FROM t", QueryError),
        ("SELEC 1", QueryError),
        ("SELECT 1; SELECT 2", QueryError),
        ("SELECT 1 -- \0", QueryError),
        ("SELECT sum(column1) FROM (VALUES (9223372036854775807), (1))", QueryError),
        ("SELECT ff_decimal_ratio(9223372036854775807, 1, 4)", QueryError),
    ]:
        with pytest.raises(error) as caught:
            await pool.execute(sql)
        assert caught.value.__cause__ is not None, sql


async def test_sql_that_is_no_unicode_is_refused(pool: SQLitePool) -> None:
    with pytest.raises(InvalidValueError) as caught:
        await pool.execute("SELECT 'S3CR3T \ud800'")
    # The driver's error holds the text.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_errors_never_carry_a_value(pool: SQLitePool) -> None:
    await pool.execute("CREATE TABLE n (x INTEGER UNIQUE, y TEXT) STRICT")
    await pool.execute("INSERT INTO n VALUES (?, ?)", 1, "S3CR3T")
    for sql, arguments in [
        ("INSERT INTO n VALUES (?, ?)", (1, "S3CR3T")),
        ("INSERT INTO n VALUES (?, ?)", ("S3CR3T", "S3CR3T")),
        ("INSERT INTO n VALUES (?, ?)", ("S3CR3T",)),
        ("INSERT INTO n VALUES (?, ?)", (1, "S3CR3T\0")),
        ("INSERT INTO n VALUES (?, ?)", (1, ["S3CR3T"])),
    ]:
        with pytest.raises(Exception, match="FF-") as caught:
            await pool.execute(sql, *arguments)
        error: BaseException | None = caught.value
        while error is not None:
            assert "S3CR3T" not in f"{error!r} {error} {vars(error)}"
            error = error.__cause__ or error.__context__
