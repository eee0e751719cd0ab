"""One sqlite3 connection, as its thread uses it: everything here blocks.

Only `interrupt` and `in_transaction` may be used from another thread. Statements run in SQLite's autocommit mode;
transactions are begun by name. Waiting for another connection's lock is done here and not by SQLite's own busy handler,
which no interrupt reaches: a canceled writer stops waiting at once. A writer waits for its turn in the pool first, then
for the lock.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import quote

from ff_storage.core.errors import ConnectionFailure, ConnectionLost, QueryError, SerializationFailure
from ff_storage.sqlite import functions
from ff_storage.sqlite.errors import DRIVER_ERRORS, is_busy, translated
from ff_storage.sqlite.turns import Turns, Writer

T = TypeVar("T")
Row = tuple[Any, ...]

MINIMUM_VERSION: Final = (3, 37, 0)
"""STRICT tables."""

MEMORY: Final = ":memory:"

_WRITE: Final = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|REINDEX|VACUUM|BEGIN\s+(?:IMMEDIATE|EXCLUSIVE)"
    r"|WITH\b.*?\b(?:INSERT|UPDATE|DELETE|REPLACE))\b",
    re.IGNORECASE | re.DOTALL,
)

_FIRST_WAIT: Final = 0.0005
_LONGEST_WAIT: Final = 0.02

_SESSION_PRAGMAS: Final = (
    "analysis_limit", "automatic_index", "cache_size", "cache_spill", "cell_size_check", "checkpoint_fullfsync",
    "defer_foreign_keys", "foreign_keys", "fullfsync", "ignore_check_constraints", "journal_mode", "legacy_alter_table",
    "locking_mode", "max_page_count", "query_only", "read_uncommitted", "recursive_triggers",
    "reverse_unordered_selects", "secure_delete", "synchronous", "temp_store", "threads", "trusted_schema",
    "writable_schema",
)  # fmt: skip
"""Settings of a session that raw SQL may change, for a database in memory, whose session cannot be replaced."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to open a database; `busy_timeout` in seconds."""

    path: str
    busy_timeout: float
    journal_mode: str
    synchronous: str
    readonly: bool
    create: bool

    @property
    def in_memory(self) -> bool:
        """Whether the database lives in its one connection."""
        return self.path == MEMORY


