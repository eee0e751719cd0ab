"""`Field`: Pydantic's, with what a field says about its column.

The `db_*` and `mock_*` options travel as one frozen `ColumnOptions` in the metadata of Pydantic's own FieldInfo, so
they survive `Annotated`, inheritance and `create_model`; a FieldInfo subclass would lose them. They are honored in
`json_schema_extra` too, as published. Every wrong value is refused where it is written.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar, Unpack, cast, overload

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ff_storage.core.errors import ConfigurationError, nearest
from ff_storage.core.tables import Action, check_identifier

if TYPE_CHECKING:
    import annotated_types
    from pydantic import AliasChoices, AliasPath, Discriminator
    from pydantic.config import JsonDict

T = TypeVar("T")

ActionName = Literal["CASCADE", "SET NULL", "RESTRICT", "NO ACTION"]
IndexType = Literal["btree", "hash", "gin", "gist", "brin"]

_UNSET: Any = PydanticUndefined


REFERENCE: Final = re.compile(
    r"\s*(?:(?P<schema>[A-Za-z_]\w*)\s*\.\s*)?(?P<table>[A-Za-z_]\w*)\s*(?:\(\s*(?P<column>[A-Za-z_]\w*)\s*\))?\s*",
    re.ASCII,
)
"""What `db_foreign_key` says as text."""


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """What a field says about its column; `given` names the options that were written, even with a default's value.

    `foreign_key` is `table(column)`, `schema.table(column)`, `table` (its key) or a model class; None, when given,
    says that there is none. `unique` True holds for the rows of one tenant, "global" for all.
    """

    sql_type: str | None = None
    default: str | None = None
    nullable: bool | None = None
    precision: int | None = None
    scale: int | None = None
    primary_key: bool = False
    unique: bool | Literal["global"] = False
    index: bool = False
    index_type: IndexType = "btree"
    index_where: str | None = None
    index_name: str | None = None
    index_columns: tuple[str, ...] | None = None
    foreign_key: str | type[Any] | None = None
    on_delete: Action = Action.RESTRICT
    on_update: Action = Action.CASCADE
    check: str | None = None
    generated: str | None = None
    column: str | None = None
    mock_pattern: str | None = None
    mock_generator: Callable[[Any], Any] | None = None
    mock_skip: bool = False
    given: frozenset[str] = frozenset()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ColumnOptions:
        """The options under their published names (`db_unique`, `mock_skip`). Raises ConfigurationError."""
        values: dict[str, Any] = {}
        for name, value in options.items():
            check = _CHECKS.get(name)
            if check is None:
                raise ConfigurationError(f"Field has no option {name!r}", remedy=nearest(name, _CHECKS))
            values["sql_type" if name == "db_type" else name.removeprefix("db_")] = check(name, value)
        return cls(**values, given=frozenset(values))

    def over(self, other: ColumnOptions) -> ColumnOptions:
        """These options, and those of `other` that these do not give."""
        missing = {name: getattr(other, name) for name in other.given - self.given}
        return dataclasses.replace(self, **missing, given=self.given | other.given)


@dataclass(frozen=True, slots=True)
class Injected:
    """The metadata of a field that the library added to a class."""


INJECTED: Final = Injected()


def _refuse(name: str, wanted: str, value: Any) -> ConfigurationError:
    return ConfigurationError(f"{name} must be {wanted}", found=ascii(value)[:100])


def _text(name: str, value: Any) -> str | None:
    if value is None or (type(value) is str and value.strip() and "\0" not in value):
        return value
    raise _refuse(name, "a str that is not blank", value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, "True or False", value)
    return value


def _maybe_flag(name: str, value: Any) -> bool | None:
    return None if value is None else _flag(name, value)


def _count(name: str, value: Any) -> int | None:
    if value is None or (type(value) is int and value >= (name == "db_precision")):
        return value
    raise _refuse(name, "a number of digits", value)


def _unique(name: str, value: Any) -> bool | Literal["global"]:
    if value == "global" and type(value) is str:
        return "global"
    if not isinstance(value, bool):
        raise _refuse(name, 'True, False or "global"', value)
    return value


def _index_type(name: str, value: Any) -> str:
    if value not in ("btree", "hash", "gin", "gist", "brin"):
        raise _refuse(name, "one of btree, hash, gin, gist and brin", value)
    return cast("str", value)


def _name(name: str, value: Any) -> str | None:
    return None if value is None else check_identifier(value, name)


def _names(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise _refuse(name, "a list of field names", value)
    given: list[Any] = [*value]
    names = tuple(check_identifier(each, f"a column of {name}") for each in given)
    if not names or len(set(names)) < len(names):
        raise _refuse(name, "a list of different field names", value)
    return names


def _foreign_key(name: str, value: Any) -> str | type[Any] | None:
    if value is None or isinstance(value, type) or (type(value) is str and REFERENCE.fullmatch(value)):
        return value
    raise _refuse(name, '"table(column)", "schema.table(column)", a model, or None', value)


def _action(name: str, value: Any) -> Action:
    try:
        return Action(value)
    except ValueError:
        wanted = ", ".join(action.value for action in Action)
        raise _refuse(name, f"one of {wanted}", value) from None


def _function(name: str, value: Any) -> Callable[[Any], Any] | None:
    if value is not None and not callable(value):
        raise _refuse(name, "a function", value)
    return cast("Callable[[Any], Any] | None", value)


_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "db_type": _text,
    "db_default": _text,
    "db_nullable": _maybe_flag,
    "db_precision": _count,
    "db_scale": _count,
    "db_primary_key": _flag,
    "db_unique": _unique,
    "db_index": _flag,
    "db_index_type": _index_type,
    "db_index_where": _text,
    "db_index_name": _name,
    "db_index_columns": _names,
    "db_foreign_key": _foreign_key,
    "db_on_delete": _action,
    "db_on_update": _action,
    "db_check": _text,
    "db_generated": _text,
    "db_column": _name,
    "mock_pattern": _text,
    "mock_generator": _function,
    "mock_skip": _flag,
}


class FieldOptions(TypedDict, total=False):
    """The options of `Field` other than its default, for type checkers."""

    alias: str | None
    alias_priority: int | None
    validation_alias: str | AliasPath | AliasChoices | None
    serialization_alias: str | None
    title: str | None
    field_title_generator: Callable[[str, FieldInfo], str] | None
    description: str | None
    examples: list[Any] | None
    exclude: bool | None
    exclude_if: Callable[[Any], bool] | None
    discriminator: str | Discriminator | None
    deprecated: str | bool | None
    json_schema_extra: JsonDict | Callable[[JsonDict], None] | None
    frozen: bool | None
    validate_default: bool | None
    repr: bool
    pattern: str | re.Pattern[str] | None
    strict: bool | None
    coerce_numbers_to_str: bool | None
    gt: annotated_types.SupportsGt | None
    ge: annotated_types.SupportsGe | None
    lt: annotated_types.SupportsLt | None
    le: annotated_types.SupportsLe | None
    multiple_of: float | None
    allow_inf_nan: bool | None
    max_digits: int | None
    decimal_places: int | None
    min_length: int | None
    max_length: int | None
    union_mode: Literal["smart", "left_to_right"]
    fail_fast: bool | None
    db_type: str | None
    db_default: str | None
    db_nullable: bool | None
    db_precision: int | None
    db_scale: int | None
    db_primary_key: bool
    db_unique: bool | Literal["global"]
    db_index: bool
    db_index_type: IndexType
    db_index_where: str | None
    db_index_name: str | None
    db_index_columns: list[str] | tuple[str, ...] | None
    db_foreign_key: str | type[Any] | None
    db_on_delete: ActionName | Action
    db_on_update: ActionName | Action
    db_check: str | None
    db_generated: str | None
    db_column: str | None
    mock_pattern: str | None
    mock_generator: Callable[[Any], Any] | None
    mock_skip: bool


@overload
def Field(*, default: T, **options: Unpack[FieldOptions]) -> T: ...
@overload
def Field(
    *, default_factory: Callable[[], Any] | Callable[[dict[str, Any]], Any], **options: Unpack[FieldOptions]
) -> Any: ...
@overload
def Field(**options: Unpack[FieldOptions]) -> Any: ...
def Field(  # noqa: N802 - the published name
    *,
    default: Any = _UNSET,
    default_factory: Any = _UNSET,
    description: str | None = _UNSET,
    max_length: int | None = _UNSET,
    min_length: int | None = _UNSET,
    ge: Any = _UNSET,
    le: Any = _UNSET,
    gt: Any = _UNSET,
    lt: Any = _UNSET,
    max_digits: int | None = _UNSET,
    decimal_places: int | None = _UNSET,
    db_type: str | None = _UNSET,
    db_default: str | None = _UNSET,
    db_nullable: bool | None = _UNSET,
    db_precision: int | None = _UNSET,
    db_scale: int | None = _UNSET,
    db_primary_key: bool = _UNSET,
    db_unique: bool | Literal["global"] = _UNSET,
    db_index: bool = _UNSET,
    db_index_type: IndexType = _UNSET,
    db_index_where: str | None = _UNSET,
    db_index_name: str | None = _UNSET,
    db_index_columns: list[str] | tuple[str, ...] | None = _UNSET,
    db_foreign_key: str | type[Any] | None = _UNSET,
    db_on_delete: ActionName | Action = _UNSET,
    db_on_update: ActionName | Action = _UNSET,
    db_check: str | None = _UNSET,
    db_generated: str | None = _UNSET,
    db_column: str | None = _UNSET,
    mock_pattern: str | None = _UNSET,
    mock_generator: Callable[[Any], Any] | None = _UNSET,
    mock_skip: bool = _UNSET,
    **options: Any,
) -> Any:
    """Declare a field of a model and its column; without `default` or `default_factory` it is required.

    Everything that `pydantic.Field` takes is passed on. `max_length`, `max_digits`, `decimal_places` and the bounds
    `ge`, `gt`, `le`, `lt` shape the column as well.

    - `db_type`: the SQL type by name, when it carries more than the annotation says; it must agree with it.
    - `db_default`, `db_generated`, `db_check`, `db_index_where`: SQL text of the model's author, used as written.
    - `db_nullable`: whether the column takes NULL; by default, whether the annotation allows None.
    - `db_precision`, `db_scale`: digits of a Decimal, and those after the point; else `max_digits`, `decimal_places`.
    - `db_primary_key`: part of the key, which then replaces `id`.
    - `db_unique`: unique among the live rows of a tenant; `"global"`: of all tenants.
    - `db_index`, and how: `db_index_type`, `db_index_where`, `db_index_name`, `db_index_columns` (several fields).
    - `db_foreign_key`: `"table(column)"`, `"schema.table(column)"` or a model; None, that there is no constraint.
    - `db_on_delete` ("RESTRICT"), `db_on_update` ("CASCADE"; between multi-tenant models always NO ACTION).
    - `db_column`: the column's name, when it is not the field's.
    - `mock_pattern`, `mock_generator`, `mock_skip`: for generated data.

    Raises ConfigurationError or IdentifierError for a wrong value.
    """
    given = {name: value for name, value in {**locals(), **options}.items() if value is not _UNSET}
    del given["options"]
    column = {name: value for name, value in given.items() if name.startswith(("db_", "mock_"))}
    unknown = options.keys() - FieldOptions.__annotations__.keys() - {"init", "init_var", "kw_only"}
    for name in sorted(unknown - column.keys()):
        raise ConfigurationError(f"Field has no option {name!r}", remedy=nearest(name, FieldOptions.__annotations__))
    info: FieldInfo = pydantic.Field(**{name: value for name, value in given.items() if name not in column})
    if column:
        info.metadata.append(ColumnOptions.of(column))
    return info


def column_options(info: FieldInfo) -> ColumnOptions:
    """What a field of a class says about its column: the assigned `Field` over `Annotated` over `json_schema_extra`."""
    assigned = getattr(info, "_original_assignment", None)
    first = assigned.metadata if isinstance(assigned, FieldInfo) else []
    found = [each for each in info.metadata if isinstance(each, ColumnOptions)]
    # Pydantic puts the assigned one first and those of Annotated after it, inner before outer.
    found.sort(key=lambda each: any(each is own for own in first))
    options = ColumnOptions()
    for each in found:
        options = each.over(options)
    extra: Any = info.json_schema_extra
    if isinstance(extra, dict):
        told = {
            name: value for name, value in cast("dict[str, Any]", extra).items() if name.startswith(("db_", "mock_"))
        }
        options = options.over(ColumnOptions.of(told))
    return options


def is_injected(info: FieldInfo) -> bool:
    """Whether the library added the field, rather than the class's author."""
    return any(isinstance(each, Injected) for each in info.metadata)
