"""PgBouncer in transaction mode: six clients on two sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import servers
from faults.engines import Postgres, ServerEngine
from faults.ledger import TABLE, store
from faults.ok_set import check_ours, ok_set
from ff_storage.core.database import IsolationLevel, Pool
from ff_storage.core.errors import StorageError

CLIENTS = 6
SESSIONS = 2


class Bouncer(Postgres):
    """The database of another engine, by way of PgBouncer."""

    def __init__(self, engine: Postgres, bouncer: servers.PgBouncer) -> None:
        super().__init__(engine.cluster, engine.database)
        self._bouncer = bouncer

    @property
    def url(self) -> str:
        return self._bouncer.url(self.database)

    def _sessions(self) -> str:
        return f"pg_stat_activity WHERE datname = '{self.database}' AND pid <> pg_backend_pid()"


@pytest.fixture
def bouncer(server_engine: ServerEngine) -> Iterator[Bouncer]:
    assert isinstance(server_engine, Postgres)
    with servers.pgbouncer(server_engine.cluster, SESSIONS) as started:
        yield Bouncer(server_engine, started)


async def work(pool: Pool, number: int) -> None:
    """What a service does: reads and writes with parameters, transactions, bulks, streams."""
    one, two = pool.dialect.placeholder(1), pool.dialect.placeholder(2)
    for turn in range(10):
        assert await pool.fetch_val(f"SELECT CAST({one} AS integer) + {turn}", number) == number + turn
        unit = await store(pool)
        assert await pool.fetch_all(f"SELECT half FROM {TABLE} WHERE unit = {one} ORDER BY half", unit) == [
            {"half": 1},
            {"half": 2},
        ]
        async with pool.transaction(IsolationLevel.SERIALIZABLE, readonly=True) as tx:
            assert await tx.fetch_val("SHOW transaction_isolation") == "serializable"
            async with tx.stream(f"SELECT unit FROM {TABLE} WHERE unit = {one}", unit, batch=1) as rows:
                assert [row["unit"] async for row in rows] == [unit, unit]
        extra = 10_000 + number * 100 + turn
        await pool.execute_many(
            f"INSERT INTO {TABLE} (unit, half) VALUES ({one}, {two})", [(extra, half) for half in (1, 2)]
        )


async def test_f23_with_the_switch_on_everything_works(bouncer: Bouncer) -> None:
    async with bouncer.pool(max_size=CLIENTS, pgbouncer=True) as pool:
        await asyncio.gather(*(work(pool, number) for number in range(CLIENTS)))
        assert await pool.fetch_val("SHOW transaction_isolation") == "read committed"
        assert len(bouncer.sessions()) <= SESSIONS
        await ok_set(bouncer, pool)


async def test_f23_with_the_switch_on_canceled_and_failed_work_leaves_nothing(bouncer: Bouncer) -> None:
    async with bouncer.pool(max_size=CLIENTS, pgbouncer=True, query_timeout=5) as pool:
        for _ in range(5):
            tasks = [asyncio.create_task(work(pool, number)) for number in range(CLIENTS)]
            # Not too slow: PgBouncer drops the wish to cancel a statement that waits for a session yet, and runs it.
            slow = [asyncio.create_task(pool.fetch_val(bouncer.slow(2))) for _ in range(2)]
            await asyncio.sleep(0.05)
            for task in (*tasks[:3], *slow):
                task.cancel()
            await asyncio.gather(*tasks, *slow, return_exceptions=True)
            bouncer.ask(f"DELETE FROM {TABLE} WHERE unit >= 10000 AND unit < 11000")
        await ok_set(bouncer, pool)


async def test_f23_with_the_switch_off_the_error_names_it(bouncer: Bouncer) -> None:
    async with bouncer.pool(max_size=CLIENTS) as pool:
        results = await asyncio.gather(*(work(pool, number) for number in range(CLIENTS)), return_exceptions=True)
        hints = [error for error in results if isinstance(error, StorageError) and "pgbouncer=True" in str(error)]
        assert hints, f"nobody was told: {results}"
        for error in hints:
            check_ours(error)
