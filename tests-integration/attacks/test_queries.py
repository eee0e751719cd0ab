"""Queries put together from outside: order, pages, functions, and conditions of any depth."""

# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

import enum
import fractions
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import pytest

from attacks.models import Victim
from attacks.oracle import INJECTIONS, Target, hostile_text
from ff_storage import AND, OR, F, PydanticRepository, Query, bulk_insert, col, func, not_
from ff_storage.core.errors import (
    IdentifierError,
    InvalidValueError,
    LimitExceededError,
    UnknownFieldError,
    UnsafeSQLError,
    UnsupportedFeature,
)

ORDERS: Final = (
    "name; DROP TABLE x", "name DESC, (select secret from attack_canaries)",
    "(CASE WHEN (select 1 from attack_canaries) THEN 1 END)", "vuln.col", "-", "--name",
    "name ASC NULLS LAST, secret", "title desc", "title DESC", "title asc", "+title", "title,number",
    "-title,-number", "1", "-1", "random()", "RANDOM()", "title COLLATE NOCASE", "title NULLS FIRST",
    "title/**/desc", "title\n", "title--", "-title; --", "?", "$1", "(title)", "attack_victims.title", '"title"',
    "`title`", "title'", "case when 1 then title end", "", " ", "- title", "−title",
)  # fmt: skip


class Count(int):
    """An int that is none of its own words."""

    def __str__(self) -> str:
        return "1; DROP TABLE attack_victims"

    __repr__ = __str__

    def __index__(self) -> int:
        return 10**30


class Rows(enum.IntEnum):
    ONE = 1


class Forged:
    """Has what an expression has, and is none."""

    key = ("=", "a", "b")
    values = ()
    depth = 1
    sql = "1=1"
    params: tuple[object, ...] = ()

    def children(self) -> tuple[object, ...]:
        return ()

    def to_sql(self) -> str:
        return "1=1"

    def compile(self, *_: object) -> str:
        return "1=1"

    def __sql__(self) -> str:
        return "1=1"

    def __clause_element__(self) -> str:
        return "1=1"

    def __html__(self) -> str:
        return "1=1"


FORGERIES: Final[tuple[Any, ...]] = (
    {"__raw__": "1=1"}, {"sql": "1=1", "params": []}, {"$gt": ""}, {"$where": "1"}, {"$ne": None}, {"title": 1},
    ["1=1"], ("title", "=", 1), {"key": 1, "values": [], "depth": 1}, Forged(), Forged,
    json.loads('{"__raw__": "1=1"}'), {"operator": "OR", "terms": []}, {"__class__": "Comparison"}, b"1=1",
    bytearray(b"1=1"), object(), lambda: "1=1", fractions.Fraction(1, 2), 1j, Ellipsis, NotImplemented,
)  # fmt: skip


# --- order, direction, pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids=ascii)
async def test_a31_order_by_refuses_sql(target: Target, order: str) -> None:
    repo = PydanticRepository(Victim, target.pool)
    attempts: list[Callable[[], Any]] = [
        lambda: Query(Victim).order_by(order),
        lambda: Query(Victim).order_by("title", order),
        lambda: repo.list(order_by=order),
        lambda: repo.list(order_by=[Victim.number, order]),
        lambda: repo.list(order_by=("title", order)),
    ]
    for attempt in attempts:
        await target.refuses(attempt, IdentifierError)


@pytest.mark.parametrize("order", [*FORGERIES, 1, None, True, {"title": "desc"}, [["title"]], {"title"}], ids=repr)
async def test_a31_order_by_takes_terms_and_names(target: Target, order: Any) -> None:
    await target.refuses(lambda: Query(Victim).order_by(order), IdentifierError)
    if order is not None and not isinstance(order, list | tuple | set):
        repo = PydanticRepository(Victim, target.pool)
        await target.refuses(lambda: repo.list(order_by=order), IdentifierError)


@pytest.mark.parametrize(
    "nulls", ["LAST;", "DESC; --", "first", "last", "First", "NULLS LAST", "", " ", True, 0, b"LAST", ["LAST"], F.title]
)
async def test_a32_the_place_of_nulls_is_one_of_two(target: Target, nulls: Any) -> None:
    title = col(Victim.title)
    for direction in (title.asc, title.desc):
        await target.refuses(lambda direction=direction: direction(nulls), InvalidValueError)
        await target.refuses(lambda direction=direction: direction(nulls=nulls), InvalidValueError)


