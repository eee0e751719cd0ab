"""`PydanticRepository`: create, read, update and delete one model's rows under one scope.

Methods read the scope when they are called and do their I/O when awaited. A single statement opens no transaction;
what needs several runs in one.
"""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.query.bulk import ChunkResult, insert_separately
from ff_storage.core.repository.operations import M, Operations, Rows, Work

if TYPE_CHECKING:
    from ff_storage.core.database import IsolationLevel, Transaction
    from ff_storage.core.database.executor import Executor

T = TypeVar("T")


class PydanticRepository(Operations[M]):
    """The rows of `model_class` that a scope can see.

    `tenant_id` is one tenant (forced on writes) or `ALL_TENANTS`, `tenant_ids` several (rows written must name one of
    them); without either, the ambient `tenant_scope` of each call holds. A key is a value, or a tuple where the model
    has several key fields. `user_id` goes into created_by, updated_by and deleted_by. There is no cache: a read
    always sees the database.
    """

    def __init__(
        self,
        model_class: type[M],
        db_pool: Executor,
        tenant_id: Any = None,
        tenant_ids: Collection[Any] | None = None,
        logger: logging.Logger | None = None,
        **ignored: Any,
    ) -> None:
        if isinstance(db_pool, SQL):
            raise ConfigurationError(
                "PydanticRepository needs an async pool or transaction",
                found=f"a {type(db_pool).__name__}, which is synchronous",
                remedy="use SyncRepository",
            )
        super().__init__(model_class, db_pool, tenant_id, tenant_ids, logger, **ignored)
        self.db_pool = db_pool

    def transaction(self, isolation: IsolationLevel | None = None, *, readonly: bool = False) -> Transaction:
        """A transaction on the repository's pool; the repository joins it within the task that opened it."""
        return self.db_pool.transaction(isolation, readonly=readonly)

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(
        self, id: Any, *, include_deleted: bool = False, connection: Executor | None = None
    ) -> Coroutine[Any, Any, M | None]:
        """The row with that key, or None. Raises AmbiguousRow when a scope of several tenants has more than one."""
        db = connection or self.db_pool
        return _read(db, *self._get(db, id, include_deleted=include_deleted))

    def get_many(
        self, ids: Iterable[Any], *, include_deleted: bool = False, connection: Executor | None = None
    ) -> Coroutine[Any, Any, dict[Any, M | None]]:
        """The rows with those keys, as a dict from each key given to its row or None."""
        db = connection or self.db_pool
        return _done(db, self._get_many(db, ids, include_deleted=include_deleted))

    def list(
        self,
        filters: Mapping[str, Any] | None = None,
        limit: int | None = 100,
        offset: int = 0,
        *,
        order_by: Any = None,
        include_deleted: bool = False,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, builtins.list[M]]:
        """The rows whose fields equal `filters` (a list means one of; None means NULL).

        `order_by` is a field, a term or a list of them (`"name"`, `"-price"`); by default the newest come first. The
        key always decides between equals, so that pages do not overlap.
        """
        db = connection or self.db_pool
        return _read(db, *self._list(db, filters, limit, offset, order_by, include_deleted=include_deleted))

    def count(
        self,
        filters: Mapping[str, Any] | None = None,
        *,
        include_deleted: bool = False,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, int]:
        """The number of rows whose fields equal `filters`."""
        db = connection or self.db_pool
        return _read(db, *self._count(db, filters, include_deleted=include_deleted))

    # --- writing -----------------------------------------------------------------------------------------------------

    def create(self, model: M, user_id: Any = None, connection: Executor | None = None) -> Coroutine[Any, Any, M]:
        """Store a new row and return it as stored.

        Raises UniqueViolation and its kin, TenantScopeError, and InvalidValueError for values that do not fit or that
        are the library's to write.
        """
        db = connection or self.db_pool
        return _done(db, self._create(db, model, user_id))

    @overload
    def create_many(
        self,
        models: Iterable[M],
        user_id: Any = None,
        batch_size: int = 100,
        atomic: Literal[True] = True,
        connection: Executor | None = None,
        *,
        trusted: bool = False,
    ) -> Coroutine[Any, Any, builtins.list[M]]: ...
    @overload
    def create_many(
        self,
        models: Iterable[M],
        user_id: Any = None,
        batch_size: int = 100,
        *,
        atomic: Literal[False],
        connection: Executor | None = None,
        trusted: bool = False,
    ) -> Coroutine[Any, Any, builtins.list[ChunkResult]]: ...
    def create_many(
        self,
        models: Iterable[M],
        user_id: Any = None,
        batch_size: int = 100,
        atomic: bool = True,
        connection: Executor | None = None,
        *,
        trusted: bool = False,
    ) -> Coroutine[Any, Any, Any]:
        """Store new rows and return them as stored: all of them, or none and an error.

        With `atomic=False` each chunk of `batch_size` stands for itself, and the result is one ChunkResult a chunk.
        `trusted=True` keeps the audit columns the models carry.
        """
        db = connection or self.db_pool
        if not atomic:
            write, reader = self._creation(db, user_id, batch_size, trusted=trusted)
            return insert_separately(db, write, reader, models, batch_size)
        return _done(db, self._create_many(db, models, user_id, batch_size, trusted=trusted))

    @overload
    def update(
        self,
        id: Any,
        model: M,
        user_id: Any = None,
        connection: Executor | None = None,
        *,
        expected: M | None = None,
        returning: Literal[True] = True,
    ) -> Coroutine[Any, Any, M]: ...
    @overload
    def update(
        self,
        id: Any,
        model: M,
        user_id: Any = None,
        connection: Executor | None = None,
        *,
        expected: M | None = None,
        returning: Literal[False],
    ) -> Coroutine[Any, Any, None]: ...
    def update(
        self,
        id: Any,
        model: M,
        user_id: Any = None,
        connection: Executor | None = None,
        *,
        expected: M | None = None,
        returning: bool = True,
    ) -> Coroutine[Any, Any, M | None]:
        """Write the changed fields of a loaded model, or the set fields of a new one, and return the row as stored.

        With `returning=False` it is not read back, and the result is None, in less time.

        With `expected`, an earlier read of the row, nothing is written unless the columns being written and
        `updated_at` (or `__version_column__`, where the model has one) are still as in it. Raises NoResultFound,
        ConcurrencyError, AmbiguousRow, and TenantScopeError or InvalidValueError for what an update cannot change.
        """
        db = connection or self.db_pool
        return _done(db, self._update(db, id, model, user_id, expected, returning=returning))

    def delete(
        self, id: Any, user_id: Any = None, connection: Executor | None = None, *, hard: bool = False
    ) -> Coroutine[Any, Any, bool]:
        """Delete the row with that key, softly where the model does so and `hard` does not; False when there is none.

        References are kept: RESTRICT refuses (ForeignKeyViolation), CASCADE deletes the children in the same
        transaction, SET NULL clears them when the row is deleted for good.
        """
        db = connection or self.db_pool
        return _done(db, self._delete(db, id, user_id, hard=hard))

    def restore(
        self, id: Any, user_id: Any = None, connection: Executor | None = None
    ) -> Coroutine[Any, Any, M | None]:
        """Bring a soft-deleted row back and return it; None when no deleted row has that key."""
        db = connection or self.db_pool
        return _done(db, self._restore(db, id, user_id))


async def _read(db: Executor, text: str, parameters: Sequence[Any], result: Callable[[Rows], T]) -> T:
    return result(await db.fetch(text, parameters))


async def _done(db: Executor, work: Work[T]) -> T:
    return work.result(await db.run(work.program, atomic=work.atomic))
