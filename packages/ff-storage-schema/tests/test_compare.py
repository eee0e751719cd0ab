"""Facts of two sides become what is missing, and what differs."""

import random

import pytest

from ff_storage.core.facts import Fact
from ff_storage.core.tables import Column, ForeignKey, Index, Table
from ff_storage.core.types import Integer
from ff_storage.schema.compare import Difference, compare, in_reference_order, printable


def table(name: str, *targets: str, schema: str | None = None, indexes: tuple[str, ...] = ()) -> Table:
    keys = tuple(ForeignKey(f"fk_{target}", ("a",), schema, target, ("a",)) for target in targets)
    column = Column("a", Integer(), nullable=True, attribute="a")
    made = tuple(Index(index, ("a",)) for index in indexes)
    return Table(name, schema, (column,), (), made, keys)


def facts(*rows: str, name: str = "things", schema: str = "") -> frozenset[Fact]:
    """`column.type a INTEGER`, one a row; an empty name is written `-`."""
    found: list[Fact] = []
    for row in rows:
        kind, thing, value = row.split(" ", 2)
        found.append(Fact(schema, name, kind, "" if thing == "-" else thing, value))
    return frozenset(found)


BASE = ("table.kind - table", "column.type a INTEGER", "column.nullable a NULL")


def test_equal_is_nothing() -> None:
    things = table("things")
    found = compare([things], facts(*BASE), facts(*BASE))
    assert (found.tables, found.indexes, found.differences) == ((), (), ())


def test_a_table_without_facts_is_missing() -> None:
    things, others = table("things"), table("others")
    found = compare([things, others], facts(*BASE) | facts(*BASE, name="others"), facts(*BASE, name="others"))
    assert found.tables == (things,)
    assert not found.differences


def test_schemas_are_told_apart() -> None:
    one, other = table("things"), table("things", schema="sales")
    desired = facts(*BASE) | facts(*BASE, schema="sales")
    assert compare([one, other], desired, facts(*BASE, schema="sales")).tables == (one,)
    changed = facts("table.kind - table", "column.type a TEXT", "column.nullable a NULL", schema="sales")
    (difference,) = compare([one, other], desired, facts(*BASE) | changed).differences
    assert difference.table == "sales.things"


def test_a_whole_index_is_missing_and_a_part_of_one_differs() -> None:
    things = table("things", indexes=("one", "two"))
    rows = ["index.columns one a", "index.unique one yes", "index.columns two a", "index.unique two no"]
    desired = facts(*BASE, *rows)
    found = compare([things], desired, facts(*BASE, *rows[:2]))
    assert (found.indexes, found.differences) == (((things, "two"),), ())
    found = compare([things], desired, facts(*BASE, *rows[:3], "index.unique two yes"))
    assert found.indexes == ()
    assert found.differences == (Difference("things", "index.unique", "two", "no", "yes"),)


@pytest.mark.parametrize(
    ("desired", "current", "kind", "name", "model", "database", "text"),
    [
        (
            ["column.type b TEXT", "column.nullable b NULL"], [], "column", "b", "nullable NULL, type TEXT", None,
            "things: the column b is only in the model: nullable NULL, type TEXT",
        ),
        (
            [], ["column.type b TEXT"], "column", "b", None, "TEXT",
            "things: the column b is only in the database: TEXT",
        ),
        (
            ["primary_key.columns - a"], ["primary_key.columns - b"], "primary_key.columns", "", "a", "b",
            "things: the primary key has columns a in the model and b in the database",
        ),
        (
            ["column.type b TEXT", "column.default b 1"], ["column.type b TEXT"], "column.default", "b", "1", None,
            "things: the column b has default 1 only in the model",
        ),
        (
            ["check.expression - a > 0"], ["check.expression - a > 0", "check.expression - a > 1"],
            "check.expression", "", None, "a > 1",
            "things: the check has expression a > 1 only in the database",
        ),
    ],
)  # fmt: skip
def test_one_difference(
    desired: list[str], current: list[str], kind: str, name: str, model: str, database: str, text: str
) -> None:
    (found,) = compare([table("things")], facts(*BASE, *desired), facts(*BASE, *current)).differences
    assert found == Difference("things", kind, name, model, database)
    assert str(found) == text


def test_another_kind_of_thing_is_one_difference() -> None:
    found = compare([table("things")], facts(*BASE), facts("table.kind - view"))
    assert found.differences == (Difference("things", "table.kind", "", "table", "view"),)


def test_an_index_of_another_table_is_one_difference() -> None:
    things = table("things", indexes=("one",))
    desired = facts(*BASE, "index.table one things", "index.columns one a")
    found = compare([things], desired, facts(*BASE, "index.table one others"))
    assert found.indexes == ()
    assert found.differences == (Difference("things", "index.table", "one", "things", "others"),)


def test_a_missing_table_whose_index_is_on_another_is_a_difference() -> None:
    things = table("things", indexes=("one",))
    desired = facts(*BASE, "index.table one things", "index.columns one a")
    found = compare([things], desired, facts("index.table one others"))
    assert found.tables == ()
    assert found.differences == (Difference("things", "index.table", "one", "things", "others"),)


def test_referenced_tables_come_first() -> None:
    tables = [table("a", "b", "c"), table("b", "c"), table("c", "c"), table("d", "nowhere")]
    random.Random(1).shuffle(tables)
    names = [each.name for each in in_reference_order(tables)]
    assert sorted(names) == ["a", "b", "c", "d"]
    assert names.index("c") < names.index("b") < names.index("a")


def test_cycles_and_long_chains_end() -> None:
    ring = [table(f"t{number}", f"t{(number + 1) % 5}") for number in range(5)]
    assert {each.name for each in in_reference_order(ring)} == {each.name for each in ring}
    chain = [table(f"t{number}", f"t{number + 1}") for number in range(5_000)]
    assert in_reference_order(chain) == chain[::-1]


def test_texts_for_people() -> None:
    assert printable("a  b — é") == "a  b — é"
    assert printable("a\x1b[31m\n\t\x7f\u202e\u2028") == "a\\x1b[31m\\n\\t\\x7f\\u202e\\u2028"
    long = printable("x" * 10_000)
    assert len(long) < 2_100
    assert long.endswith("… (10,000 characters)")
