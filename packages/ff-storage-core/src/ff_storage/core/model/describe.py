"""A class to its table: the one place where a model's fields, settings and options become `tables.Table`.

Everything that one class says by itself is described here; what needs other classes (foreign keys) is left as
`Reference`s for `references.resolve`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo

from ff_storage.core import types as canonical
from ff_storage.core.errors import ConfigurationError, nearest
from ff_storage.core.model.annotations import Mapped, UnmappableError, map_annotation, names_of
from ff_storage.core.model.checks import bound
from ff_storage.core.model.field import ColumnOptions, column_options, is_injected
from ff_storage.core.tables import (
    Action,
    Check,
    ChoiceCheck,
    Column,
    Index,
    RangeCheck,
    SqlCheck,
    Table,
    check_identifier,
    generated_name,
)
from ff_storage.core.types import ColumnType, from_sql

if TYPE_CHECKING:
    from ff_storage.core.model.settings import Settings

_OPERATOR_NAMES = {">=": "ge", ">": "gt", "<=": "le", "<": "lt"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key as declared: the column, what it names, and what is to happen."""

    column: str
    target: str | type[Any]
    on_delete: Action
    on_update: Action


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A table without its foreign keys, the references that become some, and the options of each field."""

    table: Table
    references: tuple[Reference, ...]
    options: Mapping[str, ColumnOptions]


@dataclass(frozen=True, slots=True)
class _Described:
    """One field with everything that is known about its column."""

    name: str
    info: FieldInfo
    options: ColumnOptions
    mapped: Mapped
    column: Column


def describe(model: type[Any], settings: Settings) -> Blueprint:
    """The blueprint of `model`. Raises ConfigurationError or IdentifierError, naming the model and field."""
    fields = {name: _field(model, name, info) for name, info in model.__pydantic_fields__.items()}
    _no_two_of_one_column(model, fields)
    fields = _with_roles(model, fields, settings)
    tenant = fields[settings.tenant_field].column.name if settings.multi_tenant else None
    deleted_at = fields["deleted_at"].column.name if settings.soft_delete else None
    fields, primary_key = _primary_key(model, fields, tenant)
    names = _Names()
    checks = tuple(check for field in fields.values() for check in _checks(model, settings.table_name, field, names))
    draft = Table(
        settings.table_name,
        settings.schema,
        tuple(field.column for field in fields.values()),
        primary_key,
        checks=checks,
        tenant=tenant,
        deleted_at=deleted_at,
        version=fields[settings.version_column].column.name if settings.version_column else None,
    )
    indexes = _indexes(model, draft, fields, names)
    references = tuple(_references(model, fields))
    options = {name: field.options for name, field in fields.items()}
    return Blueprint(dataclasses.replace(draft, indexes=indexes), references, options)


def _wrong(model: type[Any], field: str, what: str, *, found: str = "", remedy: str = "") -> ConfigurationError:
    return ConfigurationError(f"{model.__name__}.{field}: {what}", found=found, remedy=remedy)


# --- columns ---------------------------------------------------------------------------------------------------------


def _field(model: type[Any], name: str, info: FieldInfo) -> _Described:
    try:
        options = column_options(info)
    except ConfigurationError as error:
        raise _wrong(model, name, error.message, found=error.found, remedy=error.remedy) from error
    try:
        mapped = map_annotation(info.annotation, info.metadata)
    except UnmappableError as error:
        raise _wrong(
            model, name, f"no column type for {names_of(info.annotation)}", found=error.reason, remedy=error.remedy
        ) from None
    type_ = _declared_type(model, name, info, options, mapped)
    if options.generated and options.default:
        raise _wrong(model, name, "db_generated and db_default exclude each other")
    column = Column(
        check_identifier(options.column or name, f"the column of {model.__name__}.{name}"),
        type_,
        mapped.nullable if options.nullable is None else options.nullable,
        name,
        adapt=mapped.adapt,
        default=options.default,
        generated=options.generated,
        sql_type=options.sql_type,
        injected=is_injected(info),
    )
    return _Described(name, info, options, mapped, column)


def _declared_type(model: type[Any], name: str, info: FieldInfo, options: ColumnOptions, mapped: Mapped) -> ColumnType:
    """The annotation's type, as narrowed by `db_type`, `db_precision` and `db_scale`."""
    type_ = mapped.type
    if options.sql_type is not None:
        known = _from_sql(options.sql_type)
        if known is not None:
            agreed = _agree(type_, known, sized="(" in options.sql_type)
            if agreed is None:
                raise _wrong(
                    model,
                    name,
                    f"db_type {options.sql_type!r} does not hold values of {names_of(info.annotation)}",
                    found=canonical.describe(known),
                    remedy=f"leave db_type out ({canonical.describe(type_)}), or change the annotation",
                )
            type_ = agreed
    if options.precision is None and options.scale is None:
        return type_
    if not isinstance(type_, canonical.Decimal):
        raise _wrong(model, name, "db_precision and db_scale are for Decimal", found=names_of(info.annotation))
    precision = type_.precision if options.precision is None else options.precision
    scale = options.scale if options.scale is not None else min(type_.scale, precision)
    if scale > precision:
        raise _wrong(model, name, "db_scale is greater than db_precision", found=f"{scale} > {precision}")
    return canonical.Decimal(precision, scale)


