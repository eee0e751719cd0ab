"""Several repositories in one transaction."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ff_storage.core.errors import TransactionNotStarted
from ff_storage.core.repository.repository import PydanticRepository

if TYPE_CHECKING:
    from ff_storage.core.database import IsolationLevel, Savepoint, Transaction
    from ff_storage.core.database.executor import Executor
    from ff_storage.core.model.base import PydanticModel

M = TypeVar("M", bound="PydanticModel")

TransactionBoundRepository = PydanticRepository
"""What `UnitOfWork.repository` gives, under its published name."""


class UnitOfWork:
    """A transaction and the repositories in it: all that they write is stored when its block ends, or nothing.

    They read what was written within it, whichever of them wrote it. `isolation` is the least that the transaction must
    have; `readonly=True` refuses writes. Within a transaction of the same pool it is a savepoint of that. See
    `Transaction` for what an error and a cancellation do.
    """

    def __init__(self, db_pool: Executor, isolation: IsolationLevel | None = None, readonly: bool = False) -> None:
        self._transaction = db_pool.transaction(isolation, readonly)
        self._begun = False

    async def __aenter__(self) -> Self:
        await self._transaction.__aenter__()
        self._begun = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transaction.__aexit__(kind, error, traceback)

    def repository(
        self, model_class: type[M], tenant_id: Any = None, tenant_ids: Collection[Any] | None = None
    ) -> PydanticRepository[M]:
        """A repository that works in the transaction, and in no other; arguments as of `PydanticRepository`."""
        return PydanticRepository(model_class, self.connection, tenant_id, tenant_ids)

    @property
    def connection(self) -> Transaction:
        """The transaction, for `connection=` and for raw SQL. Raises when the block is not entered, or was left."""
        if not self._begun:
            raise TransactionNotStarted(
                "the unit of work has not begun", remedy="async with UnitOfWork(pool) as uow: …"
            )
        return self._transaction.connection

    @property
    def is_active(self) -> bool:
        """Whether its block is entered and not left."""
        return self._transaction.is_active

    async def commit(self) -> None:
        """Commit what was done and go on in a new transaction with the same settings."""
        await self.connection.commit()

    async def rollback(self) -> None:
        """Undo what was done and go on in a new transaction with the same settings."""
        await self.connection.rollback()

    def savepoint(self, name: str | None = None) -> Savepoint:
        """A block within it that can fail by itself: `async with uow.savepoint(): …`."""
        return self.connection.savepoint(name)
