"""Values of raw SQL come back as plain Python, in every way to read them."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import json
import pickle
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import orjson
import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import InvalidValueError
from ff_storage.core.types import Json
from ff_storage.postgres.dialect import PostgresDialect


class Color(enum.Enum):
    RED = "red"


KEY = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")

PLAIN: list[tuple[str, Any]] = [
    ("NULL", None),
    ("NULL::jsonb", None),
    ("true", True),
    ("32767::smallint", 32767),
    ("9223372036854775807", 2**63 - 1),
    ("1.5::real", 1.5),
    ("'NaN'::float8 = 'NaN'::float8", True),
    ("1.50::numeric(10, 2)", Decimal("1.50")),
    ("100::numeric", Decimal(100)),
    ("12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
    ("'é☃🦆'::text", "é☃🦆"),
    ("'x'::varchar(3)", "x"),
    ("'x'::name", "x"),
    ("'x'::char(3)", "x  "),
    ("'\\x00ff'::bytea", b"\x00\xff"),
    ("''::bytea", b""),
    ("'2024-02-29'::date", dt.date(2024, 2, 29)),
    ("'12:34:56.000001'::time", dt.time(12, 34, 56, 1)),
    ("'2024-01-01 12:00+05'::timestamptz", dt.datetime(2024, 1, 1, 7, tzinfo=dt.UTC)),
    ("'2024-01-01 12:00'::timestamp", dt.datetime(2024, 1, 1, 12)),  # noqa: DTZ001 - naive is what it is
    ("'1 day 00:00:01'::interval", dt.timedelta(days=1, seconds=1)),
    (f"'{KEY}'::uuid", KEY),
    (f"ARRAY['{KEY}'::uuid, NULL]", [KEY, None]),
    (f"ARRAY[['{KEY}'::uuid], ['{KEY}'::uuid]]", [[KEY], [KEY]]),
    ("ARRAY[]::uuid[]", []),
    ("ARRAY[1, NULL, 3]", [1, None, 3]),
    ("ARRAY[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
    ("ARRAY['a', 'b,c', '{}', NULL, '']", ["a", "b,c", "{}", None, ""]),
    ("""'{"a": [1, 2.5, null, "x"], "é": {"b": true}}'::jsonb""", {"a": [1, 2.5, None, "x"], "é": {"b": True}}),
    ("""'{"a": 1, "a": 2}'::json""", {"a": 2}),
    ("'null'::jsonb", None),
    ("'\"text\"'::jsonb", "text"),
    ("'[]'::jsonb", []),
    ("'9007199254740993'::jsonb", 2**53 + 1),
    ("""ARRAY['{"a": 1}'::jsonb, NULL]""", [{"a": 1}, None]),
    ("'10.0.0.0/8'::cidr", ipaddress.ip_network("10.0.0.0/8")),
    ("'10.0.0.1'::inet", ipaddress.ip_interface("10.0.0.1").ip),
    ("int4range(1, 5)::text", "[1,5)"),
]


def exact(value: Any) -> Any:
    """The value with the class of each part, which equality does not tell."""
    if isinstance(value, list):
        return [exact(each) for each in value]
    if isinstance(value, dict):
        return {name: exact(each) for name, each in value.items()}
    return (type(value), value)


@pytest.fixture
async def pool(empty_database: str) -> AsyncIterator[Pool]:
    async with open_pool(empty_database) as pool:
        yield pool


@pytest.mark.parametrize(("sql", "expected"), PLAIN, ids=lambda each: ascii(each)[:50])
async def test_each_way_to_read_gives_plain_values(pool: Pool, sql: str, expected: Any) -> None:
    text = f"SELECT {sql} AS x"
    found = [
        await pool.fetch_val(text),
        (await pool.fetch_one(text) or {})["x"],
        (await pool.fetch_one(text, as_dict=False) or ())[0],
        (await pool.fetch_all(text))[0]["x"],
        (await pool.fetch_all(text, as_dict=False))[0][0],
    ]
    async with pool.stream(text) as rows:
        found += [row["x"] async for row in rows]
    async with pool.transaction() as tx, tx.stream(text, as_dict=False) as rows:
        found += [row[0] async for row in rows]
    assert [exact(each) for each in found] == [exact(expected)] * 7


async def test_rows_are_plain_dicts_and_tuples(pool: Pool) -> None:
    text = f"SELECT n, '{KEY}'::uuid AS key, '[1]'::jsonb AS j FROM generate_series(1, 3) AS n"
    dicts = await pool.fetch_all(text)
    assert dicts == [{"n": n, "key": KEY, "j": [1]} for n in (1, 2, 3)]
    assert {type(row) for row in dicts} == {dict}
    tuples = await pool.fetch_all(text, as_dict=False)
    assert {type(row) for row in tuples} == {tuple}
    assert pickle.loads(pickle.dumps((dicts, tuples))) == (dicts, tuples)


async def test_serializers_take_what_raw_sql_gives(pool: Pool) -> None:
    """They refuse subclasses such as asyncpg's own UUID, or write them wrongly."""
    row = await pool.fetch_one(
        f"""SELECT '{KEY}'::uuid AS key, ARRAY['{KEY}'::uuid] AS keys, '{{"a": 1}}'::jsonb AS j"""
    )
    assert orjson.loads(orjson.dumps(row)) == {"key": str(KEY), "keys": [str(KEY)], "j": {"a": 1}}
    assert json.loads(json.dumps(row, default=str)) == {"key": str(KEY), "keys": [str(KEY)], "j": {"a": 1}}


