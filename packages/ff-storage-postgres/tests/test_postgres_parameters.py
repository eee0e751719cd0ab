"""Raw SQL's placeholders: $1 where the server reads one, and an answer to those that wrote another driver's."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import InvalidValueError, QueryError
from ff_storage.postgres.parameters import bind, placeholders


@pytest.fixture
async def pool(empty_database: str) -> AsyncIterator[Pool]:
    async with open_pool(empty_database) as pool:
        yield pool


# A statement, and the parameters that it has: what the server says of each is the truth.
STATEMENTS: list[tuple[str, int]] = [
    ("SELECT 1", 0),
    ("SELECT $1::text", 1),
    ("SELECT $1::text, $1::text", 1),
    ("SELECT $2::text, $1::text", 2),
    ("SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, $10::text", 10),
    ("SELECT '$1'", 0),
    ("SELECT 'a''$1'", 0),
    ("SELECT 'a', $1::text, '$2'", 1),
    (r"SELECT E'\'$2', $1::text", 1),
    (r"SELECT e'\\', $1::text", 1),
    (r"SELECT '\', $1::text", 1),
    ("SELECT U&'$2', $1::text", 1),
    ("SELECT B'1', X'1F', $1::text", 1),
    ('SELECT 1 AS "$1"', 0),
    ('SELECT $1::text AS "a""$2"', 1),
    ("SELECT $$ $1 $$", 0),
    ("SELECT $x$ $1 $$ $2 $x$, $1::text", 1),
    ("SELECT $é$ $1 $é$", 0),
    ("SELECT $x1$ $2 $x1$, $1::text", 1),
    ("SELECT $X$ $x$ $2 $X$, $1::text", 1),
    ("SELECT a$x$ FROM (SELECT $1::text AS a$x$) AS x", 1),
    ("SELECT $$a$$, $1::text, $$b$2$$", 1),
    ("SELECT 1 -- $1", 0),
    ("SELECT $1::text -- $2\n", 1),
    ("SELECT 1 -- '\n, $1::text -- '", 1),
    ("SELECT 1 /* $1 */", 0),
    ("SELECT 1 /* $1 ' */, $1::text /* ' */", 1),
    ("SELECT 1 /* /* $2 */ $3 */, $1::text", 1),
    ("SELECT 1 /* /* */ ' */, $1::text /* ' */", 1),
    ("SELECT 1 /* ** / /*/ */ */, $1::text", 1),
    ("SELECT 1 /*" + "/* $2 */" * 50 + "*/, $1::text", 1),
    ("SELECT 1 /**/, $1::text /***/", 1),
    ("SELECT a$1 FROM (SELECT 1 AS a$1) AS x", 0),
    ("SELECT '{\"a\": 1}'::jsonb ? 'a', $1::text", 1),
    ("SELECT '{\"a\": 1}'::jsonb ?| array['a'], '{}'::jsonb ?& array['b']", 0),
    ("SELECT '{\"a\": 1}'::jsonb ?| $1::text[]", 1),
    ("SELECT '{\"a\": 1}'::jsonb @? '$.a'", 0),
    ("SELECT '{\"a\": 1}'::jsonb @@ $1::text::jsonpath", 1),
    ("SELECT ('{\"a\": 1}'::jsonb) ? $1", 1),
    ("SELECT 5 % 2, 'x' LIKE '%s', '%(name)s', '?', ':name', $1::text", 1),
    ("SELECT 5 %$1::integer", 1),
    ("SELECT (ARRAY[1, 2])[$1::integer]", 1),
    ("SELECT 1::text, $1::text", 1),
    ("SELECT ($1::text)", 1),
    ("SELECT -$1::integer", 1),
    ("SELECT 'a'\n'$1'", 0),
    ("SELECT 1 WHERE $1::text='$2'AND'$3'=$2", 2),
]


@pytest.mark.parametrize(("text", "count"), STATEMENTS, ids=lambda each: ascii(each)[:60])
async def test_the_placeholders_are_those_that_the_server_finds(pool: Pool, text: str, count: int) -> None:
    assert placeholders(text) == count
    async with pool.acquire() as connection:
        statement = await connection.call(lambda one: one.driver.prepare(text))  # type: ignore[attr-defined]
        assert len(statement.get_parameters()) == count


@pytest.mark.parametrize(
    ("text", "values", "found"),
    [
        ("SELECT * FROM t WHERE a = %s", (1,), "%s"),
        ("SELECT * FROM t WHERE a = %(name)s", ({"name": 1},), "%(name)s"),
        ("SELECT * FROM t WHERE a = ?", (1,), "?"),
        ("SELECT * FROM t WHERE a=?", (1,), "?"),
        ("SELECT * FROM t WHERE a IN (?, ?)", (1, 2), "?"),
        ("INSERT INTO t VALUES (?, ?)", (1, 2), "?"),
        ("INSERT INTO t VALUES (%s, %s)", (1, 2), "%s"),
        ("SELECT * FROM t WHERE a = %s", (), "%s"),
    ],
)
async def test_another_driver_s_placeholders_are_answered_with_ours(
    pool: Pool, text: str, values: tuple[Any, ...], found: str
) -> None:
    """Before anything is sent: the table does not exist, and nobody says so."""
    for work in (pool.fetch_all(text, *values), pool.execute(text, *values)):
        with pytest.raises(InvalidValueError) as caught:
            await work
        assert found in caught.value.found
        assert "$1" in str(caught.value)
        assert "$1" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("SELECT $1::text", ()),
        ("SELECT $1::text", ("a", "b")),
        ("SELECT $1::text, $2::text", ("a",)),
        ("SELECT 1", ("a",)),
        ("SELECT $2::text", ("a",)),
        ("SELECT $2::text", ("a", "b")),
        ("SELECT $1::text, $3::text", ("a", "b", "c")),
        ("SELECT $0::text", ("a",)),
        ("SELECT $99999999999999999999", ("a",)),
        ("SELECT '$1'", ("a",)),
    ],
)
async def test_another_number_of_values_is_refused(pool: Pool, text: str, values: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        await pool.fetch_all(text, *values)
    assert "$" in str(caught.value)


async def test_a_mapping_binds_its_values_in_their_order(pool: Pool) -> None:
    values = {"b": "first", "a": "second"}
    assert await pool.fetch_all("SELECT $1::text AS x, $2::text AS y", values) == [{"x": "first", "y": "second"}]
    await pool.execute("CREATE TABLE t (x text, y text)")
    assert await pool.execute_many("INSERT INTO t VALUES ($1, $2)", [values, ("c", "d")]) == 2
    assert await pool.fetch_all("SELECT * FROM t ORDER BY x", as_dict=False) == [("c", "d"), ("first", "second")]
    with pytest.raises(InvalidValueError):
        await pool.fetch_all("SELECT $1::text, $2::text", {"a": "one"})


async def test_a_dict_is_sent_as_json_where_it_is_one_of_the_values(pool: Pool) -> None:
    value = {"a": [1, {"b": None}], "é": "☃"}
    assert await pool.fetch_one("SELECT $1::int AS n, $2::jsonb AS j", 5, value) == {"n": 5, "j": value}
    assert await pool.fetch_one("SELECT $1::json AS i, $2::jsonb AS j", value, {}) == {"i": value, "j": {}}
    assert await pool.fetch_val("SELECT $1::jsonb", '{"a": 1}') == {"a": 1}


async def test_a_dict_alone_binds_its_values_however_many(pool: Pool) -> None:
    """What is stored must not hang on the number of its keys: it is never JSON."""
    assert await pool.fetch_val("SELECT $1::text", {"title": "New Document"}) == "New Document"
    assert await pool.execute_many("SELECT $1::text", [{"title": "a"}, ["b"]]) == 2
    for value in ({}, {"a": "1", "b": "2"}):
        with pytest.raises(InvalidValueError, match="dict") as caught:
            await pool.fetch_val("SELECT $1::jsonb", value)
        assert "json.dumps" in caught.value.remedy


async def test_a_text_with_several_statements_is_none(pool: Pool) -> None:
    for text in ("SELECT 1; SELECT 2", "SELECT 1; DROP TABLE x"):
        for work in (pool.fetch_all(text), pool.execute(text), pool.fetch_val(text)):
            with pytest.raises(QueryError):
                await work


def test_values_pass_as_they_are() -> None:
    key = uuid.uuid4()
    assert [*bind("SELECT $1, $2, $3", (key, None, [1]))] == [key, None, [1]]
    assert [*bind("SELECT 1", ())] == []
