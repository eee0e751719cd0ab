"""Ambient tenant scopes: nesting, tasks, and what is no scope."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from typing import Any

import pytest

from ff_storage.core.context import ALL_TENANTS, TenantScope, ambient_scope, tenant_scope
from ff_storage.core.errors import TenantScopeError


def test_the_innermost_scope_holds_and_ends() -> None:
    assert ambient_scope() is None
    with tenant_scope("a"):
        assert ambient_scope() == TenantScope(("a",), strict=True)
        with tenant_scope(tenant_ids=["b", "c"]):
            assert ambient_scope() == TenantScope(("b", "c"))
        assert ambient_scope() == TenantScope(("a",), strict=True)
    assert ambient_scope() is None


def test_a_scope_ends_with_an_error() -> None:
    with pytest.raises(KeyError), tenant_scope("a"):
        raise KeyError
    assert ambient_scope() is None


async def test_tasks_keep_the_scope_they_were_made_under() -> None:
    async def see() -> TenantScope | None:
        await asyncio.sleep(0)
        return ambient_scope()

    with tenant_scope("a"):
        first = asyncio.ensure_future(see())
    with tenant_scope("b"):
        second = asyncio.ensure_future(see())
    assert [scope.tenants for scope in await asyncio.gather(first, second) if scope] == [("a",), ("b",)]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"tenant_id": "a", "tenant_ids": ["a"]}, {"tenant_ids": "abc"}, {"tenant_ids": 5}, {"tenant_ids": iter("ab")}],
)
def test_what_is_no_scope(arguments: dict[str, Any]) -> None:
    with pytest.raises(TenantScopeError), tenant_scope(**arguments):
        pytest.fail("there is no such scope")


def test_an_empty_list_is_a_scope_of_nothing() -> None:
    with tenant_scope(tenant_ids=[]):
        scope = ambient_scope()
    assert scope is not None
    assert scope.tenants == ()
    assert not scope.everything


def test_all_tenants_is_one_named_and_logged_act(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ff_storage.scope"), tenant_scope(ALL_TENANTS):
        scope = ambient_scope()
    assert scope is not None
    assert scope.everything
    assert "all tenants" in caplog.text
    assert repr(ALL_TENANTS) == "ALL_TENANTS"
    assert pickle.loads(pickle.dumps(ALL_TENANTS)) is ALL_TENANTS
    assert copy.deepcopy(ALL_TENANTS) is ALL_TENANTS
