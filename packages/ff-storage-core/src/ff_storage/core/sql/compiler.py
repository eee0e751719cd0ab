"""The compiler: statements to SQL text and a way to bind their values.

It walks a tree once per shape; afterwards a dictionary look-up finds the text. What an engine writes differently is a
method its own compiler overrides, so each node has one home. Scope is added here, to every table reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from ff_storage.core.errors import InvalidValueError, LimitExceededError, UnsupportedFeature
from ff_storage.core.sql.analysis import Analysis
from ff_storage.core.sql.compiled import Compiled, Output, Slot
from ff_storage.core.sql.dialect import Capability, Convert, Dialect
from ff_storage.core.sql.expressions import (
    MAX_TERMS,
    Aggregate,
    Arithmetic,
    Bound,
    Call,
    ColumnRef,
    Comparison,
    Entity,
    Expr,
    InList,
    IsNull,
    Junction,
    Label,
    Match,
    Not,
    Order,
    Stored,
    walk,
)
from ff_storage.core.sql.json_text import FreeJson, JsonText
from ff_storage.core.sql.scope import Scope, not_configured, predicates
from ff_storage.core.sql.statements import Delete, Insert, Select, Statement, Update, repeats, unshared
from ff_storage.core.tables import Column
from ff_storage.core.types import (
    Boolean,
    ColumnType,
    Decimal,
    Float,
    Integer,
    Text,
    describe,
)


class Compiler(Analysis):
    """Writes one statement; used once. Engines override the methods whose words differ."""

    comparisons: ClassVar[dict[str, str]] = {
        "=": "=",
        "<>": "<>",
        "<": "<",
        "<=": "<=",
        ">": ">",
        ">=": ">=",
        "DISTINCT": "IS DISTINCT FROM",
        "NOT DISTINCT": "IS NOT DISTINCT FROM",
    }

    def __init__(self, dialect: Dialect, scope: Scope) -> None:
        super().__init__()
        self.dialect = dialect
        self.scope = scope
        self.slots: list[Slot] = []
        self._positions: dict[int, int] = {}
        self._count = 0
        self._in_aggregate = False

    # --- statements --------------------------------------------------------------------------------------------------

    def compile(self, statement: Statement) -> Compiled:
        """The text and binding of `statement` under this compiler's scope."""
        self._entity = statement.entity
        outputs: tuple[Output, ...] = ()
        if isinstance(statement, Insert):
            text = self.insert(statement)
            outputs = _whole(statement.entity, statement.returning)
        else:
            # The statement is kept for other values of its shape, in which one node may not stand in two places.
            statement = unshared(statement)
            self._number(statement)
            if isinstance(statement, Select):
                text, outputs = self._compile_select(statement)
            elif isinstance(statement, Update):
                text = self.update(statement)
                outputs = _whole(statement.entity, statement.returning)
            else:
                text = self.delete(statement)
        parameters = self.parameters()
        if parameters > self.dialect.max_parameters:
            raise LimitExceededError(
                f"one statement takes at most {self.dialect.max_parameters:,} values on {self.dialect.name}",
                found=f"{parameters:,}",
                remedy="split the list",
            )
        return Compiled(text, self.slots, outputs)

    def _number(self, statement: Select | Update | Delete) -> None:
        for node in statement.expressions():
            for each in walk(node):
                if isinstance(each, Bound):
                    self._positions[id(each)] = self._count
                    self._count += 1
        if isinstance(statement, Select):
            if statement.has_sameness:
                self._share(statement.results())
            self._count += (statement.limit is not None) + (statement.offset is not None)

    def _share(self, nodes: tuple[Expr, ...]) -> None:
        """Let what is the same expression in several clauses have the same values, and so read alike."""
        places = [
            child for node in nodes for parent in walk(node) for child in parent.children() if isinstance(child, Bound)
        ]
        positions = [self._positions[id(each)] for each in places]
        for each, first in zip(places, repeats(nodes), strict=True):
            self._positions[id(each)] = positions[first]

    def _compile_select(self, statement: Select) -> tuple[str, tuple[Output, ...]]:
        labels: dict[str, Expr] = {node.name: node for node in statement.outputs if isinstance(node, Label)}
        self.check_grouping(statement, labels)
        text = self.select(statement, labels)
        if statement.form != "rows":
            return text, (Output(Integer() if statement.form == "count" else Boolean()),)
        return text, tuple(self._output(node) for node in statement.outputs)

    def select(self, statement: Select, labels: dict[str, Expr]) -> str:
        """A SELECT in the form that was asked for."""
        if statement.form == "rows":
            return self.select_rows(statement, ", ".join([self.write(node) for node in statement.outputs]), labels)
        # Where the outputs decide how many results there are, they are computed.
        plain = not (statement.distinct or statement.group_by or statement.having or self._aggregated(statement))
        columns = "1" if plain else ", ".join(f"{self.write(node)} AS c{i}" for i, node in enumerate(statement.outputs))
        if statement.form == "exists":
            rows = self.select_rows(statement, columns, labels)
            return f"SELECT EXISTS ({rows})" if plain else f"SELECT EXISTS (SELECT 1 FROM ({rows}) AS found)"
        if plain and statement.limit is None and statement.offset is None:
            return self.select_rows(statement, "COUNT(*)", labels)
        return f"SELECT COUNT(*) FROM ({self.select_rows(statement, columns, labels)}) AS counted"

    def select_rows(self, statement: Select, columns: str, labels: dict[str, Expr]) -> str:
        """A SELECT of `columns`, which were written first; the clauses after WHERE may name `labels`."""
        parts = ["SELECT DISTINCT" if statement.distinct else "SELECT", columns, "FROM", self.table(statement.entity)]
        parts += self.where(statement.entity, statement.where)
        self._labels = labels
        if statement.group_by:
            parts += ["GROUP BY", ", ".join(self.write(node) for node in statement.group_by)]
        if statement.having:
            parts += ["HAVING", joined("AND", [self._term(node) for node in statement.having])]
        if statement.order_by and (
            statement.form == "rows" or statement.limit is not None or statement.offset is not None
        ):
            parts += ["ORDER BY", ", ".join([self.order(term) for term in statement.order_by])]
        parts += self.limit(statement)
        return " ".join(parts)

    def limit(self, statement: Select) -> list[str]:
        """LIMIT and OFFSET; their values are parameters like any other."""
        parts: list[str] = []
        position = self._count - (statement.limit is not None) - (statement.offset is not None)
        if statement.limit is not None:
            parts += ["LIMIT", self.parameter(position, _integer, "limit")]
            position += 1
        elif statement.offset is not None:
            parts += self.no_limit()
        if statement.offset is not None:
            parts += ["OFFSET", self.parameter(position, _integer, "offset")]
        return parts

    def no_limit(self) -> list[str]:
        """What must stand before an OFFSET without LIMIT."""
        return []

    def insert(self, statement: Insert) -> str:
        """An INSERT of one row."""
        table = statement.entity.table
        if table.tenant is not None:
            if self.scope.tenants is None:
                raise not_configured(statement.entity.name)
            if all(column.name != table.tenant for column in statement.columns):
                raise not_configured(statement.entity.name)
        names = ", ".join(self.dialect.quote(column.name) for column in statement.columns)
        marks = [
            self.parameter(index, self.encoder(column), _what(statement.entity, column))
            for index, column in enumerate(statement.columns)
        ]
        text = f"INSERT INTO {self.table(statement.entity)} ({names}) VALUES ({', '.join(marks)})"
        return text + self.returning(statement.returning)

    def update(self, statement: Update) -> str:
        """An UPDATE of the rows in scope."""
        sets = [
            f"{self.dialect.quote(column.name)} = {self._assigned(statement.entity, column, node)}"
            for column, node in statement.assignments
        ]
        parts = ["UPDATE", self.table(statement.entity), "SET", ", ".join(sets)]
        parts += self.where(statement.entity, statement.where)
        return " ".join(parts) + self.returning(statement.returning)

    def _assigned(self, entity: Entity, column: Column, node: Expr) -> str:
        if isinstance(node, Bound):
            return self.parameter(self._positions[id(node)], self.encoder(column), _what(entity, column))
        return self.cast(self.write(node), self.type_of(node), column.type)

    def delete(self, statement: Delete) -> str:
        """A DELETE of the rows in scope."""
        return " ".join(["DELETE FROM", self.table(statement.entity), *self.where(statement.entity, statement.where)])

    def returning(self, columns: Sequence[Column]) -> str:
        """The clause that reads written rows back."""
        if not columns:
            return ""
        if Capability.RETURNING not in self.dialect.capabilities:
            raise UnsupportedFeature(f"{self.dialect.name} does not return written rows")
        return " RETURNING " + ", ".join(self.returned(column) for column in columns)

    def returned(self, column: Column) -> str:
        """One column of RETURNING."""
        return self.column(column.name)

    def table(self, entity: Entity) -> str:
        """A table reference."""
        table = entity.table
        name = self.dialect.quote(table.name)
        return f"{self.dialect.quote(table.schema)}.{name}" if table.schema else name

    def where(self, entity: Entity, conditions: Iterable[Expr]) -> list[str]:
        """WHERE: the scope of the reference first, then the caller's conditions, each in its own parentheses."""
        terms = [*self.scoped(entity), *[self._term(node) for node in conditions]]
        if len(terms) > MAX_TERMS:
            raise LimitExceededError(f"a statement takes at most {MAX_TERMS:,} conditions", found=f"{len(terms):,}")
        return ["WHERE", joined("AND", terms)] if terms else []

    def scoped(self, entity: Entity) -> list[str]:
        """The conditions that keep a reference to `entity` within the scope."""
        rule = predicates(entity, self.scope)
        terms: list[str] = []
        if rule.nothing:
            terms.append(self.constant(value=False))
        elif rule.tenant is not None:
            column = rule.tenant.column
            left, what = self.write(rule.tenant), _what(entity, column)
            if rule.tenant_list:
                marks = self.parameter_list(self._count, self.encoder(column), what, rule.tenant_list)
                terms.append(f"{left} IN ({marks})")
            else:
                terms.append(f"{left} = {self.parameter(self._count, self.encoder(column), what)}")
        terms += [self.write(node) for node in rule.live]
        return terms

    def order(self, term: Order) -> str:
        """One term of ORDER BY, NULLs first when ascending unless the caller says otherwise."""
        node = self.resolve(term.expression)
        self.comparable(node, "be ordered")
        direction = " DESC" if term.descending else ""
        nulls = term.nulls or ("LAST" if term.descending else "FIRST")
        return f"{self.write(node)}{direction}{self.nulls(term, nulls, nullable=self.nullable(node))}"

    def nulls(self, term: Order, nulls: str, *, nullable: bool) -> str:
        """The words that place NULLs, when the engine's own order differs and there can be any."""
        return f" NULLS {nulls}" if nullable else ""

    # --- conditions and values ---------------------------------------------------------------------------------------

    def condition(self, node: Expr) -> str:
        """An expression as a truth value."""
        node = self.resolve(node)
        type_ = self.type_of(node)
        if not isinstance(type_, Boolean):
            raise InvalidValueError(f"{node!r} is not a condition", found=f"a value of type {describe(type_)}")
        return self.write(node)

    def _term(self, node: Expr) -> str:
        """A condition as one term of an AND or OR."""
        text = self.condition(node)
        return f"({text})" if isinstance(self._bare(node), Junction) else text

    def constant(self, *, value: bool) -> str:
        """A condition that always holds, or never."""
        return "1 = 1" if value else "1 = 0"

    def write(self, node: Expr) -> str:
        """The SQL of any node but a bare value, whose type only its neighbor knows."""
        node = self.resolve(node)
        writer = _WRITERS.get(type(node))
        if writer is None:
            raise InvalidValueError(
                "a value stands where a field was expected", remedy="one side of every operator must be a field"
            )
        text: str = getattr(self, writer)(node)
        return text

    def write_column(self, node: ColumnRef) -> str:
        return self.column(node.column.name)

    def column(self, name: str) -> str:
        """A column's name where its value is meant."""
        return self.dialect.quote(name)

    def write_label(self, node: Label) -> str:
        return self.write(node.operand)

    def write_comparison(self, node: Comparison) -> str:
        type_, column = self._meeting(node)
        if not isinstance(node.right, Stored):
            self.comparable(node, "be ordered" if node.operator in _ORDERINGS else "be compared", type_=type_)
        left = self.side(node.left, type_, column)
        right = self.side(node.right, type_, column)
        return self.compare(node.operator, left, right, type_)

    def compare(self, operator: str, left: str, right: str, type_: ColumnType) -> str:
        """Two values of one type, compared."""
        return f"{left} {self.comparisons[operator]} {right}"

    def write_arithmetic(self, node: Arithmetic) -> str:
        type_, column = self._meeting(node)
        if isinstance(type_, Text) and node.operator == "+":
            return f"({self.side(node.left, type_, column)} || {self.side(node.right, type_, column)})"
        if not isinstance(type_, Integer | Float | Decimal):
            raise InvalidValueError(f"{node.operator} needs numbers", found=describe(type_))
        return self.arithmetic(node, type_)

    def arithmetic(self, node: Arithmetic, type_: ColumnType) -> str:
        """A number made of two. Division is true division, and by zero NULL."""
        result = self.arithmetic_type(node, type_)
        left, right = self.side(node.left, type_, None), self.side(node.right, type_, None)
        if node.operator != "/":
            return f"({left} {node.operator} {right})"
        quotient = f"{self.cast(left, type_, result)} / NULLIF({right}, 0)"
        return f"ROUND({quotient}, {result.scale})" if isinstance(result, Decimal) else f"({quotient})"

    def write_null_test(self, node: IsNull) -> str:
        return f"{self.enclosed(node.operand)} IS {'NOT ' if node.negated else ''}NULL"

    def write_in_list(self, node: InList) -> str:
        operand = self.resolve(node.operand)
        type_, column = self.type_of(operand), self.column_of(operand)
        self.comparable(operand, "be compared", type_=type_)
        no = "NOT " if node.negated else ""
        if node.bucket == 0:
            return f"{self.enclosed(operand)} IS {no}NULL" if node.has_null else self.constant(value=node.negated)
        left = self.enclosed(operand)
        position, encode = self._positions[id(node.items)], self._encoder(type_, column)
        text = self.membership(left, position, encode, node.bucket, type_, node.negated)
        if not node.has_null:
            return text
        # Written again and not repeated: a parameter within it is a parameter twice.
        return f"({text} {'AND' if node.negated else 'OR'} {self.enclosed(operand)} IS {no}NULL)"

    def membership(self, left: str, position: int, encode: Convert, size: int, type_: ColumnType, negated: bool) -> str:
        """Whether the value `left` is in the list at `position`."""
        return f"{left} {'NOT ' if negated else ''}IN {self.members(position, encode, size, type_)}"

    def members(self, position: int, encode: Convert, size: int, type_: ColumnType) -> str:
        """The list of an IN, in parentheses."""
        return f"({self.parameter_list(position, encode, 'in_', size)})"

    def write_junction(self, node: Junction) -> str:
        return joined(node.operator, [self._term(term) for term in node.terms])

    def write_not(self, node: Not) -> str:
        return f"NOT ({self.condition(node.operand)})"

    def write_match(self, node: Match) -> str:
        operand = self.resolve(node.operand)
        type_ = self.type_of(operand)
        if not isinstance(type_, Text):
            raise InvalidValueError(f"{node.kind} needs a text", found=f"{operand!r}, {describe(type_)}")
        return self.match(node, self.write(operand), self._positions[id(node.pattern)])

    def match(self, node: Match, operand: str, position: int) -> str:
        """A text match. Wildcards in the caller's text are literal (but for like), and ESCAPE is always written."""
        raise NotImplementedError

    def write_call(self, node: Call) -> str:
        arguments = [self.resolve(argument) for argument in node.arguments]
        type_, column = self._common(arguments, f"func.{node.function}")
        if node.function != "coalesce" and not isinstance(type_, Text):
            raise InvalidValueError(f"func.{node.function} needs a text", found=describe(type_))
        return self.call(node.function, [self.side(argument, type_, column) for argument in arguments])

    def call(self, function: str, arguments: list[str]) -> str:
        """A scalar function."""
        return f"{function.upper()}({', '.join(arguments)})"

    def write_aggregate(self, node: Aggregate) -> str:
        if self._in_aggregate:
            raise InvalidValueError(f"{node!r} stands inside another aggregate", remedy="compute it in two queries")
        if node.argument is None:
            return "COUNT(*)"
        argument = self.resolve(node.argument)
        type_ = self.type_of(argument)
        if node.function in ("sum", "avg") and not isinstance(type_, Integer | Float | Decimal):
            raise InvalidValueError(f"func.{node.function} needs a number", found=f"{argument!r}, {describe(type_)}")
        if node.function in ("min", "max"):
            self.comparable(argument, "be ordered", type_=type_)
        elif node.distinct:
            self.comparable(argument, "be told apart", type_=type_)
        self._in_aggregate = True
        text = self.aggregate(node.function, argument, type_, distinct=node.distinct)
        self._in_aggregate = False
        return text

    def aggregate(self, function: str, argument: Expr, type_: ColumnType, *, distinct: bool) -> str:
        """An aggregate over one argument, which is written wherever it stands: its parameters count each time."""
        return f"{function.upper()}({'DISTINCT ' if distinct else ''}{self.write(argument)})"

    def cast(self, text: str, source: ColumnType, target: ColumnType) -> str:
        """`text` of type `source` as `target`, between numbers; anything else is left alone."""
        if isinstance(target, Float) and isinstance(source, Integer | Decimal):
            return f"CAST({text} AS DOUBLE PRECISION)"
        return text

    def side(self, node: Expr, type_: ColumnType, column: Column | None) -> str:
        """One side of an operator, as `type_`: a bare value becomes a parameter of it."""
        if isinstance(node, Stored):
            return self.parameter(self._positions[id(node)], _itself, self._describe(column, type_))
        if isinstance(node, Bound):
            what = self._describe(column, type_)
            return self.parameter(self._positions[id(node)], self._encoder(type_, column), what)
        return self.cast(self.enclosed(node), self.type_of(node), type_)

    def enclosed(self, node: Expr) -> str:
        """A node as an operand: in parentheses when it binds less tightly than the operator beside it might."""
        text = self.write(node)
        node = self._bare(node)
        # Arithmetic, which is a Comparison too, brings its own.
        loose = isinstance(node, _CONDITIONS) and not isinstance(node, Arithmetic)
        return f"({text})" if loose else text

    # --- parameters --------------------------------------------------------------------------------------------------

    def parameters(self) -> int:
        """The number of placeholders written so far."""
        return sum([slot.size or 1 for slot in self.slots])

    def parameter(self, index: int, encode: Convert, what: str) -> str:
        """The placeholder of the value at `index`."""
        self.slots.append(Slot(index, encode, what))
        return self.dialect.placeholder(self.parameters())

    def parameter_list(self, index: int, encode: Convert, what: str, size: int) -> str:
        """`size` placeholders that the list at `index` fills, its last element repeated."""
        start = self.parameters()
        self.slots.append(Slot(index, encode, what, size))
        return ", ".join(self.dialect.placeholder(start + each + 1) for each in range(size))

    def encoder(self, column: Column) -> Convert:
        """Field value → driver value, for one column."""
        return self._encoder(column.type, column)

    def _encoder(self, type_: ColumnType, column: Column | None) -> Convert:
        encode = self.dialect.encoder(type_)
        adapt = column.adapt if column is not None else None
        if adapt is None:
            return encode
        if isinstance(encode, JsonText) and (free := getattr(adapt, "free", None)):
            return FreeJson(encode, adapt, free)
        return lambda value: encode(adapt(value))

    def _describe(self, column: Column | None, type_: ColumnType) -> str:
        return _what(self._current, column) if column is not None else describe(type_)


