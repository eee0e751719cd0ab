"""Every form of a query carries the scope at every table reference, under every kind of scope."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ff_storage import ALL_TENANTS, AND, NOT, OR, F, PydanticRepository, Query, bulk_insert, col, func, tenant_scope
from ff_storage.core.database import Pool
from ff_storage.core.model import PydanticModel
from ff_storage.core.testing.models import ACME, BETA, GAMA, Note, Product, Seat
from ff_storage.testing import Recorder
from scope.walk import Expected, Walk

Scoped = dict[str, Any]

SCOPES: dict[str, tuple[Scoped, set[Any] | None]] = {
    "strict": ({"tenant_id": ACME}, {ACME}),
    "text": ({"tenant_id": str(ACME).upper()}, {ACME}),
    "one of a list": ({"tenant_ids": [ACME]}, {ACME}),
    "two": ({"tenant_ids": [ACME, BETA]}, {ACME, BETA}),
    "three": ({"tenant_ids": [ACME, BETA, ACME]}, {ACME, BETA}),
    "many": ({"tenant_ids": [ACME, *map(type(ACME), map(str, [BETA]))] * 20}, {ACME, BETA}),
    "none": ({"tenant_ids": []}, set()),
    "all": ({"tenant_id": ALL_TENANTS}, None),
}


def conditions() -> Iterator[Any]:
    """Conditions that would reach around a scope that stands beside them, in every wrapping."""
    either: Any = (Note.title == "a") | (Note.stars >= 0)
    true: Any = either | ~either
    yield either
    yield ~either
    yield NOT(NOT(either))
    yield OR(either, Note.body == None)  # noqa: E711 - the library's operator
    yield AND(OR(either, Note.stars == 1), either)
    yield either.label("x")
    yield either.label("x").label("y")
    yield ~(either.label("x"))
    yield func.coalesce(either, True)
    yield either == True  # noqa: E712 - the library's operator
    yield either.is_not_null()
    yield either.in_([True, False])
    yield either.is_distinct_from(False)
    yield (either == (Note.stars == 1)) | true
    yield F.tenant_id == BETA
    yield OR(F.tenant_id == BETA, F.tenant_id.in_([ACME, BETA, GAMA]), F.tenant_id != None)  # noqa: E711 - as above
    yield OR(F.deleted_at != None, F.deleted_at == None)  # noqa: E711 - as above
    yield col(Note.title).contains("") | col(Note.body).icontains("x")
    yield col(Note.stars).between(0, 9) | true
    yield OR(*[Note.stars == n for n in range(120)])
    yield AND(*[OR(Note.stars == n, true) for n in range(110)])


def forms() -> Iterator[Query[Any]]:
    """Queries of every form, without their conditions."""
    query: Query[Any] = Query(Note)
    yield query
    yield query.order_by("title").limit(2).offset(1)
    yield query.order_by(col(Note.body).desc(nulls="FIRST")).offset(1)
    yield query.select(Note.title)
    yield query.select(Note.title, Note.stars + 1, func.upper(Note.title))
    yield query.select(Note.stars).distinct().order_by("stars")
    yield query.select(func.count(), func.sum(Note.stars), func.avg(Note.stars), func.min(Note.title))
    yield query.select(Note.title, func.count()).group_by(Note.title).having(func.count() > 0).order_by(func.count())
    yield query.select(func.count(Note.body, distinct=True))
    yield query.distinct().limit(1)


def terminals(query: Query[Any]) -> Iterator[Callable[..., Any]]:
    """Each way to ask for results."""
    yield query.execute
    yield query.first
    yield query.count
    yield query.exists
    if query._outputs is not None:
        yield query.scalar
    yield _streaming(query)


def _streaming(query: Query[Any]) -> Callable[..., Any]:
    async def streamed(db: Any, **scope: Any) -> list[Any]:
        async with query.stream(db, batch=2, **scope) as rows:
            return [row async for row in rows]

    return streamed


def _rows(results: Any) -> list[Any]:
    if isinstance(results, dict):
        return [*results.values()]
    return [*results] if isinstance(results, list) else [results]


async def _given(pool: Pool) -> None:
    for tenant in (ACME, BETA, GAMA):
        repo = PydanticRepository(Note, pool, tenant_id=tenant)
        notes = await repo.create_many([Note(title=f"{n}{tenant}", stars=n) for n in range(4)])
        await repo.delete(notes[0].id)


@pytest.mark.parametrize("kind", sorted(SCOPES))
@pytest.mark.parametrize("deleted", [False, True])
async def test_every_query_carries_its_scope(pool: Pool, walk: Walk, kind: str, deleted: bool) -> None:
    await _given(pool)
    scope, tenants = SCOPES[kind]
    expected = Expected(None if tenants is None else {str(tenant) for tenant in tenants}, live=not deleted)
    recorder = Recorder(pool)
    every = [*conditions()]
    for number, form in enumerate(forms()):
        # All conditions on the first form, some on each of the others, and each of them somewhere.
        chosen = every[:-2] if number == 0 else every[number :: len([*forms()]) - 1]
        for filtered in (form, *(form.filter(condition) for condition in chosen)):
            query = filtered.include_deleted() if deleted else filtered
            for terminal in terminals(query):
                recorder.sent.clear()
                results = await terminal(recorder, **scope)
                walk.check(recorder.sent, expected)
                for row in _rows(results):
                    if isinstance(row, Note):
                        assert tenants is None or row.tenant_id in tenants
                        assert deleted or row.deleted_at is None
    assert walk.references > 200


async def test_every_query_in_an_ambient_scope_carries_it(pool: Pool, walk: Walk) -> None:
    await _given(pool)
    recorder = Recorder(pool)
    for kind, (scope, tenants) in SCOPES.items():
        expected = Expected(None if tenants is None else {str(tenant) for tenant in tenants})
        with tenant_scope(scope.get("tenant_id"), tenant_ids=scope.get("tenant_ids")):
            for condition in conditions():
                recorder.sent.clear()
                found = await Query(Note).filter(condition).execute(recorder)
                walk.check(recorder.sent, expected)
                assert tenants is None or {note.tenant_id for note in found} <= tenants, kind


@pytest.mark.parametrize("kind", sorted(SCOPES))
@pytest.mark.parametrize("deleted", [False, True])
async def test_every_read_of_a_repository_carries_its_scope(pool: Pool, walk: Walk, kind: str, deleted: bool) -> None:
    await _given(pool)
    scope, tenants = SCOPES[kind]
    expected = Expected(None if tenants is None else {str(tenant) for tenant in tenants}, live=not deleted)
    every = await Query(Note).include_deleted().execute(pool, ALL_TENANTS)
    recorder = Recorder(pool)
    repo = PydanticRepository(Note, recorder, **scope)
    calls: list[Callable[[], Any]] = [
        lambda: repo.get(every[0].id, include_deleted=deleted),
        lambda: repo.get_many([note.id for note in every], include_deleted=deleted),
        lambda: repo.list(include_deleted=deleted),
        lambda: repo.list({"stars": [1, 2], "body": None}, 3, 1, order_by="-title", include_deleted=deleted),
        lambda: repo.count(include_deleted=deleted),
        lambda: repo.count({"stars": []}, include_deleted=deleted),
    ]
    for call in calls:
        recorder.sent.clear()
        found = await call()
        walk.check(recorder.sent, expected)
        for row in _rows(found):
            if isinstance(row, Note):
                assert tenants is None or row.tenant_id in tenants
                assert deleted or row.deleted_at is None


@pytest.mark.parametrize(
    ("model", "scope"), [(Product, {}), (Seat, {"tenant_id": "scala"}), (Seat, {"tenant_ids": ["a", "b"]})]
)
async def test_other_tables_carry_theirs(pool: Pool, walk: Walk, model: type[PydanticModel], scope: Scoped) -> None:
    """One tenant's models are live-only; a tenant of another name and type is a tenant all the same."""
    tenants = {scope["tenant_id"]} if "tenant_id" in scope else set(scope.get("tenant_ids", ()))
    recorder = Recorder(pool)
    query: Query[Any] = Query(model)
    for terminal in terminals(query.filter(OR(F.created_by == None, F.created_by != None))):  # noqa: E711 - the operator
        recorder.sent.clear()
        await terminal(recorder, **scope)
        walk.check(recorder.sent, Expected(tenants))


