"""Instances made of rows equal validated ones in every respect, for models of every kind."""

import abc
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import ipaddress
import pathlib
import pickle
import uuid
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Generic, Literal, Optional, TypeVar

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    JsonValue,
    PlainValidator,
    PrivateAttr,
    RootModel,
    SecretBytes,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    WrapValidator,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic import (
    Json as ParsedJson,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import core_schema
from typing_extensions import TypedDict

from ff_storage.core.model.hydrate import fallbacks, row_builder
from ff_storage.core.model.loaded import Loaded
from ff_storage.core.sql.dialect import Dialect
from ff_storage.core.types import Array, Bytes, Date, Decimal, Integer, Json, Text, Timestamp, Uuid

NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)
KEY = uuid.UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")


class Base(Loaded, BaseModel):
    pass


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    ROUGE = "red"  # noqa: PIE796  # an alias


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Kind(enum.StrEnum):
    A = "a"
    B = "b"


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Lenient(enum.Enum):
    KNOWN = "known"

    @classmethod
    def _missing_(cls, value: object) -> "Lenient":
        return cls.KNOWN


# --- nothing to convert


class Ten(Base):
    id: uuid.UUID
    tenant_id: uuid.UUID
    name: str
    price: decimal.Decimal
    quantity: int
    active: bool
    ratio: float
    created_at: dt.datetime
    updated_at: dt.datetime
    note: str | None = None


class Times(Base):
    day: dt.date
    clock: dt.time
    took: dt.timedelta
    blob: bytes


class Nullable(Base):
    text: Optional[str]  # noqa: UP045  # the older spelling
    number: int | None = None
    key: uuid.UUID | None = None
    at: dt.datetime | None = None


class Constrained(Base):
    code: Annotated[str, Field(min_length=1, max_length=5, pattern="^[a-z]+$")]
    price: decimal.Decimal = Field(max_digits=8, decimal_places=2, ge=0)
    age: int = Field(ge=0, lt=200, multiple_of=1)
    share: float = Field(gt=0, le=1, allow_inf_nan=False)
    born: dt.date = Field(lt=dt.date(2100, 1, 1))
    key: uuid.UUID


class Choices(Base):
    unit: Literal["m", "s"]
    size: Literal[1, 2, 3]
    maybe: Literal["x"] | None = None


class WithDefaults(Base):
    id: uuid.UUID = Field(default_factory=uuid.uuid4)
    tags: list[str] = []
    options: dict[str, Any] = Field(default_factory=dict)
    count: int = 0


class PlainJson(Base):
    anything: Any
    names: list[str]
    numbers: list[int]
    table: dict[str, dict[str, bool]]
    rows: list[dict[str, Any]]
    maybe: list[str] | None = None


class Value(Base):
    value: JsonValue


class Arrays(Base):
    keys: list[uuid.UUID]
    numbers: list[int]
    days: list[dt.date] | None = None


class Frozen(Base):
    model_config = ConfigDict(frozen=True)
    id: int
    name: str


class Private(Base):
    id: int
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)
    _name: str = "private"
    _unset: int
    _list: list[int] = PrivateAttr(default=[1])


class PostInit(Base):
    first: str
    last: str
    _full: str = PrivateAttr("")

    def model_post_init(self, context: Any, /) -> None:
        self._full = f"{self.first} {self.last}"
        self.last = self.last.title()


class PostInitOnly(Base):
    name: str
    seen: ClassVar[list[str]] = []

    def model_post_init(self, context: Any, /) -> None:
        self.seen.append(self.name)


class Aliased(Base):
    id: int = Field(alias="_id")
    name: str = Field(validation_alias=AliasChoices("title", AliasPath("names", 0)))
    size: int = Field(serialization_alias="Size")
    deep: str = Field(validation_alias=AliasPath("a", "b"))


class SwappedAliases(Base):
    name: str = Field(alias="title")
    title: str = Field(alias="name")


