"""Rows of models with tables: what their own columns store comes back, and goes with copies."""

import copy
import datetime as dt
import decimal
import enum
import ipaddress
import pickle
import uuid
import weakref
from typing import Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, PrivateAttr, Secret, SecretBytes, SecretStr, ValidationError, create_model

from ff_storage import Field, Many, PydanticModel, RelationNotLoaded, Relationship
from ff_storage.core.model.hydrate import changed_columns, fallbacks, row_builder, rows_builder
from ff_storage.core.model.loaded import Loaded
from ff_storage.core.sql.dialect import Dialect
from ff_storage.core.tables import Column
from ff_storage.core.types import Integer, Text

NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)


class Mood(enum.Enum):
    CALM = "calm"
    WILD = "wild"


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Login(BaseModel):
    at: dt.datetime
    token: SecretStr
    places: dict[int, ipaddress.IPv4Address] = {}


class HydratedKeeper(PydanticModel):
    name: str = Field(max_length=50, db_unique=True)
    animals: Many["HydratedAnimal"] = Relationship(back_populates="keeper")


class HydratedAnimal(PydanticModel):
    __multi_tenant__ = False

    keeper_id: uuid.UUID | None = Field(default=None, db_foreign_key=None)
    species: str = Field(max_length=20)
    weight: decimal.Decimal = Field(max_digits=8, decimal_places=3)
    legs: Literal[0, 2, 4]
    mood: Mood = Mood.CALM
    rights: Rights = Rights.READ
    born: dt.date
    feeding: dt.time
    sleep: dt.timedelta
    tags: set[str] = Field(default_factory=set)
    scores: list[float] = Field(default_factory=list)
    relatives: tuple[uuid.UUID, ...] = ()
    moods: list[Mood] = Field(default_factory=list)
    login: Login | None = None
    data: dict[str, list[int | None]] = Field(default_factory=dict)
    secret: SecretStr
    key: SecretBytes
    pin: Secret[int]
    home: AnyUrl
    photo: bytes = b""
    _fed: int = PrivateAttr(default=0)


def make_animal() -> HydratedAnimal:
    return HydratedAnimal(
        species="cat",
        weight=decimal.Decimal("4.125"),
        legs=4,
        mood=Mood.WILD,
        rights=Rights.READ | Rights.WRITE,
        born=dt.date(2020, 1, 1),
        feeding=dt.time(7, 30),
        sleep=dt.timedelta(hours=16),
        tags={"soft", "gray"},
        scores=[1.0, 2.5],
        relatives=(uuid.UUID(int=1),),
        moods=[Mood.CALM],
        login=Login(at=NOON, token=SecretStr("t"), places={1: ipaddress.IPv4Address("10.0.0.1")}),
        data={"a": [1, None]},
        secret=SecretStr("s"),
        key=SecretBytes(b"k"),
        pin=Secret[int](1234),
        home=AnyUrl("https://example.org/cat"),
        photo=b"\0\xff",
        created_at=NOON,
        updated_at=NOON,
    )


def columns_of_table(model: type[PydanticModel]) -> list[Column]:
    return list(model.__ff_entity__.table.columns)


@pytest.fixture
def loaded(dialect: Dialect, row_of: Any) -> HydratedAnimal:
    columns = columns_of_table(HydratedAnimal)
    return row_builder(HydratedAnimal, columns, dialect)(row_of(make_animal(), columns, dialect))


def test_every_field_comes_back(loaded: HydratedAnimal) -> None:
    made = make_animal()

    assert vars(loaded) == vars(made) | {"id": loaded.id}
    assert [type(value) for value in vars(loaded).values()] == [type(value) for value in vars(made).values()]
    assert loaded.login is not None
    assert loaded.login.token.get_secret_value() == "t"
    assert loaded._fed == 0
    assert loaded.model_fields_set == {*HydratedAnimal.model_fields}


def test_loading_changes_nothing(loaded: HydratedAnimal, dialect: Dialect) -> None:
    assert changed_columns(loaded) == {}

    loaded.mood = Mood.CALM
    loaded.tags.add("loud")
    loaded.data["a"].append(2)

    assert changed_columns(loaded) == {
        "mood": "calm",
        "tags": ["gray", "loud", "soft"],
        "data": {"a": [1, None, 2]},
    }


def test_a_copy_knows_the_row_too(loaded: HydratedAnimal, dialect: Dialect) -> None:
    for copied in (loaded.model_copy(update={"legs": 2}), copy.copy(loaded), copy.deepcopy(loaded)):
        copied.species = "dog"

        assert (changed_columns(copied) or {})["species"] == "dog"

    assert changed_columns(loaded) == {}


def test_a_pickled_instance_leaves_its_row_behind(loaded: HydratedAnimal, dialect: Dialect) -> None:
    again = pickle.loads(pickle.dumps(loaded))

    assert again == loaded
    assert changed_columns(again) is None


