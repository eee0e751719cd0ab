"""The flat names of `ff_storage`: one import list for type checkers, one table for the interpreter.

The imports below are never executed, so `import ff_storage` loads neither pydantic nor a driver; `_HOME` says which
module defines a name when somebody asks for it. To add a name, add its import and run `python tools/flat_table.py`.
Guard tests hold the imports, `__all__` and `_HOME` equal, and each part's share equal to that part's own `__all__`; a
part's names come from the part's package, never from a module within.
"""

TYPE_CHECKING = False  # type checkers go by the name; importing typing costs as much as a bare interpreter
if TYPE_CHECKING:
    from ff_storage.core.context import ALL_TENANTS, tenant_scope
    from ff_storage.core.database import IsolationLevel, Savepoint, Transaction, open_pool
    from ff_storage.core.errors import (
        AmbiguousRow,
        AsyncPoolUsedSync,
        AuthenticationFailed,
        CheckViolation,
        CircuitBreakerOpen,
        CommitOutcomeUnknown,
        ConcurrencyError,
        ConcurrentUseError,
        ConfigurationError,
        ConnectionFailure,
        ConnectionLost,
        ConnectionPoolExhausted,
        DatabaseCorrupt,
        DatabaseError,
        DatabaseFull,
        DatabaseReadOnly,
        FFStorageError,
        ForeignKeyViolation,
        IdentifierError,
        IntegrityError,
        InvalidKeyError,
        InvalidRowError,
        InvalidValueError,
        KeyTooLong,
        LimitExceededError,
        MissingDistributionError,
        MultipleResultsFound,
        NoResultFound,
        NotNullViolation,
        PluginConflictError,
        PluginError,
        PluginLoadError,
        PoolClosed,
        PoolError,
        PoolFull,
        PoolTimeout,
        QueryError,
        QueryTimeout,
        RelationNotLoaded,
        SavepointAlreadyReleased,
        SavepointError,
        SavepointNotFound,
        SchemaDifference,
        SchemaError,
        SerializationFailure,
        StorageError,
        TenantError,
        TenantIsolationError,
        TenantNotConfigured,
        TenantScopeError,
        TooManyConnections,
        TransactionAborted,
        TransactionAlreadyStarted,
        TransactionClosed,
        TransactionError,
        TransactionNotShared,
        TransactionNotStarted,
        UniqueViolation,
        UnknownFieldError,
        UnsafeSQLError,
        UnsupportedFeature,
        WrongLoopError,
    )
    from ff_storage.core.model import Field, Many, One, PydanticModel, Relationship
    from ff_storage.core.query import AND, NOT, OR, ChunkResult, F, Query, bulk_insert, col, func, not_
    from ff_storage.core.repository import PydanticRepository
    from ff_storage.postgres import PostgresPool
    from ff_storage.schema import AsyncSchemaManager
    from ff_storage.sqlite import SQLitePool

# --- written by tools/flat_table.py from the imports above
__all__ = [
    "ALL_TENANTS",
    "AND",
    "NOT",
    "OR",
    "AmbiguousRow",
    "AsyncPoolUsedSync",
    "AsyncSchemaManager",
    "AuthenticationFailed",
    "CheckViolation",
    "ChunkResult",
    "CircuitBreakerOpen",
    "CommitOutcomeUnknown",
    "ConcurrencyError",
    "ConcurrentUseError",
    "ConfigurationError",
    "ConnectionFailure",
    "ConnectionLost",
    "ConnectionPoolExhausted",
    "DatabaseCorrupt",
    "DatabaseError",
    "DatabaseFull",
    "DatabaseReadOnly",
    "F",
    "FFStorageError",
    "Field",
    "ForeignKeyViolation",
    "IdentifierError",
    "IntegrityError",
    "InvalidKeyError",
    "InvalidRowError",
    "InvalidValueError",
    "IsolationLevel",
    "KeyTooLong",
    "LimitExceededError",
    "Many",
    "MissingDistributionError",
    "MultipleResultsFound",
    "NoResultFound",
    "NotNullViolation",
    "One",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "PoolClosed",
    "PoolError",
    "PoolFull",
    "PoolTimeout",
    "PostgresPool",
    "PydanticModel",
    "PydanticRepository",
    "Query",
    "QueryError",
    "QueryTimeout",
    "RelationNotLoaded",
    "Relationship",
    "SQLitePool",
    "Savepoint",
    "SavepointAlreadyReleased",
    "SavepointError",
    "SavepointNotFound",
    "SchemaDifference",
    "SchemaError",
    "SerializationFailure",
    "StorageError",
    "TenantError",
    "TenantIsolationError",
    "TenantNotConfigured",
    "TenantScopeError",
    "TooManyConnections",
    "Transaction",
    "TransactionAborted",
    "TransactionAlreadyStarted",
    "TransactionClosed",
    "TransactionError",
    "TransactionNotShared",
    "TransactionNotStarted",
    "UniqueViolation",
    "UnknownFieldError",
    "UnsafeSQLError",
    "UnsupportedFeature",
    "WrongLoopError",
    "bulk_insert",
    "col",
    "func",
    "not_",
    "open_pool",
    "tenant_scope",
]

