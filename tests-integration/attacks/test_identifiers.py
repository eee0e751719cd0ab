"""Names from outside: as keys, as fields, as tables. None but a plain identifier that exists ever reaches SQL."""

# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from pydantic import create_model

from attacks.models import Victim
from attacks.oracle import Target, hostile_text
from ff_storage import F, Field, PydanticModel, PydanticRepository, Query, bulk_insert, col, func
from ff_storage.core.errors import ConfigurationError, IdentifierError, UnknownFieldError
from ff_storage.core.model import registry
from ff_storage.testing import create_tables

CONTROL: Final = (
    "a\x00b", "a\nb", "a\tb", "a\x1b", "a\x7f", "a\r", "a\u2028b", "a\u2029", "a\x85b", "\x00", "title\x00",
    "\ntitle", "title\n", "a\u202eb", "a\x1a",
)  # fmt: skip
LOOK_ALIKES: Final = (
    "tіtle", "ＴＩＴＬＥ", "ｔｉｔｌｅ", "tit\u200ble", "title\u200d", "\ufefftitle", "tıtle", "𝐭𝐢𝐭𝐥𝐞",
    "ﬁeld", "tit\u0307le",
    "é", "ºtitle", "titlе",
)  # fmt: skip
LONG: Final = ("a" * 64, "a" * 129, "a" * 10_000, "é" * 40)
SQL: Final = (
    "1=1 OR id", "id) OR (1=1", "title = title OR 1", "title; DROP TABLE attack_victims", 'title"',
    'title" = "title', "title`", "title]", "title--", "title/*", "(SELECT secret FROM attack_canaries)",
    "attack_canaries.secret", "title, body", "title AS body", "*", "", " ", " title", "title ", "1", "1title",
    "title.body", "title::text", "title->body", "$1", "?", "'title'", "title||body", "title%", "title\\", "+title",
    "@title", "title__startswith ",
)  # fmt: skip
NO_NAMES: Final = (*CONTROL, *LOOK_ALIKES, *LONG, *SQL)

make_class: Any = type(PydanticModel)
"""What a class statement calls."""

DUNDERS: Final = ("__class__", "__dict__", "__ff_entity__", "__pydantic_fields__", "__init__", "_id", "__table_name__")


def uses_of_a_name(name: Any, target: Target) -> list[Callable[[], Any]]:
    """Every way in which a caller's text can come to name a field."""
    repo = PydanticRepository(Victim, target.pool)
    query = Query(Victim)
    return [
        lambda: repo.list({name: 5}),
        lambda: repo.list(filters={"title": "a", name: None}),
        lambda: repo.count({name: [1]}),
        lambda: repo.list(order_by=name),
        lambda: repo.list(order_by=[name]),
        lambda: query.filter_by(**{name: 5}),
        lambda: query.filter(F[name] == 5),
        lambda: query.order_by(name).execute(target.pool),
        lambda: query.select(name).execute(target.pool),
        lambda: query.select(func.count()).group_by(name).execute(target.pool),
        lambda: query.select(func.max(name)).execute(target.pool),
        lambda: query.select(func.lower(name)).execute(target.pool),
        lambda: query.select(func.coalesce(name, 1)).execute(target.pool),
        lambda: query.filter(col(F[name]).is_null()),
        lambda: Victim.field(name),
    ]


@pytest.mark.parametrize("name", CONTROL, ids=ascii)
async def test_a05_a_key_with_control_characters_is_no_identifier(target: Target, name: str) -> None:
    for attempt in uses_of_a_name(name, target):
        await target.refuses(attempt, IdentifierError)


@pytest.mark.parametrize("name", LOOK_ALIKES, ids=ascii)
async def test_a06_a_look_alike_is_not_folded_into_a_field(target: Target, name: str) -> None:
    for attempt in [*uses_of_a_name(name, target), lambda: getattr(F, name), lambda: getattr(Victim, name)]:
        await target.refuses(attempt, (IdentifierError, UnknownFieldError))


@pytest.mark.parametrize("name", ["TITLE", "Title", "nope", "secret", "titles", "title__gt", "title__startswith"])
async def test_a06_a_name_in_another_case_is_another_name(target: Target, name: str) -> None:
    for attempt in uses_of_a_name(name, target):
        await target.refuses(attempt, UnknownFieldError)


async def _awaited(result: Any) -> Any:
    return await result if hasattr(result, "__await__") else result


@pytest.mark.parametrize("name", LONG, ids=len)
async def test_a08_an_over_long_name_is_refused_and_never_cut(target: Target, name: str) -> None:
    for attempt in uses_of_a_name(name, target):
        await target.refuses(attempt, IdentifierError)


@pytest.mark.parametrize("name", SQL, ids=ascii)
async def test_a10_a_key_that_is_sql_is_refused(target: Target, name: str) -> None:
    for attempt in uses_of_a_name(name, target):
        await target.refuses(attempt, IdentifierError)


