"""The engines of the schema tests: where a database of each is, and what its catalog says.

Another engine is one more class here, and one more name in `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import servers
from ff_storage.core.database import Pool

POSTGRES: Final = tuple(f"postgres-{source}" for source in servers.postgres_sources())
ENGINES: Final = ("sqlite", *POSTGRES)


@dataclass(frozen=True, slots=True)
class Engine:
    """A database of the test's own, at `url`."""

    title: ClassVar[str]
    """The engine, as messages name it."""
    trigger: ClassVar[str]
    """What makes a trigger named `busy` on `painters`."""
    catalog: ClassVar[str]
    """A query for everything that a schema run could touch."""

    patience: ClassVar[dict[str, Any]]
    """Options of a pool that waits as long as it takes for others."""

    url: str

    @staticmethod
    async def tables(pool: Pool) -> set[str]:
        """The names of the tables."""
        raise NotImplementedError

    @staticmethod
    async def indexes(pool: Pool) -> set[str]:
        """The names of the indexes that were created by themselves."""
        raise NotImplementedError

    @staticmethod
    async def leftovers(pool: Pool) -> Sequence[Any]:
        """What is in private places."""
        raise NotImplementedError


class SQLite(Engine):
    """A file."""

    title = "SQLite"
    patience: ClassVar[dict[str, Any]] = {"busy_timeout": 60.0}
    trigger = "CREATE TRIGGER busy AFTER UPDATE ON painters BEGIN SELECT 1; END"
    catalog = "SELECT * FROM sqlite_master UNION ALL SELECT * FROM temp.sqlite_master"

    @staticmethod
    async def tables(pool: Pool) -> set[str]:
        return await _names(pool, "SELECT name FROM sqlite_master WHERE type = 'table'")

    @staticmethod
    async def indexes(pool: Pool) -> set[str]:
        return await _names(pool, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")

    @staticmethod
    async def leftovers(pool: Pool) -> Sequence[Any]:
        return await pool.fetch_all("SELECT name FROM temp.sqlite_master", as_dict=False)


class Postgres(Engine):
    """A database on a server."""

    title = "PostgreSQL"
    patience: ClassVar[dict[str, Any]] = {"query_timeout": 60.0}
    trigger = "CREATE TRIGGER busy AFTER UPDATE ON painters EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    catalog = """
        SELECT n.nspname, c.relname, c.relkind::text, c.oid::bigint, c.xmin::text FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg%' OR n.nspname LIKE 'pg_temp%'
        UNION ALL SELECT nspname, '', '', oid::bigint, xmin::text FROM pg_namespace WHERE nspname NOT LIKE 'pg%'
        UNION ALL SELECT '', conname, contype::text, oid::bigint, xmin::text FROM pg_constraint
        ORDER BY 1, 2, 3, 4
    """

    @staticmethod
    async def tables(pool: Pool) -> set[str]:
        return await _names(pool, "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()")

    @staticmethod
    async def indexes(pool: Pool) -> set[str]:
        query = "SELECT indexname AS name FROM pg_indexes WHERE schemaname = current_schema()"
        return {name for name in await _names(pool, query) if not name.startswith("pk_")}

    @staticmethod
    async def leftovers(pool: Pool) -> Sequence[Any]:
        return await pool.fetch_all(
            "SELECT relname FROM pg_class WHERE relnamespace IN "
            "(SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg_temp%' OR nspname LIKE 'ff_storage%')",
            as_dict=False,
        )


BY_DIALECT: Final[dict[str, type[Engine]]] = {"sqlite": SQLite, "postgres": Postgres}


async def _names(pool: Pool, query: str) -> set[str]:
    return {row["name"] for row in await pool.fetch_all(query)}
