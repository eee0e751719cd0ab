"""What SQLite stores for each type: round trips, and the order of the stored form."""

from __future__ import annotations

import datetime as dt
import decimal
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError
from ff_storage.sqlite.dialect import SQLiteDialect
from ff_storage.sqlite.functions import register
from ff_storage.sqlite.values import decimal_key, decimal_number

dialect = SQLiteDialect()


@pytest.fixture
def failures() -> list[Exception]:
    return []


@pytest.fixture
def database(failures: list[Exception]) -> Iterator[sqlite3.Connection]:
    """A database in memory with the functions of the part."""
    with closing(sqlite3.connect(":memory:")) as connection:
        register(connection, failures.append)
        yield connection


def selected(sql: str, *parameters: Any) -> Any:
    with closing(sqlite3.connect(":memory:")) as database:
        return database.execute(sql, parameters).fetchone()[0]


def stored(type_: types.ColumnType, value: Any) -> Any:
    """The value after a trip through SQLite, as SQLite holds it."""
    return selected("SELECT ?", dialect.encoder(type_)(value))


def round_trip(type_: types.ColumnType, value: Any) -> Any:
    decode = dialect.decoder(type_)
    result = stored(type_, value)
    return result if decode is None else decode(result)


@pytest.mark.parametrize(
    ("type_", "value", "form"),
    [
        (types.Text(), "Ünïcødé 😀", "Ünïcødé 😀"),
        (types.Integer(), -(2**63), -(2**63)),
        (types.Boolean(), True, 1),
        (types.Boolean(), False, 0),
        (types.Float(), 0.1 + 0.2, 0.1 + 0.2),
        (types.Decimal(10, 2), Decimal("1234.50"), 123450),
        (types.Decimal(18, 0), Decimal(10**18 - 1), 10**18 - 1),
        (types.Decimal(19, 2), Decimal("1234.50"), "00000000000000123450"),
        (types.Decimal(19, 2), Decimal("-1.00"), "-9999999999999999899"),
        (types.Timestamp(), dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02 03:04:05.000000"),
        (types.Timestamp(), dt.datetime(33, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC), "0033-01-02 03:04:05.000006"),
        (types.Date(), dt.date(2024, 2, 29), "2024-02-29"),
        (types.Time(), dt.time(1, 2), "01:02:00.000000"),
        (types.Interval(), dt.timedelta(days=-1, microseconds=1), -86_399_999_999),
        (types.Bytes(), b"\0\xff", b"\0\xff"),
        (types.Bytes(), b"", b""),
        (
            types.Uuid(),
            uuid.UUID("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (types.Json(), {"b": 1, "a": [None, True, 1.5, "é"]}, '{"b":1,"a":[null,true,1.5,"é"]}'),
        (types.Json(), None, "null"),
        (types.Array(types.Integer()), [3, 1], "[3,1]"),
        (types.Array(types.Decimal(30, 2)), [Decimal("1.50")], '["1.50"]'),
        (types.Array(types.Bytes()), [b"\0\xff"], '["00ff"]'),
        (types.Array(types.Boolean()), [True], "[true]"),
        (
            types.Array(types.Timestamp()),
            [dt.datetime(2026, 1, 2, tzinfo=dt.UTC)],
            '["2026-01-02 00:00:00.000000"]',
        ),
    ],
)
def test_the_stored_form_and_the_way_back(type_: types.ColumnType, value: Any, form: Any) -> None:
    assert stored(type_, value) == form
    assert type(stored(type_, value)) is type(form)
    result = round_trip(type_, value)
    assert result == value
    assert type(result) is type(value)


def test_a_decoded_decimal_has_the_scale_of_its_column() -> None:
    assert str(round_trip(types.Decimal(10, 2), Decimal("1.5"))) == "1.50"
    assert str(round_trip(types.Decimal(38, 10), Decimal("-1.5"))) == "-1.5000000000"
    assert str(round_trip(types.Decimal(38, 10), Decimal("-0"))) == "0E-10"


def test_a_decoded_timestamp_is_in_utc() -> None:
    value = dt.datetime(2026, 7, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=5)))
    result = round_trip(types.Timestamp(), value)
    assert result == value
    assert result.tzinfo is dt.UTC


def test_a_decoded_uuid_is_a_whole_one() -> None:
    value = uuid.uuid4()
    result = round_trip(types.Uuid(), value)
    assert type(result) is uuid.UUID
    assert (hash(result), str(result), result.is_safe) == (hash(value), str(value), value.is_safe)


def test_the_ambient_decimal_context_changes_no_value() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        for type_ in (types.Decimal(18, 2), types.Decimal(38, 10)):
            assert round_trip(type_, Decimal("123456789012345.67")) == Decimal("123456789012345.67")


SCALARS: list[tuple[types.ColumnType, st.SearchStrategy[Any]]] = [
    (types.Text(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    (types.Integer(), st.integers(-(2**63), 2**63 - 1)),
    (types.Boolean(), st.booleans()),
    (types.Float(), st.floats(allow_nan=False, allow_infinity=False)),
    (types.Decimal(18, 4), st.decimals(-(10**14) + 1, 10**14 - 1, places=4)),
    (types.Decimal(38, 10), st.decimals(-(10**28) + 1, 10**28 - 1, places=10)),
    (types.Timestamp(), st.datetimes(timezones=st.just(dt.UTC))),
    (types.Date(), st.dates()),
    (types.Time(), st.times()),
    (types.Interval(), st.timedeltas(dt.timedelta(microseconds=-(2**63)), dt.timedelta(microseconds=2**63 - 1))),
    (types.Bytes(), st.binary()),
    (types.Uuid(), st.uuids()),
]


@pytest.mark.parametrize(("type_", "strategy"), SCALARS, ids=[repr(type_) for type_, _ in SCALARS])
def test_every_value_comes_back_and_orders_as_it_does(
    type_: types.ColumnType, strategy: st.SearchStrategy[Any], database: sqlite3.Connection
) -> None:
    encode, decode = dialect.encoder(type_), dialect.decoder(type_)

    @given(st.lists(strategy, min_size=1, max_size=20))
    def check(sample: list[Any]) -> None:
        rows = database.execute(
            f"SELECT column1 FROM (VALUES {', '.join(['(?)'] * len(sample))}) ORDER BY column1",
            [encode(value) for value in sample],
        )
        result = [decode(row[0]) if decode else row[0] for row in rows]
        if isinstance(type_, types.Text):
            sample.sort(key=str.encode)
        else:
            sample.sort()
        assert result == sample

    check()


@pytest.mark.parametrize(
    ("type_", "strategy"),
    [pair for pair in SCALARS if not isinstance(pair[0], types.Decimal) or pair[0].precision > 18],
    ids=lambda part: repr(part) if isinstance(part, types.ColumnType) else "",
)
def test_every_array_comes_back(type_: types.ColumnType, strategy: st.SearchStrategy[Any]) -> None:
    array = types.Array(type_)
    encode, decode = dialect.encoder(array), dialect.decoder(array)
    assert decode is not None

    @given(st.lists(strategy, max_size=5))
    def check(sample: list[Any]) -> None:
        assert decode(encode(sample)) == sample

    check()


def test_arrays_hold_scalars() -> None:
    for item in (types.Json(), types.Array(types.Text())):
        with pytest.raises(InvalidValueError):
            dialect.encoder(types.Array(item))


@given(st.integers(-(10**20) + 1, 10**20 - 1), st.integers(-(10**20) + 1, 10**20 - 1))
def test_decimal_keys_order_as_their_numbers(left: int, right: int) -> None:
    keys = decimal_key(left, 20), decimal_key(right, 20)
    assert [decimal_number(key) for key in keys] == [left, right]
    assert (keys[0] < keys[1]) == (left < right)


@pytest.mark.parametrize("number", [10**5, -(10**5)])
def test_a_decimal_key_never_drops_digits(number: int) -> None:
    with pytest.raises(OverflowError):
        decimal_key(number, 5)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("it's", types.Text()),
        (-5, types.Integer()),
        (Decimal("1.5"), types.Decimal(10, 2)),
        (Decimal("-1.5"), types.Decimal(30, 2)),
        (True, types.Boolean()),
        (b"\0'", types.Bytes()),
        (1e300, types.Float()),
        (dt.date(2026, 1, 1), types.Date()),
    ],
)
def test_a_literal_is_the_stored_form(value: Any, type_: types.ColumnType) -> None:
    text = dialect.literal(value, type_)
    assert selected(f"SELECT {text}") == dialect.encoder(type_)(value)


# --- functions -------------------------------------------------------------------------------------------------------


def test_case_functions_know_every_script(database: sqlite3.Connection) -> None:
    row = database.execute("SELECT ff_fold('ÉCOLE Straße'), ff_lower('ÉÄ'), ff_upper('éä'), ff_fold(NULL)").fetchone()
    assert row == ("école strasse", "éä", "ÉÄ", None)


@pytest.mark.parametrize(
    ("numerator", "denominator", "digits", "result"),
    [
        (10, 4, 0, 3),
        (5, 2, 0, 3),
        (-5, 2, 0, -3),
        (5, -2, 0, -3),
        (1, 3, 4, 3333),
        (2, 3, 4, 6667),
        (1, 0, 4, None),
        (None, 1, 4, None),
        (1, None, 4, None),
        (0, 7, 4, 0),
    ],
)
def test_a_ratio_is_rounded_half_up(
    database: sqlite3.Connection, numerator: Any, denominator: Any, digits: int, result: Any
) -> None:
    assert database.execute("SELECT ff_decimal_ratio(?, ?, ?)", (numerator, denominator, digits)).fetchone() == (
        result,
    )


def test_a_ratio_that_does_not_fit_is_an_error(database: sqlite3.Connection, failures: list[Exception]) -> None:
    with pytest.raises(sqlite3.DataError):
        database.execute("SELECT ff_decimal_ratio(?, 1, 4)", (2**62,)).fetchone()
    assert isinstance(failures[0], OverflowError)


wide = types.Decimal(38, 10)


@given(st.lists(st.decimals(-(10**22), 10**22, places=10) | st.none(), max_size=20))
def test_sum_and_mean_of_wide_decimals_are_exact(sample: list[Decimal | None]) -> None:
    encode, decode = dialect.encoder(wide), dialect.decoder(wide)
    mean = dialect.decoder(types.Decimal(38, 14))
    assert decode is not None
    assert mean is not None
    with closing(sqlite3.connect(":memory:")) as connection:
        register(connection, lambda error: None)
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(None if x is None else encode(x),) for x in sample])
        total, average = connection.execute("SELECT ff_decimal_sum(x), ff_decimal_avg(x) FROM t").fetchone()
    numbers = [x for x in sample if x is not None]
    if not numbers:
        assert total is average is None
        return
    with decimal.localcontext(decimal.Context(prec=100, rounding=decimal.ROUND_HALF_UP)):
        expected = sum(numbers, Decimal(0))
        assert decode(total) == expected
        assert mean(average) == (expected / len(numbers)).quantize(Decimal("1E-14"))


def test_wide_aggregates_take_distinct_and_groups(database: sqlite3.Connection) -> None:
    encode, decode = dialect.encoder(wide), dialect.decoder(wide)
    assert decode is not None
    database.execute("CREATE TABLE t (g INTEGER, x TEXT)")
    rows = [(1, "1.5"), (1, "1.5"), (2, "-2"), (2, "2")]
    database.executemany("INSERT INTO t VALUES (?, ?)", [(g, encode(Decimal(x))) for g, x in rows])
    found = database.execute("SELECT g, ff_decimal_sum(DISTINCT x) FROM t GROUP BY g ORDER BY 2").fetchall()
    assert [(g, decode(x)) for g, x in found] == [(2, 0), (1, Decimal("1.5"))]


def test_a_wide_sum_that_does_not_fit_is_an_error(database: sqlite3.Connection, failures: list[Exception]) -> None:
    largest = decimal_key(10**38 - 1, 38)
    with pytest.raises(sqlite3.DataError):
        database.execute("SELECT ff_decimal_sum(column1) FROM (VALUES (?), (?))", (largest, largest)).fetchone()
    assert isinstance(failures[0], OverflowError)
