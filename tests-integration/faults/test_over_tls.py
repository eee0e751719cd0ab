"""The faults of links once more over TLS, where asyncio puts another layer between the driver and the socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import servers
from faults.engines import USER, Postgres
from faults.ledger import Log, enter, store, workers
from faults.ok_set import DEADLINE, check_ours, ok_set, ours, until
from faults.proxy import DOWN, UP, FaultProxy
from ff_storage.core.database import Pool
from ff_storage.core.errors import ConnectionFailure, ConnectionLost, QueryTimeout, TransactionAborted

ROWS = "SELECT n, repeat('x', 100) AS filling FROM generate_series(1, 5000) AS n"


class OverTLS(Postgres):
    """A server that takes the library's user by TLS alone; the library verifies it."""

    root: Path

    def pool(self, url: str | None = None, **options: Any) -> Pool:
        return super().pool(url, **{"sslrootcert": self.root, "sslmode": "verify-full", **options})


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[servers.Cluster, Path]]:
    """A cluster that offers TLS, and the certificate of its authority."""
    if "system" not in servers.postgres_binaries():
        servers.unavailable("postgres", "only a build without TLS")
    authority = servers.Authority()
    with servers.cluster("system", access=servers.PASSWORDS_OVER_TLS, authority=authority) as cluster:
        OverTLS.admit(cluster)
        yield cluster, authority.root(tmp_path_factory.mktemp("tls") / "root.crt")


@pytest.fixture
def engine(secure: tuple[servers.Cluster, Path]) -> Iterator[OverTLS]:
    cluster, root = secure
    with cluster.server.database(owner=USER) as database:
        engine = OverTLS(cluster, database.url.rpartition("/")[2])
        engine.root = root
        engine.prepare()
        yield engine


@pytest.fixture
async def proxy(engine: OverTLS) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", engine.port) as proxy:
        yield proxy


async def test_f02_a_session_killed_under_a_query(engine: OverTLS) -> None:
    async with engine.pool(max_size=2) as pool:
        assert await pool.fetch_val("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
        with ours(ConnectionLost, TransactionAborted):  # sent, or known before to be gone
            async with pool.transaction() as tx:
                await enter(pool, 1, 1, tx)
                engine.kill_all()
                await enter(pool, 1, 2, tx)
        await ok_set(engine, pool)
        assert 1 not in engine.stored()


@pytest.mark.parametrize("after", [1, 1_000, 200_000])
async def test_f07_a_result_that_is_cut_off(engine: OverTLS, proxy: FaultProxy, after: int) -> None:
    async with engine.pool(engine.by(proxy), max_size=1) as pool:
        await store(pool)
        proxy.cut_after(DOWN, after)
        with ours(ConnectionLost):
            await pool.fetch_all(ROWS)
        await ok_set(engine, pool)


@pytest.mark.parametrize("after", [0, 1, 300, 1_000])
async def test_f07_a_link_that_is_cut_while_tls_is_agreed_on(engine: OverTLS, proxy: FaultProxy, after: int) -> None:
    pool = engine.pool(engine.by(proxy), min_size=1)
    proxy.cut_after(DOWN, after)
    with ours(ConnectionFailure):
        await pool.connect()
    async with pool:
        await ok_set(engine, pool)


async def test_f06_a_server_that_is_silent_while_tls_is_agreed_on(engine: OverTLS, proxy: FaultProxy) -> None:
    pool = engine.pool(engine.by(proxy), min_size=1, connect_timeout=0.5)
    for directions in ({DOWN}, {UP}):
        proxy.swallowed |= directions
        async with asyncio.timeout(DEADLINE):
            with ours(ConnectionFailure):
                await pool.connect()
        proxy.heal()
    async with pool:
        await ok_set(engine, pool)


async def test_f08_a_half_open_link(engine: OverTLS, proxy: FaultProxy) -> None:
    options: dict[str, Any] = {"query_timeout": 0.5, "reset_timeout": 0.5, "connect_timeout": 5}
    async with engine.pool(engine.by(proxy), max_size=2, **options) as pool:
        for directions in ({DOWN}, {UP}, {UP, DOWN}):
            with ours(QueryTimeout, ConnectionLost):
                async with asyncio.timeout(DEADLINE), pool.transaction() as tx:
                    await enter(pool, 1, 1, tx)
                    proxy.swallowed |= directions
                    await enter(pool, 1, 2, tx)
            proxy.heal()
            await ok_set(engine, pool)
            assert 1 not in engine.stored()


async def test_f09_slices_of_one_byte(engine: OverTLS, proxy: FaultProxy) -> None:
    few = ROWS.replace("5000", "100")
    async with engine.pool(engine.by(proxy), max_size=2) as pool:
        expected = await pool.fetch_all(few)
        proxy.slice, proxy.latency = 1, 0.005
        assert await pool.fetch_all(few) == expected
        await ok_set(engine, pool)


async def progress(log: Log, units: int) -> None:
    """Wait until so many more units are stored."""
    goal = len(log.acknowledged) + units
    await until(lambda: len(log.acknowledged) > goal)


async def test_f07_links_that_break_at_any_time_under_load(engine: OverTLS, proxy: FaultProxy) -> None:
    async with engine.pool(engine.by(proxy), max_size=3) as pool:
        async with workers(pool, 6) as log:
            for number in range(20):
                await progress(log, number)
                proxy.reset_all()
        for error in log.errors:
            check_ours(error)
        await ok_set(engine, pool)
        assert {*log.acknowledged} <= engine.stored().keys()
