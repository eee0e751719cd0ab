"""`SchemaManager`: the same program on a synchronous database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import ff_storage
from ff_storage import (
    SQL,
    AsyncSchemaManager,
    ConfigurationError,
    Field,
    PydanticModel,
    SchemaDifference,
    SchemaManager,
    SyncRepository,
    open_pool,
)
from schema.engines import Engine

TENANT = "00000000-0000-4000-8000-000000000001"


class ManagedWriter(PydanticModel):
    """A table that another one references."""

    __table_name__ = "managed_writers"

    name: str = Field(max_length=100, db_index=True)


class ManagedBook(PydanticModel):
    """A table with a reference, and one of each construct that engines print in their own words."""

    __table_name__ = "managed_books"

    title: str = Field(max_length=100, db_unique=True)
    pages: int = Field(default=1, ge=1)
    author_id: str | None = Field(default=None, max_length=10)


CLASSES: dict[str, type[SQL]] = {"sqlite": ff_storage.SQLite, "postgresql": ff_storage.Postgres}


@pytest.fixture
def db(engine: Engine) -> Iterator[SQL]:
    with CLASSES[engine.url.partition(":")[0]].from_url(engine.url) as db:
        yield db


def test_tables_are_created_once(db: SQL) -> None:
    manager = SchemaManager(db)
    assert manager.sync_schema([ManagedWriter, ManagedBook], dry_run=True) == 0
    assert not db.table_exists("managed_writers")
    report = manager.last_report
    assert report is not None
    assert (report.applied, report.tables) == (False, ("managed_writers", "managed_books"))
    created = manager.sync_schema(models=[ManagedWriter, ManagedBook], allow_destructive=False, dry_run=False)
    assert created == len(report.statements) > 2
    assert db.table_exists("managed_writers")
    assert manager.sync_schema([ManagedWriter, ManagedBook]) == 0
    assert SyncRepository(ManagedWriter, db, tenant_id=TENANT).count() == 0


async def test_both_managers_make_the_same(db: SQL, engine: Engine) -> None:
    manager = SchemaManager(db)
    async with open_pool(engine.url) as pool:
        twin = AsyncSchemaManager(pool)
        await twin.sync_schema([ManagedWriter, ManagedBook], dry_run=True)
        assert manager.sync_schema([ManagedWriter, ManagedBook]) > 0
        assert twin.last_report is not None
        assert manager.last_report is not None
        assert twin.last_report.statements == manager.last_report.statements
        assert await twin.sync_schema([ManagedWriter, ManagedBook]) == 0


def test_a_sync_joins_the_transaction_of_its_thread(db: SQL) -> None:
    db.begin_transaction()
    assert SchemaManager(db).sync_schema([ManagedWriter]) > 0
    assert db.table_exists("managed_writers")
    db.rollback_transaction()
    assert not db.table_exists("managed_writers")


def test_a_difference_changes_nothing(db: SQL) -> None:
    db.execute("CREATE TABLE managed_books (title TEXT)")
    manager = SchemaManager(db)
    with pytest.raises(SchemaDifference):
        manager.sync_schema([ManagedWriter, ManagedBook])
    assert not db.table_exists("managed_writers")
    assert manager.last_report is None
    db.execute("DROP TABLE managed_books")
    assert manager.sync_schema([ManagedWriter, ManagedBook]) > 0


def test_the_sides_are_not_confused(db: SQL) -> None:
    pool: Any = open_pool("sqlite://")
    with pytest.raises(ConfigurationError, match=r"await AsyncSchemaManager\(pool\)"):
        SchemaManager(pool)
    wrong: Any = db
    with pytest.raises(ConfigurationError, match="use SchemaManager"):
        AsyncSchemaManager(wrong)
    for nothing in (None, "sqlite://", object()):
        wrong = nothing
        with pytest.raises(ConfigurationError):
            SchemaManager(wrong)
