"""Rows as written: which columns a write carries, and what the library itself puts into them.

The audit columns (who and when), the tenant and the version are the library's: a caller never sets them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ff_storage.core.errors import InvalidValueError
from ff_storage.core.history.strategy import Key, Write
from ff_storage.core.sql.compiled import Compiled, prepare
from ff_storage.core.sql.expressions import Bound, Comparison, Expr
from ff_storage.core.sql.statements import Insert
from ff_storage.core.tables import Column, Table

CREATED_AT: Final = "created_at"
CREATED_BY: Final = "created_by"
UPDATED_AT: Final = "updated_at"
UPDATED_BY: Final = "updated_by"
DELETED_BY: Final = "deleted_by"


@lru_cache(maxsize=1024)
def managed(table: Table) -> frozenset[str]:
    """The attributes that only the library writes."""
    names = {CREATED_AT, CREATED_BY, UPDATED_AT, UPDATED_BY, DELETED_BY} & table.by_attribute.keys()
    for name in (table.deleted_at, table.version):
        if name is not None:
            names.add(table.by_name[name].attribute)
    return frozenset(names)


@lru_cache(maxsize=1024)
def fixed(table: Table) -> frozenset[str]:
    """The attributes that an update may not change: the key, the tenant, and what only the library writes.

    `updated_at` is not among them: every update writes it, whatever the model says.
    """
    key = {table.by_name[name].attribute for name in (*table.primary_key, table.tenant) if name is not None}
    return (managed(table) | key) - {UPDATED_AT}


@lru_cache(maxsize=1024)
def changeable(table: Table) -> frozenset[str]:
    """The attributes that an update may write."""
    return frozenset(table.writable) - fixed(table) - {UPDATED_AT}


def written_columns(table: Table, values: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns that an INSERT of `values` names: those it has a value for."""
    if len(values) == len(table.columns):
        return table.columns
    return tuple(column for column in table.columns if column.attribute in values)


class RowStamp:
    """Makes the values of new rows out of those of models, with the library's own columns filled in."""

    __slots__ = ("_entity", "_given", "_own", "_tenant", "_width")

    def __init__(self, write: Write) -> None:
        self._entity = write.entity
        self._given, times, actors, versions, self._tenant, self._width = _sources(write.table)
        self._own: dict[str, Any] = dict.fromkeys(times, write.now)
        for name in actors:
            self._own[name] = write.actor
        for name in versions:
            self._own[name] = 1

    def __call__(self, values: dict[str, Any], tenant: Any) -> dict[str, Any]:
        """The values of one row; those given may hold more than the columns.

        Raises InvalidValueError for a field without a value, as what was not validated may have.
        """
        row = values | self._own
        if self._tenant is not None:
            row[self._tenant] = tenant
        # As many as there should be, and so the very same, unless something is missing and something else is there.
        if len(row) == self._width and all(map(row.__contains__, self._given)):
            return row
        try:
            picked = {attribute: values[attribute] for attribute in self._given}
        except KeyError as missing:
            raise InvalidValueError(
                f"a new {self._entity.name} has no value for {missing.args[0]}", remedy="set every required field"
            ) from None
        picked.update(self._own)
        if self._tenant is not None:
            picked[self._tenant] = tenant
        return picked

    def columns(self, rows: Sequence[Mapping[str, Any]], tenants: Sequence[Any]) -> dict[str, Sequence[Any]]:
        """The same for many rows, by column. Raises KeyError for a field without a value."""
        columns: dict[str, Sequence[Any]] = {
            attribute: [values[attribute] for values in rows] for attribute in self._given
        }
        columns |= {attribute: [value] * len(rows) for attribute, value in self._own.items()}
        if self._tenant is not None:
            columns[self._tenant] = tenants
        return columns


class _Sources(NamedTuple):
    """Where the values of a table's new rows come from, by attribute."""

    given: tuple[str, ...]
    """The model's to give."""
    times: tuple[str, ...]
    actors: tuple[str, ...]
    versions: tuple[str, ...]
    tenant: str | None
    width: int


@lru_cache(maxsize=1024)
def _sources(table: Table) -> _Sources:
    times = tuple([name for name in (CREATED_AT, UPDATED_AT) if name in table.by_attribute])
    actors = tuple([name for name in (CREATED_BY, UPDATED_BY) if name in table.by_attribute])
    versions = (table.by_name[table.version].attribute,) if table.version is not None else ()
    tenant = table.by_name[table.tenant].attribute if table.tenant is not None else None
    given = tuple([name for name in table.writable if name not in {*times, *actors, *versions, tenant}])
    return _Sources(given, times, actors, versions, tenant, len(table.writable))


def touches(write: Write) -> dict[str, Any]:
    """What every change of a row also sets, by attribute: when it was, and by whom if that is known."""
    known = write.table.by_attribute
    touched: dict[str, Any] = {}
    if UPDATED_AT in known:
        touched[UPDATED_AT] = write.now
    if UPDATED_BY in known and write.actor is not None:
        touched[UPDATED_BY] = write.actor
    return touched


def insertion(write: Write, columns: tuple[Column, ...], *, returning: bool) -> Compiled:
    """The compiled INSERT of `columns`; with `returning`, it reads the whole row back."""
    table = write.table
    names = None if columns is table.columns else tuple([column.name for column in columns])
    return prepare(
        write.dialect,
        ("insert", write.entity, names, returning),
        write.scope,
        lambda: Insert(write.entity, columns, table.columns if returning else ()),
    )


def key_conditions(write: Write, key: Key) -> tuple[Expr, ...]:
    """`identity = key`, column by column."""
    return tuple(
        Comparison("=", write.entity.column(write.table.by_name[name].attribute), Bound(value))
        for name, value in zip(write.table.identity, key_values(write, key), strict=True)
    )


def key_values(write: Write, key: Key) -> Key:
    """The values of `key_conditions`: the key, when it has every part."""
    identity = write.table.identity
    if len(key) != len(identity):
        names = ", ".join(write.table.by_name[name].attribute for name in identity)
        raise InvalidValueError(f"the key of a {write.entity.name} is ({names})", found=f"{len(key)} values")
    for name, value in zip(identity, key, strict=True):
        if value is None:
            raise InvalidValueError(f"{write.entity.name}.{name} is part of the key", found="None")
    return key
