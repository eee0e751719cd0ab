"""SQLite for ff-storage: a file or memory, nothing to install or start."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ff_storage.sqlite.pool import SQLitePool

__all__ = ["SQLitePool"]


if not TYPE_CHECKING:  # hidden, so that a misspelled name is an error for type checkers

    def __getattr__(name: str) -> object:
        # Loaded when it is asked for: the plugin module lies in this package, and must not import the driver.
        if name in __all__:
            from ff_storage.sqlite.pool import SQLitePool

            return SQLitePool
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
