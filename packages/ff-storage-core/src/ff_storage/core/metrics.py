"""Figures of what happens: queries, operations, pools, counters, kept in memory up to a bound.

    collector = MetricsCollector(slow_query_threshold=0.5)
    pool.observe(collector)
    ...
    collector.get_query_statistics(window_minutes=5)["duration"]["p95"]

A collector is an observer. It keeps the text of statements, whose values are bound and so not part of it, and of errors
the class and the code; never parameters, and never a message. Threads may share it.
"""

from __future__ import annotations

import datetime as dt
import enum
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from ff_storage.core.context import utc_now
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.observe import ObservedStatement, error_label

if TYPE_CHECKING:
    from ff_storage.core.database.settings import PoolStatistics

logger = logging.getLogger("ff_storage.metrics")

_LONGEST: Final = 2000
"""Characters kept of a statement's text."""


class MetricType(enum.Enum):
    """What a figure is: a sum, a value of this moment, a distribution, a distribution of durations."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    TIMER = "timer"


@dataclass(frozen=True, slots=True)
class QueryMetric:
    """One statement; `duration` and `slow_query_threshold` in seconds."""

    query: str
    duration: float
    timestamp: dt.datetime
    rows_affected: int | None = None
    success: bool = True
    error: str | None = None
    connection_id: str | None = None
    tenant_id: str | None = None
    slow_query_threshold: float = 1.0

    @property
    def is_slow(self) -> bool:
        """Whether it took longer than the threshold."""
        return self.duration > self.slow_query_threshold


@dataclass(frozen=True, slots=True)
class ConnectionPoolMetrics:
    """A pool at one moment; `pool_size` is the number of connections that it may have."""

    pool_size: int
    active_connections: int
    idle_connections: int
    waiting_requests: int
    total_connections_created: int
    total_connections_closed: int
    timestamp: dt.datetime = field(default_factory=utc_now)

    @property
    def utilization(self) -> float:
        """The share of the pool that is in use, from 0 to 1."""
        return self.active_connections / self.pool_size if self.pool_size else 0.0

    @property
    def is_exhausted(self) -> bool:
        """Whether all that it may have are in use."""
        return self.active_connections >= self.pool_size


@dataclass(frozen=True, slots=True)
class OperationMetric:
    """One operation that was timed, a transaction's COMMIT for example; `duration` in seconds."""

    operation: str
    duration: float
    timestamp: dt.datetime
    success: bool = True
    error: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


