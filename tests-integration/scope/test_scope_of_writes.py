"""Every write carries the scope: each statement its predicates, each row its tenant, whoever asks and however."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ff_storage import ALL_TENANTS, PydanticRepository, bulk_insert, tenant_scope
from ff_storage.core.database import Pool
from ff_storage.core.errors import AmbiguousRow, ForeignKeyViolation, NoResultFound, StorageError
from ff_storage.core.testing.models import (
    ACME,
    BETA,
    GAMA,
    Author,
    Award,
    Book,
    Country,
    Medal,
    Note,
    Quote,
    Seat,
    Worker,
)
from ff_storage.core.testing.tables import changed
from ff_storage.testing import Recorder
from scope.walk import Expected, Walk

Scoped = dict[str, Any]

STRICT: list[tuple[str, Scoped]] = [
    ("argument", {"tenant_id": ACME}),
    ("text", {"tenant_id": str(ACME).upper()}),
    ("ambient", {}),
]
SEVERAL: list[tuple[str, Scoped, set[uuid.UUID] | None]] = [
    ("two", {"tenant_ids": [ACME, BETA]}, {ACME, BETA}),
    ("one", {"tenant_ids": [ACME]}, {ACME}),
    ("none", {"tenant_ids": []}, set()),
    ("all", {"tenant_id": ALL_TENANTS}, None),
]


def driver(tenants: set[uuid.UUID] | None) -> set[str] | None:
    return None if tenants is None else {str(tenant) for tenant in tenants}


async def rows_of(pool: Pool) -> dict[tuple[str, str], dict[str, Any]]:
    """Every note that is stored, by tenant and key, as the database has it."""
    rows = await pool.fetch_all('SELECT * FROM "kit_notes"')
    return {(str(row["tenant_id"]), str(row["id"])): row for row in rows}


Step = Callable[[PydanticRepository[Note], Note], Awaitable[Any]]

STEPS: dict[str, tuple[Step, bool]] = {
    "create": (lambda repo, note: repo.create(_new(note)), True),
    "create_many": (lambda repo, note: repo.create_many([_new(note) for _ in range(3)]), True),
    "create_many apart": (lambda repo, note: repo.create_many([_new(note)], atomic=False), True),
    "update": (lambda repo, note: repo.update(note.id, changed(Note, title="changed")), True),
    "update a loaded one": (lambda repo, note: repo.update(note.id, _with_title(note)), True),
    "update a named tenant": (
        lambda repo, note: repo.update(note.id, changed(Note, tenant_id=note.tenant_id, body="b")),
        True,
    ),
    "update a protected one": (
        lambda repo, note: repo.update(note.id, changed(Note, created_at=note.created_at, body="b")),
        True,
    ),
    "update nothing": (lambda repo, note: repo.update(note.id, note), True),
    "update as expected": (lambda repo, note: repo.update(note.id, changed(Note, body="x"), expected=note), True),
    "delete": (lambda repo, note: repo.delete(note.id), True),
    "delete for good": (lambda repo, note: repo.delete(note.id, hard=True), False),
    "restore": (lambda repo, note: repo.restore(note.id), False),
}


def _new(note: Note) -> Note:
    return Note(title=str(uuid.uuid4()), tenant_id=note.tenant_id)


def _with_title(note: Note) -> Note:
    loaded = note.model_copy()
    loaded.title = "loaded"
    return loaded


async def _given(pool: Pool) -> dict[uuid.UUID, Note]:
    """One note of each tenant, and a deleted one with the same key in none but its own."""
    return {
        tenant: await PydanticRepository(Note, pool, tenant_id=tenant).create(Note(title="t"))
        for tenant in (ACME, BETA, GAMA)
    }


@pytest.mark.parametrize("step", sorted(STEPS))
@pytest.mark.parametrize("kind", [kind for kind, _ in STRICT])
async def test_a_strict_write_touches_its_tenant_alone(pool: Pool, walk: Walk, kind: str, step: str) -> None:
    """On its own row it works, on another tenant's it finds nothing; and no statement lacks the tenant."""
    notes = await _given(pool)
    act, live = STEPS[step]
    recorder = Recorder(pool)
    with tenant_scope(ACME if kind == "ambient" else BETA):
        repo = PydanticRepository(Note, recorder, **dict(STRICT)[kind])
        for target in (notes[BETA], notes[ACME]):
            before = await rows_of(pool)
            recorder.sent.clear()
            try:
                await act(repo, target)
            except (NoResultFound, StorageError):
                assert target is notes[BETA]
            if recorder.sent or target is notes[ACME]:
                walk.check(recorder.sent, Expected({str(ACME)}, live=live))
            after = await rows_of(pool)
            touched = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
            assert {tenant for tenant, _ in touched} <= {str(ACME)}
            assert touched <= {(str(ACME), str(target.id))} or after.keys() - before.keys()


