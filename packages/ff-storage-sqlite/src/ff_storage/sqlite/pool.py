"""The pool of SQLite connections, each in a thread of its own."""

from __future__ import annotations

import inspect
import os
from dataclasses import replace
from typing import Any, ClassVar

from ff_storage.core.database import Connection, IsolationLevel, Pool, PoolSettings
from ff_storage.core.database.executor import Bind
from ff_storage.core.errors import ConfigurationError, ConnectionLost, nearest
from ff_storage.sqlite import parameters
from ff_storage.sqlite.connection import SQLiteConnection
from ff_storage.sqlite.dialect import SQLiteDialect
from ff_storage.sqlite.session import MEMORY
from ff_storage.sqlite.settings import checked_settings, path_of_url
from ff_storage.sqlite.turns import Turns


class SQLitePool(Pool):
    """A database in a file, or in memory for as long as the pool is open.

    With the default journal, WAL, any number of connections read while one writes. Writers wait for each other, up to
    `busy_timeout` seconds, then `SerializationFailure`. `synchronous="FULL"` makes a commit durable when it returns;
    `"NORMAL"` may lose the last commits in a power cut, and nothing else. `readonly=True` opens the file for reading;
    `create=False` refuses to make a missing one. A database in memory lives in one connection, so that is its pool's
    size. The limits are those of `PoolSettings`.
    """

    default_isolation: ClassVar[IsolationLevel] = IsolationLevel.SERIALIZABLE

    def __init__(
        self,
        path: str | os.PathLike[str] = MEMORY,
        *,
        min_size: int = 1,
        max_size: int | None = None,
        acquire_timeout: float | None = 30.0,
        max_waiting: int | None = None,
        connect_timeout: float | None = 10.0,
        query_timeout: float | None = None,
        reset_timeout: float | None = 5.0,
        check_after: float | None = 30.0,
        max_age: float | None = None,
        max_idle: float | None = 300.0,
        busy_timeout: float = 5.0,
        journal_mode: str = "WAL",
        synchronous: str = "FULL",
        readonly: bool = False,
        create: bool = True,
    ) -> None:
        self._database = checked_settings(
            path,
            busy_timeout=busy_timeout,
            journal_mode=journal_mode,
            synchronous=synchronous,
            readonly=readonly,
            create=create,
        )
        in_memory = self._database.in_memory
        if in_memory:
            if max_size not in (None, 1) or min_size not in (0, 1):
                raise ConfigurationError(
                    "a database in memory has one connection", found=f"min_size={min_size!r}, max_size={max_size!r}"
                )
            # Its connection is the database: it is never checked or replaced.
            min_size, max_size, check_after, max_age = 1, 1, None, None
        super().__init__(
            PoolSettings(
                min_size=min_size,
                max_size=max_size if max_size is not None else max(5, min_size),
                acquire_timeout=acquire_timeout,
                max_waiting=max_waiting,
                connect_timeout=connect_timeout,
                query_timeout=query_timeout,
                reset_timeout=reset_timeout,
                check_after=check_after,
                max_age=max_age,
                max_idle=max_idle,
            )
        )
        self._dialect = SQLiteDialect()
        self._turns = None if in_memory else Turns()
        self._found = False

    def __repr__(self) -> str:
        return f"<SQLitePool {self._database.path!r}, {self.state}>"

    @property
    def dialect(self) -> SQLiteDialect:
        """The SQLite dialect."""
        return self._dialect

    @property
    def bind(self) -> Bind:
        """How raw arguments become SQLite's parameters."""
        return parameters.bind

    async def connect(self) -> None:
        """Open the pool."""
        if self.state != "open":
            self._found = False
        await super().connect()

    async def _connect(self) -> Connection:
        settings = self._database
        if self._found:
            if settings.in_memory:
                raise ConnectionLost(
                    "the database in memory is gone with its connection", remedy="open a new pool, and fill it again"
                )
            # A file that vanished is an error, not an empty database.
            settings = replace(settings, create=False)
        connection = await SQLiteConnection.open(settings, self._turns)
        self._found = True
        return connection


def open_pool(url: str, **options: Any) -> SQLitePool:
    """The pool of `sqlite:///relative.db`, `sqlite:////absolute.db` or `sqlite://` (in memory)."""
    path = path_of_url(url)
    known = [name for name in inspect.signature(SQLitePool).parameters if name != "path"]
    for name in options:
        if name not in known:
            raise ConfigurationError(f"SQLitePool has no option {name!r}", remedy=nearest(name, known))
    return SQLitePool(path, **options)
