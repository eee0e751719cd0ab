"""Relationships: declared between models, resolved by the registry, never fields and never columns.

`Relationship(...)` marks a name in a class body; the metaclass takes value and annotation away before Pydantic looks
and puts a non-data descriptor in their place. A loaded value lives in the instance's `__dict__` under the name, where
it hides the descriptor; reading one that was not loaded raises RelationNotLoaded.

`Many[Post]` and `One[Author]` are the forms that type checkers understand: a reference on the class, a list or a model
on the instance. `list["Post"]` and `"Author"` work as well.
"""

from __future__ import annotations

import ast
import enum
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, Union, get_args, get_origin, overload

from ff_storage.core.errors import ConfigurationError, RelationNotLoaded

if TYPE_CHECKING:
    from ff_storage.core.model.entity import ModelEntity

T = TypeVar("T")


class RelationType(enum.Enum):
    """How many rows stand on each side, seen from the class that declares."""

    ONE_TO_ONE = "one_to_one"
    ONE_TO_MANY = "one_to_many"
    MANY_TO_ONE = "many_to_one"
    MANY_TO_MANY = "many_to_many"


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """The table between the two sides of a many-to-many; pairs of columns, ours or theirs first, the link's second."""

    entity: ModelEntity
    local: tuple[tuple[str, str], ...]
    remote: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RelationshipConfig:
    """A resolved relationship.

    `join` pairs columns of the owner's table with columns of the target's, the tenants among them when both have one;
    empty when `link` stands between.
    """

    attribute_name: str
    owner: ModelEntity
    target: ModelEntity
    relationship_type: RelationType
    join: tuple[tuple[str, str], ...]
    link: LinkConfig | None
    back_populates: str | None
    lazy: str
    order_by: str | None

    @property
    def is_collection(self) -> bool:
        """Whether the instance has a list."""
        return self.relationship_type in {RelationType.ONE_TO_MANY, RelationType.MANY_TO_MANY}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `Relationship(...)` was given."""

    back_populates: str | None
    foreign_key: str | None
    link_model: str | type[Any] | None
    link_local_key: str | None
    link_remote_key: str | None
    lazy: str
    order_by: str | None


def Relationship(  # noqa: N802 - the published name
    *,
    back_populates: str | None = None,
    foreign_key: str | None = None,
    link_model: str | type[Any] | None = None,
    link_local_key: str | None = None,
    link_remote_key: str | None = None,
    lazy: str = "select",
    order_by: str | None = None,
    init: Literal[False] = False,
) -> Any:
    """Declare a relationship to another model.

    - `back_populates`: the relationship on the other class that is this one seen from there; it must name this one.
    - `foreign_key`: the field that holds the reference, where it is not the usual one: `<name>_id` here for one row,
      `<class>_id` there for many.
    - `link_model`: the model of the table between, for many to many; `link_local_key` and `link_remote_key` are its
      fields that reference this class and the other.
    - `order_by`: the field of the other class that orders a list.
    - `lazy`: accepted; rows are loaded when a query says so.

    `init` tells type checkers that the constructor does not take it. A reference to one row makes a foreign key of its
    field, unless the field says `db_foreign_key` itself.
    """
    del init
    for what, value in {
        "back_populates": back_populates,
        "foreign_key": foreign_key,
        "link_local_key": link_local_key,
        "link_remote_key": link_remote_key,
        "lazy": lazy,
        "order_by": order_by,
    }.items():
        if value is not None and type(value) is not str:
            raise ConfigurationError(f"{what} of a Relationship must be a name", found=ascii(value)[:100])
    if link_model is not None and type(link_model) is not str and not isinstance(link_model, type):
        raise ConfigurationError("link_model must be a model or its name", found=ascii(link_model)[:100])
    if link_model is None and (link_local_key is not None or link_remote_key is not None):
        raise ConfigurationError("link_local_key and link_remote_key belong to a link_model")
    return Declaration(back_populates, foreign_key, link_model, link_local_key, link_remote_key, lazy, order_by)


@dataclass(frozen=True, slots=True)
class Target:
    """What an annotation says: the other class or its name, and whether there are many."""

    model: str | type[Any]
    many: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A relationship as its class declares it."""

    name: str
    declaration: Declaration
    target: Target


