"""Expressions: what a caller may say about rows, as immutable nodes without SQL.

`Product.price > 100`, `F.status == "active"`, `func.sum(F.total)` build nodes; the compiler gives them words. Each
node carries three things computed once, when it is made: `key`, a hashable description of its *shape* that holds no
caller's value (so equal shapes share one compiled statement); `values`, those values in the order of the walk; and
`depth` and `size`, which are bounded here so that nothing later recurses or grows without end (a node that is used
twice in each of fifty others is a thousand million million nodes to whoever walks them).

To a type checker an expression has the type of its value: a comparison is a `bool`, a column a `Decimal`. `col` opens
the methods (`col(Product.name).icontains("x")`), `not_` negates; at run time both are optional.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Any, Final, Literal, NoReturn, Protocol, TypeGuard, TypeVar, cast

from ff_storage.core.errors import (
    InvalidValueError,
    LimitExceededError,
    UnsafeSQLError,
)
from ff_storage.core.tables import Column, Table, check_identifier

T = TypeVar("T")

MAX_DEPTH: Final = 100
"""Levels of nesting; flat AND and OR lists do not nest."""

MAX_NODES: Final = 100_000
"""Nodes of one expression."""

MAX_TERMS: Final = 10_000
"""Terms of one AND or OR, and elements of one `in_` list times ten."""

NullsOrder = Literal["FIRST", "LAST"]


class Entity(Protocol):
    """What a table reference stands for; the model layer has one for each class. Hashed by identity."""

    @property
    def name(self) -> str:
        """The class's name, for messages."""
        ...

    @property
    def table(self) -> Table:
        """The table description; foreign keys are resolved on first use."""
        ...

    @property
    def checked(self) -> set[Hashable]:
        """Keys of expressions whose names were all found here; a cache for builders."""
        ...

    def column(self, attribute: str) -> ColumnRef:
        """The one `ColumnRef` of a field. Raises UnknownFieldError with the nearest match."""
        ...


