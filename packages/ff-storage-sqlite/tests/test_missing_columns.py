"""A column that the table lacks is an error, although SQLite would take its quoted name for a text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ff_storage.core.errors import QueryError
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import F, Query, func
from ff_storage.sqlite import SQLitePool


class Lamp(PydanticModel):
    __table_name__ = "lamps"
    __multi_tenant__ = False
    __soft_delete__ = False

    name: str
    color: str


@pytest.mark.parametrize(
    "ask",
    [
        lambda pool: Query(Lamp).execute(pool),
        lambda pool: Query(Lamp).select(F.color).execute(pool),
        lambda pool: Query(Lamp).filter(F.color == "color").count(pool),
        lambda pool: Query(Lamp).select(F.name).order_by(F.color).execute(pool),
        lambda pool: Query(Lamp).select(func.max(F.color)).execute(pool),
    ],
)
async def test_a_missing_column_is_an_error(ask: Callable[[SQLitePool], Awaitable[Any]]) -> None:
    async with SQLitePool() as pool:
        await pool.execute(
            "CREATE TABLE lamps (id TEXT, created_at TEXT, updated_at TEXT, created_by TEXT,"
            " updated_by TEXT, name TEXT) STRICT"
        )
        await pool.execute("INSERT INTO lamps (name) VALUES ('desk')")
        with pytest.raises(QueryError, match="color"):
            await ask(pool)
