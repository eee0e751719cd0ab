"""The synchronous repository gives the answers of the asynchronous one: the same calls, result for result."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple

import pytest

from ff_storage.core.context import tenant_scope
from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import (
    ConfigurationError,
    InvalidValueError,
    MultipleResultsFound,
    NoResultFound,
    StorageError,
    TenantNotConfigured,
)
from ff_storage.core.history.strategy import strategy_of
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import Query, bulk_insert, func
from ff_storage.core.query.bulk import ChunkResult
from ff_storage.core.repository import PydanticRepository, SyncRepository
from ff_storage.core.sql.dialect import Capability
from ff_storage.core.testing.conformance import Conformance
from ff_storage.core.testing.models import ACME, AUTHORS, BETA, Country, Note, Product, Seat, Status, Values
from ff_storage.core.testing.tables import changed

_MOMENTS: Final = {"created_at", "updated_at", "deleted_at", "tenant_id"}
"""What differs between two repositories that were asked the same: when, and for whom."""


class Call(NamedTuple):
    """One call of a repository's method."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})


class SyncRepositoryConformance(Conformance):
    """A subclass sets `database_class`, and gives `database` as for every class of the kit."""

    database_class: ClassVar[type[SQL]]
    models: ClassVar[tuple[type[PydanticModel], ...]] = (*AUTHORS, Product, Note, Seat, Values)

    @pytest.fixture
    def db(self, url: str) -> Iterator[SQL]:
        """A connected synchronous database; one in memory is another than the pool's, and gets the tables too."""
        with self.database_class.from_url(url, **self.options) as db:
            if self.max_connections == 1:
                _create(db, self.models)
            yield db

    @pytest.fixture
    def both(self, pool: Any, db: SQL) -> Callable[[Call], Coroutine[Any, Any, Any]]:
        """Makes one call on both repositories of notes, each with a tenant of its own; the outcome that they share."""
        awaited, blocking = PydanticRepository(Note, pool, ACME), SyncRepository(Note, db, BETA)

        async def run(call: Call) -> Any:
            options = call.options
            theirs = await _outcome_of(lambda: getattr(awaited, call.method)(*_copied(call.arguments), **options))
            ours = _outcome(lambda: getattr(blocking, call.method)(*_copied(call.arguments), **options))
            assert ours == theirs, call
            return ours

        return run

    @pytest.mark.parametrize("seed", range(8))
    async def test_a_series_of_calls_gives_the_same_on_both(
        self, both: Callable[[Call], Coroutine[Any, Any, Any]], seed: int
    ) -> None:
        source = random.Random(seed)
        keys = [uuid.UUID(int=source.getrandbits(128), version=4) for _ in range(8)]
        outcomes = [await both(_random_call(source, keys)) for _ in range(120)]
        assert {kind for kind, _ in outcomes} == {"returned", "NoResultFound", "UniqueViolation"}

    async def test_errors_are_the_same_on_both(self, both: Callable[[Call], Coroutine[Any, Any, Any]]) -> None:
        key = uuid.uuid4()
        calls = [
            Call("get", (None,)), Call("get", ("no uuid",)), Call("get", ((key, 1),)), Call("get_many", ([key, None],)),
            Call("create", ("no model",)), Call("create", (Country(code="nl", name="x"),)),
            Call("update", (key, changed(Note, title="x"))), Call("update", (key, Country(code="nl", name="x"))),
            Call("create", (Note.model_construct(title="x" * 200),)),
            Call("create", (Note(title="a", created_by=key),)), Call("list", ({"nope": 1},)),
            Call("list", (None, -1)), Call("list", (None, 1, "2")),
            Call("list", (), {"order_by": "nope"}), Call("count", ({"stars": "many"},)),
            Call("create_many", ([Note(title="a")],), {"batch_size": 0}),
        ]  # fmt: skip
        for call in calls:
            kind, _ = await both(call)
            assert kind != "returned", call

    async def test_every_kind_of_value_is_stored_and_read(self, db: SQL) -> None:
        repo = SyncRepository(Values, db)
        given = Values(
            text="é\"\\{},'\t", short="s", big=-(2**63), small=-32768, flag=False, real=1e-300,
            money=Decimal("-1.2500"), exact=Decimal("1.1"), wide=Decimal(10**37),
            instant=dt.datetime(2024, 2, 29, 23, 59, 59, 999999, dt.UTC),
            day=dt.date(1, 1, 1), clock=dt.time(23, 59, 59, 1), span=-dt.timedelta(days=1, microseconds=1),
            data=bytes(range(256)), token=uuid.UUID(int=7), json_value={"a": [None, "é", 1.5, {"b": True}]},
            words=["a", 'b"', "\\", "", "NULL", "{}", "é,"], numbers=[-1, 0, 2**62], tokens=[uuid.UUID(int=8)],
            labels={"x", "y"}, status=Status.SOLD, size="M",
        )  # fmt: skip
        stored = repo.create(given)
        own = {"created_at", "updated_at"}
        assert stored.model_dump(exclude=own) == given.model_dump(exclude=own)
        assert repo.get(given.id) == stored
        copies = [given.model_copy(update={"id": uuid.UUID(int=number)}) for number in range(100, 110)]
        empty = [Values(id=uuid.UUID(int=number)) for number in range(200, 210)]
        for sent, read in zip([*copies, *empty], repo.create_many([*copies, *empty]), strict=True):
            assert read.model_dump(exclude=own) == sent.model_dump(exclude=own)
            assert repo.get(sent.id) == read
        assert repo.count({"text": given.text, "numbers": [-1, 0, 2**62]}) == 11
        assert repo.count({"flag": None}) == 10
        assert type(stored.token) is uuid.UUID
        assert stored.instant is not None
        assert stored.instant.tzinfo is dt.UTC

    async def test_natural_and_composite_keys(self, db: SQL) -> None:
        countries = SyncRepository(Country, db)
        created = countries.create(Country(code="nl", name="x"))
        assert countries.get("nl") == created
        assert countries.update("nl", changed(Country, name="y")).name == "y"
        assert countries.delete("nl") is True
        assert countries.get("nl", include_deleted=True) is None
        seats = SyncRepository(Seat, db, tenant_id="scala")
        seats.create_many([Seat(row=row, number=number) for row in "ab" for number in (1, 2)])
        assert seats.update(("a", 2), changed(Seat, taken=True)).taken is True
        assert {key for key, seat in seats.get_many([("a", 2), ("c", 1)]).items() if seat} == {("a", 2)}

    async def test_calls_join_the_transaction_of_their_thread(self, db: SQL) -> None:
        repo = SyncRepository(Product, db)
        with pytest.raises(ZeroDivisionError), repo.transaction():
            repo.create(Product(name="a"))
            repo.create_many([Product(name="b"), Product(name="c")])
            assert repo.count() == 3
            raise ZeroDivisionError
        assert repo.count() == 0
        db.begin_transaction()
        kept = repo.create(Product(name="a"))
        with pytest.raises(StorageError):
            repo.create_many([Product(name="b"), Product(id=kept.id, name="c")])
        with pytest.raises(StorageError):  # that undid itself alone
            repo.create(Product(id=kept.id, name="c"))
        db.rollback_transaction()
        assert repo.count() == 0

    async def test_a_batch_that_failed_within_a_transaction_is_undone_alone(self, db: SQL) -> None:
        repo = SyncRepository(Product, db)
        with db.transaction():
            kept = repo.create(Product(name="a"))
            with pytest.raises(StorageError):
                repo.create_many([Product(name="b"), Product(id=kept.id, name="c")])
            repo.create(Product(name="d"))
        assert [each.name for each in repo.list(order_by="name")] == ["a", "d"]

    async def test_the_ambient_scope_is_that_of_the_call(self, db: SQL) -> None:
        repo = SyncRepository(Note, db)
        with pytest.raises(TenantNotConfigured):
            repo.create(Note(title="a"))
        with tenant_scope(ACME):
            created = repo.create(Note(title="a"))
        with tenant_scope(BETA):
            assert repo.get(created.id) is None
        with tenant_scope(tenant_ids=[ACME, BETA]):
            assert repo.get(created.id) == created

    async def test_queries_run_on_it(self, db: SQL) -> None:
        notes = SyncRepository(Note, db, ACME)
        notes.create_many([Note(title=title, stars=stars) for title, stars in (("a", 1), ("b", 2), ("c", 2))])
        gone = notes.create(Note(title="d", stars=5))
        notes.delete(gone.id)
        query = Query(Note).filter(Note.stars > 1).order_by("title").on(db)
        assert [note.title for note in query.execute(ACME)] == ["b", "c"]
        assert query.execute(BETA) == []
        assert (query.count(ACME), query.exists(ACME), query.exists(BETA)) == (2, True, False)
        assert query.first(ACME) == query.execute(tenant_ids=[ACME, BETA])[0]
        assert query.first(BETA) is None
        with pytest.raises(MultipleResultsFound):
            query.one(ACME)
        with pytest.raises(NoResultFound):
            query.one(BETA)
        with pytest.raises(InvalidValueError):
            query.scalar(ACME)
        with pytest.raises(TenantNotConfigured):
            query.execute()
        groups = Query(Note).select(Note.stars, func.count()).group_by(Note.stars).order_by(Note.stars).on(db)
        assert groups.execute(ACME) == [(1, 1), (2, 2)]
        assert Query(Note).include_deleted().select(func.max(Note.stars)).on(db).scalar(ACME) == 5
        assert Query(Note).filter(Note.title == "a").on(db).one(ACME).stars == 1
        with pytest.raises(ZeroDivisionError), db.transaction():
            notes.create(Note(title="e", stars=9))
            assert query.count(ACME) == 3
            raise ZeroDivisionError
        assert query.count(ACME) == 2

    async def test_sides_are_not_confused(self, pool: Any, db: SQL) -> None:
        wrong: Any = pool
        with pytest.raises(ConfigurationError, match="PydanticRepository"):
            SyncRepository(Note, wrong)
        wrong = db
        with pytest.raises(ConfigurationError, match="SyncRepository"):
            PydanticRepository(Note, wrong)
        with pytest.raises(ConfigurationError, match=r"query\.on\(db\)"):
            await Query(Product).execute(wrong)
        with pytest.raises(ConfigurationError, match="create_many"):
            await bulk_insert(Product, [Product(name="a")], wrong)
        wrong = pool
        with pytest.raises(ConfigurationError, match=r"await query\.execute"):
            Query(Product).on(wrong)
        assert SyncRepository(Product, db).count() == 0


