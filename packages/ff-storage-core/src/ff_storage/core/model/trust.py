"""What a model's core schema says about building instances without validating them.

The core schema is what Pydantic itself runs, so it shows every validator, wherever it was declared; the class's
decorators show only some of them. Nothing is guessed: a schema, or a key of one, that is not listed here counts as
transforming, and costs a converter rather than a wrong value.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import SchemaValidator, to_json

from ff_storage.core.errors import ConfigurationError
from ff_storage.core.types import Array, Boolean, ColumnType, Float, Integer, Json, Text

Schema = dict[str, Any]
"""A core schema, read as plain data."""


class Way(enum.Enum):
    """How the canonical value of a column becomes the value of its field."""

    ASSIGN = "it is that value"
    MEMBER = "look up the enum member"
    PYTHON = "run the field's validators"
    JSON = "run the field's validators on JSON text"


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """The parts of one model's core schema that building instances depends on.

    `root` is the schema as Pydantic made it, `fields` the schemas of the fields in their order (for a RootModel: of
    `root`; empty when the class makes a schema of its own kind), `whole` why instances have to be validated as a whole
    (empty: they need not be).
    """

    root: Schema
    fields: dict[str, Schema]
    definitions: dict[str, Schema]
    config: Schema
    whole: str
    post_init: str | None
    is_root_model: bool
    custom_init: bool


def read_model(model: type[BaseModel]) -> ModelSchema:
    """The model's schema taken apart. Raises ConfigurationError when a name in an annotation is not defined."""
    if not model.__pydantic_complete__:
        try:
            model.model_rebuild()
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            raise ConfigurationError(
                f"{model.__name__} is not fully defined",
                found=str(error).split("\n", maxsplit=1)[0],
                remedy="define the missing name, then call model_rebuild()",
            ) from error
    root: Schema = model.__pydantic_core_schema__  # type: ignore[assignment]  # one TypedDict of many, read as data
    definitions: dict[str, Schema] = {}
    schema, shell, whole = root, {}, ""
    while schema["type"] != "model-fields":
        kind = schema["type"]
        if kind == "definitions":
            definitions.update((each["ref"], each) for each in schema["definitions"])
        elif kind == "definition-ref":
            schema = definitions[schema["schema_ref"]]
            continue
        elif kind == "model":
            shell = schema
            if schema.get("root_model"):
                whole = whole or "it is a RootModel"
                break
            if schema.get("custom_init"):
                whole = whole or "it has an __init__ of its own"
        elif kind in {"function-before", "function-after", "function-wrap"}:
            whole = whole or "it has model validators"
        else:
            whole = "it makes a core schema of its own kind"
            break
        schema = schema["schema"]
    if schema["type"] == "model-fields" and shell:
        fields = {name: field["schema"] for name, field in schema["fields"].items()}
    else:
        fields = {"root": shell["schema"]} if shell.get("root_model") else {}
    return ModelSchema(
        root=root,
        fields=fields,
        definitions=definitions,
        config=shell.get("config", {}),
        whole=whole,
        post_init=shell.get("post_init"),
        is_root_model=bool(shell.get("root_model")),
        custom_init=bool(shell.get("custom_init")),
    )


# --- which way a field goes -------------------------------------------------------------------------------------------

_BOUNDS = {"le", "ge", "lt", "gt"}
_CLOCK = {"now_op", "now_utc_offset"}
_EXACT: dict[str, tuple[type, AbstractSet[str]]] = {
    "str": (str, {"pattern", "max_length", "min_length", "ascii_only", "regex_engine", "coerce_numbers_to_str"}),
    "int": (int, {"multiple_of", *_BOUNDS}),
    "float": (float, {"allow_inf_nan", "multiple_of", *_BOUNDS}),
    "bool": (bool, frozenset()),
    "bytes": (bytes, {"max_length", "min_length"}),
    "decimal": (decimal.Decimal, {"allow_inf_nan", "multiple_of", "max_digits", "decimal_places", *_BOUNDS}),
    "date": (dt.date, {*_BOUNDS, *_CLOCK}),
    "time": (dt.time, {"tz_constraint", "microseconds_precision", *_BOUNDS}),
    "datetime": (dt.datetime, {"tz_constraint", "microseconds_precision", *_BOUNDS, *_CLOCK}),
    "timedelta": (dt.timedelta, {"microseconds_precision", "multiple_of", *_BOUNDS}),
    "uuid": (uuid.UUID, {"version"}),
}
"""Schema type → the class that it leaves as it is, and its keys that only constrain."""

_ALWAYS = {"type", "strict", "ref", "metadata", "serialization"}
_TEXT_TRANSFORMS = {"str_strip_whitespace", "str_to_lower", "str_to_upper"}
_CONTAINERS = {
    "list": {"items_schema", "min_length", "max_length", "fail_fast"},
    "dict": {"keys_schema", "values_schema", "min_length", "max_length", "fail_fast"},
}
_OWN_DATA = {"model-fields", "typed-dict", "dataclass-args", "arguments", "arguments-v3"}
"""Schemas that give their own fields, and no others, to validators inside them."""


