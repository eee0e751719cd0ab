"""`sync_schema` on SQLite: what raw SQL meets, and what only a file has."""

import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import CheckViolation, ConfigurationError, ForeignKeyViolation, UniqueViolation
from ff_storage.core.model import PydanticModel
from ff_storage.schema import AsyncSchemaManager
from schema.engines import SQLite
from schema.gallery import Painter, Painting


async def tables(pool: Pool) -> set[str]:
    return await SQLite.tables(pool)


async def test_the_constraints_hold_for_raw_sql(pool: Pool) -> None:
    await AsyncSchemaManager(pool).sync_schema([Painter, Painting])
    tenant, painter = str(uuid.uuid4()), str(uuid.uuid4())
    stamp = "2026-01-01 00:00:00.000000"
    insert = "INSERT INTO painters (id, tenant_id, created_at, updated_at, name, deleted_at) VALUES (?, ?, ?, ?, ?, ?)"
    await pool.execute(insert, painter, tenant, stamp, stamp, "Ann", None)
    with pytest.raises(UniqueViolation):
        await pool.execute(insert, str(uuid.uuid4()), tenant, stamp, stamp, "Ann", None)
    await pool.execute(insert, str(uuid.uuid4()), tenant, stamp, stamp, "Ann", stamp)  # a dead one
    await pool.execute(insert, str(uuid.uuid4()), str(uuid.uuid4()), stamp, stamp, "Ann", None)  # of another tenant
    with pytest.raises(UniqueViolation):
        await pool.execute(insert, painter, tenant, stamp, stamp, "Bea", None)

    async def painting(**values: Any) -> None:
        row = {
            "id": str(uuid.uuid4()), "tenant_id": tenant, "created_at": stamp, "updated_at": stamp, "title": "t",
            "painter_id": painter, "price": 100, "kind": "a", "stars": 1, "tags": "[]", "extra": "{}", **values,
        }  # fmt: skip
        marks = ", ".join("?" * len(row))
        await pool.execute(f"INSERT INTO paintings ({', '.join(row)}) VALUES ({marks})", *row.values())

    await painting()
    row = await pool.fetch_one("SELECT status, public, length, published FROM paintings")
    assert row is not None
    assert (row["status"], row["public"], row["length"], len(row["published"])) == ("draft", 0, 0, 26)
    for wrong in (
        {"price": -1}, {"price": 500_000}, {"price": 10**8}, {"status": "gone"}, {"kind": "c"}, {"stars": 6},
        {"public": 2}, {"title": "x" * 201},
    ):  # fmt: skip
        with pytest.raises(CheckViolation):
            await painting(**wrong)
    await painting(status="it's done", price=499_999)
    with pytest.raises(ForeignKeyViolation):
        await painting(painter_id=str(uuid.uuid4()))
    with pytest.raises(ForeignKeyViolation):
        await painting(tenant_id=str(uuid.uuid4()))
    await pool.execute("DELETE FROM painters WHERE id = ?", painter)
    assert await pool.fetch_val("SELECT count(*) FROM paintings") == 0


async def test_a_dry_run_needs_no_right_to_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'data.db'}"
    async with open_pool(url) as pool:
        await AsyncSchemaManager(pool).sync_schema([Painter])
    async with open_pool(url, readonly=True) as pool:
        manager = AsyncSchemaManager(pool)
        assert await manager.sync_schema([Painter, Painting], dry_run=True) == 0
        assert manager.last_report is not None
        assert manager.last_report.created == ("table paintings",)


async def test_a_reference_to_a_table_of_the_database(pool: Pool) -> None:
    await pool.execute("CREATE TABLE Painters (ID integer, Tenant_ID text, PRIMARY KEY (Tenant_ID, ID))")
    assert await AsyncSchemaManager(pool).sync_schema([Painting]) > 0


async def test_a_table_of_a_module_that_is_not_there(tmp_path: Path) -> None:
    """Virtual tables whose module another program brings are left alone."""
    path = tmp_path / "data.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE painters (id TEXT, tenant_id TEXT, PRIMARY KEY (tenant_id, id));
        PRAGMA writable_schema = ON;
        INSERT INTO sqlite_master VALUES ('table', 'ghost', 'ghost', 0, 'CREATE VIRTUAL TABLE ghost USING absent (a)');
        """
    )
    connection.close()
    async with open_pool(f"sqlite:///{path}") as pool:
        assert await AsyncSchemaManager(pool).sync_schema([Painting]) > 0
        assert await AsyncSchemaManager(pool).sync_schema([Painting]) == 0


async def test_another_schema_is_refused(pool: Pool) -> None:
    class Elsewhere(PydanticModel):
        __schema__ = "sales"
        name: str

    with pytest.raises(ConfigurationError, match="elsewheres"):
        await AsyncSchemaManager(pool).sync_schema([Painter, Elsewhere])
    assert await tables(pool) == set()
