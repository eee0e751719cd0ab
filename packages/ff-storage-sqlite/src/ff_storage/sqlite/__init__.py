"""SQLite for ff-storage: a file or memory, nothing to install or start."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ff_storage.sqlite.pool import SQLitePool
    from ff_storage.sqlite.sync import SQLite

__all__ = ["SQLite", "SQLitePool"]


if not TYPE_CHECKING:  # hidden, so that a misspelled name is an error for type checkers

    def __getattr__(name: str) -> object:
        # Loaded when it is asked for: the plugin module lies in this package, and must not import the driver.
        if name == "SQLitePool":
            from ff_storage.sqlite.pool import SQLitePool

            return SQLitePool
        if name == "SQLite":
            from ff_storage.sqlite.sync import SQLite

            return SQLite
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
