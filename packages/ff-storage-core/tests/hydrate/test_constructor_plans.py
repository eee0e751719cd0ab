"""What is planned once for rows of given columns: defaults, refusals, caching, and errors of rows that do not fit."""

import datetime as dt
import enum
import gc
import uuid
import weakref
from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ff_storage import ConfigurationError, InvalidRowError, InvalidValueError
from ff_storage.core.model.hydrate import changed_columns, fallbacks, field_reader, row_builder, rows_builder
from ff_storage.core.sql.dialect import Dialect
from ff_storage.core.tables import Column
from ff_storage.core.types import Integer, Json, Text, Uuid


class Base(BaseModel):
    __slots__ = ("__ff_plan__", "__ff_row__", "__ff_values__")


class Shared:
    """Hashable, so Pydantic shares it as a default."""


SHARED = Shared()


class Partial(Base):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: str
    tags: list[str] = ["a"]
    nested: dict[str, list[int]] = {"a": [1]}
    made: list[int] = Field(default_factory=lambda: [7])
    shared: Shared = SHARED
    checked: Annotated[int, AfterValidator(lambda value: value + 1)] = Field(default=1, validate_default=True)
    unchecked: Annotated[int, AfterValidator(lambda value: value + 1)] = 1
    number: int = 3


class Person(Base):
    name: str = Field(max_length=3)
    age: int = Field(ge=0)


class Status(enum.Enum):
    OPEN = "open"


class Account(Base):
    id: uuid.UUID
    status: Status
    password: Annotated[SecretStr, Field(min_length=4)]


def only(columns: list[Column], *names: str) -> list[Column]:
    return [column for column in columns if column.name in names]


# --- columns that are not read


def test_fields_that_are_not_read_get_what_validation_gives_them(dialect: Dialect, columns_of: Any) -> None:
    columns = only(columns_of(Partial, tags=Json(), nested=Json(), made=Json(), shared=Json()), "name")

    made, expected = row_builder(Partial, columns, dialect)(("n",)), Partial.model_validate({"name": "n"})

    assert made == expected
    assert list(vars(made)) == list(vars(expected))
    assert made.model_fields_set == {"name"}
    assert (made.checked, made.unchecked) == (2, 1)


def test_mutable_defaults_are_no_two_instances_own(dialect: Dialect, columns_of: Any) -> None:
    columns = only(columns_of(Partial, tags=Json(), nested=Json(), made=Json(), shared=Json()), "name", "number")
    build = row_builder(Partial, columns, dialect)
    one, other = build(("n", 1)), build(("n", 1))

    one.tags.append("b")
    one.nested["a"].append(2)
    one.made.append(8)

    assert (other.tags, other.nested, other.made) == (["a"], {"a": [1]}, [7])
    assert (Partial(name="n").tags, Partial(name="n").nested) == (["a"], {"a": [1]})
    assert one.shared is other.shared is SHARED


def test_a_factory_that_takes_data_has_the_model_validated(dialect: Dialect, columns_of: Any) -> None:
    class Greeting(Base):
        name: str
        text: str = Field(default_factory=lambda data: f"hello {data['name']}")

    columns = columns_of(Greeting)

    assert row_builder(Greeting, columns[:1], dialect)(("Ada",)).text == "hello Ada"
    assert fallbacks(Greeting, columns[:1], dialect) == ("model: the default of text is computed from other fields",)
    assert fallbacks(Greeting, columns, dialect) == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["name"], "Person cannot be built from name: no value for age"),
        ([], "rows of Person need columns that are distinct fields of it: none"),
        (["name", "age", "name"], "distinct fields of it: name, age, name"),
        (["name", "age", "size"], "distinct fields of it: size"),
    ],
)
def test_columns_that_cannot_make_an_instance_are_refused(names: list[str], message: str, natives: Dialect) -> None:
    columns = [Column(name, Text(), False, name) for name in names]

    with pytest.raises(ConfigurationError, match=message):
        row_builder(Person, columns, natives)


def test_columns_may_come_in_any_order(dialect: Dialect, columns_of: Any) -> None:
    made = row_builder(Person, columns_of(Person)[::-1], dialect)((3, "Ada"))

    assert repr(made) == "Person(name='Ada', age=3)"


