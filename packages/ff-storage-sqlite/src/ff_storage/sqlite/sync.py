"""`SQLite`: a database file, or one in memory, for code that does not await."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ff_storage.core.database import IsolationLevel
from ff_storage.core.database.sync import SQL, Parameters, Result, StoreSettings, chosen_size
from ff_storage.core.errors import ConfigurationError, ConnectionLost, DatabaseError
from ff_storage.core.program import Target
from ff_storage.sqlite import parameters
from ff_storage.sqlite.connection import is_about_rows
from ff_storage.sqlite.dialect import SQLiteDialect
from ff_storage.sqlite.session import MEMORY, Row, Session, Settings
from ff_storage.sqlite.settings import checked_settings, path_of_url
from ff_storage.sqlite.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXAMPLE = "read_query('… WHERE a = ? AND b = ?', [a, b])"

_TABLES = "SELECT schema, name FROM pragma_table_list WHERE name = ? COLLATE NOCASE"

_COLUMNS = (
    "SELECT name AS column_name, type AS data_type,"
    " NOT [notnull] AND NOT (pk > 0 AND type = 'INTEGER' COLLATE NOCASE) AS is_nullable, dflt_value AS column_default"
    " FROM pragma_table_xinfo(?, ?) WHERE hidden <> 1 ORDER BY cid"
)


class SQLite(SQL):
    """A database in a file, or in memory for as long as it is connected.

    Raw statements take `?`. `pool_size` (or `max_size`) connections let that many threads read a file at once, while
    one writes; a database in memory has one. The other arguments are those of `SQLitePool`.
    """

    default_isolation: ClassVar[IsolationLevel] = IsolationLevel.SERIALIZABLE

    def __init__(
        self,
        path: str | os.PathLike[str] = MEMORY,
        *,
        pool_size: int = 1,
        max_size: int | None = None,
        acquire_timeout: float | None = 30.0,
        check_after: float | None = 30.0,
        busy_timeout: float = 5.0,
        journal_mode: str = "WAL",
        synchronous: str = "FULL",
        readonly: bool = False,
        create: bool = True,
        logger: logging.Logger | None = None,
    ) -> None:
        self._database = checked_settings(
            path,
            busy_timeout=busy_timeout,
            journal_mode=journal_mode,
            synchronous=synchronous,
            readonly=readonly,
            create=create,
        )
        size = chosen_size(pool_size, max_size)
        if self._database.in_memory:
            if size != 1:
                raise ConfigurationError("a database in memory has one connection", found=f"pool_size={size!r}")
            check_after = None  # its connection is the database
        settings = StoreSettings(size=size, acquire_timeout=acquire_timeout, check_after=check_after, max_age=None)
        super().__init__(settings, logger)
        self._dialect = SQLiteDialect()
        self._turns = Turns() if size > 1 else None
        self._found = False

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The database of `sqlite:///relative.db`, `sqlite:////absolute.db` or `sqlite://` (in memory)."""
        return cls(path_of_url(url), **options)

    def __repr__(self) -> str:
        return f"<SQLite {self._database.path!r}, {'connected' if self.is_connected() else 'not connected'}>"

    @property
    def dialect(self) -> SQLiteDialect:
        """The SQLite dialect."""
        return self._dialect

    def connect(self) -> None:
        """Open the database; nothing happens when it is open."""
        if not self.is_connected():
            self._found = False
        super().connect()

    def _open(self) -> SQLiteSyncConnection:
        settings = self._database
        if self._found:
            if settings.in_memory:
                raise ConnectionLost(
                    "the database in memory is gone with its connection", remedy="connect again, and fill it again"
                )
            settings = replace(settings, create=False)  # a file that vanished is an error, not an empty database
        connection = SQLiteSyncConnection(settings, self._turns)
        self._found = True
        return connection

    def _text(self, query: str, *, bare: bool) -> str:
        del bare
        return query

    def _values(self, query: str, params: Parameters | None) -> Sequence[Any]:
        arguments = () if params is None else params if isinstance(params, Sequence) else (params,)
        return parameters.bind(query, arguments, _EXAMPLE)

    def table_exists(self, table_name: str, schema: str | None = None) -> bool:
        """Whether there is such a table or view, temporary and attached ones included."""
        return self._find(table_name, schema) is not None

    def get_table_columns(self, table_name: str, schema: str | None = None) -> list[dict[str, Any]]:
        """The columns of a table or view; an empty list when there is none."""
        found = self._find(table_name, schema)
        rows = [] if found is None else self.read_query(_COLUMNS, [found[1], found[0]])
        return [{**row, "is_nullable": bool(row["is_nullable"])} for row in rows]

    def _find(self, table: str, schema: str | None) -> tuple[str, str] | None:
        """The schema and name of a table, as SQLite would look for it."""
        found: Mapping[str, str] = dict(self.read_query(_TABLES, [table], as_dict=False))
        if schema is not None:
            # "public" is the default schema on every engine.
            wanted = "main" if schema == "public" else schema.lower()
            found = {place: name for place, name in found.items() if place.lower() == wanted}
        order = sorted(found, key=lambda place: (place != "temp", place != "main"))
        return (order[0], found[order[0]]) if order else None


