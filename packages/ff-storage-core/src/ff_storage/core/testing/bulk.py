"""Many rows at once: all or nothing, or chunk by chunk."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar, Final

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    InvalidValueError,
    LimitExceededError,
    StorageError,
    UniqueViolation,
)
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import Query
from ff_storage.core.query.bulk import ChunkResult, bulk_insert
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.conformance import Conformance
from ff_storage.core.testing.models import AUTHORS, Country, Product
from ff_storage.core.testing.recording import Recorder
from ff_storage.core.testing.tables import stored


def _nested(depth: int) -> dict[str, Any]:
    nested: Any = 1
    for level in range(depth):
        nested = [nested] if level % 2 else {"a": nested}
    return {"nested": nested}


class Shade(enum.Enum):
    """What JSON has no word for."""

    DARK = "dark"
    PAIR = ("a", "b")


class Rank(enum.IntEnum):
    """A number of another class."""

    FIRST = 1


class Words(str):
    """Text of another class."""

    __slots__ = ()


DOCUMENTS: Final[tuple[Any, ...]] = (
    {}, {"a": None}, {"a": "null"}, {"a": [None, "b"]}, {"a": (1, 2)}, {"a": {"b": ((), [()])}}, {"é": "日本語 🦆"},
    {"a": 2**53}, {"a": 2**63 - 1}, {"a": -(2**63)}, {"a": 2**63}, {"a": -(2**63) - 1}, {"a": 10**30},
    {"a": "12345678901234567890"}, {"a": 0.1}, {"a": 1e308}, {"a": float("nan")}, {"a": [float("-inf")]},
    {"a": "\0"}, {"a\0b": 1}, {"a": "\\u0000"}, {"a": "\ud800"}, {"\udfff": 1}, {"a": "\ud83d", "b": "\udc00"},
    {"a": "x" * 1000}, {"a": ["x"] * 500}, _nested(120), _nested(198), _nested(199), _nested(200), _nested(240),
    {"a": uuid.UUID(int=7)}, {"a": dt.date(2024, 2, 29)}, {"a": dt.datetime(2024, 2, 29, tzinfo=dt.UTC)},
    {"a": Decimal("1.50")}, {"a": Shade.DARK}, {"a": Shade.PAIR}, {"a": Rank.FIRST}, {"a": Words("b")}, {Words("a"): 1},
    {1: "a"}, {None: 1}, {True: 1}, {"a": {1, 2}}, {"a": b"bytes"}, {"a": bytearray(b"b")}, {"a": 1j}, {"a": object()},
    {"a": OrderedDict[str, int](b=1)}, OrderedDict[str, int](a=1), MappingProxyType({"a": 1}), [1], "text",
    {"a": ...}, {"a": Country},
)  # fmt: skip


NO_JSON: Final[tuple[Any, ...]] = (
    {"a": float("nan")}, {"a": [float("-inf")]}, {"a": 2**63}, {"a": [-(2**63) - 1]}, {"a": "\0"}, {"a\0b": 1},
    {"a": "\ud800"}, {"\udfff": 1}, {"a": "\ud83d", "b": "\udc00"}, {"a": object()}, _nested(240),
)  # fmt: skip
"""What no engine stores in the same way, or at all."""


class BulkTests(Conformance):
    """`create_many` and `bulk_insert`."""

    models: ClassVar[tuple[type[PydanticModel], ...]] = (*AUTHORS, Product)

    async def test_create_many_returns_the_rows_as_stored(self, pool: Pool) -> None:
        actor = uuid.uuid4()
        repo = PydanticRepository(Product, pool)
        given = [Product(name=f"{n:03}", stock=n, details={"n": n}) for n in range(250)]
        created = await repo.create_many(given, user_id=actor, batch_size=100)
        assert [row.name for row in created] == [f"{n:03}" for n in range(250)]
        assert {row.created_by for row in created} == {actor}
        assert created == await repo.list(order_by="name", limit=None)
        assert await repo.create_many([]) == []

    async def test_bulk_insert_takes_models_and_mappings_lazily(self, pool: Pool) -> None:
        actor = uuid.uuid4()
        records: Any = (Product(name=f"m{n}") if n % 2 else {"name": f"d{n}", "price": "1.50"} for n in range(25))
        assert await bulk_insert(Product, records, pool, batch_size=10, user_id=actor) == 25
        rows = await Query(Product).execute(pool)
        assert len(rows) == 25
        assert {(row.created_by, row.updated_by, row.deleted_at) for row in rows} == {(actor, actor, None)}
        assert await bulk_insert(Product, [], pool) == 0

    async def test_bulk_writes_are_all_or_nothing(self, pool: Pool) -> None:
        """A duplicate or a bad record in a late chunk leaves nothing of the earlier ones."""
        repo = PydanticRepository(Country, pool)
        await repo.create(Country(code="zz", name="taken"))
        good = [Country(code=f"{n:02}", name="x") for n in range(10)]
        bad = Country.model_construct(code="too long", name="x")
        for last, error in ((Country(code="zz", name="x"), UniqueViolation), (bad, InvalidValueError)):
            with pytest.raises(error):
                await repo.create_many([*good, last], batch_size=4)
            with pytest.raises(error) as caught:
                await bulk_insert(Country, [*good, last], pool, batch_size=4)
            assert isinstance(caught.value, StorageError)
            assert caught.value.details["rows"] == (8, 11)
            assert await repo.count() == 1
        with pytest.raises(InvalidValueError):
            await bulk_insert(Country, [*good, {"code": "too long", "name": "x"}], pool, batch_size=4)
        assert await repo.count() == 1

    async def test_what_reading_the_records_raises_is_the_callers_own(self, pool: Pool) -> None:
        for kind in (ZeroDivisionError, ValueError, TypeError, LookupError):

            def records(kind: type[Exception] = kind) -> Iterator[Product]:
                for n in range(25):
                    yield Product(name=f"{n}")
                raise kind("theirs")

            with pytest.raises(kind, match="theirs") as caught:
                await bulk_insert(Product, records(), pool, batch_size=10)
            assert type(caught.value) is kind
        assert await Query(Product).count(pool) == 0

    async def test_a_chunk_can_stand_for_itself(self, pool: Pool) -> None:
        repo = PydanticRepository(Country, pool)
        await repo.create(Country(code="05", name="taken"))
        given = [Country(code=f"{n:02}", name="x") for n in range(10)]
        results = await bulk_insert(Country, given, pool, batch_size=4, atomic=False)
        assert [(each.start, each.stop, each.count, type(each.error)) for each in results] == [
            (0, 4, 4, type(None)), (4, 8, 0, UniqueViolation), (8, 10, 2, type(None)),
        ]  # fmt: skip
        assert await repo.count() == 7
        again = await repo.create_many([Country(code=f"a{n}", name="x") for n in range(3)], batch_size=2, atomic=False)
        assert again == [ChunkResult(0, 2, 2), ChunkResult(2, 3, 1)]
        bad = Country.model_construct(code="too long", name="x")
        mixed = await bulk_insert(Country, [bad, Country(code="b0", name="x")], pool, batch_size=1, atomic=False)
        assert [each.count for each in mixed] == [0, 1]
        assert isinstance(mixed[0].error, InvalidValueError)

    async def test_a_chunk_stands_for_itself_within_a_transaction(self, pool: Pool) -> None:
        repo = PydanticRepository(Country, pool)
        given = [Country(code=code, name="x") for code in ("aa", "aa", "bb")]
        async with pool.transaction():
            results = await bulk_insert(Country, given, pool, batch_size=1, atomic=False)
            assert [each.count for each in results] == [1, 0, 1]
            with pytest.raises(UniqueViolation):
                await repo.create_many([Country(code="cc", name="x"), given[0]], batch_size=1)
            await repo.create(Country(code="dd", name="x"))
        assert [each.code for each in await repo.list(order_by="code")] == ["aa", "bb", "dd"]

    async def test_bulk_writes_join_a_transaction(self, pool: Pool) -> None:
        repo = PydanticRepository(Country, pool)
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction() as tx:
                await bulk_insert(Country, [{"code": "aa", "name": "x"}], pool, connection=tx)
                await repo.create_many([Country(code="bb", name="x")], connection=tx)
                await bulk_insert(Country, [{"code": "cc", "name": "x"}], tx)
                assert await repo.count(connection=tx) == 3
                raise ZeroDivisionError
        assert await repo.count() == 0

    async def test_records_are_validated_once_unless_trusted(self, pool: Pool) -> None:
        for model, record in ((Country, {"code": "aa"}), (Product, {"name": "a", "stock": "many"})):
            with pytest.raises(InvalidValueError):
                await bulk_insert(model, [record], pool)
        assert await bulk_insert(Product, [{"name": "a", "stock": "7"}], pool) == 1
        stamp = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        old = Product(name="old", created_at=stamp, updated_at=stamp, deleted_at=stamp)
        assert await bulk_insert(Product, [old], pool, trusted=True) == 1
        (kept,) = await Query(Product).include_deleted().filter(Product.name == "old").execute(pool)
        assert (kept.created_at, kept.updated_at, kept.deleted_at) == (stamp, stamp, stamp)
        records: list[Any] = [object(), 5, "a", Country(code="aa", name="x"), [("name", "a")]]
        for wrong in records:
            for trusted in (False, True):
                with pytest.raises(InvalidValueError):
                    await bulk_insert(Product, [wrong], pool, trusted=trusted)
        partial = Product.model_construct(stock=1)
        for incomplete in ({"stock": 1}, partial):
            with pytest.raises(InvalidValueError, match="name"):
                await bulk_insert(Product, [incomplete], pool, trusted=True)
        with pytest.raises(InvalidValueError, match="name"):
            await PydanticRepository(Product, pool).create(partial)
        assert await stored(pool, Product) == 2

    @pytest.mark.parametrize("number", range(len(DOCUMENTS)))
    async def test_json_among_many_is_what_it_is_alone(self, pool: Pool, number: int) -> None:
        document = DOCUMENTS[number]
        repo = PydanticRepository(Product, pool)
        alone: Any = None
        try:
            alone = (await repo.create(Product.model_construct(name="alone", details=document))).details
        except StorageError as error:
            alone = str(error)
        plain = [Product(name=f"{n}", details={"n": [n, {"half": n / 2}]}) for n in range(10)]
        many = [*plain, Product.model_construct(name="among", details=document)]
        try:
            assert await bulk_insert(Product, many, pool) == 11
            among: Any = await Query(Product).select(Product.details).filter(Product.name == "among").scalar(pool)
            found = {row.name: row.details for row in await Query(Product).execute(pool)}
            assert all(found[row.name] == row.details for row in plain)
        except StorageError as error:
            among = str(error)
        assert repr(among) == repr(alone)

    @pytest.mark.parametrize("number", range(len(NO_JSON)))
    async def test_what_is_no_json_is_refused_alone_and_among_many(
        self, pool: Pool, recorder: Recorder, number: int
    ) -> None:
        bad = Product.model_construct(name="bad", details=NO_JSON[number])
        plain = [Product(name=f"{n}", details={"n": n}) for n in range(10)]
        for attempt in (
            lambda: PydanticRepository(Product, recorder).create(bad),
            lambda: bulk_insert(Product, [*plain, bad], recorder),
            lambda: PydanticRepository(Product, recorder).create_many([*plain, bad]),
        ):
            with pytest.raises((InvalidValueError, LimitExceededError)):
                await attempt()
        assert recorder.sent == []
        assert await stored(pool, Product) == 0

    @pytest.mark.parametrize("size", [0, -1, True, 1.5, "10", None])
    async def test_a_batch_size_is_a_positive_int(self, recorder: Recorder, size: Any) -> None:
        with pytest.raises(InvalidValueError):
            await bulk_insert(Product, [{"name": "a"}], recorder, batch_size=size)
        with pytest.raises(InvalidValueError):
            await PydanticRepository(Product, recorder).create_many([Product(name="a")], batch_size=size)
        assert recorder.sent == []

    async def test_more_rows_than_one_statement_takes(self, pool: Pool) -> None:
        """Past every engine's limit of parameters and rows, with more columns than fit once."""
        count = await bulk_insert(Product, ({"name": str(n)} for n in range(5_000)), pool, batch_size=5_000)
        assert count == 5_000
        assert await Query(Product).count(pool) == 5_000
