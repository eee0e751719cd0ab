"""An independent judge of scope: it reads each statement as its engine would, and looks for the predicates.

It knows the statements' text and the tables' descriptions, and nothing of the compiler. A predicate counts only if the
whole row depends on it: as a term of the outermost AND of the WHERE that belongs to the reference.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import sqlglot
from sqlglot import exp

from ff_storage.core.model import PydanticModel
from ff_storage.core.tables import Table
from ff_storage.testing import Sent

GRAMMARS: Final = {"sqlite": "sqlite", "postgres": "postgres"}
"""The judge's name for each engine's SQL."""


@dataclass(frozen=True)
class Expected:
    """What every reference must carry: the tenants (as text; None: any), and whether only live rows count."""

    tenants: Collection[Any] | None
    live: bool = True


class Walk:
    """Checks statements about the tables of `models`."""

    def __init__(self, dialect: str, models: Iterable[type[PydanticModel]]) -> None:
        self._grammar = GRAMMARS[dialect]
        self._tables = {model.__ff_entity__.table.name: model.__ff_entity__.table for model in models}
        self.references = 0

    def check(self, sent: Sequence[Sent], expected: Expected, *, shared: Collection[str] = ()) -> None:
        """Fail for the first reference without its predicate; of `shared` tables all tenants' rows are asked for."""
        assert sent, "no statement was sent"
        for each in sent:
            tree = _parsed(each.text, self._grammar)
            if isinstance(tree, exp.Insert):
                self._check_insert(tree, each, expected)
            found = 0
            for reference in tree.find_all(exp.Table):
                table = self._tables.get(reference.name)
                if table is not None:
                    found += 1
                    scope = Expected(None, expected.live) if table.name in shared else expected
                    self._check_reference(reference, table, each, scope)
            self.references += found
            assert found or "FROM" not in each.text, each.text

    def _check_reference(self, reference: exp.Table, table: Table, sent: Sent, expected: Expected) -> None:
        owner = reference.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Insert)
        assert owner is not None
        if isinstance(owner, exp.Insert):
            return
        if isinstance(owner, exp.Update):
            assigned = {column.name for each in owner.expressions for column in [each.this]}
            assert table.tenant not in assigned, f"an UPDATE sets the tenant: {sent.text}"
        where = owner.args.get("where")
        terms = [] if where is None else [*_conjuncts(where.this)]
        if any(_is_false(term) for term in terms):
            return
        if table.tenant is not None and expected.tenants is not None:
            self._check_tenant(terms, table.tenant, sent, expected.tenants)
        if table.deleted_at is not None and expected.live:
            assert any(_is_null(term, table.deleted_at) for term in terms), f"not only live rows: {sent.text}"

    def _check_tenant(self, terms: list[exp.Expr], name: str, sent: Sent, tenants: Collection[Any]) -> None:
        allowed = {str(tenant) for tenant in tenants}
        for term in terms:
            places = _tenant_places(term, name, sent.text)
            if places and all({_text(row[place]) for place in places} <= allowed for row in sent.rows):
                return
        raise AssertionError(f"no predicate on the tenant in scope: {sent.text}")

    def _check_insert(self, tree: exp.Insert, sent: Sent, expected: Expected) -> None:
        target = cast("exp.Schema", tree.this)
        table = self._tables.get(cast("exp.Table", target.this).name)
        if table is None or table.tenant is None:
            return
        names = [column.name for column in target.expressions]
        assert table.tenant in names, f"a row is written without its tenant: {sent.text}"
        (values,) = cast("exp.Values", tree.expression).expressions
        place = _place(values.expressions[names.index(table.tenant)], names.index(table.tenant))
        assert place is not None, f"a tenant is not bound: {sent.text}"
        allowed = None if expected.tenants is None else {str(tenant) for tenant in expected.tenants}
        for row in sent.rows:
            assert row[place] is not None, sent.text
            assert allowed is None or _text(row[place]) in allowed, f"a row of another tenant: {sent.text}"


@functools.cache
def _parsed(text: str, grammar: str) -> exp.Expr:
    return sqlglot.parse_one(text, read=grammar)


def _conjuncts(node: Any) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Paren):
        yield from _conjuncts(node.this)
    elif isinstance(node, exp.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _is_false(term: exp.Expr) -> bool:
    return isinstance(term, exp.EQ) and term.sql() == "1 = 0"


def _is_null(term: exp.Expr, name: str) -> bool:
    return (
        isinstance(term, exp.Is)
        and isinstance(term.this, exp.Column)
        and term.this.name == name
        and isinstance(term.expression, exp.Null)
        and not term.args.get("negate")  # IS NOT NULL, in some of sqlglot's grammars
    )


def _text(value: Any) -> str:
    """A tenant as text: some drivers take UUIDs as their bytes."""
    return str(uuid.UUID(bytes=value) if isinstance(value, bytes) else value)


def _tenant_places(term: exp.Expr, name: str, text: str) -> list[int]:
    """Which parameters `name = …` or `name IN (…)` compares with; none for any other term."""
    if not isinstance(term, exp.EQ | exp.In) or not isinstance(term.this, exp.Column) or term.this.name != name:
        return []
    start = term.this.this.meta.get("start")
    if start is None or term.args.get("negate"):
        return []
    before = text[: int(start)].count("?")
    values = term.expressions if isinstance(term, exp.In) else [term.expression]
    places = [_place(value, before + number) for number, value in enumerate(values)]
    return [] if None in places else [place for place in places if place is not None]


def _place(value: exp.Expr, position: int) -> int | None:
    """The parameter that a value stands for: by its number where it has one (`$2`), else by its position (`?`)."""
    while isinstance(value, exp.Cast):
        value = value.this
    if isinstance(value, exp.Parameter):
        return int(value.name) - 1
    return position if isinstance(value, exp.Placeholder) else None
