"""Deleting a row and keeping the promises of those who reference it.

Soft deletion fires no ON DELETE in any database, so the library applies the rules: live RESTRICT children refuse the
deletion, CASCADE deletes them in their own way, SET NULL leaves them (they load the parent as None, and find it again
when it is restored). A row that is deleted for good follows the same rules before the engine's own constraints see it,
so that history is kept and the tenant column of a composite key is never cleared. The caller runs the program in one
transaction whenever `is_referenced`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ff_storage.core.context import TenantScope
from ff_storage.core.errors import DatabaseError, ForeignKeyViolation
from ff_storage.core.history.none import exists
from ff_storage.core.history.strategy import UNGUARDED, Write, strategy_of
from ff_storage.core.program import Command, Fetch, Program, Row
from ff_storage.core.sql.compiled import prepare
from ff_storage.core.sql.expressions import Bound, Comparison, Expr, Junction, Not
from ff_storage.core.sql.scope import Scope
from ff_storage.core.sql.statements import Select
from ff_storage.core.tables import Action, Column, ForeignKey

if TYPE_CHECKING:
    from ff_storage.core.model.entity import ModelEntity

Seen = set[tuple[Any, ...]]


# What refuses at once comes first, so that the outcome does not hang on the order of the models; NO ACTION looks last.
_TURNS: Final = {Action.RESTRICT: 0, Action.CASCADE: 1, Action.SET_NULL: 2, Action.NO_ACTION: 3}


def is_referenced(entity: ModelEntity) -> bool:
    """Whether any model references this one, so that a deletion is more than one statement."""
    return bool(entity.referenced_by())


@dataclass(frozen=True, slots=True)
class _Below:
    """A deletion that another one waits for."""

    deletion: _Deletion


_Deletion = Generator[Command | _Below, Any, int]


def delete_rows(write: Write, where: Sequence[Expr], *, hard: bool = False) -> Program[int]:
    """Delete the rows under `where` that are in scope, their references first; the result is the number of rows.

    Raises ForeignKeyViolation when a RESTRICT child exists; then nothing may be committed.
    """
    # A cascade goes as deep as the data do, which may be deeper than Python's stack: so the deletions that wait for
    # one another stand in a list.
    waiting: list[_Deletion] = [_delete(write, where, hard=hard, seen=set())]
    result: Any = None
    error: DatabaseError | None = None
    while True:
        try:
            step = waiting[-1].send(result) if error is None else waiting[-1].throw(error)
        except StopIteration as stop:
            waiting.pop()
            result, error = stop.value, None
            if not waiting:
                return int(result)
            continue
        except DatabaseError as failure:
            waiting.pop()
            if not waiting:
                raise
            error = failure
            continue
        result, error = None, None
        if isinstance(step, _Below):
            waiting.append(step.deletion)
            continue
        try:
            result = yield step
        except DatabaseError as failure:
            error = failure


def _delete(write: Write, where: Sequence[Expr], *, hard: bool, seen: Seen) -> _Deletion:
    hard = hard or write.table.deleted_at is None
    references = sorted(write.entity.referenced_by(), key=lambda reference: _TURNS[reference[1].on_delete])
    strategy = strategy_of(write.entity)
    if not references:
        return (yield from strategy.delete(write, where, hard=hard))
    rows = yield from _rows(write, where)
    for row in rows:
        mark = (write.entity, *[row[name] for name in write.table.primary_key])
        if mark in seen:
            continue
        seen.add(mark)
        for child, key in references:
            yield from _apply(write, row, child, key, hard=hard, seen=seen)
    yield from strategy.delete(write, where, hard=hard)
    # Not what that touched: in a cycle of references some of the rows were deleted on the way.
    return len(rows)


def _apply(
    write: Write, row: dict[str, Any], child: ModelEntity, key: ForeignKey, *, hard: bool, seen: Seen
) -> Generator[Command | _Below, Any, None]:
    """One reference's rule for one deleted row."""
    conditions = _matching(child, key, row)
    if conditions is None:
        return
    # The key names the rows, tenant included where there is one; the caller's scope chose the parent already.
    children = write.on(child, Scope(TenantScope(everything=True), include_deleted=hard))
    if key.on_delete is Action.CASCADE:
        yield _Below(_delete(children, conditions, hard=hard, seen=seen))
    elif key.on_delete is Action.SET_NULL:
        if hard:
            yield from _clear(children, key, conditions)
    elif (yield from exists(children, (*conditions, *_others(write, row, child)), children.scope)):
        raise ForeignKeyViolation(
            f"a {write.entity.name} cannot be deleted while a {child.name} references it",
            found=f"{key.name} says {key.on_delete.value}",
            remedy=f"delete or move the {child.name} rows first",
        )


def _others(write: Write, row: dict[str, Any], child: ModelEntity) -> tuple[Expr, ...]:
    """That it is another row: one that references itself does not stand in its own way."""
    if child is not write.entity:
        return ()
    columns = [(child.column(child.table.by_name[name].attribute), row[name]) for name in child.table.primary_key]
    return (Not(Junction("AND", tuple([Comparison("=", column, Bound(value)) for column, value in columns]))),)


def _matching(child: ModelEntity, key: ForeignKey, row: dict[str, Any]) -> tuple[Expr, ...] | None:
    values = [row[name] for name in key.target_columns]
    if any(value is None for value in values):
        return None
    columns = child.table.by_name
    return tuple(
        Comparison("=", child.column(columns[name].attribute), Bound(value))
        for name, value in zip(key.columns, values, strict=True)
    )


def _clear(children: Write, key: ForeignKey, conditions: Sequence[Expr]) -> Program[None]:
    """Set the referencing columns of the children to NULL, through their own strategy."""
    table = children.table
    names = key.set_null or tuple(name for name in key.columns if name != table.tenant)
    changes = {table.by_name[name].attribute: None for name in names}
    strategy = strategy_of(children.entity)
    for row in (yield from _rows(children, conditions)):
        tenants = TenantScope((row[table.tenant],), strict=True) if table.tenant is not None else None
        scope = Scope(tenants, include_deleted=children.scope.include_deleted)
        identity = tuple(row[name] for name in table.identity)
        yield from strategy.update(children.on(children.entity, scope), identity, changes, UNGUARDED)


def _rows(write: Write, where: Sequence[Expr]) -> Program[list[dict[str, Any]]]:
    """The rows under `where`: what any key could reference, as canonical values by column name."""
    table = write.table
    wanted = set(table.primary_key)
    for _, key in write.entity.referenced_by():
        wanted.update(key.target_columns)
    columns = tuple(column for column in table.columns if column.name in wanted)
    outputs = tuple(write.entity.column(column.attribute) for column in columns)
    shape = ("delete rows", write.entity, tuple(sorted(wanted)), tuple(node.key for node in where))
    statement = Select(write.entity, outputs, tuple(where))
    compiled = prepare(write.dialect, shape, write.scope, lambda: statement)
    rows: list[Row] = yield Fetch(compiled.text, compiled.bind(statement.values + write.scope.values))
    return [_decoded(write, columns, row) for row in rows]


def _decoded(write: Write, columns: Sequence[Column], row: Row) -> dict[str, Any]:
    decoded: dict[str, Any] = {}
    for column, value in zip(columns, row, strict=True):
        decode = write.dialect.decoder(column.type)
        decoded[column.name] = value if decode is None or value is None else decode(value)
    return decoded
