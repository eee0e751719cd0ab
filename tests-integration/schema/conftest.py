"""A pool on a database in memory, and one on a file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ff_storage.core.database import Pool, open_pool


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with open_pool("sqlite://") as opened:
        yield opened


@pytest.fixture
async def file_pool(tmp_path: Path) -> AsyncIterator[Pool]:
    async with open_pool(f"sqlite:///{tmp_path / 'data.db'}") as opened:
        yield opened