async def test_a32_a_text_that_calls_itself_last_is_refused(target: Target) -> None:
    for content in ("LAST", "FIRST", "LAST; --"):
        evil: Any = hostile_text(content, "LAST; DROP TABLE attack_victims")
        await target.refuses(lambda evil=evil: col(Victim.body).desc(nulls=evil), InvalidValueError)


@pytest.mark.parametrize(
    "rows",
    [
        "1; DROP", -1, True, False, 1.5, 10**30, float("nan"), "10", "", None, [1], {"a": 1}, b"1", Decimal(1),
        2**63, -(2**63), Count(5), Rows.ONE, F.number, Forged(), 1j,
    ],
    ids=repr,
)  # fmt: skip
async def test_a33_a_number_of_rows_is_a_plain_int(target: Target, rows: Any) -> None:
    repo = PydanticRepository(Victim, target.pool)
    attempts: list[Callable[[], Any]] = [
        lambda: Query(Victim).limit(rows),
        lambda: Query(Victim).offset(rows),
        lambda: Query(Victim).limit(1).offset(rows),
        lambda: repo.list(offset=rows),
        lambda: Query(Victim).stream(target.pool, batch=rows),
        lambda: bulk_insert(Victim, [{"title": "a"}], target.pool, batch_size=rows),
        lambda: repo.create_many([Victim()], batch_size=rows),
    ]
    if rows is not None:
        attempts.append(lambda: repo.list(limit=rows))
    if type(rows) is int and rows > 2**62:
        # A batch is cut by memory and not by SQL: any size will do.
        attempts = [each for each in attempts if "batch" not in str(each.__code__.co_consts)]
    for attempt in attempts:
        await target.refuses(attempt, InvalidValueError)


# --- select, group_by, having, functions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1,(select secret from attack_canaries)", "secret", "*", "count(*)", "title, secret", "max(title)",
        "title as x", "DISTINCT title", "(SELECT secret FROM attack_canaries)", "1=1", "", "title;", *INJECTIONS,
    ],
    ids=ascii,
)  # fmt: skip
async def test_a34_select_group_by_and_having_refuse_sql(target: Target, text: str) -> None:
    expected = UnknownFieldError if text == "secret" else IdentifierError
    query = Query(Victim)
    attempts: list[Callable[[], Any]] = [
        lambda: query.select(text),
        lambda: query.select(Victim.title, text),
        lambda: query.select(func.count()).group_by(text).execute(target.pool),
        lambda: query.select(func.count()).group_by(Victim.title, text).count(target.pool),
    ]
    for attempt in attempts:
        await target.refuses(attempt, expected)
    conditions: list[Callable[[], Any]] = [
        lambda: query.select(func.count()).having(text),
        lambda: query.filter(text),
        lambda: query.filter(OR(Victim.number == 1, text)),
        lambda: query.filter(not_(text)),
        lambda: query.filter(AND(text)),
        lambda: query.filter((Victim.number == 1) & text),
        lambda: query.filter(text | (Victim.number == 1)),
    ]
    for attempt in conditions:
        await target.refuses(attempt, (UnsafeSQLError, TypeError))


@pytest.mark.parametrize(
    "argument", ["(SELECT secret FROM attack_canaries)", "secret; --", "*", "1", "title, body", ""]
)
@pytest.mark.parametrize("name", ["max", "min", "sum", "avg", "count", "lower", "upper", "length", "coalesce"])
async def test_a35_the_argument_of_a_function_is_a_field(target: Target, name: str, argument: str) -> None:
    function = getattr(func, name)
    arguments = (argument, 1) if name == "coalesce" else (argument,)
    await target.refuses(lambda: function(*arguments), IdentifierError)


@pytest.mark.parametrize("name", ["max", "min", "sum", "avg", "count", "lower", "upper", "length"])
async def test_a35_the_argument_of_a_function_is_a_field_of_the_model(target: Target, name: str) -> None:
    function = getattr(func, name)
    for wrong in (F.nope, F.secret, "nope", "secret"):
        await target.refuses(
            lambda wrong=wrong: Query(Victim).select(function(wrong)).execute(target.pool), UnknownFieldError
        )
        await target.refuses(
            lambda wrong=wrong: (
                Query(Victim).select(Victim.title).group_by(Victim.title).order_by(function(wrong)).execute(target.pool)
            ),
            UnknownFieldError,
        )
    for wrong in FORGERIES:
        await target.refuses(lambda wrong=wrong: function(wrong), IdentifierError)