def joined(operator: str, terms: Sequence[str]) -> str:
    """Terms of one AND or OR. Parsers nest them one in another, so many of them are written in groups."""
    while len(terms) > _GROUP:
        terms = [f"({f' {operator} '.join(terms[i : i + _GROUP])})" for i in range(0, len(terms), _GROUP)]
    return f" {operator} ".join(terms)


_GROUP: Final = 100

_CONDITIONS: Final = (Comparison, Junction, Not, InList, Match, IsNull)

_ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})

_WRITERS: Final[dict[type[Expr], str]] = {
    ColumnRef: "write_column",
    Label: "write_label",
    Comparison: "write_comparison",
    Arithmetic: "write_arithmetic",
    IsNull: "write_null_test",
    InList: "write_in_list",
    Junction: "write_junction",
    Not: "write_not",
    Match: "write_match",
    Call: "write_call",
    Aggregate: "write_aggregate",
}


def _whole(entity: Entity, columns: Sequence[Column]) -> tuple[Output, ...]:
    return tuple(Output(column.type, column, entity) for column in columns)


def _what(entity: Entity, column: Column) -> str:
    return f"{entity.name}.{column.attribute}"


def _itself(value: Any) -> Any:
    return value


def _integer(value: Any) -> int:
    # Limits are checked where they are given; here they are int already.
    return int(value)