def _random_call(source: random.Random, keys: list[uuid.UUID]) -> Call:
    """A call that is as likely to be refused as not."""
    key, titles = source.choice(keys), ["a", "b", "c", "d"]

    def note(number: int = 0) -> Note:
        return Note(id=source.choice(keys) if number == 0 else uuid.UUID(int=source.getrandbits(128), version=4),
                    title=source.choice(titles), stars=source.randrange(5))  # fmt: skip

    match source.randrange(9):
        case 0:
            return Call("get", (key,), {"include_deleted": source.random() < 0.3})
        case 1:
            return Call("get_many", (source.choices(keys, k=4),))
        case 2:
            filters = source.choice([None, {"title": "a"}, {"stars": [1, 2]}, {"body": None}])
            return Call(
                "list", (filters, source.choice([None, 2]), source.randrange(3)), {"order_by": ["stars", "title"]}
            )
        case 3:
            return Call("count", (), {"include_deleted": source.random() < 0.5})
        case 4:
            return Call("create", (note(), key))
        case 5:
            batch = [note(number) for number in range(source.randrange(4))]
            return Call("create_many", (batch,), {"atomic": source.random() < 0.5, "batch_size": 2})
        case 6:
            return Call("update", (key, changed(Note, title=source.choice(titles), body=source.choice([None, "x"]))))
        case 7:
            return Call("delete", (key,), {"hard": source.random() < 0.3})
        case _:
            return Call("restore", (key,))


