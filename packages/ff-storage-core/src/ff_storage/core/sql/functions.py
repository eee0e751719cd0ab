"""How callers begin an expression without a model's class: `F`, `func`, `col`, and the joiners of conditions.

To a type checker an expression has the type of its value: `col` opens the methods (`col(Product.name).icontains("x")`),
`not_` negates; at run time both are optional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar, cast, overload

from ff_storage.core.errors import ConfigurationError, IdentifierError, InvalidValueError, nearest
from ff_storage.core.sql.expressions import (
    Aggregate,
    Call,
    Expr,
    Junction,
    Name,
    condition,
    field_ref,
    negation,
    operand,
)
from ff_storage.core.tables import check_identifier

if TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar("T")


_names: Final[dict[str, Name]] = {}
"""Names seen before, so that each is checked and made once; a program has few."""

_MAX_NAMES: Final = 4096


def _name(name: str) -> Name:
    node = Name(check_identifier(name, "a field's name"))
    if name[0] == "_":  # not to be found as an attribute: F.__dict__ is no field, whatever F["__dict__"] has met
        return node
    if len(_names) >= _MAX_NAMES:
        _names.clear()
    _names[name] = node
    return node


class FieldFactory:
    """`F`: fields by name, `F.price` or `F["price"]`, resolved by the query that uses them."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        node = _names.get(name)
        if node is not None:
            return node
        if name.startswith("_"):
            raise AttributeError(f"F has no field {name!r}: a field's name does not begin with an underscore")
        return _name(name)

    def __getitem__(self, name: str) -> Any:
        return _name(name)

    def __repr__(self) -> str:
        return "F"


F: Final = FieldFactory()


class UnknownFunction(IdentifierError, AttributeError):
    """`func` has no such function."""


class FunctionFactory:
    """`func`: the functions that mean the same on every engine. To a checker a call has the type of its value."""

    __slots__ = ()

    def count(self, field: Any = None, *, distinct: bool = False) -> int:
        """The number of rows, or of rows whose `field` is not NULL, or of its distinct values."""
        if field is None and distinct:
            raise InvalidValueError("count(distinct=True) needs a field")
        return cast(
            "int", Aggregate("count", None if field is None else field_ref(field, "func.count"), distinct=distinct)
        )

    def sum(self, field: T, *, distinct: bool = False) -> T | None:
        """The sum; None of no rows. Exact for integers and Decimals, and never wrapped around."""
        return cast("T | None", Aggregate("sum", field_ref(field, "func.sum"), distinct=distinct))

    @overload
    def avg(self, field: Decimal, *, distinct: bool = False) -> Decimal | None: ...
    @overload
    def avg(self, field: float | None, *, distinct: bool = False) -> float | None: ...
    def avg(self, field: Any, *, distinct: bool = False) -> Any:
        """The mean; None of no rows. A float; of a Decimal column a Decimal with four more digits, rounded half up."""
        return Aggregate("avg", field_ref(field, "func.avg"), distinct=distinct)

    def min(self, field: T) -> T | None:
        """The smallest value; None of no rows."""
        return cast("T | None", Aggregate("min", field_ref(field, "func.min")))

    def max(self, field: T) -> T | None:
        """The largest value; None of no rows."""
        return cast("T | None", Aggregate("max", field_ref(field, "func.max")))

    def lower(self, field: T) -> T:
        """The text in lower case, by Unicode where the engine can."""
        return cast("T", Call("lower", (field_ref(field, "func.lower"),)))

    def upper(self, field: T) -> T:
        """The text in upper case, by Unicode where the engine can."""
        return cast("T", Call("upper", (field_ref(field, "func.upper"),)))

    def length(self, field: str | None) -> int:
        """The number of code points."""
        return cast("int", Call("length", (field_ref(field, "func.length"),)))

    def coalesce(self, field: T | None, default: T) -> T:
        """The value, or `default` where it is NULL."""
        return cast("T", Call("coalesce", (field_ref(field, "func.coalesce"), operand(default))))

    if not TYPE_CHECKING:  # to a checker an unknown function is an error by itself

        def __getattr__(self, name: str) -> NoReturn:
            known = [each for each in dir(type(self)) if not each.startswith("_")]
            raise UnknownFunction(f"func has no function {name[:80]!r}", remedy=nearest(name, known))

    def __repr__(self) -> str:
        return "func"


func: Final = FunctionFactory()


if TYPE_CHECKING:

    class _Column(Expr):
        """What `col` gives to a type checker: the methods of an expression, with comparisons as `bool`."""

        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool: ...
        def __ne__(self, other: object) -> bool: ...
        def __lt__(self, other: Any) -> bool: ...
        def __le__(self, other: Any) -> bool: ...
        def __gt__(self, other: Any) -> bool: ...
        def __ge__(self, other: Any) -> bool: ...


def col(field: Any) -> _Column:
    """The expression of a field, with its methods visible to type checkers: `col(Product.name).icontains("x")`.

    Raises ConfigurationError for anything but an expression, such as an instance's value.
    """
    if not isinstance(field, Expr):
        raise ConfigurationError(
            "col takes a field of a model class", found=f"a {type(field).__name__}", remedy="write col(Product.name)"
        )
    return cast("_Column", field)


def not_(value: bool) -> bool:
    """True where `value` is false; `~` for type checkers."""
    return cast("bool", negation(condition(value)))


def _join(operator: Literal["AND", "OR"], conditions: tuple[Any, ...]) -> bool:
    if not conditions:
        raise InvalidValueError(f"{operator} needs at least one condition")
    terms = tuple(condition(each) for each in conditions)
    return cast("bool", terms[0] if len(terms) == 1 else Junction(operator, terms))


def AND(*conditions: bool) -> bool:  # noqa: N802 - the published name
    """True where all of `conditions` are."""
    return _join("AND", conditions)


def OR(*conditions: bool) -> bool:  # noqa: N802 - the published name
    """True where any of `conditions` is."""
    return _join("OR", conditions)


def NOT(value: bool) -> bool:  # noqa: N802 - the published style
    """True where `value` is false."""
    return not_(value)
