"""What a contender offers: the same few operations, each written as that library's users write them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.workload import Row


class Contender(Protocol):
    """An open connection or pool of one library; items are that library's own objects."""

    async def get(self, tenant: uuid.UUID, key: uuid.UUID) -> Any:
        """The item of that key."""
        ...

    async def page(self, tenant: uuid.UUID, quantity: int) -> list[Any]:
        """The tenant's 100 newest active items of at least that quantity, newest first."""
        ...

    async def fetch(self, tenant: uuid.UUID) -> list[Any]:
        """Every item of the tenant."""
        ...

    def make(self, rows: Sequence[Row]) -> list[Any]:
        """New items, not stored: what an application holds before it inserts. Not timed.

        `created_at` and `updated_at` are the row's or, where the library writes them, the moment of the insert.
        """
        ...

    async def insert(self, item: Any) -> None:
        """Store one new item, committed."""
        ...

    async def bulk(self, items: list[Any]) -> None:
        """Store many new items in one transaction."""
        ...

    async def update(self, item: Any, quantity: int) -> None:
        """Change the quantity, and `updated_at` to now, of an item that `get` returned; committed."""
        ...

    def values(self, item: Any) -> Row:
        """The item's values."""
        ...

    async def settings(self) -> dict[str, Any]:
        """The connection's settings that must be equal for a fair comparison."""
        ...


class Open(Protocol):
    """What an entry names: a function that opens a contender."""

    def __call__(self, address: str) -> AbstractAsyncContextManager[Contender]:
        """Open the contender on the database at `address`."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the report.

    `name` is for `--only`; `opener` is "module:function"; `operations` are those that are measured, all by default;
    `targets` are the ratios to the base that ours must not exceed, by operation.
    """

    name: str
    title: str
    opener: str
    table: str = "items"
    operations: frozenset[str] | None = None
    targets: Mapping[str, float] = field(default_factory=dict)

    def measures(self, operation: str) -> bool:
        """Whether it takes part in an operation."""
        return self.operations is None or operation in self.operations


class Engine(Protocol):
    """One table of the report: a database to prepare and the contenders on it. The first contender is the base."""

    name: str
    title: str
    entries: tuple[Entry, ...]
    operations: tuple[str, ...]

    def prepare(self, entries: Sequence[Entry]) -> str:
        """Create a fresh database with the tables of `entries`, preloaded, and return its address."""
        ...

    def settle(self) -> None:
        """Delete the scratch tenant's rows and finish pending work of the database, after a section that writes."""
        ...

    def close(self) -> None:
        """Remove the database."""
        ...
