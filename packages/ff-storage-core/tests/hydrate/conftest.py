"""Three ways in which drivers hand values over, and columns for models, without a database: the row is the input."""

import datetime as dt
import decimal
import json
import types as python_types
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from ff_storage.core import types
from ff_storage.core.sql.dialect import Convert, Dialect
from ff_storage.core.sql.values import Seldom
from ff_storage.core.tables import Column


class Texts(Dialect):
    """Values as SQLite keeps them; JSON is text that validators may read."""

    name = "texts"
    json_text = True

    def encoder(self, type_: types.ColumnType) -> Convert:
        match type_:
            case types.Uuid():
                return str
            case types.Timestamp():
                return lambda value: value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            case types.Date() | types.Time():
                return lambda value: value.isoformat()
            case types.Interval():
                return lambda value: value // dt.timedelta(microseconds=1)
            case types.Boolean():
                return int
            case types.Decimal():
                return lambda value: int(value.scaleb(type_.scale))
            case types.Json():
                return json.dumps
            case types.Array():
                item = self.encoder(type_.item)
                return lambda value: json.dumps([item(each) for each in value])
            case _:
                return lambda value: value

    def decoder(self, type_: types.ColumnType) -> Convert | None:
        match type_:
            case types.Uuid():
                return uuid.UUID
            case types.Timestamp():
                return lambda value: dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
            case types.Date():
                return dt.date.fromisoformat
            case types.Time():
                return dt.time.fromisoformat
            case types.Interval():
                return lambda value: dt.timedelta(microseconds=value)
            case types.Boolean():
                return bool
            case types.Decimal():
                return lambda value: decimal.Decimal(value).scaleb(-type_.scale)
            case types.Json():
                return json.loads
            case types.Array():
                item = self.decoder(type_.item) or (lambda value: value)
                return lambda value: [item(each) for each in json.loads(value)]
            case _:
                return None


class CheckedTexts(Texts):
    """The same values; the engine keeps everything else out of a JSON column."""

    name = "checked texts"
    json_checked = True


class SeldomDecoded(Texts):
    """The same values, where few numbers need a decoder."""

    name = "seldom decoded"

    def decoder(self, type_: types.ColumnType) -> Convert | None:
        if isinstance(type_, types.Integer):
            return Seldom("type({}) is int", int)
        return super().decoder(type_)

    def encoder(self, type_: types.ColumnType) -> Convert:
        if isinstance(type_, types.Integer):
            return lambda value: str(value) if value % 2 else value
        return super().encoder(type_)


class DecodedTexts(Texts):
    """The same values; JSON has to be decoded by the dialect."""

    name = "decoded texts"
    json_text = False


class Natives(Dialect):
    """A driver that hands over canonical values."""

    name = "natives"

    def encoder(self, type_: types.ColumnType) -> Convert:
        return lambda value: value

    def decoder(self, type_: types.ColumnType) -> Convert | None:
        return None


DIALECTS = {kind.name: kind() for kind in (Texts, CheckedTexts, SeldomDecoded, DecodedTexts, Natives)}

Spec = types.ColumnType | tuple[types.ColumnType, Callable[[Any], Any]]


def plain_type(annotation: Any) -> types.ColumnType:
    """The canonical type of an annotation such as `Annotated[str | None, …]`."""
    while get_origin(annotation) in {Annotated, Union, python_types.UnionType}:
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    return types.SCALARS[annotation]


def make_columns(model: type[BaseModel], given: dict[str, Spec]) -> list[Column]:
    """A column for each field: of its own class, or as `given` says: a type, or a type and what adapts values to it."""
    columns: list[Column] = []
    for name, field in model.model_fields.items():
        spec = given[name] if name in given else plain_type(field.annotation)
        type_, adapt = spec if isinstance(spec, tuple) else (spec, None)
        columns.append(Column(name, type_, True, name, adapt=adapt))
    return columns


@pytest.fixture(params=list(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


@pytest.fixture
def texts() -> Dialect:
    return DIALECTS["texts"]


@pytest.fixture
def natives() -> Dialect:
    return DIALECTS["natives"]


@pytest.fixture
def columns_of() -> Callable[..., list[Column]]:
    """`columns_of(Model, tags=Json(), status=(Text(), adapt))`."""
    return lambda model, **given: make_columns(model, given)


@pytest.fixture
def row_of() -> Callable[..., tuple[Any, ...]]:
    """`row_of(instance, columns, dialect)`: what the database would give back after storing the instance."""

    def row(instance: BaseModel, columns: list[Column], dialect: Dialect) -> tuple[Any, ...]:
        values: list[Any] = []
        for column in columns:
            value = getattr(instance, column.attribute)
            if value is not None and column.adapt is not None:
                value = column.adapt(value)  # None stands for a row that was written by others
            values.append(None if value is None else dialect.encoder(column.type)(value))
        return tuple(values)

    return row