_HOME = {
    "ALL_TENANTS": "ff_storage.core.context",
    "AND": "ff_storage.core.query",
    "NOT": "ff_storage.core.query",
    "OR": "ff_storage.core.query",
    "AmbiguousRow": "ff_storage.core.errors",
    "AsyncPoolUsedSync": "ff_storage.core.errors",
    "AsyncSchemaManager": "ff_storage.schema",
    "AuthenticationFailed": "ff_storage.core.errors",
    "CheckViolation": "ff_storage.core.errors",
    "ChunkResult": "ff_storage.core.query",
    "CircuitBreakerOpen": "ff_storage.core.errors",
    "CommitOutcomeUnknown": "ff_storage.core.errors",
    "ConcurrencyError": "ff_storage.core.errors",
    "ConcurrentUseError": "ff_storage.core.errors",
    "ConfigurationError": "ff_storage.core.errors",
    "ConnectionFailure": "ff_storage.core.errors",
    "ConnectionLost": "ff_storage.core.errors",
    "ConnectionPoolExhausted": "ff_storage.core.errors",
    "DatabaseCorrupt": "ff_storage.core.errors",
    "DatabaseError": "ff_storage.core.errors",
    "DatabaseFull": "ff_storage.core.errors",
    "DatabaseReadOnly": "ff_storage.core.errors",
    "F": "ff_storage.core.query",
    "FFStorageError": "ff_storage.core.errors",
    "Field": "ff_storage.core.model",
    "ForeignKeyViolation": "ff_storage.core.errors",
    "IdentifierError": "ff_storage.core.errors",
    "IntegrityError": "ff_storage.core.errors",
    "InvalidKeyError": "ff_storage.core.errors",
    "InvalidRowError": "ff_storage.core.errors",
    "InvalidValueError": "ff_storage.core.errors",
    "IsolationLevel": "ff_storage.core.database",
    "KeyTooLong": "ff_storage.core.errors",
    "LimitExceededError": "ff_storage.core.errors",
    "Many": "ff_storage.core.model",
    "MissingDistributionError": "ff_storage.core.errors",
    "MultipleResultsFound": "ff_storage.core.errors",
    "NoResultFound": "ff_storage.core.errors",
    "NotNullViolation": "ff_storage.core.errors",
    "One": "ff_storage.core.model",
    "PluginConflictError": "ff_storage.core.errors",
    "PluginError": "ff_storage.core.errors",
    "PluginLoadError": "ff_storage.core.errors",
    "PoolClosed": "ff_storage.core.errors",
    "PoolError": "ff_storage.core.errors",
    "PoolFull": "ff_storage.core.errors",
    "PoolTimeout": "ff_storage.core.errors",
    "PostgresPool": "ff_storage.postgres",
    "PydanticModel": "ff_storage.core.model",
    "PydanticRepository": "ff_storage.core.repository",
    "Query": "ff_storage.core.query",
    "QueryError": "ff_storage.core.errors",
    "QueryTimeout": "ff_storage.core.errors",
    "RelationNotLoaded": "ff_storage.core.errors",
    "Relationship": "ff_storage.core.model",
    "SQLitePool": "ff_storage.sqlite",
    "Savepoint": "ff_storage.core.database",
    "SavepointAlreadyReleased": "ff_storage.core.errors",
    "SavepointError": "ff_storage.core.errors",
    "SavepointNotFound": "ff_storage.core.errors",
    "SchemaDifference": "ff_storage.core.errors",
    "SchemaError": "ff_storage.core.errors",
    "SerializationFailure": "ff_storage.core.errors",
    "StorageError": "ff_storage.core.errors",
    "TenantError": "ff_storage.core.errors",
    "TenantIsolationError": "ff_storage.core.errors",
    "TenantNotConfigured": "ff_storage.core.errors",
    "TenantScopeError": "ff_storage.core.errors",
    "TooManyConnections": "ff_storage.core.errors",
    "Transaction": "ff_storage.core.database",
    "TransactionAborted": "ff_storage.core.errors",
    "TransactionAlreadyStarted": "ff_storage.core.errors",
    "TransactionClosed": "ff_storage.core.errors",
    "TransactionError": "ff_storage.core.errors",
    "TransactionNotShared": "ff_storage.core.errors",
    "TransactionNotStarted": "ff_storage.core.errors",
    "UniqueViolation": "ff_storage.core.errors",
    "UnknownFieldError": "ff_storage.core.errors",
    "UnsafeSQLError": "ff_storage.core.errors",
    "UnsupportedFeature": "ff_storage.core.errors",
    "WrongLoopError": "ff_storage.core.errors",
    "bulk_insert": "ff_storage.core.query",
    "col": "ff_storage.core.query",
    "func": "ff_storage.core.query",
    "not_": "ff_storage.core.query",
    "open_pool": "ff_storage.core.database",
    "tenant_scope": "ff_storage.core.context",
}
# --- end of the written part


def load(name: str) -> object:
    """The object behind a flat name; AttributeError for a name that is none."""
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("ff-storage-core")
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'ff_storage' has no attribute {name!r}", name=name)
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != module:  # the part is there and misses something of its own
            raise
        from ff_storage.core.errors import MissingDistributionError

        distribution = module.replace("ff_storage.", "ff-storage-", 1)
        raise MissingDistributionError(
            f"ff_storage.{name} is provided by {distribution!r}",
            found="which is not installed",
            remedy=f"run: pip install {distribution}",
        ) from error


def installed() -> list[str]:
    """The flat names whose part is installed."""
    from importlib.util import find_spec

    present = {module: find_spec(module) is not None for module in set(_HOME.values())}
    return [name for name, module in _HOME.items() if present[module]]
