"""`PydanticRepository`: create, read, update and delete one model's rows under one scope.

Methods read the scope when they are called and do their I/O when awaited. A single statement opens no transaction;
what needs several runs in one.
"""

from __future__ import annotations

import builtins
import logging
import warnings
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeGuard, TypeVar, overload

from ff_storage.core.context import TenantScope, utc_now
from ff_storage.core.errors import (
    ConfigurationError,
    InvalidValueError,
    TenantScopeError,
)
from ff_storage.core.history.deletion import delete_rows, is_referenced
from ff_storage.core.history.outcomes import ambiguous, missing
from ff_storage.core.history.rows import CREATED_AT, key_conditions
from ff_storage.core.history.strategy import Key, Write, strategy_of
from ff_storage.core.model.hydrate import row_builder
from ff_storage.core.program import Fetch, Program, Row
from ff_storage.core.query.builder import Query
from ff_storage.core.query.bulk import ChunkResult, RecordReader, chunks, insert_chunks, insert_separately
from ff_storage.core.query.results import Prepared, models
from ff_storage.core.repository.changes import changes_of, encoded, guard_of, holds
from ff_storage.core.sql.compiled import remember
from ff_storage.core.sql.dialect import Dialect
from ff_storage.core.sql.expressions import Bound, ColumnRef, Comparison, Expr, Junction
from ff_storage.core.sql.functions import OR
from ff_storage.core.sql.scope import Scope, Stamp, capture
from ff_storage.core.sql.statements import Select
from ff_storage.core.types import Array

if TYPE_CHECKING:
    from ff_storage.core.database import IsolationLevel, Transaction
    from ff_storage.core.database.executor import Executor
    from ff_storage.core.model.base import PydanticModel

M = TypeVar("M", bound="PydanticModel")

KEYS_A_QUERY: Final = 500
"""Rows that `get_many` asks for at a time."""

_IGNORED: Final = ("cache_enabled", "cache_ttl", "collect_metrics", "max_retries")


