"""Adapters: a field's value to the canonical value of its column (`Column.adapt`).

Each takes what an instance may hold (an enum member, a secret, a URL, a set) and what a filter may be given in its
place (the raw value), and returns the plain Python value that dialects encode, or raises InvalidValueError. None never
comes here: it is NULL. A message never shows a secret.

A JSON column stores what Pydantic's serializer makes of the field's annotation, under *field names*: an alias may
change without making stored rows unreadable. What reads it back must accept names (`by_name=True`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, NoReturn, cast

from pydantic import Secret, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ff_storage.core.errors import InvalidValueError, nearest
from ff_storage.core.sql.values import MAX_JSON_DEPTH

Adapter = Callable[[Any], Any]


def invalid(wanted: str, value: Any) -> InvalidValueError:
    """The error for a value that is not `wanted`."""
    return InvalidValueError(f"the value must be {wanted}", found=ascii(value)[:100])


def choices(values: Mapping[Any, str | int], wanted: str, kinds: Iterable[type[Enum]] = ()) -> Adapter:
    """Members of the enums `kinds`, and raw values, to the value; `values` maps every accepted one."""
    exact = {str, int, *kinds}
    known = [str(value) for value in dict.fromkeys(values.values())]

    def adapt(value: Any) -> str | int:
        # Exact types: True would pass for 1, a str of another kind for the text that it hides.
        if type(value) in exact:
            found = values.get(value)
            if found is not None:
                return found
        error = invalid(wanted, value)
        error.remedy = nearest(str(value) if type(value) is str else "", known)
        raise error

    return adapt


def flags(kind: type[Enum]) -> Adapter:
    """A flag, or its number, to the number."""

    def adapt(value: Any) -> int:
        if isinstance(value, kind):
            return int(value.value)
        if type(value) is not int:
            raise invalid(f"a {kind.__name__}", value)
        return value

    return adapt


def text(kind: type[Any], instances: tuple[type[Any], ...] = ()) -> Adapter:
    """A URL, an address or a path to its text; raw text is brought to the same form first.

    `instances` are the classes of valid values where `kind` only makes them.
    """
    parser: TypeAdapter[Any] | None = None
    accepted = instances or (kind,)

    def adapt(value: Any) -> str:
        nonlocal parser
        if not isinstance(value, accepted):
            if type(value) is not str:
                raise invalid(f"a {kind.__name__} or its text", value)
            if parser is None:
                parser = TypeAdapter(kind)
            try:
                value = parser.validate_python(value)
            except ValidationError:
                raise invalid(f"a {kind.__name__}", value) from None
        return str(value)

    return adapt


def plain(kind: type[Any]) -> Adapter:
    """A value of a subclass of `kind` to one of exactly `kind`, by its content and none of its methods."""
    by_content: dict[type[Any], Callable[[Any], Any]] = {
        str: str.__str__,
        int: int.__int__,
        float: float.__float__,
        bytes: bytes.__bytes__,
    }
    bare: Callable[[Any], Any] = by_content.get(kind, kind)

    def adapt(value: Any) -> Any:
        if type(value) is kind:
            return value
        if not isinstance(value, kind) or isinstance(value, bool):
            raise invalid(f"a {kind.__name__}", value)
        return bare(value)

    return adapt


def secret(kind: type[Any], then: Adapter | None = None) -> Adapter:
    """A secret, or the raw value, to the raw value."""

    def adapt(value: Any) -> Any:
        bare: Any = value
        if isinstance(value, Secret | SecretStr | SecretBytes):
            bare = cast("Secret[Any]", value).get_secret_value()
        if then is not None:
            try:
                return then(bare)
            except InvalidValueError:
                _hidden(kind)
        if type(bare) is not kind:
            _hidden(kind)
        return bare

    return adapt


def _hidden(kind: type[Any]) -> NoReturn:
    # From None: the error in progress may show the value.
    raise InvalidValueError(f"the value must be a secret {kind.__name__}") from None


def array(item: Adapter | None, *, ordered: bool) -> Adapter:
    """A list, tuple or set to a list of canonical values; a set sorted, so that equal sets are stored alike."""

    def adapt(value: Any) -> list[Any]:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            raise invalid("a list", value)
        values: list[Any] = [*value]
        if item is not None:
            values = [item(each) for each in values]
        if ordered:
            return values
        try:
            return sorted(values)
        except TypeError:
            raise InvalidValueError("a set of values of one type is expected", found="several types") from None

    return adapt


class JsonAdapter:
    """A value of `annotation` to JSON-able Python, by Pydantic's serializer in JSON mode.

    With `reveal`, secrets inside are stored as they are: JSON mode would mask them, and lose them. A value of a free
    form, such as `dict[str, Any]`, that is plain JSON already passes as it is, at a fifth of the serializer's cost.
    """

    __slots__ = ("_adapter", "_annotation", "free", "reveal")

    def __init__(self, annotation: Any, *, reveal: bool) -> None:
        self._annotation = annotation
        self.reveal = reveal
        self._adapter: TypeAdapter[Any] | None = None
        self.free = next((kinds for form, kinds in _FREE_FORMS if annotation in (form, form | None)), _NO_KINDS)
        """The classes of values that pass if they hold nothing but JSON's own types."""

    def __call__(self, value: Any) -> Any:
        """The JSON-able form. Raises InvalidValueError."""
        if type(value) in self.free and _is_plain(value, MAX_JSON_DEPTH):
            return value
        if self._adapter is None:  # made late: most processes never write most columns
            self._adapter = TypeAdapter(self._annotation)
        try:
            try:
                return self._dump(self._adapter, value)
            except (PydanticSerializationError, UnicodeDecodeError):
                # What a filter gives: plain Python in place of a model.
                return self._dump(self._adapter, self._adapter.validate_python(value, by_name=True, by_alias=True))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise InvalidValueError(
                "the value does not fit the JSON column", found=f"{place} {first['type']}"
            ) from None
        except InvalidValueError:
            raise
        except (ValueError, RecursionError):  # Pydantic's own, text with lone surrogates, nesting without end
            raise InvalidValueError(
                "the value cannot be written as JSON",
                found=f"a {type(value).__name__} with something JSON does not hold",
            ) from None

    def _dump(self, adapter: TypeAdapter[Any], value: Any) -> Any:
        if self.reveal:
            return _revealed(adapter.dump_python(value, by_alias=False, round_trip=True, warnings="error"))
        dumped = adapter.dump_python(value, mode="json", by_alias=False, round_trip=True, warnings="error")
        # JSON mode writes null for NaN and the infinities, which are refused here as in any other column.
        if _holds(dumped, _is_none) and _holds(
            adapter.dump_python(value, by_alias=False, round_trip=True, warnings="error"), _is_not_finite
        ):
            raise InvalidValueError("a finite float is expected in JSON", found="NaN or an infinity")
        return dumped


