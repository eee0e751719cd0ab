"""Random work of two tenants, call by call, against a model of it in Python: what one does, the other never sees."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from databases import SERVER_ENGINES, Databases
from ff_storage import (
    ALL_TENANTS,
    OR,
    F,
    PydanticRepository,
    Query,
    bulk_insert,
    col,
    func,
    not_,
    open_pool,
    tenant_scope,
)
from ff_storage.core.errors import AmbiguousRow, NoResultFound, StorageError, UniqueViolation
from ff_storage.core.testing.models import ACME, BETA, Note
from ff_storage.core.testing.tables import changed
from ff_storage.testing import create_tables

T = TypeVar("T")

TENANTS = (ACME, BETA)
KEYS = [uuid.UUID(int=n) for n in range(1, 5)]
TITLES = ["a", "b", "c", "A"]

tenants = st.sampled_from(TENANTS)
keys = st.sampled_from(KEYS)
titles = st.sampled_from(TITLES)
stars = st.integers(0, 3)


class Row:
    """What one stored note should be."""

    def __init__(self, title: str, stars: int) -> None:
        self.title = title
        self.stars = stars
        self.deleted = False

    @property
    def value(self) -> tuple[str, int]:
        return (self.title, self.stars)


class TwoTenants(RuleBasedStateMachine):
    """Two tenants share four keys, four titles and one table."""

    engine: ClassVar[str]
    databases: ClassVar[Databases]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.rows: dict[uuid.UUID, dict[uuid.UUID, Row]] = {tenant: {} for tenant in TENANTS}

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    @initialize(memory=st.booleans())
    def open(self, memory: bool) -> None:
        self.run(self._open(memory))

    async def _open(self, memory: bool) -> None:
        if self.engine == "sqlite":
            folder = self.stack.enter_context(tempfile.TemporaryDirectory())
            url = "sqlite://" if memory else f"sqlite:///{Path(folder)}/tenants.db"
            options = {} if memory else {"synchronous": "OFF"}
            self.pool = await self.stack.enter_async_context(open_pool(url, **options))
            await create_tables(self.pool, Note)
        else:
            database = self.stack.enter_context(self.databases.of(self.engine, "tenants", [Note]))
            self.pool = await self.stack.enter_async_context(open_pool(database.url, max_size=1 if memory else 10))
            await database.prepare(self.pool)
        self.repos = {tenant: PydanticRepository(Note, self.pool, tenant_id=tenant) for tenant in TENANTS}

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    # --- the model ---------------------------------------------------------------------------------------------------

    def live(self, tenant: uuid.UUID) -> dict[uuid.UUID, Row]:
        return {key: row for key, row in self.rows[tenant].items() if not row.deleted}

    def taken(self, tenant: uuid.UUID, title: str, but: uuid.UUID | None = None) -> bool:
        return any(row.title == title and key != but for key, row in self.live(tenant).items())

    # --- writes ------------------------------------------------------------------------------------------------------

    @rule(tenant=tenants, other=tenants, key=keys, title=titles, n=stars, ambient=st.booleans())
    def create(self, tenant: uuid.UUID, other: uuid.UUID, key: uuid.UUID, title: str, n: int, ambient: bool) -> None:
        note = Note(id=key, title=title, stars=n, tenant_id=other)
        with tenant_scope(tenant):
            repo = PydanticRepository(Note, self.pool) if ambient else self.repos[tenant]
            work = repo.create(note)
        if key in self.rows[tenant] or self.taken(tenant, title):
            assert self._refused(work) is UniqueViolation
        else:
            assert self.run(work).tenant_id == tenant
            self.rows[tenant][key] = Row(title, n)

    @rule(
        tenant=tenants,
        other=tenants,
        given=st.dictionaries(keys, st.tuples(titles, stars), max_size=3),
        trusted=st.booleans(),
    )
    def bulk(self, tenant: uuid.UUID, other: uuid.UUID, given: dict[uuid.UUID, tuple[str, int]], trusted: bool) -> None:
        notes = [Note(id=key, title=title, stars=n, tenant_id=other) for key, (title, n) in given.items()]
        work = bulk_insert(Note, notes, self.pool, tenant, trusted=trusted)
        new = [title for title, _ in given.values()]
        clash = any(key in self.rows[tenant] for key in given) or any(self.taken(tenant, title) for title in new)
        if clash or len(set(new)) < len(new):
            assert self._refused(work) is UniqueViolation
        else:
            assert self.run(work) == len(given)
            self.rows[tenant] |= {key: Row(title, n) for key, (title, n) in given.items()}

    @rule(tenant=tenants, key=keys, title=titles, n=stars)
    def update(self, tenant: uuid.UUID, key: uuid.UUID, title: str, n: int) -> None:
        work = self.repos[tenant].update(key, changed(Note, title=title, stars=n))
        if key not in self.live(tenant):
            assert self._refused(work) is NoResultFound
        elif self.taken(tenant, title, but=key):
            assert self._refused(work) is UniqueViolation
        else:
            updated = self.run(work)
            assert (updated.title, updated.stars, updated.tenant_id) == (title, n, tenant)
            self.rows[tenant][key].title, self.rows[tenant][key].stars = title, n

    @rule(tenant=tenants, key=keys, n=stars)
    def load_change_and_store(self, tenant: uuid.UUID, key: uuid.UUID, n: int) -> None:
        note = self.run(self.repos[tenant].get(key))
        assert (note is None) == (key not in self.live(tenant))
        if note is not None:
            note.stars = n
            self.run(self.repos[tenant].update(key, note))
            self.rows[tenant][key].stars = n

    @rule(tenant=tenants, key=keys, hard=st.booleans())
    def delete(self, tenant: uuid.UUID, key: uuid.UUID, hard: bool) -> None:
        there = self.rows[tenant] if hard else self.live(tenant)
        assert self.run(self.repos[tenant].delete(key, hard=hard)) is (key in there)
        if key in there and hard:
            del self.rows[tenant][key]
        elif key in there:
            self.rows[tenant][key].deleted = True

    @rule(tenant=tenants, key=keys)
    def restore(self, tenant: uuid.UUID, key: uuid.UUID) -> None:
        row = self.rows[tenant].get(key)
        work = self.repos[tenant].restore(key)
        if row is None or not row.deleted:
            assert self.run(work) is None
        elif self.taken(tenant, row.title, but=key):
            assert self._refused(work) is UniqueViolation
        else:
            restored = self.run(work)
            assert restored is not None
            assert restored.tenant_id == tenant
            row.deleted = False

    @rule(key=keys, title=titles, fail=st.booleans())
    def in_a_transaction(self, key: uuid.UUID, title: str, fail: bool) -> None:
        """Both tenants write in one transaction, which may fail at its end."""
        free = all(key not in self.rows[each] and not self.taken(each, title) for each in TENANTS)

        async def work() -> None:
            async with self.pool.transaction():
                for each in TENANTS:
                    await self.repos[each].create(Note(id=key, title=title))
                    assert await Query(Note).filter(Note.id == key).count(self.pool, each) == 1
                if fail:
                    raise ZeroDivisionError

        if free and not fail:
            self.run(work())
            for each in TENANTS:
                self.rows[each][key] = Row(title, 0)
        else:
            try:
                self.run(work())
            except (ZeroDivisionError, UniqueViolation):
                pass
            else:
                raise AssertionError("the transaction went through")

    def _refused(self, work: Awaitable[Any]) -> type[StorageError]:
        try:
            self.run(work)
        except StorageError as error:
            return type(error)
        raise AssertionError("what should be refused went through")

    # --- reads -------------------------------------------------------------------------------------------------------

    @rule(tenant=tenants, key=keys)
    def get(self, tenant: uuid.UUID, key: uuid.UUID) -> None:
        note = self.run(self.repos[tenant].get(key, include_deleted=True))
        row = self.rows[tenant].get(key)
        assert (None if note is None else (note.title, note.stars)) == (None if row is None else row.value)

    @rule(key=keys)
    def get_of_several(self, key: uuid.UUID) -> None:
        found = [self.live(tenant)[key] for tenant in TENANTS if key in self.live(tenant)]
        scopes: list[dict[str, Any]] = [{"tenant_ids": list(TENANTS)}, {"tenant_id": ALL_TENANTS}]
        for scope in scopes:
            work = PydanticRepository(Note, self.pool, **scope).get(key)
            if len(found) > 1:
                assert self._refused(work) is AmbiguousRow
            else:
                note = self.run(work)
                assert (None if note is None else (note.title, note.stars)) == (found[0].value if found else None)

    @rule(tenant=tenants, title=titles, n=stars)
    def query(self, tenant: uuid.UUID, title: str, n: int) -> None:
        """With conditions that name the other tenant, and ones that always hold."""
        cases: list[tuple[Any, Callable[[Row], bool]]] = [
            (OR(Note.title == title, Note.stars >= n), lambda row: row.title == title or row.stars >= n),
            (not_(Note.title == title), lambda row: row.title != title),
            (OR(F.tenant_id == BETA, F.tenant_id == ACME), lambda _: True),
            (col(Note.title).in_([title, "z"]) | (Note.stars == n), lambda row: row.title == title or row.stars == n),
        ]
        for condition, test in cases:
            expected = sorted(row.value for row in self.live(tenant).values() if test(row))
            found = self.run(Query(Note).filter(condition).execute(self.pool, tenant))
            assert sorted((note.title, note.stars) for note in found) == expected
            assert self.run(Query(Note).filter(condition).count(self.pool, tenant)) == len(expected)

    @invariant()
    def each_sees_its_own(self) -> None:
        if not hasattr(self, "pool"):
            return
        total = 0
        for tenant in TENANTS:
            expected = {key: row.value for key, row in self.live(tenant).items()}
            notes = self.run(self.repos[tenant].list(limit=None))
            assert {note.id: (note.title, note.stars) for note in notes} == expected
            assert {note.tenant_id for note in notes} <= {tenant}
            total += len(expected)
            summed = self.run(Query(Note).select(func.sum(Note.stars)).scalar(self.pool, tenant))
            assert (summed or 0) == sum(n for _, n in expected.values())
        assert self.run(Query(Note).count(self.pool, ALL_TENANTS)) == total
        assert self.run(Query(Note).count(self.pool, tenant_ids=[])) == 0


@pytest.fixture(autouse=True)
def _databases(databases: Databases) -> None:
    TwoTenants.databases = databases


class OnSQLite(TwoTenants):
    engine = "sqlite"


class OnPostgres(TwoTenants):
    engine = SERVER_ENGINES[0]


TestOnSQLite = OnSQLite.TestCase
TestOnPostgres = OnPostgres.TestCase
TestOnSQLite.settings = TestOnPostgres.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