async def test_one_statement_serves_scopes_of_one_kind_and_no_other(pool: Pool, walk: Walk) -> None:
    """Compiled statements are kept by the kind of scope: in any order, each call gets its own."""
    await bulk_insert(Note, [{"title": "a"}], pool, ACME)
    await bulk_insert(Note, [{"title": "b"}, {"title": "c"}], pool, BETA)
    recorder = Recorder(pool)
    query = Query(Note).filter(OR(Note.stars == 0, Note.stars == 1))
    for _ in range(2):
        calls: list[tuple[Scoped, set[Any] | None, int]] = [
            ({"tenant_id": ACME}, {ACME}, 1),
            ({"tenant_id": BETA}, {BETA}, 2),
            ({"tenant_ids": [BETA]}, {BETA}, 2),
            ({"tenant_ids": []}, set(), 0),
            ({"tenant_id": ALL_TENANTS}, None, 3),
            ({"tenant_ids": [ACME]}, {ACME}, 1),
            ({"tenant_ids": [ACME, BETA]}, {ACME, BETA}, 3),
            ({"tenant_id": GAMA}, {GAMA}, 0),
        ]
        for scope, tenants, count in calls:
            recorder.sent.clear()
            assert await query.count(recorder, **scope) == count
            assert len(await query.execute(recorder, **scope)) == count
            walk.check(recorder.sent, Expected(None if tenants is None else {str(each) for each in tenants}))
