"""The database all contenders share: its table, its settings and its rows."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks.contender import Entry
from benchmarks.runner import Unavailable
from benchmarks.workload import SCRATCH, Row, preload

COMPARED = ("server_version", "fsync", "synchronous_commit", "jit", "plan_cache_mode", "work_mem", "TimeZone")
"""What every contender's connections must agree in."""

COLUMNS = ", ".join(f'"{name}"' for name in Row._fields)

# What the library itself writes for benchmarks.ours.Item; its schema sync checks that they are the same. Rows are
# cleaned up by the harness, at the same moments for everybody, and never by autovacuum.
_TABLE: LiteralString = """
CREATE TABLE "items" (
    "id" uuid NOT NULL,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "created_by" uuid,
    "updated_by" uuid,
    "name" varchar(100) COLLATE "C" NOT NULL,
    "price" numeric(10, 2) NOT NULL,
    "quantity" bigint NOT NULL,
    "active" boolean NOT NULL,
    "attributes" jsonb NOT NULL,
    "note" text COLLATE "C",
    "tenant_id" uuid NOT NULL,
    CONSTRAINT "pk_items" PRIMARY KEY ("tenant_id", "id")
);
CREATE INDEX "idx_items_newest" ON "items" ("tenant_id", "created_at");
ALTER TABLE "items" SET (autovacuum_enabled = off);
"""

_TYPED = {"get": 0.55, "page": 1.2, "fetch": 1.6, "insert": 0.7, "bulk": 0.7, "update": 0.7, "tasks": 0.5}
_SINGLE = frozenset(("get", "page", "fetch", "insert", "bulk", "update"))


class PostgresDatabase:
    """The engine: a database of its own, on a server that it starts or on the one at `url`."""

    name = "postgres"
    title = "PostgreSQL"
    operations = ("get", "page", "fetch", "insert", "bulk", "update", "tasks")
    entries = (
        Entry("asyncpg", "asyncpg, its pool, records", "benchmarks.postgres.base:contender"),
        Entry("ours", "ff-storage", "benchmarks.postgres.ours:contender", targets=_TYPED),
        Entry(
            "ours-driver",
            'ff-storage, uuid="driver"',
            "benchmarks.postgres.ours:driver_uuids",
            targets={**_TYPED, "fetch": 1.4},
        ),
        Entry(
            "ours-blind",
            "ff-storage, row not read back",
            "benchmarks.postgres.ours:blind",
            operations=frozenset(("update",)),
            targets={"update": 0.6},
        ),
        Entry("held", "asyncpg, connection held", "benchmarks.postgres.base:held", operations=_SINGLE),
        Entry("copy", "asyncpg COPY", "benchmarks.postgres.base:copying", operations=frozenset(("bulk",))),
        Entry("psycopg", "psycopg 3, its pool, dicts", "benchmarks.postgres.psycopg_dicts:contender"),
        Entry("sqlalchemy", "SQLAlchemy ORM", "benchmarks.postgres.sqlalchemy_orm:contender"),
        Entry("sqlmodel", "SQLModel", "benchmarks.postgres.sqlmodel_orm:contender"),
        Entry("tortoise", "Tortoise", "benchmarks.postgres.tortoise_orm:contender"),
        Entry("piccolo", "Piccolo", "benchmarks.postgres.piccolo_orm:contender"),
    )

    def __init__(self, url: str | None) -> None:
        sys.path.insert(0, str(Path(__file__).parents[2] / "tests-integration"))
        import servers

        if url is not None:
            os.environ[servers.ADDRESS["postgres"]] = url
        source = servers.postgres_sources()[0]
        if source == "none":
            raise Unavailable(f"PostgreSQL: {servers.REMEDY['postgres'].format(variable='--url')}")
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(servers.postgres(source))
            database = stack.enter_context(server.database())
            self._url: str = database.url
            self._connection = psycopg.connect(self._url, autocommit=True)
            stack.callback(self._connection.close)
            self._stack = stack.pop_all()

    def prepare(self, entries: Sequence[Entry]) -> str:
        del entries  # all work on the one table
        run = self._connection.execute
        name = sql.Identifier(self._connection.info.dbname)
        run(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
        run(sql.SQL("ALTER DATABASE {} SET TimeZone = 'UTC'").format(name))
        run(_TABLE)
        with self._connection.cursor() as cursor, cursor.copy(f'COPY "items" ({COLUMNS}) FROM STDIN') as copy:
            for row in preload():
                copy.write_row(row._replace(attributes=Jsonb(row.attributes)))
        run("VACUUM ANALYZE items")
        run("CHECKPOINT")
        return self._url

    def settle(self) -> None:
        self._connection.execute("DELETE FROM items WHERE tenant_id = %s", (SCRATCH,))
        self._connection.execute("VACUUM items")

    def close(self) -> None:
        self._stack.close()
