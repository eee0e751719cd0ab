"""PostgreSQL's errors as the library's, by SQLSTATE; for both drivers."""

from __future__ import annotations

import re
from typing import Any, Final

from ff_storage.core.errors import (
    AuthenticationFailed,
    CheckViolation,
    ConfigurationError,
    ConnectionFailure,
    ConnectionLost,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseReadOnly,
    ForeignKeyViolation,
    IntegrityError,
    InvalidValueError,
    NotNullViolation,
    QueryError,
    QueryTimeout,
    SerializationFailure,
    StorageError,
    TooManyConnections,
    TransactionAborted,
    UniqueViolation,
)
from ff_storage.postgres.redaction import without_values

_VIOLATIONS: Final[dict[str, tuple[type[IntegrityError], str]]] = {
    "23001": (ForeignKeyViolation, "rows that refer to this one restrict the change"),
    "23502": (NotNullViolation, "a required column is NULL"),
    "23503": (ForeignKeyViolation, "a foreign key does not hold"),
    "23505": (UniqueViolation, "a unique key exists already"),
    "23514": (CheckViolation, "a CHECK constraint refuses the row"),
    "23P01": (IntegrityError, "an exclusion constraint refuses the row"),
}

_ENDED: Final = frozenset({"57P01", "57P02", "57P05"})
"""The server ended the session: by an administrator, after a crash, for being idle."""

_STARTING: Final = frozenset({"57P03"})

_POOLER: Final = "behind PgBouncer in transaction mode, open the pool with pgbouncer=True"


def of_server(
    sqlstate: str, message: str, *, constraint: str = "", table: str = "", column: str = "", text: str = ""
) -> StorageError:
    """The error for what the server said about the statement `text`; what it quotes of values is not repeated."""
    details = {
        name: value
        for name, value in (("sqlstate", sqlstate), ("constraint", constraint), ("table", table), ("column", column))
        if value
    }
    said = without_values(sqlstate, message, text)
    if sqlstate in _VIOLATIONS or sqlstate.startswith("23"):
        kind, what = _VIOLATIONS.get(sqlstate, (IntegrityError, "a constraint refuses the row"))
        where = f"{table}.{column}" if table and column else constraint or table
        return kind(f"{what}: {where}" if where else what, details=details)
    return _of_state(sqlstate, said, details)


def place_in_copy(context: str | None) -> dict[str, Any]:
    """The line of a COPY, from 1, that an error's context tells in whichever language, as a detail of the error."""
    found = _LINE.match(context or "")
    return {} if found is None else {"line": int(found[1])}


_LINE: Final = re.compile(r"COPY .*, \S+ (\d+)")


def _of_state(sqlstate: str, said: str, details: dict[str, Any]) -> StorageError:
    match sqlstate:
        case "40001" | "40P01":
            return SerializationFailure(said, remedy="run the whole transaction again", details=details)
        case "0A000" if "cached" in said:  # both drivers prepare statements; outside a transaction they do so again
            return SerializationFailure(
                "a table changed under a statement that was prepared",
                found=said,
                remedy="run the whole transaction again",
                details=details,
            )
        case "55P03":
            return SerializationFailure(said, found="a lock that another transaction holds", details=details)
        case "57014":
            kind = QueryTimeout if "timeout" in said else QueryError
            return kind(said, details=details)
        case "25P02":
            return TransactionAborted(
                "nothing more runs in this transaction", found="a statement in it failed", details=details
            )
        case "25P03" | "25P04":
            return TransactionAborted(
                "the server ended the transaction and its connection",
                found=said,
                remedy="keep transactions short, or raise the server's timeout",
                details=details,
            )
        case "25006":
            remedy = "write to the primary, outside a read-only transaction"
            return DatabaseReadOnly(said, remedy=remedy, details=details)
        case "53100" | "53400":
            return DatabaseFull(said, details=details)
        case "XX001" | "XX002":
            return DatabaseCorrupt(said, details=details)
        case "34000":
            return QueryError(
                "the stream has ended with its transaction", remedy="read it before commit or rollback", details=details
            )
        case "26000" | "42P05":
            return QueryError(said, remedy=_POOLER, details=details)
        case _ if sqlstate in _ENDED or sqlstate.startswith("08"):
            return ConnectionLost(said, details=details)
        case _ if sqlstate in _STARTING or sqlstate == "53300":
            return of_connect(sqlstate, said)
        case _:
            return QueryError(said, details=details)


