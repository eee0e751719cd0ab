"""Statements: what is asked of a database, before an engine gives it words.

A statement has a `key`, its shape without any caller's value, and `values`, those values in the order in which the
compiler counts them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ff_storage.core.sql.expressions import Bound, ColumnRef, Entity, Expr, Name, Order
from ff_storage.core.tables import Column

SelectForm = Literal["rows", "count", "exists"]
S = TypeVar("S", "Select", "Update", "Delete", "Select | Update | Delete")


@dataclass(frozen=True, slots=True)
class Select:
    """Rows of one entity: `outputs` of those that hold under every `where`, grouped, ordered and cut.

    `form` asks for the rows themselves, for their number, or for whether there are any.
    """

    entity: Entity
    outputs: tuple[Expr, ...]
    where: tuple[Expr, ...] = ()
    group_by: tuple[Expr, ...] = ()
    having: tuple[Expr, ...] = ()
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int | None = None
    distinct: bool = False
    form: SelectForm = "rows"

    @property
    def values(self) -> tuple[Any, ...]:
        """The callers' values: of the expressions part by part, then limit, then offset."""
        values = [value for node in self.expressions() for value in node.values]
        values += [bound for bound in (self.limit, self.offset) if bound is not None]
        return tuple(values)

    def expressions(self) -> Iterator[Expr]:
        """Every top-level expression, in the order of `values`."""
        yield from self.outputs
        yield from self.where
        yield from self.group_by
        yield from self.having
        for order in self.order_by:
            yield order.expression


@dataclass(frozen=True, slots=True)
class Insert:
    """One row, or many of one shape, with a value for each of `columns`; `returning` names columns to read back."""

    entity: Entity
    columns: tuple[Column, ...]
    returning: tuple[Column, ...] = ()

    @property
    def key(self) -> Hashable:
        """The shape."""
        return ("insert", self.entity, tuple(column.name for column in self.columns), bool(self.returning))


@dataclass(frozen=True, slots=True)
class Update:
    """Set columns of the rows that hold under every `where`."""

    entity: Entity
    assignments: tuple[tuple[Column, Expr], ...]
    where: tuple[Expr, ...]
    returning: tuple[Column, ...] = ()

    @property
    def key(self) -> Hashable:
        """The shape."""
        return (
            "update",
            self.entity,
            tuple((column.name, node.key) for column, node in self.assignments),
            tuple(node.key for node in self.where),
            bool(self.returning),
        )

    @property
    def values(self) -> tuple[Any, ...]:
        """The callers' values, assignments first."""
        return tuple(value for node in self.expressions() for value in node.values)

    def expressions(self) -> Iterator[Expr]:
        """Every top-level expression, in the order of `values`."""
        for _, node in self.assignments:
            yield node
        yield from self.where


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the rows that hold under every `where`."""

    entity: Entity
    where: tuple[Expr, ...]

    @property
    def key(self) -> Hashable:
        """The shape."""
        return ("delete", self.entity, tuple(node.key for node in self.where))

    @property
    def values(self) -> tuple[Any, ...]:
        """The callers' values."""
        return tuple(value for node in self.where for value in node.values)

    def expressions(self) -> Iterator[Expr]:
        """Every top-level expression, in the order of `values`."""
        yield from self.where


Statement = Select | Insert | Update | Delete


def assignment(column: Column, value: Any) -> tuple[Column, Expr]:
    """`column = value`, with the value as a parameter."""
    return (column, Bound(value))


def unshared(statement: S) -> S:
    """The same statement with every node in one place only: a condition that the caller used twice becomes two."""
    parts = {
        field.name: _unshared(getattr(statement, field.name))
        for field in dataclasses.fields(statement)
        if field.name != "entity"
    }
    return dataclasses.replace(statement, **parts)


def _unshared(part: Any) -> Any:
    if isinstance(part, tuple):
        return tuple(map(_unshared, part))  # pyright: ignore[reportUnknownArgumentType]  # of what, is asked below
    if isinstance(part, ColumnRef | Name) or not isinstance(part, Expr | Order):
        return part
    twin = copy.copy(part)
    for owner in type(part).__mro__:
        for slot in getattr(owner, "__slots__", ()):
            if slot not in ("depth", "key", "size", "values"):
                setattr(twin, slot, _unshared(getattr(part, slot)))
    return twin