@pytest.mark.parametrize("step", sorted(STEPS))
@pytest.mark.parametrize("kind", [kind for kind, _, _ in SEVERAL])
async def test_a_permissive_write_touches_its_tenants_alone(pool: Pool, walk: Walk, kind: str, step: str) -> None:
    notes = await _given(pool)
    act, live = STEPS[step]
    scope, tenants = {name: (scope, tenants) for name, scope, tenants in SEVERAL}[kind]
    recorder = Recorder(pool)
    repo = PydanticRepository(Note, recorder, **scope)
    for target in notes.values():
        before = await rows_of(pool)
        recorder.sent.clear()
        within = tenants is None or target.tenant_id in tenants
        try:
            await act(repo, target)
        except (NoResultFound, StorageError):
            assert not within
        if recorder.sent:
            walk.check(recorder.sent, Expected(driver(tenants), live=live))
        after = await rows_of(pool)
        touched = {
            tenant
            for tenant, key in before.keys() | after.keys()
            if before.get((tenant, key)) != after.get((tenant, key))
        }
        assert touched <= ({str(target.tenant_id)} if within else set())


@pytest.mark.parametrize(
    "step", sorted(set(STEPS) - {"create", "create_many", "create_many apart", "update as expected"})
)
async def test_a_key_of_two_tenants_changes_neither(pool: Pool, step: str) -> None:
    """Ambiguous: all is rolled back, and both rows are as they were; `expected` would tell them apart."""
    key = uuid.uuid4()
    notes = [
        await PydanticRepository(Note, pool, tenant_id=tenant).create(Note(id=key, title="t"))
        for tenant in (ACME, BETA)
    ]
    if step == "restore":
        for tenant in (ACME, BETA):
            await PydanticRepository(Note, pool, tenant_id=tenant).delete(key)
    before = await rows_of(pool)
    scopes: list[Scoped] = [{"tenant_ids": [ACME, BETA]}, {"tenant_id": ALL_TENANTS}]
    for scope in scopes:
        repo = PydanticRepository(Note, pool, **scope)
        assert (await _outcome(STEPS[step][0](repo, notes[0]))) is AmbiguousRow, scope
        assert await rows_of(pool) == before


async def _outcome(work: Awaitable[Any]) -> type[BaseException] | None:
    try:
        await work
    except StorageError as error:
        return type(error)
    return None


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("atomic", [False, True])
async def test_bulk_rows_carry_the_tenant_in_scope(pool: Pool, walk: Walk, trusted: bool, atomic: bool) -> None:
    """Whatever the records say; in chunks, with and without defaults, as models and as mappings."""
    how: dict[str, Any] = {"trusted": trusted, "atomic": atomic}
    recorder = Recorder(pool)
    others: list[Any] = [
        Note(title="a", tenant_id=BETA),
        {"title": "b", "tenant_id": GAMA, "id": uuid.uuid4()},
        Note(title="c"),
        {"title": "d"},
    ]
    if trusted:
        others = [each if isinstance(each, Note) else Note(**each) for each in others]
    await bulk_insert(Note, others, recorder, ACME, batch_size=3, **how)
    walk.check(recorder.sent, Expected({str(ACME)}))
    assert {tenant for tenant, _ in await rows_of(pool)} == {str(ACME)}
    recorder.sent.clear()
    both = [Note(title="e", tenant_id=ACME), Note(title="f", tenant_id=BETA)]
    await bulk_insert(Note, both, recorder, tenant_ids=[ACME, BETA], **how)
    walk.check(recorder.sent, Expected({str(ACME), str(BETA)}))
    assert {tenant for tenant, _ in await rows_of(pool)} == {str(ACME), str(BETA)}


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(
    "scope", [{"tenant_id": ACME}, {"tenant_ids": [ACME, BETA]}, {"tenant_id": ALL_TENANTS}], ids=str
)
async def test_a_cascade_carries_the_tenant_to_every_child(pool: Pool, walk: Walk, scope: Scoped, hard: bool) -> None:
    """Two tenants' authors of one key, each with children: deleting the one asks and touches nothing of the other."""
    key = uuid.uuid4()
    children: list[tuple[str, str]] = []
    for tenant in (ACME, BETA):
        author = Author(id=key if tenant == ACME else uuid.uuid4(), name="a")
        await PydanticRepository(Author, pool, tenant_id=tenant).create(author)
        award = await PydanticRepository(Award, pool, tenant_id=tenant).create(Award(name="w", author_id=author.id))
        await PydanticRepository(Medal, pool, tenant_id=tenant).create(Medal(name="m", award_id=award.id))
        await PydanticRepository(Quote, pool, tenant_id=tenant).create(Quote(text="q", author_id=author.id))
    tables = ("kit_authors", "kit_awards", "kit_medals", "kit_quotes")
    for table in tables:
        children += [(table, row) for row in await _of_tenant(pool, table, BETA)]
    recorder = Recorder(pool)
    assert await PydanticRepository(Author, recorder, **scope).delete(key, hard=hard) is True
    walk.check(
        recorder.sent[:1],
        Expected(
            driver({ACME, BETA} if "tenant_ids" in scope else None if scope["tenant_id"] is ALL_TENANTS else {ACME}),
            live=not hard,
        ),
    )
    rest = [each for each in recorder.sent[1:] if '"kit_authors"' not in each.text.partition("WHERE")[0]]
    walk.check(rest, Expected({str(ACME)}, live=not hard))
    assert [(table, row) for table in tables for row in await _of_tenant(pool, table, BETA)] == children


