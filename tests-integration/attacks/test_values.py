"""Values that no column holds."""

# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import pytest
from pydantic import ValidationError

from attacks.models import Status, Victim
from attacks.oracle import Target
from ff_storage import F, PydanticRepository, Query, bulk_insert, col
from ff_storage.core.errors import CheckViolation, InvalidValueError, LimitExceededError, UnsupportedFeature

SQL: Final = "x'); DROP TABLE attack_victims; --"


def uses_of_a_value(name: str, value: Any, target: Target) -> list[Callable[[], Any]]:
    """Every way in which a caller's value can meet the field `name`."""
    repo = PydanticRepository(Victim, target.pool)
    query = Query(Victim)
    column: Any = F[name]
    found: list[Callable[[], Any]] = [
        lambda: repo.create(Victim.model_construct(**{name: value})),
        lambda: repo.create_many([Victim(), Victim.model_construct(**{name: value})]),
        lambda: bulk_insert(Victim, [{}, {name: value}], target.pool, trusted=True),
        lambda: repo.update(uuid.UUID(int=1), Victim.model_construct(_fields_set={name}, **{name: value})),
    ]
    if name not in ("details", "words"):
        found += [
            lambda: query.filter(column == value).execute(target.pool),
            lambda: query.filter(column != value).count(target.pool),
            lambda: query.filter(column.in_([value])).exists(target.pool),
            lambda: query.filter(column.not_in([value, None])).first(target.pool),
            lambda: query.filter(column.is_distinct_from(value)).execute(target.pool),
            lambda: query.filter_by(**{name: value}).execute(target.pool),
            lambda: query.filter(column.between(value, value)).execute(target.pool),
            lambda: query.filter(~(column >= value)).execute(target.pool),
            lambda: query.filter(column == value).stream(target.pool),
        ]
        if not isinstance(value, list | tuple | set):
            found.append(lambda: repo.list({name: value}))
    return found


# --- types that are near ---------------------------------------------------------------------------------------------

CONFUSED: Final = [
    ("number", True), ("number", False), ("number", "1"), ("number", 1.0), ("number", Decimal(1)), ("number", "1; --"),
    ("title", 0), ("title", True), ("title", 1.5), ("title", b"a"), ("title", ["a"]), ("title", {"a": 1}),
    ("flag", 0), ("flag", 1), ("flag", "true"), ("weight", True), ("weight", "1.5"), ("weight", Decimal(1)),
    ("price", 1.5), ("price", True), ("price", "1.50"), ("moment", 0), ("moment", "now"),
    ("moment", dt.date(2024, 1, 1)),
    ("day", "2024-01-01"), ("day", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)), ("token", 1), ("token", True),
    ("data", "text"), ("data", 5), ("status", 0), ("status", True), ("id", True), ("id", 1), ("id", "1 OR 1=1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), CONFUSED, ids=ascii)
async def test_a20_a_value_of_another_type_is_refused(target: Target, name: str, value: Any) -> None:
    """True is not 1, 0 is not '', and no text is a number."""
    for attempt in uses_of_a_value(name, value, target):
        await target.refuses(attempt, (InvalidValueError, UnsupportedFeature))


@pytest.mark.parametrize(
    "key", [True, 0, 1, "x", "1 OR 1=1", b"", 1.5, [], {}, ["a"], ("a", "b"), None, object()], ids=ascii
)
async def test_a20_a_key_of_another_type_is_refused(target: Target, key: Any) -> None:
    repo = PydanticRepository(Victim, target.pool)
    attempts: list[Callable[[], Any]] = [
        lambda: repo.get(key),
        lambda: repo.delete(key),
        lambda: repo.delete(key, hard=True),
        lambda: repo.restore(key),
        lambda: repo.update(key, Victim(title="a")),
    ]
    if getattr(key, "__hash__", None) is not None:
        attempts.append(lambda: repo.get_many([key]))
    for attempt in attempts:
        await target.refuses(attempt, InvalidValueError)


# --- wildcards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "needle", ["%", "_", "\\", "[a-z]", "100%_\\[", "*", "?", "[", "]", "^", "!", "%%", "\\%", "a_c"]
)
async def test_a24_a_wildcard_matches_itself_alone(target: Target, needle: str) -> None:
    (stored,) = await target.create(Victim(title=f"x{needle}y"))
    await target.create(Victim(title="abc"), Victim(title="xy"), Victim(title="xmy"), Victim(title="x/y"))
    title = col(Victim.title)
    for condition in (
        title.contains(needle),
        title.icontains(needle),
        title.startswith(f"x{needle}"),
        title.istartswith(f"X{needle}"),
        title.endswith(f"{needle}y"),
        title.iendswith(f"{needle}Y"),
    ):
        found = await Query(Victim).filter(condition).execute(target.pool)
        assert [row.title for row in found] == [stored.title]


