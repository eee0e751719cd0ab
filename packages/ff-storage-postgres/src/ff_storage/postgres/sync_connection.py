"""The synchronous connection: psycopg's, under the contract of `ff_storage.core.database.sync`."""

from __future__ import annotations

import contextlib
import errno
import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import pq, sql
from psycopg.rows import tuple_row

from ff_storage.core.database import IsolationLevel
from ff_storage.core.database.sync import Result
from ff_storage.core.errors import (
    ConfigurationError,
    ConnectionFailure,
    ConnectionLost,
    InvalidValueError,
    QueryError,
    StorageError,
    TransactionAborted,
)
from ff_storage.core.program import Row, Target
from ff_storage.postgres import errors
from ff_storage.postgres.address import Address, Tls
from ff_storage.postgres.keepalive import libpq_probes
from ff_storage.postgres.redaction import redact_refusal, without_frames, without_values
from ff_storage.postgres.session import leaves_session
from ff_storage.postgres.sync_adapters import adapt_compiled, adapt_raw

COPY_ROWS: Final = 5
"""From this many rows on, COPY is faster than an INSERT for each."""

LARGE: Final = 1000
"""Rows from which on a result is not kept behind the statement that read it."""

_IDLE: Final = pq.TransactionStatus.IDLE
_UNKNOWN: Final = pq.TransactionStatus.UNKNOWN

_CHANGED_RESULT: Final = "cached plan must not change result type"


class _OneStatement(psycopg.RawCursor[Any]):
    """A cursor for `$1`, which never sends its text as a script of several statements."""

    def _execute_send(self, query: Any, *, force_extended: bool = False, binary: bool | None = None) -> None:
        del force_extended
        super()._execute_send(query, force_extended=True, binary=binary)


