"""The engine whose statements are walked; one more engine is one more branch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from databases import SERVER_ENGINES, Databases
from ff_storage.core.database import Pool, open_pool
from ff_storage.core.testing.models import AUTHORS, Counter, Folder, Note, Product, Seat, Task, Ticket, Worker
from ff_storage.testing import create_tables
from scope.walk import Walk

MODELS = (*AUTHORS, Note, Seat, Ticket, Product, Counter, Folder, Worker, Task)


@pytest.fixture(params=["sqlite", SERVER_ENGINES[0]])  # the statements are the same on all versions of a server
async def pool(request: pytest.FixtureRequest, tmp_path: Path, databases: Databases) -> AsyncIterator[Pool]:
    """An open pool with all tables."""
    if request.param == "sqlite":
        async with open_pool(f"sqlite:///{tmp_path}/scope.db", synchronous="OFF") as pool:
            await create_tables(pool, *MODELS)
            yield pool
        return
    with databases.of(request.param, "scope", MODELS) as database:
        async with open_pool(database.url) as pool:
            await database.prepare(pool)
            yield pool


@pytest.fixture
def walk(pool: Pool) -> Walk:
    """The judge."""
    return Walk(pool.dialect.name, MODELS)
