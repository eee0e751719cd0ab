"""`SyncRepository`: the repository on a synchronous database, with the same methods, arguments and errors.

A call outside a transaction is committed when it returns; within one of the calling thread it joins that.
"""

from __future__ import annotations

import builtins
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeVar, overload

from ff_storage.core.database.connection import IsolationLevel
from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.query.bulk import ChunkResult, pieces
from ff_storage.core.repository.operations import M, Operations, Read, Work

T = TypeVar("T")


class SyncRepository(Operations[M]):
    """The rows of `model_class` that a scope can see, in a connected `Postgres`, `SQLite` or their kin.

    The arguments mean what they mean for `PydanticRepository`; `connection=` names another database for one call.
    """

    def __init__(
        self,
        model_class: type[M],
        db: SQL,
        tenant_id: Any = None,
        tenant_ids: Collection[Any] | None = None,
        logger: logging.Logger | None = None,
        **ignored: Any,
    ) -> None:
        if not isinstance(db, SQL):
            raise ConfigurationError(
                "SyncRepository needs a synchronous database",
                found=f"a {type(db).__name__}",
                remedy="pass a connected Postgres or SQLite, or use PydanticRepository with await",
            )
        super().__init__(model_class, db, tenant_id, tenant_ids, logger, **ignored)
        self.db = db

    def transaction(
        self, isolation: IsolationLevel | None = None, *, readonly: bool = False
    ) -> AbstractContextManager[SQL]:
        """A transaction of the calling thread on the repository's database: `with repo.transaction(): …`."""
        return self.db.transaction(isolation, readonly=readonly)

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(self, id: Any, *, include_deleted: bool = False, connection: SQL | None = None) -> M | None:
        """The row with that key, or None. Raises AmbiguousRow when a scope of several tenants has more than one."""
        db = connection or self.db
        return _read(db, self._get(db, id, include_deleted=include_deleted))

    def get_many(
        self, ids: Iterable[Any], *, include_deleted: bool = False, connection: SQL | None = None
    ) -> dict[Any, M | None]:
        """The rows with those keys, as a dict from each key given to its row or None."""
        db = connection or self.db
        return _done(db, self._get_many(db, ids, include_deleted=include_deleted))

    def list(
        self,
        filters: Mapping[str, Any] | None = None,
        limit: int | None = 100,
        offset: int = 0,
        *,
        order_by: Any = None,
        include_deleted: bool = False,
        connection: SQL | None = None,
    ) -> builtins.list[M]:
        """The rows whose fields equal `filters`, as `PydanticRepository.list` gives them."""
        db = connection or self.db
        return _read(db, self._list(db, filters, limit, offset, order_by, include_deleted=include_deleted))

    def count(
        self, filters: Mapping[str, Any] | None = None, *, include_deleted: bool = False, connection: SQL | None = None
    ) -> int:
        """The number of rows whose fields equal `filters`."""
        db = connection or self.db
        return _read(db, self._count(db, filters, include_deleted=include_deleted))

    # --- writing -----------------------------------------------------------------------------------------------------

    def create(self, model: M, user_id: Any = None, connection: SQL | None = None) -> M:
        """Store a new row and return it as stored. Raises what `PydanticRepository.create` does."""
        db = connection or self.db
        return _done(db, self._create(db, model, user_id))

    @overload
    def create_many(
        self,
        models: Iterable[M],
        user_id: Any = None,
        batch_size: int = 100,
        atomic: Literal[True] = True,
        connection: SQL | None = None,
        *,
        trusted: bool = False,
    ) -> builtins.list[M]: ...
    @overload
    def create_many(
        self,
        models: Iterable[M],
        user_id: Any = None,
        batch_size: int = 100,
        *,
        atomic: Literal[False],
        connection: SQL | None = None,
        trusted: bool = False,
    ) -> builtins.list[ChunkResult]: ...
    def create_many(
        self,
        models: Iterable[M],
        user_id: Any = None,
        batch_size: int = 100,
        atomic: bool = True,
        connection: SQL | None = None,
        *,
        trusted: bool = False,
    ) -> Any:
        """Store new rows and return them as stored: all of them, or none and an error.

        With `atomic=False` each chunk of `batch_size` stands for itself, and the result is one ChunkResult a chunk.
        `trusted=True` keeps the audit columns the models carry.
        """
        db = connection or self.db
        if atomic:
            return _done(db, self._create_many(db, models, user_id, batch_size, trusted=trusted))
        write, reader = self._creation(db, user_id, batch_size, trusted=trusted)
        results: builtins.list[ChunkResult] = []
        for piece in pieces(models, batch_size, results):
            with piece:
                db.run(piece.insertion(write, reader), atomic=True)
        return results

    @overload
    def update(
        self,
        id: Any,
        model: M,
        user_id: Any = None,
        connection: SQL | None = None,
        *,
        expected: M | None = None,
        returning: Literal[True] = True,
    ) -> M: ...
    @overload
    def update(
        self,
        id: Any,
        model: M,
        user_id: Any = None,
        connection: SQL | None = None,
        *,
        expected: M | None = None,
        returning: Literal[False],
    ) -> None: ...
    def update(
        self,
        id: Any,
        model: M,
        user_id: Any = None,
        connection: SQL | None = None,
        *,
        expected: M | None = None,
        returning: bool = True,
    ) -> M | None:
        """Write the changed fields of a loaded model, or the set fields of a new one, and return the row as stored.

        `expected`, `returning`, and what is raised, are those of `PydanticRepository.update`.
        """
        db = connection or self.db
        return _done(db, self._update(db, id, model, user_id, expected, returning=returning))

    def delete(self, id: Any, user_id: Any = None, connection: SQL | None = None, *, hard: bool = False) -> bool:
        """Delete the row with that key, softly where the model does so and `hard` does not; False when there is none.

        References are kept, as by `PydanticRepository.delete`.
        """
        db = connection or self.db
        return _done(db, self._delete(db, id, user_id, hard=hard))

    def restore(self, id: Any, user_id: Any = None, connection: SQL | None = None) -> M | None:
        """Bring a soft-deleted row back and return it; None when no deleted row has that key."""
        db = connection or self.db
        return _done(db, self._restore(db, id, user_id))


def _read(db: SQL, read: Read[T]) -> T:
    text, parameters, result = read
    return result(db.fetch(text, parameters))


def _done(db: SQL, work: Work[T]) -> T:
    return work.result(db.run(work.program, atomic=work.atomic))
