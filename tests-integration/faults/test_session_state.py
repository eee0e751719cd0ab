"""What a caller leaves in a session, the next one does not find."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from faults.engines import Engine, ServerEngine
from faults.ledger import TABLE, store
from faults.ok_set import canceled, ok_set
from faults.proxy import UP, FaultProxy
from ff_storage.core.database import IsolationLevel
from ff_storage.core.errors import InvalidValueError, StorageError


async def test_f18_nothing_that_raw_sql_sets_reaches_the_next_caller(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=1) as pool:
        for name, (statements, probe) in server_engine.leaks().items():
            async with pool.acquire() as connection:
                before = await connection.fetch_val(probe)
            for broken_off in (False, True):
                with contextlib.suppress(ZeroDivisionError):
                    async with pool.acquire() as connection:
                        for statement in statements:
                            await connection.execute(statement)
                        assert await connection.fetch_val(probe) != before, f"{name} changes nothing to leak"
                        if broken_off:
                            raise ZeroDivisionError
                assert await pool.fetch_val(probe) == before, f"{name} leaks"
        await ok_set(server_engine, pool)


async def test_f18_nothing_that_a_single_statement_sets_reaches_the_next_caller(server_engine: ServerEngine) -> None:
    """Without a block: each statement by itself may get another connection, or the same."""
    async with server_engine.pool(max_size=1) as pool:
        for name, (statements, probe) in server_engine.leaks().items():
            if name == "open transaction":
                continue
            before = await pool.fetch_val(probe)
            for statement in statements:
                with contextlib.suppress(StorageError):
                    await pool.execute(statement)
            assert await pool.fetch_val(probe) == before, f"{name} leaks"
        await ok_set(server_engine, pool)


async def test_f18_nothing_that_a_transaction_sets_reaches_the_next_caller(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=1) as pool:
        for name, (statements, probe) in server_engine.leaks().items():
            if name == "open transaction":
                continue
            async with pool.acquire() as connection:
                before = await connection.fetch_val(probe)
            async with pool.transaction() as tx:
                for statement in statements:
                    await tx.execute(statement)
            assert await pool.fetch_val(probe) == before, f"{name} leaks"
        await ok_set(server_engine, pool)


async def test_f18_a_refused_argument_leaves_no_lock_on_a_connection_at_rest(engine: Engine) -> None:
    """By then asyncpg has prepared the statement, which takes locks until something else is sent."""
    async with engine.pool(max_size=1) as pool:
        one, two = pool.dialect.placeholder(1), pool.dialect.placeholder(2)
        insert = f"INSERT INTO {TABLE} (unit, half) VALUES ({one}, {two})"
        select = f"SELECT half FROM {TABLE} WHERE unit = {one}"
        for refused in (
            lambda: pool.execute(insert, 1, object()),
            lambda: pool.execute(insert, 1, 2**80),
            lambda: pool.fetch_all(select, object()),
            lambda: pool.fetch_val(select, 2**80),
            lambda: pool.fetch(select, (object(),)),
            lambda: pool.execute_many(insert, [(1, object())]),
        ):
            with pytest.raises(InvalidValueError):
                await refused()
            await pool.settle()
            assert engine.state().locks == engine.state().in_transaction == 0
        await ok_set(engine, pool)


async def test_f18_a_statement_too_long_to_be_kept_leaves_no_lock_on_a_connection_at_rest(engine: Engine) -> None:
    async with engine.pool(max_size=1) as pool:
        await store(pool)
        long = f"SELECT unit FROM {TABLE} /* {'x' * 20_000} */"
        assert len(await pool.fetch_all(long)) == 2
        assert await pool.fetch_one(long) is not None
        assert engine.state().locks == engine.state().in_transaction == 0
        await ok_set(engine, pool)


async def test_f18_a_begin_that_was_canceled_leaves_no_transaction(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    """The server has begun it when the cancellation arrives, and says so only after the pool began to clean."""
    async with server_engine.pool(server_engine.by(proxy), max_size=1) as pool:
        await store(pool)
        for latency in (0.0, 0.005, 0.05):
            proxy.latency = latency
            sent = asyncio.Event()
            proxy.at(UP, b"BEGIN", sent.set)

            async def begin() -> None:
                async with pool.transaction(IsolationLevel.SERIALIZABLE, readonly=True):
                    await asyncio.sleep(60)

            task = asyncio.create_task(begin())
            await sent.wait()
            await canceled(task)
            await pool.settle()
            state = server_engine.state()
            assert state.locks == state.in_transaction == 0
            await ok_set(server_engine, pool)
