"""What a request body must not be able to set, and rows that must not change hands."""

# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from attacks.models import ACME, BETA, Named, Owned, Victim
from attacks.oracle import INJECTIONS, Target, hostile_text
from ff_storage import ALL_TENANTS, OR, F, PydanticRepository, Query, bulk_insert, col, not_, tenant_scope
from ff_storage.core.errors import (
    InvalidValueError,
    NoResultFound,
    StorageError,
    TenantError,
    TenantScopeError,
)

NOW = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
SYSTEM: list[tuple[str, Any]] = [
    ("created_at", NOW), ("updated_at", NOW), ("created_by", uuid.UUID(int=7)), ("updated_by", uuid.UUID(int=7)),
    ("deleted_at", NOW), ("deleted_by", uuid.UUID(int=7)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), SYSTEM)
async def test_a57_a_body_cannot_set_what_the_library_writes(target: Target, name: str, value: Any) -> None:
    body = {"title": "a", name: value.isoformat() if isinstance(value, dt.datetime) else str(value)}
    repo = PydanticRepository(Victim, target.pool)
    for attempt in (
        lambda: repo.create(Victim.model_validate(body)),
        lambda: repo.create(Victim(**body)),
        lambda: repo.create_many([Victim(title="good"), Victim(**body)]),
        lambda: bulk_insert(Victim, [{"title": "good"}, body], target.pool),
    ):
        error = await target.refuses(attempt, InvalidValueError)
        assert name in str(error)


@pytest.mark.parametrize(("name", "value"), SYSTEM)
async def test_a57_a_body_cannot_change_what_the_library_wrote(target: Target, name: str, value: Any) -> None:
    (stored,) = await target.create(Victim(title="a"))
    repo = PydanticRepository(Victim, target.pool)
    body = {"title": "b", name: value.isoformat() if isinstance(value, dt.datetime) else str(value)}
    loaded = stored.model_copy(update={"title": "b", name: value})
    for change in (Victim(**body), Victim.model_validate(body), loaded):
        if name == "updated_at":  # every write sets it, so what a body says of it is ignored
            updated = await repo.update(stored.id, change)
            assert updated.updated_at > NOW
            stored = updated
            continue
        with pytest.raises(InvalidValueError, match=name):
            await repo.update(stored.id, change)
        assert await repo.get(stored.id) == stored


@pytest.mark.parametrize(
    "extra",
    [{"valid_from": 1}, {"valid_to": None}, {"version": 5}, {"_audit_x": 1}, {"__table_name__": "x"}, {"is_admin": 1}],
)
async def test_a57_what_no_field_takes_is_not_stored(target: Target, extra: dict[str, Any]) -> None:
    (stored,) = await target.create(Victim.model_validate({"title": "a", **extra}))
    assert set(stored.model_dump()) == set(Victim.model_fields)
    assert Victim.table_name() == "attack_victims"
    await target.refuses(
        lambda: bulk_insert(Victim, [{"title": "a", **extra}], target.pool, trusted=True), (StorageError, TypeError)
    )


async def test_a58_an_update_cannot_change_the_key(target: Target) -> None:
    (stored,) = await target.create(Victim(title="a"))
    repo = PydanticRepository(Victim, target.pool)
    for change in (Victim(id=uuid.uuid4(), title="b"), stored.model_copy(update={"id": uuid.uuid4(), "title": "b"})):
        with pytest.raises(InvalidValueError, match="id"):
            await repo.update(stored.id, change)
    assert await repo.get(stored.id) == stored


@pytest.mark.parametrize(
    "scope", [{"tenant_id": ACME}, {"tenant_ids": [ACME, BETA]}, {"tenant_id": ALL_TENANTS}], ids=str
)
async def test_a58_an_update_cannot_change_the_tenant(target: Target, scope: dict[str, Any]) -> None:
    (stored,) = await target.create(Owned(title="a"), tenant_id=ACME)
    repo = PydanticRepository(Owned, target.pool, **scope)
    stolen = stored.model_copy(update={"tenant_id": BETA, "title": "b"})
    for change in (Owned(tenant_id=BETA, title="b"), Owned(id=stored.id, tenant_id=BETA), stolen):
        with pytest.raises(TenantScopeError):
            await repo.update(stored.id, change)
    assert await Query(Owned).one(target.pool, ACME) == stored
    assert await Query(Owned).count(target.pool, BETA) == 0


