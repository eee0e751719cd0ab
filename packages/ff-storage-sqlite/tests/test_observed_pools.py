"""A pool that is observed keeps the whole contract of one that is not: cancellation, transactions, streams."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import QueryTimeout
from ff_storage.core.observe import ObservedStatement
from ff_storage.sqlite.dialect import SQLiteDialect
from ff_storage.testing import PoolConformance


class Observed:
    capabilities = SQLiteDialect.capabilities

    def open(self, url: str, **options: Any) -> Pool:
        pool = open_pool(url, **options)
        seen: deque[ObservedStatement] = deque(maxlen=100)
        pool.observe(seen.append)
        pool.observe(seen.append, parameters=True)
        return pool


class TestObservedPoolInFile(Observed, PoolConformance):
    @pytest.fixture
    def database(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/kit.db"


class TestObservedPoolInMemory(Observed, PoolConformance):
    max_connections = 1

    @pytest.fixture
    def database(self) -> str:
        return "sqlite://"


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"


async def test_a_statement_that_runs_too_long_is_told_from_one_that_was_canceled() -> None:
    seen: list[ObservedStatement] = []
    async with open_pool("sqlite://", query_timeout=0.05) as pool:
        pool.observe(seen.append)
        with pytest.raises(QueryTimeout):
            await pool.fetch_val(ENDLESS)
        await pool.settle()
        task = asyncio.create_task(pool.fetch_val(ENDLESS))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [type(each.error) for each in seen] == [QueryTimeout, asyncio.CancelledError]