class Computed(Base):
    width: int
    height: int

    @computed_field
    @property
    def area(self) -> int:
        return self.width * self.height

    @functools.cached_property
    def slow(self) -> int:
        return self.area + 1


T = TypeVar("T")


class Box(Base, Generic[T]):
    id: int
    content: T


class IntBox(Box[int]):
    pass


class Named(abc.ABC):
    @abc.abstractmethod
    def label(self) -> str: ...


class Parent(Base):
    id: int
    name: str
    kind: str = "parent"


class Child(Parent, Named):
    name: str = "child"  # overridden, keeps its place
    extra_field: int | None = None
    limit: ClassVar[int] = 3

    def label(self) -> str:
        return self.name


class ExtraAllowed(Base):
    model_config = ConfigDict(extra="allow")
    id: int


class ExtraForbidden(Base):
    model_config = ConfigDict(extra="forbid")
    id: int
    name: str


class Assigning(Base):
    model_config = ConfigDict(validate_assignment=True)
    id: int
    name: str


class Excluded(Base):
    id: int
    hidden: str = Field(exclude=True, repr=False)


class FactoryOfData(Base):
    first: str
    second: str = Field(default_factory=lambda data: data["first"] + "!")


class Late(Base):
    id: int
    items: "list[LateItem]"


class LateItem(BaseModel):
    name: str


class Slotless(BaseModel):
    id: int
    name: str


# --- fields that convert


class AfterAnnotated(Base):
    number: Annotated[int, AfterValidator(lambda value: value + 1)]
    other: int


class BeforeAnnotated(Base):
    text: Annotated[str | None, BeforeValidator(lambda value: "none" if value is None else value)]


class Wrapped(Base):
    text: Annotated[str, WrapValidator(lambda value, handler: handler(value)[::-1])]
    plain: Annotated[str, PlainValidator(lambda value: f"<{value}>")]


class Decorated(Base):
    name: str
    amount: decimal.Decimal

    @field_validator("name")
    @classmethod
    def check(cls, value: str) -> str:
        return value.title()

    @field_validator("amount", mode="before")
    @classmethod
    def absolute(cls, value: Any) -> Any:
        return abs(value)


class Stripped(Base):
    model_config = ConfigDict(str_strip_whitespace=True)
    text: str
    maybe: str | None = None
    names: list[str]
    number: int


class Lowered(Base):
    model_config = ConfigDict(str_to_lower=True)
    text: str


class ConstrainedText(Base):
    text: Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, max_length=9)]
    same: Annotated[str, StringConstraints(max_length=9)]


class Enums(Base):
    color: Color
    level: Level
    kind: Kind
    maybe: Color | None = None


class Flags(Base):
    rights: Rights
    lenient: Lenient


class EnumValues(Base):
    model_config = ConfigDict(use_enum_values=True)
    color: Color
    level: Level


class Sets(Base):
    numbers: set[int]
    names: frozenset[str]
    pair: tuple[int, str]
    many: tuple[float, ...]


class ArraySets(Base):
    keys: set[uuid.UUID]
    colors: list[Color]


class Secrets(Base):
    password: SecretStr
    token: SecretBytes
    maybe: SecretStr | None = None


class Networks(Base):
    url: AnyUrl
    http: HttpUrl | None
    address: ipaddress.IPv4Address
    path: pathlib.Path


class Visit(BaseModel):
    at: dt.datetime
    took: dt.timedelta
    cost: decimal.Decimal
    who: uuid.UUID
    color: Color = Color.RED
    tags: set[int] = set()


class JsonWithDatetimes(Base):
    id: int
    visit: Visit
    maybe: Visit | None = None
    times: dict[str, dt.datetime]


class TwiceUsed(Base):
    first: list[Visit]
    second: dict[str, Visit]


class Floats(Base):
    many: list[float]
    named: dict[str, float]