def of_connect(sqlstate: str, message: str) -> ConnectionFailure:
    """The error for what the server said instead of opening a session."""
    details = {"sqlstate": sqlstate} if sqlstate else {}
    if sqlstate in ("28P01", "28000"):
        return AuthenticationFailed(
            "the server refused the user or the password",
            found=message if sqlstate == "28000" else "",  # which names the host, and whether it came encrypted
            remedy="check user, password and pg_hba.conf",
            details=details,
        )
    if sqlstate == "53300":
        return TooManyConnections(
            "the server has no connection left",
            found=message,
            remedy="lower max_size, or use a pooler",
            details=details,
        )
    if sqlstate == "3D000":
        return ConnectionFailure(
            "the database does not exist", found=message, remedy="create it; connecting never does", details=details
        )
    if sqlstate.startswith("08"):
        failure = ConnectionFailure(
            "the connection broke while it was opened",
            found=message,
            remedy="check that a PostgreSQL server listens there, and look into its log",
            details=details,
        )
    else:
        failure = ConnectionFailure(
            "the server refused the connection", found=message, remedy="look into the server's log", details=details
        )
    failure.transient = sqlstate in _STARTING | _ENDED or sqlstate.startswith("08")
    return failure


def of_system(error: OSError | EOFError | TimeoutError, place: str) -> StorageError:
    """The error for a connection that the operating system could not make; `place` is host and port."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return unverified(place, str(error.verify_message or error.reason))
    if "rejected SSL upgrade" in str(error):  # how asyncpg puts it
        return without_tls(place)
    failure = ConnectionFailure(
        f"no connection to {place}",
        found=getattr(error, "strerror", None) or str(error) or type(error).__name__,
        remedy="check host and port, and that the server runs",
    )
    failure.transient = not isinstance(error, ssl.SSLError)
    return failure


def unverified(place: str, found: str) -> ConfigurationError:
    """The error for a certificate that nobody known has signed, or that is another host's."""
    if "mismatch" in found or "not match" in found or "not valid for" in found:
        return ConfigurationError(
            f"the certificate of {place} is another host's",
            found=found,
            remedy="connect by the name that it is for, or say sslmode=verify-ca to take any host of its authority",
        )
    return ConfigurationError(
        f"the certificate of {place} cannot be verified",
        found=found,
        remedy="pass sslrootcert=… with the authority that signed it",
    )


def unreadable(found: str) -> ConfigurationError:
    """The error for a file of TLS that is none."""
    return ConfigurationError("a TLS file cannot be read", found=found, remedy="check sslrootcert, sslcert and sslkey")


def without_tls(place: str) -> ConnectionFailure:
    """The error for a server that offers plain text alone."""
    return ConnectionFailure(
        f"{place} does not speak TLS",
        remedy="let the server have a certificate, or say sslmode=disable where the network is trusted",
    )


def of_client(error: Exception) -> StorageError:
    """The error for what a driver refuses by itself, before anything is sent."""
    message = str(error)
    argument = re.search(r"query argument (\$\d+)", message)
    if argument is not None:
        expected = re.search(r"\(([^()]*)\)\s*$", message)
        return InvalidValueError(
            f"the value of {argument[1]} does not fit its place in the statement",
            found=expected[1] if expected and "'" not in expected[1] else "",
            remedy="pass a value of the column's type, or cast the placeholder: $1::text",
        )
    if "expects" in message and "argument" in message:
        return InvalidValueError(message.split("\n", 1)[0], remedy="pass one value for each placeholder")
    return QueryError(message.split("\n", 1)[0])


def is_lost(error: DatabaseError) -> bool:
    """Whether a connection cannot be used after `error`."""
    return isinstance(error, ConnectionLost) or error.details.get("sqlstate") in ("25P03", "25P04")