def _from_sql(name: str) -> ColumnType | None:
    base = name.strip().removesuffix("[]")
    known = from_sql(base)
    return canonical.Array(known) if known is not None and base != name.strip() else known


def _agree(own: ColumnType, named: ColumnType, *, sized: bool) -> ColumnType | None:
    """The type for values of `own` in a column of the SQL type `named`; None when they do not fit together."""
    if isinstance(own, canonical.Array) and isinstance(named, canonical.Json):
        return named
    if isinstance(own, canonical.Array) and isinstance(named, canonical.Array):
        item = _agree(own.item, named.item, sized=sized)
        return None if item is None else canonical.Array(item)
    if isinstance(own, canonical.Boolean) and isinstance(named, canonical.Integer):
        return own  # TINYINT(1) and its like
    if type(own) is not type(named):
        return None
    return named if sized or isinstance(own, canonical.Integer) else own


def _no_two_of_one_column(model: type[Any], fields: dict[str, _Described]) -> None:
    # Engines differ in whether case distinguishes columns, so it never does.
    seen: dict[str, str] = {}
    for name, field in fields.items():
        other = seen.setdefault(field.column.name.lower(), name)
        if other != name:
            raise _wrong(
                model,
                name,
                f"the column {field.column.name!r} is {other}'s already",
                remedy="give one of them another db_column",
            )


# --- the columns that the library itself uses ------------------------------------------------------------------------


def _with_roles(model: type[Any], fields: dict[str, _Described], settings: Settings) -> dict[str, _Described]:
    """The fields, with those that tenancy, soft delete and versions use checked and marked as injected."""
    roles: dict[str, Callable[[_Described], _Described]] = {}
    for name in ("created_at", "updated_at"):
        if name in fields and isinstance(fields[name].column.type, canonical.Timestamp):
            roles[name] = _kept
    for name in ("created_by", "updated_by"):
        if name in fields:
            roles[name] = _kept
    if settings.soft_delete:
        roles["deleted_at"] = lambda field: _expect(model, field, canonical.Timestamp, "a datetime or None")
        if "deleted_by" in fields:
            roles["deleted_by"] = _kept
    if settings.version_column:
        roles[settings.version_column] = lambda field: _expect(
            model, field, canonical.Integer, "an int", nullable=False
        )
    if settings.multi_tenant:
        roles[settings.tenant_field] = lambda field: _tenant(model, field)
    for name in roles:
        if name not in fields:
            raise ConfigurationError(
                f"{model.__name__} has no field {name!r}", remedy="declare it, or leave it to be added"
            )
    return {name: roles[name](field) if name in roles else field for name, field in fields.items()}


def _kept(field: _Described) -> _Described:
    return dataclasses.replace(field, column=dataclasses.replace(field.column, injected=True))


def _expect(
    model: type[Any], field: _Described, kind: type[ColumnType], wanted: str, *, nullable: bool = True
) -> _Described:
    if not isinstance(field.column.type, kind) or field.column.nullable is not nullable:
        raise _wrong(model, field.name, f"must be {wanted}", found=names_of(field.info.annotation))
    return _kept(field)


def _tenant(model: type[Any], field: _Described) -> _Described:
    if isinstance(field.column.type, canonical.Json | canonical.Array) or field.column.generated:
        raise _wrong(
            model,
            field.name,
            "a tenant is one plain value",
            found=names_of(field.info.annotation),
            remedy="use UUID, str or int",
        )
    if field.options.nullable:
        raise _wrong(model, field.name, "a tenant is never NULL", remedy="leave db_nullable out")
    # An instance may be without its tenant until the scope of a write gives it; a row never is.
    return dataclasses.replace(field, column=dataclasses.replace(field.column, nullable=False, injected=True))


def _primary_key(
    model: type[Any], fields: dict[str, _Described], tenant: str | None
) -> tuple[dict[str, _Described], tuple[str, ...]]:
    """The fields with those of the key NOT NULL, and the key's columns with the tenant first."""
    keys = [name for name, field in fields.items() if field.options.primary_key] or ["id"]
    if keys == ["id"] and "id" not in fields:
        raise ConfigurationError(f"{model.__name__} has no key", remedy="mark a field with db_primary_key=True")
    own = [name for name in keys if fields[name].column.name != tenant]
    if not own:
        raise ConfigurationError(
            f"the tenant alone cannot be the key of {model.__name__}",
            remedy="mark another field with db_primary_key=True",
        )
    fields = dict(fields)
    for name in own:
        field = fields[name]
        if isinstance(field.column.type, canonical.Json | canonical.Array):
            raise _wrong(model, name, "a key is a plain value", found=names_of(field.info.annotation))
        if field.options.nullable:
            raise _wrong(model, name, "a key is never NULL", remedy="leave db_nullable out")
        fields[name] = dataclasses.replace(field, column=dataclasses.replace(field.column, nullable=False))
    columns = [fields[name].column.name for name in own]
    return fields, (tenant, *columns) if tenant is not None else tuple(columns)


