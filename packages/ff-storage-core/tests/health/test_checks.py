"""Checks that are registered: run together, bounded, and never an error or a secret of them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ff_storage.core.database import health
from ff_storage.core.database.health import (
    HealthChecker,
    HealthCheckResult,
    HealthStatus,
    check_system_health,
    get_health_checker,
    register_health_check,
)
from ff_storage.core.errors import ConfigurationError, ConnectionFailure, InvalidValueError
from ff_storage.core.metrics import MetricsCollector, get_global_collector, set_global_collector
from ff_storage.core.observe import error_label


@pytest.fixture
def checker() -> HealthChecker:
    return HealthChecker(timeout=30)


@pytest.fixture
def collector() -> Iterator[MetricsCollector]:
    before = get_global_collector()
    set_global_collector(MetricsCollector(slow_query_threshold=1.0))
    yield get_global_collector()
    set_global_collector(before)


async def ok() -> bool:
    return True


async def test_the_report_is_the_worst_of_all_and_says_which(checker: HealthChecker) -> None:
    checker.register_check("a", ok)
    assert (await checker.run_all_checks())["status"] == "healthy"
    checker.register_check("b", lambda: HealthCheckResult("b", HealthStatus.DEGRADED, "slow", 5.0, details={"n": 1}))
    report = await checker.run_all_checks()
    assert (report["status"], report["message"]) == ("degraded", "needs attention: b")
    checker.register_check("c", lambda: False)
    report = json.loads(json.dumps(await checker.run_all_checks()))
    assert (report["status"], report["message"]) == ("unhealthy", "needs attention: b, c")
    assert report["summary"] == {"total": 3, "healthy": 1, "degraded": 1, "unhealthy": 1}
    assert report["checks"].keys() == {"a", "b", "c"}
    assert report["checks"]["b"] == {
        "name": "b",
        "status": "degraded",
        "message": "slow",
        "duration_ms": 5.0,
        "timestamp": report["checks"]["b"]["timestamp"],
        "details": {"n": 1},
        "error": None,
    }
    assert report["timestamp"].endswith("+00:00")


async def test_nothing_is_known_to_work_without_a_check(checker: HealthChecker) -> None:
    report = await checker.run_all_checks()
    assert (report["status"], report["message"], report["checks"]) == ("degraded", "no check is registered", {})


async def test_checks_run_at_the_same_time(checker: HealthChecker) -> None:
    both = asyncio.Barrier(2)

    async def meet() -> bool:
        await both.wait()
        return True

    checker.register_check("a", meet)
    checker.register_check("b", meet)
    assert (await checker.run_all_checks())["summary"]["healthy"] == 2


async def test_an_ordinary_function_runs_in_a_thread_unless_it_only_makes_an_awaitable(checker: HealthChecker) -> None:
    threads: dict[str, threading.Thread] = {}

    def check(name: str) -> bool:
        threads[name] = threading.current_thread()
        return True

    async def check_async() -> bool:
        return check("async")

    checker.register_check("sync", lambda: check("sync"))
    checker.register_check("async", lambda: check_async(), is_async=True)  # noqa: PLW0108
    checker.register_check("either", lambda: check_async())  # noqa: PLW0108
    checker.register_check("inline", lambda: check("inline"), is_async=True)
    assert (await checker.run_all_checks())["status"] == "healthy"
    assert threads["sync"] is not threading.main_thread()
    assert threads["async"] is threads["inline"] is threading.main_thread()


@pytest.mark.parametrize(
    ("error", "message", "label"),
    [
        (KeyError("password=hunter2"), "the check itself failed", "KeyError"),
        (TimeoutError("hunter2"), "the check itself failed", "TimeoutError"),
        (ConnectionFailure("the server refused"), "the server refused [FF-D501]", "ConnectionFailure [FF-D501]"),
    ],
    ids=repr,
)
async def test_an_error_is_unhealthy_and_keeps_its_text_to_itself(
    checker: HealthChecker, error: Exception, message: str, label: str
) -> None:
    def fail() -> bool:
        raise error

    async def fail_async() -> bool:
        raise error

    checker.register_check("a", fail)
    checker.register_check("b", fail_async)
    checker.register_check("c", ok)
    report = await checker.run_all_checks()
    for name in "ab":
        found = report["checks"][name]
        assert (found["status"], found["message"], found["error"]) == ("unhealthy", message, label)
    assert report["summary"] == {"total": 3, "healthy": 1, "degraded": 0, "unhealthy": 2}
    assert "hunter2" not in str(report)


async def test_a_check_that_does_not_end_is_unhealthy() -> None:
    checker = HealthChecker(timeout=0.01)
    checker.register_check("a", lambda: asyncio.get_running_loop().create_future(), is_async=True)
    checker.register_check("b", ok)
    report = await checker.run_all_checks()
    assert report["checks"]["a"]["message"] == "no answer within 0.01 s"
    assert report["checks"]["a"]["error"] == "TimeoutError"
    assert report["checks"]["b"]["status"] == "healthy"


async def test_what_a_check_waits_for_may_be_canceled_and_the_check_is_not(checker: HealthChecker) -> None:
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    future.cancel()
    checker.register_check("a", lambda: future, is_async=True)
    report = await checker.run_all_checks()
    assert (report["checks"]["a"]["status"], report["checks"]["a"]["error"]) == ("unhealthy", "CancelledError")


async def test_a_cancellation_passes(checker: HealthChecker) -> None:
    running = asyncio.Event()

    async def hang() -> bool:
        running.set()
        return await asyncio.get_running_loop().create_future()

    checker.register_check("a", hang)
    task = asyncio.create_task(checker.run_all_checks())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("outcome", [None, "healthy", 1])
async def test_what_is_no_result_is_unhealthy(checker: HealthChecker, outcome: Any) -> None:
    checker.register_check("a", lambda: outcome)
    (result,) = (await checker.run_all_checks())["checks"].values()
    assert (result["status"], result["error"]) == ("unhealthy", "InvalidValueError [FF-I103]")


async def test_what_is_no_pool_is_unhealthy_too(checker: HealthChecker) -> None:
    result = await checker.check_database_pool(None)  # type: ignore[arg-type]
    assert (result.status, result.error) == (HealthStatus.UNHEALTHY, "AttributeError")


def test_wrong_settings_are_refused(checker: HealthChecker) -> None:
    with pytest.raises(ConfigurationError):
        HealthChecker(timeout=0)
    with pytest.raises(InvalidValueError):
        checker.register_check("a", True)  # type: ignore[arg-type]


async def test_metrics_need_attention_when_queries_fail_or_are_slow(
    checker: HealthChecker, collector: MetricsCollector
) -> None:
    async def status() -> HealthStatus:
        return (await checker.check_metrics()).status

    assert await status() is HealthStatus.HEALTHY
    for _ in range(2):
        collector.record_query("q", 0.1, success=False, error="QueryTimeout [FF-D521]")
    assert await status() is HealthStatus.HEALTHY  # too few to judge
    for _ in range(18):
        collector.record_query("q", 0.1)
    assert await status() is HealthStatus.HEALTHY  # 2 of 20
    for _ in range(5):
        collector.record_query("q", 0.1, success=False, error="UniqueViolation [FF-D531]")
    assert await status() is HealthStatus.HEALTHY  # a refused row is an answer
    for _ in range(5):
        collector.record_query("q", 0.1, success=False, error=error_label(asyncio.CancelledError()))
    assert await status() is HealthStatus.HEALTHY  # callers gave up
    collector.record_query("q", 0.1, success=False, error="ConnectionLost [FF-D502]")
    collector.record_query("q", 0.1, success=False, error="ConnectionLost [FF-D502]")
    result = await checker.check_metrics("queries")
    assert (result.name, result.status, result.message) == ("queries", HealthStatus.DEGRADED, "4 of 32 queries failed")
    assert result.details["errors"]["QueryTimeout [FF-D521]"] == 2
    collector.reset()
    for duration in [0.1] * 17 + [2.0] * 3:
        collector.record_query("q", duration)
    assert (await checker.check_metrics()).message == "3 of 20 queries were slow"


async def test_the_process_has_a_checker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_of_the_process", HealthChecker())
    register_health_check("a", ok, is_async=True)
    report = await check_system_health()
    assert report == {**await get_health_checker().run_all_checks(), "timestamp": report["timestamp"]} | {
        "checks": report["checks"]
    }
    assert report["checks"]["a"]["status"] == "healthy"
