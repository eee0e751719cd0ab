"""Whether the parts of a service work, asked and not assumed.

    checker = HealthChecker()
    checker.register_check("orders", lambda: checker.check_database_pool(pool), is_async=True)
    report = await checker.run_all_checks()

A checker knows no part by itself: it takes its checks. A check answers within `timeout`, or is unhealthy. It never
raises but a cancellation, and says of an error what our classes say, or no more than its class.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ff_storage.core.context import utc_now
from ff_storage.core.errors import ConfigurationError, IntegrityError, InvalidValueError, StorageError
from ff_storage.core.metrics import get_global_collector
from ff_storage.core.observe import error_label

if TYPE_CHECKING:
    from ff_storage.core.database.pool import Pool

_WINDOW: Final = 5
_ENOUGH: Final = 20
"""`check_metrics` looks back on so many minutes, and judges so many queries or more."""

_REFUSALS: Final[list[type[IntegrityError]]] = [IntegrityError, *IntegrityError.__subclasses__()]
_NO_FAILURES: Final = frozenset(["CancelledError", *(f"{cls.__name__} [{cls.code}]" for cls in _REFUSALS)])
"""Labels of `error_label` by which a working database refuses a row, or a caller gave up."""


class HealthStatus(enum.Enum):
    """Works; works, and needs attention; does not work."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class HealthCheckResult:
    """What a check found. `details` are plain values; `error` names a class and a code, and holds no secret."""

    name: str
    status: HealthStatus
    message: str
    duration_ms: float
    timestamp: dt.datetime = field(default_factory=utc_now)
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    error: str | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing needs attention."""
        return self.status is HealthStatus.HEALTHY

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for JSON."""
        return {
            "name": self.name,
            "status": self.status.value,
            "message": self.message,
            "duration_ms": self.duration_ms,
            "timestamp": self.timestamp.isoformat(),
            "details": self.details,
            "error": self.error,
        }


Outcome: TypeAlias = HealthCheckResult | bool
"""What a check returns; True is healthy."""

Check: TypeAlias = Callable[[], Outcome | Awaitable[Outcome]]

Finding: TypeAlias = tuple[HealthStatus, str]


