"""The engines under attack. One more engine is one more branch of `target`."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest

from attacks.oracle import Target
from ff_storage.core.database import open_pool

ENGINES = ("sqlite",)


@pytest.fixture(params=ENGINES)
async def target(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Target]:
    """An engine with its tables; whatever the test does, it must leave it unharmed or say what it added."""
    sent: list[str] = []
    assert request.param == "sqlite"
    _trace_sqlite(monkeypatch, sent)
    async with open_pool("sqlite://") as pool:
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