class RelationRef(Generic[T]):
    """`Author.posts`: a relationship as a value, for `join` and `load`."""

    __slots__ = ("entity", "name")

    def __init__(self, entity: ModelEntity, name: str) -> None:
        self.entity = entity
        self.name = name

    @property
    def config(self) -> RelationshipConfig:
        """The resolved relationship. Raises ConfigurationError when its other side is not there."""
        return self.entity.relationship(self.name)

    def __repr__(self) -> str:
        return f"{self.entity.name}.{self.name}"


class Many(Generic[T]):
    """The annotation of a relationship to many rows: `posts: Many[Post] = Relationship(back_populates="author")`."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: Any) -> RelationRef[T]: ...
        @overload
        def __get__(self, instance: object, owner: Any) -> list[T]: ...
        def __get__(self, instance: object | None, owner: Any) -> Any: ...


class One(Generic[T]):
    """The annotation of a relationship to one row: `author: One[Author]`, or `One[Author | None]` where it may lack."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: Any) -> RelationRef[T]: ...
        @overload
        def __get__(self, instance: object, owner: Any) -> T: ...
        def __get__(self, instance: object | None, owner: Any) -> Any: ...


class RelationDescriptor:
    """Stands on the class where a relationship was declared.

    Not a data descriptor: Python finds a loaded value in the instance's `__dict__` first.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: Any) -> RelationRef[Any]:
        if instance is None:
            return RelationRef(owner.__ff_entity__, self.name)
        raise RelationNotLoaded(
            f"{owner.__name__}.{self.name} was not loaded",
            remedy=f'add .load("{self.name}") to the query that reads the {owner.__name__}',
        )


# --- reading annotations ---------------------------------------------------------------------------------------------

_COLLECTIONS: Final = frozenset({"list", "List", "Many", "Sequence"})
_SINGLES: Final = frozenset({"One", "Optional"})


def read_target(owner: str, name: str, annotation: Any) -> Target:
    """The other side that an annotation names, evaluated or not. Raises ConfigurationError."""
    found = _from_text(annotation) if isinstance(annotation, str) else _from_type(annotation)
    if found is None:
        raise ConfigurationError(
            f"{owner}.{name}: the annotation of a Relationship names no model",
            found=ascii(annotation)[:100],
            remedy='write list["Post"] or Many[Post] for many, "Author" or One[Author] for one',
        )
    return found


def _from_type(annotation: Any) -> Target | None:
    if isinstance(annotation, str):
        return _from_text(annotation)
    if isinstance(annotation, typing.ForwardRef):
        return _from_text(annotation.__forward_arg__)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is None:
        return Target(annotation, many=False) if isinstance(annotation, type) else None
    if origin in {Union, types.UnionType}:
        rest = [arm for arm in args if arm is not types.NoneType]
        return _from_type(rest[0]) if len(rest) == 1 else None
    inner = _from_type(args[0]) if len(args) == 1 else None
    if inner is None or inner.many:
        return None
    return _wrapped(getattr(origin, "__name__", ""), inner)


def _wrapped(name: str, inner: Target) -> Target | None:
    if name in _COLLECTIONS:
        return Target(inner.model, many=True)
    return inner if name in _SINGLES else None


def _from_text(text: str) -> Target | None:
    # Read, not evaluated: the other class may not exist yet, and its name is all that is needed.
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None
    return _from_node(node)


def _from_node(node: ast.expr) -> Target | None:
    match node:
        case ast.Constant(value=str() as text):
            return _from_text(text)
        case ast.Name() | ast.Attribute():
            return Target(ast.unparse(node), many=False)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            sides = [side for side in (left, right) if not (isinstance(side, ast.Constant) and side.value is None)]
            return _from_node(sides[0]) if len(sides) == 1 else None
        case ast.Subscript(value=value, slice=inside):
            inner = _from_node(inside)
            if inner is None or inner.many:
                return None
            return _wrapped(ast.unparse(value).rpartition(".")[2], inner)
        case _:
            return None
