"""A pool of PostgreSQL that is observed keeps the whole contract of one that is not."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import QueryTimeout
from ff_storage.core.observe import ObservedStatement
from ff_storage.postgres.dialect import PostgresDialect
from ff_storage.testing import PoolConformance


class TestObservedPool(PoolConformance):
    capabilities = PostgresDialect.capabilities

    @pytest.fixture
    def database(self, empty_database: str) -> str:
        return empty_database

    def open(self, url: str, **options: Any) -> Pool:
        pool = open_pool(url, **{**self.options, **options})
        seen: deque[ObservedStatement] = deque(maxlen=100)
        pool.observe(seen.append)
        pool.observe(seen.append, parameters=True)
        return pool


async def test_a_statement_that_runs_too_long_is_told_from_one_that_was_canceled(empty_database: str) -> None:
    seen: list[ObservedStatement] = []
    async with open_pool(empty_database, query_timeout=0.05, max_size=1) as pool:
        pool.observe(seen.append)
        with pytest.raises(QueryTimeout):
            await pool.fetch_val("SELECT pg_sleep(60)")
        await pool.settle()
        task = asyncio.create_task(pool.fetch_val("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [type(each.error) for each in seen] == [QueryTimeout, asyncio.CancelledError]