def way(schema: ModelSchema, field: str, type_: ColumnType) -> Way:
    """How canonical values of `type_` become values of the field."""
    own = schema.fields[field]
    if _leaves_alone(schema, own, type_):
        return Way.ASSIGN
    core = _inner(schema, own)
    if core["type"] == "enum" and all(type(each.value) is type_.python for each in core["members"]):
        return Way.MEMBER
    if isinstance(type_, Json):
        return Way.JSON
    if isinstance(type_, Text | Integer | Float | Boolean) and any(
        node.get("type") == "json-or-python" for node in _nodes(schema, own)
    ):
        # The canonical value is the JSON form, and the Python side of such a type may take nothing but instances.
        return Way.JSON
    return Way.PYTHON


def _leaves_alone(schema: ModelSchema, own: Schema, type_: ColumnType) -> bool:
    """Whether validation would give back a canonical value of `type_` equal and of the same class."""
    core = _inner(schema, own)
    kind = core["type"]
    if kind == "any":
        return True
    if isinstance(type_, Json):
        return _leaves_json_alone(schema, core)
    if isinstance(type_, Array):
        return (
            kind == "list"
            and core.keys() <= _CONTAINERS["list"] | _ALWAYS
            and ("items_schema" not in core or _leaves_alone(schema, core["items_schema"], type_.item))
        )
    if kind == "literal":
        return all(each is None or type(each) is type_.python for each in core["expected"])
    return _is_exact(schema, core) and _EXACT[kind][0] is type_.python


def _leaves_json_alone(schema: ModelSchema, own: Schema) -> bool:
    core = _inner(schema, own)
    kind = core["type"]
    if kind in {"any", "none"}:
        return True
    if kind == "json-or-python":
        return _leaves_json_alone(schema, core["json_schema"])
    if kind == "literal":
        return all(each is None or type(each) in {str, int} for each in core["expected"])
    if kind in _CONTAINERS and core.keys() <= _CONTAINERS[kind] | _ALWAYS:
        inner = [core[key] for key in ("keys_schema", "items_schema", "values_schema") if key in core]
        return all(_leaves_json_alone(schema, each) for each in inner)
    # A float is left out: 1.0 may come back as the integer 1.
    return kind in {"str", "int", "bool"} and _is_exact(schema, core)


def _is_exact(schema: ModelSchema, core: Schema) -> bool:
    kind = core["type"]
    if kind not in _EXACT or not core.keys() <= _EXACT[kind][1] | _ALWAYS:
        return False
    return kind != "str" or not any(schema.config.get(key) for key in _TEXT_TRANSFORMS)


def _inner(schema: ModelSchema, own: Schema) -> Schema:
    """The schema without its default, Optional and reference layers; a reference to itself stays a reference."""
    seen: set[str] = set()
    while True:
        kind = own["type"]
        if kind in {"default", "nullable"}:
            own = own["schema"]
        elif kind == "definition-ref" and own["schema_ref"] not in seen:
            seen.add(own["schema_ref"])
            own = schema.definitions[own["schema_ref"]]
        else:
            return own


def is_nullable(schema: ModelSchema, field: str) -> bool:
    """Whether the field takes None before any of its validators sees it."""
    own = schema.fields[field]
    while own["type"] == "default":
        own = own["schema"]
    return bool(own["type"] in {"nullable", "any"})


def reads_other_fields(schema: ModelSchema, field: str) -> bool:
    """Whether a validator of the field is given the values of the fields before it."""
    return any(node.get("type") == "with-info" for node in _nodes(schema, schema.fields[field], nested=False))


def alone(schema: ModelSchema, field: str) -> ModelSchema:
    """The schema with the field as it can be read without the others: its validators that are given them left out.

    Those around its type are meant, before and after; inside it, and where one *is* the type, there is no other way.
    """
    return replace(schema, fields=schema.fields | {field: _alone(schema.fields[field])})


def _alone(own: Schema) -> Schema:
    kind = own["type"]
    if kind in {"function-before", "function-after"} and own["function"]["type"] == "with-info":
        return _alone(own["schema"])
    if kind in {"default", "nullable", "function-before", "function-after", "function-wrap"}:
        return own | {"schema": _alone(own["schema"])}
    return own


def default_takes_data(schema: ModelSchema, field: str) -> bool:
    """Whether the field's default is computed from the fields before it."""
    return bool(schema.fields[field].get("default_factory_takes_data"))


def is_required(schema: ModelSchema, field: str) -> bool:
    """Whether the field has no default."""
    return bool(schema.fields[field]["type"] != "default")


def describe_field(schema: ModelSchema, field: str) -> str:
    """The core type that decides the field's way, for messages: `enum`, `set`, `function-after`."""
    return str(_inner(schema, schema.fields[field])["type"])


def enum_members(schema: ModelSchema, field: str) -> dict[Any, Any]:
    """Value → member, of a field whose way is MEMBER."""
    return {member.value: member for member in _inner(schema, schema.fields[field])["members"]}


