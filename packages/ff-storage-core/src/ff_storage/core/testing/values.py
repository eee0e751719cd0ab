"""Values: what is written comes back, compares as it does in Python, and is refused before it is sent if it must be."""

from __future__ import annotations

import datetime as dt
import operator
import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, Final

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import InvalidValueError, LimitExceededError
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import Query, col, func
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.conformance import Conformance
from ff_storage.core.testing.models import Level, Note, Status, Values
from ff_storage.core.testing.recording import Recorder
from ff_storage.core.testing.tables import stored

TEXTS: Final = (
    "", " ", "  a", "a", "a ", "a  ", "A", "B", "a\tb", "a\nb", "a\r\nb", "NULL", "0", "00", "é", "e\u0301", "É", "ß",
    "ss", "İ", "ı", "\x7f", "\x1f", "\u2028", "'", "''", '"', "`", "\\", "\\'", "; --", "$1", "?", "%s", "{}", "[a-z]",
    "%", "_", "\ufeffa", "\ufffd", "\uffff", "日本語", "שלום", "🦆", "👩\u200d👩\u200d👧", "\U0010ffff",
)  # fmt: skip
"""Texts that are all different by code point, and equal for one engine or another by default."""

INTEGERS: Final = (-(2**63), -(2**53) - 1, -(2**31) - 1, -1, 0, 1, 2**31, 2**53 + 1, 2**63 - 1)
REALS: Final = (
    -1.7976931348623157e308, -3.0, -1.5, -5e-324, 0.0, 5e-324, 0.1, 0.1 + 0.2, 1 / 3, 1.0, 1e16, 1.7976931348623157e308,
)  # fmt: skip
MONEY: Final = (
    "-99999999999999.9999", "-1", "-0.0001", "0", "0.0001", "0.1", "0.3", "1.0005", "1.005", "99999999999999.9999",
)  # fmt: skip
EXACT: Final = (
    "-9999999999999999999999999999.9999999999", "-1", "-0.0000000001", "0", "0.0000000001", "0.1",
    "12345678901234567890", "9999999999999999999999999999.9999999999",
)  # fmt: skip
WIDE: Final = ("-" + "9" * 38, "-" + "9" * 19, "-1", "0", "1", "9" * 18, "1" + "0" * 18, "9" * 38)
INSTANTS: Final = (
    dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=dt.UTC),
    dt.datetime(2024, 2, 29, 12, 0, 0, 10, tzinfo=dt.UTC),
    dt.datetime(2039, 1, 19, 3, 14, 8, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
)
DAYS: Final = (dt.date.min, dt.date(1899, 12, 30), dt.date(1970, 1, 1), dt.date(2024, 2, 29), dt.date.max)
CLOCKS: Final = (dt.time.min, dt.time(0, 0, 0, 1), dt.time(9, 5), dt.time(9, 5, 0, 100), dt.time(12), dt.time.max)
SPANS: Final = (
    dt.timedelta(microseconds=-(2**63)),
    dt.timedelta(days=-40_000, microseconds=1),
    dt.timedelta(microseconds=-1),
    dt.timedelta(0),
    dt.timedelta(microseconds=1),
    dt.timedelta(hours=25),
    dt.timedelta(days=40_000, microseconds=-1),
    dt.timedelta(microseconds=2**63 - 1),
)
BLOBS: Final = (b"", b"\x00", b"\x00\x00", b"\x00\xff", b"'", b"a", b"a\x00", b"a\x00b", bytes(range(256)), b"\xff")
UUIDS: Final = (
    uuid.UUID(int=0),
    uuid.UUID(int=1),
    uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    uuid.UUID(int=2**128 - 1),
)
JSON: Final[tuple[Any, ...]] = (
    {}, [], "", "text", "123", "null", 0, 1, 1.5, -(2**63), 2**53 + 1, 2**63 - 1, True, False, [None], {"a": None},
    {"": {"$ref": 1, "a.b": [1, [2, {"x": "'"}]]}}, {"text": "🦆 \\ \" ' % \u2028 \x1f"}, [1, "1", 1.0, True],
)  # fmt: skip

