"""What may be sent to a database, and what is refused before it is (rows A49 to A53)."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ff_storage.core import types
from ff_storage.core.errors import InvalidValueError, LimitExceededError
from ff_storage.core.sql import values
from ff_storage.core.sql.values import canonical


class LyingStr(str):
    """Says something else than it holds, wherever it is asked."""

    __slots__ = ()

    def __str__(self) -> str:
        return "a lie"

    def __len__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def isascii(self) -> bool:
        return True

    def __contains__(self, key: object) -> bool:
        return False


class LyingInt(int):
    def __int__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def bit_length(self) -> int:
        return 1


class Level(enum.IntEnum):
    HIGH = 3


class Color(enum.StrEnum):
    RED = "red"


class BrokenZone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta | None:
        raise RuntimeError("no offset today")


class StrangeZone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> Any:
        return "two hours"


class AutumnZone(dt.tzinfo):
    """The hour that comes twice: first two hours ahead of UTC, then one."""

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1 if when is not None and when.fold else 2)


class UndecidedZone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta | None:
        return None


def refused(type_: types.ColumnType, value: object) -> InvalidValueError:
    with pytest.raises(InvalidValueError) as caught:
        canonical(type_)(value)
    return caught.value


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "plain", "é", "😀" * 10, "a\nb\t", "\x01", "\uffff"])
def test_text_passes_unchanged(value: str) -> None:
    assert canonical(types.Text())(value) is value


def test_a_str_subclass_counts_as_its_real_content() -> None:
    result = canonical(types.Text(max_length=10))(LyingStr("the truth"))
    assert type(result) is str
    assert str.__eq__(result, "the truth")
    assert type(canonical(types.Text())(Color.RED)) is str
    refused(types.Text(max_length=5), LyingStr("the truth"))
    refused(types.Text(), LyingStr("nul \0 inside"))
    refused(types.Text(), LyingStr("half \ud800"))


@pytest.mark.parametrize("value", ["\0", "a\0", "é\0é", "\ud800", "a\udfff", "ok\udc80"])
def test_nul_and_lone_surrogates_are_refused(value: str) -> None:
    refused(types.Text(), value)


@pytest.mark.parametrize("value", [1, True, b"bytes", None, 1.5, ["a"], Level.HIGH])
def test_text_is_a_str(value: object) -> None:
    refused(types.Text(), value)


def test_max_length_counts_code_points() -> None:
    check = canonical(types.Text(max_length=3))
    assert check("😀😀😀") == "😀😀😀"
    with pytest.raises(InvalidValueError, match="4 characters"):
        check("abcd")


def test_refused_text_is_not_shown() -> None:
    for type_, value in [
        (types.Text(max_length=3), "S3CR3T"),
        (types.Text(), "S3CR3T\0"),
        (types.Text(), "S3CR3T\ud800"),
        (types.Integer(), "S3CR3T"),
        (types.Float(), b"S3CR3T"),
        (types.Bytes(max_length=2), b"S3CR3T"),
        (types.Date(), "S3CR3T"),
    ]:
        error = refused(type_, value)
        assert "S3CR3T" not in f"{error} {error.details} {error.__cause__}"


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_integers_keep_to_their_bits(bits: int) -> None:
    check = canonical(types.Integer(bits))
    high = 2 ** (bits - 1) - 1
    assert check(high) == high
    assert check(-high - 1) == -high - 1
    refused(types.Integer(bits), high + 1)
    refused(types.Integer(bits), -high - 2)
    refused(types.Integer(bits), 10**5000)


@pytest.mark.parametrize("value", [True, "1", 1.0, Decimal(1), None, b"1"])
def test_an_integer_is_an_int_and_no_bool(value: object) -> None:
    refused(types.Integer(), value)


def test_an_int_subclass_counts_as_its_real_content() -> None:
    check = canonical(types.Integer())
    assert type(check(LyingInt(7))) is int
    assert check(LyingInt(7)) == 7
    assert type(check(Level.HIGH)) is int
    refused(types.Integer(), LyingInt(2**70))
    refused(types.Decimal(3, 0), LyingInt(2**70))


@pytest.mark.parametrize("value", [0, 1, "true", None, 1.0])
def test_a_boolean_is_a_bool(value: object) -> None:
    assert canonical(types.Boolean())(True) is True
    assert canonical(types.Boolean())(False) is False
    refused(types.Boolean(), value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a49_nan_and_infinities_are_refused(value: float) -> None:
    refused(types.Float(), value)
    refused(types.Json(), value)
    refused(types.Json(), {"deep": [value]})
    refused(types.Array(types.Float()), [value])


@pytest.mark.parametrize("value", [-0.0, 1e-320, 5e-324, 1.7976931348623157e308, 0.1 + 0.2])
def test_a49_every_finite_float_passes_exactly(value: float) -> None:
    result = canonical(types.Float())(value)
    assert result == value
    assert math.copysign(1, result) == math.copysign(1, value)


def test_an_int_becomes_a_float() -> None:
    result = canonical(types.Float())(3)
    assert type(result) is float
    assert result == 3.0
    for value in (True, "1.5", Decimal("1.5"), None, 10**400):
        refused(types.Float(), value)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "-NaN", "Infinity", "-Infinity", "1E+400", "1E+999999", "1E-400"])
def test_a50_decimals_that_are_no_numbers_or_too_large_are_refused(text: str) -> None:
    refused(types.Decimal(10, 2), Decimal(text))
    refused(types.Decimal(38, 10), Decimal(text))


@pytest.mark.parametrize("text", ["1.555", "0.001", "123456789.01", "-1.005", "99999999.995", "1E-3"])
def test_a50_decimals_are_never_rounded(text: str) -> None:
    refused(types.Decimal(10, 2), Decimal(text))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Decimal("1.5"), "1.50"),
        (Decimal("1.5000"), "1.50"),
        (Decimal("-0"), "0.00"),
        (Decimal("1E+2"), "100.00"),
        (Decimal("0E-20"), "0.00"),
        (99999999, "99999999.00"),
        (Decimal("99999999.99"), "99999999.99"),
        (Level.HIGH, "3.00"),
    ],
)
def test_trailing_zeros_are_no_loss(value: Decimal | int, stored: str) -> None:
    assert str(canonical(types.Decimal(10, 2))(value)) == stored


@pytest.mark.parametrize("value", [1.5, True, "1.5", None, 10**400])
def test_a_decimal_is_a_decimal_or_an_int(value: object) -> None:
    refused(types.Decimal(38, 2), value)


def test_a_number_too_long_to_print_is_refused() -> None:
    refused(types.Decimal(38, 2), 10**5000)
    refused(types.Json(), 10**5000)


def test_the_ambient_decimal_context_changes_nothing() -> None:
    check = canonical(types.Decimal(30, 2))
    with decimal.localcontext() as context:
        context.prec = 3
        context.traps[decimal.Inexact] = True
        assert check(Decimal("1234567890123456789012345.67")) == Decimal("1234567890123456789012345.67")


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(1, 38), st.integers(0, 12))
def test_a_decimal_passes_exactly_or_not_at_all(value: Decimal, precision: int, scale: int) -> None:
    try:
        result = canonical(types.Decimal(precision, scale))(value)
    except InvalidValueError:
        # Refused: the exact value needs more digits before or after the point than there are.
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        scaled = int("".join(map(str, digits))) * 10 ** max(exponent + scale, 0)
        lost = 10 ** max(-exponent - scale, 0)
        assert scaled % lost or scaled // lost >= 10**precision
    else:
        assert result == value
        assert result.as_tuple().exponent == -scale


# --- times -----------------------------------------------------------------------------------------------------------


def test_a51_naive_datetimes_are_refused() -> None:
    refused(types.Timestamp(), dt.datetime(2026, 1, 1))  # noqa: DTZ001
    refused(types.Timestamp(), dt.datetime(2026, 1, 1, tzinfo=UndecidedZone()))
    refused(types.Timestamp(), dt.date(2026, 1, 1))
    refused(types.Timestamp(), "2026-01-01T00:00:00Z")
    refused(types.Timestamp(), 1767225600)


@pytest.mark.parametrize(
    ("value", "utc"),
    [
        (dt.datetime(2026, 7, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=5))), "2026-07-01T07:00:00+00:00"),
        (dt.datetime(2026, 7, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=14))), "2026-06-30T22:00:00+00:00"),
        (dt.datetime(2026, 7, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=-14))), "2026-07-02T02:00:00+00:00"),
        (dt.datetime(2026, 10, 25, 2, 30, fold=0, tzinfo=AutumnZone()), "2026-10-25T00:30:00+00:00"),
        (dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=AutumnZone()), "2026-10-25T01:30:00+00:00"),
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), "0001-01-01T00:00:00+00:00"),
        (dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC), "9999-12-31T23:59:59.999999+00:00"),
        (dt.datetime(2026, 1, 1, fold=1, tzinfo=dt.UTC), "2026-01-01T00:00:00+00:00"),
    ],
)
def test_a51_aware_datetimes_are_the_same_instant_in_utc(value: dt.datetime, utc: str) -> None:
    result = canonical(types.Timestamp())(value)
    assert result.isoformat() == utc
    assert result.tzinfo is dt.UTC


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))),
        dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-14))),
        dt.datetime(2026, 1, 1, tzinfo=BrokenZone()),
        dt.datetime(2026, 1, 1, tzinfo=StrangeZone()),
    ],
)
def test_a51_what_has_no_instant_in_utc_is_refused(value: dt.datetime) -> None:
    refused(types.Timestamp(), value)


def test_a51_a_leap_second_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="second"):
        dt.datetime(2016, 12, 31, 23, 59, 60, tzinfo=dt.UTC)


def test_a_datetime_subclass_counts_as_its_fields() -> None:
    class Moment(dt.datetime):
        def astimezone(self, tz: dt.tzinfo | None = None) -> Any:
            return "a lie"

        def date(self) -> Any:
            return "a lie"

    result = canonical(types.Timestamp())(Moment(2026, 1, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=5))))
    assert type(result) is dt.datetime
    assert result == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_dates_and_times_do_not_mix() -> None:
    assert canonical(types.Date())(dt.date(2024, 2, 29)) == dt.date(2024, 2, 29)
    refused(types.Date(), dt.datetime(2024, 2, 29, tzinfo=dt.UTC))
    refused(types.Date(), "2024-02-29")
    assert canonical(types.Time())(dt.time(23, 59, 59, 999999)) == dt.time(23, 59, 59, 999999)
    assert canonical(types.Time())(dt.time(1, fold=1)).fold == 0
    refused(types.Time(), dt.time(1, tzinfo=dt.UTC))
    refused(types.Time(), "01:00")


def test_intervals_fit_64_bits_of_microseconds() -> None:
    check = canonical(types.Interval())
    longest = dt.timedelta(microseconds=2**63 - 1)
    assert check(longest) == longest
    assert check(-longest - dt.timedelta(microseconds=1)) == -longest - dt.timedelta(microseconds=1)
    refused(types.Interval(), longest + dt.timedelta(microseconds=1))
    refused(types.Interval(), dt.timedelta.max)
    refused(types.Interval(), 5)


@given(st.timedeltas())
def test_microseconds_are_exact(value: dt.timedelta) -> None:
    assert dt.timedelta(microseconds=values.microseconds(value)) == value


# --- the rest --------------------------------------------------------------------------------------------------------


def test_a52_values_over_the_engine_limit_are_refused() -> None:
    with pytest.raises(LimitExceededError):
        canonical(types.Text())("x" * (values.MAX_BYTES + 1))
    with pytest.raises(LimitExceededError):
        canonical(types.Bytes())(bytes(values.MAX_BYTES + 1))


def test_a52_the_engine_limit_counts_bytes() -> None:
    check = values.text(max_bytes=30)
    assert check("€" * 10) == "€" * 10
    assert check("x" * 30) == "x" * 30
    for value in ("€" * 10 + "x", "x" * 31, "😀" * 8):
        with pytest.raises(LimitExceededError):
            check(value)


def test_a52_values_over_the_column_length_are_refused() -> None:
    refused(types.Text(max_length=10), "x" * 11)
    refused(types.Bytes(max_length=10), bytes(11))
    assert canonical(types.Bytes(max_length=10))(bytes(10)) == bytes(10)


def test_bytes_of_every_kind_become_bytes() -> None:
    class Loud(bytes):
        def __len__(self) -> int:
            return 0

        def __bytes__(self) -> bytes:
            return b"a lie"

    check = canonical(types.Bytes(max_length=4))
    for value in (b"\0\xff", bytearray(b"\0\xff"), memoryview(b"\0\xff"), memoryview(b"\0a\xffb")[::2]):
        assert check(value) == b"\0\xff"
        assert type(check(value)) is bytes
    assert type(check(Loud(b"abc"))) is bytes
    assert check(Loud(b"abc")) == b"abc"
    refused(types.Bytes(max_length=4), Loud(b"abcde"))
    for wrong in ("text", 5, [1, 2], None):
        refused(types.Bytes(), wrong)


A_UUID = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")


@pytest.mark.parametrize(
    "value",
    [
        A_UUID,
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "A0EEBC999C0B4EF8BB6D6BB9BD380A11",
        LyingStr("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ],
)
def test_a53_the_two_forms_of_a_uuid_in_any_case(value: object) -> None:
    result = canonical(types.Uuid())(value)
    assert type(result) is uuid.UUID
    assert result == A_UUID


@pytest.mark.parametrize(
    "value",
    [
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc999c0b4ef8bb6d6bb9bd380a1",
        "a0eebc999c0b4ef8bb6d6bb9bd380a111",
        "a0eebc99-9c0b4ef8bb6d6bb9bd380a11",
        "a0eebc9-99c0b-4ef8-bb6d-6bb9bd380a11",
        " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\n",
        "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "١0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "",
        A_UUID.bytes,
        A_UUID.int,
        None,
    ],
)
def test_a53_every_other_form_is_refused(value: object) -> None:
    refused(types.Uuid(), value)


def test_a_uuid_subclass_becomes_a_real_one() -> None:
    class DriverUUID(uuid.UUID):
        pass

    assert type(canonical(types.Uuid())(DriverUUID(int=5))) is uuid.UUID


def nested(levels: int) -> Any:
    value: Any = 0
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_json_depth_is_limited() -> None:
    deepest = nested(values.MAX_JSON_DEPTH)
    assert canonical(types.Json())(deepest) is deepest
    with pytest.raises(LimitExceededError):
        canonical(types.Json())(nested(values.MAX_JSON_DEPTH + 1))
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(LimitExceededError):
        canonical(types.Json())(endless)


@pytest.mark.parametrize(
    "value",
    [
        {1: "a"},
        {None: 1},
        {LyingStr("a"): 1},
        {"a\0": 1},
        {"\ud800": 1},
        {"a": "b\0"},
        ["\udfff"],
        (1, 2),
        {1, 2},
        Decimal(1),
        dt.date(2026, 1, 1),
        A_UUID,
        b"bytes",
        Color.RED,
        Level.HIGH,
        2**63,
        -(2**63) - 1,
        object(),
    ],
)
def test_json_is_made_of_json_types_alone(value: object) -> None:
    refused(types.Json(), value)
    refused(types.Json(), {"inside": [value]})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner)
    ),
)


@given(json_values)
def test_every_json_value_passes(value: Any) -> None:
    assert canonical(types.Json())(value) is value


def test_an_array_checks_its_members() -> None:
    check = canonical(types.Array(types.Integer(16)))
    assert check([1, 2]) == [1, 2]
    assert check((1, 2)) == [1, 2]
    assert check([]) == []
    for wrong in ([1, None], [True], ["1"], [2**15], "12", {1, 2}, {"a": 1}, 5, None):
        refused(types.Array(types.Integer(16)), wrong)


def test_no_hostile_repr_is_asked() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("never asked")

        __str__ = __repr__

    for type_ in (types.Text(), types.Integer(), types.Float(), types.Decimal(), types.Timestamp(), types.Json()):
        assert "Hostile" in str(refused(type_, Hostile()))