def test_a_column_may_be_named_unlike_its_field(natives: Dialect) -> None:
    columns = [Column("full_name", Text(), False, "name"), Column("years", Integer(), False, "age")]

    assert row_builder(Person, columns, natives)(("Ada", 3)) == Person(name="Ada", age=3)


# --- trust


def test_constraints_are_checked_only_on_demand(dialect: Dialect, columns_of: Any) -> None:
    columns = columns_of(Person)

    trusted = row_builder(Person, columns, dialect)(("too long", -1))

    assert (trusted.name, trusted.age) == ("too long", -1)
    with pytest.raises(InvalidRowError, match="name: String should have at most 3 characters; age: Input should be"):
        row_builder(Person, columns, dialect, validate=True)(("too long", -1))


def test_each_instance_owns_its_set_fields(dialect: Dialect, columns_of: Any) -> None:
    one, other = rows_builder(Person, columns_of(Person), dialect)([("a", 1), ("b", 2)])

    one.model_fields_set.clear()

    assert other.model_fields_set == {"name", "age"}


def test_json_of_a_row_is_no_two_instances_own(dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    class Document(Base):
        content: dict[str, list[int]]

    columns = columns_of(Document, content=Json())
    row = row_of(Document(content={"a": [1]}), columns, dialect)
    build = row_builder(Document, columns, dialect)
    one, other = build(row), build(row)

    one.content["a"].append(2)

    assert other.content == build(row).content == {"a": [1]}


class Note(Base):
    name: str
    data: dict[str, Any] | None


def make_notes(count: int) -> list[Note]:
    return [Note(name=f"n{each}", data={"a": [each, None], "b": {}} if each % 3 else None) for each in range(count)]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 499, 500, 501, 1203])
