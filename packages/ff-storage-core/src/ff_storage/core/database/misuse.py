"""Methods of the synchronous classes, on an asynchronous pool: each raises, and says what to write instead.

Code that was written for `Postgres` is tried on `PostgresPool`, with the `await` of `connect()` forgotten first of all.
So these are plain methods, which raise when they are called and need no open pool. Type checkers do not see them: to
those, the name is an error while it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ff_storage.core.errors import AsyncPoolUsedSync

LINES: Final = {
    "read_query": "rows = await pool.fetch_all(sql, …)",
    "execute_query": "rows = await pool.fetch_all(sql, …)",
    "begin_transaction": "async with pool.transaction() as tx: …",
    "commit_transaction": "async with pool.transaction() as tx: …, which commits when its block ends",
    "commit": "async with pool.transaction() as tx: …, which commits when its block ends",
    "rollback_transaction": "async with pool.transaction() as tx: …, which rolls back when an error leaves its block",
    "rollback": "async with pool.transaction() as tx: …, which rolls back when an error leaves its block",
    "close_connection": "await pool.disconnect()",
    "get_connection": "async with pool.acquire() as connection: …",
    "is_connected": 'pool.state == "open"',
    "table_exists": "rows = await pool.fetch_all(sql, …) with a question to the engine's catalog",
    "get_table_columns": "rows = await pool.fetch_all(sql, …) with a question to the engine's catalog",
    "__enter__": "async with pool: …",
    "__exit__": "async with pool: …",
}
"""The line to write for each."""


class SyncMisuse:
    """Gives a pool the methods that it does not have."""


def _refusal(name: str, line: str) -> Callable[..., NoReturn]:
    asked = "`with`" if name.startswith("__") else f"{name}()"

    def refused(self: SyncMisuse, *arguments: Any, **options: Any) -> NoReturn:
        del arguments, options
        state = getattr(self, "state", "open")
        first = "" if state == "open" else "await pool.connect(), and then "
        pool = type(self).__name__
        raise AsyncPoolUsedSync(
            f"{pool} is asynchronous, and has no {asked}",
            found=f"the pool is {state}" if first else "",
            remedy=f"write {first}{line}; or use {pool.removesuffix('Pool')}, which needs no await",
        )

    refused.__name__ = name
    refused.__qualname__ = f"{SyncMisuse.__name__}.{name}"
    refused.__doc__ = f"Raise AsyncPoolUsedSync: write {line}."
    return refused


if not TYPE_CHECKING:
    for _name, _line in LINES.items():
        setattr(SyncMisuse, _name, _refusal(_name, _line))
