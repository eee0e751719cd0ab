"""From driver rows to model instances: a constructor generated once per (model, columns, dialect).

Rows come from a database that this library wrote, so they are trusted: a field whose validators would leave its value
as it is, is assigned; one that transforms, or whose column holds another class (an enum's value, a secret's text),
runs its own validators; a model that can only be validated as a whole is. The instances equal validated ones in every
respect, but constraints are not checked again: `validate=True` does that.

`model.trust` decides, `model.construct` turns the decision into code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from ff_storage.core.errors import ConfigurationError
from ff_storage.core.model import trust
from ff_storage.core.model.changes import changed_columns, loaded_row
from ff_storage.core.model.construct import Plan, Reader, Row, plan_trusted, plan_whole
from ff_storage.core.model.trust import ModelSchema, Way
from ff_storage.core.sql.dialect import Convert, Dialect
from ff_storage.core.tables import Column

__all__ = ["changed_columns", "fallbacks", "field_reader", "loaded_row", "row_builder", "rows_builder"]

M = TypeVar("M", bound=BaseModel)

_CACHE = "__ff_plans__"
_CACHED_PLANS = 256


def row_builder(
    model: type[M], columns: Sequence[Column], dialect: Dialect, *, validate: bool = False
) -> Callable[[Row], M]:
    """The constructor of `model` from one row of driver values, in the order of `columns`.

    Fields that are not among the columns get their defaults, and `model_fields_set` holds those that are. Building
    raises InvalidRowError for a row that does not fit the model. Raises ConfigurationError here when a column has no
    field, or a field without a default no column.
    """
    return cast("Callable[[Row], M]", _plan(model, columns, dialect, validate=validate).build)


def rows_builder(
    model: type[M], columns: Sequence[Column], dialect: Dialect, *, validate: bool = False
) -> Callable[[Sequence[Row]], list[M]]:
    """The constructor of a list of instances; see `row_builder`."""
    return cast("Callable[[Sequence[Row]], list[M]]", _plan(model, columns, dialect, validate=validate).build_all)


def field_reader(model: type[BaseModel], column: Column, dialect: Dialect) -> Convert | None:
    """Driver value → value of the column's field (an enum member, a secret, a nested model); None: they are the same.

    None passes as None where the field takes it. The field's before and after validators that are given the other
    fields are left out, since there are none.
    """
    schema = trust.read_model(model)
    if column.attribute not in schema.fields:
        return dialect.decoder(column.type)
    return Reader(trust.alone(schema, column.attribute), column, dialect).function(model)


def fallbacks(model: type[BaseModel], columns: Sequence[Column], dialect: Dialect) -> tuple[str, ...]:
    """What keeps rows of `columns` from being assigned as they are: `model: why`, or `field: the type it converts to`.

    Empty for a model that costs no more than its constructor.
    """
    plan = _plan(model, columns, dialect, validate=False)
    attributes = [column.attribute for column in columns]
    whole = _whole_reason(plan.schema, attributes)
    if whole:
        return (f"model: {whole}",)
    return tuple(
        f"{attribute}: {trust.describe_field(plan.schema, attribute)}"
        for attribute, converts in zip(attributes, plan.converts, strict=True)
        if converts
    )


def _plan(model: type[BaseModel], columns: Sequence[Column], dialect: Dialect, *, validate: bool) -> Plan:
    # Plans refer to their class, so they live on it: a table beside the classes would keep every class alive. They
    # end when the class is rebuilt. Columns are told apart by identity, which is safe because a plan holds its own,
    # and ten times faster than hashing them.
    core = model.__pydantic_core_schema__
    cache: dict[Any, Any] | None = model.__dict__.get(_CACHE)
    if cache is None or cache["core"] is not core:
        cache = _start_cache(model)
    key = (dialect, validate, *map(id, columns))
    plan: Plan | None = cache.get(key)
    if plan is None:
        if len(cache) >= _CACHED_PLANS:
            cache = _start_cache(model)
        plan = cache[key] = _make_plan(model, tuple(columns), dialect, cache["schema"], validate=validate)
    return plan


def _start_cache(model: type[BaseModel]) -> dict[Any, Any]:
    schema = trust.read_model(model)
    cache = {"core": model.__pydantic_core_schema__, "schema": schema}
    type.__setattr__(model, _CACHE, cache)
    return cache


def _make_plan(
    model: type[BaseModel], columns: tuple[Column, ...], dialect: Dialect, schema: ModelSchema, *, validate: bool
) -> Plan:
    attributes = [column.attribute for column in columns]
    _check_columns(model, attributes, schema)
    plan = Plan(model, columns, dialect, schema)
    if validate or _whole_reason(schema, attributes):
        plan.rebuilds = True
        plan_whole(plan)
    else:
        readers = [Reader(schema, column, dialect) for column in columns]
        plan.readers = tuple(reader.function(model) for reader in readers)
        plan.converts = tuple(reader.way is not Way.ASSIGN for reader in readers)
        plan.rebuilds = schema.post_init is not None
        plan_trusted(plan, readers)
    return plan


def _check_columns(model: type[BaseModel], attributes: list[str], schema: ModelSchema) -> None:
    unknown = [name for name in attributes if name not in model.model_fields]
    if unknown or not attributes or len({*attributes}) != len(attributes):
        raise ConfigurationError(
            f"rows of {model.__name__} need columns that are distinct fields of it",
            found=", ".join(unknown or attributes) or "none",
        )
    missing = [name for name in schema.fields if name not in attributes and trust.is_required(schema, name)]
    if missing and not schema.custom_init:
        raise ConfigurationError(
            f"{model.__name__} cannot be built from {', '.join(attributes)}",
            found=f"no value for {', '.join(missing)}",
            remedy="read these columns too, or give the fields a default",
        )


def _whole_reason(schema: ModelSchema, attributes: list[str]) -> str:
    """Why instances have to be validated as a whole; empty when they need not be."""
    if schema.whole:
        return schema.whole
    for name in schema.fields:
        if name not in attributes and trust.default_takes_data(schema, name):
            return f"the default of {name} is computed from other fields"
        if trust.reads_other_fields(schema, name):
            return f"a validator of {name} is given other fields"
    return ""