_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_NO_KINDS: Final[frozenset[type]] = frozenset()
_FREE_FORMS: Final[tuple[tuple[Any, frozenset[type]], ...]] = (
    (dict[str, Any], frozenset({dict})),
    (dict, frozenset({dict})),
    (list[Any], frozenset({list})),
    (list, frozenset({list})),
)


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a dict or list holds nothing but JSON's own types, so that the serializer would only copy it."""
    items: Iterable[Any] = value
    if type(value) is dict:
        pairs: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        for key in pairs:
            if type(key) is not str:
                return False
        items = pairs.values()
    for item in items:
        kind = type(item)  # pyright: ignore[reportUnknownVariableType]
        if kind not in _LEAVES and not ((kind is dict or kind is list) and depth and _is_plain(item, depth - 1)):
            return False
    return True


def _is_none(value: Any) -> bool:
    return value is None


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _holds(value: Any, test: Callable[[Any], bool]) -> bool:
    """Whether any leaf of nested mappings, lists, tuples and sets passes the test."""
    if isinstance(value, Mapping):
        return any(_holds(each, test) for each in value.values())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple | set | frozenset):
        return any(_holds(each, test) for each in value)  # pyright: ignore[reportUnknownVariableType]
    return test(value)


def _revealed(value: Any) -> Any:
    """The JSON-able form of what Pydantic dumped for Python, with the values of secrets in their place."""
    if type(value) in _LEAVES:
        return value
    if isinstance(value, Mapping):
        pairs: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key if type(key) is str else _json_key(key): _revealed(each) for key, each in pairs.items()}
    if isinstance(value, list | tuple | set | frozenset | deque):
        items: list[Any] = [*value]
        return [_revealed(each) for each in items]
    if isinstance(value, Secret | SecretStr | SecretBytes):
        return _revealed(cast("Secret[Any]", value).get_secret_value())
    return to_jsonable_python(value, by_alias=False)


def _json_key(key: Any) -> str:
    (text,) = to_jsonable_python({key: None})
    return cast("str", text)


JSON_ANY: Final = JsonAdapter(Any, reveal=True)
"""For values of no declared form, which may hold anything."""
