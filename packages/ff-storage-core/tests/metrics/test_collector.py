"""What a collector keeps, up to which bound, and what it says of it."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ff_storage.core.database import PoolStatistics
from ff_storage.core.errors import ConfigurationError, UniqueViolation
from ff_storage.core.metrics import (
    ConnectionPoolMetrics,
    MetricsCollector,
    QueryMetric,
    async_timer,
    get_global_collector,
    set_global_collector,
    timer,
)
from ff_storage.core.observe import ObservedStatement, Observers

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def collector(clock: Clock) -> MetricsCollector:
    return MetricsCollector(clock=clock)


@pytest.fixture
def of_the_process() -> Iterator[MetricsCollector]:
    """A global collector of the test's own."""
    before = get_global_collector()
    set_global_collector(MetricsCollector())
    yield get_global_collector()
    set_global_collector(before)


def test_queries_are_counted_by_outcome(collector: MetricsCollector) -> None:
    collector.record_query("SELECT 1", 0.1, 3)
    collector.record_query("SELECT 2", 2.0, 4, tenant_id="t", connection_id="c")
    collector.record_query("INSERT", 0.2, None, success=False, error="UniqueViolation [FF-D531]")
    collector.record_query("INSERT", 0.3, success=False)
    figures = collector.get_query_statistics()
    duration = {"count": 4, "min": 0.1, "max": 2.0, "mean": pytest.approx(0.65), "p50": 0.2, "p95": 2.0, "p99": 2.0}
    assert figures == {
        "window_minutes": 60,
        "total_queries": 4,
        "successful_queries": 2,
        "failed_queries": 2,
        "slow_queries": 1,
        "rows_affected": 7,
        "duration": duration,
        "errors": {"UniqueViolation [FF-D531]": 1, "unknown": 1},
    }


def test_a_window_leaves_out_what_is_older(collector: MetricsCollector, clock: Clock) -> None:
    collector.record_query("old", 1.0)
    clock.now += dt.timedelta(minutes=10)
    collector.record_query("new", 3.0)
    assert collector.get_query_statistics(5)["duration"]["mean"] == 3.0
    assert collector.get_query_statistics(10)["total_queries"] == 2
    clock.now += dt.timedelta(minutes=61)
    empty = collector.get_query_statistics()
    assert (empty["total_queries"], empty["duration"]["p95"], empty["errors"]) == (0, 0.0, {})


@pytest.mark.parametrize(
    ("durations", "p50", "p95", "p99"),
    [
        ([5.0], 5.0, 5.0, 5.0),
        ([1.0, 2.0], 1.0, 2.0, 2.0),
        ([1.0, 2.0, 3.0], 2.0, 3.0, 3.0),
        ([float(n) for n in range(1, 21)], 10.0, 19.0, 20.0),
        ([float(n) for n in range(1, 101)], 50.0, 95.0, 99.0),
        ([float(n) for n in range(1, 102)], 51.0, 96.0, 100.0),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, list) else "",
)
def test_percentiles_are_durations_that_occurred(durations: list[float], p50: float, p95: float, p99: float) -> None:
    collector = MetricsCollector()
    for duration in reversed(durations):
        collector.record_timing("work", duration)
    figures = collector.get_timing_statistics("work")
    assert (figures["p50"], figures["p95"], figures["p99"]) == (p50, p95, p99)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_a_percentile_is_the_least_that_so_many_do_not_exceed(durations: list[float]) -> None:
    collector = MetricsCollector()
    for duration in durations:
        collector.record_timing("work", duration)
    figures = collector.get_timing_statistics("work")
    for percent in (50, 95, 99):
        value = figures[f"p{percent}"]
        assert value in durations
        wanted = math.ceil(len(durations) * percent / 100 - 1e-9)
        assert sum(each <= value for each in durations) >= wanted
        assert sum(each < value for each in durations) < wanted
    assert figures["min"] <= figures["p50"] <= figures["p95"] <= figures["p99"] <= figures["max"]


def test_timings_are_told_apart_by_key(collector: MetricsCollector) -> None:
    collector.record_timing("a", 1.0)
    collector.record_timing("b", 2.0)
    assert collector.get_timing_statistics("a")["count"] == 1
    assert collector.get_timing_statistics("none") == dict.fromkeys(
        ("count", "min", "max", "mean", "p50", "p95", "p99"), 0.0
    )
    assert collector.get_all_metrics()["timings"].keys() == {"a", "b"}


def test_history_is_bounded_and_keeps_the_newest(caplog: pytest.LogCaptureFixture) -> None:
    collector = MetricsCollector(max_history=3, slow_query_threshold=100)
    for n in range(10):
        collector.record_query(f"Q{n}", float(n))
        collector.record_operation("o", float(n))
        collector.record_timing("t", float(n))
        collector.record_pool_metrics(n + 1, 0, 0, 0, 0, 0)
        collector.set_gauge(f"g{n}", n)
        collector.increment(f"c{n}")
    figures = collector.get_all_metrics()
    assert figures["queries"]["duration"]["min"] == 7.0
    assert figures["operations"]["o"]["duration"]["count"] == 3
    assert figures["timings"]["t"]["min"] == 7.0
    assert figures["pool"]["samples"] == 3
    assert figures["gauges"] == {"g0": 0, "g1": 1, "g2": 2}
    assert figures["counters"] == {"c0": 1, "c1": 1, "c2": 1}
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2  # once for each kind
    collector.increment("c0", 5)
    collector.decrement("c1")
    assert collector.get_all_metrics()["counters"] == {"c0": 6, "c1": 0, "c2": 1}


