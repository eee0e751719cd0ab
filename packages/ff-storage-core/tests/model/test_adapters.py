"""Field values become the canonical values of their columns, and so does what filters give in their place."""

import dataclasses
import datetime as dt
import enum
import ipaddress
import pathlib
import uuid
import zoneinfo
from decimal import Decimal
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr, TypeAdapter, ValidationError, create_model
from typing_extensions import TypedDict

from ff_storage import Field, PydanticModel
from ff_storage.core.errors import InvalidValueError


class Status(enum.Enum):
    ACTIVE = "active"
    CLOSED = "closed"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(enum.StrEnum):
    FAST = "fast"


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Address(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.upper())
    street: str
    since: dt.datetime | None = None


class Login(BaseModel):
    user: str
    password: SecretStr


class Typed(TypedDict):
    day: dt.date


@dataclasses.dataclass
class Data:
    amount: Decimal


def adapter(annotation: Any) -> Any:
    model = create_model("AdaptProbe", __base__=PydanticModel, value=(annotation, ...))
    return model.__ff_entity__.table.by_name["value"].adapt


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        int,
        float,
        bool,
        Decimal,
        dt.datetime,
        uuid.UUID,
        bytes,
        list[str],
        list[int],
        Literal[True],
    ],
    ids=str,
)
def test_canonical_values_need_no_adapter(annotation: Any) -> None:
    assert adapter(annotation) is None
    assert adapter(annotation | None) is None


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Status, Status.ACTIVE, "active"),
        (Status, "closed", "closed"),
        (Status | None, "closed", "closed"),
        (Level, Level.HIGH, 2),
        (Level, 1, 1),
        (Mode, Mode.FAST, "fast"),
        (Mode, "fast", "fast"),
        (Rights, Rights.READ | Rights.WRITE, 3),
        (Rights, 2, 2),
        (Literal["a", "b"], "a", "a"),
        (Literal[Status.ACTIVE], Status.ACTIVE, "active"),
        (SecretStr, SecretStr("x"), "x"),
        (SecretStr, "x", "x"),
        (SecretBytes, SecretBytes(b"x"), b"x"),
        (pydantic.Secret[dt.date], pydantic.Secret(dt.date(2026, 1, 2)), dt.date(2026, 1, 2)),
        (pydantic.Secret[Status], pydantic.Secret(Status.ACTIVE), "active"),
        (pydantic.HttpUrl, pydantic.HttpUrl("https://example.com"), "https://example.com/"),
        (pydantic.HttpUrl, "https://example.com", "https://example.com/"),
        (pydantic.PostgresDsn, "postgres://u@h/d", "postgres://u@h/d"),
        (pydantic.HttpUrl | str, "plain", "plain"),
        (ipaddress.IPv6Address, "2001:DB8::0", "2001:db8::"),
        (pydantic.IPvAnyAddress, ipaddress.IPv4Address("10.0.0.1"), "10.0.0.1"),
        (pydantic.IPvAnyAddress, "10.0.0.1", "10.0.0.1"),
        (pathlib.PurePosixPath, pathlib.PurePosixPath("a//b"), "a/b"),
        (zoneinfo.ZoneInfo, zoneinfo.ZoneInfo("UTC"), "UTC"),
        (pydantic.ByteSize, pydantic.ByteSize(5), 5),
        (set[int], {3, 1, 2}, [1, 2, 3]),
        (frozenset[Status], frozenset({Status.CLOSED, Status.ACTIVE}), ["active", "closed"]),
        (tuple[str, ...], ("b", "a"), ["b", "a"]),
        (list[Status], [Status.CLOSED, "active"], ["closed", "active"]),
        (set[SecretStr], {SecretStr("b"), SecretStr("a")}, ["a", "b"]),
    ],
    ids=str,
)
def test_members_secrets_urls_and_sets_become_plain(annotation: Any, value: Any, expected: Any) -> None:
    found = adapter(annotation)(value)
    assert found == expected
    assert type(found) is type(expected)


def test_a_subclass_of_a_plain_class_gives_its_content() -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "x'; DROP TABLE y; --"

    class Count(int):
        def __int__(self) -> int:
            return 99

    assert adapter(Name)(Name("Ann")) == "Ann"
    assert type(adapter(Name)(Name("Ann"))) is str
    assert adapter(Count)(Count(3)) == 3
    with pytest.raises(InvalidValueError):
        adapter(Count)(True)
    with pytest.raises(InvalidValueError):
        adapter(Name)(5)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Status, "x'; --"),
        (Status, Level.LOW),
        (Status, 1),
        (Status, ["active"]),
        (Status, {"$ne": 1}),
        (Level, 3),
        (Level, True),
        (Level, 1.0),
        (Level, "1"),
        (Mode, type("Evil", (str,), {})("fast")),
        (Rights, True),
        (Literal["a"], "b"),
        (pydantic.HttpUrl, "not a url"),
        (pydantic.HttpUrl, 5),
        (ipaddress.IPv4Address, "300.1.1.1"),
        (set[int], "123"),
        (set[int], 5),
        (list[Status], {"active": 1}),
        (list[Status], ["open"]),
        (pydantic.ByteSize, "5"),
    ],
    ids=str,
)
def test_a54_values_that_are_not_in_the_model_are_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(InvalidValueError):
        adapter(annotation)(value)


