"""What is measured: one table, 20,000 rows, and seven operations.

Ten columns of ten kinds, and `created_by` and `updated_by`, which every model of ff-storage has; here they stay empty.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

ROWS_PER_TENANT = 10_000
TASKS = 50
POOL = 10
"""Connections of every contender that has a pool."""

_SPACE = uuid.UUID("00000000-0000-4000-8000-00000000ff00")
READ = uuid.uuid5(_SPACE, "read")
"""The tenant whose rows are only ever read."""
CHANGE = uuid.uuid5(_SPACE, "change")
"""The tenant whose rows are updated."""
SCRATCH = uuid.uuid5(_SPACE, "scratch")
"""The tenant that rows are inserted for; the harness deletes them after each section."""


class Row(NamedTuple):
    """One row in the values that a person works with; a contender's `values` gives the same."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    name: str
    price: Decimal
    quantity: int
    active: bool
    attributes: dict[str, Any]
    created_at: dt.datetime
    updated_at: dt.datetime
    note: str | None
    created_by: uuid.UUID | None = None
    updated_by: uuid.UUID | None = None


def rows(tenant: uuid.UUID, count: int, seed: int) -> Iterator[Row]:
    """`count` rows of `tenant`, always the same for a seed; timestamps are distinct, so that their order is one."""
    chance = random.Random(f"{tenant}/{seed}")
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    colors = ("red", "green", "blue", "ochre")
    for number in range(count):
        created = start + dt.timedelta(seconds=37 * number, microseconds=chance.randrange(1_000_000))
        yield Row(
            id=uuid.UUID(int=chance.getrandbits(128), version=4),
            tenant_id=tenant,
            name=f"Item {number:05} {chance.choice(colors)}",
            price=Decimal(chance.randrange(1, 10_000_000)).scaleb(-2),
            quantity=chance.randrange(1000),
            active=chance.random() < 0.8,
            attributes={"color": chance.choice(colors), "tags": ["a", "b", "c"], "size": {"w": number, "h": 2.5}},
            created_at=created,
            updated_at=created + dt.timedelta(hours=1),
            note=f"Checked on day {number % 31}, nothing to report" if chance.random() < 0.6 else None,
        )


def preload() -> list[Row]:
    """The 20,000 rows that every table starts with."""
    return [*rows(READ, ROWS_PER_TENANT, 1), *rows(CHANGE, ROWS_PER_TENANT, 1)]


@dataclass(frozen=True, slots=True)
class Operation:
    """One column of the report.

    `count`: how often a section runs it; `unit`: "µs" or "ms", for people; `writes`: whether there is something to
    clean up afterwards.
    """

    name: str
    title: str
    count: int
    unit: str
    writes: bool = False


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("get", "get by key", 400, "µs"),
        Operation("page", "filter, order, limit 100", 40, "µs"),
        Operation("fetch", "fetch 10,000", 4, "ms"),
        Operation("insert", "insert one", 100, "µs", writes=True),
        Operation("bulk", "bulk insert 10,000", 1, "ms", writes=True),
        Operation("update", "update one", 200, "µs", writes=True),
        Operation("tasks", f"{TASKS} tasks get", 3000, "µs"),
    )
}