ROUND_TRIPS: list[tuple[str, Any]] = [
    ("uuid", KEY),
    ("uuid[]", [KEY, None]),
    ("text", "a\tb\n☃'\"\\ $1 ? %s"),
    ("text", ""),
    ("text[]", ["", "a,b", '"', "\\", None, "{}"]),
    ("bigint", -(2**63)),
    ("numeric", Decimal("-0.000000000000000000001")),
    ("numeric", Decimal("1E+30")),
    ("float8", 5e-324),
    ("boolean", False),
    ("bytea", bytes(range(256))),
    ("date", dt.date(1, 1, 2)),
    ("timestamptz", dt.datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=dt.UTC)),
    ("time", dt.time(23, 59, 59, 999999)),
    ("interval", dt.timedelta(microseconds=1)),
    ("jsonb", {"a": {"b": [1, None, "☃", 1.5, True]}, "c": "2"}),
    ("json", {}),
    ("inet", ipaddress.ip_address("::1")),
]


@pytest.mark.parametrize(("type_", "value"), ROUND_TRIPS, ids=lambda each: ascii(each)[:40])
async def test_a_value_that_is_bound_comes_back(pool: Pool, type_: str, value: Any) -> None:
    with decimal.localcontext() as context:
        context.prec = 50
        row = await pool.fetch_one(f"SELECT $1::{type_} AS x, $2::int AS n", value, 1)
        assert row is not None
        assert exact(row["x"]) == exact(value)
    await pool.execute(f"CREATE TABLE t (x {type_}, n int)")
    assert await pool.execute("INSERT INTO t VALUES ($1, $2)", value, 1) == 1
    assert await pool.execute_many("INSERT INTO t VALUES ($1, $2)", [(value, 2), (None, 3)]) == 2
    rows = await pool.fetch_all("SELECT x FROM t ORDER BY n", as_dict=False)
    assert [exact(x) for (x,) in rows] == [exact(value), exact(value), exact(None)]


async def test_the_driver_s_uuids_may_be_asked_for(empty_database: str) -> None:
    async with open_pool(empty_database, uuid="driver") as pool:
        assert await pool.fetch_val(f"SELECT '{KEY}'::uuid") == KEY


async def test_the_number_of_rows_touched(pool: Pool) -> None:
    await pool.execute("CREATE TABLE t (x integer)")
    assert await pool.execute("INSERT INTO t SELECT generate_series(1, 5)") == 5
    assert await pool.execute("UPDATE t SET x = x + 1 WHERE x > $1", 3) == 2
    assert await pool.execute("DELETE FROM t WHERE x = $1", 99) == 0
    assert await pool.execute("DELETE FROM t RETURNING x") == 5
    assert await pool.execute("SET statement_timeout = 1000") == 0
    assert await pool.execute_many("INSERT INTO t VALUES ($1)", []) == 0


@pytest.mark.parametrize("value", [KEY, Color.RED, orjson.Fragment(b"1"), orjson.Fragment(b"}")], ids=ascii)
def test_json_holds_the_classes_of_json_alone(value: Any) -> None:
    """Orjson writes others too; it is not asked to."""
    encode: Any = PostgresDialect().encoder(Json())
    with pytest.raises(InvalidValueError):
        encode({"a": value})
    assert encode.many([{"a": 1}, {"a": value}]) is None
    assert encode.many([{"a": 1}, {"a": [None]}]) is None  # which may stand for a NaN
    assert encode.many([{"a": 1}, {"a": [2]}]) == ['{"a":1}', '{"a":[2]}']
