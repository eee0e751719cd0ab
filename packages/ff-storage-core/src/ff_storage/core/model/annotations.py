"""Annotations to canonical types: what a column of a field can hold, and how the field's values get there.

Aliases, `Annotated`, `NewType` and `Optional` are opened; a scalar keeps its own type, a list of one scalar becomes an
array, everything with a structure JSON. What has no faithful form is refused with the reason, never stored as text.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import decimal
import ipaddress
import types
import typing
import zoneinfo
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, Flag
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
import pydantic
import typing_extensions
from pydantic import AnyUrl, BaseModel, Json, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from ff_storage.core import types as canonical
from ff_storage.core.errors import InvalidValueError
from ff_storage.core.model import adapt
from ff_storage.core.model.adapt import Adapter
from ff_storage.core.types import SCALARS, ColumnType

Choice = str | int

_MULTI_HOST_URL: Final[type] = pydantic.PostgresDsn.__mro__[1]
_ADDRESSES: Final = (
    ipaddress.IPv4Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Address,
    ipaddress.IPv6Interface,
    ipaddress.IPv6Network,
)
_AS_TEXT: Final = (
    AnyUrl,
    _MULTI_HOST_URL,
    *_ADDRESSES,
    pydantic.NameEmail,
    PurePath,
    zoneinfo.ZoneInfo,
)
"""Classes whose values are stored as their text, from which Pydantic makes them again."""
_ANY_ADDRESS: Final[tuple[Any, ...]] = (pydantic.IPvAnyAddress, pydantic.IPvAnyInterface, pydantic.IPvAnyNetwork)

_SPECIAL: Final[dict[Any, ColumnType]] = {
    pydantic.EmailStr: canonical.Text(),
    pydantic.AwareDatetime: canonical.Timestamp(),
    pydantic.PastDatetime: canonical.Timestamp(),
    pydantic.FutureDatetime: canonical.Timestamp(),
    pydantic.PastDate: canonical.Date(),
    pydantic.FutureDate: canonical.Date(),
}
"""Pydantic's own classes for values of a plain type."""

_ALIASES: Final[tuple[Any, ...]] = (
    typing_extensions.TypeAliasType,
    getattr(typing, "TypeAliasType", typing_extensions.TypeAliasType),  # another class before Python 3.14
)
_LISTS: Final = (list, collections.deque, collections.abc.Sequence, collections.abc.MutableSequence)
_SETS: Final = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_MAPPINGS: Final = (
    dict,
    collections.OrderedDict,
    collections.defaultdict,
    collections.Counter,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
)


class UnmappableError(Exception):
    """An annotation has no column type; the arguments are why, and what to do."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = (
            remedy or "use a plain type such as str, int or datetime, or dict, a list or a Pydantic model (JSON)"
        )


@dataclass(frozen=True, slots=True)
class Constraints:
    """What an annotation says about the size of its values; `bounds` are pairs such as `(">=", 0)`."""

    max_length: int | None = None
    max_digits: int | None = None
    decimal_places: int | None = None
    bounds: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Mapped:
    """The column of an annotation. `choices` are the only values, canonical, of an Enum or Literal."""

    type: ColumnType
    nullable: bool = False
    adapt: Adapter | None = None
    choices: tuple[Choice, ...] = ()
    constraints: Constraints = Constraints()


def map_annotation(annotation: Any, metadata: Iterable[Any] = ()) -> Mapped:
    """The column for values of `annotation`, under the field's `metadata`. Raises UnmappableError."""
    metadata = tuple(metadata)
    core, inner = _unwrap(annotation)
    everything = (*inner, *_flat(metadata))
    if any(each is Json or type(each) is Json for each in everything):
        raise UnmappableError("Json parses text", "annotate the parsed type itself: it is stored as JSON")
    arms = [arm for arm in _arms(core) if arm is not types.NoneType]
    nullable = len(arms) < len(_arms(core))
    if not arms:
        raise UnmappableError("None is the only value")
    if len(arms) > 1:
        constraints = _constraints(everything)
        mapped = _union(core, arms)
        mapped = dataclasses.replace(mapped, type=_sized(mapped.type, constraints))
    elif nullable:
        mapped = map_annotation(arms[0])
        constraints = _merge(mapped.constraints, _constraints(everything))
        mapped = dataclasses.replace(mapped, type=_sized(mapped.type, constraints), nullable=True)
    else:
        constraints = _constraints(everything)
        mapped = _single(core, constraints)
    if isinstance(mapped.adapt, adapt.JsonAdapter):
        # The whole annotation: it may carry serializers of its own.
        whole = Annotated[(annotation, *metadata)] if metadata else annotation
        mapped = dataclasses.replace(mapped, adapt=adapt.JsonAdapter(whole, reveal=mapped.adapt.reveal))
    return dataclasses.replace(mapped, nullable=nullable or mapped.nullable, constraints=constraints)