class SQLiteSyncConnection:
    """A session, as the synchronous side uses it; see `ff_storage.core.database.sync.SyncConnection`."""

    __slots__ = ("_session", "is_closed")

    def __init__(self, settings: Settings, turns: Turns | None = None) -> None:
        self._session = Session(settings, turns, any_thread=True)
        self.is_closed = False

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return not self.is_closed and self._session.in_transaction

    def keeps_session(self, text: str) -> bool:
        """Whether raw SQL is a query or a change of rows; anything else may set, attach or create something."""
        return is_about_rows(text)

    def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Every row."""
        return self._session.fetch(text, parameters)

    def execute(self, text: str, parameters: Sequence[Any]) -> int:
        """The number of rows touched."""
        return self._session.execute(text, parameters)

    def execute_many(self, text: str, parameters: Iterable[Sequence[Any]], target: Target | None = None) -> int:
        """Run `text` for each of `parameters`, all or nothing; nothing is faster for an insert."""
        del target
        return self._session.execute_many(text, parameters)

    def query(self, text: str, parameters: Sequence[Any]) -> Result:
        """Everything about one raw statement."""
        return Result(*self._session.query(text, parameters))

    def query_many(self, text: str, parameters: Iterable[Sequence[Any]]) -> int:
        """`execute_many`: raw values are bound as others are."""
        return self._session.execute_many(text, parameters)

    def begin(self, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        """Begin a transaction, which is SERIALIZABLE whatever is asked."""
        del isolation
        self._session.begin(readonly)

    def commit(self) -> None:
        """Commit the transaction."""
        self._session.commit()

    def rollback(self) -> None:
        """Roll the transaction back, if there is one."""
        self._session.rollback()

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        self._session.script(f"SAVEPOINT {name}")

    def release(self, name: str) -> None:
        """Forget a savepoint and keep what was done since."""
        self._session.script(f"RELEASE {name}")

    def rollback_to(self, name: str) -> None:
        """Undo what was done since a savepoint, and forget it."""
        self._session.script(f"ROLLBACK TO {name}", f"RELEASE {name}")

    def ping(self) -> None:
        """Raise a DatabaseError unless the file is still the database."""
        self._session.ping()

    def reset(self, *, dirty: bool) -> bool:
        """End any transaction; False when the session was changed, and must be replaced."""
        restored = self._session.reset(dirty)
        self._session.ready()
        return restored

    def close(self) -> None:
        """Close the database; an open transaction is rolled back."""
        if not self.is_closed:
            self.is_closed = True
            with contextlib.suppress(DatabaseError):
                self._session.close()
