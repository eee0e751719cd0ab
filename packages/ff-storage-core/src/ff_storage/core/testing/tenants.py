"""Tenants: each sees and changes its own rows, and no other's, whatever the call."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from ff_storage.core.context import ALL_TENANTS, tenant_scope
from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    AmbiguousRow,
    InvalidValueError,
    NoResultFound,
    StorageError,
    TenantNotConfigured,
    TenantScopeError,
    UniqueViolation,
)
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import AND, OR, Query, func
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.conformance import Conformance
from ff_storage.core.testing.models import ACME, BETA, GAMA, Branch, Note, Seat, Status, Ticket
from ff_storage.core.testing.recording import Recorder
from ff_storage.core.testing.tables import changed, stored


class TenantTests(Conformance):
    """Strict, permissive, ambient and unlimited scope."""

    models: ClassVar[tuple[type[PydanticModel], ...]] = (Note, Seat, Branch, Ticket)

    def notes(self, db: Any, *tenants: uuid.UUID) -> PydanticRepository[Note]:
        """The notes of one tenant, or of several."""
        if len(tenants) == 1:
            return PydanticRepository(Note, db, tenant_id=tenants[0])
        return PydanticRepository(Note, db, tenant_ids=tenants)

    # --- strict ------------------------------------------------------------------------------------------------------

    async def test_a_strict_scope_sees_only_its_tenant(self, pool: Pool) -> None:
        acme, beta = self.notes(pool, ACME), self.notes(pool, BETA)
        mine = await acme.create(Note(title="mine"))
        other = await beta.create(Note(title="other"))
        assert (mine.tenant_id, other.tenant_id) == (ACME, BETA)
        assert await acme.get(other.id) is None
        assert await acme.get_many([mine.id, other.id]) == {mine.id: mine, other.id: None}
        assert await acme.list() == [mine]
        assert await acme.list({"title": "other"}) == []
        assert await acme.count() == 1
        assert await Query(Note).execute(pool, ACME) == [mine]
        assert await Query(Note).execute(pool, tenant_id=BETA) == [other]
        assert await Query(Note).filter(OR(Note.title == "mine", Note.title == "other")).count(pool, ACME) == 1
        assert await Query(Note).filter(Note.id == other.id).exists(pool, ACME) is False
        assert await Query(Note).select(func.max(Note.title)).scalar(pool, ACME) == "mine"
        async with Query(Note).stream(pool, ACME) as rows:
            assert [row async for row in rows] == [mine]

    async def test_a_strict_scope_changes_only_its_tenant(self, pool: Pool) -> None:
        acme, beta = self.notes(pool, ACME), self.notes(pool, BETA)
        other = await beta.create(Note(title="other"))
        with pytest.raises(NoResultFound):
            await acme.update(other.id, changed(Note, title="taken"))
        assert await acme.delete(other.id) is False
        assert await acme.delete(other.id, hard=True) is False
        await beta.delete(other.id)
        assert await acme.restore(other.id) is None
        assert await beta.restore(other.id) is not None

    async def test_a_strict_scope_forces_its_tenant_on_what_is_written(self, pool: Pool) -> None:
        """Whatever the record says: by create, create_many, bulk_insert, trusted and not."""
        acme = self.notes(pool, ACME)
        first = await acme.create(Note(title="1", tenant_id=BETA))
        (second,) = await acme.create_many([Note(title="2", tenant_id=BETA)])
        await bulk_insert(Note, [Note(title="3", tenant_id=BETA)], pool, ACME)
        await bulk_insert(Note, [{"title": "4", "tenant_id": BETA}], pool, tenant_id=ACME)
        await bulk_insert(Note, [Note(title="5", tenant_id=BETA)], pool, tenant_id=ACME, trusted=True)
        assert (first.tenant_id, second.tenant_id) == (ACME, ACME)
        assert await Query(Note).count(pool, ACME) == 5
        assert await Query(Note).count(pool, BETA) == 0

    async def test_a_condition_never_widens_the_scope(self, pool: Pool) -> None:
        """Whatever an OR is wrapped in, it stays behind the scope's own conditions."""
        acme, beta = self.notes(pool, ACME), self.notes(pool, BETA)
        await acme.create(Note(title="a"))
        gone = await acme.create(Note(title="b"))
        await acme.delete(gone.id)
        await beta.create(Note(title="b"))
        either: Any = OR(Note.title == "a", Note.title == "b")
        wrapped: list[Any] = [
            either,
            either.label("x"),
            either.label("x").label("y"),
            either.is_not_null(),
            either.label("x").is_not_null(),
            either.in_([True]),
            either.label("x").in_([True, None]),
            either == True,  # noqa: E712 - an expression
            either.label("x") == True,  # noqa: E712
            func.coalesce(either, False),
            ~~either,
            ~(~either).label("x"),
            AND(either.label("x"), Note.stars == 0),
        ]
        for condition in wrapped:
            query = Query(Note).filter(condition)
            assert [note.title for note in await query.execute(pool, ACME)] == ["a"], repr(condition)
            assert await query.count(pool, tenant_ids=[ACME]) == 1, repr(condition)
            assert await query.filter(Note.title == "c").count(pool, ACME) == 0, repr(condition)

    async def test_one_key_in_two_tenants_is_two_rows(self, pool: Pool) -> None:
        key = uuid.uuid4()
        acme, beta = self.notes(pool, ACME), self.notes(pool, BETA)
        await acme.create(Note(id=key, title="t"))
        await beta.create(Note(id=key, title="t"))
        await acme.update(key, changed(Note, body="acme"))
        await beta.update(key, changed(Note, body="beta"))
        await acme.delete(key)
        kept = await beta.get(key)
        assert kept is not None
        assert kept.body == "beta"
        with pytest.raises(UniqueViolation):
            await beta.create(Note(id=key, title="another"))

    async def test_uniqueness_holds_within_a_tenant_or_everywhere(self, pool: Pool) -> None:
        acme = self.notes(pool, ACME)
        await acme.create(Note(title="t"))
        await self.notes(pool, BETA).create(Note(title="t"))
        with pytest.raises(UniqueViolation):
            await acme.create(Note(title="t"))
        await PydanticRepository(Ticket, pool, tenant_id=ACME).create(Ticket(code="c"))
        with pytest.raises(UniqueViolation):
            await PydanticRepository(Ticket, pool, tenant_id=BETA).create(Ticket(code="c"))

    @pytest.mark.parametrize("given", ["model", "loaded", "validated"])
    async def test_a_row_never_changes_its_tenant_by_update(self, pool: Pool, given: str) -> None:
        acme = self.notes(pool, ACME)
        note = await acme.create(Note(title="t"))
        if given == "loaded":
            change = note.model_copy()
            change.tenant_id = BETA
        elif given == "validated":
            change = Note(id=note.id, title="t2", tenant_id=BETA)
        else:
            change = changed(Note, tenant_id=BETA, title="t2")
        with pytest.raises(TenantScopeError):
            await acme.update(note.id, change)
        for repo in (self.notes(pool, ACME, BETA), PydanticRepository(Note, pool, tenant_id=ALL_TENANTS)):
            with pytest.raises(TenantScopeError):
                await repo.update(note.id, change)
        assert await acme.get(note.id) == note
        same = await acme.update(note.id, changed(Note, tenant_id=ACME, title="t2"))
        assert (same.title, same.tenant_id) == ("t2", ACME)

    async def test_a_filter_names_only_tenants_in_scope(self, recorder: Recorder, pool: Pool) -> None:
        await self.notes(pool, BETA).create(Note(title="t"))
        acme = self.notes(recorder, ACME)
        for tenant in (BETA, [ACME, BETA], str(BETA), None, "nonsense"):
            with pytest.raises(TenantScopeError):
                await acme.list({"tenant_id": tenant})
            with pytest.raises(TenantScopeError):
                await acme.count({"tenant_id": tenant})
        assert recorder.sent == []
        assert await acme.list({"tenant_id": ACME}) == []
        assert await Query(Note).filter(Note.tenant_id == BETA).count(pool, ACME) == 0

    # --- permissive --------------------------------------------------------------------------------------------------

    async def test_a_permissive_scope_sees_its_tenants(self, pool: Pool) -> None:
        rows = {tenant: await self.notes(pool, tenant).create(Note(title="t")) for tenant in (ACME, BETA, GAMA)}
        for tenants in ([ACME], [ACME, BETA], [BETA, ACME, BETA], [ACME, BETA, uuid.uuid4()], [ACME, BETA, GAMA]):
            both = PydanticRepository(Note, pool, tenant_ids=tenants)
            expected = {row.id for tenant, row in rows.items() if tenant in tenants}
            assert {note.id for note in await both.list()} == expected
            assert await both.count() == len(expected)
            assert await Query(Note).count(pool, tenant_ids=tenants) == len(expected)
            found = await both.get_many([row.id for row in rows.values()])
            assert {key for key, note in found.items() if note is not None} == expected

    async def test_no_tenants_are_no_rows(self, pool: Pool) -> None:
        note = await self.notes(pool, ACME).create(Note(title="t"))
        nobody = PydanticRepository(Note, pool, tenant_ids=[])
        assert await nobody.list() == []
        assert await nobody.get(note.id) is None
        assert await nobody.count() == 0
        assert await nobody.delete(note.id) is False
        assert await Query(Note).execute(pool, tenant_ids=()) == []
        assert await Query(Note).exists(pool, tenant_ids=[]) is False
        assert await Query(Note).filter(OR(Note.title == "t", Note.stars == 0)).count(pool, tenant_ids=set()) == 0
        with pytest.raises(NoResultFound):
            await nobody.update(note.id, changed(Note, title="x"))
        with pytest.raises(TenantScopeError):
            await nobody.create(Note(title="x", tenant_id=ACME))
        assert await self.notes(pool, ACME).get(note.id) == note

    async def test_a_permissive_scope_writes_rows_of_its_tenants_only(self, pool: Pool, recorder: Recorder) -> None:
        both = self.notes(recorder, ACME, BETA)
        for wrong in (
            Note(title="x"),
            Note(title="x", tenant_id=GAMA),
            Note.model_construct(title="x", tenant_id="no"),
        ):
            with pytest.raises(TenantScopeError):
                await both.create(wrong)
            for trusted in (False, True):
                with pytest.raises(TenantScopeError):
                    await both.create_many([Note(title="y", tenant_id=ACME), wrong], trusted=trusted)
                with pytest.raises(TenantScopeError):
                    await bulk_insert(
                        Note,
                        [Note(title="y", tenant_id=ACME), wrong],
                        recorder,
                        tenant_ids=[ACME, BETA],
                        trusted=trusted,
                    )
        assert recorder.sent == []
        assert await stored(pool, Note) == 0
        created = await both.create(Note(title="x", tenant_id=BETA))
        assert created.tenant_id == BETA
        updated = await both.update(created.id, changed(Note, title="y"))
        assert (updated.title, updated.tenant_id) == ("y", BETA)
        assert await both.delete(created.id) is True

    async def test_a_key_of_two_tenants_is_ambiguous_and_nothing_is_written(self, pool: Pool) -> None:
        key = uuid.uuid4()
        acme, beta = self.notes(pool, ACME), self.notes(pool, BETA)
        rows = [await repo.create(Note(id=key, title="t")) for repo in (acme, beta)]
        for repo in (self.notes(pool, ACME, BETA), PydanticRepository(Note, pool, tenant_id=ALL_TENANTS)):
            for attempt in _uses_of(repo, key):
                with pytest.raises(AmbiguousRow):
                    await attempt()
                # Nor is it for a transaction that goes on after the error to commit.
                async with pool.transaction():
                    with pytest.raises(AmbiguousRow):
                        await attempt()
        assert [await acme.get(key), await beta.get(key)] == rows
        for repo in (acme, beta):
            await repo.delete(key)
        with pytest.raises(AmbiguousRow):
            await self.notes(pool, ACME, BETA).restore(key)
        assert [await acme.get(key), await beta.get(key)] == [None, None]

    # --- none, all, ambient ------------------------------------------------------------------------------------------

    async def test_without_a_scope_nothing_is_sent(self, recorder: Recorder) -> None:
        repo = PydanticRepository(Note, recorder)
        key = uuid.uuid4()
        attempts: list[Callable[[], Any]] = [
            lambda: repo.get(key),
            lambda: repo.get_many([key]),
            repo.list,
            repo.count,
            lambda: repo.create(Note(title="t", tenant_id=ACME)),
            lambda: repo.create_many([Note(title="t", tenant_id=ACME)]),
            lambda: repo.create_many([Note(title="t", tenant_id=ACME)], atomic=False),
            lambda: repo.update(key, changed(Note, title="t")),
            lambda: repo.delete(key),
            lambda: repo.delete(key, hard=True),
            lambda: repo.restore(key),
            lambda: bulk_insert(Note, [Note(title="t", tenant_id=ACME)], recorder),
            lambda: bulk_insert(Note, [Note(title="t", tenant_id=ACME)], recorder, trusted=True),
            lambda: Query(Note).execute(recorder),
            lambda: Query(Note).first(recorder),
            lambda: Query(Note).one(recorder),
            lambda: Query(Note).count(recorder),
            lambda: Query(Note).exists(recorder),
            lambda: Query(Note).select(func.count()).scalar(recorder),
            lambda: Query(Note).filter(Note.tenant_id == ACME).execute(recorder),
        ]
        for attempt in attempts:
            with pytest.raises(TenantNotConfigured):
                await attempt()
        with pytest.raises(TenantNotConfigured):
            Query(Note).stream(recorder)
        assert recorder.sent == []

    async def test_all_tenants_is_a_named_act_and_logged(self, pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
        for tenant in (ACME, BETA):
            await self.notes(pool, tenant).create(Note(title="t"))
        with caplog.at_level("INFO", "ff_storage.scope"):
            assert await Query(Note).count(pool, ALL_TENANTS) == 2
            assert len(caplog.records) == 1
            everyone = PydanticRepository(Note, pool, tenant_id=ALL_TENANTS)
            assert len(caplog.records) == 2
        assert {note.tenant_id for note in await everyone.list()} == {ACME, BETA}
        assert (await everyone.create(Note(title="u", tenant_id=GAMA))).tenant_id == GAMA
        with pytest.raises(TenantScopeError):
            await everyone.create(Note(title="v"))

    async def test_an_ambient_scope_holds_for_calls_that_declare_none(self, pool: Pool) -> None:
        repo = PydanticRepository(Note, pool)
        with tenant_scope(ACME):
            mine = await repo.create(Note(title="t"))
            assert mine.tenant_id == ACME
            assert await Query(Note).count(pool) == 1
            assert await Query(Note).count(pool, BETA) == 0
            assert await self.notes(pool, BETA).list() == []
            with tenant_scope(tenant_ids=[BETA, GAMA]):
                assert await repo.list() == []
                with pytest.raises(TenantScopeError):
                    await repo.create(Note(title="u", tenant_id=ACME))
            assert await repo.list() == [mine]
        with pytest.raises(TenantNotConfigured):
            await repo.list()

    async def test_the_scope_is_that_of_the_call(self, pool: Pool) -> None:
        """Not that of the moment in which the coroutine is awaited."""
        await self.notes(pool, ACME).create(Note(title="acme"))
        await self.notes(pool, BETA).create(Note(title="beta"))
        repo = PydanticRepository(Note, pool)
        with tenant_scope(ACME):
            waiting = [repo.list(), Query(Note).execute(pool)]
            stream = Query(Note).stream(pool)
            creation = repo.create(Note(title="later"))
            bulk = bulk_insert(Note, [{"title": "bulk"}], pool)
            several = repo.create_many([Note(title="chunk")], atomic=False)
        with tenant_scope(BETA):
            for each in waiting:
                assert [note.title for note in await each] == ["acme"]
            async with stream as rows:
                assert [note.title async for note in rows] == ["acme"]
            assert (await creation).tenant_id == ACME
            assert await bulk == 1
            await several
        assert await Query(Note).count(pool, ACME) == 4
        assert await Query(Note).count(pool, BETA) == 1

    @pytest.mark.parametrize(
        "tenant", ["not a uuid", "x' OR '1'='1", 5, True, b"0" * 16, [ACME], {"id": ACME}, "{" + str(ACME) + "}", ""]
    )
    async def test_a_tenant_is_one_of_its_columns_type(self, recorder: Recorder, tenant: Any) -> None:
        with pytest.raises(StorageError) as caught:
            await PydanticRepository(Note, recorder, tenant_id=tenant).list()
        assert isinstance(caught.value, TenantScopeError)
        attempts: list[Callable[[], Any]] = [
            lambda: Query(Note).execute(recorder, tenant),
            lambda: Query(Note).execute(recorder, tenant_ids=[ACME, tenant]),
            lambda: bulk_insert(Note, [{"title": "t"}], recorder, tenant),
        ]
        for attempt in attempts:
            with pytest.raises((StorageError, ValueError)):
                await attempt()
        assert recorder.sent == []

    async def test_the_first_record_at_fault_is_the_one_to_report(self, recorder: Recorder) -> None:
        partial = Note.model_construct(body="no title", tenant_id=ACME)
        stranger = Note(title="t", tenant_id=uuid.UUID(int=1))
        for records, error in (([partial, stranger], InvalidValueError), ([stranger, partial], TenantScopeError)):
            with pytest.raises(error) as caught:
                await bulk_insert(Note, [Note(title="t", tenant_id=ACME), *records], recorder, tenant_ids=[ACME])
            assert caught.value.details["rows"] == (0, 3)
        assert recorder.sent == []

    async def test_a_uuid_tenant_in_any_of_its_texts_is_one_tenant(self, pool: Pool) -> None:
        note = await self.notes(pool, ACME).create(Note(title="t"))
        for form in (str(ACME), str(ACME).upper(), ACME.hex):
            repo = PydanticRepository(Note, pool, tenant_id=form)
            assert await repo.get(note.id) == note
            assert await Query(Note).execute(pool, form) == [note]
            assert await Query(Note).execute(pool, tenant_ids=[form]) == [note]
            created = await repo.create(Note(title=form))
            assert created.tenant_id == ACME
            await repo.delete(created.id)

    async def test_an_enum_tenant_and_its_value_are_one_tenant(self, pool: Pool) -> None:
        draft: list[Any] = [Status.DRAFT, "draft"]
        for n, tenant in enumerate(draft):
            branches = PydanticRepository(Branch, pool, tenant_id=tenant)
            made = await branches.create(Branch(name=f"n{n}", status=Status.LIVE))
            assert made.status is Status.DRAFT
            renamed = await branches.update(made.id, made.model_copy(update={"name": f"u{n}"}))
            assert renamed.name == f"u{n}"
            assert await bulk_insert(Branch, [{"name": f"b{n}"}], pool, tenant) == 1
        for tenant in draft:
            some = PydanticRepository(Branch, pool, tenant_ids=[tenant])
            await some.create(Branch(name="some", status=Status.DRAFT))
            with pytest.raises(TenantScopeError):
                await some.create(Branch(name="other", status=Status.LIVE))
            assert await some.count({"status": Status.DRAFT}) == await some.count({"status": "draft"})
        assert await Query(Branch).count(pool, Status.DRAFT) == await Query(Branch).count(pool, "draft") == 6
        assert await Query(Branch).count(pool, Status.LIVE) == 0
        with pytest.raises(TenantScopeError):
            PydanticRepository(Branch, pool, tenant_id="none")

    async def test_text_tenants_differ_by_code_point(self, pool: Pool) -> None:
        """In case, blanks and accents; each has its own rows under the same keys."""
        tenants = ["acme", "ACME", "acme ", " acme", "acmé", "acme\u0301", "ａｃｍｅ", "acm%", "acm_", "'"]
        repos = {tenant: PydanticRepository(Seat, pool, tenant_id=tenant) for tenant in tenants}
        for tenant, repo in repos.items():
            await repo.create(Seat(row="a", number=1, taken=len(tenant) % 2 == 0))
        for tenant, repo in repos.items():
            (seat,) = await repo.list()
            assert (seat.theater, seat.taken) == (tenant, len(tenant) % 2 == 0)
            assert await repo.get(("a", 1)) == seat
            assert await Query(Seat).count(pool, tenant) == 1
        assert await Query(Seat).count(pool, tenant_ids=tenants[:3]) == 3
        assert await repos["acme"].delete(("a", 1)) is True
        assert await Query(Seat).count(pool, ALL_TENANTS) == len(tenants) - 1

    async def test_one_tenant_and_several_exclude_each_other(self, recorder: Recorder) -> None:
        attempts: list[Callable[[], Any]] = [
            lambda: PydanticRepository(Note, recorder, tenant_id=ACME, tenant_ids=[ACME]),
            lambda: PydanticRepository(Note, recorder, tenant_ids=str(ACME)),
            lambda: PydanticRepository(Note, recorder, tenant_id=[ACME]),
            lambda: PydanticRepository(Note, recorder, tenant_ids=ACME),  # type: ignore[arg-type]
            lambda: PydanticRepository(Note, recorder, tenant_ids=[None]),
            lambda: Query(Note).execute(recorder, tenant_ids=[ACME, None]),
            lambda: Query(Note).execute(recorder, tenant_ids=[ALL_TENANTS]),
        ]
        for attempt in attempts:
            with pytest.raises(TenantScopeError):
                attempt()
        with pytest.raises(TenantScopeError), tenant_scope():
            pass
        assert recorder.sent == []


def _uses_of(repo: PydanticRepository[Note], key: uuid.UUID) -> list[Callable[[], Any]]:
    """The calls that name one row."""
    return [
        lambda: repo.get(key),
        lambda: repo.get_many([key]),
        lambda: repo.update(key, changed(Note, title="x")),
        lambda: repo.update(key, changed(Note, title="x"), returning=False),
        lambda: repo.delete(key),
        lambda: repo.delete(key, hard=True),
    ]
