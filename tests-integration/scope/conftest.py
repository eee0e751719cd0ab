"""The engine whose statements are walked; one more engine is one more branch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.testing.models import AUTHORS, Counter, Folder, Note, Product, Seat, Task, Ticket, Worker
from ff_storage.testing import create_tables
from scope.walk import Walk

MODELS = (*AUTHORS, Note, Seat, Ticket, Product, Counter, Folder, Worker, Task)


@pytest.fixture(params=["sqlite"])
async def pool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pool]:
    """An open pool with all tables."""
    assert request.param == "sqlite"
    async with open_pool(f"sqlite:///{tmp_path}/scope.db", synchronous="OFF") as pool:
        await create_tables(pool, *MODELS)
        yield pool


@pytest.fixture
def walk(pool: Pool) -> Walk:
    """The judge."""
    return Walk(pool.dialect.name, MODELS)