def test_rows_are_built_alike_alone_and_together(count: int, dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    columns = columns_of(Note, data=Json())
    notes = make_notes(count)

    built = rows_builder(Note, columns, dialect)([row_of(note, columns, dialect) for note in notes])

    assert built == notes
    assert [changed_columns(note) for note in built] == [{}] * count


def test_one_of_many_rows_that_does_not_fit_is_named(dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    columns = columns_of(Account, id=Uuid(), status=(Text(), lambda value: value.value), password=Text())
    row = row_of(Account(id=uuid.uuid4(), status=Status.OPEN, password=SecretStr("secret")), columns, dialect)[:2]

    with pytest.raises(InvalidRowError, match="status does not fit"):
        rows_builder(Account, columns, dialect)([*[(*row, "secret")] * 20, (row[0], "shut", "secret")])


def test_a_class_without_the_slot_works_but_remembers_nothing(natives: Dialect, columns_of: Any) -> None:
    class Bare(BaseModel):
        id: int

    made = row_builder(Bare, columns_of(Bare), natives)((1,))

    assert made == Bare(id=1)
    assert changed_columns(made) is None


def test_a_wrap_validator_may_return_something_else(natives: Dialect, columns_of: Any) -> None:
    class Odd(Base):
        id: int

        @model_validator(mode="wrap")
        @classmethod
        def other(cls, data: Any, handler: Any) -> Any:
            return ("odd", handler(data).id)

    assert row_builder(Odd, columns_of(Odd), natives)((1,)) == ("odd", 1)


def test_before_validators_of_a_model_see_ordinary_json(dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    seen: list[Any] = []

    class Item(BaseModel):
        key: uuid.UUID | str

    class Order(Base):
        items: list[Item] = []

        @model_validator(mode="before")
        @classmethod
        def look(cls, data: Any) -> Any:
            seen.append(data["items"])
            return data

    key = uuid.UUID(int=1)
    columns = columns_of(Order, items=(Json(), lambda items: [each.model_dump(mode="json") for each in items]))
    order = Order(items=[Item(key=key)])
    row = row_of(order, columns, dialect)
    seen.clear()

    assert row_builder(Order, columns, dialect)(row) == order
    assert seen == [[{"key": str(key)}]]


def test_before_validators_of_a_model_may_drop_a_field(dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    class Note(Base):
        parts: set[int] = {7}

        @model_validator(mode="before")
        @classmethod
        def drop(cls, data: Any) -> Any:
            return {key: value for key, value in data.items() if value != [0]}

    columns = columns_of(Note, parts=(Json(), sorted))
    build = row_builder(Note, columns, dialect)

    assert build(row_of(Note(parts={1}), columns, dialect)).parts == {1}
    assert build(row_of(Note.model_construct(parts={0}), columns, dialect)).parts == {7}


# --- classes that come and go


def test_a_constructor_is_planned_once(dialect: Dialect, columns_of: Any) -> None:
    columns = columns_of(Person)
    build = row_builder(Person, columns, dialect)

    assert row_builder(Person, tuple(columns), dialect) is build
    assert row_builder(Person, columns, dialect, validate=True) is not build
    assert row_builder(Person, columns[::-1], dialect) is not build


def test_a_constructor_is_no_subclass_own(dialect: Dialect, columns_of: Any) -> None:
    class Senior(Person):
        pass

    columns = columns_of(Person)
    row_builder(Person, columns, dialect)

    assert type(row_builder(Senior, columns, dialect)(("a", 1))) is Senior


def test_many_plans_do_not_pile_up(natives: Dialect) -> None:
    before = row_builder(
        Person, [Column("name", Text(), False, "name"), Column("age", Integer(), False, "age")], natives
    )

    for _ in range(600):
        columns = [Column("name", Text(), False, "name"), Column("age", Integer(), False, "age")]
        assert row_builder(Person, columns, natives)(("a", 1)) == before(("a", 1))

    assert len(Person.__dict__["__ff_plans__"]) < 300


def test_classes_die_with_their_constructors(natives: Dialect, columns_of: Any) -> None:
    def use() -> weakref.ref[Any]:
        class Brief(Base):
            id: int
            status: Status

        row_builder(Brief, columns_of(Brief, status=Text()), natives)((1, "open"))
        row_builder(Brief, columns_of(Brief, status=Text()), natives, validate=True)((1, "open"))
        return weakref.ref(Brief)

    brief = use()
    gc.collect()

    assert brief() is None


def test_a_rebuilt_class_is_planned_anew(natives: Dialect, columns_of: Any) -> None:
    class Changing(Base):
        value: str

    columns = columns_of(Changing)
    assert row_builder(Changing, columns, natives)((" a ",)).value == " a "

    Changing.model_config["str_strip_whitespace"] = True
    Changing.model_rebuild(force=True)

    assert row_builder(Changing, columns, natives)((" a ",)).value == "a"


def test_a_class_is_completed_when_it_is_needed(natives: Dialect, columns_of: Any) -> None:
    class Deferred(Base):
        model_config = ConfigDict(defer_build=True)
        id: int

    assert row_builder(Deferred, columns_of(Deferred), natives)((1,)) == Deferred(id=1)


def test_an_undefined_name_is_a_matter_of_configuration(natives: Dialect) -> None:
    class Unfinished(Base):
        other: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigurationError, match="Unfinished is not fully defined: name 'Nowhere' is not defined"):
        row_builder(Unfinished, [Column("other", Text(), False, "other")], natives)


def test_an_alias_path_cannot_reach_a_models_own_init(natives: Dialect, columns_of: Any) -> None:
    class Pathed(Base):
        x: int = Field(validation_alias=AliasPath("a", 0))

        def __init__(self, **data: Any) -> None:
            super().__init__(**data)

    class Named(Pathed):
        model_config = ConfigDict(validate_by_name=True)

    with pytest.raises(ConfigurationError, match="set validate_by_name"):
        row_builder(Pathed, columns_of(Pathed), natives)
    assert row_builder(Named, columns_of(Named), natives)((1,)).x == 1


# --- rows that do not fit


def test_the_error_names_the_column_and_hides_the_value(dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    columns = columns_of(Account, status=Text(), password=Text())
    key = dialect.encoder(Uuid())(uuid.UUID(int=1))
    build = row_builder(Account, columns, dialect)

    with pytest.raises(InvalidRowError) as unknown:
        build((key, "closed", "secret"))
    with pytest.raises(InvalidRowError) as short:
        build((key, "open", "pw!"))

    assert str(unknown.value).startswith("the column status does not fit Account.status: Input should be 'open'")
    assert unknown.value.details == {"column": "status"}
    assert "password" in str(short.value)
    assert "pw!" not in str(short.value) + str(short.value.__cause__)


def test_a_driver_value_that_cannot_be_decoded_names_the_column(texts: Dialect, columns_of: Any) -> None:
    columns = columns_of(Account, status=Text(), password=Text())

    with pytest.raises(InvalidRowError, match=r"the column id does not fit Account\.id: a ValueError") as error:
        row_builder(Account, columns, texts)(("no uuid", "open", "secret"))

    assert isinstance(error.value.__cause__, ValueError)


def test_none_where_an_enum_is_required_does_not_pass(dialect: Dialect, columns_of: Any) -> None:
    class Open(Base):
        status: Status

    with pytest.raises(InvalidRowError, match="Input should be 'open'"):
        row_builder(Open, columns_of(Open, status=Text()), dialect)((None,))


def test_none_where_a_nested_model_is_required_does_not_pass(dialect: Dialect, columns_of: Any) -> None:
    class Outer(Base):
        inner: Person

    with pytest.raises(InvalidRowError, match=r"the column inner does not fit Outer\.inner"):
        row_builder(Outer, columns_of(Outer, inner=Json()), dialect)((None,))


def test_a_row_of_another_width_is_refused(natives: Dialect, columns_of: Any) -> None:
    build = row_builder(Person, columns_of(Person), natives)

    with pytest.raises(InvalidRowError, match="a row of Person needs 2 values: it has 3"):
        build(("a", 1, 2))


def test_an_error_in_model_post_init_is_reported_whole(natives: Dialect, columns_of: Any) -> None:
    class Picky(Base):
        id: int

        def model_post_init(self, context: Any, /) -> None:
            if self.id < 0:
                raise ValueError("negative")
            if self.id == 0:
                raise InvalidValueError("zero")

    build = row_builder(Picky, columns_of(Picky), natives)

    with pytest.raises(InvalidRowError, match="a row does not fit Picky: a ValueError"):
        build((-1,))
    with pytest.raises(InvalidValueError, match="zero"):
        build((0,))


# --- single columns


def test_a_field_reader_gives_the_fields_own_value(dialect: Dialect, columns_of: Any, row_of: Any) -> None:
    columns = columns_of(Account, status=Text(), password=Text())
    row = (dialect.encoder(Uuid())(uuid.UUID(int=1)), "open", "secret")
    reads = [field_reader(Account, column, dialect) for column in columns]

    values = [read(value) if read else value for read, value in zip(reads, row, strict=True)]

    assert values == [uuid.UUID(int=1), Status.OPEN, SecretStr("secret")]
    assert reads[1] is not None
    with pytest.raises(InvalidRowError, match="column status"):
        reads[1]("closed")


def test_a_field_reader_is_absent_where_nothing_is_converted(natives: Dialect, columns_of: Any) -> None:
    assert [field_reader(Person, column, natives) for column in columns_of(Person)] == [None, None]


def test_a_field_reader_passes_none(dialect: Dialect, columns_of: Any) -> None:
    class Loose(Base):
        at: dt.datetime | None
        status: Status | None
        inner: Person | None

    for column in columns_of(Loose, status=Text(), inner=Json()):
        read = field_reader(Loose, column, dialect)
        assert read is None or read(None) is None


def test_a_field_reader_has_no_other_fields_to_show(natives: Dialect, columns_of: Any) -> None:
    class Span(Base):
        start: int
        end: int
        kind: Annotated[Status | None, AfterValidator(lambda value, info: value or info.data["kind"])] = None

        @field_validator("end")
        @classmethod
        def after(cls, value: int, info: ValidationInfo) -> int:
            return max(value, info.data["start"])

    columns = columns_of(Span, kind=Text())

    assert field_reader(Span, columns[1], natives) is None
    read = field_reader(Span, columns[2], natives)
    assert read is not None
    assert read("open") is Status.OPEN
    assert row_builder(Span, columns, natives)((5, 1, "open")).end == 5