# --- OR --------------------------------------------------------------------------------------------------------------


async def test_a63_no_condition_reaches_around_the_tenant(target: Target) -> None:
    """Whatever stands at the top, the tenant stands outside of it."""
    await target.create(Owned(title="acme", number=1), tenant_id=ACME)
    await target.create(Owned(title="beta", number=2), Owned(title="beta", number=3), tenant_id=BETA)
    (deleted,) = await target.create(Owned(title="beta", number=4), tenant_id=BETA)
    await PydanticRepository(Owned, target.pool, tenant_id=BETA).delete(deleted.id)
    always: Any = (Owned.number == 1) | (Owned.number != 1)
    conditions: list[Any] = [
        OR(Owned.number == 1, Owned.number == 2),
        (Owned.title == "beta") | always,
        always,
        ~(Owned.number == 99),
        not_(OR(Owned.number == 98, Owned.number == 99)),
        OR(F.tenant_id == BETA, F.tenant_id != BETA),
        OR(F.deleted_at != None, always),  # noqa: E711 - the library's operator
        F.tenant_id.in_([ACME, BETA]) | always,
        col(Owned.title).like("%") | always,
        always & always | always,
        (F.deleted_at.is_not_null() | always) & (always | ~always),
    ]
    for condition in conditions:
        for tenant, most in ((ACME, 1), (BETA, 2)):
            query = Query(Owned).filter(condition)
            rows = await query.execute(target.pool, tenant)
            assert {row.tenant_id for row in rows} <= {tenant}
            assert all(row.deleted_at is None for row in rows)
            assert len(rows) == await query.count(target.pool, tenant) <= most
            assert await query.execute(target.pool, tenant_ids=[]) == []
            assert await query.execute(target.pool, tenant_ids=[tenant]) == rows


# --- tenants ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tenant",
    [
        *INJECTIONS, f"{ACME}' OR '1'='1", f"{ACME}; --", "{" + str(ACME) + "}", f"urn:uuid:{ACME}", f" {ACME}", "",
        0, 1, True, False, 1.5, b"0" * 16, {"id": 1}, object(), ACME.int, str, "null", "*", "%",
    ],
    ids=ascii,
)  # fmt: skip
async def test_a73_a_tenant_is_a_uuid_or_refused(target: Target, tenant: Any) -> None:
    for attempt in (
        lambda: PydanticRepository(Owned, target.pool, tenant_id=tenant),
        lambda: PydanticRepository(Owned, target.pool, tenant_ids=[ACME, tenant]),
        lambda: Query(Owned).execute(target.pool, tenant),
        lambda: Query(Owned).count(target.pool, tenant_id=tenant),
        lambda: Query(Owned).exists(target.pool, tenant_ids=[tenant, BETA]),
        lambda: Query(Owned).stream(target.pool, tenant),
        lambda: bulk_insert(Owned, [{"title": "a"}], target.pool, tenant),
        lambda: bulk_insert(Owned, [{"title": "a"}], target.pool, tenant_id=tenant, trusted=True),
        lambda: bulk_insert(Owned, [{"title": "a", "tenant_id": ACME}], target.pool, tenant_ids=[ACME, tenant]),
    ):
        await target.refuses(attempt, (TenantError, InvalidValueError))
    with tenant_scope(tenant):
        await target.refuses(lambda: Query(Owned).execute(target.pool), (TenantError, InvalidValueError))
        await target.refuses(
            lambda: PydanticRepository(Owned, target.pool).create(Owned(title="a")), (TenantError, InvalidValueError)
        )


@pytest.mark.parametrize("tenant", ["not one", f"{ACME}' OR '1'='1", 5, True, b"x", [ACME], {"a": 1}], ids=ascii)
async def test_a73_the_tenant_of_a_row_is_one_in_scope(target: Target, tenant: Any) -> None:
    for scope in ([ACME, BETA], []):
        repo = PydanticRepository(Owned, target.pool, tenant_ids=scope)
        row = Owned.model_construct(title="a", tenant_id=tenant)
        for attempt in (
            lambda repo=repo, row=row: repo.create(row),
            lambda repo=repo, row=row: repo.create_many([row], trusted=True),
            lambda scope=scope, row=row: bulk_insert(Owned, [row], target.pool, tenant_ids=scope, trusted=True),
        ):
            await target.refuses(attempt, (TenantError, InvalidValueError))