@pytest.mark.parametrize("text", [5, None, b"a", True, ["a"], {"a": 1}, F.title, object()], ids=ascii)
async def test_a24_a_match_takes_a_text(target: Target, text: Any) -> None:
    title = col(Victim.title)
    methods = (title.contains, title.icontains, title.startswith, title.endswith, title.like, title.ilike)
    for method in methods:
        await target.refuses(lambda method=method: method(text), InvalidValueError)


async def test_a24_a_match_refuses_what_no_text_column_holds(target: Target) -> None:
    for text in ("a\0b", "\ud800"):
        for name in ("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "like", "ilike"):
            condition = getattr(col(Victim.title), name)(text)
            await target.refuses(
                lambda condition=condition: Query(Victim).filter(condition).execute(target.pool), InvalidValueError
            )


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -float("nan"), 10**309])
async def test_a49_no_float_but_a_finite_one(target: Target, value: Any) -> None:
    for attempt in uses_of_a_value("weight", value, target):
        await target.refuses(attempt, InvalidValueError)
    for details in ({"a": value}, {"a": [1, [None, {"b": value}]]}):
        for attempt in uses_of_a_value("details", details, target):
            await target.refuses(attempt, InvalidValueError)


@pytest.mark.parametrize("value", [-0.0, 1e-320, 5e-324, 0.1 + 0.2, 1.7976931348623157e308])
async def test_a49_every_finite_float_is_kept(target: Target, value: float) -> None:
    (stored,) = await target.create(Victim(weight=value))
    assert stored.weight == value
    assert await Query(Victim).filter(Victim.weight == value).count(target.pool) == 1


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "-NaN",
        "sNaN",
        "NaN123",
        "Infinity",
        "-Infinity",
        "1E+400",
        "1E-400",
        "1.005",
        "0.001",
        "123456789",
        "1E+8",
    ],
)
async def test_a50_a_decimal_fits_exactly_or_is_refused(target: Target, value: str) -> None:
    """max_digits=10, decimal_places=2: nothing is rounded, and no trap of the decimal module escapes."""
    for attempt in uses_of_a_value("price", Decimal(value), target):
        await target.refuses(attempt, InvalidValueError)


async def test_a50_the_callers_decimal_context_changes_nothing(target: Target) -> None:
    with decimal.localcontext() as context:
        context.prec = 2
        context.rounding = decimal.ROUND_UP
        context.traps[decimal.Inexact] = False
        (stored,) = await target.create(Victim(price=Decimal("12345678.91")))
        assert stored.price == Decimal("12345678.91")
        await target.refuses(
            lambda: PydanticRepository(Victim, target.pool).create(Victim.model_construct(price=Decimal("1.005"))),
            InvalidValueError,
        )
        found = await Query(Victim).filter(Victim.price == Decimal("12345678.91")).one(target.pool)
        assert found.price == Decimal("12345678.91")


# --- times -----------------------------------------------------------------------------------------------------------


class _Zone(dt.tzinfo):
    """A zone that misbehaves in `utcoffset`."""

    def __init__(self, offset: Any) -> None:
        self.offset = offset

    def utcoffset(self, _: dt.datetime | None, /) -> Any:
        if isinstance(self.offset, BaseException):
            raise self.offset
        return self.offset

    def tzname(self, _: dt.datetime | None, /) -> str:
        return SQL

    def dst(self, _: dt.datetime | None, /) -> Any:
        return self.offset


def at(hours: float) -> dt.timezone:
    return dt.timezone(dt.timedelta(hours=hours))


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2024, 1, 1),  # noqa: DTZ001 - naive on purpose
        dt.datetime(2024, 1, 1, fold=1),  # noqa: DTZ001 - as above
        dt.datetime(2024, 1, 1, tzinfo=_Zone(None)),
        dt.datetime(2024, 1, 1, tzinfo=_Zone(ZeroDivisionError(SQL))),
        dt.datetime(2024, 1, 1, tzinfo=_Zone("5 hours")),
        dt.datetime(2024, 1, 1, tzinfo=_Zone(dt.timedelta(days=2))),
        dt.datetime(1, 1, 1, tzinfo=at(14)),
        dt.datetime(9999, 12, 31, 23, 59, tzinfo=at(-14)),
        "2016-12-31T23:59:60Z",
        "2024-02-30T00:00:00Z",
        "0000-00-00",
        "now()",
    ],
    ids=repr,
)
async def test_a51_an_instant_is_aware_and_of_this_era(target: Target, value: Any) -> None:
    for attempt in uses_of_a_value("moment", value, target):
        await target.refuses(attempt, InvalidValueError)


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        dt.datetime(1, 1, 1, tzinfo=at(-14)),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, tzinfo=at(14)),
        dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=at(2)),
        dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=1))),
    ],
    ids=repr,
)
async def test_a51_the_ends_of_the_era_and_every_offset_are_kept(target: Target, value: dt.datetime) -> None:
    (stored,) = await target.create(Victim(moment=value))
    assert stored.moment == value
    assert stored.moment.utcoffset() == dt.timedelta(0)
    assert await Query(Victim).filter(Victim.moment == value).count(target.pool) == 1


