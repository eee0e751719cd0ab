"""`Query`: what rows to read, said step by step.

A query is immutable: every step returns a new one. Building it also builds its shape, so that at the terminal the
compiled statement is one dictionary look-up away. Each terminal takes the pool or the transaction first; it reads the
scope when it is *called*, raises bad input then, and does its I/O when awaited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

from ff_storage.core.context import TenantScope
from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import ConfigurationError, InvalidValueError
from ff_storage.core.query.results import (
    Build,
    Prepared,
    first_of,
    models,
    objects,
    one_of,
    scalar_of,
    target_fields,
    target_names,
    tuples,
)
from ff_storage.core.query.streams import QueryStream
from ff_storage.core.query.sync import SyncQuery
from ff_storage.core.sql.compiled import remember
from ff_storage.core.sql.expressions import (
    ColumnRef,
    Entity,
    Expr,
    Name,
    Order,
    condition,
    field_ref,
    order_term,
    walk,
)
from ff_storage.core.sql.scope import Scope, capture
from ff_storage.core.sql.statements import Select, SelectForm, repeats

if TYPE_CHECKING:
    from ff_storage.core.database.executor import Executor
    from ff_storage.core.sql.dialect import Dialect

R = TypeVar("R")
D = TypeVar("D")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")
T7 = TypeVar("T7")
T8 = TypeVar("T8")

MAX_ROWS: Final = 2**63 - 1
STREAM_BATCH: Final = 1000
"""Rows a stream fetches at a time."""


class Query(Generic[R]):
    """Rows of a model. `Query(M)` yields models, `select(…)` typed tuples, `into(Dto)` instances of a class.

    `validate=True` runs Pydantic's validation on every row; by default rows of the database are trusted, and only
    fields that transform are converted.
    """

    _model: type[Any]
    _entity: Entity
    _outputs: tuple[Expr, ...] | None
    _where: tuple[Expr, ...]
    _group_by: tuple[Expr, ...]
    _having: tuple[Expr, ...]
    _order_by: tuple[Order, ...]
    _limit: int | None
    _offset: int | None
    _distinct: bool
    _into: type[Any] | None
    _validate: bool
    _include_deleted: bool

    def __init__(self, model: type[R], *, validate: bool = False) -> None:
        entity = getattr(model, "__ff_entity__", None) if isinstance(model, type) else None
        if entity is None:
            raise ConfigurationError(
                "Query takes a PydanticModel class with a table",
                found=repr(model)[:100],
                remedy="pass the class itself",
            )
        self._model = model
        self._entity = entity
        self._outputs = None
        self._where = ()
        self._group_by = ()
        self._having = ()
        self._order_by = ()
        self._limit = None
        self._offset = None
        self._distinct = False
        self._into = None
        self._validate = validate
        self._include_deleted = False

    # --- steps -------------------------------------------------------------------------------------------------------

    def _with(self, name: str, value: Any) -> Query[Any]:
        twin: Query[Any] = _new(Query)
        state = self.__dict__.copy()
        state[name] = value
        twin.__dict__ = state
        return twin

    def copy(self) -> Query[R]:
        """An equal query; steps never change one, so a copy is seldom needed."""
        return self._with("_model", self._model)

    def filter(self, *conditions: bool) -> Query[R]:
        """Keep the rows for which every condition holds. Raises UnknownFieldError for a name the model lacks."""
        terms = cast("tuple[Expr, ...]", conditions)
        checked = self._entity.checked
        for term in terms:
            if not isinstance(term, Expr) or term.key not in checked:
                self._check(condition(term))
        return self._with("_where", self._where + terms)

    def filter_by(self, **values: Any) -> Query[R]:
        """Keep the rows whose fields equal `values`; None means NULL."""
        return self.filter(*[self._entity.column(name) == value for name, value in values.items()])

    def order_by(self, *terms: Any) -> Query[R]:
        """Sort by fields, `.asc()`/`.desc()` terms, or names (`"name"`, `"-price"` for descending)."""
        added = tuple([term if type(term) is Order else order_term(term) for term in terms])
        return self._with("_order_by", self._order_by + added)

    def limit(self, n: int) -> Query[R]:
        """Return at most `n` rows."""
        return self._with("_limit", _row_count("limit", n))

    def offset(self, n: int) -> Query[R]:
        """Skip the first `n` rows."""
        return self._with("_offset", _row_count("offset", n))

    def distinct(self) -> Query[R]:
        """Return each result once."""
        return self._with("_distinct", value=True)

    def include_deleted(self) -> Query[R]:
        """Count soft-deleted rows too."""
        return self._with("_include_deleted", value=True)

    def group_by(self, *fields: Any) -> Query[R]:
        """Make one result of each group of rows that agree in `fields`."""
        return self._with("_group_by", self._group_by + tuple([field_ref(each, "group_by") for each in fields]))

    def having(self, *conditions: bool) -> Query[R]:
        """Keep the groups for which every condition holds; labels of `select` may be named."""
        return self._with("_having", self._having + tuple([condition(each) for each in conditions]))

    @overload
    def select(self, a: T1, /) -> Query[tuple[T1]]: ...
    @overload
    def select(self, a: T1, b: T2, /) -> Query[tuple[T1, T2]]: ...
    @overload
    def select(self, a: T1, b: T2, c: T3, /) -> Query[tuple[T1, T2, T3]]: ...
    @overload
    def select(self, a: T1, b: T2, c: T3, d: T4, /) -> Query[tuple[T1, T2, T3, T4]]: ...
    @overload
    def select(self, a: T1, b: T2, c: T3, d: T4, e: T5, /) -> Query[tuple[T1, T2, T3, T4, T5]]: ...
    @overload
    def select(self, a: T1, b: T2, c: T3, d: T4, e: T5, f: T6, /) -> Query[tuple[T1, T2, T3, T4, T5, T6]]: ...
    @overload
    def select(
        self, a: T1, b: T2, c: T3, d: T4, e: T5, f: T6, g: T7, /
    ) -> Query[tuple[T1, T2, T3, T4, T5, T6, T7]]: ...
    @overload
    def select(
        self, a: T1, b: T2, c: T3, d: T4, e: T5, f: T6, g: T7, h: T8, /
    ) -> Query[tuple[T1, T2, T3, T4, T5, T6, T7, T8]]: ...
    @overload
    def select(self, *fields: Any) -> Query[tuple[Any, ...]]: ...
    def select(self, *fields: Any) -> Any:
        """Yield tuples of `fields` (fields, names, aggregates, expressions) instead of models."""
        if not fields:
            raise InvalidValueError("select needs at least one field")
        outputs = tuple([field_ref(each, "select") for each in fields])
        for node in outputs:
            self._check(node)
        return self._with("_outputs", outputs)._with("_into", None)

    def into(self, target: type[D]) -> Query[D]:
        """Yield validated instances of `target`: a Pydantic model, a dataclass, a TypedDict or a NamedTuple.

        The selected outputs go in by name: a label, or a field's own. Without `select`, the model's fields that
        `target` has are read. Raises ConfigurationError when the two do not fit.
        """
        outputs = self._outputs
        if outputs is None:
            known = target_fields(target)
            attributes = [column.attribute for column in self._entity.table.columns]
            outputs = tuple(self._entity.column(name) for name in attributes if known is None or name in known)
        target_names(target, outputs)
        return self._with("_outputs", outputs)._with("_into", target)

    # --- terminals ---------------------------------------------------------------------------------------------------

    def execute(
        self,
        db: Executor,
        tenant_id: Any = None,
        *,
        tenant_ids: Collection[Any] | None = None,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, list[R]]:
        """Every result.

        `db` is a pool or a transaction; `connection=tx` runs within `tx` instead. `tenant_id` is one tenant or
        `ALL_TENANTS`, `tenant_ids` several; without them the ambient scope holds.
        """
        return _fetch(*self._ready("rows", connection or db, tenant_id, tenant_ids))

    def first(
        self,
        db: Executor,
        tenant_id: Any = None,
        *,
        tenant_ids: Collection[Any] | None = None,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, R | None]:
        """The first result, or None."""
        return _first(*self.at_most(1)._ready("rows", connection or db, tenant_id, tenant_ids))

    def one(
        self,
        db: Executor,
        tenant_id: Any = None,
        *,
        tenant_ids: Collection[Any] | None = None,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, R]:
        """The only result. Raises NoResultFound and MultipleResultsFound."""
        return _one(self._entity.name, *self.at_most(2)._ready("rows", connection or db, tenant_id, tenant_ids))

    def scalar(
        self,
        db: Executor,
        tenant_id: Any = None,
        *,
        tenant_ids: Collection[Any] | None = None,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """The first value of the first result, or None. Needs `select`."""
        if not self.is_tuples:
            raise InvalidValueError("scalar needs select(…)", remedy="select the one field or aggregate to read")
        return _scalar(*self.at_most(1)._ready("rows", connection or db, tenant_id, tenant_ids))

    def count(
        self,
        db: Executor,
        tenant_id: Any = None,
        *,
        tenant_ids: Collection[Any] | None = None,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, int]:
        """The number of results `execute` would return, limit and offset included."""
        return _scalar(*self._ready("count", connection or db, tenant_id, tenant_ids))

    def exists(
        self,
        db: Executor,
        tenant_id: Any = None,
        *,
        tenant_ids: Collection[Any] | None = None,
        connection: Executor | None = None,
    ) -> Coroutine[Any, Any, bool]:
        """Whether there is any result."""
        return _scalar(*self._ready("exists", connection or db, tenant_id, tenant_ids))

    def stream(
        self,
        db: Executor,
        tenant_id: Any = None,
        *,
        tenant_ids: Collection[Any] | None = None,
        connection: Executor | None = None,
        batch: int = STREAM_BATCH,
    ) -> AbstractAsyncContextManager[AsyncIterator[R]]:
        """The results one by one, fetched `batch` rows at a time, for results larger than memory.

            async with query.stream(pool) as rows:
                async for row in rows: ...

        The connection is held until the block ends, however it ends.
        """
        if type(batch) is not int or batch < 1:
            raise InvalidValueError("batch must be a positive int", found=ascii(batch)[:100])
        executor, prepared, parameters = self._ready("rows", connection or db, tenant_id, tenant_ids)
        return QueryStream(executor, prepared, parameters, batch)

    def on(self, db: SQL) -> SyncQuery[R]:
        """The query on a synchronous database: `query.on(db).execute()`."""
        return SyncQuery(self, db)

    def at_most(self, n: int) -> Query[R]:
        """The query, limited to `n` rows unless it asks for no more."""
        return self if self._limit is not None and self._limit <= n else self.limit(n)

    @property
    def name(self) -> str:
        """The model's name, for messages."""
        return self._entity.name

    @property
    def is_tuples(self) -> bool:
        """Whether it yields tuples."""
        return self._outputs is not None and self._into is None

    @property
    def includes_deleted(self) -> bool:
        """Whether it counts soft-deleted rows."""
        return self._include_deleted

    # --- from shape to statement -------------------------------------------------------------------------------------

    def prepare(self, dialect: Dialect, scope: Scope, form: SelectForm = "rows") -> tuple[Prepared, list[Any]]:
        """The compiled statement of this query's shape, and its parameters."""
        outputs = self._outputs
        shape = (
            "query",
            self._entity,
            form,
            None if outputs is None else tuple([each.key for each in outputs]),
            tuple([each.key for each in self._where]),
            tuple([each.key for each in self._group_by]) if self._group_by else (),
            tuple([each.key for each in self._having]) if self._having else (),
            tuple([each.key for each in self._order_by]),
            self._limit is None,
            self._offset is None,
            self._distinct,
            self._into,
            self._validate,
            scope.key,
            repeats(self._results()) if self._group_by or (self._distinct and self._order_by) else (),
        )
        prepared = dialect.statements.get(shape)
        if prepared is None:
            prepared = self._compile(dialect, scope, form)
            remember(dialect, shape, prepared)
        return prepared, prepared.bind([*self._values(), *scope.values])

    def _results(self) -> tuple[Expr, ...]:
        orders = [term.expression for term in self._order_by]
        return (*(self._outputs or ()), *self._group_by, *self._having, *orders)

    def _values(self) -> list[Any]:
        """The callers' values in the order of `Select.values`."""
        values: list[Any] = []
        if self._outputs is not None:
            for node in self._outputs:
                values += node.values
        for node in self._where:
            values += node.values
        if self._group_by or self._having:
            for node in (*self._group_by, *self._having):
                values += node.values
        for term in self._order_by:
            values += term.expression.values
        if self._limit is not None:
            values.append(self._limit)
        if self._offset is not None:
            values.append(self._offset)
        return values

    def _ready(
        self, form: SelectForm, db: Executor, tenant_id: Any, tenant_ids: Collection[Any] | None
    ) -> tuple[Executor, Prepared, list[Any]]:
        scope = capture(TenantScope.of(tenant_id, tenant_ids), include_deleted=self._include_deleted)
        dialect = getattr(db, "dialect", None)
        if dialect is None or isinstance(db, SQL):
            remedy = "pass the pool first" if dialect is None else "write query.on(db).execute(), without await"
            raise ConfigurationError(
                "a query is awaited on a pool or a transaction", found=f"a {type(db).__name__}", remedy=remedy
            )
        return (db, *self.prepare(dialect, scope, form))

    def _compile(self, dialect: Dialect, scope: Scope, form: SelectForm) -> Prepared:
        entity = self._entity
        whole = self._outputs is None
        outputs = self._outputs or tuple(entity.column(column.attribute) for column in entity.table.columns)
        statement = Select(
            entity,
            outputs,
            self._where,
            self._group_by,
            self._having,
            self._order_by,
            self._limit,
            self._offset,
            self._distinct,
            form,
        )
        if whole and (self._group_by or self._having):
            raise InvalidValueError(
                "group_by and having need select(…)", remedy="select the groups' fields and aggregates"
            )
        compiled = dialect.compiler(dialect, scope).compile(statement)
        build: Build
        if form != "rows":
            build = tuples(compiled.outputs, dialect)
        elif whole:
            build = models(self._model, compiled.outputs, dialect, validate=self._validate)
        elif self._into is not None:
            build = objects(self._into, target_names(self._into, outputs), compiled.outputs, dialect)
        else:
            build = tuples(compiled.outputs, dialect)
        return Prepared(compiled, build)

    def _check(self, node: Expr) -> None:
        """Refuse a node that names what the model lacks; shapes seen before are not walked again."""
        checked = self._entity.checked
        if node.key in checked:
            return
        for each in walk(node):
            if isinstance(each, Name):
                self._entity.column(each.name)
            elif isinstance(each, ColumnRef) and each.entity is not self._entity:
                raise ConfigurationError(
                    f"{each!r} is used in a query on {self._entity.name}",
                    remedy=f"use the fields of {self._entity.name}",
                )
        if node.size > MAX_CHECKED_SIZE:
            return
        if len(checked) >= MAX_CHECKED:
            checked.clear()
        checked.add(node.key)

    def __repr__(self) -> str:
        steps = [f"Query({self._model.__name__})"]
        parts = (("filter", self._where), ("group_by", self._group_by), ("having", self._having))
        steps += [f"{name}({', '.join(map(repr, nodes))})" for name, nodes in parts if nodes]
        if self._outputs is not None:
            steps.append(f"select({', '.join(map(repr, self._outputs))})")
        return ".".join(steps)


MAX_CHECKED: Final = 4096
"""Shapes that an entity remembers as checked."""

MAX_CHECKED_SIZE: Final = 200
"""Nodes of such a shape; a larger one takes more memory than walking it again takes time."""


_new: Final[Callable[[Any], Any]] = object.__new__


def _row_count(what: str, n: Any) -> int:
    if type(n) is not int or not 0 <= n <= MAX_ROWS:
        raise InvalidValueError(f"{what} must be an int from 0 to 2**63 - 1", found=ascii(n)[:100])
    return n


async def _fetch(executor: Executor, prepared: Prepared, parameters: list[Any]) -> list[Any]:
    return prepared.build(await executor.fetch(prepared.text, parameters))


async def _first(executor: Executor, prepared: Prepared, parameters: list[Any]) -> Any:
    return first_of(prepared.build(await executor.fetch(prepared.text, parameters)))


async def _one(name: str, executor: Executor, prepared: Prepared, parameters: list[Any]) -> Any:
    return one_of(name, prepared.build(await executor.fetch(prepared.text, parameters)))


async def _scalar(executor: Executor, prepared: Prepared, parameters: list[Any]) -> Any:
    return scalar_of(prepared.build(await executor.fetch(prepared.text, parameters)))