# --- constraints and indexes -----------------------------------------------------------------------------------------


class _Names:
    """Names of constraints and indexes, each given out once a table."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def new(self, *parts: str) -> str:
        name = generated_name(*parts)
        number = 2
        while name.lower() in self._used:
            name = generated_name(*parts, str(number))
            number += 1
        self._used.add(name.lower())
        return name

    def take(self, name: str, model: type[Any]) -> str:
        if name.lower() in self._used:
            raise ConfigurationError(f"{model.__name__} has two indexes named {name!r}")
        self._used.add(name.lower())
        return name


def _checks(model: type[Any], table: str, field: _Described, names: _Names) -> Iterator[Check]:
    column = field.column
    for operator, value in field.mapped.constraints.bounds:
        try:
            fitted = bound(column.type, operator, value)
        except ConfigurationError as error:
            raise _wrong(model, field.name, error.message, found=error.found) from error
        if fitted is not None:
            name = names.new("ck", table, column.name, _OPERATOR_NAMES[fitted[0]])
            yield RangeCheck(name, column.name, *fitted)
    if field.mapped.choices:
        yield ChoiceCheck(names.new("ck", table, column.name, "choice"), column.name, field.mapped.choices)
    if field.options.check is not None:
        yield SqlCheck(names.new("ck", table, column.name), field.options.check, column.name)


def _indexes(model: type[Any], table: Table, fields: dict[str, _Described], names: _Names) -> tuple[Index, ...]:
    """The declared indexes, then those that every table has."""
    live = table.deleted_at is not None
    found: list[Index] = []
    for field in fields.values():
        options, column = field.options, field.column.name
        details = {"index_type", "index_where", "index_name", "index_columns"} & options.given
        wanted = options.index or (bool(details) and "index" not in options.given and not options.unique)
        method = None if options.index_type == "btree" else options.index_type
        if options.unique:
            lead = (table.tenant,) if table.tenant not in {None, column} and options.unique is True else ()
            columns = (*[name for name in lead if name], column)
            # Where no index is asked for besides, the predicate is the uniqueness rule's.
            where = None if options.index else options.index_where
            if (*table.primary_key,) != columns or where:
                named = None if options.index else options.index_name
                name = names.take(named, model) if named else names.new("uq", table.name, column)
                found.append(Index(name, columns, True, live, where))
        if wanted:
            columns = _index_columns(model, field, fields)
            name = (
                names.take(options.index_name, model) if options.index_name else names.new("idx", table.name, *columns)
            )
            found.append(Index(name, columns, where=options.index_where, method=method))
    return (*found, *_automatic(table, found, names))


def _index_columns(model: type[Any], field: _Described, fields: dict[str, _Described]) -> tuple[str, ...]:
    if field.options.index_columns is None:
        return (field.column.name,)
    by_column = {each.column.name: each for each in fields.values()}
    columns: list[str] = []
    for name in field.options.index_columns:
        found = fields.get(name) or by_column.get(name)
        if found is None:
            raise _wrong(
                model, field.name, f"db_index_columns names no field {name!r}", remedy=nearest(name, fields.keys())
            )
        columns.append(found.column.name)
    return tuple(columns)


def _automatic(table: Table, declared: list[Index], names: _Names) -> Iterator[Index]:
    created = table.by_attribute.get("created_at")
    if created is None:
        return
    columns = (table.tenant, created.name) if table.tenant is not None else (created.name,)
    if leads(table, declared, columns):
        return
    if table.tenant is not None:
        yield Index(
            names.new("idx", table.name, table.tenant, "created"), columns, live_only=table.deleted_at is not None
        )
    else:
        yield Index(names.new("idx", table.name, created.name), columns)


def leads(table: Table, indexes: list[Index] | tuple[Index, ...], columns: tuple[str, ...]) -> bool:
    """Whether the key, or an index over all rows, begins with `columns` already."""
    whole = [index.columns for index in indexes if index.where is None and index.method is None and not index.live_only]
    return any(each[: len(columns)] == columns for each in [table.primary_key, *whole])


def _references(model: type[Any], fields: dict[str, _Described]) -> Iterator[Reference]:
    for field in fields.values():
        options = field.options
        if options.foreign_key is not None:
            if Action.SET_NULL in {options.on_delete, options.on_update} and not field.column.nullable:
                raise _wrong(
                    model,
                    field.name,
                    "the foreign key says SET NULL, and the column is NOT NULL",
                    remedy="allow None, or choose another action",
                )
            yield Reference(field.column.name, options.foreign_key, options.on_delete, options.on_update)
        elif {"on_delete", "on_update"} & options.given and "foreign_key" in options.given:
            raise _wrong(model, field.name, "db_on_delete and db_on_update are for foreign keys")