async def test_a10_a_leading_minus_is_known_to_order_by_alone(target: Target) -> None:
    repo, query = PydanticRepository(Victim, target.pool), Query(Victim)
    assert await repo.list(order_by="-title") == await query.order_by("-title").execute(target.pool) == []
    attempts: list[Callable[[], Any]] = [
        lambda: repo.list({"-title": "a"}),
        lambda: query.filter(F["-title"] == "a"),
        lambda: query.select("-title"),
        lambda: query.group_by("-title"),
        lambda: func.max("-title"),
    ]
    for attempt in attempts:
        await target.refuses(attempt, IdentifierError)


@pytest.mark.parametrize(
    "name", [5, None, 1.5, b"title", ("title",), ["title"], {"title": 1}, object(), type], ids=ascii
)
async def test_a10_a_name_is_a_text(target: Target, name: Any) -> None:
    query = Query(Victim)
    attempts: list[Callable[[], Any]] = [
        lambda: query.filter(F[name] == 5),
        lambda: query.select(name),
        lambda: query.group_by(name),
        lambda: query.order_by(name),
        lambda: func.max(name),
        lambda: func.lower(name),
    ]
    for attempt in attempts:
        if name is not None or attempt is not attempts[4]:
            await target.refuses(attempt, IdentifierError)


@pytest.mark.parametrize("name", [*DUNDERS, "model_config", "model_fields", "copy"])
async def test_a29_private_names_and_methods_are_no_fields(target: Target, name: str) -> None:
    for attempt in uses_of_a_name(name, target):
        await target.refuses(attempt, (IdentifierError, UnknownFieldError))


@pytest.mark.parametrize("name", ["_sql", "__dict__", "__wrapped__", "_id", "__ff_entity__", 'x"; --', "a b", "", "é"])
async def test_a29_f_gives_no_private_names(target: Target, name: str) -> None:
    await target.refuses(lambda: getattr(F, name), (AttributeError, IdentifierError))
    if not name.startswith("_"):
        await target.refuses(lambda: F[name], IdentifierError)


async def test_a29_f_itself_gives_nothing_away() -> None:
    assert repr(F) == "F"
    with pytest.raises(AttributeError):
        _ = F.__dict__
    with pytest.raises(AttributeError):
        F.price = 1


@pytest.mark.parametrize("name", [*NO_NAMES, *DUNDERS[:1], 5, True], ids=ascii)
async def test_a05_a_label_is_an_identifier(target: Target, name: Any) -> None:
    if name != "__class__":
        await target.refuses(lambda: col(Victim.title).label(name), IdentifierError)
    hostile = hostile_text("total", "x; DROP TABLE attack_victims")
    await target.refuses(lambda: col(Victim.title).label(hostile), IdentifierError)


@pytest.mark.parametrize(
    "disguise", ["title", "secret", "1=1 OR title", 'title" --', "(SELECT secret FROM attack_canaries)"]
)
async def test_a13_a_text_that_lies_about_itself_is_its_real_content_or_refused(target: Target, disguise: str) -> None:
    """As a name it is refused or names the field of its content, and its disguise is sent nowhere."""
    await target.create(Victim(title="there"))
    for content in ("title", "nope; --", "nope"):
        for attempt in uses_of_a_name(hostile_text(content, disguise), target):
            target.sent.clear()
            try:
                result = await _awaited(attempt())
            except (IdentifierError, UnknownFieldError, ValueError) as error:
                assert target.sent == []
                target.note(error)
            else:
                assert content == "title"
                target.note(result)
                assert not [text for text in target.sent if disguise in text and disguise != "title"]


async def test_a14_two_fields_that_differ_in_case_are_two_names_and_no_table(target: Target) -> None:
    repo = PydanticRepository(Victim, target.pool)
    await target.refuses(lambda: repo.list({"Title": 1, "title": "a"}), UnknownFieldError)
    await target.refuses(lambda: repo.list({"title": "a", "TITLE": 1}), UnknownFieldError)
    with registry.scoped():
        for names in (("Title", "title"), ("a", "A"), ("order", "ORDER")):
            await target.refuses(
                lambda names=names: create_model("Twice", __base__=PydanticModel, **dict.fromkeys(names, (str, ...))),
                ConfigurationError,
            )
        await target.refuses(
            lambda: create_model(
                "Twice",
                __base__=PydanticModel,
                a=(str, Field(db_column="c")),
                b=(str, Field(db_column="C")),
            ),
            ConfigurationError,
        )


@pytest.mark.parametrize("names", [("Title", "title"), ("title", "Title"), ("title ", "title")])
async def test_a14_a_record_of_bulk_names_its_fields_exactly(target: Target, names: tuple[str, str]) -> None:
    record = {names[0]: 1, names[1]: "a"}
    await target.refuses(
        lambda: bulk_insert(Victim, [record], target.pool, trusted=True), (UnknownFieldError, ValueError)
    )