class Expr:
    """A node. Operators and methods make new nodes; nothing is ever changed."""

    __slots__ = ("key", "values")

    key: Hashable
    values: tuple[Any, ...]
    depth: int
    size: int

    __hash__ = object.__hash__

    def children(self) -> tuple[Expr, ...]:
        """The nodes below, in the order in which their `values` are joined."""
        return ()

    def __bool__(self) -> NoReturn:
        raise TypeError("an SQL condition has no truth value here; combine with &, |, ~ or AND, OR, NOT")

    # The comparisons are typed loosely on purpose: to a checker they happen on the column's own type.
    def __eq__(self, other: object) -> Any:
        if other is None:
            return IsNull(self)
        return Comparison("=", self, other)

    def __ne__(self, other: object) -> Any:
        if other is None:
            return IsNull(self, negated=True)
        return Comparison("<>", self, other)

    def __lt__(self, other: Any) -> Any:
        return Comparison("<", self, other if other is not None else _no_order())

    def __le__(self, other: Any) -> Any:
        return Comparison("<=", self, other if other is not None else _no_order())

    def __gt__(self, other: Any) -> Any:
        return Comparison(">", self, other if other is not None else _no_order())

    def __ge__(self, other: Any) -> Any:
        return Comparison(">=", self, other if other is not None else _no_order())

    def __and__(self, other: Any) -> Any:
        return Junction("AND", (self, condition(other)))

    def __rand__(self, other: Any) -> Any:
        return Junction("AND", (condition(other), self))

    def __or__(self, other: Any) -> Any:
        return Junction("OR", (self, condition(other)))

    def __ror__(self, other: Any) -> Any:
        return Junction("OR", (condition(other), self))

    def __invert__(self) -> Any:
        return negation(self)

    def __add__(self, other: Any) -> Any:
        return Arithmetic("+", self, operand(other))

    def __radd__(self, other: Any) -> Any:
        return Arithmetic("+", operand(other), self)

    def __sub__(self, other: Any) -> Any:
        return Arithmetic("-", self, operand(other))

    def __rsub__(self, other: Any) -> Any:
        return Arithmetic("-", operand(other), self)

    def __mul__(self, other: Any) -> Any:
        return Arithmetic("*", self, operand(other))

    def __rmul__(self, other: Any) -> Any:
        return Arithmetic("*", operand(other), self)

    def __truediv__(self, other: Any) -> Any:
        return Arithmetic("/", self, operand(other))

    def __rtruediv__(self, other: Any) -> Any:
        return Arithmetic("/", operand(other), self)

    def in_(self, values: Collection[Any]) -> bool:
        """True for rows whose value is one of `values`: an empty list is false, a None among them means NULL."""
        return cast("bool", InList(self, values))

    def not_in(self, values: Collection[Any]) -> bool:
        """True for rows whose value is none of `values`. As in SQL, a NULL row is never "none of" a non-empty list."""
        return cast("bool", InList(self, values, negated=True))

    def between(self, low: Any, high: Any) -> bool:
        """`low <= value <= high`, both ends included."""
        return cast("bool", Junction("AND", (self >= low, self <= high)))

    def is_null(self) -> bool:
        """True for rows without a value."""
        return cast("bool", IsNull(self))

    def is_not_null(self) -> bool:
        """True for rows with a value."""
        return cast("bool", IsNull(self, negated=True))

    def is_distinct_from(self, other: Any) -> bool:
        """`!=` that treats NULL as a value: never NULL itself."""
        return cast("bool", IsNull(self, negated=True) if other is None else Comparison("DISTINCT", self, other))

    def is_not_distinct_from(self, other: Any) -> bool:
        """`==` that treats NULL as a value: never NULL itself."""
        return cast("bool", IsNull(self) if other is None else Comparison("NOT DISTINCT", self, other))

    def contains(self, text: str) -> bool:
        """The value contains `text`, literally and case-sensitively."""
        return cast("bool", Match("contains", self, text))

    def icontains(self, text: str) -> bool:
        """`contains`, without regard to case."""
        return cast("bool", Match("contains", self, text, fold=True))

    def startswith(self, text: str) -> bool:
        """The value begins with `text`, literally and case-sensitively."""
        return cast("bool", Match("startswith", self, text))

    def istartswith(self, text: str) -> bool:
        """`startswith`, without regard to case."""
        return cast("bool", Match("startswith", self, text, fold=True))

    def endswith(self, text: str) -> bool:
        """The value ends with `text`, literally and case-sensitively."""
        return cast("bool", Match("endswith", self, text))

    def iendswith(self, text: str) -> bool:
        """`endswith`, without regard to case."""
        return cast("bool", Match("endswith", self, text, fold=True))

    def like(self, pattern: str) -> bool:
        r"""The value matches `pattern`, case-sensitively: `%` any text, `_` a character, `\` makes the next literal."""
        return cast("bool", Match("like", self, pattern))

    def ilike(self, pattern: str) -> bool:
        """`like`, without regard to case."""
        return cast("bool", Match("like", self, pattern, fold=True))

    def asc(self, nulls: NullsOrder | None = None) -> Order:
        """Ascending; NULLs first on every engine unless `nulls` says LAST."""
        return Order(self, False, nulls)

    def desc(self, nulls: NullsOrder | None = None) -> Order:
        """Descending; NULLs last on every engine unless `nulls` says FIRST."""
        return Order(self, True, nulls)

    def label(self, name: str) -> Any:
        """The same value under `name` in results, `order_by` and `having`."""
        return Label(self, check_identifier(name, "a label"))


class Leaf(Expr):
    """A node with nothing below it."""

    __slots__ = ()

    depth = 0
    size = 1


class Composite(Expr):
    """A node made of others."""

    __slots__ = ("depth", "size")


