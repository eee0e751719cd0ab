"""What an update writes: the changed fields of a loaded model, or the set fields of a new one.

The key, the tenant and the library's own columns are never written from a model. A value in them that differs from the
stored row's is an error rather than silently dropped; `updated_at` alone is ignored, since every write sets it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ff_storage.core.errors import InvalidValueError, TenantScopeError
from ff_storage.core.history.none import exists
from ff_storage.core.history.outcomes import changed, missing
from ff_storage.core.history.rows import UPDATED_AT, changeable, fixed, key_conditions
from ff_storage.core.history.strategy import UNGUARDED, Guard, Key, Write
from ff_storage.core.model.hydrate import changed_columns, loaded_row
from ff_storage.core.program import Fetch, Program, Row
from ff_storage.core.sql.compiled import prepare
from ff_storage.core.sql.expressions import Comparison, Expr, IsNull, Stored
from ff_storage.core.sql.scope import Stamp
from ff_storage.core.sql.statements import Select
from ff_storage.core.tables import Column

if TYPE_CHECKING:
    from ff_storage.core.model.base import PydanticModel


def changes_of(write: Write, key: Key, model: PydanticModel) -> Program[dict[str, Any]]:
    """The values to write, by attribute. Raises InvalidValueError and TenantScopeError for what must not change.

    Reads the stored row only when the model itself cannot tell whether a protected value differs.
    """
    differing = changed_columns(model)
    names = model.__pydantic_fields_set__ if differing is None else differing.keys()
    _check_key(write, key, model, names, loaded=differing is not None)
    suspects = fixed(write.table).intersection(names)
    if suspects:
        yield from _check_fixed(write, key, model, suspects, loaded=differing is not None)
    values, free = model.__dict__, changeable(write.table)
    return {name: values[name] for name in names if name in free}


def _check_key(write: Write, key: Key, model: PydanticModel, names: Collection[str], *, loaded: bool) -> None:
    """Refuse a model whose own key is another than the one that was named."""
    table = write.table
    for name, wanted in zip(table.identity, key, strict=True):
        column = table.by_name[name]
        if (loaded or column.attribute in names) and not same(write, column, model.__dict__[column.attribute], wanted):
            raise InvalidValueError(f"{write.entity.name}.{column.attribute} is part of the key and cannot change")


def _check_fixed(
    write: Write, key: Key, model: PydanticModel, suspects: Collection[str], *, loaded: bool
) -> Program[None]:
    """Refuse values that an update cannot write, unless they are the stored row's."""
    table = write.table
    unsure: list[Column] = []
    for attribute in sorted(suspects):
        column, value = table.by_attribute[attribute], model.__dict__[attribute]
        if column.name == table.tenant:
            if value is not None:
                _check_tenant(write, value, loaded=loaded)
                unsure.append(column)
        elif column.name in table.primary_key:
            continue  # the key was checked
        elif loaded:
            raise _managed(write, column)
        elif value is not None:
            unsure.append(column)
    if unsure:
        yield from _compare(write, key, unsure, model.__dict__)


def _check_tenant(write: Write, value: Any, *, loaded: bool) -> None:
    # In a strict scope every row has the scope's tenant; a loaded row that changed its tenant is wrong in any scope.
    scope = write.scope.tenants
    stamp = Stamp(write.entity, write.scope, write.dialect)
    if loaded or (scope is not None and scope.strict and stamp.encoded(value) != stamp.encoded(scope.tenants[0])):
        raise TenantScopeError(
            f"an update of a {write.entity.name} names another tenant",
            remedy="a row never changes its tenant by update",
        )


def _managed(write: Write, column: Column) -> InvalidValueError:
    return InvalidValueError(
        f"{write.entity.name}.{column.attribute} is the library's to write", remedy="leave it as it was read"
    )


def _compare(write: Write, key: Key, columns: list[Column], values: Mapping[str, Any]) -> Program[None]:
    """Refuse protected values that differ from the stored row's."""
    where = key_conditions(write, key)
    outputs: tuple[Expr, ...] = tuple(write.entity.column(column.attribute) for column in columns)
    statement = Select(write.entity, outputs, where)
    shape = ("protected", write.entity, tuple(column.name for column in columns))
    compiled = prepare(write.dialect, shape, write.scope, lambda: statement)
    rows: list[Row] = yield Fetch(compiled.text, compiled.bind(statement.values + write.scope.values))
    if not rows:
        raise missing(write.entity.name)
    for column, stored in zip(columns, rows[0], strict=True):
        if stored != encoded(write, column, values[column.attribute]):
            if column.name == write.table.tenant:
                raise TenantScopeError(f"an update of a {write.entity.name} names another tenant")
            raise _managed(write, column)


def guard_of(write: Write, changes: Mapping[str, Any], model: PydanticModel, expected: PydanticModel | None) -> Guard:
    """What must still hold for the update: the version where the model has one, else what `expected` was read with.

    `expected` may be the model itself, changed since: what counts is the row that it was made of.
    """
    table = write.table
    if table.version is not None:
        attribute = table.by_name[table.version].attribute
        source = expected if expected is not None else model
        if expected is None and attribute not in source.__pydantic_fields_set__:
            return UNGUARDED
        return Guard((write.entity.column(attribute) == source.__dict__[attribute],))
    if expected is None:
        return UNGUARDED
    row = loaded_row(expected, write.dialect)
    conditions: list[Expr] = []
    for name in (*changes, UPDATED_AT) if UPDATED_AT in table.by_attribute else changes:
        column = table.by_attribute[name]
        stored = encoded(write, column, expected.__dict__[name]) if row is None else row[name]
        ref = write.entity.column(name)
        conditions.append(IsNull(ref) if stored is None else Comparison("=", ref, Stored(stored)))
    return Guard(tuple(conditions))


def holds(write: Write, key: Key, guard: Guard) -> Program[None]:
    """Raise ConcurrencyError unless the row under `key` is as `guard` says."""
    if guard.conditions and not (yield from exists(write, key_conditions(write, key) + guard.conditions, write.scope)):
        raise changed(write.entity.name)


def same(write: Write, column: Column, left: Any, right: Any) -> bool:
    """Whether two values of a column are stored alike."""
    return left == right or bool(encoded(write, column, left) == encoded(write, column, right))


def encoded(write: Write, column: Column, value: Any) -> Any:
    """The driver value of a field's value."""
    if value is None:
        return None
    adapted = value if column.adapt is None else column.adapt(value)
    return write.dialect.encoder(column.type)(adapted)
