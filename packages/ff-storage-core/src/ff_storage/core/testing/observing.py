"""Observers and health: what a pool says of its statements and of itself, and nobody the worse for it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from ff_storage.core.database import HealthChecker, HealthStatus, Pool, open_pool
from ff_storage.core.errors import DatabaseError, InvalidValueError, UniqueViolation
from ff_storage.core.metrics import MetricsCollector
from ff_storage.core.observe import ObservedStatement
from ff_storage.core.query import Query
from ff_storage.core.testing.cancellation import cancel_at_each_await
from ff_storage.core.testing.conformance import connections
from ff_storage.core.testing.models import Country
from ff_storage.core.testing.raw import TABLE, RawTests


class HealthTests(RawTests):
    """Whether a pool works, by its own word."""

    async def test_an_idle_pool_is_healthy(self, pool: Pool) -> None:
        result = await pool.check_health()
        assert (result.status, result.error) == (HealthStatus.HEALTHY, None)
        assert result.is_healthy
        assert result.details["used"] == 0
        assert json.loads(json.dumps(result.to_dict()))["status"] == "healthy"
        assert pool.stats().used == 0

    async def test_one_whose_connections_are_all_in_use_is_degraded_when_callers_wait(self, url: str) -> None:
        async with self.open(url, min_size=1, max_size=1, acquire_timeout=30) as pool:
            async with pool.acquire():
                waiting = asyncio.create_task(pool.fetch_val("SELECT 1"))
                while pool.stats().waiting < 1:  # noqa: ASYNC110 - the pool's own state, which has no event
                    await asyncio.sleep(0)
                check = asyncio.create_task(pool.check_health())
                while pool.stats().waiting < 2:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
            result = await check
            assert await waiting == 1
            assert result.status is HealthStatus.DEGRADED
            assert "1 callers wait" in result.message
            assert (await pool.check_health()).is_healthy

    async def test_one_that_does_not_answer_in_time_is_unhealthy(self, url: str) -> None:
        async with self.open(url, min_size=1, max_size=1, acquire_timeout=None) as pool:
            async with pool.acquire():
                result = await HealthChecker(timeout=0.01).check_database_pool(pool, "orders")
            assert (result.name, result.status) == ("orders", HealthStatus.UNHEALTHY)
            assert "no answer within 0.01 s" in result.message
            assert result.details["used"] == 1
            await pool.settle()
            assert (await pool.check_health()).is_healthy

    async def test_one_that_is_not_open_is_unhealthy_and_says_why(self, url: str) -> None:
        result = await open_pool(url, **self.options).check_health()
        assert (result.status, result.error) == (HealthStatus.UNHEALTHY, "PoolClosed [FF-D513]")
        assert "not connected" in result.message

    @connections(2)
    async def test_a_check_joins_no_transaction(self, pool: Pool) -> None:
        checker = HealthChecker()
        checker.register_check("database", lambda: checker.check_database_pool(pool), is_async=True)
        async with pool.transaction() as tx:
            with pytest.raises(DatabaseError):
                await tx.execute("SELECT * FROM kit_no_such_table")
            assert (await pool.check_health()).is_healthy
            assert (await checker.run_all_checks())["status"] == "healthy"
            await tx.rollback()

    async def test_a_canceled_check_is_canceled(self, pool: Pool) -> None:
        async for _, _ in cancel_at_each_await(lambda _: pool.check_health()):
            await pool.settle()
            assert pool.stats().used == 0
        assert (await pool.check_health()).is_healthy


class ObserverTests(RawTests):
    """What the observers of a pool are told."""

    def watched(self, pool: Pool, **options: Any) -> list[ObservedStatement]:
        """What is run on `pool` from now on."""
        seen: list[ObservedStatement] = []
        pool.observe(seen.append, **options)
        return seen

    async def test_a_statement_is_reported_when_it_has_ended(self, pool: Pool) -> None:
        await self.given(pool, "aa", "bb")
        seen = self.watched(pool)
        text = f"SELECT code FROM {TABLE}"
        await pool.fetch_all(text)
        await pool.fetch_one(text)
        await pool.fetch_val(f"{text} WHERE code = 'zz'")
        await pool.execute(f"UPDATE {TABLE} SET name = 'x'")
        await pool.execute_many(self.insertion(pool), [self.row(pool, code) for code in ("cc", "dd", "ee")])
        assert [(each.kind, each.rows) for each in seen] == [
            ("fetch", 2),
            ("fetch", 1),
            ("fetch", 0),
            ("execute", 2),
            ("execute_many", 3),
        ]
        assert [each.text for each in seen[:2]] == [text, text]
        assert seen[4].text == self.insertion(pool)
        for each in seen:
            assert each.engine == pool.dialect.name
            assert each.duration > 0
            assert each.error is None
            assert not each.in_transaction

    async def test_compiled_statements_and_programs_are_reported(self, pool: Pool) -> None:
        seen = self.watched(pool)
        await self.given(pool, "aa", "bb")
        assert len(await Query(Country).filter(Country.code == "aa").execute(pool)) == 1
        assert [each.text.partition(" ")[0] for each in seen if each.kind != "transaction"] == ["INSERT", "SELECT"]
        assert seen[-1].rows == 1

    async def test_parameters_are_shown_to_who_asked_for_them(self, pool: Pool) -> None:
        await self.given(pool, "aa")
        without, with_them = self.watched(pool), self.watched(pool, parameters=True)
        await pool.fetch_all(f"SELECT code FROM {TABLE} WHERE code = {self.mark(pool)}", "aa")
        assert [each.parameters for each in without] == [None]
        assert "aa" not in repr(without)
        assert [list(each.parameters) for each in with_them] == [["aa"]]

    async def test_a_statement_that_fails_is_reported_with_the_librarys_error(self, pool: Pool) -> None:
        await self.given(pool, "aa")
        seen = self.watched(pool)
        with pytest.raises(UniqueViolation) as caught:
            await pool.execute(self.insertion(pool), *self.row(pool, "aa"))
        with pytest.raises(DatabaseError) as wrong:
            await pool.fetch_all("SELECT * FROM kit_no_such_table")
        assert [each.error for each in seen] == [caught.value, wrong.value]
        assert [each.rows for each in seen] == [-1, -1]

    async def test_a_statement_that_is_canceled_is_reported_and_the_cancellation_passes(self, pool: Pool) -> None:
        seen = self.watched(pool)
        text = self.insertion(pool)

        def insert(number: int) -> Any:
            return pool.execute(text, *self.row(pool, f"{number:02}"))

        async for _, finished in cancel_at_each_await(insert):
            await pool.settle()
            assert pool.stats().used == 0
            if seen and not finished:
                assert isinstance(seen[-1].error, asyncio.CancelledError)
        assert seen[-1].error is None
        await self.given(pool, "zz")

    async def test_transactions_and_savepoints_are_reported(self, pool: Pool) -> None:
        seen = self.watched(pool)
        async with pool.transaction() as tx:
            await tx.fetch_val("SELECT 1")
            async with tx.savepoint():
                await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint():
                    raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction():
                raise ZeroDivisionError
        assert [each.text for each in seen if each.kind == "transaction"] == [
            *("BEGIN", "SAVEPOINT", "RELEASE", "SAVEPOINT", "ROLLBACK TO", "COMMIT"),
            *("BEGIN", "ROLLBACK"),
        ]
        assert [each.in_transaction for each in seen] == [each.text != "BEGIN" for each in seen]

    async def test_a_stream_is_reported_batch_by_batch(self, pool: Pool) -> None:
        await self.given(pool, *[f"{n:02}" for n in range(5)])
        seen = self.watched(pool)
        text = f"SELECT code FROM {TABLE} ORDER BY code"
        async with pool.stream(text, batch=2) as rows:
            assert len([row async for row in rows]) == 5
        streamed = [each for each in seen if each.kind in ("open", "batch")]
        assert [(each.kind, each.rows) for each in streamed] == [
            ("open", -1),
            ("batch", 2),
            ("batch", 2),
            ("batch", 1),
            ("batch", 0),
        ]
        assert {each.text for each in streamed} == {text}

    async def test_connections_that_were_open_before_are_observed_too(self, url: str) -> None:
        async with self.open(url) as pool, pool.acquire() as held:
            seen = self.watched(pool)
            await held.fetch_val("SELECT 1")
            assert [each.text for each in seen] == ["SELECT 1"]
        new = open_pool(url, **self.options)
        seen = self.watched(new)
        async with new:
            await new.fetch_val("SELECT 2")
        assert [each.text for each in seen] == ["SELECT 2"]

    async def test_an_observer_that_fails_breaks_nothing(self, pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
        def broken(_: ObservedStatement) -> None:
            raise ZeroDivisionError

        pool.observe(broken)
        seen = self.watched(pool)
        with caplog.at_level(logging.WARNING, "ff_storage.observe"):
            assert await pool.fetch_val("SELECT 1") == 1
            with pytest.raises(DatabaseError):
                await pool.fetch_val("SELECT * FROM kit_no_such_table")
        assert len(seen) == 2
        assert [record.name for record in caplog.records] == ["ff_storage.observe"] * 2
        assert "ZeroDivisionError" in caplog.text
        assert "kit_no_such_table" not in caplog.text

    async def test_a_collector_is_an_observer(self, pool: Pool) -> None:
        collector = MetricsCollector()
        pool.observe(collector)
        async with pool.transaction() as tx:
            await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
        await pool.fetch_all(f"SELECT code FROM {TABLE}")
        with pytest.raises(UniqueViolation):
            await pool.execute(self.insertion(pool), *self.row(pool, "aa"))
        collector.record_pool(pool.stats())
        figures = collector.get_all_metrics()
        queries = figures["queries"]
        assert (queries["total_queries"], queries["rows_affected"], queries["slow_queries"]) == (3, 2, 0)
        assert queries["errors"] == {"UniqueViolation [FF-D531]": 1}
        assert 0 < queries["duration"]["p50"] <= queries["duration"]["max"]
        assert {"BEGIN", "COMMIT"} <= figures["operations"].keys()
        assert figures["pool"]["active_connections"] == 0
        assert "aa" not in str(figures)

    async def test_what_cannot_be_told_is_no_observer(self, pool: Pool) -> None:
        async def awaited(_: ObservedStatement) -> None: ...

        for wrong in (None, "print", awaited):
            with pytest.raises(InvalidValueError):
                pool.observe(wrong)  # type: ignore[arg-type]
        assert await pool.fetch_val("SELECT 1") == 1
