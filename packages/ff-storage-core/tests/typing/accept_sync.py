"""What type checkers must say of the synchronous side."""

from __future__ import annotations

from typing import Any, assert_type

from ff_storage import SQL, ChunkResult, Postgres, PydanticModel, Query, SchemaManager, SQLite, SyncRepository


class Item(PydanticModel):
    name: str
    price: int = 0


def databases() -> tuple[SQLite, Postgres]:
    with SQLite.from_url("sqlite://") as file, Postgres("db", "user", "password", "localhost", 5432) as server:
        assert_type(file, SQLite)
        assert_type(server.get_connection(), Postgres)
    return file, server


def raw(db: SQL) -> None:
    assert_type(db.read_query("SELECT 1"), list[dict[str, Any]])
    assert_type(db.read_query("SELECT %s", [1], as_dict=False), list[tuple[Any, ...]])
    assert_type(db.execute_query("INSERT …", {"a": 1}), list[dict[str, Any]])
    assert_type(db.execute("DELETE …"), int)
    assert_type(db.execute_many("INSERT …", ({"a": n} for n in range(3))), int)
    with db.transaction() as tx:
        assert_type(tx, SQL)


def repository(db: SQL) -> None:
    items = SyncRepository(Item, db)
    assert_type(items, SyncRepository[Item])
    assert_type(items.get(1), Item | None)
    assert_type(items.list({"name": "a"}), list[Item])
    assert_type(items.create(Item(name="a")), Item)
    assert_type(items.create_many([Item(name="a")]), list[Item])
    assert_type(items.create_many([Item(name="a")], atomic=False), list[ChunkResult])
    assert_type(items.delete(1), bool)
    assert_type(SchemaManager(db).sync_schema([Item]), int)


def query(db: SQL) -> None:
    assert_type(Query(Item).filter(Item.price > 1).on(db).execute(), list[Item])
    assert_type(Query(Item).select(Item.name, Item.price).on(db).first(), tuple[str, int] | None)
    assert_type(Query(Item).on(db).one(), Item)
    assert_type(Query(Item).on(db).count(), int)