class Movie(TypedDict, total=False):
    title: str
    year: int


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@pydantic_dataclass
class Place:
    name: str
    at: Point


class Structures(Base):
    movie: Movie
    point: Point
    place: Place


class Node(Base):
    name: str
    children: "list[Node]" = []
    parent: "Node | None" = None
    color: Color


class Numbers(RootModel[list[int]]):
    pass


class HoldsRoot(Base):
    numbers: Numbers


class NestedAlias(BaseModel):
    name: str = Field(alias="title")
    title: str = Field(alias="name")


class HoldsAlias(Base):
    inner: NestedAlias
    many: list[NestedAlias]


class Awkward(BaseModel):
    """Its fields are called like the keys of core schemas."""

    type: int = Field(alias="ref")
    metadata: NestedAlias
    default: dict[str, NestedAlias]
    serialization: str | None = None


class Tagged(BaseModel):
    tag: Literal["type"]
    metadata: NestedAlias


class OtherTag(BaseModel):
    tag: Literal["other"]


class HoldsAwkward(Base):
    awkward: Awkward
    tagged: Annotated[Tagged | OtherTag, Field(discriminator="tag")] | None = None
    type: str


class Shape(enum.Enum):
    SMALL = {"size": 1}  # noqa: RUF012
    LARGE = {"size": 9}  # noqa: RUF012


class JsonEnum(Base):
    shape: Shape
    kind: Kind


class Filled(Base):
    numbers: Annotated[list[int], BeforeValidator(lambda value: value or [])]
    color: Annotated[Color, BeforeValidator(lambda value: value or "red")]


class Strict(Base):
    model_config = ConfigDict(strict=True)
    color: Color
    numbers: set[int]
    day: dt.date
    visit: Visit
    secret: SecretStr


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Pets(Base):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pets: list[Cat | Dog]


class Identifiers(Base):
    ids: list[uuid.UUID | str]


class Encoded(Base):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    parts: list[bytes]


class OtherColumns(Base):
    ratio: float
    flag: bool
    day: dt.date
    number: int


class Parsed(Base):
    data: ParsedJson[list[int]]


class Celsius:
    """A type that takes only instances from Python, and numbers from JSON."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Celsius) and self.degrees == other.degrees

    def __hash__(self) -> int:
        return hash(self.degrees)

    def __repr__(self) -> str:
        return f"Celsius({self.degrees})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(cls, core_schema.float_schema()),
            python_schema=core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.degrees),
        )


class Weather(Base):
    now: Celsius
    days: list[Celsius]


# --- models that are validated whole


class Root(Base, RootModel[list[int]]):
    pass


class RootOfModels(Base, RootModel[dict[str, Visit]]):
    pass


class BeforeModel(Base):
    names: list[str]
    count: int

    @model_validator(mode="before")
    @classmethod
    def count_names(cls, data: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(data["names"], list)
        return data | {"count": len(data["names"])}


class AfterModel(Base):
    low: int
    high: int

    @model_validator(mode="after")
    def order(self) -> "AfterModel":
        self.low, self.high = sorted((self.low, self.high))
        return self


class WrapModel(Base):
    text: str
    when: Visit

    @model_validator(mode="wrap")
    @classmethod
    def shout(cls, data: Any, handler: Any) -> Any:
        made = handler(data)
        made.text = made.text.upper()
        return made


class InfoField(Base):
    start: int
    end: int

    @field_validator("end")
    @classmethod
    def after_start(cls, value: int, info: ValidationInfo) -> int:
        return max(value, info.data["start"])


class InfoInJson(Base):
    offset: int
    numbers: list[Annotated[int, AfterValidator(lambda value, info: value + info.data["offset"])]]
    visits: list[Visit]


class OwnInit(Base):
    x: int
    y: int

    def __init__(self, **data: Any) -> None:
        super().__init__(**data | {"y": data["y"] + data["x"]})


class OwnInitAliased(Base):
    x: int = Field(alias="X")
    y: int = Field(validation_alias=AliasChoices(AliasPath("a", 0), "Y"))
    tags: set[int]

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)


class OwnSchema(Base):
    name: str

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        inner = handler(source)
        return core_schema.lax_or_strict_schema(core_schema.no_info_after_validator_function(cls.loud, inner), inner)

    @staticmethod
    def loud(made: "OwnSchema") -> "OwnSchema":
        made.name = made.name.upper()
        return made


class RecursiveWhole(Base):
    name: str
    inner: "RecursiveWhole | None" = None
    more: "list[RecursiveWhole]" = []

    @model_validator(mode="after")
    def loud(self) -> "RecursiveWhole":
        self.name = self.name.upper()
        return self


class NodeOfInfo(Base):
    """A nested model's own validator with info does not look at this model's fields."""

    inner: InfoField


# --- the cases


def value_of(member: enum.Enum) -> Any:
    return member.value


def secret_of(secret: Any) -> Any:
    return secret.get_secret_value()


def json_of(annotation: Any) -> tuple[Json, Callable[[Any], Any]]:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    return Json(), lambda value: adapter.dump_python(value, mode="json", by_alias=False)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, what its instance is first made of, its columns where they are not plain, and its fallbacks."""

    model: type[BaseModel]
    values: Any
    columns: dict[str, Any] = dataclasses.field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    moves: bool = False
    """Its validators change a value each time they see it, so that what is read is not what was stored."""
    refused: bool = False
    """Pydantic does not take the stored values from Python, since their types have a JSON form of their own."""