# --- sizes -----------------------------------------------------------------------------------------------------------


async def test_a52_a_gigabyte_is_refused_and_so_is_what_exceeds_its_column(target: Target) -> None:
    # Zeroed by the system page by page when touched, which nobody does.
    for attempt in uses_of_a_value("data", bytes(1_000_000_001), target):
        await target.refuses(attempt, LimitExceededError)
    for attempt in uses_of_a_value("title", "x" * 201, target):
        await target.refuses(attempt, InvalidValueError)
    for attempt in uses_of_a_value("title", "🦆" * 201, target):
        await target.refuses(attempt, InvalidValueError)


async def test_a52_a_megabyte_is_kept(target: Target) -> None:
    text, data = "🦆x" * 250_000, bytes(range(256)) * 4_000
    (stored,) = await target.create(Victim(body=text, data=data))
    found = await PydanticRepository(Victim, target.pool).get(stored.id)
    assert found is not None
    assert (found.body, found.data) == (text, data)


# --- UUIDs and enums -------------------------------------------------------------------------------------------------

TOKEN: Final = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


@pytest.mark.parametrize(
    "value",
    [
        "{" + TOKEN + "}", "urn:uuid:" + TOKEN, TOKEN[:-1], TOKEN + "1", TOKEN.replace("-", "") + "0",
        TOKEN.replace("-", "")[:-1], "a0eebc999c0b-4ef8-bb6d-6bb9bd380a11", f" {TOKEN}", f"{TOKEN}\n",
        f"{TOKEN}' OR '1'='1", TOKEN.replace("a", "g"), TOKEN.replace("0", "０"), TOKEN.replace("-", "_"), "", "null",
        0, b"0" * 16, (1, 2, 3, 4, 5, 6),
    ],
    ids=ascii,
)  # fmt: skip
async def test_a53_a_uuid_has_two_texts_and_no_other(target: Target, value: Any) -> None:
    for name in ("token", "id"):
        for attempt in uses_of_a_value(name, value, target):
            if not (name == "id" and "update" in attempt.__code__.co_names):
                await target.refuses(attempt, InvalidValueError)


@pytest.mark.parametrize("form", [TOKEN, TOKEN.upper(), TOKEN.replace("-", ""), TOKEN.replace("-", "").upper()])
async def test_a53_its_texts_are_one_value(target: Target, form: Any) -> None:
    (stored,) = await target.create(Victim.model_construct(token=form))
    assert stored.token == uuid.UUID(TOKEN)
    for other in (TOKEN, TOKEN.upper(), uuid.UUID(TOKEN)):
        assert await Query(Victim).filter(F.token == other).count(target.pool) == 1
        assert await Query(Victim).filter(F.token.in_([other])).count(target.pool) == 1


class Foreign(enum.Enum):
    OPEN = "open"
    EVIL = "x'; --"


@pytest.mark.parametrize(
    "value",
    ["x'; --", "OPEN", "Open", "open ", "", "open' OR '1'='1", 1, None.__class__, Foreign.EVIL, Foreign.OPEN],
    ids=repr,
)
async def test_a54_an_enum_has_its_own_members_and_values(target: Target, value: Any) -> None:
    with pytest.raises(ValidationError):
        Victim(status=value)
    for attempt in uses_of_a_value("status", value, target):
        await target.refuses(attempt, InvalidValueError)


async def test_a54_the_database_holds_the_values_too(target: Target) -> None:
    (stored,) = await target.create(Victim(status=Status.DONE))
    quote = target.pool.dialect.quote
    with pytest.raises(CheckViolation) as caught:
        await target.pool.execute(f"UPDATE {quote('attack_victims')} SET {quote('status')} = 'x'")
    target.note(caught.value)
    assert await PydanticRepository(Victim, target.pool).get(stored.id) == stored
