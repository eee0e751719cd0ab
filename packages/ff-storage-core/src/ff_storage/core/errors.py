"""The error tree: every failure that leaves ff-storage is a `StorageError`.

A message has three parts: what was asked, what was found, and what to do about it. The class carries a stable `code`
(`FF-…`) that log searches and support answers may rely on; the text may improve between releases, the code never
changes. A driver's own exception is chained as `__cause__`. No message ever contains a password, a connection string or
a bound parameter.

    StorageError (= FFStorageError)
    ├── input errors, also ValueError
    │   ├── IdentifierError, UnknownFieldError, InvalidValueError, LimitExceededError, InvalidKeyError
    │   ├── ConfigurationError, UnsafeSQLError, UnsupportedFeature
    │   └── KeyTooLong (an InvalidValueError of the schema)
    ├── TenantError ── TenantNotConfigured, TenantScopeError (= TenantIsolationError, also ValueError)
    ├── NoResultFound, MultipleResultsFound (── AmbiguousRow), RelationNotLoaded, ConcurrencyError, InvalidRowError
    ├── SchemaError ── SchemaDifference
    ├── DatabaseError
    │   ├── ConnectionFailure ── AuthenticationFailed, TooManyConnections, CircuitBreakerOpen
    │   ├── ConnectionLost, WrongLoopError
    │   ├── PoolError ── PoolTimeout (= ConnectionPoolExhausted), PoolFull, PoolClosed, AsyncPoolUsedSync
    │   ├── QueryError ── QueryTimeout
    │   ├── IntegrityError ── UniqueViolation, ForeignKeyViolation, NotNullViolation, CheckViolation
    │   ├── SerializationFailure, DatabaseFull, DatabaseReadOnly, DatabaseCorrupt
    │   └── TransactionError ── TransactionNotStarted, TransactionAlreadyStarted, TransactionClosed,
    │                           TransactionAborted, TransactionNotShared, ConcurrentUseError,
    │                           CommitOutcomeUnknown, SavepointError ── SavepointNotFound, SavepointAlreadyReleased
    └── PluginError ── PluginConflictError, PluginLoadError; MissingDistributionError (also ImportError)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class StorageError(Exception):
    """Anything that ff-storage reports.

    `found` says what was there instead, `remedy` what to do; both are optional sentences. `details` holds structured
    values for programs (never secrets).
    """

    code: ClassVar[str] = "FF-E000"

    def __init__(
        self, message: str, *, found: str = "", remedy: str = "", details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.found = found
        self.remedy = remedy
        self.details: dict[str, Any] = details or {}

    def __str__(self) -> str:
        text = f"{self.message}: {self.found}" if self.found else self.message
        if self.remedy:
            text = f"{text}; {self.remedy}"
        return f"{text} [{self.code}]"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle through their args; ours carry keyword state as well.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[StorageError], args: tuple[Any, ...], state: dict[str, Any]) -> StorageError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


# --- input -----------------------------------------------------------------------------------------------------------


class IdentifierError(StorageError, ValueError):
    """A name cannot be an SQL identifier: `[A-Za-z_][A-Za-z0-9_]*`, at most 63 bytes."""

    code = "FF-I101"


class UnknownFieldError(StorageError, ValueError):
    """A name is not a field of the model it was used on."""

    code = "FF-I102"

    @classmethod
    def of(cls, name: object, owner: str, known: Iterable[str]) -> UnknownFieldError:
        """The error for `name` on `owner`, with the nearest of the `known` names in the remedy."""
        return cls(f"{owner} has no field {name!r}", remedy=nearest(str(name), known))


class InvalidValueError(StorageError, ValueError):
    """A value does not fit where it was given; nothing was sent."""

    code = "FF-I103"


class LimitExceededError(StorageError, ValueError):
    """Something is larger or deeper than its documented limit; nothing was sent."""

    code = "FF-I104"


class InvalidKeyError(StorageError, ValueError):
    """An object key is not portable between backends."""

    code = "FF-I105"


class ConfigurationError(StorageError, ValueError):
    """A setting of a model, a pool or a part is wrong."""

    code = "FF-I106"


class UnsafeSQLError(StorageError, ValueError):
    """SQL text was given where only structured values are taken."""

    code = "FF-I107"


class UnsupportedFeature(StorageError, ValueError):
    """The engine cannot do what was asked; the remedy says what it can."""

    code = "FF-I108"


class KeyTooLong(InvalidValueError):
    """A text column of a key or index needs `max_length` on this engine."""

    code = "FF-I109"


# --- tenants ---------------------------------------------------------------------------------------------------------


class TenantError(StorageError):
    """The tenant scope and the work do not agree."""

    code = "FF-T200"


class TenantNotConfigured(TenantError):
    """A multi-tenant model was used without a tenant scope."""

    code = "FF-T201"


class TenantScopeError(TenantError, ValueError):
    """A value names a tenant outside the scope."""

    code = "FF-T202"


# --- results ---------------------------------------------------------------------------------------------------------


class NoResultFound(StorageError, ValueError):
    """Exactly one row was asked for and there was none."""

    code = "FF-R301"


class MultipleResultsFound(StorageError, ValueError):
    """At most one row was asked for and there were more."""

    code = "FF-R302"


class AmbiguousRow(MultipleResultsFound):
    """A key names rows of several tenants within a permissive scope."""

    code = "FF-R303"


class RelationNotLoaded(StorageError):
    """A relationship was read that the query did not load.

    Not an AttributeError: `getattr(obj, name, default)` would then hide the missing `.load(…)`.
    """

    code = "FF-R304"


class ConcurrencyError(StorageError):
    """The row changed since it was read; nothing was written."""

    code = "FF-R305"


class InvalidRowError(StorageError, ValueError):
    """A stored row does not fit the model it is read as."""

    code = "FF-R306"


# --- schema ----------------------------------------------------------------------------------------------------------


class SchemaError(StorageError):
    """The models and the database schema cannot be brought together."""

    code = "FF-S400"


class SchemaDifference(SchemaError):
    """An existing table differs from its model in a way that this release does not change."""

    code = "FF-S401"


# --- the database ----------------------------------------------------------------------------------------------------


class DatabaseError(StorageError):
    """The database or the way to it failed."""

    code = "FF-D500"


class ConnectionFailure(DatabaseError):
    """A connection could not be opened; `transient` says whether the same attempt may succeed a little later."""

    code = "FF-D501"
    transient: bool = False


class ConnectionLost(DatabaseError):
    """An open connection broke; `sent` says whether the statement may have reached the server."""

    code = "FF-D502"
    sent: bool = True


class WrongLoopError(DatabaseError):
    """A pool was used from an event loop or process other than its own."""

    code = "FF-D503"


class AuthenticationFailed(ConnectionFailure):
    """The server refused the user or the password."""

    code = "FF-D504"


class TooManyConnections(ConnectionFailure):
    """The server has no connection left to give."""

    code = "FF-D505"
    transient = True


class CircuitBreakerOpen(ConnectionFailure):
    """A circuit breaker refused the call, because calls before it failed."""

    code = "FF-D506"


class PoolError(DatabaseError):
    """The pool was used against its contract."""

    code = "FF-D510"


class PoolTimeout(PoolError):
    """No connection became free within the deadline."""

    code = "FF-D511"


class PoolFull(PoolError):
    """The queue for a connection is at its bound."""

    code = "FF-D512"


class PoolClosed(PoolError):
    """The pool is not open."""

    code = "FF-D513"


class AsyncPoolUsedSync(PoolError):
    """A method of the sync classes was called on an async pool; the remedy is the line to write."""

    code = "FF-D514"


class QueryError(DatabaseError):
    """The database refused a statement."""

    code = "FF-D520"


class QueryTimeout(QueryError):
    """A statement ran past its deadline."""

    code = "FF-D521"


class IntegrityError(DatabaseError):
    """A constraint refused the write."""

    code = "FF-D530"


class UniqueViolation(IntegrityError):
    """A key or unique value exists already."""

    code = "FF-D531"


class ForeignKeyViolation(IntegrityError):
    """A reference has no target, or a row is still referenced."""

    code = "FF-D532"


class NotNullViolation(IntegrityError):
    """A required column was left NULL."""

    code = "FF-D533"


class CheckViolation(IntegrityError):
    """A CHECK constraint refused the row."""

    code = "FF-D534"


class SerializationFailure(DatabaseError):
    """A conflict with a concurrent transaction (a deadlock included); the whole transaction may be run again."""

    code = "FF-D540"


class DatabaseFull(DatabaseError):
    """The disk or quota under the database is exhausted."""

    code = "FF-D550"


class DatabaseReadOnly(DatabaseError):
    """The database refuses writes."""

    code = "FF-D551"


class DatabaseCorrupt(DatabaseError):
    """The database file is damaged or not a database."""

    code = "FF-D552"


class TransactionError(DatabaseError):
    """A transaction was used against its contract."""

    code = "FF-X600"


class TransactionNotStarted(TransactionError):
    """The transaction has not begun."""

    code = "FF-X601"


class TransactionAlreadyStarted(TransactionError):
    """The transaction has begun already."""

    code = "FF-X602"


class TransactionClosed(TransactionError):
    """The transaction has ended."""

    code = "FF-X603"


class TransactionAborted(TransactionError):
    """An earlier statement failed, so nothing more runs and nothing will be committed."""

    code = "FF-X604"


class TransactionNotShared(TransactionError):
    """A task used the pool inside a transaction that another task opened."""

    code = "FF-X605"


class ConcurrentUseError(TransactionError):
    """Two tasks used one transaction at the same time."""

    code = "FF-X606"


class CommitOutcomeUnknown(TransactionError):
    """The connection broke during COMMIT: the work may or may not be stored. It is never repeated automatically."""

    code = "FF-X607"


class SavepointError(TransactionError):
    """A savepoint was used against its contract."""

    code = "FF-X610"


class SavepointNotFound(SavepointError):
    """There is no such savepoint."""

    code = "FF-X611"


class SavepointAlreadyReleased(SavepointError):
    """The savepoint has ended."""

    code = "FF-X612"


# --- plugins ---------------------------------------------------------------------------------------------------------


class PluginError(StorageError):
    """A plugin cannot be used."""

    code = "FF-P700"


class PluginConflictError(PluginError):
    """Two distributions claim one name."""

    code = "FF-P701"


class PluginLoadError(PluginError):
    """A plugin exists but could not be loaded."""

    code = "FF-P702"


class MissingDistributionError(StorageError, ImportError):
    """A name belongs to a distribution that is not installed; the remedy is the install line."""

    code = "FF-P703"


# --- published names: aliases, never second classes ------------------------------------------------------------------

FFStorageError = StorageError
TenantIsolationError = TenantScopeError
ConnectionPoolExhausted = PoolTimeout


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for a misspelled name: the closest of the `known` ones, else the first few of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f"known names: {shown}" if names else "there are none"
