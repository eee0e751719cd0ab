"""A pool of PostgreSQL that is observed keeps the whole contract of one that is not."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from ff_storage.core.database import Pool, open_pool
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
