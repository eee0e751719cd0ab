"""Servers and links that say nothing, without an end."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time

from faults.engines import Engine, ServerEngine
from faults.ledger import TABLE, enter, store
from faults.ok_set import eventually, ok_set, ours, until
from faults.proxy import DOWN, UP, FaultProxy
from ff_storage.core.errors import ConnectionFailure, ConnectionLost, DatabaseError, PoolTimeout, QueryTimeout

PATIENCE = 10.0
"""Seconds within which a deadline of half a second must have shown, on a busy machine; nothing else would end it."""


class within:  # noqa: N801 - it reads as a statement
    """A block that must end in time."""

    def __init__(self, seconds: float = PATIENCE) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        self.end = time.monotonic() + self.seconds

    def __exit__(self, *_: object) -> None:
        assert time.monotonic() < self.end, f"it took longer than {self.seconds:g} s"


# --- F05 -------------------------------------------------------------------------------------------------------------


async def test_f05_a_statement_ends_by_its_deadline_when_its_session_is_stalled(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=2, query_timeout=0.5, reset_timeout=0.5) as pool:
        await store(pool)
        (session,) = server_engine.sessions()
        with server_engine.stalled(session):
            with within(), ours(QueryTimeout):
                await pool.fetch_val("SELECT 1")
            for _ in range(5):
                assert await pool.fetch_val(server_engine.own_session()) != session
        await ok_set(server_engine, pool)


async def test_f05_a_transaction_in_a_stalled_session_ends_by_its_deadline(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=2, query_timeout=0.5, reset_timeout=0.5) as pool:
        with within(), ours(QueryTimeout):
            async with pool.transaction() as tx:
                await enter(pool, 1, 1, tx)
                session = await tx.fetch_val(server_engine.own_session())
                with server_engine.stalled(session):
                    await enter(pool, 1, 2, tx)
        await ok_set(server_engine, pool)
        assert 1 not in server_engine.stored()


async def test_f05_a_slow_statement_is_stopped_at_its_deadline(engine: Engine) -> None:
    async with engine.pool(max_size=2, query_timeout=0.3) as pool:
        with within(), ours(QueryTimeout):
            await pool.fetch_val(engine.slow(60))
        await ok_set(engine, pool)


# --- F06 -------------------------------------------------------------------------------------------------------------


async def test_f06_connecting_to_a_silent_server_ends_by_its_deadline(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    proxy.silent = True
    pool = server_engine.pool(server_engine.by(proxy), min_size=1, connect_timeout=0.5)
    with within(), ours(ConnectionFailure):
        await pool.connect()
    await eventually(lambda: proxy.links == 0)
    proxy.heal()
    async with pool:
        await ok_set(server_engine, pool)


async def test_f06_connecting_to_a_stalled_server_ends_by_its_deadline(own_server: ServerEngine) -> None:
    pool = own_server.pool(min_size=1, connect_timeout=0.5)
    with own_server.stalled_server(), within(), ours(ConnectionFailure):
        await pool.connect()
    async with pool:
        await ok_set(own_server, pool)


async def test_f06_a_hung_connect_holds_up_nobody_else(server_engine: ServerEngine, proxy: FaultProxy) -> None:
    url = server_engine.by(proxy)
    async with server_engine.pool(url, max_size=2, connect_timeout=60, acquire_timeout=0.5) as pool:
        async with pool.acquire() as held:
            await held.fetch_val("SELECT 1")
            proxy.silent = True
            with within(), ours(PoolTimeout, driver=False):
                await pool.fetch_val("SELECT 1")
            queued = asyncio.create_task(pool.fetch_val("SELECT 2"))
            await until(lambda: pool.stats().waiting == 1)
        with within():  # the connection that came back serves, while the other still hangs
            assert await queued == 2
            assert [await pool.fetch_val("SELECT 3") for _ in range(20)] == [3] * 20
        proxy.heal()
        proxy.reset_all()
        await until(lambda: proxy.links == 0)
        await ok_set(server_engine, pool)


# --- F08 -------------------------------------------------------------------------------------------------------------


async def test_f08_a_half_open_link_ends_by_the_statements_deadline(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    """Bytes vanish on the way back, on the way there, or both, and no end is seen."""
    url = server_engine.by(proxy)
    async with server_engine.pool(url, max_size=2, query_timeout=0.5, reset_timeout=0.5, connect_timeout=5) as pool:
        for directions in ({DOWN}, {UP}, {UP, DOWN}):
            await store(pool)
            proxy.swallowed |= directions
            with within(), ours(QueryTimeout, ConnectionLost):
                await pool.fetch_val(f"SELECT count(*) FROM {TABLE}")
            proxy.heal()
            await ok_set(server_engine, pool)


async def test_f08_a_half_open_link_does_not_store_half(server_engine: ServerEngine, proxy: FaultProxy) -> None:
    url = server_engine.by(proxy)
    async with server_engine.pool(url, max_size=2, query_timeout=0.5, reset_timeout=0.5, connect_timeout=5) as pool:
        with within(), ours(DatabaseError):
            async with pool.transaction() as tx:
                await enter(pool, 1, 1, tx)
                proxy.swallowed.add(DOWN)
                await enter(pool, 1, 2, tx)
        proxy.heal()
        await ok_set(server_engine, pool)
        assert 1 not in server_engine.stored()


def told(port: int) -> list[dict[str, int]]:
    """What the system was told of each link of this process to a port, whoever opened it; no Linux, fewer words."""
    words = ("SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    found: list[dict[str, int]] = []
    for number in range(3, 256):
        if not is_link(number, port):
            continue
        with socket.socket(fileno=os.dup(number)) as link:
            found.append(
                {
                    word: link.getsockopt(
                        socket.SOL_SOCKET if word.startswith("SO") else socket.IPPROTO_TCP, getattr(socket, word)
                    )
                    for word in words
                    if hasattr(socket, word)
                }
            )
    return found


def is_link(number: int, port: int) -> bool:
    """Whether an open file of this process is a TCP link to a port."""
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        with socket.socket(fileno=os.dup(number)) as link:
            return link.family == socket.AF_INET and link.getpeername()[1] == port
    except OSError:  # not open, or listening
        return False


async def test_f08_a_link_at_rest_is_asked_for_a_sign_of_life_as_configured(server_engine: ServerEngine) -> None:
    """What the system is told; to see what it then does, packets would have to get lost."""
    expected = {
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 9,
        "TCP_KEEPINTVL": 3,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 18_000,
    }
    async with server_engine.pool(keepalive=9) as pool:
        await store(pool)
        (found,) = told(server_engine.port)
        assert found == {word: value for word, value in expected.items() if word in found}
    with server_engine.sync(keepalive=9.0):
        (found,) = told(server_engine.port)
        assert found == {word: value for word, value in expected.items() if word in found}
    async with server_engine.pool(keepalive=None) as pool:
        await store(pool)
        assert [found["SO_KEEPALIVE"] for found in told(server_engine.port)] == [0]
    with server_engine.sync(keepalive=None):
        assert [found["SO_KEEPALIVE"] for found in told(server_engine.port)] == [0]