async def _of_tenant(pool: Pool, table: str, tenant: uuid.UUID) -> list[str]:
    mark = pool.dialect.placeholder(1)
    rows = await pool.fetch_all(f'SELECT * FROM "{table}" WHERE tenant_id = {mark} ORDER BY id', str(tenant))
    return [repr(row) for row in rows]


async def test_a_restrict_check_asks_for_children_of_the_tenant(pool: Pool, walk: Walk) -> None:
    key = uuid.uuid4()
    for tenant in (ACME, BETA):
        await PydanticRepository(Author, pool, tenant_id=tenant).create(Author(id=key, name="a"))
    await PydanticRepository(Book, pool, tenant_id=BETA).create(Book(title="b", author_id=key))
    recorder = Recorder(pool)
    assert await PydanticRepository(Author, recorder, tenant_id=ACME).delete(key) is True
    walk.check(recorder.sent, Expected({str(ACME)}))
    recorder.sent.clear()
    with pytest.raises(ForeignKeyViolation):
        await PydanticRepository(Author, recorder, tenant_id=BETA).delete(key)
    walk.check(recorder.sent, Expected({str(BETA)}))


async def test_a_shared_parent_asks_for_the_children_of_all_and_of_nothing_else(pool: Pool, walk: Walk) -> None:
    """A global row's deletion concerns every tenant's references: the one place where the tenant is not asked for."""
    countries = PydanticRepository(Country, pool)
    for code in ("nl", "de"):
        await countries.create(Country(code=code, name="x"))
    await PydanticRepository(Author, pool, tenant_id=BETA).create(Author(name="a", country="nl"))
    recorder = Recorder(pool)
    assert await PydanticRepository(Country, recorder).delete("de") is True
    walk.check(recorder.sent, Expected({str(ACME)}, live=False), shared={"kit_authors"})
    with pytest.raises(ForeignKeyViolation):
        await PydanticRepository(Country, recorder).delete("nl")


async def test_a_reference_that_is_cleared_stays_with_its_tenant(pool: Pool, walk: Walk) -> None:
    key = uuid.uuid4()
    for tenant in (ACME, BETA):
        workers = PydanticRepository(Worker, pool, tenant_id=tenant)
        await workers.create(Worker(id=key, name="boss"))
        await workers.create_many([Worker(name=f"{n}", boss_id=key) for n in range(3)])
    before = await _of_tenant(pool, "kit_workers", BETA)
    recorder = Recorder(pool)
    assert await PydanticRepository(Worker, recorder, tenant_id=ACME).delete(key) is True
    walk.check(recorder.sent, Expected({str(ACME)}))
    assert await _of_tenant(pool, "kit_workers", BETA) == before
    assert len(await _of_tenant(pool, "kit_workers", ACME)) == 3


async def test_a_tenant_of_another_name_and_type_is_carried_too(pool: Pool, walk: Walk) -> None:
    recorder = Recorder(pool)
    seats = PydanticRepository(Seat, recorder, tenant_id="scala")
    other = PydanticRepository(Seat, pool, tenant_id="roxy")
    for repo in (seats, other):
        await repo.create_many([Seat(row="a", number=n, theater="elsewhere") for n in range(3)])
    await seats.update(("a", 1), changed(Seat, taken=True))
    await seats.delete(("a", 2))
    walk.check(recorder.sent, Expected({"scala"}))
    recorder.sent.clear()
    await seats.restore(("a", 2))
    walk.check(recorder.sent, Expected({"scala"}, live=False))
    assert [seat.taken for seat in await other.list(order_by="number")] == [False] * 3


async def test_raw_sql_is_the_only_way_around(pool: Pool) -> None:
    """It says what it says: the library neither adds to it nor parses it."""
    await _given(pool)
    with tenant_scope(ACME):
        assert len(await pool.fetch_all('SELECT id FROM "kit_notes"')) == 3
