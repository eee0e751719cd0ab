"""The engines under attack. One more engine is one more branch of `target`."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from attacks import wire
from attacks.models import MODELS
from attacks.oracle import Target
from databases import SERVER_ENGINES, Databases
from ff_storage.core.database import open_pool
from ff_storage.testing import create_tables

ENGINES: Final = ("sqlite", SERVER_ENGINES[0])
"""Where input is refused before a server is asked, one of its versions is enough; other modules name them all."""


@pytest.fixture(params=ENGINES)
async def target(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    databases: Databases,
) -> AsyncIterator[Target]:
    """An engine with its tables; whatever the test does, it must leave it unharmed or say what it added."""
    sent: list[str] = []
    if request.param == "sqlite":
        _trace_sqlite(monkeypatch, sent)
        async with open_pool("sqlite://") as pool:
            await create_tables(pool, *MODELS)
            target = Target(pool, sent, caplog)
            await target.prepare()
            yield target
            await target.unharmed()
        return
    wire.trace(monkeypatch, sent)
    with databases.of(request.param, "attacks", MODELS) as database:
        async with open_pool(database.url) as pool:
            await database.prepare(pool)
            target = Target(pool, sent, caplog)
            await target.prepare()
            yield target
            await target.unharmed()


def _trace_sqlite(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    """Have SQLite itself report each statement, on every connection that is opened."""
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(sent.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
