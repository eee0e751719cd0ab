"""Statements: what is asked of a database, before an engine gives it words.

A statement has a `key`, its shape without any caller's value, and `values`, those values in the order in which the
compiler counts them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from ff_storage.core.sql.expressions import Aggregate, Bound, ColumnRef, Entity, Expr, Name, Order, walk
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

    @property
    def has_sameness(self) -> bool:
        """Whether it matters that two of its expressions are the same one: a group's, or a distinct result's."""
        return bool(self.group_by) or self.distinct

    def results(self) -> tuple[Expr, ...]:
        """The expressions that are about results, and so may have to be the same."""
        return (*self.outputs, *self.group_by, *self.having, *(order.expression for order in self.order_by))

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


def repeats(groups: Iterable[Expr]) -> tuple[int, ...]:
    """For each value in `groups`, the first place where an equal one stands in the same spot of an equal shape.

    Two expressions are the same one only if their values are, which no shape tells: a query that groups, or asks for
    distinct results, adds this to its own.
    """
    first: dict[Hashable, int] = {}
    found: list[int] = []
    for node in groups:
        for parent in walk(node):
            for place, child in enumerate(parent.children()):
                if isinstance(child, Bound):
                    index = len(found)
                    spot = (parent.key, place, _kinds(child.values), child.values)
                    try:
                        found.append(first.setdefault(spot, index))
                    except TypeError:  # a list is like no other
                        found.append(index)
    return tuple(found)


def _kinds(value: Any) -> Any:
    """The types within a value: 1 and True are equal, and not the same."""
    if not isinstance(value, tuple):
        return type(value)  # pyright: ignore[reportUnknownVariableType]
    values: tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
    return tuple([_kinds(each) for each in values])


def assignment(column: Column, value: Any) -> tuple[Column, Expr]:
    """`column = value`, with the value as a parameter."""
    return (column, Bound(value))


def unshared(statement: S) -> S:
    """The same statement with every node in one place only: a condition that the caller used twice becomes two.

    Names become the fields they stand for, but for those that a label of the outputs may answer to: in the clauses that
    work on results, outside of aggregates. So an output may be labeled with the name of a field that it is made of.
    """
    parts = {
        field.name: _unshared(getattr(statement, field.name), statement.entity, labels=field.name in _ON_RESULTS)
        for field in dataclasses.fields(statement)
        if field.name != "entity"
    }
    return dataclasses.replace(statement, **parts)


_ON_RESULTS: Final = frozenset({"group_by", "having", "order_by"})


def _unshared(part: Any, entity: Entity, *, labels: bool) -> Any:
    if isinstance(part, tuple):
        parts: tuple[Any, ...] = part  # pyright: ignore[reportUnknownVariableType]
        return tuple([_unshared(each, entity, labels=labels) for each in parts])
    if isinstance(part, Name):
        return part if labels else entity.column(part.name)
    if isinstance(part, ColumnRef) or not isinstance(part, Expr | Order):
        return part
    labels = labels and not isinstance(part, Aggregate)
    twin = copy.copy(part)
    for owner in type(part).__mro__:
        for slot in getattr(owner, "__slots__", ()):
            if slot not in ("depth", "key", "size", "values"):
                setattr(twin, slot, _unshared(getattr(part, slot), entity, labels=labels))
    return twin
