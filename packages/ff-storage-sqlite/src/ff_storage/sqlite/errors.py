"""sqlite3's errors in the library's terms.

SQLite's messages name constraints, tables and columns, never a bound value, so they are passed on; sqlite3's own
messages about parameters are replaced where they would repeat one. The driver's exception is chained.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ff_storage.core.errors import (
    CheckViolation,
    ConfigurationError,
    ConnectionFailure,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseReadOnly,
    ForeignKeyViolation,
    IntegrityError,
    InvalidValueError,
    LimitExceededError,
    NotNullViolation,
    QueryError,
    SerializationFailure,
    StorageError,
    UniqueViolation,
)

_CONSTRAINT_DATATYPE: Final = sqlite3.SQLITE_CONSTRAINT | 12 << 8
"""A value of the wrong type for a STRICT table; Python has no name for it."""

_CONSTRAINTS: Final[dict[int, type[IntegrityError]]] = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: UniqueViolation,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: UniqueViolation,
    sqlite3.SQLITE_CONSTRAINT_ROWID: UniqueViolation,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: ForeignKeyViolation,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: NotNullViolation,
    sqlite3.SQLITE_CONSTRAINT_CHECK: CheckViolation,
}

_PRIMARY: Final[dict[int, tuple[type[DatabaseError], str]]] = {
    sqlite3.SQLITE_BUSY: (SerializationFailure, "run the transaction again, or raise busy_timeout"),
    sqlite3.SQLITE_LOCKED: (SerializationFailure, "run the transaction again"),
    sqlite3.SQLITE_FULL: (DatabaseFull, "free space on the disk; nothing of the statement was stored"),
    sqlite3.SQLITE_READONLY: (DatabaseReadOnly, "check the file's permissions, and readonly=True of the transaction"),
    sqlite3.SQLITE_CORRUPT: (DatabaseCorrupt, "restore the file from a backup; PRAGMA integrity_check says more"),
    sqlite3.SQLITE_NOTADB: (DatabaseCorrupt, "check that the path is that of a SQLite database"),
    sqlite3.SQLITE_CANTOPEN: (ConnectionFailure, "check the path, its directory and their permissions"),
    sqlite3.SQLITE_IOERR: (DatabaseError, "check the disk; the statement was not stored"),
    sqlite3.SQLITE_NOLFS: (DatabaseFull, "the file system cannot hold larger files"),
    sqlite3.SQLITE_INTERRUPT: (QueryError, "it was canceled"),
}


DRIVER_ERRORS: Final = (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeEncodeError)
"""What sqlite3 raises: for parameters that do not fit, built-in exceptions."""


def is_busy(error: Exception) -> bool:
    """Whether the statement met another connection's lock, and may find it gone a moment later."""
    # Errors that sqlite3 raises by itself have no code.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF == sqlite3.SQLITE_BUSY


def translated(error: Exception, failure: Exception | None = None) -> StorageError:
    """The library's error for one of DRIVER_ERRORS, which is chained unless its text repeats a value.

    `failure` is the exception of a registered function, when one raised.
    """
    cause: Exception | None = error
    if isinstance(error, OverflowError):
        found: StorageError = InvalidValueError("an int of 64 bits is expected as a parameter")
    elif isinstance(error, UnicodeEncodeError):
        found, cause = InvalidValueError("text must be valid Unicode", found="a lone surrogate"), None
    elif getattr(error, "sqlite_errorcode", 0):
        found = _of_sqlite(error, failure)
    else:
        found = _of_driver(error)
    found.__cause__ = cause
    return found


def _of_sqlite(error: Exception, failure: Exception | None) -> StorageError:
    message = str(error)
    code: int = getattr(error, "sqlite_errorcode", 0)
    primary = code & 0xFF
    details = {"sqlite_errorname": getattr(error, "sqlite_errorname", "")}
    if failure is not None:
        # SQLite's own message is about the function, or for an OverflowError about something else.
        return QueryError("a function of ff-storage failed in the statement", found=str(failure), details=details)
    if primary == sqlite3.SQLITE_CONSTRAINT:
        if code == _CONSTRAINT_DATATYPE:
            return QueryError(message, remedy="the table is STRICT: bind a value of the column's type", details=details)
        return _CONSTRAINTS.get(code, IntegrityError)(message, details=details)
    if primary in _PRIMARY:
        kind, remedy = _PRIMARY[primary]
        return kind(message, remedy=remedy, details=details)
    if primary == sqlite3.SQLITE_TOOBIG:
        return LimitExceededError(message, remedy="SQLite stores values of at most 1,000,000,000 bytes")
    if message.startswith(("parser stack overflow", "Expression tree is too large")):
        return LimitExceededError(
            "an expression nests deeper than this SQLite takes", found=message, remedy="flatten it; nothing was run"
        )
    if message.startswith("unsafe use of "):
        # In 3.40 that is what it says of its JSON functions; a session-private table may use them, a stored one not.
        return QueryError(
            message,
            remedy="it is trusted in no stored table; compute the value in Python, or try a newer SQLite",
            details=details,
        )
    if message == "integer overflow":
        return QueryError(
            message, remedy="the sum does not fit 64 bits; sum a Float, or fewer rows at a time", details=details
        )
    return QueryError(message, details=details)


def _of_driver(error: Exception) -> StorageError:
    """The error for what sqlite3 refuses by itself, before SQLite sees it."""
    message = str(error)
    if "closed cursor" in message:
        return QueryError("the stream has ended with its transaction", remedy="read it before commit or rollback")
    if "closed database" in message:
        return ConnectionFailure("the connection is closed")
    if "one statement at a time" in message:
        return QueryError("one statement at a time is expected", remedy="send each statement by itself")
    if "bindings supplied" in message:
        return InvalidValueError(message, remedy="pass one value for each ?")
    if "type" in message and "bind" in message:
        return InvalidValueError(message, remedy="bind None, int, float, str or bytes, or what raw queries convert")
    if isinstance(error, sqlite3.NotSupportedError):
        return ConfigurationError(message)
    return QueryError(message)