class ColumnRef(Leaf):
    """A column of an entity. One object a column: its own identity is its key."""

    __slots__ = ("column", "entity")

    def __init__(self, entity: Entity, column: Column) -> None:
        self.entity = entity
        self.column = column
        self.key = _Token()
        self.values = ()

    def __repr__(self) -> str:
        return f"{self.entity.name}.{self.column.attribute}"


class _Token:
    """A key that equals nothing but itself; a node cannot be its own, since its `==` builds a node."""

    __slots__ = ()


class Name(Leaf):
    """A field by name, resolved against the model of the query that uses it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = name
        self.values = ()

    def __repr__(self) -> str:
        return f"F.{self.name}"


class Bound(Leaf):
    """A caller's value. It is sent as a parameter, never as text."""

    __slots__ = ()

    def __init__(self, value: Any) -> None:
        self.key = _BOUND
        self.values = (value,)

    def __repr__(self) -> str:
        return "?"


_BOUND: Final = _Token()
_new: Final = object.__new__


class Stored(Bound):
    """A value as the driver gave it: it is sent back as it is, whatever the column's type."""

    __slots__ = ()

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.key = _STORED


_STORED: Final = _Token()


class Comparison(Composite):
    """`left operator right`."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, operator: str, left: Expr, right: Any) -> None:
        # The node that every filter makes, so it is written out: no call for a value.
        self.operator = operator
        self.left = left
        self.right: Expr
        if isinstance(right, Expr):
            self.right = right
            self.key = (operator, left.key, right.key)
            self.values = left.values + right.values
            self.depth = max(left.depth, right.depth) + 1
            self.size = left.size + right.size + 1
        else:
            self.right = bound = _new(Bound)
            bound.key = _BOUND
            bound.values = (right,)
            self.key = (operator, left.key, _BOUND)
            self.values = (*left.values, right)
            self.depth = left.depth + 1
            self.size = left.size + 2
        if self.depth > MAX_DEPTH or self.size > MAX_NODES:
            raise _too_large()

    def children(self) -> tuple[Expr, ...]:
        return (self.left, self.right)

    def __repr__(self) -> str:
        return f"({self.left!r} {self.operator} {self.right!r})"


class Arithmetic(Comparison):
    """`left operator right` with a number (or, for `+`, a text) as its value."""

    __slots__ = ()


class IsNull(Composite):
    """`operand IS [NOT] NULL`."""

    __slots__ = ("negated", "operand")

    def __init__(self, operand: Expr, *, negated: bool = False) -> None:
        self.operand = operand
        self.negated = negated
        self.key = ("NOTNULL" if negated else "ISNULL", operand.key)
        self.values = operand.values
        _measure(self, (operand,))

    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)


class InList(Composite):
    """`operand [NOT] IN (items)`; the items are one value of the node, so the shape knows only their rough number."""

    __slots__ = ("bucket", "has_null", "items", "negated", "operand")

    def __init__(self, operand: Expr, values: Collection[Any], *, negated: bool = False) -> None:
        if isinstance(values, str | bytes | Expr) or not isinstance(values, Collection):
            raise InvalidValueError(
                "in_ takes a list of values", found=f"a {type(values).__name__}", remedy="pass a list, tuple or set"
            )
        if len(values) > MAX_TERMS * 10:
            raise LimitExceededError(f"in_ takes at most {MAX_TERMS * 10:,} values", found=f"{len(values):,}")
        items = tuple(value for value in values if value is not None)
        self.operand = operand
        self.items = Bound(items)
        self.negated = negated
        self.has_null = len(items) < len(values)
        self.bucket = _bucket(len(items))
        self.key = ("IN", operand.key, self.bucket, self.has_null, negated)
        self.values = (*operand.values, items)
        # Beside a NULL the operand is written twice, so it counts twice.
        _measure(self, (operand, operand) if self.has_null else (operand,))

    def children(self) -> tuple[Expr, ...]:
        return (self.operand, self.items)


class Match(Composite):
    """A text match. `kind` is contains, startswith, endswith or like; `fold` ignores case."""

    __slots__ = ("fold", "kind", "operand", "pattern")

    def __init__(self, kind: str, operand: Expr, text: str, *, fold: bool = False) -> None:
        if not isinstance(text, str):
            raise InvalidValueError(f"{kind} takes a str", found=f"a {type(text).__name__}")
        self.kind = kind
        self.fold = fold
        self.operand = operand
        self.pattern = Bound(text)
        self.key = (kind, fold, operand.key)
        self.values = (*operand.values, text)
        _measure(self, (operand,))

    def children(self) -> tuple[Expr, ...]:
        return (self.operand, self.pattern)


class Junction(Composite):
    """`term AND term …` or `term OR term …`; nested ones of the same kind are made flat."""

    __slots__ = ("operator", "terms")

    operator: Literal["AND", "OR"]
    terms: tuple[Expr, ...]

    def __init__(self, operator: Literal["AND", "OR"], terms: tuple[Expr, ...]) -> None:
        self.operator = operator
        first = terms[0]
        if len(terms) == 2 and _is_junction(first, operator) and not _is_junction(terms[1], operator):
            self._extend(first, terms[1])
            return
        flat: list[Expr] = []
        for term in terms:
            if _is_junction(term, operator):
                flat += term.terms
            else:
                flat.append(term)
        _check_terms(operator, len(flat))
        self.terms = tuple(flat)
        _measure(self, self.terms)
        self.key = (operator, *[term.key for term in flat])
        self.values = tuple([value for term in flat for value in term.values])

    def _extend(self, first: Junction, last: Expr) -> None:
        """Be `first` and one term more: a condition that a loop puts together is not walked at each turn."""
        _check_terms(self.operator, len(first.terms) + 1)
        self.terms = (*first.terms, last)
        self.depth = max(first.depth, last.depth + 1)
        self.size = first.size + last.size
        if self.depth > MAX_DEPTH or self.size > MAX_NODES:
            raise _too_large()
        self.key = (*cast("tuple[Hashable, ...]", first.key), last.key)
        self.values = first.values + last.values

    def children(self) -> tuple[Expr, ...]:
        return self.terms

    def __repr__(self) -> str:
        return "(" + f" {self.operator} ".join(map(repr, self.terms)) + ")"


class Not(Composite):
    """`NOT operand`."""

    __slots__ = ("operand",)

    def __init__(self, operand: Expr) -> None:
        self.operand = operand
        self.key = ("NOT", operand.key)
        self.values = operand.values
        _measure(self, (operand,))

    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)


class Call(Composite):
    """A scalar function of the allow-list."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: str, arguments: tuple[Expr, ...]) -> None:
        self.function = function
        self.arguments = arguments
        self.key = (function, *[argument.key for argument in arguments])
        self.values = tuple([value for argument in arguments for value in argument.values])
        _measure(self, arguments)

    def children(self) -> tuple[Expr, ...]:
        return self.arguments