class MetricsCollector:
    """The last `max_history` queries, operations, timings and states of pools, and as many counters and gauges.

    A query longer than `slow_query_threshold` seconds is logged as a warning under `ff_storage.metrics`, with
    `enable_detailed_logging` every other one for debugging.
    """

    def __init__(
        self,
        max_history: int = 10000,
        slow_query_threshold: float = 1.0,
        enable_detailed_logging: bool = False,
        *,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        if max_history < 1:
            raise ConfigurationError("max_history must be at least 1", found=repr(max_history))
        if not slow_query_threshold >= 0:
            raise ConfigurationError("slow_query_threshold must not be negative", found=repr(slow_query_threshold))
        self.max_history = max_history
        self.slow_query_threshold = slow_query_threshold
        self.enable_detailed_logging = enable_detailed_logging
        self._clock = clock
        self._lock = threading.Lock()
        self._queries: deque[QueryMetric] = deque(maxlen=max_history)
        self._operations: deque[OperationMetric] = deque(maxlen=max_history)
        self._pools: deque[ConnectionPoolMetrics] = deque(maxlen=max_history)
        self._timings: deque[tuple[str, float]] = deque(maxlen=max_history)
        self._counters: dict[str, int] = {}
        self._gauges: dict[str, float] = {}
        self._refused: set[MetricType] = set()

    # --- recording ---------------------------------------------------------------------------------------------------

    def __call__(self, statement: ObservedStatement, /) -> None:
        """Record a statement, as an observer: begins and ends of transactions, and batches, as operations."""
        error = None if statement.error is None else error_label(statement.error)
        if statement.kind in ("transaction", "batch"):
            name = statement.text if statement.kind == "transaction" else "batch"
            self.record_operation(name, statement.duration, error is None, error)
        else:
            rows = None if statement.rows < 0 else statement.rows
            self.record_query(statement.text, statement.duration, rows, error is None, error)

    def record_query(
        self,
        query: str,
        duration: float,
        rows_affected: int | None = None,
        success: bool = True,
        error: str | None = None,
        connection_id: str | None = None,
        tenant_id: str | None = None,
    ) -> None:
        """Record one query."""
        if len(query) > _LONGEST:
            query = query[:_LONGEST] + "…"
        metric = QueryMetric(
            query,
            duration,
            self._clock(),
            rows_affected,
            success,
            error,
            connection_id,
            tenant_id,
            self.slow_query_threshold,
        )
        with self._lock:
            self._queries.append(metric)
        if metric.is_slow:
            logger.warning("a query took %.3f s: %s", duration, query)
        elif self.enable_detailed_logging:
            logger.debug("a query took %.3f s: %s", duration, query)

    def record_operation(
        self, operation: str, duration: float, success: bool = True, error: str | None = None, **metadata: Any
    ) -> None:
        """Record an operation that was timed."""
        metric = OperationMetric(operation, duration, self._clock(), success, error, metadata)
        with self._lock:
            self._operations.append(metric)
        if self.enable_detailed_logging:
            logger.debug("%s took %.3f s", operation, duration)

    def record_pool_metrics(
        self, pool_size: int, active: int, idle: int, waiting: int, total_created: int, total_closed: int
    ) -> None:
        """Record a pool's state."""
        metric = ConnectionPoolMetrics(pool_size, active, idle, waiting, total_created, total_closed, self._clock())
        with self._lock:
            self._pools.append(metric)

    def record_pool(self, stats: PoolStatistics) -> None:
        """Record a pool's state: `collector.record_pool(pool.stats())`."""
        self.record_pool_metrics(stats.max_size, stats.used, stats.idle, stats.waiting, stats.opened, stats.discarded)

    def record_timing(self, key: str, duration: float) -> None:
        """Record a duration in seconds under `key`."""
        with self._lock:
            self._timings.append((key, duration))

    def increment(self, key: str, value: int = 1) -> None:
        """Add to a counter, which begins at 0."""
        with self._lock:
            if self._admits(MetricType.COUNTER, self._counters, key):
                self._counters[key] = self._counters.get(key, 0) + value

    def decrement(self, key: str, value: int = 1) -> None:
        """Take from a counter."""
        self.increment(key, -value)

    def set_gauge(self, key: str, value: float) -> None:
        """Set the value of this moment."""
        with self._lock:
            if self._admits(MetricType.GAUGE, self._gauges, key):
                self._gauges[key] = value

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            for each in (self._queries, self._operations, self._pools, self._timings):
                each.clear()
            self._counters.clear()
            self._gauges.clear()
            self._refused.clear()

    def _admits(self, kind: MetricType, figures: dict[str, Any], key: str) -> bool:
        if key in figures or len(figures) < self.max_history:
            return True
        if kind not in self._refused:
            self._refused.add(kind)
            logger.warning("%d keys of a %s are kept, and no more: %s", len(figures), kind.value, key)
        return False

    # --- reading -----------------------------------------------------------------------------------------------------

    def get_query_statistics(self, window_minutes: float = 60) -> dict[str, Any]:
        """The queries of the last `window_minutes`, as far back as they are kept.

        `duration` is as in `get_timing_statistics`; `errors` counts what failed by its class and code.
        """
        since = self._clock() - dt.timedelta(minutes=window_minutes)
        with self._lock:
            queries = [query for query in self._queries if query.timestamp >= since]
        failed = [query for query in queries if not query.success]
        return {
            "window_minutes": window_minutes,
            "total_queries": len(queries),
            "successful_queries": len(queries) - len(failed),
            "failed_queries": len(failed),
            "slow_queries": sum(query.is_slow for query in queries),
            "rows_affected": sum(query.rows_affected or 0 for query in queries),
            "duration": _distribution(query.duration for query in queries),
            "errors": dict(Counter(query.error or "unknown" for query in failed)),
        }

    def get_timing_statistics(self, key: str) -> dict[str, float]:
        """`count`, `min`, `max`, `mean`, `p50`, `p95` and `p99`, in seconds, of what was recorded under `key`.

        A percentile is the smallest duration that so many percent do not exceed, so it is one that occurred. Without
        any, all are 0.
        """
        with self._lock:
            durations = [duration for name, duration in self._timings if name == key]
        return _distribution(durations)

    def get_pool_statistics(self) -> dict[str, Any]:
        """The last state of a pool that was recorded, and the peaks among those kept."""
        with self._lock:
            pools = [*self._pools]
        if not pools:
            return {"samples": 0}
        last = pools[-1]
        return {
            "samples": len(pools),
            "timestamp": last.timestamp.isoformat(),
            "pool_size": last.pool_size,
            "active_connections": last.active_connections,
            "idle_connections": last.idle_connections,
            "waiting_requests": last.waiting_requests,
            "total_connections_created": last.total_connections_created,
            "total_connections_closed": last.total_connections_closed,
            "utilization": last.utilization,
            "is_exhausted": last.is_exhausted,
            "max_active_connections": max(each.active_connections for each in pools),
            "max_waiting_requests": max(each.waiting_requests for each in pools),
        }

    def get_all_metrics(self) -> dict[str, Any]:
        """Everything, as plain values: `counters`, `gauges`, `timings`, `operations`, `queries` and `pool`."""
        with self._lock:
            counters, gauges = dict(self._counters), dict(self._gauges)
            timings, operations = [*self._timings], [*self._operations]
        return {
            "timestamp": self._clock().isoformat(),
            "counters": counters,
            "gauges": gauges,
            "timings": {key: _distribution(durations) for key, durations in _grouped(timings).items()},
            "operations": {
                name: {
                    "failed": sum(not each.success for each in operations if each.operation == name),
                    "duration": _distribution(durations),
                }
                for name, durations in _grouped((each.operation, each.duration) for each in operations).items()
            },
            "queries": self.get_query_statistics(),
            "pool": self.get_pool_statistics(),
        }


class _Timer:
    """A block that is recorded as an operation when it ends."""

    def __init__(self, collector: MetricsCollector, operation: str) -> None:
        self.collector = collector
        self.operation = operation
        self._began = 0.0

    def _begin(self) -> Self:
        self._began = time.perf_counter()
        return self

    def _end(self, error: BaseException | None) -> None:
        duration = time.perf_counter() - self._began
        label = None if error is None else error_label(error)
        self.collector.record_operation(self.operation, duration, error is None, label)


class TimerContext(_Timer):
    """`with timer("import"): …`: the block is recorded as an operation when it ends, also by an error."""

    def __enter__(self) -> Self:
        return self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)