ROUND_TRIPS: Final[dict[str, tuple[Any, ...]]] = {
    "text": (*TEXTS, "x" * 100_000, "🦆" * 10_000),
    "short": ("", "0123456789", "🦆" * 10),
    "big": INTEGERS,
    "small": (-(2**15), 0, 2**15 - 1),
    "flag": (True, False),
    "real": REALS,
    "money": tuple(map(Decimal, MONEY)),
    "exact": tuple(map(Decimal, EXACT)),
    "wide": tuple(map(Decimal, WIDE)),
    "instant": INSTANTS,
    "day": DAYS,
    "clock": CLOCKS,
    "span": SPANS,
    "data": (*BLOBS, bytes(range(256)) * 500),
    "token": UUIDS,
    "json_value": JSON,
    "words": ([], [""], ["a", "a", "b"], ["'", '"', "\\", "🦆", ",", "{}", "NULL", "null"]),
    "numbers": ([], [0], [2**63 - 1, -(2**63), 2**53 + 1]),
    "tokens": ([], list(UUIDS)),
    "labels": (set(), {"b", "a", "🦆"}),
    "status": tuple(Status),
    "level": tuple(Level),
    "size": ("S", "M", "L"),
}

ORDERED: Final[dict[str, tuple[Any, ...]]] = {
    name: tuple(sorted(set(ROUND_TRIPS[name])))
    for name in ("big", "real", "money", "exact", "wide", "instant", "day", "clock", "span")
} | {"text": tuple(sorted(TEXTS))}
"""Values whose order, least and greatest are those of Python; text goes by code point."""

_OPERATORS: Final[tuple[Callable[[Any, Any], Any], ...]] = (
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
)  # fmt: skip


class Shifty(dt.tzinfo):
    """A zone that raises."""

    def utcoffset(self, when: dt.datetime | None, /) -> dt.timedelta | None:
        """Fails."""
        del when
        raise RuntimeError("no offset today")

    def tzname(self, when: dt.datetime | None, /) -> str | None:
        """Has no name."""
        del when
        return None

    def dst(self, when: dt.datetime | None, /) -> dt.timedelta | None:
        """Knows no summer."""
        del when
        return None


def zone(hours: float) -> dt.timezone:
    """The zone at a fixed offset."""
    return dt.timezone(dt.timedelta(hours=hours))


REFUSED: Final[dict[str, tuple[Any, ...]]] = {
    "text": ("a\0b", "\0", "\ud800", "a\udfff", b"bytes", 5, True, 1.5, ["a"], {"a": 1}, object()),
    "labels": ({1, "a"}, {1}, {"a\0"}, "a", 5),
    "short": ("01234567890", "🦆" * 11),
    "big": (2**63, -(2**63) - 1, 10**30, 1.0, 1.5, True, "1", Decimal(1), [1], {"a": 1}, None.__class__),
    "small": (2**15, -(2**15) - 1, False),
    "flag": (0, 1, "true", 1.0, [True]),
    "real": (float("nan"), float("inf"), float("-inf"), 10**400, "1.5", True, Decimal("1.5")),
    "money": (
        *map(Decimal, ("NaN", "sNaN", "Infinity", "-Infinity", "0.00001", "1.00005", "100000000000000", "1E+400")),
        1.5, "1.5", True,
    ),
    "exact": (*map(Decimal, ("NaN", "Infinity", "0.00000000001", "1" + "0" * 28, "1E-400")), 0.1),
    "wide": tuple(map(Decimal, ("1" + "0" * 38, "0.5", "-1E+38"))),
    "instant": (
        dt.datetime(2024, 1, 1),  # noqa: DTZ001 - naive on purpose
        dt.datetime(1, 1, 1, tzinfo=zone(14)),
        dt.datetime(9999, 12, 31, 23, tzinfo=zone(-14)),
        dt.datetime(2024, 1, 1, tzinfo=Shifty()),
        dt.date(2024, 1, 1),
        "2024-01-01T00:00:00+00:00",
        "2016-12-31T23:59:60Z",
        0,
    ),
    "day": (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "2024-01-01", 0),
    "clock": (dt.time(1, tzinfo=dt.UTC), "01:00", 0, dt.timedelta(hours=1)),
    "span": (dt.timedelta.max, dt.timedelta.min, 5, 1.5, "P1D"),
    "data": ("text", 5, [1, 2]),
    "token": (
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc999c0b4ef8bb6d6bb9bd380a1",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' OR '1'='1",
        " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "",
        0,
        b"0" * 16,
    ),
    "json_value": (
        float("nan"), {"a": float("inf")}, [None, [{"a": float("-inf")}]], ["a\0b"], {"a\0b": 1}, {"\ud800": 1},
        ["\udfff"], 2**63, [{"a": -(2**63) - 1}], object(),
    ),
    "words": (["a\0b"], ["\ud800"], [1], [None], "abc", {"a": 1}),
    "numbers": ([2**63], [1.5], [True], ["1"]),
    "status": ("no such", "DRAFT", 1, "x'; --"),
    "level": (3, 0, "LOW", True),
    "size": ("XL", "s", "M'; --", 1),
}  # fmt: skip


