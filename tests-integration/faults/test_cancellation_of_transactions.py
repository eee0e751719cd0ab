"""F24–F27, F29: transactions whose task is canceled, once and again, at whatever await."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from faults.engines import Engine, ServerEngine
from faults.ledger import enter, new_unit, store
from faults.ok_set import canceled, eventually, ok_set, ours, until
from faults.proxy import DOWN, UP, FaultProxy
from ff_storage.core.database import IsolationLevel, Pool, Transaction
from ff_storage.core.errors import ConnectionLost, TransactionAborted
from ff_storage.core.testing.cancellation import cancel_at_each_await

Unit = Callable[[Pool, int], Awaitable[None]]


async def plain(pool: Pool, unit: int) -> None:
    async with pool.transaction():
        await enter(pool, unit, 1)
        await enter(pool, unit, 2)


async def isolated(pool: Pool, unit: int) -> None:
    async with pool.transaction(IsolationLevel.SERIALIZABLE):
        await enter(pool, unit, 1)
        await enter(pool, unit, 2)


async def within_a_savepoint(pool: Pool, unit: int) -> None:
    async with pool.transaction() as tx:
        await enter(pool, unit, 1)
        async with tx.savepoint():
            await enter(pool, unit, 2)


async def committed_twice(pool: Pool, unit: int) -> None:
    async with pool.transaction() as tx:
        await enter(pool, unit, 1)
        await enter(pool, unit, 2)
        await tx.commit()
        await enter(pool, new_unit(), 1)
        await tx.rollback()


async def on_a_connection(pool: Pool, unit: int) -> None:
    async with pool.acquire() as connection, connection.transaction() as tx:
        await enter(pool, unit, 1, tx)
        await enter(pool, unit, 2, tx)


async def rolled_back_by_hand(pool: Pool, unit: int) -> None:
    """What people write who do not trust the block; the cancellation must come through all the same."""
    async with pool.transaction() as tx:
        try:
            await enter(pool, unit, 1)
            async with tx.savepoint() as point:
                try:
                    await enter(pool, unit, 2)
                except BaseException:
                    await point.rollback()
                    raise
        except BaseException:
            await tx.rollback()
            raise


UNITS: dict[str, Unit] = {
    "F24-plain": plain,
    "F24-isolated": isolated,
    "F27-savepoint": within_a_savepoint,
    "F24-committed-twice": committed_twice,
    "F24-connection": on_a_connection,
    "F29-by-hand": rolled_back_by_hand,
}


@pytest.mark.parametrize("late", [False, True], ids=["at-the-await", "when-it-is-done"])
@pytest.mark.parametrize("name", UNITS)
async def test_f24_f27_f29_a_cancellation_at_any_await_leaves_all_or_nothing(
    engine: Engine, name: str, late: bool
) -> None:
    """From BEGIN to the return of the connection; it arrives as itself, whatever is done about it."""
    units: list[int] = []

    async def work(number: int) -> None:
        del number
        units.append(new_unit())
        await UNITS[name](pool, units[-1])

    async with engine.pool(max_size=1) as pool:
        await store(pool)
        async for _, finished in cancel_at_each_await(work, late=late, times=2):  # F26: and again if it goes on
            await pool.settle()
            assert pool.stats().used == 0
            assert await pool.fetch_val("SELECT 1") == 1
            assert not finished or units[-1] in engine.stored()
        assert len(units) > 4
        await ok_set(engine, pool)


async def test_f24_whoever_waits_gets_the_connection_of_the_canceled(engine: Engine) -> None:
    """One at a time through one connection: each next one meets it clean, and at the default isolation."""

    async def work(number: int) -> None:
        del number
        await isolated(pool, new_unit())

    async with engine.pool(max_size=1) as pool:
        async for _ in cancel_at_each_await(work):
            waiting = [asyncio.create_task(store(pool)) for _ in range(2)]
            await asyncio.gather(*waiting)
        await ok_set(engine, pool)


# --- during COMMIT ---------------------------------------------------------------------------------------------------


async def test_f25_a_cancellation_while_commit_is_on_its_way(server_engine: ServerEngine, proxy: FaultProxy) -> None:
    """It stays a cancellation, and the unit is stored or is not; documented so."""
    async with server_engine.pool(server_engine.by(proxy), max_size=1) as pool:
        await store(pool)
        unit = new_unit()
        task = asyncio.create_task(plain(pool, unit))

        def cancel() -> None:
            task.cancel()

        proxy.at(UP, b"COMMIT", cancel)
        await asyncio.wait({task})
        assert task.cancelled()
        await pool.settle()
        assert server_engine.stored().get(unit, 0) in (0, 2)
        await ok_set(server_engine, pool)


async def test_f25_a_cancellation_while_the_answer_to_commit_is_awaited(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    """The server has committed and its answer never comes: the connection is given up, in bounded time."""
    async with server_engine.pool(server_engine.by(proxy), max_size=1, reset_timeout=0.5) as pool:
        await store(pool)
        unit = new_unit()
        proxy.at(UP, b"COMMIT", lambda: proxy.swallowed.add(DOWN))
        task = asyncio.create_task(plain(pool, unit))
        await eventually(lambda: unit in server_engine.stored())
        await canceled(task)
        assert server_engine.stored()[unit] == 2
        before = pool.stats().discarded
        proxy.heal()
        await pool.settle()
        assert pool.stats().discarded == before + 1
        await ok_set(server_engine, pool)


# --- again, during the cleanup ---------------------------------------------------------------------------------------


async def test_f26_a_cleanup_that_cannot_end_is_cut_short(server_engine: ServerEngine, proxy: FaultProxy) -> None:
    """The link is half open, so neither the cancel request nor the rollback is answered."""
    async with server_engine.pool(server_engine.by(proxy), max_size=1, reset_timeout=0.3, connect_timeout=5) as pool:
        await store(pool)
        unit = new_unit()

        async def work() -> None:
            async with pool.transaction() as tx:
                await enter(pool, unit, 1)
                proxy.swallowed.add(DOWN)
                try:
                    await tx.fetch_val("SELECT 1")
                finally:
                    with contextlib.suppress(TransactionAborted):
                        await tx.fetch_val("SELECT 1")

        task = asyncio.create_task(work())
        await until(lambda: DOWN in proxy.swallowed)
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0)
        await canceled(task, deadline=2.0)  # nothing is awaited on the way out
        await pool.settle()
        assert pool.stats().size == 0
        proxy.heal()
        assert unit not in server_engine.stored()
        await ok_set(server_engine, pool)


@pytest.mark.parametrize("inner", [0.05, 60.0], ids=["inner-first", "outer-first"])
async def test_f26_nested_timeouts_end_as_themselves(engine: Engine, inner: float) -> None:
    async with engine.pool(max_size=1) as pool:
        await store(pool)
        unit = new_unit()
        outer_ended = inner_ended = False
        try:
            async with asyncio.timeout(0.15 if inner > 1 else 60):
                try:
                    async with asyncio.timeout(inner), pool.transaction() as tx:
                        await enter(pool, unit, 1)
                        await tx.fetch_val(engine.slow(60))
                except TimeoutError:
                    inner_ended = True
        except TimeoutError:
            outer_ended = True
        assert (inner_ended, outer_ended) == (inner < 1, inner > 1)
        await pool.settle()
        assert unit not in engine.stored()
        await ok_set(engine, pool)


async def test_f26_a_second_cancellation_reaches_no_task_of_the_pool(engine: Engine) -> None:
    """The pool cleans in tasks of its own: to cancel the caller again, and again, changes nothing."""
    async with engine.pool(max_size=1) as pool:
        await store(pool)

        async def work() -> None:
            async with pool.transaction() as tx:
                await enter(pool, new_unit(), 1)
                await tx.fetch_val(engine.slow(60))

        for _ in range(3):
            task = asyncio.create_task(work())
            await until(lambda: pool.stats().used == 1)
            await asyncio.sleep(0.02)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait({task})
            assert task.cancelled()
        await ok_set(engine, pool)


async def test_f26_a_request_to_cancel_that_overtakes_its_statement_is_repeated(server_engine: ServerEngine) -> None:
    """A server that has not read the statement yet has nothing to cancel, and would run it to its end."""
    sleep = "SELECT pg_sleep($1)"
    async with server_engine.pool(max_size=1) as pool:
        await pool.fetch_val(sleep, 0.0)  # prepared, so that the next is sent in one go
        await pool.settle()
        (session,) = server_engine.sessions()
        with server_engine.stalled(session):
            task = asyncio.create_task(pool.fetch_val(sleep, 600.0))
            await asyncio.sleep(0.1)
            await canceled(task)
            await asyncio.sleep(0.3)  # the request is there, and the statement waits behind it
        await ok_set(server_engine, pool)


# --- within a savepoint ----------------------------------------------------------------------------------------------


async def test_f27_a_cancellation_through_a_savepoint_dooms_the_transaction(engine: Engine) -> None:
    """One rule on every engine, also where somebody outside the savepoint stops the cancellation."""
    async with engine.pool(max_size=1) as pool:
        await store(pool)
        unit = new_unit()
        with ours(TransactionAborted, driver=False):
            async with pool.transaction() as tx:
                await enter(pool, unit, 1)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05), tx.savepoint():
                        await tx.fetch_val(engine.slow(60))
                with ours(TransactionAborted, driver=False):
                    await enter(pool, unit, 2)
        await pool.settle()
        assert unit not in engine.stored()
        await ok_set(engine, pool)


# --- a rollback that fails -------------------------------------------------------------------------------------------


async def test_f29_a_rollback_that_fails_does_not_mask_the_cancellation(server_engine: ServerEngine) -> None:
    async with server_engine.pool(max_size=1) as pool:
        await store(pool)
        unit = new_unit()

        async def work() -> None:
            async with pool.transaction() as tx:
                try:
                    await enter(pool, unit, 1)
                    begun.set()
                    await asyncio.sleep(60)
                except BaseException:
                    await tx.rollback()
                    raise

        begun = asyncio.Event()
        task = asyncio.create_task(work())
        await begun.wait()
        server_engine.kill_all()  # the loop has no turn to notice
        await canceled(task)
        await pool.settle()
        assert unit not in server_engine.stored()
        await ok_set(server_engine, pool)


async def test_f29_a_lost_connection_is_the_error_to_see(server_engine: ServerEngine) -> None:
    """The block's own rollback cannot succeed either, which is logged and not raised."""
    async with server_engine.pool(max_size=1) as pool:
        await store(pool)

        async def work(tx: Transaction) -> None:
            await enter(pool, new_unit(), 1, tx)
            (session,) = server_engine.sessions()
            server_engine.kill(session)
            await tx.fetch_val("SELECT 1")

        with ours(TransactionAborted) as caught:
            async with pool.transaction() as tx:
                await work(tx)
        assert isinstance(caught.value.__cause__, ConnectionLost)
        await ok_set(server_engine, pool)