# --- names that a model gives ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["__table_name__", "__schema__", "__tenant_field__", "__version_column__"])
@pytest.mark.parametrize(
    "name", [*NO_NAMES, "users; DROP TABLE x", 'a"b', 'public";--', "a.b", 5, b"a", ("a",)], ids=ascii
)
async def test_a09_the_names_of_a_table_are_identifiers_when_the_class_is_made(
    target: Target, setting: str, name: Any
) -> None:
    with registry.scoped():
        await target.refuses(
            lambda: make_class("Wrong", (PydanticModel,), {"__module__": __name__, setting: name}),
            IdentifierError,
        )


@pytest.mark.parametrize("name", [each for each in NO_NAMES if each.strip()], ids=ascii)
async def test_a09_the_names_of_columns_and_indexes_are_identifiers_when_the_class_is_made(
    target: Target, name: str
) -> None:
    with registry.scoped():
        await target.refuses(lambda: _model_with(name, (int, ...)), (IdentifierError, ConfigurationError))
        for options in ({"db_column": name}, {"db_index_name": name}, {"db_index_columns": ["number", name]}):
            await target.refuses(
                lambda options=options: _model_with("number", (int, Field(**options))), IdentifierError
            )


def _model_with(name: str, field: Any) -> Any:
    return create_model("Wrong", __base__=PydanticModel, **{name: field})


@pytest.mark.parametrize(
    "reference",
    [
        "attack_victims(id); DROP TABLE attack_victims", "attack_victims(id", "attack_victims)id(",
        "attack_victims id", 'attack_victims"(id)', "attack_victims(id) ON DELETE CASCADE",
        "attack_victims(id, title; --)", "a.b.c(id)", "(id)", "attack_victims()", "é(id)", "attack_victims(i\x00d)",
        "-- (id)",
    ],
    ids=ascii,
)  # fmt: skip
async def test_a09_a_foreign_key_names_identifiers(target: Target, reference: str) -> None:
    with registry.scoped():
        await target.refuses(
            lambda: _resolved(_model_with("other", (int, Field(db_foreign_key=reference)))),
            (IdentifierError, ConfigurationError),
        )


def _resolved(model: type[PydanticModel]) -> object:
    return model.__ff_entity__.table


@pytest.mark.parametrize(
    "option",
    [
        {"db_on_delete": "CASCADE; --"}, {"db_on_update": "cascade"}, {"db_index_type": "btree; --"},
        {"db_unique": "GLOBAL"}, {"db_unique": 1}, {"db_primary_key": "yes"}, {"db_precision": "10); --"},
        {"db_scale": -1}, {"db_nullable": 1}, {"db_type": ""}, {"db_type": 5}, {"db_default": "a\x00b"},
        {"db_check": ""}, {"db_nope": 1},
    ],
    ids=str,
)  # fmt: skip
async def test_a09_the_options_of_a_field_are_what_they_may_be(target: Target, option: dict[str, Any]) -> None:
    with registry.scoped():
        await target.refuses(lambda: _model_with("number", (int, Field(**option))), ConfigurationError)


RESERVED: Final = (
    "order", "select", "group", "user", "limit", "table", "from", "where", "index", "primary", "default", "values",
    "null", "check", "references", "rowid", "oid", "_rowid_", "and", "or", "not", "in", "is", "like", "desc", "asc",
    "union", "column", "constraint", "offset", "returning", "current_timestamp", "true", "false", "end", "case",
    "key", "rank", "value", "type",
)  # fmt: skip


async def test_a15_reserved_words_are_ordinary_names(target: Target) -> None:
    """As fields and as tables: created, written, read, filtered, ordered, grouped, updated, deleted."""
    with registry.scoped():
        fields: dict[str, Any] = {name.strip("_"): (int, 0) for name in RESERVED}
        for table in ("order", "select", "group", "user", "table", "values"):
            base = make_class(
                "Base", (PydanticModel,), {"__module__": __name__, "__abstract__": True, "__multi_tenant__": False}
            )
            made: Any = create_model("Reserved", __base__=base, **fields, __cls_kwargs__={})
            model: Any = make_class(
                "Words", (made,), {"__module__": __name__, "__table_name__": table, "__qualname__": f"Words_{table}"}
            )
            await create_tables(target.pool, model)
            repo = PydanticRepository(model, target.pool)
            created: Any = await repo.create(model(order=1, group=2))
            query: Any = Query(model)
            for name in fields:
                column = getattr(model, name) if not hasattr(type(model), name) else F[name]
                assert await query.filter(column == getattr(created, name)).order_by(name).count(target.pool) == 1
                assert await query.select(name, func.count()).group_by(name).execute(target.pool) == [
                    (getattr(created, name), 1)
                ]
                changed = model.model_construct(_fields_set={name}, **{name: 7})
                assert getattr(await repo.update(created.id, changed), name) == 7
            assert await repo.delete(created.id, hard=True) is True
