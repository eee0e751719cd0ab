"""The rows that synchronous databases are held to, with their work in threads so that the proxy runs beside it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from faults.engines import Engine, ServerEngine
from faults.ledger import TABLE, WHOLE, new_unit
from faults.ok_set import DEADLINE, check_ours, eventually, ours, outcome
from faults.proxy import DOWN, FaultProxy
from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import (
    AuthenticationFailed,
    CommitOutcomeUnknown,
    ConnectionFailure,
    ConnectionLost,
    DatabaseError,
    PoolTimeout,
    QueryTimeout,
    StorageError,
)


def insert(database: SQL, unit: int, half: int) -> None:
    database.execute_many(
        f"INSERT INTO {TABLE} (unit, half) VALUES ({mark(database)}, {mark(database)})", [(unit, half)]
    )


def mark(database: SQL) -> str:
    return "?" if database.dialect.name == "sqlite" else "%s"


def store(database: SQL, unit: int | None = None) -> int:
    unit = new_unit() if unit is None else unit
    with database.transaction():
        insert(database, unit, 1)
        insert(database, unit, 2)
    return unit


def one(database: SQL, sql: str) -> Any:
    (row,) = database.read_query(sql)
    (value,) = row.values()
    return value


def aside(function: Callable[..., Any], *arguments: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(asyncio.to_thread(function, *arguments))


async def sync_ok_set(engine: Engine, database: SQL, size: int = 1) -> None:
    """The head of the matrix, for a synchronous database that nobody uses."""
    async with asyncio.timeout(DEADLINE):
        unit = await asyncio.to_thread(store, database)
        assert await asyncio.to_thread(one, database, f"SELECT count(*) AS n FROM {TABLE} WHERE unit = {unit}") == WHOLE

    def is_at_rest() -> bool:
        state = engine.state()
        return state.sessions <= size and state.in_transaction == state.locks == 0

    await eventually(is_at_rest)
    stored = engine.stored()
    assert unit in stored
    assert {*stored.values()} == {WHOLE}


async def test_f01_sync_connections_killed_while_idle_are_not_served(server_engine: ServerEngine) -> None:
    with server_engine.sync() as database:
        for use in (lambda: one(database, "SELECT 1 AS n"), lambda: store(database)):
            await asyncio.to_thread(store, database)
            server_engine.kill_all()
            lost: list[ConnectionLost] = []
            for _ in range(3):
                try:
                    await asyncio.to_thread(use)
                except ConnectionLost as error:
                    lost.append(error)
            assert len(lost) <= 1
            for failure in lost:
                check_ours(failure)
        await sync_ok_set(server_engine, database)


async def test_f02_a_sync_connection_killed_under_a_query_is_lost_and_replaced(server_engine: ServerEngine) -> None:
    with server_engine.sync() as database:
        await asyncio.to_thread(store, database)
        task = aside(one, database, server_engine.slow(60))
        await eventually(lambda: len(server_engine.busy()) == 1)
        server_engine.kill_all()
        error = await outcome(task)
        assert isinstance(error, ConnectionLost)
        assert error.sent
        check_ours(error)
        await sync_ok_set(server_engine, database)


async def test_f02_a_sync_transaction_ends_with_its_connection(server_engine: ServerEngine) -> None:
    def work(database: SQL) -> None:
        with database.transaction():
            insert(database, 1, 1)
            server_engine.kill_all()
            insert(database, 1, 2)

    with server_engine.sync() as database:
        with ours(ConnectionLost):
            await asyncio.to_thread(work, database)
        await sync_ok_set(server_engine, database)
        assert 1 not in server_engine.stored()


async def test_f04_sync_threads_ride_through_a_server_that_is_down(own_server: ServerEngine) -> None:
    acknowledged: list[int] = []
    errors: list[StorageError] = []
    stop = threading.Event()

    def work(database: SQL) -> None:
        while not stop.is_set():
            try:
                acknowledged.append(store(database))
            except StorageError as error:
                errors.append(error)
                stop.wait(0.02)

    with own_server.sync(pool_size=3) as database:
        tasks = [aside(work, database) for _ in range(5)]
        try:
            await eventually(lambda: len(acknowledged) > 10)
            await asyncio.to_thread(own_server.cluster.stop_immediately)
            await eventually(lambda: len(errors) > 0)
            own_server.cluster.start()
            assert await asyncio.to_thread(own_server.cluster.wait)
            before = len(acknowledged)
            await eventually(lambda: len(acknowledged) > before + 30)
        finally:
            stop.set()
            await asyncio.gather(*tasks)
        for error in errors:
            check_ours(error)
            assert isinstance(error, ConnectionLost | ConnectionFailure | CommitOutcomeUnknown | PoolTimeout)
        await sync_ok_set(own_server, database, 3)
        assert {*acknowledged} <= own_server.stored().keys()


async def test_f05_a_slow_sync_statement_is_stopped_at_its_deadline(server_engine: ServerEngine) -> None:
    with server_engine.sync(query_timeout=0.3) as database:
        async with asyncio.timeout(DEADLINE):
            with ours(QueryTimeout):
                await asyncio.to_thread(one, database, server_engine.slow(60))
        await sync_ok_set(server_engine, database)


async def test_f06_connecting_in_sync_to_a_silent_server_ends_by_its_deadline(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    proxy.silent = True
    database = server_engine.sync(server_engine.by(proxy), connect_timeout=1)
    async with asyncio.timeout(DEADLINE):
        with ours(ConnectionFailure):
            await asyncio.to_thread(database.connect)
    proxy.heal()
    await asyncio.to_thread(database.connect)
    await sync_ok_set(server_engine, database)
    database.close_connection()


async def test_f07_a_sync_result_that_is_cut_off_is_an_error(server_engine: ServerEngine, proxy: FaultProxy) -> None:
    rows = "SELECT n, repeat('x', 100) AS filling FROM generate_series(1, 5000) AS n"
    database = server_engine.sync(server_engine.by(proxy))
    await asyncio.to_thread(database.connect)
    await asyncio.to_thread(store, database)
    for after in (1, 1_000, 200_000):
        proxy.cut_after(DOWN, after)
        with ours(ConnectionLost):
            await asyncio.to_thread(database.read_query, rows)
        await sync_ok_set(server_engine, database)
    await asyncio.to_thread(database.close_connection)


async def test_f10_connecting_in_sync_fails_fast_while_the_server_is_down(
    server_engine: ServerEngine, proxy: FaultProxy
) -> None:
    proxy.refuse()
    database = server_engine.sync(server_engine.by(proxy), connect_timeout=60)
    async with asyncio.timeout(10):
        with ours(ConnectionFailure):
            await asyncio.to_thread(database.connect)
    await proxy.accept()
    await asyncio.to_thread(database.connect)
    await sync_ok_set(server_engine, database)
    database.close_connection()


async def test_f11_f13_a_sync_thread_that_waits_is_told_or_served(engine: Engine) -> None:
    free = threading.Event()

    def hold(database: SQL, taken: threading.Barrier) -> None:
        with contextlib.suppress(ZeroDivisionError), database.transaction(readonly=True):
            taken.wait(DEADLINE)
            free.wait(DEADLINE)
            raise ZeroDivisionError

    with engine.sync(pool_size=2, acquire_timeout=1) as database:
        taken = threading.Barrier(3)
        holders = [aside(hold, database, taken) for _ in range(2)]
        try:
            await asyncio.to_thread(taken.wait, DEADLINE)
            with ours(PoolTimeout, driver=False, match="2"):
                await asyncio.to_thread(store, database)
            waiting = aside(store, database)
            await asyncio.sleep(0.05)
        finally:
            free.set()
            await asyncio.gather(*holders)
        assert isinstance(await outcome(waiting), int)
        await sync_ok_set(engine, database, 2)


async def test_f17_a_password_changed_for_sync_stops_new_connections_only(own_server: ServerEngine) -> None:
    with own_server.sync() as database:
        own_server.ask("ALTER ROLE app PASSWORD 'another'")
        await asyncio.to_thread(store, database)
        own_server.kill_all()
        with ours(AuthenticationFailed):
            while True:
                with contextlib.suppress(ConnectionLost):
                    await asyncio.to_thread(store, database)


async def test_f18_nothing_that_raw_sql_sets_in_sync_reaches_the_next_caller(server_engine: ServerEngine) -> None:
    def use(database: SQL) -> None:
        for name, (statements, probe) in server_engine.leaks().items():
            if name in ("open transaction", "cursor"):  # begun by begin_transaction() alone; ends with its transaction
                continue
            before = one(database, probe)
            with contextlib.suppress(ZeroDivisionError), database.transaction():
                for statement in statements:
                    database.execute(statement)
                raise ZeroDivisionError
            assert one(database, probe) == before, f"{name} leaks from a transaction"
            for statement in statements:
                with contextlib.suppress(DatabaseError):
                    database.execute(statement)
            assert one(database, probe) == before, f"{name} leaks from a statement"

    # A database of one connection is that session: there, what is set stays, as in psql.
    with server_engine.sync(pool_size=2) as database:
        await asyncio.to_thread(use, database)
        await sync_ok_set(server_engine, database, 2)