class PsycopgConnection:
    """One open connection; see `ff_storage.core.database.sync.SyncConnection` for the contract."""

    __slots__ = ("_compiled", "_driver", "_raw", "_shared")

    def __init__(self, driver: psycopg.Connection[Any], *, shared: bool) -> None:
        self._driver = driver
        self._shared = shared
        self._compiled = self._cursor(compiled=True)
        self._raw = self._cursor(compiled=False)

    def _cursor(self, *, compiled: bool) -> _OneStatement:
        cursor = _OneStatement(self._driver, row_factory=tuple_row)
        (adapt_compiled if compiled else adapt_raw)(cursor)
        return cursor

    @classmethod
    def open(cls, address: Address, libpq: Mapping[str, Any], *, shared: bool) -> PsycopgConnection:
        """Connect, with the keywords of `libpq_keywords`.

        `shared`: a pooler lends the server's sessions for a transaction, so they have no state of ours.
        """
        secret = address.password
        try:
            driver = psycopg.connect(
                autocommit=True,
                prepare_threshold=None if shared else 5,
                password=secret.reveal() if secret is not None else None,
                **libpq,
            )
        except psycopg.Error as error:
            error.__dict__["_pgconn"] = None  # it holds the password
            raise _refused(error, address) from without_frames(error)
        except BaseException as error:  # noqa: BLE001 - the very same goes on
            raise without_frames(error)  # noqa: B904 - as above
        driver.prepared_max = 500
        return cls(driver, shared=shared)

    @property
    def driver(self) -> psycopg.Connection[Any]:
        """The connection of psycopg itself, for what this library does not offer."""
        return self._driver

    @property
    def server_version(self) -> int:
        """The server's version as a number: 150018 for 15.18."""
        return self._driver.info.server_version

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._driver.pgconn.transaction_status not in (_IDLE, _UNKNOWN)

    @property
    def is_closed(self) -> bool:
        """Whether it can no longer be used."""
        return self._driver.closed

    def keeps_session(self, text: str) -> bool:
        """Whether raw SQL is about rows alone and calls no function that might set something."""
        return leaves_session(text)

    # --- compiled statements -----------------------------------------------------------------------------------------

    def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Every row."""
        cursor = self._execute(self._compiled, text, parameters)
        if cursor.pgresult is None or cursor.pgresult.status != pq.ExecStatus.TUPLES_OK:
            return []
        try:
            rows: list[Row] = cursor.fetchall()
        except psycopg.Error as error:
            raise _unreadable(error) from error
        if len(rows) >= LARGE:
            self._compiled = self._cursor(compiled=True)
        return rows

    def execute(self, text: str, parameters: Sequence[Any]) -> int:
        """The number of rows touched; 0 for a statement that is not about rows."""
        return max(0, self._execute(self._compiled, text, parameters).rowcount)

    def execute_many(self, text: str, parameters: Iterable[Sequence[Any]], target: Target | None = None) -> int:
        """Run `text` for each of `parameters`, all or nothing; an insert of several rows goes by COPY."""
        rows = [*parameters]
        if target is None or len(rows) < COPY_ROWS:
            return self._run_each(self._compiled, text, rows)
        columns = sql.SQL(", ").join(map(sql.Identifier, target.columns))
        table = sql.Identifier(*([target.schema] if target.schema is not None else []), target.table)
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table, columns)
        try:
            with self._compiled.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        except (psycopg.Error, UnicodeEncodeError) as error:
            details = errors.place_in_copy(error.diag.context if isinstance(error, psycopg.Error) else None)
            translated = self._translated(error)
            translated.details |= details
            raise translated from _cause(error)
        return self._compiled.rowcount

    # --- raw statements ----------------------------------------------------------------------------------------------

    def query(self, text: str, parameters: Sequence[Any]) -> Result:
        """Everything about one statement, in plain Python values: JSON decoded."""
        cursor = self._execute(self._raw, text, parameters)
        if cursor.description is None:
            return Result((), [], max(0, cursor.rowcount))
        columns = tuple([column.name for column in cursor.description])
        try:
            rows = cursor.fetchall()
        except psycopg.Error as error:
            raise _unreadable(error) from error
        if len(rows) >= LARGE:
            self._raw = self._cursor(compiled=False)
        return Result(columns, rows, len(rows))

    def query_many(self, text: str, parameters: Iterable[Sequence[Any]]) -> int:
        """Run a raw statement for each of `parameters`, all or nothing."""
        return self._run_each(self._raw, text, [*parameters])

    # --- both --------------------------------------------------------------------------------------------------------

    def _execute(self, cursor: _OneStatement, text: str, parameters: Sequence[Any]) -> _OneStatement:
        try:
            return cursor.execute(text, parameters)  # pyright: ignore[reportArgumentType] - no literal
        except psycopg.errors.FeatureNotSupported as error:
            # Another session changed a table under a prepared statement: nothing was run, and it is prepared anew.
            if _CHANGED_RESULT not in str(error):
                raise self._translated(error, text) from error
            return self._execute_afresh(cursor, text, parameters, error)
        except (psycopg.Error, UnicodeEncodeError) as error:
            raise self._translated(error, text) from _cause(error)

    def _execute_afresh(
        self, cursor: _OneStatement, text: str, parameters: Sequence[Any], failure: psycopg.Error
    ) -> _OneStatement:
        if self.in_transaction:  # it is doomed; psycopg forgets what it prepared when that is rolled back
            raise self._translated(failure, text) from failure
        try:
            self._driver.execute("DEALLOCATE ALL")
            return cursor.execute(text, parameters)  # pyright: ignore[reportArgumentType] - no literal
        except psycopg.Error as error:
            raise self._translated(error, text) from error

    def _run_each(self, cursor: _OneStatement, text: str, rows: Sequence[Sequence[Any]]) -> int:
        if not rows:
            return 0
        own = not self.in_transaction
        try:
            if own:
                self._driver.execute("BEGIN")
            cursor.executemany(text, rows)  # pyright: ignore[reportArgumentType] - no literal
            touched = max(0, cursor.rowcount)
            if own:
                self._driver.execute("COMMIT")
        except (psycopg.Error, UnicodeEncodeError) as error:
            translated = self._translated(error, text)
            if own:
                self._undo()
            raise translated from _cause(error)
        except InvalidValueError:  # of an adapter
            if own:
                self._undo()
            raise
        return touched

    def _undo(self) -> None:
        if self.in_transaction:
            with contextlib.suppress(psycopg.Error):  # then it is closed, or reset before anybody else meets it
                self._driver.execute("ROLLBACK")

    # --- transactions ------------------------------------------------------------------------------------------------

    def begin(self, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        """Begin a transaction."""
        level = f" ISOLATION LEVEL {isolation.value}" if isolation is not None else ""
        self._run(f"BEGIN{level}{' READ ONLY' if readonly else ''}")

    def commit(self) -> None:
        """Commit the transaction."""
        if self._run("COMMIT") != "COMMIT":
            raise TransactionAborted("the server rolled back instead of committing", found="a failed statement")

    def rollback(self) -> None:
        """Roll the transaction back, if there is one."""
        if self.in_transaction:
            self._run("ROLLBACK")

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        self._run(f"SAVEPOINT {name}")

    def release(self, name: str) -> None:
        """Forget a savepoint and keep what was done since."""
        self._run(f"RELEASE SAVEPOINT {name}")

    def rollback_to(self, name: str) -> None:
        """Undo what was done since a savepoint, and forget it."""
        self._run(f"ROLLBACK TO SAVEPOINT {name}")
        self._run(f"RELEASE SAVEPOINT {name}")

    def _run(self, text: str) -> str | None:
        """Run a statement of the library's own making, without parameters; its status."""
        try:
            return self._driver.execute(text.encode()).statusmessage
        except psycopg.Error as error:
            raise self._translated(error) from error

    # --- the session -------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Raise a DatabaseError unless the connection is sound."""
        self._run("SELECT 1")

    def reset(self, *, dirty: bool) -> bool:
        """End any transaction, and restore the session's state."""
        if self._driver.closed:
            return False
        self.rollback()
        if dirty and not self._shared:
            self._run("DISCARD ALL")
        return True

    def close(self) -> None:
        """Close it, whatever its state."""
        with contextlib.suppress(psycopg.Error):
            self._driver.close()

    def _translated(self, error: psycopg.Error | UnicodeEncodeError, text: str = "") -> StorageError:
        """The library's error for one of psycopg's, about the statement `text`."""
        if isinstance(error, UnicodeEncodeError):
            return InvalidValueError("text must be valid Unicode", found="a lone surrogate")
        if error.sqlstate is not None:
            return _of_server(error, error.sqlstate, text)
        if self._driver.closed:
            if "connection is closed" in str(error):
                lost = ConnectionLost("the connection to the server was gone already", remedy="run it again")
                lost.sent = False
                return lost
            return ConnectionLost("the connection to the server is gone", remedy="look whether what it did is stored")
        if isinstance(error, psycopg.ProgrammingError | psycopg.DataError):
            return InvalidValueError(str(error).split("\n", 1)[0])
        return errors.of_client(error)