def test_a54_the_model_refuses_them_as_well() -> None:
    class Ticket(PydanticModel):
        status: Status

    with pytest.raises(ValidationError):
        Ticket(status="x'; --")


def test_the_refusal_of_a_member_names_the_nearest() -> None:
    with pytest.raises(InvalidValueError, match="did you mean 'active'"):
        adapter(Status)("activ")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(SecretStr, 5), (SecretStr, b"S3CR3T"), (SecretBytes, "S3CR3T"), (pydantic.Secret[Status], "S3CR3T")],
    ids=str,
)
def test_a_message_never_shows_a_secret(annotation: Any, value: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        adapter(annotation)(value)
    assert "S3CR3T" not in str(caught.value)
    assert caught.value.__suppress_context__


# --- JSON


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (dict[str, Any], {"a": 1, "b": [None, True, "x"]}, {"a": 1, "b": [None, True, "x"]}),
        (dict[str, dt.date], {"a": dt.date(2026, 1, 2)}, {"a": "2026-01-02"}),
        (dict[int, uuid.UUID], {1: uuid.UUID(int=5)}, {"1": str(uuid.UUID(int=5))}),
        (Address, Address(STREET="Main"), {"street": "Main", "since": None}),
        (Address | None, Address(STREET="Main"), {"street": "Main", "since": None}),
        (Address, {"street": "Main"}, {"street": "Main", "since": None}),
        (list[Address], [Address(STREET="Main")], [{"street": "Main", "since": None}]),
        (
            Address,
            Address(STREET="M", SINCE=dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
            {"street": "M", "since": "2026-01-02T00:00:00Z"},
        ),
        (Typed, {"day": dt.date(2026, 1, 2)}, {"day": "2026-01-02"}),
        (Data, Data(Decimal("1.50")), {"amount": "1.50"}),
        (list[Any], [1, "a", Status.ACTIVE], [1, "a", "active"]),
        (list[int | None], [1, None], [1, None]),
        (tuple[int, str], (1, "a"), [1, "a"]),
        (Any, {"x": (1, 2)}, {"x": [1, 2]}),
        (int | dict[str, int], 5, 5),
        (dict[str, Status], {"a": "active"}, {"a": "active"}),
        (Login, Login(user="a", password=SecretStr("p")), {"user": "a", "password": "p"}),
        (dict[str, SecretStr], {"k": SecretStr("p")}, {"k": "p"}),
        (
            dict[Any, Any],
            {5: [SecretStr("p"), {Status.CLOSED}, dt.date(2026, 1, 2)]},
            {"5": ["p", ["closed"], "2026-01-02"]},
        ),
        (Any, [Login(user="a", password=SecretStr("p"))], [{"user": "a", "password": "p"}]),
        (
            list[dict[str, Login]],
            [{"a": Login(user="a", password=SecretStr("p"))}],
            [{"a": {"user": "a", "password": "p"}}],
        ),
    ],
    ids=str,
)
def test_json_columns_hold_what_pydantics_serializer_makes(annotation: Any, value: Any, expected: Any) -> None:
    assert adapter(annotation)(value) == expected


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Address, Address(STREET="Main", SINCE=dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC))),
        (list[Address], [Address(STREET="Main")]),
        (Data, Data(Decimal("0.10"))),
        (dict[int, Status], {1: Status.ACTIVE}),
        (Login, Login(user="a", password=SecretStr("p"))),
    ],
    ids=str,
)
def test_what_is_stored_can_be_read_by_name(annotation: Any, value: Any) -> None:
    stored = adapter(annotation)(value)
    assert TypeAdapter(annotation).validate_python(stored, by_name=True, by_alias=False) == value


def test_serializers_of_the_annotation_are_used() -> None:
    shout = Annotated[dict[str, str], pydantic.PlainSerializer(lambda value: {k: v.upper() for k, v in value.items()})]
    assert adapter(shout)({"a": "x"}) == {"a": "X"}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Address, {"nope": 1}),
        (Address, 5),
        (dict[str, int], {"a": "x"}),
        (dict[str, int], [1]),
        (dict[str, Any], {"a": object()}),
        (dict[str, bytes], {"a": b"\xff"}),
        (Login, {"user": "a"}),
        (Login, {"user": "a", "password": object()}),
    ],
    ids=str,
)
def test_what_does_not_fit_a_json_column_is_refused_without_showing_it(annotation: Any, value: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        adapter(annotation)(value)
    assert "S3CR3T" not in str(caught.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(_JSON)
def test_json_values_of_no_declared_form_pass_unchanged(value: Any) -> None:
    assert adapter_of_any(value) == value


adapter_of_any = adapter(Any)


@given(st.sets(st.integers()))
def test_equal_sets_are_stored_alike(values: set[int]) -> None:
    assert sets(values) == sets(frozenset(reversed(list(values)))) == sorted(values)


sets = adapter(set[int])


def test_the_options_of_a_field_do_not_reach_the_serializer() -> None:
    class Item(PydanticModel):
        meta: dict[str, int] = Field(default_factory=dict, db_index=True, db_index_type="gin")

    assert Item.__ff_entity__.table.by_name["meta"].adapt({"a": 1}) == {"a": 1}
