"""`SQL` under its published path; `ff_storage.core.database.sync` is its home."""

from ff_storage.core.database.sync import SQL

__all__ = ["SQL"]
