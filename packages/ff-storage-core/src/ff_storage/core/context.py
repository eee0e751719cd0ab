"""Ambient scope: what the caller declared for a stretch of code rather than for one call.

A scope says which tenants' rows a statement may see and write. It is read when a terminal (`execute`, `get`, `stream`,
…) is *called*, so a coroutine awaited later, in another context, keeps the scope it was made under. An argument of the
call wins over the repository's scope, which wins over the ambient one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Callable, Collection, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from ff_storage.core.errors import TenantScopeError

logger = logging.getLogger("ff_storage.scope")


class AllTenants:
    """The type of `ALL_TENANTS`: rows of every tenant, a named act that is logged."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ALL_TENANTS"

    def __reduce__(self) -> str:
        return "ALL_TENANTS"


ALL_TENANTS: Final = AllTenants()
"""Pass as `tenant_id` to read or write across tenants; each use is logged at INFO under `ff_storage.scope`."""


@dataclass(frozen=True, slots=True)
class TenantScope:
    """Which tenants are in scope: one (strict), several (permissive; none of them means no rows), or all.

    Values are as the caller gave them; they are brought to the tenant column's type where they meet a table.
    """

    tenants: tuple[Any, ...] = ()
    strict: bool = False
    everything: bool = False

    @classmethod
    def of(cls, tenant_id: Any = None, tenant_ids: Collection[Any] | None = None) -> TenantScope | None:
        """The scope that a pair of published arguments means; None when neither is given."""
        if tenant_ids is not None:
            if tenant_id is not None:
                raise TenantScopeError(
                    "tenant_id and tenant_ids exclude each other",
                    remedy="pass tenant_id for one tenant, tenant_ids for several",
                )
            if isinstance(tenant_ids, str | bytes) or not isinstance(tenant_ids, Collection):
                raise TenantScopeError("tenant_ids must be a list of tenants", found=f"a {type(tenant_ids).__name__}")
            if any(tenant is None or isinstance(tenant, AllTenants) for tenant in tenant_ids):
                raise TenantScopeError(
                    "tenant_ids must be a list of tenants",
                    found="None or ALL_TENANTS among them",
                    remedy="pass tenant_id=ALL_TENANTS to mean every tenant",
                )
            return cls(tuple(tenant_ids))
        if tenant_id is None:
            return None
        if isinstance(tenant_id, AllTenants):
            logger.info("all tenants are in scope")
            return _EVERYTHING
        return cls((tenant_id,), strict=True)


_EVERYTHING = TenantScope(everything=True)

_ambient: ContextVar[TenantScope | None] = ContextVar("ff_storage_tenant_scope", default=None)

ambient_scope: Callable[[], TenantScope | None] = _ambient.get
"""The innermost `tenant_scope` of the calling context, or None."""


@contextlib.contextmanager
def tenant_scope(tenant_id: Any = None, *, tenant_ids: Collection[Any] | None = None) -> Generator[None]:
    """Declare the tenant scope of everything called inside the block that does not declare its own.

    `tenant_id` is one tenant or `ALL_TENANTS`; `tenant_ids` several. Raises TenantScopeError for neither and for both.
    """
    scope = TenantScope.of(tenant_id, tenant_ids)
    if scope is None:
        raise TenantScopeError(
            "tenant_scope needs tenant_id or tenant_ids", remedy="pass ALL_TENANTS to mean every tenant"
        )
    token = _ambient.set(scope)
    try:
        yield
    finally:
        _ambient.reset(token)


def utc_now() -> dt.datetime:
    """The current instant, aware, in UTC: the one clock of the library."""
    return dt.datetime.now(dt.UTC)
