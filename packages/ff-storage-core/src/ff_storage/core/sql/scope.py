"""The one place for scope: which rows a statement may see, and which tenant a written row gets.

The compiler adds `predicates` for every table reference; writers pass every row through `Stamp`. A multi-tenant table
without a scope does not compile. There is no other path to a table.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from ff_storage.core.context import TenantScope, ambient_scope
from ff_storage.core.errors import InvalidValueError, TenantNotConfigured, TenantScopeError
from ff_storage.core.sql.dialect import Convert, Dialect
from ff_storage.core.sql.expressions import Bound, ColumnRef, Entity, Expr, InList, IsNull
from ff_storage.core.tables import Table


class Scope:
    """What a statement runs under: the tenants in scope, and whether soft-deleted rows count.

    `key` is its part of a shape, `values` what it adds to the statement's values. Made once for a repository, or once a
    call; immutable.
    """

    __slots__ = ("include_deleted", "key", "tenants", "values")

    def __init__(self, tenants: TenantScope | None = None, *, include_deleted: bool = False) -> None:
        self.tenants = tenants
        self.include_deleted = include_deleted
        kind: Hashable = None
        values: tuple[Any, ...] = ()
        if tenants is None:
            pass
        elif tenants.everything:
            kind = "all"
        elif tenants.strict:
            kind = "one"
            values = tenants.tenants
        else:
            kind = InList(_ANY, tenants.tenants).bucket
            values = (tenants.tenants,) if tenants.tenants else ()
        self.key: Hashable = (kind, include_deleted)
        self.values = values

    def with_deleted(self, include_deleted: bool) -> Scope:
        """The same tenants, with soft-deleted rows counted or not."""
        if include_deleted == self.include_deleted:
            return self
        return Scope(self.tenants, include_deleted=include_deleted)


_ANY = Bound(None)


def capture(tenants: TenantScope | None, *, include_deleted: bool = False) -> Scope:
    """The scope of a call: what its caller declared, else the ambient scope of this moment."""
    return Scope(tenants if tenants is not None else ambient_scope(), include_deleted=include_deleted)


def not_configured(name: str) -> TenantNotConfigured:
    """The error for a multi-tenant model without a scope."""
    return TenantNotConfigured(
        f"{name} is multi-tenant and no tenant is in scope",
        remedy="pass tenant_id=… or tenant_ids=[…], or use tenant_scope(…); ALL_TENANTS means every tenant",
    )


@dataclass(frozen=True, slots=True)
class ScopePredicate:
    """What must hold for a row to be in scope.

    `tenant` is the column to compare with the scope's value (None: no restriction), `tenant_list` whether that value is
    a list; `nothing` that no row is in scope; `live` the conditions that need no value.
    """

    tenant: ColumnRef | None = None
    tenant_list: int = 0
    nothing: bool = False
    live: tuple[Expr, ...] = ()


def predicates(entity: Entity, scope: Scope) -> ScopePredicate:
    """The scope's conditions on one reference to `entity`. Raises TenantNotConfigured."""
    table = entity.table
    live: tuple[Expr, ...] = ()
    if table.deleted_at is not None and not scope.include_deleted:
        live = (IsNull(_ref(entity, table, table.deleted_at)),)
    if table.tenant is None:
        return ScopePredicate(live=live)
    tenants = scope.tenants
    if tenants is None:
        raise not_configured(entity.name)
    if tenants.everything:
        return ScopePredicate(live=live)
    tenant = _ref(entity, table, table.tenant)
    if tenants.strict:
        return ScopePredicate(tenant, live=live)
    size = InList(_ANY, tenants.tenants).bucket
    return ScopePredicate(tenant, tenant_list=size, nothing=size == 0, live=live)


def _ref(entity: Entity, table: Table, name: str) -> ColumnRef:
    return entity.column(table.by_name[name].attribute)


class Stamp:
    """Gives each written row its tenant, or refuses it.

    Strict scope: the one tenant, whatever the row says. Permissive and all tenants: the row's own, which must be in
    scope. Tenants are compared as they are stored, so that an enum's member and its value are one.
    """

    __slots__ = ("_allowed", "_column", "_dialect", "_encode", "_forced", "_name")

    def __init__(self, entity: Entity, scope: Scope, dialect: Dialect) -> None:
        tenants, name = scope.tenants, entity.table.tenant
        if tenants is None or name is None:
            raise not_configured(entity.name)
        self._name = entity.name
        self._column = entity.table.by_name[name]
        self._dialect = dialect
        self._encode: Convert | None = None  # made when it is needed: not for the one tenant of a strict scope
        self._forced = tenants.tenants[0] if tenants.strict else None
        self._allowed: frozenset[Any] | None = None
        if not tenants.strict and not tenants.everything:
            self._allowed = frozenset(self.encoded(tenant) for tenant in tenants.tenants)

    def __call__(self, tenant: Any) -> Any:
        """The tenant to write for a row that names `tenant`. Raises TenantScopeError."""
        if self._forced is not None:
            return self._forced
        if tenant is None:
            raise TenantScopeError(
                f"a {self._name} without a tenant was given to a scope of several",
                remedy="set its tenant, or use tenant_id=",
            )
        if self._allowed is not None and self.encoded(tenant) not in self._allowed:
            raise TenantScopeError(
                f"a {self._name} names a tenant outside the scope", remedy="write it under its own tenant"
            )
        return tenant

    def many(self, tenants: Sequence[Any]) -> Sequence[Any]:
        """The tenants to write for rows that name `tenants`."""
        if self._forced is not None:
            return [self._forced] * len(tenants)
        return [self(tenant) for tenant in tenants]

    def encoded(self, tenant: Any) -> Any:
        """The comparable form of `tenant`. Raises TenantScopeError when it cannot be one."""
        column = self._column
        encode = self._encode
        if encode is None:
            encode = self._encode = self._dialect.encoder(column.type)
        try:
            return encode(tenant if column.adapt is None else column.adapt(tenant))
        except InvalidValueError as error:
            raise TenantScopeError(f"a {self._name} names something that is no tenant") from error