def _cases(table: dict[str, tuple[Any, ...]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}-{number}")
        for name, values in table.items()
        for number, value in enumerate(values)
    ]


class ValuesConformance(Conformance):
    """Values follow one rule on every engine."""

    models: ClassVar[tuple[type[PydanticModel], ...]] = (Values, Note)

    # --- round trips -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("name", "value"), _cases(ROUND_TRIPS))
    async def test_a_value_comes_back_as_it_was_given(self, pool: Pool, name: str, value: Any) -> None:
        """Through create, get, Query, select and update."""
        repo = PydanticRepository(Values, pool)
        created = await repo.create(Values(**{name: value}))
        other = await repo.create(Values())
        updated = await repo.update(other.id, Values(**{name: value}))
        column: Any = getattr(Values, name)
        (row,) = await Query(Values).filter(Values.id == created.id).execute(pool)
        selected = await Query(Values).select(column).filter(Values.id == created.id).scalar(pool)
        got = await repo.get(created.id)
        assert got is not None
        for found in (getattr(created, name), getattr(updated, name), getattr(row, name), getattr(got, name), selected):
            assert found == value
            assert type(found) is type(value)
        for model in (created, row, got):
            untouched = set(Values.model_fields) - {name, "id", "created_at", "updated_at"}
            assert all(getattr(model, each) is None for each in untouched)

    @pytest.mark.parametrize("name", sorted(set(ROUND_TRIPS) - {"json_value", "words", "numbers", "tokens", "labels"}))
    async def test_each_value_equals_itself_and_no_other(self, pool: Pool, name: str) -> None:
        """By `==`, `in_` and DISTINCT: case, blanks, accents and zeros at the end make a text another one."""
        values = ROUND_TRIPS[name]
        column: Any = getattr(Values, name)
        await bulk_insert(Values, [Values(**{name: value}) for value in values], pool)
        for value in values:
            found = await Query(Values).select(column).filter(column == value).execute(pool)
            assert found == [(value,)]
        found = await Query(Values).select(column).filter(column.in_(values[:-1])).execute(pool)
        assert {each for (each,) in found} == set(values[:-1])
        assert len(found) == len(values) - 1
        assert await Query(Values).select(column).distinct().count(pool) == len(values)

    async def test_the_mean_of_large_decimals_has_all_its_digits(self, pool: Pool) -> None:
        exact = (Decimal("1000000000.0000000001"), Decimal(3), Decimal(0))
        await bulk_insert(Values, [Values(exact=each, money=Decimal(10**9)) for each in exact], pool)
        assert await Query(Values).select(func.avg(Values.exact)).scalar(pool) == Decimal("333333334.33333333336667")
        assert await Query(Values).select(func.avg(Values.money)).scalar(pool) == 10**9

    async def test_an_array_equals_the_same_members_in_the_same_order(self, pool: Pool) -> None:
        given: tuple[list[str], ...] = ([], ["a"], ["a", "b"], ["b", "a"], ["a", "a"], [""], ["a,b"], ["🦆", "'"])
        await bulk_insert(Values, [Values(words=words, numbers=[len(words)]) for words in given], pool)
        for words in given:
            for condition in (Values.words == words, col(Values.words).in_([words])):
                found = await Query(Values).select(Values.words).filter(condition).execute(pool)
                assert found == [(words,)]
        assert await Query(Values).filter(Values.words != ["a"]).count(pool) == len(given) - 1
        assert await Query(Values).filter(Values.numbers == [2]).count(pool) == 4

    @pytest.mark.parametrize("name", sorted(ROUND_TRIPS))
    async def test_many_values_come_back_as_one_does(self, pool: Pool, name: str) -> None:
        """Alone in their column, and beside others that are NULL."""
        for each in ([*ROUND_TRIPS[name]], [value for given in ROUND_TRIPS[name] for value in (given, None)]):
            given = [Values.model_construct(id=uuid.uuid4(), **{name: value}) for value in each]
            assert await bulk_insert(Values, given, pool, batch_size=50) == len(each)
            found = {row.id: getattr(row, name) for row in await Query(Values).execute(pool)}
            for model, value in zip(given, each, strict=True):
                assert found[model.id] == value
                assert type(found[model.id]) is type(value)

    async def test_null_is_no_value_of_its_type(self, pool: Pool) -> None:
        """Empty text, empty bytes, zero, an empty list and NULL are five different things."""
        empty = Values(text="", data=b"", big=0, words=[], flag=False, json_value={}, labels=set())
        repo = PydanticRepository(Values, pool)
        await repo.create(empty)
        await repo.create(Values())
        for name in ("text", "data", "big", "words", "flag", "json_value", "labels"):
            column: Any = getattr(Values, name)
            assert await Query(Values).filter(column == None).count(pool) == 1  # noqa: E711 - the library's operator
            (row,) = await Query(Values).filter(column != None).execute(pool)  # noqa: E711 - as above
            assert getattr(row, name) == getattr(empty, name)

    @pytest.mark.parametrize("hours", [-14, -9.5, 0, 5.75, 14])
    async def test_an_instant_of_any_zone_is_the_same_instant(self, pool: Pool, hours: float) -> None:
        """It comes back in UTC, whatever its `fold`."""
        local = dt.datetime(2024, 10, 27, 2, 30, 0, 123456, tzinfo=zone(hours), fold=1)
        created = await PydanticRepository(Values, pool).create(Values(instant=local))
        found = await Query(Values).filter(Values.instant == local).execute(pool)
        for row in (created, *found):
            assert row.instant == local
            assert row.instant is not None
            assert row.instant.utcoffset() == dt.timedelta(0)
        assert len(found) == 1

    async def test_the_scale_of_a_decimal_is_no_difference(self, pool: Pool) -> None:
        """Zeros at the end may be added or dropped; an int is a Decimal's value too."""
        repo = PydanticRepository(Values, pool)
        for given in (Decimal("1.5"), Decimal("1.5000"), Decimal("0.15E+1"), Decimal("1.50000000")):
            created = await repo.create(Values.model_construct(money=given, exact=given))
            assert created.money == created.exact == Decimal("1.5")
        assert await Query(Values).filter(Values.money == Decimal("1.50")).count(pool) == 4
        assert await Query(Values).filter(Values.exact == Decimal("1.500")).count(pool) == 4
        await repo.create(Values.model_construct(money=2, exact=2))
        assert await Query(Values).filter(Values.money == 2, Values.exact == 2).count(pool) == 1

    async def test_a_uuid_is_found_by_its_text(self, pool: Pool) -> None:
        """In upper and lower case, with hyphens and without; what is stored has one form."""
        token = UUIDS[2]
        await PydanticRepository(Values, pool).create(Values(token=token))
        for text in (str(token), str(token).upper(), token.hex, token.hex.upper()):
            found = await Query(Values).filter(Values.token == text).execute(pool)
            assert [row.token for row in found] == [token]

    # --- order -------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", sorted(ORDERED))
    async def test_order_least_and_greatest_are_pythons(self, pool: Pool, name: str) -> None:
        values = ORDERED[name]
        column: Any = getattr(Values, name)
        shuffled = random.Random(7).sample(values, len(values))
        await bulk_insert(Values, [Values(**{name: value}) for value in shuffled], pool)
        ascending = await Query(Values).select(column).order_by(column).execute(pool)
        descending = await Query(Values).select(column).order_by(column.desc()).execute(pool)
        assert [each for (each,) in ascending] == list(values)
        assert [each for (each,) in descending] == list(reversed(values))
        low, high = await Query(Values).select(func.min(column), func.max(column)).one(pool)
        assert (low, high) == (values[0], values[-1])
        assert type(low) is type(values[0])

    @pytest.mark.parametrize("name", sorted(ORDERED))
    async def test_comparisons_are_pythons(self, pool: Pool, name: str) -> None:
        values = ORDERED[name]
        column: Any = getattr(Values, name)
        await bulk_insert(Values, [Values(**{name: value}) for value in values], pool)
        for pivot in values:
            for compare in _OPERATORS:
                found = await Query(Values).select(column).filter(compare(column, pivot)).order_by(column).execute(pool)
                assert [each for (each,) in found] == [value for value in values if compare(value, pivot)]
        inner = await Query(Values).filter(column.between(values[1], values[-2])).count(pool)
        assert inner == len(values) - 2

    # --- refused values ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("name", "value"), _cases(REFUSED))
    async def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(
        self, pool: Pool, recorder: Recorder, name: str, value: Any
    ) -> None:
        """By create, bulk insert, update, and as the value of a condition."""
        kept = await PydanticRepository(Values, pool).create(Values())
        repo = PydanticRepository(Values, recorder)
        column: Any = getattr(Values, name)
        bad = Values.model_construct(**{name: value})
        with pytest.raises(InvalidValueError, match=name):
            await repo.create(bad)
        with pytest.raises(InvalidValueError, match=name):
            await bulk_insert(Values, [Values(), bad], recorder, trusted=True)
        good = [Values.model_construct(id=uuid.uuid4(), **{name: each}) for each in ROUND_TRIPS[name][:3]]
        for others in ([Values()], good, [*good, Values()]):
            with pytest.raises(InvalidValueError, match=name):
                await repo.create_many([*others, bad])
            with pytest.raises(InvalidValueError, match=name):
                await bulk_insert(Values, [*others, bad], recorder)
        with pytest.raises(InvalidValueError, match=name):
            await repo.update(kept.id, Values.model_construct(_fields_set={name}, **{name: value}))
        if name != "json_value":
            with pytest.raises(InvalidValueError):
                await Query(Values).filter(column == value).execute(recorder)
        assert recorder.sent == []
        assert await stored(pool, Values) == 1

    async def test_text_of_the_longest_length_is_stored_and_one_more_is_refused(
        self, pool: Pool, recorder: Recorder
    ) -> None:
        """`max_length` counts code points."""
        repo = PydanticRepository(Values, recorder)
        created = await repo.create(Values.model_construct(short="🦆" * 10))
        assert created.short == "🦆" * 10
        recorder.sent.clear()
        with pytest.raises(InvalidValueError, match="11"):
            await repo.create(Values.model_construct(short="🦆" * 11))
        assert recorder.sent == []
        assert await stored(pool, Values) == 1

    async def test_json_that_nests_without_end_is_refused(self, pool: Pool, recorder: Recorder) -> None:
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises((LimitExceededError, InvalidValueError)):
            await PydanticRepository(Values, recorder).create(Values.model_construct(json_value=deep))
        assert recorder.sent == []
        assert await stored(pool, Values) == 0
        while deep:  # a deep list is freed level by level, or the interpreter recurses
            deep = deep.pop()

    async def test_uniqueness_goes_by_code_point(self, pool: Pool) -> None:
        """Texts that differ in case, accents or blanks are different keys."""
        repo = PydanticRepository(Note, pool, tenant_id=UUIDS[1])
        titles = ["acme", "ACME", "acme ", " acme", "acmé", "acme\u0301", "ａｃｍｅ"]
        await repo.create_many([Note(title=title) for title in titles])
        assert {note.title for note in await repo.list()} == set(titles)
