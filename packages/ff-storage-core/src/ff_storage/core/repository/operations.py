"""What a repository does, up to the point where something is sent.

Each method here checks its arguments, reads the scope and gives a `Read` or a `Work`: what to run, and what makes the
outcome a result. `PydanticRepository` awaits it on a pool, `SyncRepository` runs it on a synchronous database; neither
knows more than that.
"""

from __future__ import annotations

import builtins
import logging
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeGuard, TypeVar

from ff_storage.core.context import TenantScope, utc_now
from ff_storage.core.errors import ConfigurationError, InvalidValueError, TenantScopeError
from ff_storage.core.history.deletion import delete_rows, is_referenced
from ff_storage.core.history.outcomes import ambiguous, missing
from ff_storage.core.history.rows import CREATED_AT, key_conditions
from ff_storage.core.history.strategy import Key, Write, strategy_of
from ff_storage.core.model.hydrate import row_builder
from ff_storage.core.program import Fetch, Program, Row
from ff_storage.core.query.builder import Query
from ff_storage.core.query.bulk import RecordReader, chunks, insert_chunks
from ff_storage.core.repository.changes import changes_of, encoded, guard_of, holds
from ff_storage.core.sql.compiled import Compiled, remember
from ff_storage.core.sql.dialect import Dialect
from ff_storage.core.sql.expressions import Bound, ColumnRef, Comparison, Expr, Junction
from ff_storage.core.sql.functions import OR
from ff_storage.core.sql.scope import Scope, Stamp, capture
from ff_storage.core.sql.statements import Select
from ff_storage.core.types import Array

if TYPE_CHECKING:
    from ff_storage.core.model.base import PydanticModel

M = TypeVar("M", bound="PydanticModel")
T = TypeVar("T")

Rows: TypeAlias = list[Row]

KEYS_A_QUERY: Final = 500
"""Rows that `get_many` asks for at a time."""

_IGNORED: Final = ("cache_enabled", "cache_ttl", "collect_metrics", "max_retries")

Read: TypeAlias = tuple[str, Sequence[Any], Callable[[Rows], T]]
"""One statement: its text, its parameters, and what makes its rows the result. A tuple, since reads are hot."""


class Work(NamedTuple, Generic[T]):
    """A program, whether it needs a transaction, and what makes its outcome the result."""

    program: Program[Any]
    atomic: bool
    result: Callable[[Any], T]


class Database(Protocol):
    """What the operations ask of a database, async or not: its dialect."""

    @property
    def dialect(self) -> Dialect:
        """The engine's dialect."""
        ...


class _Get(Generic[M]):
    """The compiled read of one row by its key."""

    __slots__ = ("bind", "build", "name", "text")

    def __init__(self, compiled: Compiled, build: Callable[[Row], M], name: str) -> None:
        self.text = compiled.text
        self.bind = compiled.bind
        self.build = build
        self.name = name

    def result(self, rows: Rows) -> M | None:
        """The one row as a model, or None. Raises AmbiguousRow."""
        if not rows:
            return None
        if len(rows) > 1:
            raise ambiguous(self.name, len(rows))
        return self.build(rows[0])


