"""What is missing in a database, and what differs, from the facts of both sides.

Missing tables and missing indexes can be added without touching what is there; everything else is a difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ff_storage.core.facts import Fact
from ff_storage.core.tables import Table

_SHOWN = 2_000
"""Characters of one value in a message."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that an existing table and its model say differently.

    `kind` is a fact's kind (`column.type`), or its object alone (`column`) when one side has nothing of it; that side's
    value is None, and the other's tells all its properties.
    """

    table: str
    kind: str
    name: str
    model: str | None
    database: str | None

    def __str__(self) -> str:
        owner, _, aspect = self.kind.partition(".")
        thing = printable(f"{self.table}: the {owner.replace('_', ' ')} {self.name}".rstrip())
        model, database = (None if v is None else printable(v) for v in (self.model, self.database))
        if model is not None and database is not None:
            return f"{thing} has {aspect} {model} in the model and {database} in the database"
        side, value = ("database", database) if model is None else ("model", model)
        if aspect:
            return f"{thing} has {aspect} {value} only in the {side}"
        return f"{thing} is only in the {side}: {value}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What it takes to bring a database to its models; nothing, when all three are empty."""

    tables: tuple[Table, ...]
    """The missing ones, referenced tables first where the references allow it."""
    indexes: tuple[tuple[Table, str], ...]
    """The missing indexes of existing tables."""
    differences: tuple[Difference, ...]


def printable(text: str) -> str:
    """The text for a terminal or a log: control characters escaped, very long values cut."""
    if len(text) > _SHOWN:
        text = f"{text[:_SHOWN]}… ({len(text):,} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def compare(tables: Sequence[Table], desired: AbstractSet[Fact], current: AbstractSet[Fact]) -> Comparison:
    """Compare the facts of `tables`, as declared and as found."""
    wanted, found = _by_table(desired), _by_table(current)
    missing: list[Table] = []
    indexes: list[tuple[Table, str]] = []
    differences: list[Difference] = []
    for table in tables:
        key = (table.schema or "", table.name)
        if not any(fact.kind == "table.kind" for fact in found[key]):
            if not found[key]:
                missing.append(table)
            # Only an index of its own is known, and that is on another table.
            differences += (Difference(table.full_name, f.kind, f.name, table.name, f.value) for f in found[key])
            continue
        if wanted[key] == found[key]:
            continue
        absent = _by_object(wanted[key]).keys() - _by_object(found[key]).keys()
        new = {name for owner, name in absent if owner == "index"}
        indexes += ((table, index.name) for index in table.indexes if index.name in new)
        expected = frozenset(
            fact for fact in wanted[key] if (fact.object, fact.name) not in {("index", n) for n in new}
        )
        differences += _differences(table, expected, found[key])
    return Comparison(tuple(in_reference_order(missing)), tuple(indexes), tuple(differences))


def in_reference_order(tables: Sequence[Table]) -> list[Table]:
    """The tables, each behind the ones that it refers to; a cycle is entered at its first table."""
    by_name = {(table.schema, table.name): table for table in tables}
    ordered: dict[Table, None] = {}
    entered: set[Table] = set()
    for root in tables:
        stack: list[tuple[Table, Iterator[Table]]] = [(root, _targets(root, by_name))]
        while stack:
            table, targets = stack[-1]
            entered.add(table)
            target = next((t for t in targets if t not in entered), None)
            if target is not None:
                stack.append((target, _targets(target, by_name)))
            else:
                ordered[table] = None
                stack.pop()
    return list(ordered)


def _targets(table: Table, by_name: dict[tuple[str | None, str], Table]) -> Iterator[Table]:
    for key in table.foreign_keys:
        target = by_name.get((key.target_schema, key.target_table))
        if target is not None:
            yield target


def _by_table(facts: Iterable[Fact]) -> dict[tuple[str, str], set[Fact]]:
    grouped: dict[tuple[str, str], set[Fact]] = defaultdict(set)
    for fact in facts:
        grouped[fact.schema, fact.table].add(fact)
    return grouped


def _by_object(facts: Iterable[Fact]) -> dict[tuple[str, str], list[Fact]]:
    grouped: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in sorted(facts):
        grouped[fact.object, fact.name].append(fact)
    return grouped


def _differences(table: Table, expected: AbstractSet[Fact], found: AbstractSet[Fact]) -> Iterator[Difference]:
    kinds = {fact for fact in expected ^ found if fact.kind == "table.kind"}
    if kinds and len(kinds) == 2:  # a view under the table's name has nothing else to compare
        yield from _of_object(table, "table", "", kinds & expected, kinds & found)
        return
    wanted, present = _by_object(expected), _by_object(found)
    for owner, name in sorted(wanted.keys() | present.keys()):
        left, right = set(wanted.get((owner, name), ())), set(present.get((owner, name), ()))
        if left != right:
            yield from _of_object(table, owner, name, left, right)


def _of_object(
    table: Table, owner: str, name: str, left: AbstractSet[Fact], right: AbstractSet[Fact]
) -> Iterator[Difference]:
    """The differences of one object: a single one when a side lacks it, else one for each property."""
    if not left or not right:
        model, database = (_all(facts) if facts else None for facts in (left, right))
        yield Difference(table.full_name, owner, name, model, database)
        return
    kinds = {fact.kind for fact in left ^ right}
    for kind in sorted(kinds & {"index.table"} or kinds):  # an index of another table has nothing else to compare
        model, database = (_values(fact for fact in side if fact.kind == kind) for side in (left - right, right - left))
        yield Difference(table.full_name, kind, name, model, database)


def _all(facts: AbstractSet[Fact]) -> str:
    """Every property of an object: `type INTEGER, nullable NOT NULL`; the value alone when there is one."""
    if len(facts) == 1:
        return next(iter(facts)).value
    return ", ".join(f"{fact.kind.partition('.')[2]} {fact.value}" for fact in sorted(facts))


def _values(facts: Iterable[Fact]) -> str | None:
    return " and ".join(sorted(fact.value for fact in facts)) or None