VISIT = {"at": NOON, "took": dt.timedelta(hours=1), "cost": "1.50", "who": KEY, "color": "blue", "tags": {3, 1}}
NAMES = {"name": "n", "title": "t"}
TEXT_ENUM, INT_ENUM = (Text(), value_of), (Integer(), value_of)

CASES = [
    Case(
        Ten,
        {
            "id": KEY,
            "tenant_id": KEY,
            "name": "näme",
            "price": decimal.Decimal("12.5"),
            "quantity": 3,
            "active": True,
            "ratio": 0.1,
            "created_at": NOON,
            "updated_at": NOON,
            "note": None,
        },
    ),
    Case(Times, {"day": "2024-02-29", "clock": "12:30:01.5", "took": dt.timedelta(microseconds=5), "blob": b"\0x"}),
    Case(Nullable, {"text": None}),
    Case(Nullable, {"text": "", "number": 0, "key": KEY, "at": NOON}),
    Case(
        Constrained,
        {"code": "ab", "price": "12.50", "age": 3, "share": 0.5, "born": "2000-01-01", "key": KEY},
        {"code": Text(5), "price": Decimal(8, 2)},
    ),
    Case(Choices, {"unit": "m", "size": 2}, {"unit": Text(), "size": Integer(), "maybe": Text()}),
    Case(WithDefaults, {}, {"tags": Json(), "options": Json()}),
    Case(
        PlainJson,
        {
            "anything": {"a": [1, None, 2.5, "x", True]},
            "names": ["a"],
            "numbers": [1, 2**70],
            "table": {"a": {}},
            "rows": [{"k": None}],
        },
        dict.fromkeys(["anything", "names", "numbers", "table", "rows", "maybe"], Json()),
    ),
    Case(Value, {"value": [{"a": 1.5, "b": [None, True]}, "x"]}, {"value": Json()}),
    Case(
        Arrays,
        {"keys": [KEY], "numbers": [3, 1], "days": ["2024-02-29"]},
        {"keys": Array(Uuid()), "numbers": Array(Integer()), "days": Array(Date())},
    ),
    Case(Frozen, {"id": 1, "name": "ice"}),
    Case(Private, {"id": 1}),
    Case(PostInit, {"first": "Ada", "last": "lovelace"}, moves=True),
    Case(PostInitOnly, {"name": "x"}),
    Case(Aliased, {"id": 1, "name": "n", "size": 2, "deep": "d"}),
    Case(SwappedAliases, {"name": "a name", "title": "a title"}),
    Case(Computed, {"width": 2, "height": 3}),
    Case(Box[int], {"id": 1, "content": 2}),
    Case(IntBox, {"id": 1, "content": 2}),
    Case(Box[list[str]], {"id": 1, "content": ["a"]}, {"content": Json()}),
    Case(Child, {"id": 1, "name": "kid", "extra_field": 4}),
    Case(ExtraAllowed, {"id": 1}),
    Case(ExtraForbidden, {"id": 1, "name": "n"}),
    Case(Assigning, {"id": 1, "name": "n"}),
    Case(Excluded, {"id": 1, "hidden": "h"}),
    Case(FactoryOfData, {"first": "a", "second": "b"}),
    Case(Late, {"id": 1, "items": [{"name": "n"}]}, {"items": json_of(list[LateItem])}, ("items: list",)),
    Case(Slotless, {"id": 1, "name": "n"}),
    Case(AfterAnnotated, {"number": 1, "other": 2}, {}, ("number: function-after",), moves=True),
    Case(BeforeAnnotated, {"text": None}, {"text": Text()}, ("text: function-before",)),
    Case(Wrapped, {"text": "abc", "plain": "x"}, {}, ("text: function-wrap", "plain: function-plain"), moves=True),
    Case(
        Decorated,
        {"name": "ada", "amount": decimal.Decimal("-1.5")},
        {},
        ("name: function-after", "amount: function-before"),
    ),
    Case(
        Stripped,
        {"text": "  a ", "names": [" b "], "number": 1},
        {"names": Json()},
        ("text: str", "maybe: str", "names: list"),
    ),
    Case(Lowered, {"text": "ABC"}, {}, ("text: str",)),
    Case(ConstrainedText, {"text": " abc ", "same": " x "}, {}, ("text: str",)),
    Case(
        Enums,
        {"color": "red", "level": 2, "kind": "b"},
        {"color": TEXT_ENUM, "level": INT_ENUM, "kind": TEXT_ENUM, "maybe": TEXT_ENUM},
        ("color: enum", "level: enum", "kind: enum", "maybe: enum"),
    ),
    Case(
        Flags,
        {"rights": Rights.READ | Rights.WRITE, "lenient": "unheard of"},
        {"rights": INT_ENUM, "lenient": TEXT_ENUM},
        ("rights: enum", "lenient: enum"),
    ),
    Case(
        EnumValues,
        {"color": "red", "level": 1},
        {"color": Text(), "level": Integer()},
        ("color: function-after", "level: function-after"),
    ),
    Case(
        Sets,
        {"numbers": [3, 1], "names": ["b", "a"], "pair": (1, "x"), "many": (1.0, 2.5)},
        {"numbers": (Json(), sorted), "names": (Json(), sorted), "pair": (Json(), list), "many": (Json(), list)},
        ("numbers: set", "names: frozenset", "pair: tuple", "many: tuple"),
    ),
    Case(
        ArraySets,
        {"keys": [KEY], "colors": ["red", "blue"]},
        {"keys": (Array(Uuid()), sorted), "colors": (Array(Text()), lambda value: [each.value for each in value])},
        ("keys: set", "colors: list"),
    ),
    Case(
        Secrets,
        {"password": "pw", "token": b"tk", "maybe": None},
        {"password": (Text(), secret_of), "token": (Bytes(), secret_of), "maybe": (Text(), secret_of)},
        ("password: lax-or-strict", "token: lax-or-strict", "maybe: lax-or-strict"),
    ),
    Case(
        Networks,
        {"url": "ftp://a.b/c", "http": "https://a.b", "address": "10.0.0.1", "path": "/tmp/x"},
        dict.fromkeys(["url", "http", "address", "path"], (Text(), str)),
        ("url: function-wrap", "http: function-wrap", "address: lax-or-strict", "path: lax-or-strict"),
    ),
    Case(
        JsonWithDatetimes,
        {"id": 1, "visit": VISIT, "times": {"a": NOON}},
        {"visit": json_of(Visit), "maybe": json_of(Visit), "times": json_of(dict[str, dt.datetime])},
        ("visit: model", "maybe: model", "times: dict"),
    ),
    Case(
        TwiceUsed,
        {"first": [VISIT, VISIT], "second": {"a": VISIT}},
        {"first": json_of(list[Visit]), "second": json_of(dict[str, Visit])},
        ("first: list", "second: dict"),
    ),
    Case(
        Floats,
        {"many": [1.0, 2], "named": {"a": 3}},
        {"many": (Json(), lambda value: [1, 2]), "named": Json()},  # a document store may drop the point
        ("many: list", "named: dict"),
    ),
    Case(
        Structures,
        {"movie": {"title": "M"}, "point": {"x": 1}, "place": {"name": "p", "at": {"x": 1, "y": 2}}},
        {"movie": Json(), "point": json_of(Point), "place": json_of(Place)},
        ("movie: typed-dict", "point: dataclass", "place: dataclass"),
    ),
    Case(
        Node,
        {"name": "a", "color": "red", "children": [{"name": "b", "color": "blue"}], "parent": None},
        {"children": json_of(list[Node]), "parent": json_of(Node), "color": TEXT_ENUM},
        ("children: list", "parent: model", "color: enum"),
    ),
    Case(HoldsRoot, {"numbers": [1, 2]}, {"numbers": json_of(Numbers)}, ("numbers: model",)),
    Case(
        HoldsAlias,
        {"inner": {"name": "n", "title": "t"}, "many": [{"name": "x", "title": "y"}]},
        {"inner": json_of(NestedAlias), "many": json_of(list[NestedAlias])},
        ("inner: model", "many: list"),
    ),
    Case(
        HoldsAwkward,
        {
            "awkward": {
                "type": 1,
                "metadata": {"name": "n", "title": "t"},
                "default": {"a": {"name": "n", "title": "t"}},
            },
            "tagged": {"tag": "type", "metadata": NAMES},
            "type": "x",
        },
        {"awkward": json_of(Awkward), "tagged": json_of(Tagged)},
        ("awkward: model", "tagged: tagged-union"),
    ),
    Case(
        JsonEnum,
        {"shape": {"size": 9}, "kind": "a"},
        {"shape": (Json(), value_of), "kind": (Json(), value_of)},
        ("shape: enum", "kind: enum"),
    ),
    Case(
        Filled,
        {"numbers": None, "color": None},
        {"numbers": (Json(), lambda value: value or None), "color": (Text(), lambda value: None)},
        ("numbers: function-before", "color: function-before"),
    ),
    Case(
        Strict,
        {"color": Color.RED, "numbers": {1}, "day": NOON.date(), "visit": Visit(**VISIT), "secret": SecretStr("s")},
        {"color": TEXT_ENUM, "numbers": (Json(), sorted), "visit": json_of(Visit), "secret": (Text(), secret_of)},
        ("color: enum", "numbers: set", "visit: model", "secret: lax-or-strict"),
    ),
    Case(
        Pets,
        {"pet": {"kind": "dog", "name": "d"}, "pets": [{"lives": 9}, {"name": "e"}]},
        {"pet": json_of(Cat | Dog), "pets": json_of(list[Cat | Dog])},
        ("pet: tagged-union", "pets: list"),
    ),
    Case(Identifiers, {"ids": [KEY, "x"]}, {"ids": json_of(list[uuid.UUID | str])}, ("ids: list",), refused=True),
    Case(
        Encoded,
        {"parts": [b"\xff"]},
        {"parts": (Json(), lambda value: ["_w=="])},
        ("parts: list",),
        refused=True,
    ),
    Case(
        OtherColumns,
        {"ratio": 2, "flag": True, "day": "2024-02-29", "number": 7},
        {
            "ratio": (Integer(), int),
            "flag": (Integer(), int),
            "day": (Timestamp(), lambda day: dt.datetime.combine(day, dt.time(), dt.UTC)),
            "number": (Text(), str),
        },
        ("ratio: float", "flag: bool", "day: date", "number: int"),
    ),
    Case(Parsed, {"data": "[1, 2]"}, {"data": Json()}, ("data: json",), refused=True),
    Case(
        Weather,
        {"now": Celsius(1.5), "days": [Celsius(2.0)]},
        {"now": (Json(), lambda value: value.degrees), "days": (Json(), lambda days: [each.degrees for each in days])},
        ("now: json-or-python", "days: list"),
        refused=True,
    ),
    Case(Root, [1, 2], {"root": Json()}, ("model: it is a RootModel",)),
    Case(RootOfModels, {"a": VISIT}, {"root": json_of(dict[str, Visit])}, ("model: it is a RootModel",)),
    Case(BeforeModel, {"names": ["a"], "count": 0}, {"names": Json()}, ("model: it has model validators",)),
    Case(AfterModel, {"low": 5, "high": 1}, {}, ("model: it has model validators",)),
    Case(WrapModel, {"text": "a", "when": VISIT}, {"when": json_of(Visit)}, ("model: it has model validators",)),
    Case(InfoField, {"start": 5, "end": 1}, {}, ("model: a validator of end is given other fields",)),
    Case(
        InfoInJson,
        {"offset": 5, "numbers": [1], "visits": [VISIT]},
        {"numbers": Json(), "visits": json_of(list[Visit])},
        ("model: a validator of numbers is given other fields",),
        moves=True,
    ),
    Case(OwnInit, {"x": 1, "y": 2}, {}, ("model: it has an __init__ of its own",), moves=True),
    Case(
        OwnInitAliased,
        {"X": 1, "Y": 2, "tags": [2, 1]},
        {"tags": (Json(), sorted)},
        ("model: it has an __init__ of its own",),
        refused=True,  # Pydantic hands it the fields' names, which it does not take
    ),
    Case(OwnSchema, {"name": "a"}, {}, ("model: it makes a core schema of its own kind",)),
    Case(
        RecursiveWhole,
        {"name": "a", "inner": {"name": "b"}, "more": [{"name": "c", "inner": {"name": "d"}}]},
        {"inner": json_of(RecursiveWhole), "more": json_of(list[RecursiveWhole])},
        ("model: it has model validators",),
    ),
    Case(NodeOfInfo, {"inner": {"start": 1, "end": 2}}, {"inner": json_of(InfoField)}, ("inner: model",)),
]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.model.__name__)


