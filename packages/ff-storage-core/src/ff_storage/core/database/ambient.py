"""Which transaction a call belongs to: the one that its task opened on the same pool, unless it opted out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ff_storage.core.errors import TransactionNotShared

if TYPE_CHECKING:
    from ff_storage.core.database.pool import Pool
    from ff_storage.core.database.transaction import Transaction


class Detached:
    """Marks a stretch of code whose calls join no transaction of `pool`."""

    __slots__ = ("outer", "pool")

    def __init__(self, pool: Pool, outer: Transaction | Detached | None) -> None:
        self.pool = pool
        self.outer = outer


_current: ContextVar[Transaction | Detached | None] = ContextVar("ff_storage_transaction", default=None)

in_any: Callable[[], object] = _current.get
"""The quick question before `ambient`: whether the calling context has met any transaction."""


def ambient(pool: Pool) -> Transaction | None:
    """The innermost open transaction of `pool` in the calling context. Raises TransactionNotShared in a child task."""
    entry = _current.get()
    while entry is not None:
        if entry.pool is pool:
            if isinstance(entry, Detached):
                return None
            if entry.is_active:
                if entry.task is asyncio.current_task():
                    return entry
                pool.check_loop()  # another loop or process is the nearer reason
                if entry.has_connection:  # not so when the pool was closed and opened again, or a process forked
                    raise TransactionNotShared(
                        "this task was started inside a transaction that belongs to another task",
                        remedy="pass connection=tx to work in it, or use pool.detached() to work outside"
                        " (asyncio.timeout keeps the task, wait_for may not)",
                    )
        entry = entry.outer
    return None


@contextlib.contextmanager
def detached(pool: Pool) -> Generator[None]:
    """Let the calls of the block through `pool` join no transaction that was opened outside."""
    outer = _current.get()
    marker = Detached(pool, outer)
    _current.set(marker)
    try:
        yield
    finally:
        if _current.get() is marker:
            _current.set(outer)


def enter(transaction: Transaction) -> Transaction | Detached | None:
    """Make `transaction` the innermost of the calling context; what was so before."""
    outer = _current.get()
    _current.set(transaction)
    return outer


def leave(transaction: Transaction) -> None:
    """Undo `enter`, unless the block is left in another context than it was entered in."""
    if _current.get() is transaction:
        _current.set(transaction.outer)
