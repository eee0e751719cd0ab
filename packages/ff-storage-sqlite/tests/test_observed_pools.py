"""A pool that is observed keeps the whole contract of one that is not: cancellation, transactions, streams."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.database import Pool, open_pool
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
