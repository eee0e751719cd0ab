"""The base: sqlite3 on one dedicated thread, slotted dataclasses, everything written by hand.

This is what a careful person would write without a library, and about the least that an asyncio program can pay: a
direct call would block the loop behind every other writer. The thread collects what it finishes and wakes the loop once
for a batch.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from queue import SimpleQueue
from typing import Any

import orjson

from benchmarks.sqlite.database import PRAGMAS, read_settings
from benchmarks.workload import Row

_COLUMNS = ", ".join(f'"{name}"' for name in Row._fields)
_GET = f'SELECT {_COLUMNS} FROM "items" WHERE "tenant_id" = ? AND "id" = ?'
_PAGE = (
    f'SELECT {_COLUMNS} FROM "items" WHERE "tenant_id" = ? AND "active" = 1 AND "quantity" >= ? '
    'ORDER BY "created_at" DESC LIMIT 100'
)
_FETCH = f'SELECT {_COLUMNS} FROM "items" WHERE "tenant_id" = ?'
_INSERT = f'INSERT INTO "items" ({_COLUMNS}) VALUES ({", ".join("?" * len(Row._fields))})'
_UPDATE = 'UPDATE "items" SET "quantity" = ?, "updated_at" = ? WHERE "tenant_id" = ? AND "id" = ?'

Work = Callable[[sqlite3.Connection], Any]


@dataclass(slots=True)
class Item:
    """One item, in the same Python values as every other contender's."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    name: str
    price: Decimal
    quantity: int
    active: bool
    attributes: dict[str, Any]
    created_at: dt.datetime
    updated_at: dt.datetime
    note: str | None
    created_by: uuid.UUID | None
    updated_by: uuid.UUID | None


class Thread:
    """One connection on one daemon thread; `run` hands it work and awaits the result."""

    def __init__(self, path: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[tuple[asyncio.Future[Any], Work] | None] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._waking = False
        self._thread = threading.Thread(target=self._serve, args=(path,), daemon=True)
        self._thread.start()

    def run(self, work: Work) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        self._work.put((future, work))
        return future

    def close(self) -> None:
        self._work.put(None)
        self._thread.join()

    def _serve(self, path: str) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name} = {value}")
        while (task := self._work.get()) is not None:
            future, work = task
            try:
                self._done.append((future, work(connection), None))
            except sqlite3.Error as error:
                self._done.append((future, None, error))
            if not self._waking:
                self._waking = True
                self._loop.call_soon_threadsafe(self._deliver)
        connection.close()

    def _deliver(self) -> None:
        self._waking = False  # before the queue is drained: what comes later wakes again
        while self._done:
            future, result, error = self._done.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _item(
    row: tuple[str, str, str, int, int, int, str, str, str, str | None, str | None, str | None],
    # as defaults: one local name instead of two look-ups for each value of 10,000 rows
    uuid_: type[uuid.UUID] = uuid.UUID,
    time: Callable[[str], dt.datetime] = dt.datetime.fromisoformat,
    json: Callable[[str], Any] = orjson.loads,
) -> Item:
    key, tenant, name, price, quantity, active, attributes, created, updated, note, creator, updater = row
    return Item(
        uuid_(key),
        uuid_(tenant),
        name,
        Decimal(price).scaleb(-2),
        quantity,
        active == 1,
        json(attributes),
        time(created + "+00:00"),
        time(updated + "+00:00"),
        note,
        None if creator is None else uuid_(creator),
        None if updater is None else uuid_(updater),
    )


def _text(time: dt.datetime) -> str:
    return time.replace(tzinfo=None).isoformat(" ", "microseconds")


def _row(item: Item) -> tuple[Any, ...]:
    return (
        str(item.id),
        str(item.tenant_id),
        item.name,
        int(item.price.scaleb(2)),
        item.quantity,
        item.active,
        orjson.dumps(item.attributes).decode(),
        _text(item.created_at),
        _text(item.updated_at),
        item.note,
        None if item.created_by is None else str(item.created_by),
        None if item.updated_by is None else str(item.updated_by),
    )


class Sqlite3:
    """The contender."""

    def __init__(self, thread: Thread) -> None:
        self._thread = thread

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> Item | None:
        parameters = (str(tenant), str(key))
        row = await self._thread.run(lambda connection: connection.execute(_GET, parameters).fetchone())
        return _item(row) if row is not None else None

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[Item]:
        parameters = (str(tenant), quantity)
        rows = await self._thread.run(lambda connection: connection.execute(_PAGE, parameters).fetchall())
        return [_item(row) for row in rows]

    async def fetch(self, tenant: uuid.UUID) -> list[Item]:
        parameters = (str(tenant),)
        rows = await self._thread.run(lambda connection: connection.execute(_FETCH, parameters).fetchall())
        return [_item(row) for row in rows]

    def make(self, rows: Sequence[Row]) -> list[Item]:
        return [Item(*row) for row in rows]

    async def insert(self, item: Item) -> None:
        parameters = _row(item)
        await self._thread.run(lambda connection: connection.execute(_INSERT, parameters).rowcount)

    async def bulk(self, items: list[Item]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(_INSERT, map(_row, items))
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

        await self._thread.run(work)

    async def update(self, item: Item, quantity: int) -> None:
        item.quantity = quantity
        item.updated_at = dt.datetime.now(dt.UTC)
        parameters = (quantity, _text(item.updated_at), str(item.tenant_id), str(item.id))
        changed = await self._thread.run(lambda connection: connection.execute(_UPDATE, parameters).rowcount)
        if changed != 1:
            raise LookupError(item.id)

    def values(self, item: Item) -> Row:
        return Row(*(getattr(item, name) for name in Row._fields))

    async def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = await self._thread.run(read_settings)
        return settings


@asynccontextmanager
async def contender(address: str) -> AsyncIterator[Sqlite3]:
    thread = Thread(address)
    try:
        yield Sqlite3(thread)
    finally:
        thread.close()