@pytest.mark.parametrize(
    "name",
    [
        "pg_sleep", "load_file", "xp_cmdshell", "load_extension", "randomblob", "sqlite_version", "readfile",
        "writefile", "version", "current_user", "sleep", "benchmark", "nope", "MAX", "Sum", "count_",
        "__class_getitem__", "x; --", "a b", "max(", "é", "", "eval", "system", "ff_fold", "ff_lower",
    ],
)  # fmt: skip
async def test_a35_unknown_functions_are_refused(target: Target, name: str) -> None:
    if not name.startswith("__"):
        await target.refuses(lambda: getattr(func, name), IdentifierError)
    await target.refuses(lambda: getattr(func, name)(5), (IdentifierError, AttributeError))


# --- raw markers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forged", FORGERIES, ids=repr)
async def test_a30_nothing_but_an_expression_is_a_condition(target: Target, forged: Any) -> None:
    query = Query(Victim)
    attempts: list[Callable[[], Any]] = [
        lambda: query.filter(forged),
        lambda: query.having(forged),
        lambda: OR(Victim.number == 1, forged),
        lambda: AND(forged, Victim.number == 1),
        lambda: not_(forged),
    ]
    for attempt in attempts:
        await target.refuses(attempt, (InvalidValueError, UnsafeSQLError))


@pytest.mark.parametrize("forged", FORGERIES, ids=repr)
@pytest.mark.parametrize("name", ["title", "number", "price", "flag", "moment", "token", "status", "weight", "id"])
async def test_a30_a_structure_is_no_scalar(target: Target, name: str, forged: Any) -> None:
    """In conditions, filters, lists, keys and written values alike."""
    repo = PydanticRepository(Victim, target.pool)
    column: Any = F[name]
    attempts: list[Callable[[], Any]] = [
        lambda: Query(Victim).filter(column == forged).execute(target.pool),
        lambda: Query(Victim).filter(column != forged).execute(target.pool),
        lambda: Query(Victim).filter(column.in_([forged])).execute(target.pool),
        lambda: Query(Victim).filter(column.is_distinct_from(forged)).execute(target.pool),
        lambda: Query(Victim).filter_by(**{name: forged}).execute(target.pool),
        lambda: repo.create(Victim.model_construct(**{name: forged})),
        lambda: bulk_insert(Victim, [{name: forged}], target.pool, trusted=True),
    ]
    if not isinstance(forged, bytes | bytearray | fractions.Fraction):  # Pydantic reads text and numbers from these
        attempts.append(lambda: bulk_insert(Victim, [{name: forged}], target.pool))
    if not isinstance(forged, list | tuple):
        attempts.append(lambda: repo.list({name: forged}))
    if name != "title":
        attempts.append(lambda: Query(Victim).filter(column < forged).execute(target.pool))
    if name == "id":
        attempts += [lambda: repo.get(forged), lambda: repo.delete(forged), lambda: repo.get_many([forged])]
        if forged.__hash__ is None:
            attempts.pop()
    for attempt in attempts:
        await target.refuses(attempt, (InvalidValueError, UnsupportedFeature))


async def test_a30_json_that_looks_like_a_marker_is_stored_as_json(target: Target) -> None:
    for marker in FORGERIES[:6]:
        (stored,) = await target.create(Victim(details=marker))
        assert stored.details == marker
        found = await PydanticRepository(Victim, target.pool).get(stored.id)
        assert found is not None
        assert found.details == marker


@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
async def test_a30_a_text_is_a_value_whatever_it_says(target: Target, text: str) -> None:
    """Stored, found, matched, listed, labeled by nobody; and the statement says nothing of it."""
    (stored,) = await target.create(Victim(title=text, body=text, words=[text], details={text: text}))
    await target.create(Victim(title="other"))
    query = Query(Victim)
    title = col(Victim.title)
    conditions: list[Any] = [
        title == text,
        title.in_([text, text + text]),
        title.contains(text),
        title.icontains(text),
        title.startswith(text),
        title.endswith(text),
        title.between(text, text),
        title.is_not_distinct_from(text),
        func.coalesce(Victim.body, "") == text,
        title + text == text + text,
    ]
    for condition in conditions:
        assert [row.id for row in await query.filter(condition).execute(target.pool)] == [stored.id]
    assert await PydanticRepository(Victim, target.pool).list({"title": text, "body": [text]}) == [stored]
    found = await query.filter(Victim.title == text).one(target.pool)
    assert (found.title, found.body, found.words, found.details) == (text, text, [text], {text: text})