class AsyncTimerContext(_Timer):
    """`async with async_timer("import"): …`; it awaits nothing itself."""

    async def __aenter__(self) -> Self:
        return self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)


class _Global:
    collector: ClassVar[MetricsCollector] = MetricsCollector()


def get_global_collector() -> MetricsCollector:
    """The collector of the process."""
    return _Global.collector


def set_global_collector(collector: MetricsCollector) -> None:
    """Replace the collector of the process."""
    _Global.collector = collector


def timer(operation: str) -> TimerContext:
    """Time a block into the global collector."""
    return TimerContext(get_global_collector(), operation)


def async_timer(operation: str) -> AsyncTimerContext:
    """`timer`, for `async with`."""
    return AsyncTimerContext(get_global_collector(), operation)


def _grouped(pairs: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for key, duration in pairs:
        groups.setdefault(key, []).append(duration)
    return groups


def _distribution(durations: Iterable[float]) -> dict[str, float]:
    ordered = sorted(durations)
    count = len(ordered)
    if not count:
        return dict.fromkeys(("count", "min", "max", "mean", "p50", "p95", "p99"), 0.0)
    ranks = {f"p{percent}": ordered[-(-count * percent // 100) - 1] for percent in (50, 95, 99)}
    return {"count": count, "min": ordered[0], "max": ordered[-1], "mean": sum(ordered) / count, **ranks}