def _unwrap(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type inside aliases, NewType and Annotated, with the metadata found on the way, inner first."""
    metadata: tuple[Any, ...] = ()
    while True:
        origin = get_origin(annotation)
        if origin is Annotated or origin is typing_extensions.Annotated:
            metadata = (*_flat(annotation.__metadata__), *metadata)
            annotation = annotation.__origin__
        elif isinstance(annotation, _ALIASES):
            annotation = annotation.__value__
        elif isinstance(origin, _ALIASES):
            annotation = origin.__value__[get_args(annotation)]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return annotation, metadata


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _flat(each.metadata)
        elif isinstance(each, annotated_types.GroupedMetadata):
            yield from _flat(each)
        else:
            yield each


def _arms(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, nested ones and the None of a Literal included; else the annotation alone."""
    core, _ = _unwrap(annotation)
    if get_origin(core) in {Union, types.UnionType}:
        found = [
            part
            for arm in get_args(core)
            for part in (_arms(arm) if get_origin(_unwrap(arm)[0]) in {Union, types.UnionType} else (arm,))
        ]
        return tuple(found)
    if get_origin(core) is Literal and None in get_args(core):
        rest = tuple(value for value in get_args(core) if value is not None)
        return (types.NoneType, Literal[rest]) if rest else (types.NoneType,)
    return (annotation,)


def _constraints(metadata: Iterable[Any]) -> Constraints:
    found: dict[str, Any] = {}
    bounds: list[tuple[str, Any]] = []
    for each in metadata:
        match each:
            case annotated_types.MaxLen():
                _tighten(found, "max_length", each.max_length)
            case annotated_types.Ge():
                bounds.append((">=", each.ge))
            case annotated_types.Gt():
                bounds.append((">", each.gt))
            case annotated_types.Le():
                bounds.append(("<=", each.le))
            case annotated_types.Lt():
                bounds.append(("<", each.lt))
            case _:
                # Pydantic keeps the rest in objects of a private class.
                for name in ("max_length", "max_digits", "decimal_places"):
                    _tighten(found, name, getattr(each, name, None))
    return Constraints(**found, bounds=tuple(bounds))


def _tighten(found: dict[str, Any], name: str, value: Any) -> None:
    # All constraints hold together, so the tightest of a kind counts.
    if type(value) is int:
        found[name] = min(value, found.get(name, value))


def _merge(inner: Constraints, outer: Constraints) -> Constraints:
    found: dict[str, Any] = {}
    for name in ("max_length", "max_digits", "decimal_places"):
        _tighten(found, name, getattr(inner, name))
        _tighten(found, name, getattr(outer, name))
    return Constraints(**found, bounds=inner.bounds + outer.bounds)


def _sized(type_: ColumnType, constraints: Constraints) -> ColumnType:
    """The type with the length or digits that the constraints give."""
    if isinstance(type_, canonical.Text | canonical.Bytes) and constraints.max_length is not None:
        return dataclasses.replace(type_, max_length=constraints.max_length)
    if isinstance(type_, canonical.Decimal):
        digits, places = constraints.max_digits, constraints.decimal_places
        if digits is None:
            return type_ if places is None else canonical.Decimal(38, places)
        if places is None:
            # Any of the digits may stand after the point; room for the default scale keeps common values whole.
            places = min(digits, 10)
            digits = min(38, digits + places)
        return canonical.Decimal(max(digits, places, 1), places)
    return type_


def _single(core: Any, constraints: Constraints) -> Mapped:
    """The column for one type that is neither optional nor a union."""
    if core is Any or core is object:
        return Mapped(canonical.Json(), nullable=True, adapt=adapt.JSON_ANY)
    if get_origin(core) is Literal:
        return _literal(get_args(core), constraints)
    if isinstance(core, type) and issubclass(core, Enum):
        return _enum(core, constraints)
    scalar = _scalar(core)
    if scalar is not None:
        return dataclasses.replace(scalar, type=_sized(scalar.type, constraints))
    return _array(core) or _json(core)


def _scalar(core: Any) -> Mapped | None:
    """The column of a class whose values are plain or have a plain form."""
    if get_origin(core) is Secret:
        inner = map_annotation(get_args(core)[0])
        return dataclasses.replace(inner, adapt=adapt.secret(inner.type.python, inner.adapt))
    if not isinstance(core, type):
        return None
    if core in SCALARS:
        return Mapped(SCALARS[core])
    if core in _SPECIAL:
        return Mapped(_SPECIAL[core])
    if core is SecretStr:
        return Mapped(canonical.Text(), adapt=adapt.secret(str))
    if core is SecretBytes:
        return Mapped(canonical.Bytes(), adapt=adapt.secret(bytes))
    if core is pydantic.NaiveDatetime:
        raise UnmappableError("a datetime without a zone names no instant", "use datetime or AwareDatetime")
    if issubclass(core, _AS_TEXT):
        return Mapped(canonical.Text(), adapt=adapt.text(core))
    if core in _ANY_ADDRESS:
        return Mapped(canonical.Text(), adapt=adapt.text(core, _ADDRESSES))
    for kind in (str, int, float, decimal.Decimal, bytes):
        if issubclass(core, kind):
            return Mapped(SCALARS[kind], adapt=adapt.plain(kind))
    return None


def _literal(values: tuple[Any, ...], constraints: Constraints) -> Mapped:
    raw: list[Any] = [value.value if isinstance(value, Enum) else value for value in values]
    if all(type(value) is bool for value in raw):
        return Mapped(canonical.Boolean())
    accepted = dict(zip(raw, raw, strict=True)) | dict(zip(values, raw, strict=True))
    kinds = {type(value) for value in values if isinstance(value, Enum)}
    convert = adapt.choices(accepted, f"one of {', '.join(map(ascii, raw))}"[:200], kinds)
    return _choices(raw, convert, constraints)


def _enum(core: type[Enum], constraints: Constraints) -> Mapped:
    raw = [member.value for member in core]
    if issubclass(core, Flag):
        return Mapped(canonical.Integer(), adapt=adapt.flags(core))
    accepted = {value: value for value in raw} | {member: member.value for member in core}
    return _choices(raw, adapt.choices(accepted, f"a {core.__name__}", [core]), constraints)


def _choices(raw: list[Any], convert: Adapter, constraints: Constraints) -> Mapped:
    values = tuple(dict.fromkeys(raw))
    if raw and all(type(value) is str for value in raw):
        longest = max(1, *map(len, values)) if constraints.max_length is None else constraints.max_length
        return Mapped(canonical.Text(longest), adapt=convert, choices=values)
    if raw and all(type(value) is int for value in raw):
        return Mapped(canonical.Integer(), adapt=convert, choices=values)
    found = ", ".join(sorted({type(value).__name__ for value in raw})) or "none"
    raise UnmappableError(f"its values are of the types {found}", "make all values str, or all int")


def _array(core: Any) -> Mapped | None:
    """A column for many values of one scalar type, or None."""
    origin, args = get_origin(core), get_args(core)
    if origin in _LISTS or origin in _SETS:
        item, ordered = args[0], origin in _LISTS
    elif origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        item, ordered = args[0], True
    else:
        return None
    try:
        mapped = map_annotation(item)
    except UnmappableError:
        return None
    if mapped.nullable or isinstance(mapped.type, canonical.Json | canonical.Array):
        return None
    plain = origin is list and mapped.adapt is None
    return Mapped(canonical.Array(mapped.type), adapt=None if plain else adapt.array(mapped.adapt, ordered=ordered))


def _json(core: Any) -> Mapped:
    secrets = _contains_secret(core, set())
    return Mapped(canonical.Json(), adapt=adapt.JsonAdapter(core, reveal=secrets))


def _union(core: Any, arms: list[Any]) -> Mapped:
    """The column for values of several types: the one they share, or JSON when any has a structure."""
    mapped = [map_annotation(arm) for arm in arms]
    if any(isinstance(each.type, canonical.Json | canonical.Array) for each in mapped):
        return dataclasses.replace(_json(core), nullable=any(each.nullable for each in mapped))
    kinds = {type(each.type) for each in mapped}
    if len(kinds) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UnmappableError(f"a column has one type, and this one may be {names}", "use one type, or Any (JSON)")
    every_choice = tuple(dict.fromkeys(value for each in mapped for value in each.choices))
    return Mapped(
        _widest([each.type for each in mapped]),
        adapt=_first_of([each.adapt for each in mapped]),
        choices=every_choice if all(each.choices for each in mapped) else (),
    )


def _widest(sizes: list[ColumnType]) -> ColumnType:
    if isinstance(sizes[0], canonical.Text | canonical.Bytes):
        lengths = [each.max_length for each in sizes if isinstance(each, canonical.Text | canonical.Bytes)]
        known = [length for length in lengths if length is not None]
        return dataclasses.replace(sizes[0], max_length=max(known) if len(known) == len(lengths) else None)
    if isinstance(sizes[0], canonical.Decimal):
        parts = [(each.precision - each.scale, each.scale) for each in sizes if isinstance(each, canonical.Decimal)]
        whole, scale = max(part[0] for part in parts), max(part[1] for part in parts)
        return canonical.Decimal(whole + scale, scale)
    return sizes[0]


def _first_of(adapters: list[Adapter | None]) -> Adapter | None:
    """An adapter that takes what any of `adapters` takes; the plain ones last, since they take everything."""
    special = [each for each in adapters if each is not None]
    if not special:
        return None

    def convert(value: Any) -> Any:
        for each in special[:-1] if len(special) == len(adapters) else special:
            try:
                return each(value)
            except InvalidValueError:
                continue
        return special[-1](value) if len(special) == len(adapters) else value

    return convert


def _contains_secret(annotation: Any, seen: set[Any]) -> bool:
    """Whether a secret can be inside a JSON value. Raises UnmappableError for what JSON cannot hold."""
    core, _ = _unwrap(annotation)
    origin = get_origin(core)
    parts: Iterable[Any] = ()
    if core is Any or core is object:
        return True  # anything may be there
    if origin is Literal or isinstance(core, str | typing.ForwardRef):
        return False
    if core is SecretStr or core is SecretBytes or origin is Secret:
        return True
    if origin in {Union, types.UnionType, tuple} or origin in {*_LISTS, *_SETS, *_MAPPINGS}:
        parts = [part for part in get_args(core) if part is not Ellipsis and part is not types.NoneType]
    elif isinstance(core, type) or isinstance(origin, type):
        kind = core if isinstance(core, type) else origin
        if kind in seen:
            return False
        seen.add(kind)
        parts = _members(kind)
    elif isinstance(core, TypeVar):
        raise UnmappableError(
            f"the type parameter {core.__name__} is not bound", "make a class for each type: Box[int]"
        )
    else:
        raise UnmappableError("JSON has no form for it")
    found = [_contains_secret(part, seen) for part in parts]
    return any(found)


def _members(kind: Any) -> Iterable[Any]:
    """The annotations inside a class that JSON can hold."""
    if issubclass(kind, BaseModel):
        return [field.annotation for field in kind.__pydantic_fields__.values()]
    if dataclasses.is_dataclass(kind) or typing_extensions.is_typeddict(kind) or hasattr(kind, "_fields"):
        try:
            return typing_extensions.get_type_hints(kind).values()
        except NameError:  # a name that only Pydantic's own look-up finds
            return ()
    known = (*SCALARS, *_AS_TEXT, *_LISTS, *_SETS, *_MAPPINGS, tuple, Enum, types.NoneType)
    if kind is object or issubclass(kind, known) or kind in _SPECIAL or hasattr(kind, "__get_pydantic_core_schema__"):
        return ()
    raise UnmappableError(f"JSON has no form for a {kind.__name__}")


def names_of(annotation: Any) -> str:
    """The annotation as one would write it, for messages."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("NoneType", "None")