def test_relationships_are_no_part_of_a_row(dialect: Dialect, row_of: Any) -> None:
    columns = columns_of_table(HydratedKeeper)
    keeper = HydratedKeeper(name="Ada", tenant_id=uuid.UUID(int=7))
    made = row_builder(HydratedKeeper, columns, dialect)(row_of(keeper, columns, dialect))

    assert made == keeper
    with pytest.raises(RelationNotLoaded):
        _ = made.animals
    assert fallbacks(HydratedKeeper, columns, dialect) == ()


def test_many_rows_become_many_instances(natives: Dialect, row_of: Any) -> None:
    columns = columns_of_table(HydratedAnimal)
    animals = [make_animal() for _ in range(3)]

    assert rows_builder(HydratedAnimal, columns, natives)([row_of(a, columns, natives) for a in animals]) == animals


class HydratedNote(PydanticModel):
    name: str
    data: dict[str, Any]


class HydratedProxy(HydratedNote):
    def __getattr__(self, name: str) -> Any:
        if name == "proxied":
            return 1
        raise AttributeError(name)


@pytest.mark.parametrize("model", [HydratedNote, HydratedProxy])
def test_the_set_fields_of_a_row_are_an_instances_own(model: type[HydratedNote], dialect: Dialect, row_of: Any) -> None:
    columns = model.__ff_entity__.table.columns
    row = row_of(model(name="n", data={}), columns, dialect)
    first, second, third, copied = rows_builder(model, columns, dialect)([row] * 4)

    first.model_fields_set.clear()
    third.name = "m"

    assert second.model_fields_set == third.model_fields_set == {column.attribute for column in columns}
    assert first.model_fields_set == set()
    assert first.model_dump(exclude_unset=True) == {}
    assert pickle.loads(pickle.dumps(second)).model_fields_set == second.model_fields_set
    assert copy.deepcopy(copied).model_fields_set == copied.model_copy().model_fields_set == second.model_fields_set
    with pytest.raises(AttributeError):
        _ = model.__new__(model).__pydantic_fields_set__


# --- instances are filled as those of another class, of which nobody notices


def test_no_class_appears_beside_the_model(natives: Dialect, row_of: Any) -> None:
    heard: list[type] = []

    class HydratedPlace(PydanticModel):
        __multi_tenant__ = False
        name: str

        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__(**options)
            heard.append(cls)

    columns = HydratedPlace.__ff_entity__.blueprint.table.columns
    place = HydratedPlace(name="here")

    made = row_builder(HydratedPlace, columns, natives)(row_of(place, columns, natives))

    assert type(made) is HydratedPlace
    assert made == place
    assert heard == []
    assert HydratedPlace.__subclasses__() == []
    assert all("__ff_entity__" in vars(each) for each in PydanticModel.__subclasses__())
    assert weakref.ref(made)() is made
    with pytest.raises(ValidationError):
        made.name = 7  # type: ignore[assignment]


WORDS = ["class", "naïve", "ﬁne", "𝔵", "snake_case", "l", "É"]
"""Field names that are no attribute in source, or another one: keywords, and what Python normalizes."""


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("names", [[word] for word in WORDS] + [WORDS, [f"field_{n}" for n in range(40)]])
def test_any_name_of_a_field_will_do(names: list[str], count: int, natives: Dialect) -> None:
    model: Any = create_model("HydratedWords", __base__=Loaded, **dict.fromkeys(names, (int, ...)))
    columns = [Column(f"c{n}", Integer(), False, name) for n, name in enumerate(names)]
    values = dict(zip(names, range(len(names)), strict=True))

    made = rows_builder(model, columns, natives)([tuple(values.values())] * count)

    assert made == [model.model_validate(values)] * count
    assert all(list(vars(each).items()) == list(values.items()) for each in made)


def test_a_model_of_another_layout_is_made_otherwise(natives: Dialect) -> None:
    class HydratedWide(Loaded):
        __slots__ = ("more",)
        name: str

    class HydratedGiven(Loaded):
        name: str

        def __getattr__(self, name: str) -> Any:
            return f"no {name}"

    born: list[type] = []

    class HydratedNew(Loaded):
        name: str

        def __new__(cls, **_: Any) -> Any:
            born.append(cls)
            return super().__new__(cls)

    for model in (HydratedWide, HydratedGiven, HydratedNew):
        made = rows_builder(model, [Column("name", Text(), False, "name")], natives)([("a",)] * 20)
        assert [*map(type, made)] == [model] * 20
        assert made == [model(name="a")] * 20
        assert made[0].model_fields_set == {"name"}
        assert changed_columns(made[0]) == {}
    assert born == [HydratedNew] * 21  # and once for the expected one