class PydanticRepository(Generic[M]):
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
        entity = getattr(model_class, "__ff_entity__", None) if isinstance(model_class, type) else None
        if entity is None:
            raise ConfigurationError(
                "PydanticRepository takes a PydanticModel class with a table", found=repr(model_class)[:100]
            )
        for name in ignored:
            if name not in _IGNORED:
                raise TypeError(f"PydanticRepository has no argument {name!r}")
            warnings.warn(f"{name} has no effect: reads always see the database", DeprecationWarning, stacklevel=2)
        if isinstance(tenant_id, list | tuple | set | frozenset):
            raise TenantScopeError("tenant_id is one tenant", found="a list", remedy="pass tenant_ids=[…]")
        self.model_class = model_class
        self.db_pool = db_pool
        self.logger = logger or logging.getLogger("ff_storage.repository")
        self._entity = entity
        self._tenants = TenantScope.of(tenant_id, tenant_ids)
        self._own: Scope | None = Scope(self._tenants) if self._tenants is not None else None
        self._builder: tuple[Dialect, Callable[[Row], M]] | None = None
        self._check_tenants()

    def _check_tenants(self) -> None:
        # A tenant that cannot be one is an error here, where it was given, and not in some later statement.
        table = self._entity.table
        if table.tenant is None or self._own is None:
            return
        stamp = Stamp(self._entity, self._own, self.db_pool.dialect)
        for tenant in self._own.tenants.tenants if self._own.tenants is not None else ():
            stamp.encoded(tenant)

    @property
    def tenant_id(self) -> Any:
        """The one tenant of a strict scope, or None."""
        return self._tenants.tenants[0] if self._tenants is not None and self._tenants.strict else None

    @property
    def tenant_ids(self) -> builtins.list[Any] | None:
        """The tenants of a permissive scope, or None."""
        if self._tenants is None or self._tenants.strict or self._tenants.everything:
            return None
        return list(self._tenants.tenants)

    @property
    def tenant_filter_value(self) -> Any:
        """The tenant, or the list of tenants, that this repository restricts reads to, or None."""
        return self.tenant_id if self.tenant_id is not None else self.tenant_ids

    def transaction(self, isolation: IsolationLevel | None = None, *, readonly: bool = False) -> Transaction:
        """A transaction on the repository's pool; the repository joins it within the task that opened it."""
        return self.db_pool.transaction(isolation, readonly=readonly)

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(
        self, id: Any, *, include_deleted: bool = False, connection: Executor | None = None
    ) -> Coroutine[Any, Any, M | None]:
        """The row with that key, or None. Raises AmbiguousRow when a scope of several tenants has more than one."""
        db = connection or self.db_pool
        scope = self._scope(include_deleted=include_deleted)
        prepared = self._prepared_get(db.dialect, scope)
        return self._one(db, prepared, prepared.bind(self._key(id) + scope.values))

    async def _one(self, db: Executor, prepared: Prepared, parameters: list[Any]) -> M | None:
        rows = await db.fetch(prepared.text, parameters)
        if not rows:
            return None
        if len(rows) > 1:
            raise ambiguous(self._entity.name, len(rows))
        return prepared.build(rows)[0]  # type: ignore[no-any-return]  # built as M

    def get_many(
        self, ids: Iterable[Any], *, include_deleted: bool = False, connection: Executor | None = None
    ) -> Coroutine[Any, Any, dict[Any, M | None]]:
        """The rows with those keys, as a dict from each key given to its row or None."""
        db = connection or self.db_pool
        scope = self._scope(include_deleted=include_deleted)
        wanted = {each: self._key(each) for each in ids}
        return self._get_many(db, scope, wanted)

    async def _get_many(self, db: Executor, scope: Scope, wanted: dict[Any, Key]) -> dict[Any, M | None]:
        write = self._write(db, scope, None)
        found: dict[Any, M] = {}
        identity = [write.table.by_name[name] for name in write.table.identity]
        places = [write.table.columns.index(column) for column in identity]
        for chunk in chunks(wanted.values(), KEYS_A_QUERY):
            prepared, parameters = Query(self.model_class).filter(self._any_of(chunk)).prepare(db.dialect, scope)
            rows = await db.fetch(prepared.text, parameters)
            for row, model in zip(rows, prepared.build(rows), strict=True):
                key = tuple(row[place] for place in places)
                if key in found:
                    raise ambiguous(self._entity.name, 2)
                found[key] = model
        return {
            each: found.get(tuple(encoded(write, column, part) for column, part in zip(identity, key, strict=True)))
            for each, key in wanted.items()
        }

    def _any_of(self, keys: Collection[Key]) -> Any:
        table = self._entity.table
        columns = [self._entity.column(table.by_name[name].attribute) for name in table.identity]
        if len(columns) == 1:
            return columns[0].in_([key[0] for key in keys])
        each = [
            Junction(
                "AND", tuple(Comparison("=", column, Bound(part)) for column, part in zip(columns, key, strict=True))
            )
            for key in keys
        ]
        return OR(*each)  # type: ignore[arg-type]  # a condition has the type bool to a checker

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
        scope = self._scope(include_deleted=include_deleted)
        query = self._filtered(db, filters, scope)
        query = query.order_by(*self._order(order_by)).offset(offset)
        if limit is not None:
            query = query.limit(limit)
        prepared, parameters = query.prepare(db.dialect, scope)
        return _built(db, prepared, parameters)

    def _order(self, order_by: Any) -> tuple[Any, ...]:
        table = self._entity.table
        key = tuple(self._entity.column(table.by_name[name].attribute) for name in table.primary_key)
        if order_by is None:
            newest = (self._entity.column(CREATED_AT).desc(),) if CREATED_AT in table.by_attribute else ()
            return (*newest, *key)
        return (*_each(order_by), *key)

    def count(
        self,
        filters: Mapping[str, Any] | None = None,
        *,
        include_deleted: bool = False,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, int]:
        """The number of rows whose fields equal `filters`."""
        db = connection or self.db_pool
        scope = self._scope(include_deleted=include_deleted)
        prepared, parameters = self._filtered(db, filters, scope).prepare(db.dialect, scope, "count")
        return _counted(db, prepared, parameters)

    def _filtered(self, db: Executor, filters: Mapping[str, Any] | None, scope: Scope) -> Query[M]:
        query = Query(self.model_class)
        for name, value in (filters or {}).items():
            column = self._entity.column(name)
            self._check_tenant_filter(db, column, value, scope)
            if _is_several(value) and not isinstance(column.column.type, Array):
                query = query.filter(column.in_(value))
            else:
                query = query.filter(column == value)
        return query

    def _check_tenant_filter(self, db: Executor, column: ColumnRef, value: Any, scope: Scope) -> None:
        table = self._entity.table
        if column.column.name != table.tenant or scope.tenants is None or scope.tenants.everything:
            return
        stamp = Stamp(self._entity, scope, db.dialect)
        allowed = {stamp.encoded(tenant) for tenant in scope.tenants.tenants}
        for tenant in _each(value):
            if tenant is None or stamp.encoded(tenant) not in allowed:
                raise TenantScopeError(f"a filter names a tenant of {self._entity.name} outside the scope")

    # --- writing -----------------------------------------------------------------------------------------------------

    def create(self, model: M, user_id: Any = None, connection: Executor | None = None) -> Coroutine[Any, Any, M]:
        """Store a new row and return it as stored.

        Raises UniqueViolation and its kin, TenantScopeError, and InvalidValueError for values that do not fit or that
        are the library's to write.
        """
        db = connection or self.db_pool
        write = self._write(db, self._scope(), user_id)
        values = RecordReader(self.model_class, write, trusted=False)(self._model(model))
        return self._stored(db, write, strategy_of(self._entity).insert(write, values))

    async def _stored(self, db: Executor, write: Write, program: Program[Row], *, atomic: bool = False) -> M:
        row = await db.run(program, atomic=atomic)
        return self._build(write.dialect, row)

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
        if type(batch_size) is not int or batch_size < 1:
            raise InvalidValueError("batch_size must be a positive int", found=ascii(batch_size)[:100])
        db = connection or self.db_pool
        write = self._write(db, self._scope(), user_id)
        reader = RecordReader(self.model_class, write, trusted=trusted)
        if not atomic:
            return insert_separately(db, write, reader, models, batch_size)
        return self._create_all(db, write, [reader(model) for model in models], batch_size)

    async def _create_all(
        self, db: Executor, write: Write, rows: builtins.list[dict[str, Any]], batch_size: int
    ) -> builtins.list[M]:
        stored: list[Row] = []
        await db.run(insert_chunks(write, rows, batch_size, stored), atomic=True)
        return [self._build(write.dialect, row) for row in stored]

    def update(
        self,
        id: Any,
        model: M,
        user_id: Any = None,
        connection: Executor | None = None,
        *,
        expected: M | None = None,
    ) -> Coroutine[Any, Any, M]:
        """Write the changed fields of a loaded model, or the set fields of a new one, and return the row as stored.

        With `expected`, an earlier read of the row, nothing is written unless the columns being written and
        `updated_at` (or `__version_column__`, where the model has one) are still as in it. Raises NoResultFound,
        ConcurrencyError, AmbiguousRow, and TenantScopeError or InvalidValueError for what an update cannot change.
        """
        db = connection or self.db_pool
        write = self._write(db, self._scope(), user_id)
        key = self._key(id)
        program = self._update(write, key, self._model(model), None if expected is None else self._model(expected))
        return self._stored(db, write, program, atomic=self._several_tenants(write))

    def _update(self, write: Write, key: Key, model: M, expected: M | None) -> Program[Row]:
        changes = yield from changes_of(write, key, model)
        guard = guard_of(write, changes, model, expected)
        if not changes:
            row = yield from self._current(write, key)
            yield from holds(write, key, guard)
            return row
        return (yield from strategy_of(self._entity).update(write, key, changes, guard))

    def _current(self, write: Write, key: Key) -> Program[Row]:
        """The stored row, for an update that changes nothing."""
        prepared = self._prepared_get(write.dialect, write.scope)
        rows: list[Row] = yield Fetch(prepared.text, prepared.bind(key + write.scope.values))
        if not rows:
            raise missing(self._entity.name)
        if len(rows) > 1:
            raise ambiguous(self._entity.name, len(rows))
        return rows[0]

    def delete(
        self, id: Any, user_id: Any = None, connection: Executor | None = None, *, hard: bool = False
    ) -> Coroutine[Any, Any, bool]:
        """Delete the row with that key, softly where the model does so and `hard` does not; False when there is none.

        References are kept: RESTRICT refuses (ForeignKeyViolation), CASCADE deletes the children in the same
        transaction, SET NULL clears them when the row is deleted for good.
        """
        db = connection or self.db_pool
        scope = self._scope(include_deleted=hard)
        write = self._write(db, scope, user_id)
        where = key_conditions(write, self._key(id))
        return self._delete(db, write, where, hard=hard)

    async def _delete(self, db: Executor, write: Write, where: tuple[Expr, ...], *, hard: bool) -> bool:
        several = self._several_tenants(write)
        return await db.run(self._deleted(write, where, hard=hard), atomic=several or is_referenced(self._entity))

    def _deleted(self, write: Write, where: tuple[Expr, ...], *, hard: bool) -> Program[bool]:
        count = yield from delete_rows(write, where, hard=hard)
        if count > 1:
            raise ambiguous(self._entity.name, count)
        return count == 1

    def restore(
        self, id: Any, user_id: Any = None, connection: Executor | None = None
    ) -> Coroutine[Any, Any, M | None]:
        """Bring a soft-deleted row back and return it; None when no deleted row has that key."""
        db = connection or self.db_pool
        write = self._write(db, self._scope(), user_id)
        key = self._key(id)
        return self._restored(db, write, key)

    async def _restored(self, db: Executor, write: Write, key: Key) -> M | None:
        program = strategy_of(self._entity).restore(write, key)
        row = await db.run(program, atomic=self._several_tenants(write))
        return None if row is None else self._build(write.dialect, row)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _scope(self, *, include_deleted: bool = False) -> Scope:
        own = self._own if self._own is not None else capture(None)
        return own.with_deleted(include_deleted)

    def _write(self, db: Executor, scope: Scope, user_id: Any) -> Write:
        return Write(self._entity, scope, db.dialect, user_id, utc_now())

    def _several_tenants(self, write: Write) -> bool:
        """Whether a key may name more than one row, so that the write must be undone when it does."""
        tenants = write.scope.tenants
        return write.table.tenant is not None and tenants is not None and not tenants.strict

    def _key(self, id: Any) -> Key:
        key: Key = _each(id) if isinstance(id, tuple) else (id,)
        identity = self._entity.table.identity
        if len(key) != len(identity) or any(part is None for part in key):
            names = ", ".join(identity)
            raise InvalidValueError(f"the key of a {self._entity.name} is ({names})", found=ascii(key)[:100])
        return key

    def _model(self, model: Any) -> M:
        if not isinstance(model, self.model_class):
            raise InvalidValueError(f"a {self.model_class.__name__} was expected", found=f"a {type(model).__name__}")
        return model

    def _prepared_get(self, dialect: Dialect, scope: Scope) -> Prepared:
        shape = ("get", self._entity, scope.key)
        prepared: Prepared | None = dialect.statements.get(shape)
        if prepared is None:
            entity, table = self._entity, self._entity.table
            outputs = tuple(entity.column(column.attribute) for column in table.columns)
            where = key_conditions(Write(entity, scope, dialect, None, utc_now()), ("",) * len(table.identity))
            compiled = dialect.compiler(dialect, scope).compile(Select(entity, outputs, where))
            prepared = Prepared(compiled, models(self.model_class, compiled.outputs, dialect, validate=False))
            remember(dialect, shape, prepared)
        return prepared

    def _build(self, dialect: Dialect, row: Row) -> M:
        if self._builder is None or self._builder[0] is not dialect:
            self._builder = (dialect, row_builder(self.model_class, self._entity.table.columns, dialect))
        return self._builder[1](row)


def _is_several(value: object) -> TypeGuard[Collection[Any]]:
    return isinstance(value, list | tuple | set | frozenset)


def _each(value: Any) -> tuple[Any, ...]:
    return tuple(value) if _is_several(value) else (value,)


async def _built(db: Executor, prepared: Prepared, parameters: list[Any]) -> list[Any]:
    return prepared.build(await db.fetch(prepared.text, parameters))


async def _counted(db: Executor, prepared: Prepared, parameters: list[Any]) -> int:
    rows = await db.fetch(prepared.text, parameters)
    return int(rows[0][0])