def assert_exactly(left: Any, right: Any) -> None:
    """Equal, and of the same classes at every depth."""
    assert type(left) is type(right)
    if isinstance(left, BaseModel):
        assert_exactly(vars(left), vars(right))
        assert_exactly(left.__pydantic_private__, right.__pydantic_private__)
        assert_exactly(left.__pydantic_extra__, right.__pydantic_extra__)
        assert left.__pydantic_fields_set__ == right.__pydantic_fields_set__
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key, value in left.items():
            assert_exactly(value, right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_exactly(one, other)
    elif isinstance(left, set | frozenset):
        assert left == right
        assert {*map(type, left)} == {*map(type, right)}
    else:
        assert left == right
        assert repr(left) == repr(right)


FACETS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda made: made,
    "repr": repr,
    "str": str,
    "dump": lambda made: made.model_dump(),
    "JSON dump": lambda made: made.model_dump(mode="json"),
    "dump of set fields": lambda made: made.model_dump(exclude_unset=True),
    "dump by alias": lambda made: made.model_dump(by_alias=True),
    "JSON": lambda made: made.model_dump_json(),
    "model_copy": lambda made: made.model_copy(),
    "deep model_copy": lambda made: made.model_copy(deep=True),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda made: pickle.loads(pickle.dumps(made)),
    "fields": list,
    "extra": lambda made: made.model_extra,
}


