"""The strategy `none`: rows are updated in place, and what they were is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, ClassVar

from ff_storage.core.history.outcomes import ambiguous, changed, missing
from ff_storage.core.history.rows import (
    DELETED_BY,
    insertion,
    key_conditions,
    key_values,
    touches,
    written_columns,
)
from ff_storage.core.history.strategy import Guard, Key, Write
from ff_storage.core.history.streams import Columns, RowStream, Values, by_column
from ff_storage.core.program import Execute, ExecuteMany, Fetch, Program, Row, Target
from ff_storage.core.sql.compiled import Compiled, prepare
from ff_storage.core.sql.expressions import Arithmetic, Bound, Expr, IsNull
from ff_storage.core.sql.scope import Scope
from ff_storage.core.sql.statements import Delete, Select, Update, assignment
from ff_storage.core.tables import Column, Table


class NoHistory:
    """Insert, update and delete as the database does them; soft deletion marks the row."""

    name: ClassVar[str] = "none"

    def auxiliary_tables(self, table: Table) -> tuple[Table, ...]:  # noqa: ARG002 - the protocol's
        return ()

    def insert(self, write: Write, values: Values) -> Program[Row]:
        columns = written_columns(write.table, values)
        whole = columns == write.table.columns
        compiled = insertion(write, columns, returning=not whole)
        parameters = compiled.bind([values[column.attribute] for column in columns])
        if whole:
            # Every column was written, so the parameters are the stored row: nothing needs to be read back.
            yield Execute(compiled.text, parameters)
            return tuple(parameters)
        rows: list[Row] = yield Fetch(compiled.text, parameters)
        return rows[0]

    def insert_many(self, write: Write, rows: Sequence[Values], *, returning: bool = False) -> Program[list[Row]]:
        stored: list[Row] = []
        for columns, alike in _groups(write.table, rows):
            whole = columns == write.table.columns
            compiled = insertion(write, columns, returning=returning and not whole)
            # Bound here, not while the driver reads them: a bad value is found before anything is sent.
            parameters = _parameters(compiled, [column.attribute for column in columns], alike)
            if returning and not whole:
                for each in parameters:
                    stored += yield Fetch(compiled.text, each)
                continue
            yield ExecuteMany(compiled.text, parameters, _target(write.table, columns))
            if returning:
                stored += parameters
        return stored

    def insert_stream(self, write: Write, rows: RowStream) -> Program[None]:
        table = write.table
        while rows.head:
            rows.began = rows.stop
            columns = written_columns(table, rows.head[0])
            if not _are_alike(table, rows.head, columns):
                yield from self.insert_many(write, rows.take())
                continue
            compiled = insertion(write, columns, returning=False)
            attributes = [column.attribute for column in columns]
            parameters = rows.statement(
                partial(_are_alike, table, columns=columns), partial(_parameters, compiled, attributes)
            )
            yield ExecuteMany(compiled.text, parameters, _target(table, columns))

    def update(
        self, write: Write, key: Key, changes: Values, guard: Guard, *, returning: bool = True
    ) -> Program[Row | None]:
        table, conditions = write.table, guard.conditions
        touched = touches(write)

        def statement() -> Update:
            sets = [assignment(table.by_attribute[name], value) for name, value in (*changes.items(), *touched.items())]
            where = key_conditions(write, key) + conditions
            outputs = table.columns if returning else ()
            return Update(write.entity, (*sets, *self._versioned(write)), where, returning=outputs)

        # The statement's shape and its values, without making its nodes each time.
        kinds = tuple([node.key for node in conditions])
        shape = ("update", write.entity, tuple(changes), tuple(touched), kinds, returning)
        compiled = prepare(write.dialect, shape, write.scope, statement)
        values = [*changes.values(), *touched.values(), *((1,) if table.version is not None else ())]
        values += key_values(write, key)
        for node in conditions:
            values += node.values
        values += write.scope.values
        parameters = compiled.bind(values)
        if returning:
            rows: list[Row] = yield Fetch(compiled.text, parameters)
            count = len(rows)
        else:
            rows = []
            count = yield Execute(compiled.text, parameters)
        if count > 1:
            raise ambiguous(write.entity.name, count)
        if count:
            return rows[0] if returning else None
        if guard.conditions and (yield from self._exists(write, key_conditions(write, key))):
            raise changed(write.entity.name)
        raise missing(write.entity.name)

    def delete(self, write: Write, where: Sequence[Expr], *, hard: bool) -> Program[int]:
        table = write.table
        if hard or table.deleted_at is None:
            removal = Delete(write.entity, tuple(where))
            compiled = prepare(write.dialect, removal.key, write.scope, lambda: removal)
            count: int = yield Execute(compiled.text, compiled.bind(removal.values + write.scope.values))
            return count
        sets = [assignment(table.by_name[table.deleted_at], write.now), *self._touched(write)]
        if DELETED_BY in table.by_attribute:
            sets.append(assignment(table.by_attribute[DELETED_BY], write.actor))
        statement = Update(write.entity, tuple(sets), tuple(where))
        compiled = prepare(write.dialect, statement.key, write.scope, lambda: statement)
        count = yield Execute(compiled.text, compiled.bind(statement.values + write.scope.values))
        return count

    def restore(self, write: Write, key: Key) -> Program[Row | None]:
        table = write.table
        if table.deleted_at is None:
            return None
        scope = write.scope.with_deleted(True)
        deleted = IsNull(write.entity.column(table.by_name[table.deleted_at].attribute), negated=True)
        sets = [assignment(table.by_name[table.deleted_at], None), *self._touched(write)]
        if DELETED_BY in table.by_attribute:
            sets.append(assignment(table.by_attribute[DELETED_BY], None))
        statement = Update(write.entity, tuple(sets), (*key_conditions(write, key), deleted), returning=table.columns)
        compiled = prepare(write.dialect, statement.key, scope, lambda: statement)
        rows: list[Row] = yield Fetch(compiled.text, compiled.bind(statement.values + scope.values))
        if len(rows) > 1:
            raise ambiguous(write.entity.name, len(rows))
        return rows[0] if rows else None

    def _touched(self, write: Write) -> list[tuple[Column, Expr]]:
        """What every change of a row also sets."""
        sets = [assignment(write.table.by_attribute[name], value) for name, value in touches(write).items()]
        return sets + self._versioned(write)

    def _versioned(self, write: Write) -> list[tuple[Column, Expr]]:
        """The step of the version, where the table has one."""
        if write.table.version is None:
            return []
        column = write.table.by_name[write.table.version]
        return [(column, Arithmetic("+", write.entity.column(column.attribute), Bound(1)))]

    def _exists(self, write: Write, where: tuple[Expr, ...]) -> Program[bool]:
        return (yield from exists(write, where, write.scope))


def _target(table: Table, columns: Sequence[Column]) -> Target:
    return Target(table.schema, table.name, tuple([column.name for column in columns]))


def _groups(table: Table, rows: Sequence[Values]) -> Iterator[tuple[tuple[Column, ...], Sequence[Values]]]:
    """Neighbors that have values for the same columns, with these columns."""
    if isinstance(rows, Columns):
        yield written_columns(table, rows.by_attribute), rows
        return
    for columns, group in groupby(rows, key=lambda row: written_columns(table, row)):
        yield columns, list(group)


def _parameters(compiled: Compiled, attributes: Sequence[str], rows: Sequence[Values]) -> list[tuple[Any, ...]]:
    return compiled.bind_columns(by_column(rows, attributes))


def _are_alike(table: Table, rows: Sequence[Values], columns: Sequence[Column]) -> bool:
    """Whether each row has values for `columns`, and for no other."""
    if isinstance(rows, Columns):
        return written_columns(table, rows.by_attribute) == columns
    return all(written_columns(table, row) == columns for row in rows)


def exists(write: Write, where: tuple[Expr, ...], scope: Scope) -> Program[bool]:
    """Whether a row of the write's entity holds under `where` within `scope`."""
    statement = Select(write.entity, (), where, form="exists")
    key = ("exists", write.entity, tuple(node.key for node in where))
    compiled = prepare(write.dialect, key, scope, lambda: statement)
    rows: list[Row] = yield Fetch(compiled.text, compiled.bind(statement.values + scope.values))
    return bool(rows[0][0])
