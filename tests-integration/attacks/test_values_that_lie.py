"""A13: values that lie about what they are: subclasses whose methods say something else than their content."""

# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from attacks.models import Victim
from attacks.oracle import Target, hostile_text, on_every_engine
from ff_storage import F, PydanticRepository, Query
from ff_storage.core.errors import InvalidValueError

pytestmark = on_every_engine

SQL: Final = "x'); DROP TABLE attack_victims; --"
TOKEN: Final = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def at(hours: float) -> dt.timezone:
    return dt.timezone(dt.timedelta(hours=hours))


class EvilInt(int):
    def __str__(self) -> str:
        return SQL

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return SQL

    def __int__(self) -> int:
        return 666

    def __index__(self) -> int:
        return 666

    def __add__(self, other: Any) -> int:
        return 666

    def bit_length(self) -> int:
        return 1


class EvilFloat(float):
    def __str__(self) -> str:
        return SQL

    __repr__ = __str__

    def __float__(self) -> float:
        return 666.0

    def hex(self) -> str:
        return SQL


class EvilBytes(bytes):
    def __bytes__(self) -> bytes:
        return b"evil"

    def __str__(self) -> str:
        return SQL

    def hex(self, *_: Any) -> str:
        return SQL

    def __getitem__(self, index: Any) -> Any:
        return b"evil"


class EvilDecimal(Decimal):
    def __str__(self, *_: Any) -> str:
        return SQL

    __repr__ = __str__

    def __format__(self, spec: str, *_: Any) -> str:
        return SQL

    def as_tuple(self) -> Any:
        return Decimal(666).as_tuple()

    def quantize(self, *_: Any, **__: Any) -> Decimal:
        return Decimal(666)

    def scaleb(self, *_: Any, **__: Any) -> Decimal:
        return Decimal(666)


class EvilUuid(uuid.UUID):
    def __str__(self) -> str:
        return SQL

    __repr__ = __str__

    @property
    def hex(self) -> str:
        return SQL


class EvilDatetime(dt.datetime):
    def isoformat(self, *_: Any, **__: Any) -> str:
        return SQL

    def strftime(self, *_: Any) -> str:
        return SQL

    def __str__(self) -> str:
        return SQL

    def __format__(self, spec: str) -> str:
        return SQL

    def astimezone(self, *_: Any) -> Any:
        return dt.datetime(1999, 1, 1, tzinfo=dt.UTC)

    def replace(self, *_: Any, **__: Any) -> Any:
        return dt.datetime(1999, 1, 1, tzinfo=dt.UTC)


class EvilDate(dt.date):
    def isoformat(self) -> str:
        return SQL

    def __str__(self) -> str:
        return SQL

    def strftime(self, *_: Any) -> str:
        return SQL


class EvilList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([SQL])

    def __len__(self) -> int:
        return 1


class EvilDict(dict[str, Any]):
    def items(self) -> Any:
        return [("evil", SQL)]

    def __iter__(self) -> Iterator[str]:
        return iter(["evil"])

    def keys(self) -> Any:
        return ["evil"]

    def __getitem__(self, key: str) -> Any:
        return SQL


EVIL: Final[list[tuple[str, Any, Any]]] = [
    ("title", hostile_text("real", SQL), "real"),
    ("number", EvilInt(5), 5),
    ("weight", EvilFloat(1.5), 1.5),
    ("data", EvilBytes(b"real"), b"real"),
    ("price", EvilDecimal("1.50"), Decimal("1.50")),
    ("token", EvilUuid(TOKEN), uuid.UUID(TOKEN)),
    ("moment", EvilDatetime(2024, 1, 2, tzinfo=dt.UTC), dt.datetime(2024, 1, 2, tzinfo=dt.UTC)),
    ("moment", EvilDatetime(2024, 1, 2, 3, tzinfo=at(3)), dt.datetime(2024, 1, 2, tzinfo=dt.UTC)),
    ("day", EvilDate(2024, 1, 2), dt.date(2024, 1, 2)),
]


@pytest.mark.parametrize(("name", "value", "real"), EVIL, ids=lambda each: type(each).__name__)
async def test_a13_a_value_that_lies_is_its_real_content_or_refused(
    target: Target, name: str, value: Any, real: Any
) -> None:
    """Stored and compared as what it is; what its methods say reaches neither a statement nor a row."""
    repo = PydanticRepository(Victim, target.pool)
    column: Any = F[name]
    target.sent.clear()
    try:
        stored = await repo.create(Victim.model_construct(**{name: value}))
    except InvalidValueError as error:
        target.note(error)
        assert target.sent == []
        return
    target.counts["attack_victims"] += 1
    assert getattr(stored, name) == real
    assert type(getattr(stored, name)) is type(real)
    assert getattr(await repo.get(stored.id), name) == real
    assert await Query(Victim).filter(column == value).count(target.pool) == 1
    assert await Query(Victim).filter(column.in_([value])).count(target.pool) == 1
    assert await Query(Victim).filter(column == real).count(target.pool) == 1
    assert not [text for text in target.sent if "DROP" in text]


async def test_a13_structures_that_lie_are_their_real_content_or_refused(target: Target) -> None:
    repo = PydanticRepository(Victim, target.pool)
    for values in (
        {"details": EvilDict(real=1)},
        {"words": EvilList(["real"])},
        {"details": {"a": EvilList(["real"])}},
    ):
        target.sent.clear()
        try:
            stored = await repo.create(Victim.model_construct(**values))
        except InvalidValueError as error:
            target.note(error)
            assert target.sent == []
            continue
        target.counts["attack_victims"] += 1
        found = await repo.get(stored.id)
        assert found is not None
        assert SQL not in repr(found.details) or found.details == stored.details
    evil: Any = EvilList([1, 2, 3])
    assert await Query(Victim).filter(F.title.in_(evil)).count(target.pool) == 0