class Aggregate(Composite):
    """count, sum, avg, min or max; `argument` None is `count(*)`."""

    __slots__ = ("argument", "distinct", "function")

    def __init__(self, function: str, argument: Expr | None, *, distinct: bool = False) -> None:
        self.function = function
        self.argument = argument
        self.distinct = distinct
        self.key = (function, distinct, argument.key if argument is not None else None)
        self.values = argument.values if argument is not None else ()
        _measure(self, () if argument is None else (argument,))

    def children(self) -> tuple[Expr, ...]:
        return () if self.argument is None else (self.argument,)

    def __repr__(self) -> str:
        return f"func.{self.function}({'' if self.argument is None else repr(self.argument)})"


class Label(Composite):
    """An expression under a name."""

    __slots__ = ("name", "operand")

    def __init__(self, operand: Expr, name: str) -> None:
        self.operand = operand
        self.name = name
        self.key = ("AS", name, operand.key)
        self.values = operand.values
        _measure(self, (operand,))

    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)


class Order:
    """One term of ORDER BY."""

    __slots__ = ("descending", "expression", "key", "nulls")

    def __init__(self, expression: Expr, descending: bool = False, nulls: NullsOrder | None = None) -> None:
        # It becomes text of the statement, so a str that may say something else than it is will not do.
        if nulls is not None and (type(nulls) is not str or nulls not in ("FIRST", "LAST")):
            raise InvalidValueError("nulls must be 'FIRST', 'LAST' or None", found=f"a {type(nulls).__name__}")
        self.expression = expression
        self.descending = descending
        self.nulls = nulls
        self.key = (expression.key, descending, nulls)

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of the ordered expression."""
        return self.expression.values


def _is_junction(node: Expr, operator: str) -> TypeGuard[Junction]:
    return isinstance(node, Junction) and node.operator == operator


def _check_terms(operator: str, count: int) -> None:
    if count > MAX_TERMS:
        raise LimitExceededError(
            f"{operator} takes at most {MAX_TERMS:,} conditions", remedy="use in_ for many values of one column"
        )


def _measure(node: Composite, parts: tuple[Expr, ...]) -> None:
    """Set the depth and size of a node with these `parts`, before anything is joined that grows with them."""
    depth = size = 0
    for part in parts:
        size += part.size
        depth = max(depth, part.depth)
    node.depth = depth + 1
    node.size = size + 1
    if node.depth > MAX_DEPTH or node.size > MAX_NODES:
        raise _too_large()


def _too_large() -> LimitExceededError:
    return LimitExceededError(
        f"a condition nests more than {MAX_DEPTH} levels deep, or has more than {MAX_NODES:,} parts",
        remedy="flatten it, or use in_ for many values",
    )


def _bucket(size: int) -> int:
    # Lists are padded to a few sizes, so that a handful of statements serve every length.
    if size > _LONG_LIST:
        return -(-size // _LONG_LIST) * _LONG_LIST
    return 0 if size == 0 else 1 << (size - 1).bit_length()


_LONG_LIST: Final = 1024


def operand(value: Any) -> Expr:
    """The node of a value on one side of an operator."""
    return value if isinstance(value, Expr) else Bound(value)


def _no_order() -> NoReturn:
    raise InvalidValueError("None has no order", remedy="use == None or is_null()")


def condition(value: Any) -> Expr:
    """`value`, when it is an expression. A real bool, a string of SQL or anything else is refused."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool):
        raise InvalidValueError(
            "a condition must be an expression",
            found=f"the Python value {value}",
            remedy="compare a field of the model's class (Product.price > 1) or F (F.price > 1), not of an instance",
        )
    if isinstance(value, str):
        raise UnsafeSQLError("a condition must be an expression", found="a str", remedy="write F.name == value")
    raise InvalidValueError("a condition must be an expression", found=f"a {type(value).__name__}")


def negation(node: Expr) -> Expr:
    """`NOT node`; two of them cancel out."""
    return node.operand if isinstance(node, Not) else Not(node)


def field_ref(value: Any, what: str) -> Expr:
    """An expression, or a field's name. Text that is no identifier never gets further."""
    if isinstance(value, Expr):
        return value
    return Name(check_identifier(value, f"the field given to {what}"))


def order_term(value: Any) -> Order:
    """An Order, an expression (ascending), or a field's name with an optional leading `-` for descending."""
    if isinstance(value, Order):
        return value
    if isinstance(value, str) and value[:1] == "-":
        return Order(field_ref(value[1:], "order_by"), descending=True)
    return Order(field_ref(value, "order_by"))


def walk(node: Expr) -> Iterator[Expr]:
    """`node` and everything below it, in the order of `values`."""
    for child in node.children():
        yield from walk(child)
    yield node