def _nodes(schema: ModelSchema, own: Schema, *, nested: bool = True) -> Iterator[Schema]:
    """Every schema in `own`, each definition once; without `nested` only those that see the model's own values."""
    seen: set[str] = set()
    rest: list[Any] = [own]
    while rest:
        item = rest.pop()
        if isinstance(item, list | tuple):
            rest.extend(item)  # pyright: ignore[reportUnknownArgumentType]
        if not isinstance(item, dict):
            continue
        node: Schema = item  # pyright: ignore[reportUnknownVariableType]
        yield node
        if node.get("type") == "definition-ref" and node["schema_ref"] not in seen:
            seen.add(node["schema_ref"])
            rest.append(schema.definitions[node["schema_ref"]])
        if not nested and node.get("type") in _OWN_DATA:
            continue
        for key, value in node.items():
            if key in {"fields", "choices"} and isinstance(value, dict):  # keyed by the user's names
                rest.extend(value.values())  # pyright: ignore[reportUnknownArgumentType]
            elif key not in {"default", "expected", "members", "metadata", "serialization"}:
                rest.append(value)


# --- validators -------------------------------------------------------------------------------------------------------


def _flags(schema: ModelSchema, own: Schema) -> dict[str, Any]:
    """The arguments of a validator that reads canonical values.

    Data are named by field, never by alias. `strict` is off: it is about what callers hand in, and a canonical value
    is by nature another class than an enum, a set or a secret. An argument that changes nothing is left out, since
    passing it takes a tenth of a small validation.
    """
    flags: dict[str, Any] = {}
    for node in [schema.config, *_nodes(schema, own)]:
        if node.get("strict"):
            flags["strict"] = False
        if "validation_alias" in node:
            flags |= {"by_alias": False, "by_name": True}
    return flags


def _bind(schema: ModelSchema, own: Schema, method: Callable[..., Any]) -> Callable[[Any], Any]:
    flags = _flags(schema, own)
    if not flags:
        return method
    return lambda value: method(value, **flags)


def _closed(schema: ModelSchema, own: Schema) -> Any:
    """`own` with the definitions it may refer to."""
    if not schema.definitions:
        return own
    return {"type": "definitions", "schema": own, "definitions": list(schema.definitions.values())}


def _field_validator(schema: ModelSchema, own: Schema) -> SchemaValidator:
    # The values may be secrets: messages show types, and no input.
    config: Any = schema.config | {"hide_input_in_errors": True}
    return SchemaValidator(_closed(schema, own), config)


def converter(schema: ModelSchema, field: str, how: Way) -> Callable[[Any], Any]:
    """The field's own validators: canonical value, or JSON text for `Way.JSON`, → the field's value."""
    own = schema.fields[field]
    validator = _field_validator(schema, own)
    method = validator.validate_python if how is not Way.JSON or _parses(own) else validator.validate_json
    return _bind(schema, own, method)


def _parses(own: Schema) -> bool:
    """Whether the field is a `pydantic.Json`, which takes the text itself."""
    while "schema" in own and own["type"] != "json":
        own = own["schema"]
    return bool(own["type"] == "json")


def default_of(schema: ModelSchema, field: str) -> Callable[[], Any]:
    """What Pydantic gives a field that is absent: a factory's product, a copy of a mutable default, or the default."""
    own = schema.fields[field]
    get = _field_validator(schema, own).get_default_value

    def default() -> Any:
        found = get()
        assert found is not None  # noqa: S101  # the caller asked `is_required`
        return found.value

    return default


def whole_validator(schema: ModelSchema, json_fields: AbstractSet[str]) -> Callable[[Any], Any]:
    """The model's own validators: field name → canonical value (for a RootModel the value itself), → instance.

    `json_fields` are read as JSON, as their own converters would read them.
    """
    own = schema.root
    if json_fields and schema.fields and not schema.custom_init:
        own = _with_json(schema, own, json_fields)
    hide: Any = {"hide_input_in_errors": True}
    # A prebuilt validator would be the class's own, without the change.
    validator = SchemaValidator(cast("Any", own), hide, _use_prebuilt=own is schema.root)
    return _bind(schema, own, validator.validate_python)


def _with_json(schema: ModelSchema, own: Schema, names: AbstractSet[str]) -> Schema:
    """The model's schema with the fields `names` reading their canonical value through JSON text."""
    kind = own["type"]
    if kind == "definition-ref":
        # A copy: the same model inside one of its own columns is not read from columns.
        return _with_json(schema, schema.definitions[own["schema_ref"]], names)
    if kind == "model-fields":
        fields = dict(own["fields"])
        for name in names:
            fields[name] = {**fields[name], "schema": _through_json(fields[name]["schema"])}
        return own | {"fields": fields}
    if kind == "model" and own.get("root_model"):
        return own | {"schema": _through_json(own["schema"])}
    return own | {"schema": _with_json(schema, own["schema"], names)}


def _through_json(own: Schema) -> Schema:
    # The text is made here and not by the caller: validators of the model that run before see ordinary values.
    if own["type"] == "default":
        return own | {"schema": _through_json(own["schema"])}
    read = own if _parses(own) else {"type": "json", "schema": own}
    return {"type": "function-before", "function": {"type": "no-info", "function": to_json}, "schema": read}