class Operations(Generic[M]):
    """The rows of `model_class` that a scope can see; see `PydanticRepository` for what the arguments mean."""

    def __init__(
        self,
        model_class: type[M],
        db: Database,
        tenant_id: Any = None,
        tenant_ids: Collection[Any] | None = None,
        logger: logging.Logger | None = None,
        **ignored: Any,
    ) -> None:
        entity = getattr(model_class, "__ff_entity__", None) if isinstance(model_class, type) else None
        if entity is None:
            raise ConfigurationError(
                f"{type(self).__name__} takes a PydanticModel class with a table", found=repr(model_class)[:100]
            )
        for name in ignored:
            if name not in _IGNORED:
                raise TypeError(f"{type(self).__name__} has no argument {name!r}")
            warnings.warn(f"{name} has no effect: reads always see the database", DeprecationWarning, stacklevel=3)
        if isinstance(tenant_id, list | tuple | set | frozenset):
            raise TenantScopeError("tenant_id is one tenant", found="a list", remedy="pass tenant_ids=[…]")
        self.model_class = model_class
        self.logger = logger or logging.getLogger("ff_storage.repository")
        self._entity = entity
        self._tenants = TenantScope.of(tenant_id, tenant_ids)
        self._own: Scope | None = Scope(self._tenants) if self._tenants is not None else None
        self._builder: tuple[Dialect, Callable[[Row], M]] | None = None
        self._check_tenants(db.dialect)

    def _check_tenants(self, dialect: Dialect) -> None:
        # A tenant that cannot be one is an error here, where it was given, and not in some later statement.
        if self._entity.table.tenant is None or self._own is None:
            return
        stamp = Stamp(self._entity, self._own, dialect)
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

    # --- reading -----------------------------------------------------------------------------------------------------

    def _get(self, db: Database, key: Any, *, include_deleted: bool) -> Read[M | None]:
        scope = (self._own or capture(None)).with_deleted(include_deleted)
        dialect = db.dialect
        # Looked up here too: this is the read that everything else is compared with.
        get = dialect.statements.get(("get", self._entity, scope.key)) or self._compiled_get(dialect, scope)
        return get.text, get.bind(self._key(key) + scope.values), get.result

    def _get_many(self, db: Database, ids: Iterable[Any], *, include_deleted: bool) -> Work[dict[Any, M | None]]:
        write = self._write(db, self._scope(include_deleted=include_deleted), None)
        wanted = {each: self._key(each) for each in ids}
        return Work(self._found(write, wanted), atomic=False, result=_unchanged)

    def _found(self, write: Write, wanted: dict[Any, Key]) -> Program[dict[Any, M | None]]:
        found: dict[Any, M] = {}
        identity = [write.table.by_name[name] for name in write.table.identity]
        places = [write.table.columns.index(column) for column in identity]
        for chunk in chunks(wanted.values(), KEYS_A_QUERY):
            query = Query(self.model_class).filter(self._any_of(chunk))
            prepared, parameters = query.prepare(write.dialect, write.scope)
            rows: Rows = yield Fetch(prepared.text, parameters)
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

    def _list(
        self,
        db: Database,
        filters: Mapping[str, Any] | None,
        limit: int | None,
        offset: int,
        order_by: Any,
        *,
        include_deleted: bool,
    ) -> Read[builtins.list[M]]:
        scope = self._scope(include_deleted=include_deleted)
        query = self._filtered(db, filters, scope)
        query = query.order_by(*self._order(order_by)).offset(offset)
        if limit is not None:
            query = query.limit(limit)
        prepared, parameters = query.prepare(db.dialect, scope)
        return prepared.text, parameters, prepared.build

    def _order(self, order_by: Any) -> tuple[Any, ...]:
        table = self._entity.table
        key = tuple(self._entity.column(table.by_name[name].attribute) for name in table.primary_key)
        if order_by is None:
            newest = (self._entity.column(CREATED_AT).desc(),) if CREATED_AT in table.by_attribute else ()
            return (*newest, *key)
        return (*_each(order_by), *key)

    def _count(self, db: Database, filters: Mapping[str, Any] | None, *, include_deleted: bool) -> Read[int]:
        scope = self._scope(include_deleted=include_deleted)
        prepared, parameters = self._filtered(db, filters, scope).prepare(db.dialect, scope, "count")
        return prepared.text, parameters, _number

    def _filtered(self, db: Database, filters: Mapping[str, Any] | None, scope: Scope) -> Query[M]:
        query = Query(self.model_class)
        for name, value in (filters or {}).items():
            column = self._entity.column(name)
            self._check_tenant_filter(db, column, value, scope)
            if _is_several(value) and not isinstance(column.column.type, Array):
                query = query.filter(column.in_(value))
            else:
                query = query.filter(column == value)
        return query

    def _check_tenant_filter(self, db: Database, column: ColumnRef, value: Any, scope: Scope) -> None:
        table = self._entity.table
        if column.column.name != table.tenant or scope.tenants is None or scope.tenants.everything:
            return
        stamp = Stamp(self._entity, scope, db.dialect)
        allowed = {stamp.encoded(tenant) for tenant in scope.tenants.tenants}
        for tenant in _each(value):
            if tenant is None or stamp.encoded(tenant) not in allowed:
                raise TenantScopeError(f"a filter names a tenant of {self._entity.name} outside the scope")

    # --- writing -----------------------------------------------------------------------------------------------------

    def _create(self, db: Database, model: M, user_id: Any) -> Work[M]:
        write = self._write(db, self._scope(), user_id)
        values = RecordReader(self.model_class, write, trusted=False)(self._model(model))
        return Work(strategy_of(self._entity).insert(write, values), atomic=False, result=self._build(write.dialect))

    def _create_many(
        self, db: Database, models: Iterable[M], user_id: Any, batch_size: int, *, trusted: bool
    ) -> Work[builtins.list[M]]:
        write, reader = self._creation(db, user_id, batch_size, trusted=trusted)
        stored: Rows = []
        build = self._build(write.dialect)

        def result(count: int) -> builtins.list[M]:
            del count
            return [build(row) for row in stored]

        program = insert_chunks(write, [*reader.chunks(models, batch_size)], batch_size, stored)
        return Work(program, atomic=True, result=result)

    def _creation(self, db: Database, user_id: Any, batch_size: Any, *, trusted: bool) -> tuple[Write, RecordReader]:
        if type(batch_size) is not int or batch_size < 1:
            raise InvalidValueError("batch_size must be a positive int", found=ascii(batch_size)[:100])
        write = self._write(db, self._scope(), user_id)
        return write, RecordReader(self.model_class, write, trusted=trusted)

    def _update(
        self, db: Database, key: Any, model: M, user_id: Any, expected: M | None, *, returning: bool
    ) -> Work[M | None]:
        write = self._write(db, self._scope(), user_id)
        earlier = None if expected is None else self._model(expected)
        program = self._updated(write, self._key(key), self._model(model), earlier, returning=returning)
        result = self._build(write.dialect) if returning else _nothing
        return Work(program, atomic=_may_meet_several(write), result=result)

    def _updated(self, write: Write, key: Key, model: M, expected: M | None, *, returning: bool) -> Program[Row | None]:
        changes = yield from changes_of(write, key, model)
        guard = guard_of(write, changes, model, expected)
        if not changes:
            row = yield from self._current(write, key)
            yield from holds(write, key, guard)
            return row
        return (yield from strategy_of(self._entity).update(write, key, changes, guard, returning=returning))

    def _current(self, write: Write, key: Key) -> Program[Row]:
        """The stored row, for an update that changes nothing."""
        get = self._compiled_get(write.dialect, write.scope)
        rows: Rows = yield Fetch(get.text, get.bind(key + write.scope.values))
        if not rows:
            raise missing(self._entity.name)
        if len(rows) > 1:
            raise ambiguous(self._entity.name, len(rows))
        return rows[0]

    def _delete(self, db: Database, key: Any, user_id: Any, *, hard: bool) -> Work[bool]:
        write = self._write(db, self._scope(include_deleted=hard), user_id)
        where = key_conditions(write, self._key(key))
        atomic = _may_meet_several(write) or is_referenced(self._entity)
        return Work(self._deleted(write, where, hard=hard), atomic=atomic, result=_unchanged)

    def _deleted(self, write: Write, where: tuple[Expr, ...], *, hard: bool) -> Program[bool]:
        count = yield from delete_rows(write, where, hard=hard)
        if count > 1:
            raise ambiguous(self._entity.name, count)
        return count == 1

    def _restore(self, db: Database, key: Any, user_id: Any) -> Work[M | None]:
        write = self._write(db, self._scope(), user_id)
        program = strategy_of(self._entity).restore(write, self._key(key))
        build = self._build(write.dialect)

        def result(row: Row | None) -> M | None:
            return None if row is None else build(row)

        return Work(program, _may_meet_several(write), result)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _scope(self, *, include_deleted: bool = False) -> Scope:
        own = self._own if self._own is not None else capture(None)
        return own.with_deleted(include_deleted)

    def _write(self, db: Database, scope: Scope, user_id: Any) -> Write:
        return Write(self._entity, scope, db.dialect, user_id, utc_now())

    def _key(self, given: Any) -> Key:
        key: Key = _each(given) if isinstance(given, tuple) else (given,)
        identity = self._entity.table.identity
        complete = len(key) == len(identity)
        for part in key:
            if part is None:
                complete = False
        if not complete:
            names = ", ".join(identity)
            raise InvalidValueError(f"the key of a {self._entity.name} is ({names})", found=ascii(key)[:100])
        return key

    def _model(self, model: Any) -> M:
        if not isinstance(model, self.model_class):
            raise InvalidValueError(f"a {self.model_class.__name__} was expected", found=f"a {type(model).__name__}")
        return model

    def _compiled_get(self, dialect: Dialect, scope: Scope) -> _Get[M]:
        shape = ("get", self._entity, scope.key)
        get: _Get[M] | None = dialect.statements.get(shape)
        if get is None:
            entity, table = self._entity, self._entity.table
            outputs = tuple(entity.column(column.attribute) for column in table.columns)
            where = key_conditions(Write(entity, scope, dialect, None, utc_now()), ("",) * len(table.identity))
            compiled = dialect.compiler(dialect, scope).compile(Select(entity, outputs, where))
            get = _Get(compiled, self._build(dialect), entity.name)
            remember(dialect, shape, get)
        return get

    def _build(self, dialect: Dialect) -> Callable[[Row], M]:
        """What makes a stored row a model."""
        builder = self._builder
        if builder is None or builder[0] is not dialect:
            builder = (dialect, row_builder(self.model_class, self._entity.table.columns, dialect))
            self._builder = builder
        return builder[1]


def _may_meet_several(write: Write) -> bool:
    """Whether a key may name more than one row, so that the write must be undone when it does."""
    tenants = write.scope.tenants
    return write.table.tenant is not None and tenants is not None and not tenants.strict


def _is_several(value: object) -> TypeGuard[Collection[Any]]:
    return isinstance(value, list | tuple | set | frozenset)


def _each(value: Any) -> tuple[Any, ...]:
    return tuple(value) if _is_several(value) else (value,)


def _nothing(outcome: Any) -> None:
    del outcome


def _unchanged(outcome: Any) -> Any:
    return outcome


def _number(rows: Rows) -> int:
    return int(rows[0][0])
