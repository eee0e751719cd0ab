"""From driver rows to what a query promised: models, tuples, or a class of the caller's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from ff_storage.core.errors import (
    ConfigurationError,
    InvalidRowError,
    InvalidValueError,
    MultipleResultsFound,
    NoResultFound,
    nearest,
)
from ff_storage.core.model.hydrate import field_reader, rows_builder
from ff_storage.core.sql.compiled import Compiled, Output
from ff_storage.core.sql.dialect import Convert, Dialect
from ff_storage.core.sql.expressions import Aggregate, ColumnRef, Expr, Label, Name

Rows = list[tuple[Any, ...]]
Build = Callable[[Rows], list[Any]]


class Prepared:
    """A compiled statement together with what makes its rows into results."""

    __slots__ = ("bind", "build", "text")

    def __init__(self, compiled: Compiled, build: Build) -> None:
        self.text = compiled.text
        self.bind = compiled.bind
        self.build = build


def models(model: type[BaseModel], outputs: Sequence[Output], dialect: Dialect, *, validate: bool) -> Build:
    """Rows of a whole entity as instances of `model`."""
    columns = [output.column for output in outputs if output.column is not None]
    return rows_builder(model, columns, dialect, validate=validate)


def tuples(outputs: Sequence[Output], dialect: Dialect) -> Build:
    """Rows as tuples of Python values."""
    readers = [reader(output, dialect) for output in outputs]
    if not any(readers):
        return list if dialect.plain_rows else lambda rows: [*map(tuple, rows)]
    if len(readers) == 1:
        only = readers[0]
        return lambda rows: [(None if value is None else only(value),) for (value,) in rows]  # type: ignore[misc]

    def build(rows: Rows) -> list[Any]:
        return [
            tuple(
                [
                    value if value is None or read is None else read(value)
                    for value, read in zip(row, readers, strict=True)
                ]
            )
            for row in rows
        ]

    return build


def objects(target: type[Any], names: Sequence[str], outputs: Sequence[Output], dialect: Dialect) -> Build:
    """Rows as validated instances of `target`: a Pydantic model, a dataclass, a TypedDict or a NamedTuple.

    Building raises InvalidRowError for rows that do not fit it.
    """
    adapter: TypeAdapter[list[Any]] = TypeAdapter(list[target])  # type: ignore[valid-type]  # a type at run time
    to_tuples = tuples(outputs, dialect)

    def build(rows: Rows) -> list[Any]:
        records = [dict(zip(names, row, strict=True)) for row in to_tuples(rows)]
        try:
            return adapter.validate_python(records, by_name=True, by_alias=True)
        except ValidationError as error:
            # Without the input, and without the error itself, which holds it: it may be a secret.
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise InvalidRowError(
                f"a row does not fit {target.__name__}",
                found=f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}",
                remedy="give the field the type of what is selected",
            ) from None

    return build


def first_of(results: list[Any]) -> Any:
    """The first result, or None."""
    return results[0] if results else None


def one_of(name: str, results: list[Any]) -> Any:
    """The only result. Raises NoResultFound and MultipleResultsFound, about `name`."""
    if not results:
        raise NoResultFound(f"one {name} was asked for", found="none", remedy="use first() where none is fine")
    if len(results) > 1:
        raise MultipleResultsFound(
            f"one {name} was asked for", found="several", remedy="filter further, or use first()"
        )
    return results[0]


def scalar_of(results: list[Any]) -> Any:
    """The first value of the first result, or None."""
    return results[0][0] if results else None


def reader(output: Output, dialect: Dialect) -> Convert | None:
    """Driver value → Python value of one output; None when they are the same."""
    model = getattr(output.entity, "model", None)
    if output.column is not None and model is not None:
        return field_reader(model, output.column, dialect)
    return dialect.result_decoder(output.type)


def output_name(node: Expr) -> str | None:
    """The name under which an output goes into an object: its label, or its field's name."""
    if isinstance(node, Label | Name):
        return node.name
    return node.column.attribute if isinstance(node, ColumnRef) else None


def target_names(target: type[Any], outputs: Sequence[Expr]) -> tuple[str, ...]:
    """The names of `outputs` as fields of `target`. Raises ConfigurationError when they do not fit together."""
    names: list[str] = []
    for node in outputs:
        name = output_name(node)
        if name is None:
            kind = f"func.{node.function}" if isinstance(node, Aggregate) else "an expression"
            raise InvalidValueError(f"into needs a name for {kind}", remedy="give it one with .label('name')")
        names.append(name)
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise InvalidValueError(
            "into needs distinct names", found=", ".join(sorted(doubled)), remedy="label them apart"
        )
    known = target_fields(target)
    if known is not None:
        for name in names:
            if name not in known:
                raise ConfigurationError(f"{target.__name__} has no field {name!r}", remedy=nearest(name, known))
        missing = [name for name, required in known.items() if required and name not in names]
        if missing:
            raise ConfigurationError(
                f"{target.__name__} needs {', '.join(missing)}", remedy="select them too, or give them a default"
            )
    return tuple(names)


def target_fields(target: type[Any]) -> dict[str, bool] | None:
    """The fields of a class, and whether each is required; None when it does not say."""
    if isinstance(target, type) and issubclass(target, BaseModel):  # a TypedDict is no class to issubclass
        fields = target.model_fields
        return {
            each: info.is_required()
            for name, info in fields.items()
            for each in {name, info.alias or name}
            if each == name or not info.is_required()
        }
    if dataclasses.is_dataclass(target):
        return {
            each.name: each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
            for each in dataclasses.fields(target)
            if each.init
        }
    return None
