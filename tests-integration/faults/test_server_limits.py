"""What a server refuses: more connections, idle sessions, old passwords, writes to a standby."""

from __future__ import annotations

import asyncio
import contextlib
import time

import servers
from faults.engines import SECRET, USER, Postgres, ServerEngine
from faults.ledger import enter, store, workers
from faults.ok_set import DEADLINE, eventually, lost_once_at_most, ok_set, ours, until
from ff_storage.core.errors import (
    AuthenticationFailed,
    ConnectionFailure,
    ConnectionLost,
    DatabaseReadOnly,
    PoolTimeout,
    TooManyConnections,
)

# --- F15 -------------------------------------------------------------------------------------------------------------


FEW = {"max_connections": "5", "superuser_reserved_connections": "2", "max_wal_senders": "0"}
"""Three connections for ordinary users."""


async def test_f15_a_server_without_connections_is_told_and_those_that_are_open_serve(own_server: ServerEngine) -> None:
    own_server.cluster.settings |= {
        "max_connections": "5",
        "superuser_reserved_connections": "2",
        "max_wal_senders": "0",
    }
    own_server.cluster.restart()
    async with own_server.pool(max_size=3) as other, own_server.pool(max_size=2) as pool:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(3):
                await held.enter_async_context(other.acquire())
            with ours(TooManyConnections):  # at once, when a pool is opened
                await own_server.pool(min_size=1).connect()
            with ours(TooManyConnections, PoolTimeout, match="connection left"):
                async with pool.acquire(timeout=0.5):
                    pass
        await store(other)
        await other.disconnect()
        # None, or the one that the pool was still asking for when its caller gave up.
        await eventually(lambda: own_server.state().sessions == pool.get_open_connections())
        await ok_set(own_server, pool)


async def test_f15_a_pool_that_gets_fewer_connections_than_it_may_goes_on_with_them(own_server: ServerEngine) -> None:
    own_server.cluster.settings |= {
        "max_connections": "5",
        "superuser_reserved_connections": "2",
        "max_wal_senders": "0",
    }
    own_server.cluster.restart()
    async with own_server.pool(max_size=8, acquire_timeout=DEADLINE) as pool:
        async with workers(pool, 12) as log:
            await until(lambda: len(log.acknowledged) > 200)
        assert log.errors == []
        assert 1 <= pool.stats().size <= 8
        await ok_set(own_server, pool)


# --- F16 -------------------------------------------------------------------------------------------------------------


async def test_f16_connections_that_the_server_ended_for_being_idle_are_not_served(server_engine: ServerEngine) -> None:
    server_engine.ask(f"ALTER DATABASE {server_engine.database} SET idle_session_timeout = '300ms'")
    async with server_engine.pool(max_size=3) as pool:
        for blocked in (False, True):
            async with contextlib.AsyncExitStack() as held:
                for _ in range(3):
                    await held.enter_async_context(pool.acquire())
            if blocked:
                time.sleep(1)  # noqa: ASYNC251 - the loop is to miss the server's good-bye
            else:
                await eventually(lambda: server_engine.state().sessions == 0)
            await lost_once_at_most(lambda: store(pool))
        await ok_set(server_engine, pool)


async def test_f16_a_pool_that_recycles_sooner_than_the_server_never_meets_it(server_engine: ServerEngine) -> None:
    server_engine.ask(f"ALTER DATABASE {server_engine.database} SET idle_session_timeout = '5s'")
    async with server_engine.pool(max_size=3, max_age=0.2) as pool:
        for _ in range(4):
            await asyncio.gather(*(store(pool) for _ in range(3)))
            await asyncio.sleep(0.25)
        stats = pool.stats()
        assert stats.opened > stats.max_size
        assert stats.discarded >= stats.opened - stats.max_size
        await ok_set(server_engine, pool)


# --- F17 -------------------------------------------------------------------------------------------------------------


async def test_f17_a_changed_password_stops_new_connections_only(own_server: ServerEngine) -> None:
    async with own_server.pool(max_size=2, acquire_timeout=DEADLINE) as pool:
        await store(pool)
        own_server.ask(f"ALTER ROLE {USER} PASSWORD 'another'")
        await store(pool)
        async with pool.acquire() as held:
            async with asyncio.timeout(10):  # it would not help to wait
                with ours(AuthenticationFailed):
                    await pool.fetch_val("SELECT 1")
            assert await held.fetch_val("SELECT 1") == 1
        await store(pool)
        own_server.ask(f"ALTER ROLE {USER} PASSWORD '{SECRET}'")
        async with pool.acquire():
            await store(pool)
        await ok_set(own_server, pool)


async def test_f17_a_dropped_database_is_named(own_server: ServerEngine) -> None:
    async with own_server.pool(max_size=2, acquire_timeout=2) as pool:
        await store(pool)
        own_server.kill_all()
        own_server.cluster.ask("ALTER DATABASE faults RENAME TO elsewhere")
        await pool.settle()
        for _ in range(2):
            async with asyncio.timeout(DEADLINE):
                with ours(ConnectionFailure, match="does not exist"):
                    await store(pool)
        own_server.cluster.ask("ALTER DATABASE elsewhere RENAME TO faults")
        await ok_set(own_server, pool)


async def test_f17_writes_to_a_server_that_became_read_only_say_so(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=1) as pool:
        await store(pool)
        server_engine.ask(f"ALTER DATABASE {server_engine.database} SET default_transaction_read_only = on")
        server_engine.kill_all()
        with ours(DatabaseReadOnly):
            while True:
                with contextlib.suppress(ConnectionLost):
                    await store(pool)
        assert await pool.fetch_val("SELECT 1") == 1
        server_engine.cluster.ask(f"ALTER DATABASE {server_engine.database} RESET default_transaction_read_only")
        server_engine.kill_all()
        await ok_set(server_engine, pool)


async def test_f17_a_standby_refuses_writes_and_takes_them_once_it_is_the_primary(own_server: ServerEngine) -> None:
    with servers.standby(own_server.cluster) as follower:
        engine = Postgres(follower, "faults")
        async with engine.pool(max_size=2) as pool:
            with ours(DatabaseReadOnly):
                await store(pool)
            with ours(DatabaseReadOnly):
                async with pool.transaction() as tx:
                    await enter(pool, 1, 1, tx)
            await asyncio.to_thread(own_server.cluster.stop_immediately)
            assert await asyncio.to_thread(follower.ask, "SELECT pg_promote()") == "t"
            await ok_set(engine, pool)
        assert own_server.cluster.pid != follower.pid
    own_server.cluster.start()
    assert own_server.cluster.wait()