def _of_server(error: psycopg.Error, sqlstate: str, text: str) -> StorageError:
    """The error for what the server said of a statement, whose own is left without the values that it quotes."""
    diagnosis = error.diag
    said = without_values(sqlstate, diagnosis.message_primary or "", text)
    error.args = (said,)
    return errors.of_server(
        sqlstate,
        said,
        constraint=diagnosis.constraint_name or "",
        table=diagnosis.table_name or "",
        column=diagnosis.column_name or "",
        text=text,
    )


def _unreadable(error: psycopg.Error) -> StorageError:
    """The error for a value of a result that Python has no place for, such as a date after the year 9999."""
    said = str(error).partition(":")[0]
    redact_refusal(error, said)
    return QueryError("a value of the result cannot be read", found=said, remedy="cast it to text in the statement")


def _cause(error: Exception) -> Exception | None:
    """The error to chain: not one that holds a value which must not be shown."""
    return None if isinstance(error, UnicodeEncodeError) else error


def libpq_keywords(
    address: Address, *, connect_timeout: float | None, keepalive: float | None, settings: Mapping[str, str]
) -> dict[str, Any]:
    """What libpq is told of an address, but its password; `settings` are the session's."""
    found: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "dbname": address.dbname,
        "application_name": address.application_name,
        # whole seconds for libpq, which takes fewer than two for two
        "connect_timeout": None if connect_timeout is None else max(2, round(connect_timeout)),
        "client_encoding": "UTF8",
        "gssencmode": "disable",
        **libpq_probes(keepalive),
        **_tls(address.tls),
    }
    if settings:
        found["options"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return found


def _tls(tls: Tls) -> dict[str, str]:
    """The words of libpq for how a connection is protected."""
    if tls.context is not None:
        raise ConfigurationError(
            "psycopg takes no SSLContext", remedy="pass sslmode, sslrootcert, sslcert and sslkey instead"
        )
    found = {"sslmode": tls.mode, "sslrootcert": tls.root, "sslcert": tls.certificate, "sslkey": tls.key}
    if tls.root is None and tls.mode in ("verify-ca", "verify-full"):
        found["sslrootcert"] = _authorities()
    return {name: value for name, value in found.items() if value is not None}


def _authorities() -> str:
    """The certificates that Python trusts: libpq has no others unless it was built with this system's paths."""
    paths = ssl.get_default_verify_paths()
    known = (
        paths.cafile,
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    )
    return next((path for path in known if path and Path(path).is_file()), "system")


_STATES: Final = (
    ("too many clients", "53300"),
    ("too many connections", "53300"),
    ("connection slots", "53300"),
    ("not currently accepting connections", "55000"),
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("authentication failed", "28000"),
    ('role "', "28000"),
    ('database "', "3D000"),
    ("starting up", "57P03"),
    ("shutting down", "57P03"),
    ("not yet accepting connections", "57P03"),
)
"""What servers say instead of opening a session, and the SQLSTATE that libpq does not pass on."""

_CERTIFICATE: Final = ("certificate verify failed", "does not match host name")

_FILES: Final = ("certificate file", "private key file")


def _refused(error: psycopg.Error, address: Address) -> StorageError:
    """The error for a connection that libpq could not open."""
    said = str(error).split("\n", 1)[0]
    fatal = said.partition("FATAL:")[2].strip()
    if fatal:
        state = next((state for words, state in _STATES if words in fatal), "")
        return errors.of_connect(state, fatal)
    if isinstance(error, psycopg.errors.ConnectionTimeout) or "timeout expired" in said:
        return _unreachable(f"no answer from {address.place}", "")
    if "Connection refused" in said:
        return errors.of_system(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), address.place)
    if any(words in said for words in _FILES):
        return errors.unreadable(said.rpartition(": ")[2])
    if any(words in said for words in _CERTIFICATE):
        return errors.unverified(address.place, said.rpartition(": ")[2])
    if "no password supplied" in said:
        return errors.of_connect("28P01", said)
    if "does not support SSL" in said:
        return errors.without_tls(address.place)
    return _unreachable(f"no connection to {address.place}", said.rpartition(": ")[2])


def _unreachable(message: str, found: str) -> ConnectionFailure:
    failure = ConnectionFailure(message, found=found, remedy="check host and port, and that the server runs")
    failure.transient = True
    return failure
