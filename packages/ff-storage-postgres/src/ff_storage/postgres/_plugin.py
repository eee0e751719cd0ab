"""The plugin of ff-storage-postgres: what it gives to core's registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ff_storage.core.hookspecs import DialectSpec, hookimpl

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect


@hookimpl
def ff_storage_dialects() -> Iterable[DialectSpec]:
    """PostgreSQL, by `postgresql://` and `postgres://`."""
    return [DialectSpec("postgres", ("postgresql", "postgres"), _dialect, _open_pool)]


def _dialect() -> type[Dialect]:
    from ff_storage.postgres.dialect import PostgresDialect

    return PostgresDialect


def _open_pool(url: str, **options: object) -> object:
    from ff_storage.postgres.pool import open_pool

    return open_pool(url, **options)
