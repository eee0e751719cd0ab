"""Deleting what others reference: RESTRICT, CASCADE and SET NULL, softly and for good, within one tenant."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import ForeignKeyViolation, IntegrityError
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import Query
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.conformance import Conformance
from ff_storage.core.testing.models import (
    ACME,
    AUTHORS,
    BETA,
    Author,
    Award,
    Book,
    Country,
    Folder,
    Medal,
    Quote,
    Speech,
    Task,
    Worker,
)
from ff_storage.core.testing.tables import changed, names


@dataclass
class Shelf:
    """One tenant's repositories, and an author with one child of each kind."""

    author: Author
    authors: PydanticRepository[Author]
    books: PydanticRepository[Book]
    awards: PydanticRepository[Award]
    medals: PydanticRepository[Medal]
    quotes: PydanticRepository[Quote]
    award: Award
    medal: Medal
    quote: Quote


class ReferenceTests(Conformance):
    """What a deletion does to those that reference the row."""

    models: ClassVar[tuple[type[PydanticModel], ...]] = (*AUTHORS, Folder, Worker, Task)

    async def shelf(self, pool: Pool, tenant: uuid.UUID = ACME, key: uuid.UUID | None = None) -> Shelf:
        """An author of `tenant`, an award with a medal, and a quote."""
        authors = PydanticRepository(Author, pool, tenant_id=tenant)
        awards = PydanticRepository(Award, pool, tenant_id=tenant)
        medals = PydanticRepository(Medal, pool, tenant_id=tenant)
        quotes = PydanticRepository(Quote, pool, tenant_id=tenant)
        author = await authors.create(Author(id=key or uuid.uuid4(), name="author"))
        award = await awards.create(Award(name="award", author_id=author.id))
        medal = await medals.create(Medal(name="medal", award_id=award.id))
        quote = await quotes.create(Quote(text="quote", author_id=author.id))
        books = PydanticRepository(Book, pool, tenant_id=tenant)
        return Shelf(author, authors, books, awards, medals, quotes, award, medal, quote)

    # --- RESTRICT ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("hard", [False, True])
    async def test_a_live_restrict_child_refuses_the_deletion(self, pool: Pool, hard: bool) -> None:
        """And nothing of it is done: the other children are as they were."""
        shelf = await self.shelf(pool)
        book = await shelf.books.create(Book(title="book", author_id=shelf.author.id))
        with pytest.raises(ForeignKeyViolation, match="Book"):
            await shelf.authors.delete(shelf.author.id, hard=hard)
        assert await shelf.authors.get(shelf.author.id) == shelf.author
        assert await shelf.awards.get(shelf.award.id) == shelf.award
        assert await shelf.medals.get(shelf.medal.id) == shelf.medal
        assert await shelf.quotes.get(shelf.quote.id) == shelf.quote
        await shelf.books.delete(book.id, hard=hard)
        assert await shelf.authors.delete(shelf.author.id, hard=hard) is True

    async def test_a_deleted_restrict_child_refuses_only_a_deletion_for_good(self, pool: Pool) -> None:
        """The row is still there, and would reference nothing."""
        shelf = await self.shelf(pool)
        book = await shelf.books.create(Book(title="book", author_id=shelf.author.id))
        await shelf.books.delete(book.id)
        with pytest.raises(ForeignKeyViolation):
            await shelf.authors.delete(shelf.author.id, hard=True)
        assert await shelf.authors.delete(shelf.author.id) is True
        with pytest.raises(ForeignKeyViolation):
            await shelf.authors.delete(shelf.author.id, hard=True)
        assert await shelf.books.delete(book.id, hard=True) is True
        assert await shelf.authors.delete(shelf.author.id, hard=True) is True

    async def test_a_shared_row_is_kept_for_the_rows_of_any_tenant(self, pool: Pool) -> None:
        """Tenant → global: the key is single, and every tenant's reference counts."""
        countries = PydanticRepository(Country, pool)
        await countries.create(Country(code="nl", name="Netherlands"))
        authors = PydanticRepository(Author, pool, tenant_id=BETA)
        author = await authors.create(Author(name="a", country="nl"))
        with pytest.raises(ForeignKeyViolation):
            await countries.delete("nl")
        await authors.update(author.id, changed(Author, country=None))
        assert await countries.delete("nl") is True

    # --- CASCADE -----------------------------------------------------------------------------------------------------

    async def test_a_soft_deletion_cascades_softly(self, pool: Pool) -> None:
        """Each child is deleted in its own way: marked where its model marks, with the same actor."""
        shelf = await self.shelf(pool)
        actor = uuid.uuid4()
        assert await shelf.authors.delete(shelf.author.id, user_id=actor) is True
        assert await shelf.awards.get(shelf.award.id) is None
        marked = await shelf.awards.get(shelf.award.id, include_deleted=True)
        assert marked is not None
        assert marked.deleted_at is not None
        assert marked.deleted_by == actor
        assert await shelf.medals.get(shelf.medal.id, include_deleted=True) is None
        quote = await shelf.quotes.get(shelf.quote.id)
        assert quote is not None
        assert quote.author_id == shelf.author.id

    async def test_a_deletion_for_good_cascades_for_good(self, pool: Pool) -> None:
        shelf = await self.shelf(pool)
        await shelf.awards.delete(shelf.award.id)
        assert await shelf.authors.delete(shelf.author.id, hard=True) is True
        assert await shelf.authors.get(shelf.author.id, include_deleted=True) is None
        assert await shelf.awards.get(shelf.award.id, include_deleted=True) is None
        assert await shelf.medals.get(shelf.medal.id) is None

    @pytest.mark.parametrize("hard", [False, True])
    async def test_a_cascade_stays_within_the_tenant(self, pool: Pool, hard: bool) -> None:
        """Two tenants with rows of the same keys: one's deletion leaves the other's alone."""
        key = uuid.uuid4()
        acme, beta = await self.shelf(pool, ACME, key), await self.shelf(pool, BETA, key)
        assert await acme.authors.delete(key, hard=hard) is True
        assert await beta.authors.get(key) == beta.author
        assert await beta.awards.get(beta.award.id) == beta.award
        assert await beta.medals.get(beta.medal.id) == beta.medal
        assert await beta.quotes.get(beta.quote.id) == beta.quote

    @pytest.mark.parametrize("hard", [False, True])
    async def test_a_self_reference_cascades_to_the_bottom(self, pool: Pool, hard: bool) -> None:
        """However deep that is."""
        folders = PydanticRepository(Folder, pool)
        chain = [Folder(name="top")]
        for level in range(1_500):
            chain.append(Folder(name=f"level {level}", parent_id=chain[-1].id))
        await folders.create_many(chain)
        await folders.create_many([Folder(name="leaf", parent_id=chain[0].id) for _ in range(5)])
        other = await folders.create(Folder(name="other"))
        assert await folders.delete(chain[0].id, hard=hard) is True
        assert await folders.list() == [other]
        assert await folders.count(include_deleted=True) == (1 if hard else 1_507)

    @pytest.mark.parametrize("hard", [False, True])
    async def test_a_cycle_of_cascades_ends(self, pool: Pool, hard: bool) -> None:
        folders = PydanticRepository(Folder, pool)
        a = await folders.create(Folder(name="a"))
        b = await folders.create(Folder(name="b", parent_id=a.id))
        await folders.update(a.id, changed(Folder, parent_id=b.id))
        alone = await folders.create(Folder(name="alone"))
        await folders.update(alone.id, changed(Folder, parent_id=alone.id))
        assert await folders.delete(a.id, hard=hard) is True
        assert await folders.delete(alone.id, hard=hard) is True
        assert await folders.list() == []

    # --- SET NULL ----------------------------------------------------------------------------------------------------

    async def test_a_soft_deletion_leaves_set_null_children_alone(self, pool: Pool) -> None:
        """They find their parent again when it is restored."""
        shelf = await self.shelf(pool)
        await shelf.authors.delete(shelf.author.id)
        assert await shelf.quotes.get(shelf.quote.id) == shelf.quote
        assert await shelf.authors.restore(shelf.author.id) is not None

    async def test_a_deletion_for_good_clears_the_reference_and_never_the_tenant(self, pool: Pool) -> None:
        shelf = await self.shelf(pool)
        deleted = await shelf.quotes.create(Quote(text="deleted", author_id=shelf.author.id))
        await shelf.quotes.delete(deleted.id)
        assert await shelf.authors.delete(shelf.author.id, hard=True) is True
        for key in (shelf.quote.id, deleted.id):
            quote = await shelf.quotes.get(key, include_deleted=True)
            assert quote is not None
            assert quote.author_id is None
            assert quote.tenant_id == ACME

    async def test_a_self_reference_is_cleared(self, pool: Pool) -> None:
        workers = PydanticRepository(Worker, pool, tenant_id=ACME)
        boss = await workers.create(Worker(name="boss"))
        await workers.create_many([Worker(name=f"w{n}", boss_id=boss.id) for n in range(3)])
        own = await workers.create(Worker(name="own"))
        await workers.update(own.id, changed(Worker, boss_id=own.id))
        assert await workers.delete(boss.id) is True
        assert await workers.delete(own.id) is True
        rest = await workers.list(order_by="name")
        assert names(rest) == ["w0", "w1", "w2"]
        assert {(each.boss_id, each.tenant_id) for each in rest} == {(None, ACME)}

    async def test_a_self_reference_that_restricts(self, pool: Pool) -> None:
        tasks = PydanticRepository(Task, pool)
        first = await tasks.create(Task(name="first"))
        second = await tasks.create(Task(name="second", after_id=first.id))
        for hard in (False, True):
            with pytest.raises(ForeignKeyViolation):
                await tasks.delete(first.id, hard=hard)
        assert await tasks.delete(second.id) is True
        assert await tasks.delete(first.id) is True
        for hard in (False, True):
            key = uuid.uuid4()
            await tasks.create(Task(id=key, name="itself", after_id=key))
            behind = await tasks.create(Task(name="behind", after_id=key))
            with pytest.raises(ForeignKeyViolation):
                await tasks.delete(key, hard=hard)
            assert await tasks.delete(behind.id, hard=hard) is True
            assert await tasks.delete(key, hard=hard) is True

    # --- the constraints themselves ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("wrong", ["nothing", "another tenant's"])
    async def test_a_reference_to_nothing_is_refused(self, pool: Pool, wrong: str) -> None:
        """And so is one to another tenant's row: to this tenant that is nothing."""
        beta = await self.shelf(pool, BETA)
        key = beta.author.id if wrong == "another tenant's" else uuid.uuid4()
        books = PydanticRepository(Book, pool, tenant_id=ACME)
        with pytest.raises(ForeignKeyViolation):
            await books.create(Book(title="book", author_id=key))
        with pytest.raises(ForeignKeyViolation):
            await books.create_many([Book(title=f"book {n}", author_id=key) for n in range(3)])
        acme = await self.shelf(pool, ACME)
        book = await books.create(Book(title="book", author_id=acme.author.id))
        with pytest.raises(ForeignKeyViolation):
            await books.update(book.id, changed(Book, author_id=key))
        assert await books.list() == [book]

    async def test_a_deletion_is_undone_as_a_whole(self, pool: Pool) -> None:
        """Within a transaction of the caller's that fails, the cascade is gone too."""
        shelf = await self.shelf(pool)
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction():
                assert await shelf.authors.delete(shelf.author.id, hard=True) is True
                raise ZeroDivisionError
        assert await shelf.authors.get(shelf.author.id) == shelf.author
        assert await shelf.medals.get(shelf.medal.id) == shelf.medal
        assert await shelf.quotes.get(shelf.quote.id) == shelf.quote

    async def test_a_refused_deletion_leaves_nothing_to_commit(self, pool: Pool) -> None:
        """Within a transaction of the caller's that goes on, no part of the cascade is kept."""
        shelf = await self.shelf(pool)
        await PydanticRepository(Speech, pool, ACME).create(Speech(text="thanks", award_id=shelf.award.id))
        for hard in (False, True):
            async with pool.transaction() as tx:
                with pytest.raises(ForeignKeyViolation):
                    await shelf.authors.delete(shelf.author.id, hard=hard)
                with pytest.raises(ForeignKeyViolation):
                    await shelf.authors.delete(shelf.author.id, hard=hard, connection=tx)
            assert await shelf.authors.get(shelf.author.id) == shelf.author
            assert await shelf.medals.get(shelf.medal.id) == shelf.medal
            assert await shelf.quotes.get(shelf.quote.id) == shelf.quote

    async def test_a_restored_parent_takes_its_key_back(self, pool: Pool) -> None:
        """A child written meanwhile references it still; restoring a row that is not deleted finds nothing."""
        shelf = await self.shelf(pool)
        assert await shelf.authors.restore(shelf.author.id) is None
        await shelf.authors.delete(shelf.author.id)
        restored = await shelf.authors.restore(shelf.author.id)
        assert restored is not None
        assert restored.deleted_at is None
        book = await shelf.books.create(Book(title="b", author_id=restored.id))
        assert await shelf.books.list() == [book]

    async def test_the_database_itself_holds_the_keys(self, pool: Pool) -> None:
        """Raw SQL that goes around the library meets the constraints."""
        shelf = await self.shelf(pool)
        quote = pool.dialect.quote
        for model in (Author, Award):
            table: Any = model.__ff_entity__.table
            with pytest.raises(IntegrityError):
                await pool.execute(f"UPDATE {quote(table.name)} SET id = tenant_id")
        assert await Query(Author).count(pool, ACME) == 1
        assert shelf.author.id == (await Query(Author).one(pool, ACME)).id
