"""The check after each fault finds what faults leave behind."""

from __future__ import annotations

import asyncio

import pytest

from faults.engines import SECRET, Engine
from faults.ledger import TABLE, enter, store
from faults.ok_set import canceled, check_ours, ok_set, ours
from ff_storage.core.errors import ConnectionLost, QueryError, SerializationFailure


async def test_a_sound_pool_passes(engine: Engine) -> None:
    async with engine.pool() as pool:
        await store(pool)
        await ok_set(engine, pool)


async def test_half_a_unit_is_found(engine: Engine) -> None:
    async with engine.pool() as pool:
        await enter(pool, 7, 1)
        with pytest.raises(AssertionError, match=r"\[7\]"):
            await ok_set(engine, pool)


async def test_a_connection_in_use_is_found(engine: Engine) -> None:
    async with engine.pool() as pool:
        async with pool.acquire():
            with pytest.raises(AssertionError):
                await ok_set(engine, pool)
        await ok_set(engine, pool)


async def test_an_open_transaction_is_found(engine: Engine) -> None:
    """Of another pool even, as the server is asked."""
    async with engine.pool(**engine.impatient) as pool, engine.pool() as other:
        await store(pool)
        async with other.transaction():
            await enter(other, 1, 1)
            with pytest.raises((AssertionError, SerializationFailure)):
                await ok_set(engine, pool, deadline=2.0)


async def test_a_unit_that_is_not_stored_is_no_harm(engine: Engine) -> None:
    async with engine.pool() as pool:
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction():
                await enter(pool, 1, 1)
                raise ZeroDivisionError
        await ok_set(engine, pool)
        assert 1 not in engine.stored()


async def test_errors_of_ours_lead_to_the_drivers(engine: Engine) -> None:
    async with engine.pool() as pool:
        with ours(QueryError):
            await pool.fetch_val(f"SELECT no_such_column FROM {TABLE}")
        await ok_set(engine, pool)


def test_an_error_without_the_drivers_and_one_with_a_secret_are_found() -> None:
    with pytest.raises(AssertionError, match="chained"):
        check_ours(ConnectionLost("it broke"))
    with pytest.raises(AssertionError):
        check_ours(ConnectionResetError("it broke"))
    told = ConnectionLost("it broke", found=SECRET)
    with pytest.raises(AssertionError):
        check_ours(told, driver=False)


async def test_a_swallowed_cancellation_is_found() -> None:
    async def swallow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return

    task = asyncio.create_task(swallow())
    await asyncio.sleep(0)
    with pytest.raises((AssertionError, asyncio.CancelledError)):
        await canceled(task)
