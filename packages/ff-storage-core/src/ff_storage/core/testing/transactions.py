"""Transactions: all or nothing, within the task that opened them, on every driver alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from ff_storage.core.database import IsolationLevel, Pool, Transaction
from ff_storage.core.errors import (
    ConcurrentUseError,
    DatabaseError,
    IdentifierError,
    InvalidValueError,
    SavepointAlreadyReleased,
    SavepointError,
    TransactionAborted,
    TransactionAlreadyStarted,
    TransactionClosed,
    TransactionError,
    TransactionNotShared,
    TransactionNotStarted,
    UniqueViolation,
)
from ff_storage.core.query import Query
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.cancellation import cancel_at_each_await
from ff_storage.core.testing.conformance import connections
from ff_storage.core.testing.models import Country
from ff_storage.core.testing.raw import TABLE, RawTests


class TransactionTests(RawTests):
    """Transactions: all or nothing, within the task that opened them."""

    @pytest_asyncio.fixture
    async def countries(self, pool: Pool) -> AsyncIterator[PydanticRepository[Country]]:
        """The repository of countries on the pool."""
        yield PydanticRepository(Country, pool)

    async def test_leaving_commits_and_an_error_rolls_back(self, pool: Pool) -> None:
        async with pool.transaction() as tx:
            await self.given_in(tx, "aa")
        with pytest.raises(ZeroDivisionError):
            async with Transaction(pool) as tx:
                await self.given_in(tx, "bb")
                assert await tx.fetch_val(f"SELECT COUNT(*) FROM {TABLE}") == 2
                raise ZeroDivisionError
        assert await self.codes(pool) == ["aa"]
        assert pool.stats().used == 0

    async def given_in(self, tx: Transaction, *codes: str) -> None:
        """Store countries within `tx`."""
        await bulk_insert(Country, [Country(code=code, name=code * 2) for code in codes], tx)

    async def test_calls_of_the_same_task_join(self, pool: Pool, countries: PydanticRepository[Country]) -> None:
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction():
                await countries.create(Country(code="aa", name="joined"))
                await pool.execute(self.insertion(pool), *self.row(pool, "bb"))
                await bulk_insert(Country, [{"code": "cc", "name": "cc"}], pool)
                assert await Query(Country).count(pool) == 3
                async with pool.stream(f"SELECT code FROM {TABLE}") as rows:
                    assert len([row async for row in rows]) == 3
                async with pool.acquire() as connection:
                    assert await connection.fetch_val(f"SELECT COUNT(*) FROM {TABLE}") == 3
                raise ZeroDivisionError
        assert await self.codes(pool) == []

    async def test_one_inside_another_is_a_savepoint(self, pool: Pool) -> None:
        async with pool.transaction() as outer:
            await self.given_in(outer, "aa")
            with pytest.raises(ZeroDivisionError):
                async with pool.transaction() as inner:
                    await self.given_in(inner, "bb")
                    raise ZeroDivisionError
            async with Transaction(outer) as inner:
                await self.given_in(inner, "cc")
            assert await Query(Country).count(pool) == 2
        assert await self.codes(pool) == ["aa", "cc"]

    async def test_one_inside_another_on_a_connection_is_a_savepoint(self, pool: Pool) -> None:
        async with pool.acquire() as connection:
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    await connection.execute(self.insertion(pool), *self.row(pool, "aa"))
                    async with connection.transaction():
                        await connection.execute(self.insertion(pool), *self.row(pool, "bb"))
                    raise ZeroDivisionError
            assert await connection.fetch_val(f"SELECT COUNT(*) FROM {TABLE}") == 0
            async with connection.transaction():
                with pytest.raises(ZeroDivisionError):
                    async with Transaction(connection):
                        await connection.execute(self.insertion(pool), *self.row(pool, "cc"))
                        raise ZeroDivisionError
                await connection.execute(self.insertion(pool), *self.row(pool, "dd"))
        assert await self.codes(pool) == ["dd"]

    async def test_a_connection_heeds_the_transaction_that_is_open_on_it(self, pool: Pool) -> None:
        await self.given(pool, "aa")
        async with pool.acquire() as connection:
            with pytest.raises(TransactionAborted):
                async with connection.transaction():
                    await connection.execute(self.insertion(pool), *self.row(pool, "bb"))
                    with pytest.raises(UniqueViolation):
                        await connection.execute(self.insertion(pool), *self.row(pool, "aa"))
            assert await connection.fetch_val(f"SELECT COUNT(*) FROM {TABLE}") == 1

    async def test_none_is_begun_by_raw_sql_on_the_pool(self, pool: Pool) -> None:
        """The next statement may get another connection, and would be stored whatever follows."""
        with pytest.raises(TransactionError):
            await pool.execute("BEGIN")
        await pool.execute(self.insertion(pool), *self.row(pool, "aa"))
        await pool.settle()
        assert await self.codes(pool) == ["aa"]
        assert pool.stats().used == 0

    async def test_none_is_begun_within_one_of_raw_sql(self, pool: Pool) -> None:
        async with pool.acquire() as connection:
            await connection.execute("BEGIN")
            with pytest.raises(TransactionAlreadyStarted):
                async with connection.transaction():
                    pytest.fail("begun")

    async def test_a_block_that_was_undone_with_the_one_around_it_says_so(self, pool: Pool) -> None:
        async with pool.transaction() as tx:
            outer = tx.transaction()
            await outer.__aenter__()
            inner = tx.transaction()
            await inner.__aenter__()
            await self.given_in(inner, "aa")
            error = ZeroDivisionError()
            await outer.__aexit__(type(error), error, None)
            with pytest.raises(TransactionAborted):
                await inner.__aexit__(None, None, None)
            with pytest.raises(TransactionAborted):
                async with tx.transaction() as inner:
                    await self.given_in(inner, "bb")
                    await tx.rollback()
            await self.given_in(tx, "cc")
        assert await self.codes(pool) == ["cc"]

    async def test_savepoints_are_kept_undone_and_released(self, pool: Pool) -> None:
        async with pool.transaction() as tx:
            async with tx.savepoint():
                await self.given_in(tx, "aa")
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint("label"):
                    await self.given_in(tx, "bb")
                    raise ZeroDivisionError
            async with tx.savepoint() as point:
                await self.given_in(tx, "cc")
                await point.rollback()
                assert not point.is_active
                with pytest.raises(SavepointAlreadyReleased):
                    await point.release()
            async with tx.savepoint() as point:
                await self.given_in(tx, "dd")
                await point.release()
                with pytest.raises(SavepointAlreadyReleased):
                    await point.rollback()
            async with tx.savepoint():
                async with tx.savepoint():
                    await self.given_in(tx, "ee")
                await self.given_in(tx, "ff")
        assert await self.codes(pool) == ["aa", "dd", "ee", "ff"]

    @pytest.mark.parametrize("name", ["a; DROP TABLE x; --", 'a"b', "", "a b", "a" * 300, "é", "1a", 5, "a\0"])
    async def test_the_label_of_a_savepoint_is_an_identifier(self, pool: Pool, name: Any) -> None:
        async with pool.transaction() as tx:
            with pytest.raises(IdentifierError):
                tx.savepoint(name)
            await self.given_in(tx, "aa")
        assert await self.codes(pool) == ["aa"]

    @pytest.mark.parametrize("isolation", ["SERIALIZABLE; DROP TABLE x", "serializable", 1, True, object()])
    async def test_an_isolation_is_one_of_four(self, pool: Pool, isolation: Any) -> None:
        with pytest.raises(InvalidValueError):
            pool.transaction(isolation)
        levels: list[Any] = [*IsolationLevel, "READ COMMITTED"]
        for level in levels:
            async with pool.transaction(level) as tx:
                assert await tx.fetch_val("SELECT 1") == 1

    async def test_a_failed_statement_dooms_the_transaction(self, pool: Pool) -> None:
        """On every engine: nothing more runs, and what was done is gone even if the error was swallowed."""
        await self.given(pool, "aa")
        with pytest.raises(TransactionAborted):
            async with pool.transaction() as tx:
                await self.given_in(tx, "bb")
                with pytest.raises(UniqueViolation):
                    await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
                with pytest.raises(TransactionAborted) as caught:
                    await tx.fetch_val("SELECT 1")
                assert isinstance(caught.value.__cause__, UniqueViolation)
                with pytest.raises(TransactionAborted):
                    await Query(Country).count(pool)
        assert await self.codes(pool) == ["aa"]
        await self.given(pool, "cc")

    async def test_within_a_savepoint_a_failure_dooms_only_that(self, pool: Pool) -> None:
        await self.given(pool, "aa")
        async with pool.transaction() as tx:
            await self.given_in(tx, "bb")
            with pytest.raises(UniqueViolation):
                async with tx.savepoint():
                    await self.given_in(tx, "cc")
                    await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
            await self.given_in(tx, "dd")
        assert await self.codes(pool) == ["aa", "bb", "dd"]

    async def test_input_that_is_refused_before_it_is_sent_dooms_nothing(
        self, pool: Pool, countries: PydanticRepository[Country]
    ) -> None:
        async with pool.transaction() as tx:
            with pytest.raises(InvalidValueError):
                await countries.create(Country.model_construct(code="too long", name="x"), connection=tx)
            with pytest.raises(InvalidValueError):
                await tx.fetch_val("SELECT 1", "one too many")
            await self.given_in(tx, "aa")
        assert await self.codes(pool) == ["aa"]

    async def test_commit_and_rollback_within_the_block_go_on(self, pool: Pool) -> None:
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction() as tx:
                await self.given_in(tx, "aa")
                await tx.commit()
                await self.given_in(tx, "bb")
                await tx.rollback()
                await self.given_in(tx, "cc")
                await tx.commit()
                await self.given_in(tx, "dd")
                raise ZeroDivisionError
        assert await self.codes(pool) == ["aa", "cc"]

    async def test_a_transaction_is_used_within_its_block_and_entered_once(self, pool: Pool) -> None:
        tx = pool.transaction()
        assert not tx.is_active
        with pytest.raises(TransactionNotStarted):
            await tx.fetch_val("SELECT 1")
        async with tx:
            assert tx.is_active
            with pytest.raises(TransactionAlreadyStarted):
                await tx.__aenter__()
        for attempt in (tx.fetch_val("SELECT 1"), tx.commit(), tx.rollback(), Query(Country).count(tx)):
            with pytest.raises(TransactionClosed):
                await attempt
        with pytest.raises(TransactionError):
            await tx.savepoint().__aenter__()
        async with pool.transaction() as other, other.savepoint() as point:
            with pytest.raises(SavepointError):
                await point.__aenter__()

    async def test_a_read_only_transaction_refuses_writes(self, pool: Pool) -> None:
        await self.given(pool, "aa")
        with pytest.raises(DatabaseError):
            async with pool.transaction(readonly=True) as tx:
                assert await Query(Country).count(tx) == 1
                await self.given_in(tx, "bb")
        assert await self.codes(pool) == ["aa"]
        await self.given(pool, "cc")

    async def test_a_child_task_does_not_inherit_it(self, pool: Pool) -> None:
        async with pool.transaction() as tx:
            await self.given_in(tx, "aa")
            calls: list[Callable[[], Any]] = [
                lambda: Query(Country).count(pool),
                lambda: pool.fetch_val("SELECT 1"),
                lambda: pool.execute("SELECT 1"),
                lambda: self.given(pool, "bb"),
            ]
            for call in calls:
                with pytest.raises(TransactionNotShared, match="connection=tx"):
                    await asyncio.create_task(call())
            assert await asyncio.create_task(Query(Country).count(pool, connection=tx)) == 1
        assert await self.codes(pool) == ["aa"]

    @connections(2)
    async def test_detached_calls_join_nothing(self, pool: Pool) -> None:
        async with pool.transaction() as tx:
            assert await tx.fetch_val(f"SELECT COUNT(*) FROM {TABLE}") == 0
            with pool.detached():
                assert await asyncio.create_task(Query(Country).count(pool)) == 0
                assert await pool.fetch_val("SELECT 1") == 1
            await self.given_in(tx, "aa")
            assert await self.codes(pool) == []
        assert await self.codes(pool) == ["aa"]

    async def test_two_tasks_at_once_in_one_transaction_are_refused(self, pool: Pool) -> None:
        async with pool.transaction() as tx:
            results = await asyncio.gather(*[tx.fetch_val("SELECT 1") for _ in range(3)], return_exceptions=True)
            assert sum(result == 1 for result in results) == 1
            assert sum(isinstance(result, ConcurrentUseError) for result in results) == 2
            assert await tx.fetch_val("SELECT 1") == 1
            await self.given_in(tx, "aa")
        assert await self.codes(pool) == ["aa"]

    async def test_a_cancellation_at_any_await_leaves_all_or_nothing(self, pool: Pool) -> None:
        """At every await from BEGIN to COMMIT: no open transaction, no lost connection, the cancellation itself."""

        async def work(number: int) -> None:
            async with pool.transaction() as tx:
                await tx.execute(self.insertion(pool), *self.row(pool, f"{number:02}"))
                async with tx.savepoint():
                    await tx.execute(self.insertion(pool), *self.row(pool, f"{chr(97 + number // 10)}{number % 10}"))

        async for number, finished in cancel_at_each_await(work):
            await pool.settle()
            assert pool.stats().used == 0
            both = {f"{number:02}", f"{chr(97 + number // 10)}{number % 10}"}
            stored = both & set(await self.codes(pool))
            assert stored in (set(), both)
            assert not finished or stored == both
        async with pool.transaction() as tx:
            await self.given_in(tx, "ok")
        assert "ok" in await self.codes(pool)

    async def test_a_timeout_around_a_transaction_rolls_back(self, pool: Pool) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), pool.transaction() as tx:
                await self.given_in(tx, "aa")
                await asyncio.sleep(60)
        await pool.settle()
        assert await self.codes(pool) == []
        await self.given(pool, "bb")