class Session:
    """Opens the database when it is made. Raises ConnectionFailure, DatabaseCorrupt and their kin.

    `any_thread` lets other threads than the one that made it use it, one at a time.
    """

    def __init__(self, settings: Settings, turns: Turns | None = None, *, any_thread: bool = False) -> None:
        if sqlite3.sqlite_version_info < MINIMUM_VERSION:
            raise ConnectionFailure(
                "SQLite 3.37 or newer is needed, for STRICT tables",
                found=f"SQLite {sqlite3.sqlite_version}",
                remedy="use a Python that is built with a newer SQLite",
            )
        self._settings = settings
        self._turns = turns
        self._writer = Writer()
        self._has_turn = False
        self._failure: Exception | None = None
        self._cursors: set[sqlite3.Cursor] = set()
        self._query_only = False
        self._identity: tuple[int, int] | None = None
        self._resetting = False
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                MEMORY if settings.in_memory else _uri(settings),
                uri=not settings.in_memory,
                timeout=0,
                isolation_level=None,
                check_same_thread=not any_thread,
                cached_statements=512,
            )
        except sqlite3.Error as error:
            self._fail(error)
        try:
            self._cursor = self._connection.cursor()
            self._execute = self._cursor.execute
            self._set_up()
        except BaseException:
            self._connection.close()
            raise

    def _set_up(self) -> None:
        settings = self._settings
        functions.register(self._connection, self._function_failed)
        # The first read of the file: it shows whether it is a database.
        self.fetch("PRAGMA schema_version", ())
        if not settings.in_memory and not settings.readonly:
            mode = self.fetch(f"PRAGMA journal_mode = {settings.journal_mode}", ())[0][0]
            if mode.lower() != settings.journal_mode.lower():
                raise ConnectionFailure(
                    f"the journal mode {settings.journal_mode} is not available for this database",
                    found=f"the mode {mode}",
                    remedy="pass journal_mode=… with one that the file system supports",
                )
        for pragma in ("foreign_keys = ON", "trusted_schema = OFF", f"synchronous = {settings.synchronous}"):
            self.fetch(f"PRAGMA {pragma}", ())
        if settings.in_memory:
            self._restore = [
                f"PRAGMA {name} = {rows[0][0]}"
                for name in _SESSION_PRAGMAS
                if (rows := self.fetch(f"PRAGMA {name}", ()))
            ] + ["PRAGMA case_sensitive_like = OFF"]
        else:
            self._identity = _identity(settings.path)

    # --- statements --------------------------------------------------------------------------------------------------

    def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Every row. A write is complete: its RETURNING is fetched to the end."""
        if text.startswith("SELECT"):  # as compiled: the shortest way
            return self._run(text, parameters)
        if self._turns is not None and not self._has_turn and not self._connection.in_transaction and is_write(text):
            self._take_turn(self._turns)
        try:
            return self._run(text, parameters)
        finally:
            self._end_turn()

    def _run(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        try:
            return self._execute(text, parameters).fetchall()
        except DRIVER_ERRORS as error:
            return self._retry(error, lambda: self._execute(text, parameters).fetchall())

    def _take_turn(self, turns: Turns) -> None:
        if not turns.take(self._writer, self._settings.busy_timeout):
            raise SerializationFailure(
                "another writer of this pool did not end in time", remedy="write for less time, or raise busy_timeout"
            )
        self._has_turn = True

    def _end_turn(self) -> None:
        """Let the next writer in, unless a transaction goes on."""
        if self._has_turn and self._turns is not None and not self._connection.in_transaction:
            self._has_turn = False
            self._turns.give()

    def fetch_named(self, text: str, parameters: Sequence[Any]) -> tuple[tuple[str, ...], list[Row]]:
        """The names of the columns, and every row."""
        rows = self.fetch(text, parameters)
        return tuple([column[0] for column in self._cursor.description or ()]), rows

    def fetch_first(self, text: str, parameters: Sequence[Any]) -> tuple[tuple[str, ...], Row | None]:
        """The names of the columns, and the first row; the rest of a query is not read, a write is complete."""
        if is_write(text):
            columns, rows = self.fetch_named(text, parameters)
        else:
            cursor, columns = self.open_cursor(text, parameters)
            try:
                rows = self.fetch_batch(cursor, 1)
            finally:
                self.close_cursor(cursor)
        return columns, rows[0] if rows else None

    def execute(self, text: str, parameters: Sequence[Any]) -> int:
        """The number of rows that were inserted, updated or deleted."""
        before = self._connection.total_changes
        self.fetch(text, parameters)
        return self._touched(before)

    def query(self, text: str, parameters: Sequence[Any]) -> tuple[tuple[str, ...], list[Row], int]:
        """The names of the columns, every row, and the number of rows that were inserted, updated or deleted."""
        before = self._connection.total_changes
        columns, rows = self.fetch_named(text, parameters)
        return columns, rows, self._touched(before)

    def _touched(self, before: int) -> int:
        """The number of rows that the last statement touched; `before` it there were so many changes."""
        count = self._cursor.rowcount
        if count >= 0:
            return count
        # sqlite3 counts statements by their first word, which misses WITH … UPDATE.
        return int(self.fetch("SELECT changes()", ())[0][0]) if self._connection.total_changes != before else 0

    def execute_many(self, text: str, parameters: Iterable[Sequence[Any]]) -> int:
        """All or nothing, within a transaction and without."""
        nested = self._connection.in_transaction
        self.fetch("SAVEPOINT ff_many" if nested else "BEGIN IMMEDIATE", ())
        try:
            try:
                count = self._cursor.executemany(text, self._until_canceled(parameters)).rowcount
            except DRIVER_ERRORS as error:
                self._fail(error)
            if nested:
                self.fetch("RELEASE ff_many", ())
            else:
                self.commit()
        except BaseException:
            self._undo(nested)
            raise
        finally:
            self._end_turn()  # an error may have ended the transaction by itself
        return count

    def _until_canceled(self, parameters: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        # An interrupt almost never meets one of many short statements while it runs.
        writer = self._writer
        for each in parameters:
            if writer.canceled:
                raise QueryError("the statement was canceled")
            yield each

    def _undo(self, nested: bool) -> None:
        if self._connection.in_transaction:  # some errors end the transaction
            self.script(*(["ROLLBACK TO ff_many", "RELEASE ff_many"] if nested else ["ROLLBACK"]))

    def _retry(self, error: Exception, again: Callable[[], T], *, within: bool = False) -> T:
        """Wait for another connection's lock and try again, until `busy_timeout` or a cancellation.

        Only where nothing is held that the other may wait for: not in a transaction, unless `within` says that it is
        safe. Otherwise raises the error in the library's terms.
        """
        deadline = time.monotonic() + self._settings.busy_timeout
        wait = _FIRST_WAIT
        while is_busy(error):
            left = deadline - time.monotonic()
            if (self._connection.in_transaction and not within) or left <= 0:
                break
            if not self._writer.wait(min(wait, left)):
                break
            wait = min(wait * 2, _LONGEST_WAIT)
            try:
                return again()
            except DRIVER_ERRORS as next_error:
                error = next_error
        return self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        # A function fails within the statement that calls it, so what is noted belongs to this error.
        failure, self._failure = self._failure, None
        raise translated(error, failure)

    def _function_failed(self, error: Exception) -> None:
        self._failure = error

    # --- transactions ------------------------------------------------------------------------------------------------

    def begin(self, readonly: bool) -> None:
        """Begin a transaction: with the write lock, or one that refuses writes."""
        self.fetch("BEGIN" if readonly else "BEGIN IMMEDIATE", ())
        if readonly:
            self._query_only = True
            self.fetch("PRAGMA query_only = ON", ())

    def commit(self) -> None:
        """Commit. Another connection's read may block it for a moment where the journal is no WAL."""
        self._close_cursors()
        try:
            self._execute("COMMIT")
        except DRIVER_ERRORS as error:
            self._retry(error, lambda: self._execute("COMMIT"), within=True)
        finally:
            self._end_turn()
        self._writable()

    def rollback(self) -> None:
        """Roll back, if there is anything to."""
        self._close_cursors()
        if self._connection.in_transaction:
            self.fetch("ROLLBACK", ())
        self._end_turn()
        self._writable()

    def _writable(self) -> None:
        if self._query_only:
            self.fetch("PRAGMA query_only = OFF", ())
            self._query_only = False

    def script(self, *texts: str) -> None:
        """Run statements without parameters or rows."""
        for text in texts:
            self.fetch(text, ())

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    # --- streams -----------------------------------------------------------------------------------------------------

    def open_cursor(self, text: str, parameters: Sequence[Any]) -> tuple[sqlite3.Cursor, tuple[str, ...]]:
        """A cursor at the first row of the result, and the names of its columns."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(text, parameters)
        except DRIVER_ERRORS as error:
            self._retry(error, lambda: cursor.execute(text, parameters))
        self._cursors.add(cursor)
        return cursor, tuple([column[0] for column in cursor.description or ()])

    def fetch_batch(self, cursor: sqlite3.Cursor, count: int) -> list[Row]:
        """The next `count` rows, or what is left."""
        try:
            return cursor.fetchmany(count)
        except DRIVER_ERRORS as error:
            self._fail(error)

    def close_cursor(self, cursor: sqlite3.Cursor) -> None:
        """Give up the rest of the result."""
        self._cursors.discard(cursor)
        cursor.close()

    def _close_cursors(self) -> None:
        # A statement that is not read to its end would keep its snapshot open.
        for cursor in [*self._cursors]:
            self.close_cursor(cursor)

    # --- the session -------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Stop the running statement and any wait for a lock, unless `reset` has begun. For other threads."""
        with self._lock, contextlib.suppress(sqlite3.ProgrammingError):  # closed meanwhile
            if not self._resetting:
                self._writer.cancel()
                self._connection.interrupt()

    def ping(self) -> None:
        """Raise ConnectionLost unless the file of this session is still the database."""
        self.fetch("SELECT 1", ())
        if self._identity is not None and self._identity != _identity(self._settings.path):
            raise ConnectionLost("the database file was removed or replaced")

    def reset(self, dirty: bool) -> bool:
        """Bring the session back to how it was opened; False when it must be replaced instead. `ready` must follow."""
        with self._lock:
            self._resetting = True
            self._writer.canceled = False
        self.rollback()
        if dirty and self._settings.in_memory:
            self._restore_session()
        return self._settings.in_memory or not dirty

    def ready(self) -> None:
        """Allow interrupts again, once nobody is left who would send a late one."""
        self._resetting = False

    def _restore_session(self) -> None:
        for pragma in self._restore:
            self.fetch(pragma, ())
        for _, name, _ in self.fetch("PRAGMA database_list", ()):
            if name not in ("main", "temp"):
                self.fetch(f"DETACH {_quoted(name)}", ())
        # Indexes and triggers go with their tables; triggers may also stand on tables of main.
        for kind in ("trigger", "view", "table"):
            names = self.fetch(
                "SELECT name FROM sqlite_temp_master WHERE type = ? AND name NOT LIKE 'sqlite~_%' ESCAPE '~'", (kind,)
            )
            for (name,) in names:
                self.fetch(f"DROP {kind.upper()} IF EXISTS temp.{_quoted(name)}", ())

    def close(self) -> None:
        """Close the database; an open transaction is rolled back."""
        try:
            self.rollback()
        finally:
            self._cursor.close()  # SQLite keeps a connection's files open for as long as it has statements
            self._connection.close()


@lru_cache(1024)
def is_write(text: str) -> bool:
    """Whether a statement needs the write lock at once; a guess that only decides who waits where."""
    return _WRITE.match(text) is not None


def _uri(settings: Settings) -> str:
    mode = "ro" if settings.readonly else "rwc" if settings.create else "rw"
    # An absolute path, since the process may change its directory between two connections.
    return f"file:{quote(str(Path(settings.path).absolute()))}?mode={mode}"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
