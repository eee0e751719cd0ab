"""The recorder of the kit: everything that passes is noted, and nothing changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import UniqueViolation
from ff_storage.core.query import Query
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.models import AUTHORS, Country
from ff_storage.testing import Recorder, create_tables


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with open_pool("sqlite://") as pool:
        await create_tables(pool, *AUTHORS)
        yield pool


async def test_reads_and_writes_are_noted_with_their_parameters(pool: Pool) -> None:
    recorder = Recorder(pool)
    repo = PydanticRepository(Country, recorder)
    await repo.create(Country(code="nl", name="Netherlands"))
    assert recorder.texts == [recorder.sent[0].text]
    assert recorder.texts[0].startswith("INSERT")
    assert "Netherlands" in recorder.sent[0].rows[0]
    recorder.sent.clear()
    assert await Query(Country).filter(Country.code == "nl").exists(recorder) is True
    assert recorder.sent[0].rows == (("nl",),)
    assert recorder.texts[0].startswith("SELECT EXISTS")


async def test_bulk_rows_streams_raw_sql_and_acquired_connections_are_noted(pool: Pool) -> None:
    recorder = Recorder(pool)
    await bulk_insert(Country, [{"code": "aa", "name": "x"}, {"code": "bb", "name": "y"}], recorder)
    assert len(recorder.sent) == 1
    assert len(recorder.sent[0].rows) == 2
    recorder.sent.clear()
    async with Query(Country).stream(recorder) as rows:
        assert [country.code async for country in rows] == ["aa", "bb"]
    assert await recorder.fetch_val("SELECT 1") == 1
    async with recorder.acquire() as connection:
        assert await connection.fetch_val("SELECT 2") == 2
        assert await Query(Country).count(connection) == 2
    assert len(recorder.sent) == 4
    assert recorder.texts[1:3] == ["SELECT 1", "SELECT 2"]


async def test_programs_of_several_statements_are_noted_and_errors_pass(pool: Pool) -> None:
    recorder = Recorder(pool)
    repo = PydanticRepository(Country, recorder)
    await repo.create(Country(code="nl", name="x"))
    with pytest.raises(UniqueViolation):
        await repo.create(Country(code="nl", name="x"))
    recorder.sent.clear()
    assert await repo.delete("nl") is True
    assert [text.partition(" ")[0] for text in recorder.texts] == ["SELECT", "SELECT", "DELETE"]


async def test_a_transaction_is_noted_through_a_recorder_of_its_own(pool: Pool) -> None:
    recorder = Recorder(pool)
    with pytest.raises(ZeroDivisionError):
        async with recorder.transaction() as tx:
            within = recorder.within(tx)
            await PydanticRepository(Country, within).create(Country(code="nl", name="x"))
            assert await Query(Country).count(pool) == 1
            raise ZeroDivisionError
    assert len(recorder.sent) == 1
    assert await Query(Country).count(pool) == 0
