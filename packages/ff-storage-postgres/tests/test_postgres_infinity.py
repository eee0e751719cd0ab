"""The ends of Python's calendar are PostgreSQL's infinity, on both sides: one reads and finds what the other wrote."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ff_storage.core.database import open_pool
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import Query
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository, SyncRepository
from ff_storage.postgres import Postgres
from ff_storage.testing import create_tables


class Span(PydanticModel):
    """How long something holds."""

    __table_name__ = "infinity_spans"
    __multi_tenant__ = False

    until: dt.datetime
    day: dt.date


ENDS = [
    ("infinity", dt.datetime.max.replace(tzinfo=dt.UTC), dt.date.max),
    ("-infinity", dt.datetime.min.replace(tzinfo=dt.UTC), dt.date.min),
]
NEAR = [
    (dt.datetime.max.replace(microsecond=999_998, tzinfo=dt.UTC), dt.date(9999, 12, 30)),
    (dt.datetime.min.replace(microsecond=1, tzinfo=dt.UTC), dt.date(1, 1, 2)),
]


@pytest.mark.parametrize(("stored", "until", "day"), ENDS)
async def test_what_one_side_writes_the_other_reads(
    empty_database: str, stored: str, until: dt.datetime, day: dt.date
) -> None:
    async with open_pool(empty_database) as pool:
        await create_tables(pool, Span)
        await PydanticRepository(Span, pool).create(Span(until=until, day=day))
        await bulk_insert(Span, [Span(until=until, day=day) for _ in range(10)], pool)
        with Postgres.from_url(empty_database) as db:
            spans = SyncRepository(Span, db)
            spans.create(Span(until=until, day=day))
            spans.create_many([Span(until=until, day=day) for _ in range(10)])
            spans.create(Span(until=NEAR[0][0], day=NEAR[0][1]))
            spans.create(Span(until=NEAR[1][0], day=NEAR[1][1]))
            found = spans.list({"until": until})
            raw = db.read_query("SELECT until, day FROM infinity_spans WHERE day = %s::date", (stored,))
        assert (
            len(found) == len(raw) == await Query(Span).filter(Span.until == until, Span.day == day).count(pool) == 22
        )
        assert {(each.until, each.day) for each in found} == {(until, day)}
        assert {(row["until"], row["day"]) for row in raw} == {(until, day)}
        texts = "SELECT until::text AS until, day::text AS day FROM infinity_spans WHERE day = $1::text::date"
        assert await pool.fetch_all(texts, stored) == [{"until": stored, "day": stored}] * 22
        rows: list[Any] = await pool.fetch_all("SELECT until, day FROM infinity_spans", as_dict=False)
        assert {*rows} == {(until, day), *NEAR}
        assert {instant.tzinfo for instant, _ in rows} == {dt.UTC}
        assert {(each.until, each.day) for each in await PydanticRepository(Span, pool).list()} == {(until, day), *NEAR}
