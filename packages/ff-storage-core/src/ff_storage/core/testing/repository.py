"""The repository: create, read, update, delete and restore, one row at a time."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from ff_storage.core.context import utc_now
from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    CheckViolation,
    ConcurrencyError,
    ConfigurationError,
    DatabaseError,
    InvalidValueError,
    NoResultFound,
    UniqueViolation,
    UnknownFieldError,
)
from ff_storage.core.model import PydanticModel
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository
from ff_storage.core.testing.bulk import BulkTests
from ff_storage.core.testing.conformance import Conformance
from ff_storage.core.testing.models import ACME, AUTHORS, Counter, Country, Note, Product, Seat, Status, Values
from ff_storage.core.testing.recording import Recorder
from ff_storage.core.testing.references import ReferenceTests
from ff_storage.core.testing.tables import changed, names, stored
from ff_storage.core.testing.tenants import TenantTests


class RowTests(Conformance):
    """One row at a time."""

    models: ClassVar[tuple[type[PydanticModel], ...]] = (*AUTHORS, Product, Counter, Note, Seat, Values)

    # --- create and read ---------------------------------------------------------------------------------------------

    async def test_a_created_row_is_returned_as_stored(self, pool: Pool) -> None:
        actor = uuid.uuid4()
        before = utc_now()
        repo = PydanticRepository(Product, pool)
        product = Product(name="a", details={"b": [1]}, status=Status.DRAFT)
        created = await repo.create(product, user_id=actor)
        assert created is not product
        assert created == await repo.get(product.id)
        assert (created.id, created.name, created.details, created.status) == (
            product.id, "a", {"b": [1]}, Status.DRAFT,
        )  # fmt: skip
        assert (created.created_by, created.updated_by, created.deleted_by) == (actor, actor, None)
        assert before <= created.created_at == created.updated_at <= utc_now()
        assert created.deleted_at is None
        assert (await repo.create(Product(name="b"))).created_by is None

    async def test_what_the_library_writes_is_not_the_callers(self, recorder: Recorder, pool: Pool) -> None:
        """A new row cannot bring its own times, actors, deletion or version."""
        now = utc_now()
        given: list[dict[str, Any]] = [
            {"created_at": now}, {"updated_at": now}, {"created_by": uuid.uuid4()}, {"updated_by": uuid.uuid4()},
            {"deleted_at": now}, {"deleted_by": uuid.uuid4()},
        ]  # fmt: skip
        for values in given:
            for attempt in _creations(recorder, values):
                with pytest.raises(InvalidValueError, match=next(iter(values))):
                    await attempt()
        with pytest.raises(InvalidValueError, match="revision"):
            await PydanticRepository(Counter, recorder).create(Counter(name="a", revision=7))
        assert recorder.sent == []
        assert await stored(pool, Product) == 0

    async def test_a_missing_row_is_none(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        key = uuid.uuid4()
        assert await repo.get(key) is None
        assert await repo.get_many([key]) == {key: None}
        assert await repo.get_many([]) == {}
        assert await repo.delete(key) is False
        assert await repo.restore(key) is None
        with pytest.raises(NoResultFound):
            await repo.update(key, changed(Product, name="x"))

    async def test_get_many_answers_for_each_key_that_was_asked(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        a, b = [await repo.create(Product(name=name)) for name in "ab"]
        missing = uuid.uuid4()
        assert await repo.get_many([b.id, missing, a.id, b.id]) == {b.id: b, missing: None, a.id: a}
        assert list(await repo.get_many([b.id, missing, a.id])) == [b.id, missing, a.id]
        assert await repo.get_many([str(a.id)]) == {str(a.id): a}
        await repo.delete(a.id)
        assert (await repo.get_many([a.id]))[a.id] is None
        assert (await repo.get_many([a.id], include_deleted=True))[a.id] is not None

    async def test_a_key_that_exists_is_not_created_again(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        product = await repo.create(Product(name="a"))
        with pytest.raises(UniqueViolation) as caught:
            await repo.create(Product(id=product.id, name="b"))
        assert caught.value.__cause__ is not None
        await repo.delete(product.id)
        with pytest.raises(UniqueViolation):
            await repo.create(Product(id=product.id, name="b"))
        assert await stored(pool, Product) == 1

    async def test_natural_and_composite_keys(self, pool: Pool) -> None:
        countries = PydanticRepository(Country, pool)
        nl = await countries.create(Country(code="nl", name="x"))
        assert await countries.get("nl") == nl
        assert (await countries.update("nl", changed(Country, name="y"))).name == "y"
        assert set(await countries.get_many(["nl", "de"])) == {"nl", "de"}
        with pytest.raises(UniqueViolation):
            await countries.create(Country(code="nl", name="z"))
        assert await countries.delete("nl") is True
        assert await countries.get("nl", include_deleted=True) is None
        seats = PydanticRepository(Seat, pool, tenant_id="scala")
        await seats.create_many([Seat(row=row, number=number) for row in "ab" for number in (1, 2)])
        assert (await seats.update(("a", 2), changed(Seat, taken=True))).taken is True
        found = await seats.get_many([("a", 2), ("b", 1), ("c", 1)])
        assert {key: seat and seat.taken for key, seat in found.items()} == {
            ("a", 2): True, ("b", 1): False, ("c", 1): None,
        }  # fmt: skip
        assert await seats.delete(("a", 2)) is True
        assert await seats.count() == 3
        restored = await seats.restore(("a", 2))
        assert restored is not None
        assert restored.taken is True

    @pytest.mark.parametrize("key", [None, (), ("a",), ("a", 1, 2), "a", 1, ("a", None), ("a", "1"), (1, 1), ["a", 1]])
    async def test_a_key_of_another_form_is_refused(self, recorder: Recorder, key: Any) -> None:
        seats = PydanticRepository(Seat, recorder, tenant_id="scala")
        attempts: list[Callable[[], Any]] = [
            lambda: seats.get(key),
            lambda: seats.update(key, changed(Seat, taken=True)),
            lambda: seats.delete(key),
            lambda: seats.restore(key),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidValueError):
                await attempt()
        assert recorder.sent == []

    async def test_list_filters_orders_and_pages(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        for number, (name, category) in enumerate([("a", "x"), ("b", None), ("c", "y"), ("d", "x")]):
            await repo.create(Product(name=name, category=category, stock=number))
        cases: list[tuple[dict[str, Any], str]] = [
            ({}, "dcba"),
            ({"filters": {"category": "x"}}, "da"),
            ({"filters": {"category": None}}, "b"),
            ({"filters": {"category": ["x", None]}}, "dba"),
            ({"filters": {"category": []}}, ""),
            ({"filters": {"category": ("y",), "stock": 2}}, "c"),
            ({"order_by": "name"}, "abcd"),
            ({"order_by": "-stock", "limit": 2}, "dc"),
            ({"order_by": ["category", "-name"]}, "bdac"),
            ({"order_by": Product.stock, "limit": 2, "offset": 1}, "bc"),
            ({"limit": None, "offset": 3}, "a"),
            ({"limit": 0}, ""),
        ]
        for arguments, expected in cases:
            assert "".join(names(await repo.list(**arguments))) == expected, arguments
        filters = {"category": ["x"]}
        assert await repo.count(filters) == 2
        assert filters == {"category": ["x"]}
        assert await repo.count() == 4

    async def test_list_refuses_what_it_does_not_know(self, recorder: Recorder) -> None:
        repo = PydanticRepository(Product, recorder)
        unknown: list[dict[str, Any]] = [{"filters": {"nmae": "a"}}, {"order_by": "nmae"}]
        for arguments in unknown:
            with pytest.raises(UnknownFieldError, match="name"):
                await repo.list(**arguments)
        wrong: list[dict[str, Any]] = [{"limit": -1}, {"offset": "1"}, {"filters": {"stock": "1"}}, {"limit": True}]
        for arguments in wrong:
            with pytest.raises(InvalidValueError):
                await repo.list(**arguments)
        superfluous: dict[str, Any] = {"nope": 1}
        with pytest.raises(TypeError):
            await repo.list(**superfluous)
        assert recorder.sent == []

    # --- update ------------------------------------------------------------------------------------------------------

    async def test_only_the_changed_fields_of_a_loaded_row_are_written(self, pool: Pool) -> None:
        """So two that change different fields do not undo each other."""
        repo = PydanticRepository(Product, pool)
        created = await repo.create(Product(name="a", details={"x": [1]}))
        one, two = await repo.get(created.id), await repo.get(created.id)
        assert one is not None
        assert two is not None
        one.name = "b"
        two.stock = 7
        assert two.details is not None
        two.details["x"].append(2)
        await repo.update(created.id, one)
        both = await repo.update(created.id, two)
        assert (both.name, both.stock, both.details) == ("b", 7, {"x": [1, 2]})

    async def test_only_the_set_fields_of_a_new_model_are_written(self, pool: Pool) -> None:
        actor = uuid.uuid4()
        repo = PydanticRepository(Product, pool)
        created = await repo.create(Product(name="a", stock=5, category="c"))
        updated = await repo.update(created.id, Product(name="b"), user_id=actor)
        assert (updated.id, updated.name, updated.stock, updated.category) == (created.id, "b", 5, "c")
        assert updated.updated_by == actor
        assert updated.created_by is None
        assert updated.created_at == created.created_at <= updated.updated_at
        cleared = await repo.update(created.id, Product(name="b", category=None))
        assert cleared.category is None
        assert cleared.updated_by == actor
        assert cleared == await repo.get(created.id)

    async def test_an_update_that_changes_nothing_writes_nothing(self, pool: Pool, recorder: Recorder) -> None:
        created = await PydanticRepository(Product, pool).create(Product(name="a", details={"x": 1}))
        repo = PydanticRepository(Product, recorder)
        assert await repo.update(created.id, created) == created
        loaded = await repo.get(created.id)
        assert loaded is not None
        loaded.name = "a"
        loaded.details = {"x": 1}
        assert (await repo.update(created.id, loaded)).updated_at == created.updated_at
        assert not any(text.upper().startswith("UPDATE") for text in recorder.texts)

    async def test_keys_and_the_librarys_own_columns_cannot_be_updated(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        created = await repo.create(Product(name="a"))
        now = utc_now() + dt.timedelta(days=1)
        given: list[dict[str, Any]] = [
            {"id": uuid.uuid4()}, {"created_at": now}, {"created_by": uuid.uuid4()}, {"updated_by": uuid.uuid4()},
            {"deleted_at": now}, {"deleted_by": uuid.uuid4()},
        ]  # fmt: skip
        for values in given:
            for change in (changed(Product, name="b", **values), created.model_copy(update=values)):
                with pytest.raises(InvalidValueError, match=next(iter(values))):
                    await repo.update(created.id, change)
        assert await repo.get(created.id) == created
        same = changed(Product, name="c", id=created.id, created_at=created.created_at, deleted_at=None)
        assert (await repo.update(created.id, same)).name == "c"

    async def test_a_deleted_row_is_not_updated(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        created = await repo.create(Product(name="a"))
        await repo.delete(created.id)
        with pytest.raises(NoResultFound):
            await repo.update(created.id, changed(Product, name="b"))

    async def test_a_row_need_not_be_read_back(self, pool: Pool, recorder: Recorder) -> None:
        created = await PydanticRepository(Product, pool).create(Product(name="a", stock=1))
        repo = PydanticRepository(Product, recorder)
        result: None = await repo.update(created.id, changed(Product, stock=2), expected=created, returning=False)  # type: ignore[func-returns-value]
        assert result is None
        assert not any("RETURNING" in text.upper() for text in recorder.texts)
        stored = await repo.get(created.id)
        assert stored is not None
        assert (stored.stock, stored.updated_at > created.updated_at) == (2, True)
        with pytest.raises(ConcurrencyError):
            await repo.update(created.id, changed(Product, stock=3), expected=created, returning=False)
        for change in (changed(Product, stock=3), changed(Product)):
            with pytest.raises(NoResultFound):
                await repo.update(uuid.uuid4(), change, returning=False)
        assert await repo.get(created.id) == stored

    async def test_expected_finds_out_that_the_row_has_changed(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        created = await repo.create(Product(name="a", stock=1))
        loaded = await repo.get(created.id)
        assert loaded is not None
        first = await repo.update(created.id, changed(Product, stock=2), expected=loaded)
        assert first.stock == 2
        with pytest.raises(ConcurrencyError):
            await repo.update(created.id, changed(Product, stock=3), expected=loaded)
        assert await repo.get(created.id) == first
        assert (await repo.update(created.id, changed(Product, stock=3), expected=first)).stock == 3
        with pytest.raises(NoResultFound):
            await repo.update(uuid.uuid4(), changed(Product, stock=3), expected=first)

    async def test_expected_compares_null_as_a_value(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        created = await repo.create(Product(name="a", category=None))
        updated = await repo.update(created.id, changed(Product, category="c"), expected=created)
        assert updated.category == "c"

    async def test_expected_is_the_row_as_it_was_read(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        created = await repo.create(Product(name="a", stock=1))
        loaded = await repo.get(created.id)
        assert loaded is not None
        loaded.stock = 2
        loaded = await repo.update(loaded.id, loaded, expected=loaded)
        assert loaded.stock == 2
        await repo.update(loaded.id, changed(Product, name="b"))
        loaded.stock = 3
        with pytest.raises(ConcurrencyError):
            await repo.update(loaded.id, loaded, expected=loaded)
        loaded.stock = 2
        with pytest.raises(ConcurrencyError):
            await repo.update(loaded.id, loaded, expected=loaded)

    async def test_expected_compares_json_as_it_is_stored(self, pool: Pool) -> None:
        repo = PydanticRepository(Values, pool)
        loaded = await repo.create(Values(json_value={"b": [1, 2.5], "a": None}, words=["x"]))
        loaded.json_value["b"].append(3)
        loaded.words = ["y"]
        stored = await repo.update(loaded.id, loaded, expected=loaded)
        assert (stored.json_value, stored.words) == ({"b": [1, 2.5, 3], "a": None}, ["y"])
        # Without its row, an instance says by its values what it expects.
        twin = Values.model_validate(stored.model_dump())
        again = await repo.update(stored.id, changed(Values, json_value=1), expected=twin)
        assert again.json_value == 1
        with pytest.raises(ConcurrencyError):
            await repo.update(stored.id, changed(Values, json_value=2), expected=twin)

    async def test_a_version_column_counts_and_guards(self, pool: Pool) -> None:
        repo = PydanticRepository(Counter, pool)
        first = await repo.create(Counter(name="a"))
        loaded = await repo.get(first.id)
        assert loaded is not None
        assert first.revision == loaded.revision == 1
        loaded.total = 10
        second = await repo.update(first.id, loaded)
        assert (second.revision, second.total) == (2, 10)
        loaded.total = 20
        with pytest.raises(ConcurrencyError):
            await repo.update(first.id, loaded)
        with pytest.raises(ConcurrencyError):
            await repo.update(first.id, changed(Counter, total=30), expected=first)
        third = await repo.update(first.id, changed(Counter, total=30), expected=second)
        assert (third.revision, third.total) == (3, 30)
        # What is expected guards the row, whatever it was made of.
        with pytest.raises(ConcurrencyError):
            await repo.update(first.id, changed(Counter, total=40), expected=Counter(name="a"))
        wrongs: list[Any] = [{"revision": 3}, Note(title="a"), 3]
        for wrong in wrongs:
            with pytest.raises(InvalidValueError):
                await repo.update(first.id, changed(Counter, total=40), expected=wrong)
        assert await repo.get(first.id) == third

    # --- delete and restore ------------------------------------------------------------------------------------------

    async def test_soft_deletion_marks_and_restore_unmarks(self, pool: Pool) -> None:
        actor, other = uuid.uuid4(), uuid.uuid4()
        repo = PydanticRepository(Product, pool)
        created = await repo.create(Product(name="a"))
        assert await repo.delete(created.id, user_id=actor) is True
        assert await repo.delete(created.id) is False
        assert await repo.get(created.id) is None
        assert await repo.list() == []
        assert await repo.count() == 0
        deleted = await repo.get(created.id, include_deleted=True)
        assert deleted is not None
        assert deleted.deleted_at is not None
        assert deleted.deleted_at >= created.created_at
        assert deleted.updated_at >= created.updated_at
        assert (deleted.deleted_by, deleted.updated_by) == (actor, actor)
        assert await repo.list(include_deleted=True) == [deleted]
        assert await repo.count(include_deleted=True) == 1
        restored = await repo.restore(created.id, user_id=other)
        assert restored is not None
        assert (restored.deleted_at, restored.deleted_by, restored.updated_by) == (None, None, other)
        assert await repo.get(created.id) == restored
        assert await repo.restore(created.id) is None

    async def test_a_hard_deletion_removes_the_row(self, pool: Pool) -> None:
        repo = PydanticRepository(Product, pool)
        a, b = [await repo.create(Product(name=name)) for name in "ab"]
        assert await repo.delete(a.id, hard=True) is True
        await repo.delete(b.id)
        assert await repo.delete(b.id, hard=True) is True
        assert await stored(pool, Product) == 0
        countries = PydanticRepository(Country, pool)
        await countries.create(Country(code="nl", name="x"))
        assert await countries.delete("nl") is True
        assert await stored(pool, Country) == 0
        assert await countries.restore("nl") is None

    async def test_uniqueness_holds_over_live_rows(self, pool: Pool) -> None:
        """A value is free again when its row is deleted, and a restore that would double it is refused."""
        repo = PydanticRepository(Note, pool, tenant_id=ACME)
        first = await repo.create(Note(title="t"))
        with pytest.raises(UniqueViolation):
            await repo.create(Note(title="t"))
        await repo.delete(first.id)
        second = await repo.create(Note(title="t"))
        with pytest.raises(UniqueViolation):
            await repo.restore(first.id)
        await repo.delete(second.id)
        assert await repo.restore(first.id) is not None
        third = await repo.create(Note(title="u"))
        with pytest.raises(UniqueViolation):
            await repo.update(third.id, changed(Note, title="t"))

    # --- wrong use ---------------------------------------------------------------------------------------------------

    async def test_constraints_of_the_model_hold_in_the_database(self, pool: Pool) -> None:
        """A bound that Pydantic did not check is a CHECK of the table."""
        repo = PydanticRepository(Note, pool, tenant_id=ACME)
        with pytest.raises(ValidationError):
            Note(title="t", stars=-1)
        with pytest.raises((CheckViolation, InvalidValueError)):
            await repo.create(Note.model_construct(title="t", stars=-1))
        assert await stored(pool, Note) == 0

    async def test_a_required_value_that_is_missing_is_refused(self, pool: Pool) -> None:
        for attempt in (Product.model_construct(name=None), Product.model_construct(name="a", stock=None)):
            with pytest.raises((DatabaseError, InvalidValueError)):
                await PydanticRepository(Product, pool).create(attempt)
        assert await stored(pool, Product) == 0

    async def test_another_models_instance_is_refused(self, recorder: Recorder) -> None:
        repo = PydanticRepository(Product, recorder)
        instances: list[Any] = [Country(code="nl", name="x"), {"name": "a"}, "a", None, Product]
        for wrong in instances:
            with pytest.raises(InvalidValueError):
                await repo.create(wrong)
            with pytest.raises(InvalidValueError):
                await repo.update(uuid.uuid4(), wrong)
        classes: list[Any] = [dict, object, PydanticModel, "Product", Product(name="a")]
        for wrong in classes:
            with pytest.raises(ConfigurationError):
                PydanticRepository(wrong, recorder)
        with pytest.raises(TypeError):
            PydanticRepository(Product, recorder, nope=1)
        assert recorder.sent == []

    async def test_published_options_without_effect_warn(self, pool: Pool) -> None:
        for option in ("cache_enabled", "cache_ttl", "collect_metrics", "max_retries"):
            arguments: dict[str, Any] = {option: 1}
            with pytest.warns(DeprecationWarning, match=option):
                PydanticRepository(Product, pool, **arguments)

    async def test_reads_always_see_the_database(self, pool: Pool) -> None:
        """Another repository's write, and one of a transaction before and after its end."""
        one, two = PydanticRepository(Product, pool), PydanticRepository(Product, pool)
        created = await one.create(Product(name="a"))
        await two.update(created.id, changed(Product, name="b"))
        assert (await one.get(created.id)) == (await two.get(created.id))
        with pytest.raises(ZeroDivisionError):
            async with one.transaction() as tx:
                await one.update(created.id, changed(Product, name="c"), connection=tx)
                inside = await two.get(created.id, connection=tx)
                assert inside is not None
                assert inside.name == "c"
                raise ZeroDivisionError
        after = await one.get(created.id)
        assert after is not None
        assert after.name == "b"


class RepositoryConformance(RowTests, BulkTests, TenantTests, ReferenceTests):
    """The repository: rows, bulk, tenants, references."""


def _creations(db: Recorder, values: dict[str, Any]) -> list[Callable[[], Any]]:
    """The ways in which a new product comes into the database."""
    repo = PydanticRepository(Product, db)
    return [
        lambda: repo.create(Product(name="a", **values)),
        lambda: repo.create_many([Product(name="a", **values)]),
        lambda: bulk_insert(Product, [Product(name="a", **values)], db),
        lambda: bulk_insert(Product, [{"name": "a", **values}], db),
    ]