def stored(case: Case, dialect: Dialect, columns_of: Any, row_of: Any) -> tuple[Any, Any, Any]:
    original = case.model.model_validate(case.values, by_name=True)
    columns = columns_of(case.model, **case.columns)
    return original, columns, row_of(original, columns, dialect)


def reference(case: Case, original: Any, columns: Any, row: Any, dialect: Dialect) -> Any:
    """What Pydantic itself makes of the stored values."""
    if case.refused:
        return original
    canonical: dict[str, Any] = {}
    for column, value in zip(columns, row, strict=True):
        decode = dialect.decoder(column.type)
        canonical[column.attribute] = value if value is None or decode is None else decode(value)
    data = canonical["root"] if issubclass(case.model, RootModel) else canonical
    return case.model.model_validate(copy.deepcopy(data), strict=False, by_name=True, by_alias=False)


def assert_alike(made: Any, expected: Any) -> None:
    for facet in FACETS.values():
        assert_exactly(facet(made), facet(expected))
    assert made == expected


@each_case
def test_a_row_becomes_what_validation_makes_of_it(case: Case, dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    original, columns, row = stored(case, dialect, columns_of, row_of)
    expected = reference(case, original, columns, row, dialect)
    if case.refused:  # its fields were set when it was made
        expected.__pydantic_fields_set__.update(column.attribute for column in columns)

    made = row_builder(case.model, columns, dialect)(row)

    assert_alike(made, expected)
    if not case.moves:
        assert made == original


@each_case
def test_validating_the_whole_row_gives_the_same(case: Case, dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    _, columns, row = stored(case, dialect, columns_of, row_of)

    assert_alike(
        row_builder(case.model, columns, dialect, validate=True)(row), row_builder(case.model, columns, dialect)(row)
    )


@each_case
def test_nothing_falls_back_but_what_must(case: Case, dialect: Dialect, columns_of: Any) -> None:
    assert fallbacks(case.model, columns_of(case.model, **case.columns), dialect) == case.fallbacks


def test_the_models_are_many() -> None:
    assert len({case.model for case in CASES}) >= 40
    whole = [case for case in CASES if case.fallbacks and case.fallbacks[0].startswith("model: ")]
    assert len(whole) == 11
    assert sum(not case.fallbacks for case in CASES) == 27


def test_a_frozen_instance_keeps_its_hash(dialect: Dialect, columns_of: Any) -> None:
    made = row_builder(Frozen, columns_of(Frozen), dialect)((1, "ice"))

    assert hash(made) == hash(Frozen(id=1, name="ice"))
    assert len({made, Frozen(id=1, name="ice")}) == 1


def test_assignment_is_validated_as_ever(dialect: Dialect, columns_of: Any) -> None:
    made = row_builder(Assigning, columns_of(Assigning), dialect)((1, "n"))

    made.id = "2"  # type: ignore[assignment]

    assert made.id == 2


def test_cached_properties_and_private_attributes_work(dialect: Dialect, columns_of: Any) -> None:
    computed = row_builder(Computed, columns_of(Computed), dialect)((2, 3))
    build = row_builder(Private, columns_of(Private), dialect)
    one, other = build((1,)), build((1,))

    one._cache["a"] = 1
    one._list.append(2)

    assert computed.slow == 7
    assert other._cache == {}
    assert other._list == [1]
    with pytest.raises(AttributeError):
        _ = one._unset


def test_model_post_init_runs_once_for_each_row(dialect: Dialect, columns_of: Any) -> None:
    build = row_builder(PostInitOnly, columns_of(PostInitOnly), dialect)
    PostInitOnly.seen.clear()

    build(("a",))
    build(("b",))

    assert PostInitOnly.seen == ["a", "b"]
