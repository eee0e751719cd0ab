"""What a node is: the column a name stands for, the type of a value, whether groups are whole.

Nothing here writes SQL. It refuses what engines would answer differently or by chance: values without a common order,
operators between unlike types, a bare column beside aggregates.
"""

from __future__ import annotations

from collections.abc import Sequence

from ff_storage.core.errors import ConfigurationError, InvalidValueError, UnsupportedFeature
from ff_storage.core.sql.compiled import Output
from ff_storage.core.sql.expressions import (
    Aggregate,
    Arithmetic,
    Bound,
    Call,
    ColumnRef,
    Comparison,
    Entity,
    Expr,
    Label,
    Name,
    walk,
)
from ff_storage.core.sql.statements import Select
from ff_storage.core.tables import Column
from ff_storage.core.types import (
    Array,
    Boolean,
    ColumnType,
    Decimal,
    Float,
    Integer,
    Json,
    common_number,
    describe,
)


class Analysis:
    """Answers questions about the nodes of one statement. Engines override what their numbers become."""

    def __init__(self) -> None:
        self._entity: Entity | None = None
        self._labels: dict[str, Expr] = {}

    def resolve(self, node: Expr) -> Expr:
        """A name as the column (or, after WHERE, the labeled output) it stands for."""
        if isinstance(node, Name):
            if node.name in self._labels:
                return self._labels[node.name]
            return self._current.column(node.name)
        if isinstance(node, ColumnRef) and node.entity is not self._entity:
            raise ConfigurationError(
                f"{node!r} is used in a statement on {self._current.name}",
                remedy=f"use the fields of {self._current.name}",
            )
        return node

    @property
    def _current(self) -> Entity:
        if self._entity is None:
            raise ConfigurationError("a field is used outside a statement")
        return self._entity

    def type_of(self, node: Expr) -> ColumnType:
        """The type of a node's value. Raises InvalidValueError for a bare value, which has none of its own."""
        node = self.resolve(node)
        if isinstance(node, ColumnRef):
            return node.column.type
        if isinstance(node, Label):
            return self.type_of(node.operand)
        if isinstance(node, Arithmetic):
            type_, _ = self._meeting(node)
            return self.arithmetic_type(node, type_)
        if isinstance(node, Aggregate):
            return self._aggregate_type(node)
        if isinstance(node, Call):
            if node.function == "length":
                return Integer()
            return self._common(node.arguments, f"func.{node.function}")[0]
        if isinstance(node, Bound):
            raise InvalidValueError(
                "a value stands where a field was expected", remedy="one side of every operator must be a field"
            )
        return Boolean()

    def arithmetic_type(self, node: Arithmetic, type_: ColumnType) -> ColumnType:
        """The type of an arithmetic node whose sides meet in `type_`; a Decimal quotient has four more digits."""
        if not isinstance(type_, Decimal):
            return Float() if node.operator == "/" else type_
        scale = {"*": 2 * type_.scale, "/": type_.scale + 4}.get(node.operator, type_.scale)
        return Decimal(38, scale)

    def _aggregate_type(self, node: Aggregate) -> ColumnType:
        if node.function == "count" or node.argument is None:
            return Integer()
        type_ = self.type_of(node.argument)
        if node.function == "sum":
            return self.sum_type(type_)
        return self.avg_type(type_) if node.function == "avg" else type_

    def sum_type(self, type_: ColumnType) -> ColumnType:
        """The type of a sum of values of `type_`."""
        return Decimal(38, type_.scale) if isinstance(type_, Decimal) else type_

    def avg_type(self, type_: ColumnType) -> ColumnType:
        """The type of a mean of values of `type_`."""
        return Decimal(38, type_.scale + 4) if isinstance(type_, Decimal) else Float()

    def column_of(self, node: Expr) -> Column | None:
        """The column whose values a node yields unchanged, if there is one."""
        source = self._source(node)
        return None if source is None else source.column

    def _output(self, node: Expr) -> Output:
        source = self._source(node)
        return (
            Output(self.type_of(node)) if source is None else Output(self.type_of(node), source.column, source.entity)
        )

    def _source(self, node: Expr) -> ColumnRef | None:
        node = self.resolve(node)
        if isinstance(node, ColumnRef):
            return node
        if isinstance(node, Label):
            return self._source(node.operand)
        if isinstance(node, Aggregate) and node.function in ("min", "max") and node.argument is not None:
            return self._source(node.argument)
        if isinstance(node, Call) and node.function == "coalesce" and self._common(node.arguments, "coalesce")[1]:
            return self._source(node.arguments[0])
        return None

    def nullable(self, node: Expr) -> bool:
        """Whether a node can be NULL."""
        if isinstance(node, ColumnRef):
            return node.column.nullable
        return not (isinstance(node, Aggregate) and node.function == "count")

    def comparable(self, node: Expr, verb: str, *, type_: ColumnType | None = None) -> None:
        """Refuse values without an order or equality that every engine agrees on."""
        type_ = type_ if type_ is not None else self.type_of(node)
        if isinstance(type_, Json) or (isinstance(type_, Array) and verb == "be ordered"):
            raise UnsupportedFeature(
                f"{node!r} holds {describe(type_)}, which cannot {verb}",
                remedy="test it for NULL, or compare in Python",
            )

    def _meeting(self, node: Comparison) -> tuple[ColumnType, Column | None]:
        """The type in which both sides of an operator meet, and the column that gives it."""
        return self._common((node.left, node.right), node.operator)

    def _common(self, nodes: Sequence[Expr], what: str) -> tuple[ColumnType, Column | None]:
        """The type in which one or two nodes meet, and the column that gives it."""
        typed = [node for node in map(self.resolve, nodes) if not isinstance(node, Bound)]
        if not typed:
            raise InvalidValueError("both sides of an operator are values", remedy="one side must be a field")
        first = self.type_of(typed[0])
        if len(typed) == 1:
            return first, self.column_of(typed[0])
        second = self.type_of(typed[1])
        numbers = (Integer, Float, Decimal)
        if isinstance(first, numbers) and isinstance(second, numbers):
            return self.meet(first, second), None
        if type(first) is not type(second):
            raise InvalidValueError(
                f"{typed[0]!r} and {typed[1]!r} cannot meet in {what}",
                found=f"{describe(first)} and {describe(second)}",
            )
        return first, self.column_of(typed[0])

    def meet(self, first: ColumnType, second: ColumnType) -> ColumnType:
        """The type in which two numbers meet."""
        return first if first == second else common_number(first, second)

    def _aggregated(self, statement: Select) -> bool:
        nodes = (*statement.outputs, *[term.expression for term in statement.order_by])
        return any(isinstance(each, Aggregate) for node in nodes for each in walk(node))

    def check_grouping(self, statement: Select, labels: dict[str, Expr]) -> None:
        """Refuse what some engines answer by chance.

        A bare column beside aggregates, an aggregate in WHERE, distinct results in the order of what they do not show.
        """
        for node in statement.where:
            if any(isinstance(each, Aggregate) for each in walk(node)):
                raise InvalidValueError("an aggregate stands in filter", remedy="use having for conditions on groups")
        self._labels = labels
        if statement.group_by or statement.having or self._aggregated(statement):
            groups = [self._bare(node) for node in statement.group_by]
            for node in groups:
                self.comparable(node, "be grouped by")
            for node in (*statement.outputs, *statement.having, *(term.expression for term in statement.order_by)):
                self._check_grouped(node, groups)
        if statement.distinct:
            outputs = [self._bare(node) for node in statement.outputs]
            if not self._holds_key(outputs):  # beside a key there are no two alike, whatever they hold
                for node in outputs:
                    self.comparable(node, "be told apart")
            for term in statement.order_by:
                if not _is_among(self._bare(term.expression), outputs):
                    raise InvalidValueError(
                        f"distinct results are ordered by {term.expression!r}, which is none of them",
                        remedy="select it too, or order by what is selected",
                    )
        self._labels = {}

    def _holds_key(self, outputs: list[Expr]) -> bool:
        table = self._current.table
        columns = {node.column.name for node in outputs if isinstance(node, ColumnRef)}
        return bool(table.primary_key) and columns.issuperset(table.primary_key)

    def _bare(self, node: Expr) -> Expr:
        node = self.resolve(node)
        return self._bare(node.operand) if isinstance(node, Label) else node

    def _check_grouped(self, node: Expr, groups: list[Expr]) -> None:
        node = self._bare(node)
        if isinstance(node, Aggregate) or _is_among(node, groups):
            return
        if isinstance(node, ColumnRef):
            raise InvalidValueError(
                f"{node!r} stands beside aggregates and is not grouped",
                remedy=f"add group_by({node!r}), or aggregate it",
            )
        for child in node.children():
            self._check_grouped(child, groups)


def _is_among(node: Expr, others: list[Expr]) -> bool:
    """Whether a node is the same expression as one of `others`: of one shape, with the same values."""
    return any(node.key == other.key and node.values == other.values for other in others)