def _copied(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.model_copy() if isinstance(each, PydanticModel) else each for each in arguments)


Outcome = tuple[str, Any]


async def _outcome_of(call: Callable[[], Coroutine[Any, Any, Any]]) -> Outcome:
    try:
        return "returned", _plain(await call())
    except StorageError as error:
        return type(error).__name__, str(error)


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return "returned", _plain(call())
    except StorageError as error:
        return type(error).__name__, str(error)


def _plain(value: Any) -> Any:
    """A result without what may differ."""
    if isinstance(value, PydanticModel):
        return value.model_dump(exclude=_MOMENTS)
    if isinstance(value, dict):
        found: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _plain(each) for key, each in found.items()}
    if isinstance(value, list):
        several: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_plain(each) for each in several]
    if isinstance(value, ChunkResult):
        return value.start, value.stop, value.count, type(value.error).__name__, str(value.error)
    return value


def _create(db: SQL, models: tuple[type[PydanticModel], ...]) -> None:
    backend = db.dialect.schema()
    transactional = Capability.TRANSACTIONAL_DDL in db.dialect.capabilities
    with db.transaction() if transactional else contextlib.nullcontext():
        for model in models:
            entity = model.__ff_entity__
            for table in (entity.table, *strategy_of(entity).auxiliary_tables(entity.table)):
                for statement in backend.create_table(table):
                    db.execute(statement)
