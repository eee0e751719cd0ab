"""Units of work, and functions that are run again in a new transaction: one contract on every driver."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from ff_storage.core.database import IsolationLevel, Pool, Transaction
from ff_storage.core.errors import (
    CommitOutcomeUnknown,
    InvalidValueError,
    SerializationFailure,
    TenantScopeError,
    TransactionAborted,
    TransactionClosed,
    TransactionNotShared,
    TransactionNotStarted,
    UniqueViolation,
)
from ff_storage.core.model import PydanticModel
from ff_storage.core.repository import PydanticRepository, TransactionBoundRepository, UnitOfWork
from ff_storage.core.testing.cancellation import cancel_at_each_await
from ff_storage.core.testing.conformance import connections
from ff_storage.core.testing.models import ACME, BETA, Country, Note
from ff_storage.core.testing.raw import RawTests


class UnitOfWorkTests(RawTests):
    """Repositories in one transaction."""

    models: ClassVar[tuple[type[PydanticModel], ...]] = (Country, Note)

    async def test_repositories_of_a_unit_write_all_or_nothing(self, pool: Pool) -> None:
        tenant = ACME
        async with UnitOfWork(pool) as uow:
            await uow.repository(Country).create(Country(code="aa", name="kept"))
            note = await uow.repository(Note, tenant_id=tenant).create(Note(title="kept"))
        with pytest.raises(ZeroDivisionError):
            async with UnitOfWork(pool) as uow:
                await uow.repository(Country).create(Country(code="bb", name="lost"))
                await uow.repository(Note, tenant_id=tenant).delete(note.id)
                raise ZeroDivisionError
        assert await self.codes(pool) == ["aa"]
        assert await PydanticRepository(Note, pool, tenant_id=tenant).get(note.id) is not None
        assert pool.stats().used == 0

    async def test_repositories_of_a_unit_read_what_it_wrote(self, pool: Pool) -> None:
        tenant = ACME
        async with UnitOfWork(pool) as uow:
            notes = uow.repository(Note, tenant_id=tenant)
            assert isinstance(notes, TransactionBoundRepository)
            note = await notes.create(Note(title="first"))
            others = uow.repository(Note, tenant_ids=[tenant])
            assert await others.get(note.id) == note
            assert [each.id for each in await others.list()] == [note.id]
            await others.update(note.id, note.model_copy(update={"title": "second"}))
            assert (await notes.get_many([note.id]))[note.id].title == "second"  # type: ignore[union-attr]
            assert await notes.count({"title": "second"}) == 1
            assert await notes.delete(note.id)
            assert await others.get(note.id) is None

    async def test_the_scope_of_a_repository_holds_in_a_unit(self, pool: Pool) -> None:
        async with UnitOfWork(pool) as uow:
            note = await uow.repository(Note, tenant_id=ACME).create(Note(title="mine"))
            assert await uow.repository(Note, tenant_id=BETA).get(note.id) is None
            with pytest.raises(TenantScopeError):
                uow.repository(Note, tenant_id=ACME, tenant_ids=[BETA])

    async def test_a_unit_commits_and_rolls_back_within_its_block(self, pool: Pool) -> None:
        with pytest.raises(ZeroDivisionError):
            async with UnitOfWork(pool, IsolationLevel.SERIALIZABLE) as uow:
                countries = uow.repository(Country)
                await countries.create(Country(code="aa", name="kept"))
                await uow.commit()
                await countries.create(Country(code="bb", name="undone"))
                await uow.rollback()
                async with uow.savepoint():
                    await countries.create(Country(code="cc", name="kept"))
                with pytest.raises(UniqueViolation):
                    async with uow.savepoint("again"):
                        await countries.create(Country(code="cc", name="twice"))
                await uow.commit()
                await uow.connection.execute(self.insertion(pool), *self.row(pool, "dd"))
                raise ZeroDivisionError
        assert await self.codes(pool) == ["aa", "cc"]

    async def test_a_failure_that_was_swallowed_in_a_unit_is_told(self, pool: Pool) -> None:
        await self.given(pool, "aa")
        with pytest.raises(TransactionAborted) as caught:
            async with UnitOfWork(pool) as uow:
                countries = uow.repository(Country)
                await countries.create(Country(code="bb", name="lost"))
                with pytest.raises(UniqueViolation):
                    await countries.create(Country(code="aa", name="twice"))
        assert isinstance(caught.value.__cause__, UniqueViolation)
        assert await self.codes(pool) == ["aa"]

    async def test_a_unit_is_used_within_its_block(self, pool: Pool) -> None:
        uow = UnitOfWork(pool)
        assert not uow.is_active
        with pytest.raises(TransactionNotStarted, match="UnitOfWork"):
            uow.repository(Country)
        with pytest.raises(TransactionNotStarted, match="UnitOfWork"):
            await uow.commit()
        async with uow:
            assert uow.is_active
            countries = uow.repository(Country)
        with pytest.raises(TransactionClosed):
            await countries.get("aa")
        with pytest.raises(TransactionClosed):
            uow.repository(Country)

    async def test_a_unit_within_a_transaction_is_a_savepoint_of_it(self, pool: Pool) -> None:
        async with pool.transaction() as tx:
            with pytest.raises(ZeroDivisionError):
                async with UnitOfWork(pool) as uow:
                    await uow.repository(Country).create(Country(code="aa", name="undone"))
                    raise ZeroDivisionError
            async with UnitOfWork(tx) as uow:
                await uow.repository(Country).create(Country(code="bb", name="kept"))
        assert await self.codes(pool) == ["bb"]

    async def test_another_task_works_in_a_unit_only_through_its_repositories(self, pool: Pool) -> None:
        async with UnitOfWork(pool) as uow:
            await asyncio.create_task(uow.repository(Country).create(Country(code="aa", name="meant")))
            with pytest.raises(TransactionNotShared):
                await asyncio.create_task(PydanticRepository(Country, pool).get("aa"))
        assert await self.codes(pool) == ["aa"]

    async def test_a_unit_that_is_canceled_at_any_await_leaves_all_or_nothing(self, pool: Pool) -> None:
        async def work(number: int) -> None:
            async with UnitOfWork(pool) as uow:
                countries = uow.repository(Country)
                await countries.create(Country(code=f"{number:02}", name="one"))
                await countries.create(Country(code=f"{chr(97 + number // 10)}{number % 10}", name="two"))

        async for number, finished in cancel_at_each_await(work):
            await pool.settle()
            assert pool.stats().used == 0
            both = {f"{number:02}", f"{chr(97 + number // 10)}{number % 10}"}
            stored = both & set(await self.codes(pool))
            assert stored in (set(), both)
            assert not finished or stored == both


class RerunTests(RawTests):
    """`run_in_transaction`: the whole function again, on conflicts only."""

    async def test_a_conflict_runs_the_whole_function_again(self, pool: Pool) -> None:
        transactions: list[Transaction] = []

        async def work(tx: Transaction) -> str:
            transactions.append(tx)
            await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
            await pool.execute(self.insertion(pool), *self.row(pool, "bb"))
            if len(transactions) < 3:
                raise SerializationFailure("a conflict")
            return "done"

        assert await pool.run_in_transaction(work) == "done"
        assert len({id(tx) for tx in transactions}) == 3
        assert await self.codes(pool) == ["aa", "bb"]
        assert pool.stats().reruns == 2

    async def test_a_conflict_that_was_swallowed_counts_too(self, pool: Pool) -> None:
        runs: list[int] = []

        async def conflict(_: Any) -> None:
            raise SerializationFailure("a conflict")

        async def work(tx: Transaction) -> None:
            runs.append(1)
            await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
            if len(runs) == 1:
                with pytest.raises(SerializationFailure):
                    await tx.call(conflict)

        await pool.run_in_transaction(work)
        assert len(runs) == 2
        assert await self.codes(pool) == ["aa"]

    @pytest.mark.parametrize("retries", [0, 1, 3])
    async def test_the_last_conflict_is_raised(self, pool: Pool, retries: int) -> None:
        runs: list[int] = []

        async def work(tx: Transaction) -> None:
            runs.append(1)
            await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
            raise SerializationFailure(f"conflict {len(runs)}")

        with pytest.raises(SerializationFailure, match=f"conflict {retries + 1}"):
            await pool.run_in_transaction(work, retries=retries)
        assert len(runs) == retries + 1
        assert await self.codes(pool) == []

    @pytest.mark.parametrize("error", [ZeroDivisionError, UniqueViolation, CommitOutcomeUnknown, TransactionAborted])
    async def test_nothing_else_is_repeated(self, pool: Pool, error: type[Exception]) -> None:
        runs: list[int] = []

        async def work(tx: Transaction) -> None:
            runs.append(1)
            await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
            raise error("no conflict")

        with pytest.raises(error, match="no conflict"):
            await pool.run_in_transaction(work)
        assert runs == [1]
        assert await self.codes(pool) == []

    async def test_within_a_transaction_it_joins_and_is_not_repeated(self, pool: Pool) -> None:
        runs: list[int] = []

        async def work(tx: Transaction) -> None:
            runs.append(1)
            await tx.execute(self.insertion(pool), *self.row(pool, "bb"))
            raise SerializationFailure("a conflict")

        with pytest.raises(SerializationFailure):
            async with pool.transaction() as tx:
                await tx.execute(self.insertion(pool), *self.row(pool, "aa"))
                await pool.run_in_transaction(work)
        assert runs == [1]
        assert await self.codes(pool) == []

    async def test_its_arguments_reach_the_transaction(self, pool: Pool) -> None:
        async def work(tx: Transaction) -> Any:
            return await tx.fetch_val("SELECT 1")

        assert await pool.run_in_transaction(work, isolation=IsolationLevel.SERIALIZABLE, readonly=True) == 1
        for wrong in (-1, 1.5, True, "3", None):
            with pytest.raises(InvalidValueError):
                await pool.run_in_transaction(work, retries=wrong)  # type: ignore[arg-type]

    async def test_a_cancellation_at_any_await_ends_it(self, pool: Pool) -> None:
        async def work(number: int) -> None:
            runs: list[int] = []

            async def write(tx: Transaction) -> None:
                runs.append(1)
                await tx.execute(self.insertion(pool), *self.row(pool, f"{number:02}"))
                if len(runs) == 1:
                    raise SerializationFailure("a conflict")

            await pool.run_in_transaction(write)

        async for number, finished in cancel_at_each_await(work):
            await pool.settle()
            assert pool.stats().used == 0
            assert (f"{number:02}" in await self.codes(pool)) or not finished

    @connections(2)
    async def test_writers_that_conflict_lose_no_update(self, pool: Pool) -> None:
        """What the isolation level refuses is run again, until each has added its part."""
        await self.given(pool, "aa")
        repository = PydanticRepository(Country, pool)

        async def add(tx: Transaction) -> None:
            country = await repository.get("aa", connection=tx)
            assert country is not None
            changed = country.model_copy(update={"name": country.name + "+"})
            changed.__pydantic_fields_set__.add("name")
            await repository.update("aa", changed, connection=tx)

        await asyncio.gather(
            *(pool.run_in_transaction(add, isolation=IsolationLevel.SERIALIZABLE, retries=50) for _ in range(5))
        )
        country = await repository.get("aa")
        assert country is not None
        assert country.name == "aaaa+++++"
