"""Connections, the pool and transactions, for any engine."""

from ff_storage.core.database.connection import Connection, Cursor, IsolationLevel
from ff_storage.core.database.executor import Executor, RowStream
from ff_storage.core.database.health import (
    HealthChecker,
    HealthCheckResult,
    HealthStatus,
    check_system_health,
    get_health_checker,
    register_health_check,
)
from ff_storage.core.database.lease import Lease
from ff_storage.core.database.opening import open_pool
from ff_storage.core.database.pool import Pool
from ff_storage.core.database.settings import PoolSettings, PoolStatistics
from ff_storage.core.database.transaction import Savepoint, Transaction

__all__ = [
    "Connection",
    "Cursor",
    "Executor",
    "HealthCheckResult",
    "HealthChecker",
    "HealthStatus",
    "IsolationLevel",
    "Lease",
    "Pool",
    "PoolSettings",
    "PoolStatistics",
    "RowStream",
    "Savepoint",
    "Transaction",
    "check_system_health",
    "get_health_checker",
    "open_pool",
    "register_health_check",
]
