"""An independent judge of scope: it reads each statement as its engine would, and looks for the predicates.

It knows the statements' text and the tables' descriptions, and nothing of the compiler. A predicate counts only if the
whole row depends on it: as a term of the outermost AND of the WHERE that belongs to the reference.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import sqlglot
from sqlglot import exp

from ff_storage.core.model import PydanticModel
from ff_storage.core.tables import Table
from ff_storage.testing import Sent

GRAMMARS: Final = {"sqlite": "sqlite"}
"""The judge's name for each engine's SQL."""


@dataclass(frozen=True)
class Expected:
    """What every reference must carry: the tenants (in driver values; None: any), and whether only live rows count."""

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
        for term in terms:
            start = _tenant_start(term, name)
            if start is None:
                continue
            count = len(term.expressions) if isinstance(term, exp.In) else 1
            first = sent.text[:start].count("?")
            for row in sent.rows:
                bound = {*row[first : first + count]}
                if bound <= {*tenants}:
                    return
        raise AssertionError(f"no predicate on the tenant in scope: {sent.text}")

    def _check_insert(self, tree: exp.Insert, sent: Sent, expected: Expected) -> None:
        target = cast("exp.Schema", tree.this)
        table = self._tables.get(cast("exp.Table", target.this).name)
        if table is None or table.tenant is None:
            return
        names = [column.name for column in target.expressions]
        assert table.tenant in names, f"a row is written without its tenant: {sent.text}"
        place = names.index(table.tenant)
        for row in sent.rows:
            assert row[place] is not None, sent.text
            assert expected.tenants is None or row[place] in expected.tenants, f"a row of another tenant: {sent.text}"


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
    )


def _tenant_start(term: exp.Expr, name: str) -> int | None:
    """Where `name = ?` or `name IN (?, …)` begins in the text; None for any other term."""
    if not isinstance(term, exp.EQ | exp.In) or not isinstance(term.this, exp.Column) or term.this.name != name:
        return None
    values = term.expressions if isinstance(term, exp.In) else [term.expression]
    if not values or not all(isinstance(value, exp.Placeholder) for value in values):
        return None
    start = term.this.this.meta.get("start")
    return int(start) if start is not None else None
