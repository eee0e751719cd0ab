"""One compiled statement a shape: values never leak from one call into another."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ff_storage.core.context import TenantScope
from ff_storage.core.query import OR, F, Query
from ff_storage.core.sql import compiled
from ff_storage.core.sql.scope import Scope

STRICT = Scope(TenantScope.of(UUID(int=1)))


def test_values_are_no_part_of_a_shape(item: Any, dialect: Any) -> None:
    texts = set()
    for number in range(50):
        query = Query(item).filter(item.price > number, F.name == str(number)).order_by("-price").limit(number)
        prepared, parameters = query.prepare(dialect, Scope(TenantScope.of(UUID(int=number))))
        texts.add(prepared.text)
        assert parameters == [UUID(int=number), number, str(number), number]
    assert len(texts) == 1
    assert len(dialect.statements) == 1


def test_a_condition_used_twice_takes_two_values_later(item: Any, dialect: Any) -> None:
    same = item.price == 1
    shared = Query(item).filter(same | (same & item.active))
    apart = Query(item).filter((item.price == 2) | ((item.price == 3) & item.active))
    assert shared.prepare(dialect, STRICT)[1][1:] == [1, 1]
    assert apart.prepare(dialect, STRICT)[1][1:] == [2, 3]
    assert len(dialect.statements) == 1


def test_what_changes_the_sql_changes_the_shape(item: Any, dialect: Any) -> None:
    base = Query(item)
    queries = [
        base,
        base.limit(1),
        base.offset(1),
        base.distinct(),
        base.filter(item.price > 1),
        base.filter(item.price >= 1),
        base.filter(item.price > 1, item.active),
        base.filter(item.note == None),  # noqa: E711 - NULL is written, not bound
        base.filter(item.note == "x"),
        base.filter(item.price.in_([1])),
        base.filter(item.price.in_([1, 2, 3])),
        base.filter(item.price.in_([1, 2, None])),
        base.filter(item.price.not_in([1])),
        base.order_by("price"),
        base.order_by("-price"),
        base.order_by(item.note.asc(nulls="LAST")),
        base.select(item.name),
        base.select(item.name).group_by(item.name),
    ]
    texts = [query.prepare(dialect, STRICT)[0].text for query in queries]
    assert len(set(texts)) == len(queries)
    assert len(dialect.statements) == len(queries)


def test_the_kind_of_scope_is_part_of_the_shape(item: Any, dialect: Any) -> None:
    for tenants in ([UUID(int=1)], [UUID(int=2)], [UUID(int=1), UUID(int=2)], []):
        prepared, parameters = Query(item).prepare(dialect, Scope(TenantScope.of(tenant_ids=tenants)))
        assert parameters == tenants
        assert prepared.text.count("$") == len(tenants)
    assert len(dialect.statements) == 3


def test_the_cache_is_bounded(item: Any, dialect: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(compiled, "MAX_CACHED", 10)
    for number in range(30):
        Query(item).select(*[item.name] * (number + 1)).prepare(dialect, STRICT)
    assert len(dialect.statements) <= 10


def test_the_cache_is_bounded_by_size_too(item: Any, dialect: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(compiled, "MAX_CACHED_TEXT", 20_000)
    item.__ff_entity__.checked.clear()
    for number in range(1, 300):
        Query(item).filter(OR(*[item.price == n for n in range(number)])).prepare(dialect, STRICT)
        held = [len(each.text) for each in dialect.statements.values()]
        assert dialect.cached_text == sum(held) <= 20_000
        assert max(held, default=0) <= 1_000
    assert dialect.statements
    assert 0 < len(item.__ff_entity__.checked) < 150


def test_steps_never_change_a_query(item: Any, dialect: Any) -> None:
    base = Query(item).filter(item.price > 1)
    before = base.prepare(dialect, STRICT)[0].text
    base.filter(item.active).order_by("name").limit(3).offset(1).distinct().include_deleted().select(item.name)
    assert base.prepare(dialect, STRICT)[0].text == before
    assert base.copy().prepare(dialect, STRICT)[0].text == before