async def test_a73_the_zero_uuid_is_a_tenant_like_any_other(target: Target) -> None:
    zero = uuid.UUID(int=0)
    (stored,) = await target.create(Owned(title="zero"), tenant_id=zero)
    await target.create(Owned(title="acme"), tenant_id=ACME)
    assert stored.tenant_id == zero
    for form in (zero, str(zero), zero.hex):
        assert await Query(Owned).execute(target.pool, form) == [stored]
        assert await Query(Owned).execute(target.pool, tenant_ids=[form]) == [stored]
        assert PydanticRepository(Owned, target.pool, tenant_id=form).tenant_id is not None


async def test_a73_a_uuid_in_another_case_is_the_same_tenant(target: Target) -> None:
    (stored,) = await target.create(Owned(title="a"), tenant_id=str(ACME).upper())
    assert stored.tenant_id == ACME
    for form in (ACME, str(ACME), str(ACME).upper(), ACME.hex, ACME.hex.upper()):
        assert await Query(Owned).execute(target.pool, form) == [stored]
        assert await PydanticRepository(Owned, target.pool, tenant_id=form).get(stored.id) == stored


@pytest.mark.parametrize("kind", ["lower", "upper"])
async def test_a73_a_uuid_that_lies_is_its_real_self(target: Target, kind: str) -> None:
    await target.create(Owned(title="acme"), tenant_id=ACME)
    await target.create(Owned(title="beta"), tenant_id=BETA)
    text = hostile_text(getattr(str(ACME), kind)(), str(BETA))
    assert [row.title for row in await Query(Owned).execute(target.pool, text)] == ["acme"]
    assert [row.title for row in await PydanticRepository(Owned, target.pool, tenant_id=text).list()] == ["acme"]


TENANTS = [
    "acme", "ACME", "acme ", " acme", "acme\t", "acmé", "acme\u0301",
    "ａｃｍｅ", "acm_", "acm%", "%", "_", "acme\u200b", "aсme",
    "'", '"', "\\", "acme\\", "ﬀ", "ff", "ß", "ss", *(each for each in INJECTIONS if len(each) < 40),
]  # fmt: skip


async def test_a74_texts_that_an_engine_might_fold_are_different_tenants(target: Target) -> None:
    for tenant in TENANTS:
        await target.create(Named(title=tenant), tenant_id=tenant)
    for tenant in TENANTS:
        repo = PydanticRepository(Named, target.pool, tenant_id=tenant)
        (row,) = await repo.list()
        assert (row.customer, row.title) == (tenant, tenant)
        assert [each.title for each in await Query(Named).execute(target.pool, tenant)] == [tenant]
        assert [each.title for each in await Query(Named).execute(target.pool, tenant_ids=[tenant])] == [tenant]
        with pytest.raises(NoResultFound):
            await PydanticRepository(Named, target.pool, tenant_id=f"{tenant}x").update(row.id, Named(title="x"))
    several = TENANTS[:10]
    found = await Query(Named).order_by("customer").execute(target.pool, tenant_ids=several)
    assert [row.customer for row in found] == sorted(several)
    assert await Query(Named).count(target.pool, ALL_TENANTS) == len(TENANTS)


@pytest.mark.parametrize("tenant", ["a\0b", "\ud800", "x" * 41, 5, b"acme", True, ["acme"]], ids=ascii)
async def test_a74_a_text_tenant_fits_its_column(target: Target, tenant: Any) -> None:
    for attempt in (
        lambda: PydanticRepository(Named, target.pool, tenant_id=tenant),
        lambda: Query(Named).execute(target.pool, tenant),
        lambda: bulk_insert(Named, [{"title": "a"}], target.pool, tenant),
    ):
        await target.refuses(attempt, (TenantError, InvalidValueError))
