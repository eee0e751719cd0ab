"""The file all contenders share: its tables, pragmas and rows."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.contender import Entry
from benchmarks.workload import SCRATCH, Row, preload

PRAGMAS = {"journal_mode": "WAL", "synchronous": "NORMAL", "foreign_keys": "ON"}
"""What every contender's connections are opened with."""

COMPARED = ("journal_mode", "synchronous", "foreign_keys", "page_size", "cache_size", "mmap_size", "temp_store")

# What the library itself writes for benchmarks.sqlite.ours.Item; its schema sync checks that they are the same.
_STRICT = """
CREATE TABLE "items" (
    "id" TEXT NOT NULL,
    "created_at" TEXT NOT NULL,
    "updated_at" TEXT NOT NULL,
    "created_by" TEXT,
    "updated_by" TEXT,
    "name" TEXT NOT NULL,
    "price" INTEGER NOT NULL,
    "quantity" INTEGER NOT NULL,
    "active" INTEGER NOT NULL,
    "attributes" TEXT NOT NULL,
    "note" TEXT,
    "tenant_id" TEXT NOT NULL,
    CONSTRAINT "pk_items" PRIMARY KEY ("tenant_id", "id"),
    CONSTRAINT "ck_items_name_length" CHECK (length("name") <= 100),
    CONSTRAINT "ck_items_price_digits" CHECK ("price" / 100 BETWEEN -99999999 AND 99999999),
    CONSTRAINT "ck_items_active_bool" CHECK ("active" IN (0, 1)),
    CONSTRAINT "ck_items_id_uuid" CHECK (length("id") = 36),
    CONSTRAINT "ck_items_created_at_timestamp" CHECK (length("created_at") = 26),
    CONSTRAINT "ck_items_updated_at_timestamp" CHECK (length("updated_at") = 26),
    CONSTRAINT "ck_items_created_by_uuid" CHECK (length("created_by") = 36),
    CONSTRAINT "ck_items_updated_by_uuid" CHECK (length("updated_by") = 36),
    CONSTRAINT "ck_items_attributes_json" CHECK (length("attributes") > 0),
    CONSTRAINT "ck_items_tenant_id_uuid" CHECK (length("tenant_id") = 36)
) STRICT;
CREATE INDEX "idx_items_newest" ON "items" ("tenant_id", "created_at");
"""

# The same with the type names that Piccolo reads; a STRICT table cannot have them.
_DECLARED = """
CREATE TABLE "items_declared" (
    "id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ NOT NULL,
    "updated_at" TIMESTAMPTZ NOT NULL,
    "created_by" UUID,
    "updated_by" UUID,
    "name" VARCHAR(100) NOT NULL,
    "price" NUMERIC(10, 2) NOT NULL,
    "quantity" INTEGER NOT NULL,
    "active" BOOLEAN NOT NULL,
    "attributes" JSON NOT NULL,
    "note" TEXT,
    "tenant_id" UUID NOT NULL,
    CONSTRAINT "pk_items_declared" PRIMARY KEY ("tenant_id", "id"),
    CONSTRAINT "ck_items_declared_name_length" CHECK (length("name") <= 100),
    CONSTRAINT "ck_items_declared_price_digits" CHECK ("price" BETWEEN -99999999.99 AND 99999999.99),
    CONSTRAINT "ck_items_declared_active_bool" CHECK ("active" IN (0, 1))
);
CREATE INDEX "idx_items_declared_newest" ON "items_declared" ("tenant_id", "created_at");
"""

_TABLES = {"items": _STRICT, "items_declared": _DECLARED}


def read_settings(connection: sqlite3.Connection) -> dict[str, Any]:
    """The pragmas that decide speed and durability, as the connection has them."""
    cursor = connection.cursor()
    cursor.row_factory = None  # tuples, whatever the library has set
    return {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in COMPARED}


def _strict(row: Row) -> tuple[Any, ...]:
    return (
        str(row.id),
        str(row.tenant_id),
        row.name,
        int(row.price.scaleb(2)),
        row.quantity,
        int(row.active),
        orjson.dumps(row.attributes).decode(),
        row.created_at.replace(tzinfo=None).isoformat(" ", "microseconds"),
        row.updated_at.replace(tzinfo=None).isoformat(" ", "microseconds"),
        row.note,
        row.created_by,
        row.updated_by,
    )


def _declared(row: Row) -> tuple[Any, ...]:
    strict = _strict(row)
    return (*strict[:3], float(row.price), *strict[4:7], f"{strict[7]}+00:00", f"{strict[8]}+00:00", *strict[9:])


_STORED = {"items": _strict, "items_declared": _declared}


class SqliteFile:
    """The engine: one file in a temporary directory."""

    name = "sqlite"
    title = "SQLite"
    operations = ("get", "page", "fetch", "insert", "bulk", "update")
    entries = (
        Entry("sqlite3", "sqlite3 on its own thread", "benchmarks.sqlite.base:contender"),
        Entry(
            "ours",
            "ff-storage",
            "benchmarks.sqlite.ours:contender",
            targets={"get": 1.5, "page": 1.5, "fetch": 1.3, "insert": 1.5, "bulk": 1.3, "update": 1.5},
        ),
        Entry("sqlalchemy", "SQLAlchemy ORM + aiosqlite", "benchmarks.sqlite.sqlalchemy_orm:contender"),
        Entry("tortoise", "Tortoise", "benchmarks.sqlite.tortoise_orm:contender"),
        Entry("piccolo", "Piccolo", "benchmarks.sqlite.piccolo_orm:contender", table="items_declared"),
    )

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="ff-storage-bench-"))
        self._tables: list[str] = []
        self._connection = sqlite3.connect(self._directory / "bench.db", isolation_level=None)

    def prepare(self, entries: Sequence[Entry]) -> str:
        self._tables = sorted({entry.table for entry in entries})
        for name, value in PRAGMAS.items():
            self._connection.execute(f"PRAGMA {name} = {value}")
        rows = preload()
        for table in self._tables:
            self._connection.executescript(_TABLES[table])
            self._connection.execute("BEGIN")
            marks = ", ".join("?" * len(Row._fields))
            columns = ", ".join(f'"{name}"' for name in Row._fields)
            self._connection.executemany(
                f'INSERT INTO "{table}" ({columns}) VALUES ({marks})', map(_STORED[table], rows)
            )
            self._connection.execute("COMMIT")
        self._connection.execute("ANALYZE")
        self.settle()
        return str(self._directory / "bench.db")

    def settle(self) -> None:
        for table in self._tables:
            self._connection.execute(f'DELETE FROM "{table}" WHERE "tenant_id" = ?', (str(SCRATCH),))
        busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise RuntimeError("a contender holds a transaction open between sections")

    def close(self) -> None:
        self._connection.close()
        shutil.rmtree(self._directory)