# --- depth and width -------------------------------------------------------------------------------------------------

DEEP: Final = 10_000


def _nested(step: Callable[[Any], Any]) -> Callable[[], Any]:
    def build() -> Any:
        node: Any = Victim.number == 0
        for _ in range(DEEP):
            node = step(node)
        return node

    return build


@pytest.mark.parametrize(
    "step",
    [
        lambda node: ~(node | (Victim.number == 1)),
        lambda node: not_(AND(node, Victim.number == 1)),
        lambda node: (node & (Victim.number == 1)) | (Victim.number == 2),
        lambda node: AND(OR(node, Victim.flag), Victim.flag),
        lambda node: node == Victim.flag,
        lambda node: Victim.flag != node,
        lambda node: node.is_null(),
        lambda node: node.is_distinct_from(Victim.flag),
        lambda node: node.in_([True]),
        lambda node: func.coalesce(node, True),
        lambda node: node.label("x"),
    ],
)
async def test_a28_conditions_nest_to_a_bound(target: Target, step: Callable[[Any], Any]) -> None:
    await target.refuses(_nested(step), LimitExceededError)


@pytest.mark.parametrize(
    "step",
    [
        lambda node: node + 1,
        lambda node: 1 - node,
        lambda node: node * node,
        lambda node: node / 2,
        lambda node: func.coalesce(node, 1),
        func.max,
    ],
)
async def test_a28_expressions_nest_to_a_bound(target: Target, step: Callable[[Any], Any]) -> None:
    def build() -> Any:
        node: Any = F.number
        for _ in range(DEEP):
            node = step(node)
        return node

    await target.refuses(build, LimitExceededError)


def _deepest(step: Callable[[Any], Any], node: Any) -> Any:
    """As deep as may be built."""
    while True:
        try:
            node = step(node)
        except LimitExceededError:
            return node


@pytest.mark.parametrize("depth", [10, 20, 1_000])
async def test_a28_what_may_be_built_runs_or_is_refused(target: Target, depth: int) -> None:
    """An engine's parser may take less than the bound; then nothing is sent, and moderate depths run."""
    await target.create(Victim(number=0))
    steps: list[Callable[[Any], Any]] = [
        lambda node: ~(node | (Victim.number == 1)),
        lambda node: (node & (Victim.number == 0)) | Victim.flag,
        lambda node: func.coalesce(Victim.flag, node),
        lambda node: (~node).is_null() | (Victim.number == 0),
    ]
    for step in steps:
        node: Any = Victim.number == 0
        if depth > 100:
            node = _deepest(step, node)
        else:
            for _ in range(depth // 4):
                node = step(node)
        target.sent.clear()
        try:
            assert await Query(Victim).filter(node).count(target.pool) in (0, 1)
        except LimitExceededError:
            assert depth > 100
            assert target.sent == []


@pytest.mark.parametrize("terms", [1_000, 1_001, 5_000, 10_000])
async def test_a28_a_wide_condition_runs_or_is_refused(target: Target, terms: int) -> None:
    """Flat ANDs and ORs do not nest; what is beyond an engine's limit is refused before it is sent."""
    await target.create(Victim(number=7))
    for join, expected in ((OR, 1), (AND, 0)):
        condition = join(*[Victim.number == n for n in range(terms)])
        query = Query(Victim).filter(condition)
        target.sent.clear()
        try:
            found = await query.count(target.pool)
        except LimitExceededError:
            assert target.sent == []
        else:
            assert found == expected
    chain: Any = Victim.number == 0
    for n in range(1, terms):
        chain = chain | (Victim.number == n)
    assert len(chain.terms) == terms


async def test_a28_more_terms_than_the_bound_are_refused(target: Target) -> None:
    conditions = [Victim.number == 1] * 10_001
    await target.refuses(lambda: OR(*conditions), LimitExceededError)
    await target.refuses(lambda: AND(*conditions), LimitExceededError)
    await target.refuses(lambda: col(Victim.number).in_(range(100_001)), LimitExceededError)
    await target.refuses(lambda: Query(Victim).filter(*conditions).execute(target.pool), LimitExceededError)
