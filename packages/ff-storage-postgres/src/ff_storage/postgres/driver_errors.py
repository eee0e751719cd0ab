"""What asyncpg raises, as the library's errors: by SQLSTATE where the server spoke, else by its own words."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from ff_storage.core.errors import (
    ConnectionFailure,
    ConnectionLost,
    InvalidRowError,
    InvalidValueError,
    StorageError,
)
from ff_storage.postgres import errors
from ff_storage.postgres.address import Address
from ff_storage.postgres.redaction import redact, redact_refusal, without_values


def translated(error: Exception, driver: Any) -> Exception:
    """The library's error for one that asyncpg's connection `driver` raised; any other exception as it is."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, asyncpg.DataError) and error.severity is None:  # asyncpg's own: the server has not spoken
        refusal = errors.of_client(error)
        redact_refusal(error, refusal.message)
        return refusal
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | EOFError):
        if driver.is_closed():
            lost = ConnectionLost("the connection to the server is gone", remedy="look whether what it did is stored")
            if "connection is closed" in str(error) or "cannot switch to state" in str(error):
                lost = ConnectionLost("the connection to the server was gone already", remedy="run it again")
                lost.sent = False
            return lost
        if isinstance(error, asyncpg.InternalClientError):
            driver.terminate()
            lost = ConnectionLost("the connection to the server fell out of step", remedy="run it again")
            # As asyncpg puts it when the server's end was read and the link's is not: it has sent nothing then.
            lost.sent = "cannot switch to state" not in str(error)
            return lost
        return errors.of_client(error)
    if isinstance(error, UnicodeEncodeError):  # the statement's
        return InvalidValueError("text must be valid Unicode", found="a lone surrogate")
    if isinstance(error, ValueError | ArithmeticError):  # a decoder's
        return _unreadable(error, driver)
    return error


def _unreadable(error: Exception, driver: Any) -> StorageError:
    """The error for a value that Python has no form for, and the session no form that is read."""
    error.args = ("a decoder refused a value",)  # its own words quote it
    style = str(driver.get_settings().DateStyle)
    if not style.startswith("ISO"):
        return InvalidRowError(
            "a row cannot be read", found=f"DateStyle is {style}", remedy="SET DateStyle = 'ISO', or leave it alone"
        )
    return InvalidRowError(
        "a row cannot be read",
        found=f"a {type(error).__name__}",
        remedy="correct the stored value, or select its text: Python's dates go from the year 1 to 9999",
    )


def lost_while_opening() -> ConnectionFailure:
    """The error for a connection that was lost before it was one: the next attempt may succeed."""
    return _transient("the connection broke while it was opened")


def _transient(message: str) -> ConnectionFailure:
    failure = ConnectionFailure(message, remedy="check that a PostgreSQL server listens there, and look into its log")
    failure.transient = True
    return failure


def refused(error: Exception, address: Address) -> StorageError:
    """The error for a connection that could not be opened."""
    if isinstance(error, asyncpg.PostgresError):
        return errors.of_connect(error.sqlstate or "", error.args[0] if error.args else "")
    if isinstance(error, asyncpg.InterfaceError):
        found = str(error).split("\n", 1)[0]
        return ConnectionFailure("no session can be opened", found=found, remedy="check the server's pg_hba.conf")
    if isinstance(error, asyncpg.InternalClientError):
        return lost_while_opening()
    if isinstance(error, asyncio.TimeoutError):
        return _transient(f"no answer from {address.place}")
    assert isinstance(error, OSError | EOFError)  # noqa: S101 - there are no others
    return errors.of_system(error, address.place)


def _of_server(error: Any) -> StorageError:
    """The error for what the server said of a statement, whose own is left without the values that it quotes."""
    sqlstate, text = error.sqlstate or "", getattr(error, "query", None) or ""
    said = without_values(sqlstate, str(error.args[0]) if error.args else "", text)
    redact(error, sqlstate, said)
    return errors.of_server(
        sqlstate,
        said,
        constraint=error.constraint_name or "",
        table=error.table_name or "",
        column=error.column_name or "",
        text=text,
    )