def test_a_long_statement_is_cut(collector: MetricsCollector, caplog: pytest.LogCaptureFixture) -> None:
    collector.record_query("SELECT " + "x" * 1_000_000, 2.0)
    assert len(caplog.text) < 3000


def test_a_slow_query_is_logged_by_its_text_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    collector = MetricsCollector(slow_query_threshold=0.5)
    with caplog.at_level(logging.DEBUG, "ff_storage.metrics"):
        collector.record_query("SELECT fast", 0.5)
        collector.record_query("SELECT slow", 0.51)
        collector.record_operation("COMMIT", 9.0)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "a query took 0.510 s: SELECT slow")
    ]


def test_with_detailed_logging_every_query_and_operation_is(caplog: pytest.LogCaptureFixture) -> None:
    collector = MetricsCollector(enable_detailed_logging=True)
    with caplog.at_level(logging.DEBUG, "ff_storage.metrics"):
        collector.record_query("SELECT fast", 0.5)
        collector.record_operation("COMMIT", 9.0)
    assert [record.getMessage() for record in caplog.records] == [
        "a query took 0.500 s: SELECT fast",
        "COMMIT took 9.000 s",
    ]


def test_a_statement_becomes_a_query_or_an_operation(collector: MetricsCollector) -> None:
    error = UniqueViolation("twice", found="'secret'")
    for kind, text, rows, failure in (
        ("fetch", "SELECT 1", 2, None),
        ("execute", "INSERT", -1, error),
        ("open", "SELECT 2", -1, None),
        ("batch", "SELECT 2", 100, None),
        ("transaction", "COMMIT", -1, KeyError("secret")),
    ):
        collector(ObservedStatement(kind, text, 0.1, rows, failure, "none", in_transaction=True, parameters="secret"))
    figures = collector.get_all_metrics()
    assert (figures["queries"]["total_queries"], figures["queries"]["rows_affected"]) == (3, 2)
    assert figures["queries"]["errors"] == {"UniqueViolation [FF-D531]": 1}
    assert {name: each["failed"] for name, each in figures["operations"].items()} == {"batch": 0, "COMMIT": 1}
    assert "secret" not in repr([vars(collector), figures])


def test_the_block_around_a_statement_serves_synchronous_code_too(collector: MetricsCollector) -> None:
    observers = Observers("none")
    observers.add(collector)
    with observers.watch("execute", "UPDATE", in_transaction=False) as watch:
        watch.rows = 3
    with pytest.raises(KeyError), observers.watch("execute", "UPDATE", in_transaction=False) as watch:
        watch.rows = 5
        raise KeyError
    figures = collector.get_query_statistics()
    assert (figures["rows_affected"], figures["errors"]) == (3, {"KeyError": 1})


def test_pools_are_shown_by_their_last_state_and_their_peaks(collector: MetricsCollector, clock: Clock) -> None:
    assert collector.get_pool_statistics() == {"samples": 0}
    collector.record_pool_metrics(10, 9, 1, 7, 12, 2)
    collector.record_pool(
        PoolStatistics(size=5, idle=1, used=4, waiting=0, max_size=8, opened=20, discarded=15, timeouts=0)
    )
    assert collector.get_pool_statistics() == {
        "samples": 2,
        "timestamp": NOON.isoformat(),
        "pool_size": 8,
        "active_connections": 4,
        "idle_connections": 1,
        "waiting_requests": 0,
        "total_connections_created": 20,
        "total_connections_closed": 15,
        "utilization": 0.5,
        "is_exhausted": False,
        "max_active_connections": 9,
        "max_waiting_requests": 7,
    }
    assert ConnectionPoolMetrics(2, 2, 0, 0, 2, 0).is_exhausted
    assert ConnectionPoolMetrics(0, 0, 0, 0, 0, 0).utilization == 0.0


def test_a_metric_says_whether_it_is_slow() -> None:
    assert QueryMetric("q", 1.1, NOON).is_slow
    assert not QueryMetric("q", 1.0, NOON).is_slow
    assert QueryMetric("q", 0.2, NOON, slow_query_threshold=0.1).is_slow


def test_reset_forgets_everything(collector: MetricsCollector) -> None:
    collector.record_query("q", 1.0)
    collector.record_operation("o", 1.0, ok=True)
    collector.record_pool_metrics(1, 1, 1, 1, 1, 1)
    collector.record_timing("t", 1.0)
    collector.increment("c")
    collector.set_gauge("g", 1.0)
    collector.reset()
    assert collector.get_all_metrics() == MetricsCollector(clock=lambda: NOON).get_all_metrics()


async def test_timers_record_blocks_and_their_errors(of_the_process: MetricsCollector) -> None:
    with timer("import"):
        pass
    with pytest.raises(KeyError), timer("import"):
        raise KeyError("secret")
    async with async_timer("export"):
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        async with async_timer("export"):
            raise asyncio.CancelledError
    operations = of_the_process.get_all_metrics()["operations"]
    assert {name: (each["duration"]["count"], each["failed"]) for name, each in operations.items()} == {
        "import": (2, 1),
        "export": (2, 1),
    }
    assert operations["import"]["duration"]["min"] > 0
    assert "secret" not in repr(vars(of_the_process))


def test_threads_lose_no_count(collector: MetricsCollector) -> None:
    together = threading.Barrier(4)

    def work() -> None:
        together.wait(30)
        for _ in range(500):
            collector.increment("n")
            collector.record_query("q", 0.0)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work) for _ in range(4)]:
            done.result()
    figures = collector.get_all_metrics()
    assert (figures["counters"]["n"], figures["queries"]["total_queries"]) == (2000, 2000)


@pytest.mark.parametrize("wrong", [{"max_history": 0}, {"slow_query_threshold": -1.0}], ids=repr)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        MetricsCollector(**wrong)
