"""PostgreSQL for ff-storage: asyncpg for async code, psycopg for sync code."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ff_storage.postgres.pool import PostgresPool
    from ff_storage.postgres.sync import Postgres

__all__ = ["Postgres", "PostgresPool"]


if not TYPE_CHECKING:  # hidden, so that a misspelled name is an error for type checkers

    def __getattr__(name: str) -> object:
        # Loaded when it is asked for: the plugin module lies in this package, and must not import a driver.
        if name == "PostgresPool":
            from ff_storage.postgres.pool import PostgresPool

            return PostgresPool
        if name == "Postgres":
            from ff_storage.postgres.sync import Postgres

            return Postgres
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
