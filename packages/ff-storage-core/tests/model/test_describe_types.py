"""Annotations become canonical types, lengths, digits and choices; what has no form is refused."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import pathlib
import re
import uuid
import zoneinfo
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NewType, Optional, TypeVar, Union

import annotated_types
import pydantic
import pytest
from pydantic import BaseModel, StringConstraints, create_model
from typing_extensions import TypeAliasType, TypedDict

from ff_storage import Field, PydanticModel
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.model.annotations import map_annotation
from ff_storage.core.tables import ChoiceCheck, Column
from ff_storage.core.types import (
    Array,
    Boolean,
    Bytes,
    ColumnType,
    Date,
    Decimal,
    Float,
    Integer,
    Interval,
    Json,
    Text,
    Time,
    Timestamp,
    Uuid,
)


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    A = "a"
    B = 1


class Empty(enum.Enum):
    pass


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Nested(BaseModel):
    x: int


class Typed(TypedDict):
    x: int


@dataclasses.dataclass
class Data:
    x: int


class Name(str):
    __slots__ = ()


class Unknown:
    pass


UserId = NewType("UserId", uuid.UUID)
Alias = TypeAliasType("Alias", Annotated[str, annotated_types.MaxLen(7)])
T = TypeVar("T")
Maybe = TypeAliasType("Maybe", T | None, type_params=(T,))


def column(annotation: Any, field: Any = ...) -> Column:
    model = create_model("TypeProbe", __base__=PydanticModel, value=(annotation, field))
    return model.__ff_entity__.table.by_name["value"]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, Text()),
        (int, Integer(64)),
        (bool, Boolean()),
        (float, Float()),
        (decimal.Decimal, Decimal(38, 10)),
        (dt.datetime, Timestamp()),
        (pydantic.AwareDatetime, Timestamp()),
        (pydantic.PastDatetime, Timestamp()),
        (dt.date, Date()),
        (pydantic.FutureDate, Date()),
        (dt.time, Time()),
        (dt.timedelta, Interval()),
        (bytes, Bytes()),
        (uuid.UUID, Uuid()),
        (pydantic.UUID4, Uuid()),
        (UserId, Uuid()),
        (Name, Text()),
        (pydantic.ByteSize, Integer()),
        (Alias, Text(7)),
        (Annotated[str, StringConstraints(max_length=9)], Text(9)),
        (pydantic.constr(max_length=4), Text(4)),
        (pydantic.conint(ge=1), Integer()),
        (pydantic.condecimal(max_digits=8, decimal_places=3), Decimal(8, 3)),
        (pydantic.conbytes(max_length=6), Bytes(6)),
        (pydantic.StrictStr, Text()),
        (pydantic.PositiveInt, Integer()),
        (pydantic.SecretStr, Text()),
        (pydantic.SecretBytes, Bytes()),
        (pydantic.Secret[int], Integer()),
        (pydantic.AnyUrl, Text()),
        (pydantic.HttpUrl, Text()),
        (pydantic.PostgresDsn, Text()),
        (ipaddress.IPv4Address, Text()),
        (ipaddress.IPv6Network, Text()),
        (pydantic.IPvAnyAddress, Text()),
        (pathlib.Path, Text()),
        (pydantic.FilePath, Text()),
        (zoneinfo.ZoneInfo, Text()),
        (Color, Text(5)),
        (Level, Integer()),
        (Rights, Integer()),
        (Literal["a", "long"], Text(4)),
        (Literal[1, 2], Integer()),
        (Literal[True], Boolean()),
        (Literal[Color.RED], Text(3)),
        (Literal[""], Text(1)),
        (list[str], Array(Text())),
        (list[int], Array(Integer())),
        (list[uuid.UUID], Array(Uuid())),
        (list[Color], Array(Text(5))),
        (list[Annotated[str, Field(max_length=3)]], Array(Text(3))),
        (Sequence[str], Array(Text())),
        (set[int], Array(Integer())),
        (frozenset[str], Array(Text())),
        (collections.deque[int], Array(Integer())),
        (tuple[float, ...], Array(Float())),
        (tuple[int, str], Json()),
        (list, Json()),
        (list[Any], Json()),
        (list[int | None], Json()),
        (list[list[int]], Json()),
        (list[dict[str, int]], Json()),
        (list[Nested], Json()),
        (dict, Json()),
        (dict[str, Any], Json()),
        (Nested, Json()),
        (Typed, Json()),
        (Data, Json()),
        (Any, Json()),
        (object, Json()),
        (int | dict[str, int], Json()),
        (pydantic.AnyUrl | str, Text()),
        (Annotated[str, Field(max_length=4)] | Literal["longer"], Text(6)),
        (pydantic.SecretStr | str, Text()),
        (Union[Literal["a"], Literal["bc"]], Text(2)),  # noqa: PYI030, UP007
        (decimal.Decimal | pydantic.condecimal(max_digits=4, decimal_places=1), Decimal(38, 10)),
    ],
    ids=str,
)
def test_an_annotation_has_its_type(annotation: Any, expected: ColumnType) -> None:
    found = column(annotation)
    assert found.type == expected
    assert found.nullable is (annotation in (Any, object))


def test_email_addresses_are_text() -> None:
    # Looked up without a model: making one needs the email-validator package.
    assert map_annotation(pydantic.EmailStr).type == map_annotation(pydantic.NameEmail).type == Text()
    assert map_annotation(pydantic.EmailStr).adapt is None


@pytest.mark.parametrize(
    "annotation",
    [
        Optional[str],  # noqa: UP045 - the old spelling is the case
        Union[str, None],  # noqa: UP007
        str | None,
        None | str,
        Annotated[str | None, "note"],
        Annotated[str, "note"] | None,
        TypeAliasType("MaybeText", str | None),
        Maybe[str],
    ],
    ids=str,
)
def test_optional_is_opened_and_makes_the_column_nullable(annotation: Any) -> None:
    found = column(annotation, None)
    assert (found.type, found.nullable) == (Text(), True)


def test_none_in_a_literal_makes_the_column_nullable() -> None:
    found = column(Literal["a", "b", None])  # noqa: PYI061
    assert (found.type, found.nullable) == (Text(1), True)


def test_a_default_does_not_make_a_column_nullable_and_db_nullable_decides() -> None:
    assert not column(str, "x").nullable
    assert column(str | None, "x").nullable
    assert column(str, Field(db_nullable=True)).nullable
    assert not column(str | None, Field(default=None, db_nullable=False)).nullable


@pytest.mark.parametrize(
    ("annotation", "field", "expected"),
    [
        (str, Field(max_length=50), Text(50)),
        (str | None, Field(default=None, max_length=50), Text(50)),
        (Annotated[str, Field(max_length=5)] | None, Field(default=None), Text(5)),
        (Annotated[str, Field(max_length=5)], Field(max_length=3), Text(3)),
        (bytes, Field(max_length=16), Bytes(16)),
        (pydantic.SecretStr, Field(max_length=20), Text(20)),
        (pydantic.HttpUrl | None, Field(default=None, max_length=200), Text(200)),
        (Color, Field(max_length=20), Text(20)),
        (decimal.Decimal, Field(max_digits=10, decimal_places=2), Decimal(10, 2)),
        (decimal.Decimal, Field(decimal_places=4), Decimal(38, 4)),
        (decimal.Decimal, Field(max_digits=6), Decimal(12, 6)),
        (decimal.Decimal, Field(db_precision=12, db_scale=3), Decimal(12, 3)),
        (decimal.Decimal, Field(max_digits=10, decimal_places=2, db_precision=20), Decimal(20, 2)),
        (decimal.Decimal, Field(db_precision=5), Decimal(5, 5)),
        (decimal.Decimal | None, Field(default=None, max_digits=4, decimal_places=4), Decimal(4, 4)),
    ],
    ids=str,
)
def test_lengths_and_digits_reach_the_type(annotation: Any, field: Any, expected: ColumnType) -> None:
    assert column(annotation, field).type == expected


@pytest.mark.parametrize(
    ("annotation", "db_type", "expected"),
    [
        (str, "varchar(20)", Text(20)),
        (Annotated[str, Field(max_length=9)], "TEXT", Text(9)),
        (Annotated[str, Field(max_length=50)], "VARCHAR(20)", Text(20)),
        (str, "CITEXT", Text()),
        (int, "smallint", Integer(16)),
        (int, "INTEGER", Integer(32)),
        (int, "BIGINT", Integer(64)),
        (bool, "TINYINT(1)", Boolean()),
        (decimal.Decimal, "NUMERIC(12, 4)", Decimal(12, 4)),
        (Annotated[decimal.Decimal, Field(max_digits=9, decimal_places=1)], "NUMERIC", Decimal(9, 1)),
        (dt.datetime, "TIMESTAMP WITH TIME ZONE", Timestamp()),
        (dict[str, int], "JSONB", Json()),
        (list[str], "JSONB", Json()),
        (list[str], "VARCHAR(20)[]", Array(Text(20))),
        (list[int], "smallint[]", Array(Integer(16))),
        (Color, "varchar(30)", Text(30)),
        (Color, "color_enum", Text(5)),
        (str, "tsvector", Text()),
        (str, "geometry(Point, 4326)", Text()),
    ],
    ids=str,
)
def test_db_type_narrows_the_type_and_is_kept_as_written(annotation: Any, db_type: str, expected: ColumnType) -> None:
    found = column(annotation, Field(db_type=db_type))
    assert (found.type, found.sql_type) == (expected, db_type)


@pytest.mark.parametrize(
    ("annotation", "db_type"),
    [
        (int, "varchar(5)"),
        (str, "INTEGER"),
        (str, "uuid"),
        (uuid.UUID, "TEXT"),
        (float, "NUMERIC(10, 2)"),
        (dt.datetime, "DATE"),
        (dict[str, int], "TEXT"),
        (int, "JSONB"),
        (list[str], "INTEGER[]"),
        (str, "VARCHAR(20)[]"),
    ],
    ids=str,
)
def test_a_db_type_that_cannot_hold_the_values_is_refused(annotation: Any, db_type: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"TypeProbe\.value: db_type {re.escape(repr(db_type))}"):
        column(annotation, Field(db_type=db_type))


def test_precision_is_for_decimals_and_holds_the_scale() -> None:
    with pytest.raises(ConfigurationError, match=r"TypeProbe\.value: db_precision and db_scale are for Decimal"):
        column(float, Field(db_precision=10))
    with pytest.raises(ConfigurationError, match=r"5 > 4"):
        column(decimal.Decimal, Field(db_precision=4, db_scale=5))


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Unknown, "JSON has no form for a Unknown"),
        (dict[str, Unknown], "JSON has no form for a Unknown"),
        (list[Unknown], "JSON has no form for a Unknown"),
        (complex, "complex"),
        (Callable[[int], int], "Callable"),
        (type[int], "type"),
        (re.Pattern[str], "Pattern"),
        (Mixed, "int, str.*all values str, or all int"),
        (Empty, "its values are of the types none"),
        (Literal["a", 1], "int, str"),
        (Literal[b"a"], "bytes"),
        (int | str, "a column has one type, and this one may be Integer, Text"),
        (int | str | None, "Integer, Text"),
        (None, "None is the only value"),
        (pydantic.NaiveDatetime, "a datetime without a zone"),
        (pydantic.Json[dict[str, int]], "annotate the parsed type"),
        (T, "the type parameter T is not bound"),
        (dict[str, T], "the type parameter T is not bound"),
    ],
    ids=str,
)
def test_an_annotation_without_a_faithful_form_is_refused(annotation: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"TypeProbe\.value: no column type for .*{reason}"):
        column(annotation)


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (Color, ("red", "green")),
        (Level, (1, 2)),
        (Literal["x", "y"], ("x", "y")),
        (Literal[3, 4] | None, (3, 4)),
        (Color | None, ("red", "green")),
        (Union[Literal["x"], Literal["y"]], ("x", "y")),  # noqa: PYI030, UP007
        (Literal[Color.RED, "blue"], ("red", "blue")),
    ],
    ids=str,
)
def test_enums_and_literals_become_a_check(annotation: Any, values: tuple[str | int, ...]) -> None:
    model = create_model("TypeProbe", __base__=PydanticModel, value=(annotation, ...))
    assert model.__ff_entity__.table.checks == (ChoiceCheck("ck_type_probes_value_choice", "value", values),)


@pytest.mark.parametrize("annotation", [Rights, Literal[True], list[Color], Color | str, str], ids=str)
def test_open_types_have_no_check(annotation: Any) -> None:
    model = create_model("TypeProbe", __base__=PydanticModel, value=(annotation, ...))
    assert model.__ff_entity__.table.checks == ()