class HealthChecker:
    """Runs the checks that were registered with it, at the same time; each has `timeout` seconds."""

    def __init__(self, timeout: float = 5.0) -> None:
        if not timeout > 0:
            raise ConfigurationError("timeout must be more than 0 s", found=repr(timeout))
        self.timeout = timeout
        self._checks: dict[str, tuple[Check, bool]] = {}

    def register_check(self, name: str, check_func: Check, is_async: bool = False) -> None:
        """Run `check_func` with the others from now on, in the place of an earlier one of this name.

        What it returns may be awaitable. An ordinary function runs in a thread, since it may block, unless `is_async`.
        """
        if not callable(check_func):
            raise InvalidValueError("a check is a function", found=f"a {type(check_func).__name__}")
        self._checks[name] = (check_func, is_async or inspect.iscoroutinefunction(check_func))

    async def check_database_pool(self, pool: Pool, name: str = "database") -> HealthCheckResult:
        """Ask the database `SELECT 1` through the pool, outside any transaction.

        Healthy when it answers; degraded when it answers and all connections were in use with callers waiting;
        unhealthy when it does not.
        """
        details: dict[str, Any] = {}

        async def ask() -> Finding:
            before = pool.stats()
            details.update(asdict(before))
            with pool.detached():
                await pool.fetch_val("SELECT 1")
            if before.used >= before.max_size and before.waiting:
                return HealthStatus.DEGRADED, f"the database answers; {before.waiting} callers wait for a connection"
            return HealthStatus.HEALTHY, "the database answers"

        return await self._bounded(name, ask, details)

    async def check_metrics(self, name: str = "metrics") -> HealthCheckResult:
        """Look at the queries of the last 5 minutes in the global collector.

        Degraded when more than 10 % of 20 or more failed, or were slow. No failures are a constraint that refuses a
        row, which is the answer of a database that works, and a caller that was canceled.
        """
        details: dict[str, Any] = {}

        async def look() -> Finding:
            details.update(get_global_collector().get_query_statistics(_WINDOW))
            total = details["total_queries"]
            failed = sum(count for error, count in details["errors"].items() if error not in _NO_FAILURES)
            for count, what in ((failed, "failed"), (details["slow_queries"], "were slow")):
                if total >= _ENOUGH and count * 10 > total:
                    return HealthStatus.DEGRADED, f"{count} of {total} queries {what}"
            return HealthStatus.HEALTHY, f"{total} queries in the last {_WINDOW} minutes"

        return await self._bounded(name, look, details)

    async def run_all_checks(self) -> dict[str, Any]:
        """Run every check; `status` is the worst of them, and degraded without any, since nothing is known then.

        Plain values: `status`, `message`, `timestamp`, `checks` by name as in `to_dict`, and `summary`, which counts
        them by status.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run(name, *check)) for name, check in self._checks.items()]
        results = [task.result() for task in tasks]
        counts = Counter(result.status for result in results)
        worst = next((each for each in reversed(HealthStatus) if counts[each]), HealthStatus.DEGRADED)
        ailing = ", ".join(result.name for result in results if not result.is_healthy)
        return {
            "status": worst.value,
            "message": f"needs attention: {ailing}" if ailing else "all work" if results else "no check is registered",
            "timestamp": utc_now().isoformat(),
            "checks": {result.name: result.to_dict() for result in results},
            "summary": {"total": len(results), **{each.value: counts[each] for each in HealthStatus}},
        }

    async def _run(self, name: str, check: Check, is_async: bool) -> HealthCheckResult:
        given: list[HealthCheckResult] = []

        async def run() -> Finding:
            outcome = check() if is_async else await asyncio.to_thread(check)
            if inspect.isawaitable(outcome):
                outcome = await outcome
            if isinstance(outcome, HealthCheckResult):
                given.append(outcome)
                return outcome.status, outcome.message
            if not isinstance(outcome, bool):
                raise InvalidValueError(
                    "a check returns a HealthCheckResult or a bool", found=f"a {type(outcome).__name__}"
                )
            return (HealthStatus.HEALTHY, "works") if outcome else (HealthStatus.UNHEALTHY, "does not work")

        result = await self._bounded(name, run, {})
        return given[0] if given else result

    async def _bounded(
        self, name: str, check: Callable[[], Awaitable[Finding]], details: dict[str, Any]
    ) -> HealthCheckResult:
        began = time.perf_counter()
        error: str | None = None
        limit = asyncio.timeout(self.timeout)
        try:
            async with limit:
                status, message = await check()
        except (Exception, asyncio.CancelledError) as failure:
            task = asyncio.current_task()
            if isinstance(failure, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise  # else something that the check awaits was canceled, and not the check
            status, error = HealthStatus.UNHEALTHY, error_label(failure)
            if limit.expired() and isinstance(failure, TimeoutError):
                message = f"no answer within {self.timeout:g} s"
            elif isinstance(failure, StorageError):
                message = str(failure)
            else:
                message = "the check itself failed"
        duration = (time.perf_counter() - began) * 1000
        return HealthCheckResult(name, status, message, duration, details=details, error=error)


_of_the_process: Final = HealthChecker()


def get_health_checker() -> HealthChecker:
    """The checker of the process."""
    return _of_the_process


def register_health_check(name: str, check_func: Check, is_async: bool = False) -> None:
    """Register a check with the checker of the process."""
    get_health_checker().register_check(name, check_func, is_async)


async def check_system_health() -> dict[str, Any]:
    """Run every check of the checker of the process; see `HealthChecker.run_all_checks`."""
    return await get_health_checker().run_all_checks()
