"""What changed in an instance since it was loaded, by comparing it with the row that it was made of."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from ff_storage.core.model.construct import Check, Plan, Row
from ff_storage.core.model.loaded import PLAN_SLOT, ROW_SLOT, VALUES_SLOT
from ff_storage.core.sql.dialect import Dialect
from ff_storage.core.tables import Column
from ff_storage.core.types import Array, Bytes, Json, Timestamp, Uuid

_ABSENT = object()

_WHOLE = (dt.datetime, uuid.UUID)
"""Classes whose equal instances are stored alike."""


def loaded_row(instance: BaseModel, dialect: Dialect) -> dict[str, Any] | None:
    """Attribute → driver value of the row that `instance` was made of, whatever became of the instance since.

    None when it was not made of a row, or of one of another engine, whose driver values mean nothing here.
    """
    plan: Plan | None = getattr(instance, PLAN_SLOT, None)
    if plan is None or type(plan.dialect) is not type(dialect):
        return None
    row: Row = getattr(instance, ROW_SLOT)
    pairs = zip(plan.columns, row, strict=True)
    if plan.dialect is dialect:
        return {column.attribute: value for column, value in pairs}
    return {column.attribute: dialect.rebind(value, column.type, plan.dialect) for column, value in pairs}


def changed_columns(instance: BaseModel) -> dict[str, Any] | None:
    """Attribute → canonical value of what differs from the row that `instance` was made of, among the columns read.

    None when it was not made of a row: nothing is known then. It does not matter through which pool the row came.
    Values are compared as they are stored, JSON and arrays after decoding, so a list that was changed in place counts.
    What validators or `model_post_init` made of the row on loading is no change. Raises InvalidValueError for a value
    that cannot be stored.
    """
    # Unpickled instances have the slots, and nothing in them.
    plan: Plan | None = getattr(instance, PLAN_SLOT, None)
    if plan is None:
        return None
    row: Row = getattr(instance, ROW_SLOT)
    values = vars(instance)
    loaded: dict[str, Any] | None = None
    changes: dict[str, Any] = {}
    for index, attribute, adapt, as_stored, decoded in _suspects(plan, instance, values):
        value = values.get(attribute, _ABSENT)
        if value is _ABSENT:
            continue
        raw = row[index]
        canonical = value if value is None or adapt is None else adapt(value)
        if canonical is raw:
            continue
        if raw is not None:
            if decoded:
                kept = as_stored(raw)
                if kept == canonical and (type(kept) in _WHOLE or _same(kept, canonical)):
                    continue
            elif canonical is not None and as_stored(canonical) == raw:
                continue
        column = plan.columns[index]
        if plan.rebuilds:
            if loaded is None:
                original: BaseModel = plan.build(row)
                loaded = vars(original)
            same = _same(_canonical(column, loaded.get(column.attribute)), canonical)
        elif plan.converts[index]:
            read = plan.readers[index]
            same = _same(_canonical(column, read(raw) if read else raw), canonical)
        else:
            same = False
        if not same:
            changes[column.attribute] = canonical
    return changes


def _suspects(plan: Plan, instance: BaseModel, values: dict[str, Any]) -> Iterable[Check]:
    """The columns that can have changed.

    Pydantic puts the outcome of a validated assignment into a new `__dict__`. So where an instance has another than it
    was made with, that one still has the values as they were, and one that is the same object was not assigned; only
    what changes in place must be looked at all the same. Without a validated assignment there is nothing to tell by.
    """
    if plan.checks is None:
        plan.checks = {check[1]: check for check in (_check(*each, plan.dialect) for each in enumerate(plan.columns))}
        in_place = [column.attribute for column in plan.columns if isinstance(column.type, Json | Array | Bytes)]
        plan.always = tuple(plan.checks[name] for name in in_place)
    checks = plan.checks
    made_with: dict[str, Any] = getattr(instance, VALUES_SLOT, values)
    if made_with is values:
        return checks.values()
    assigned = [name for name, value in values.items() if value is not made_with.get(name, _ABSENT)]
    return [*plan.always, *[checks[name] for name in assigned if name in checks and checks[name] not in plan.always]]


def _canonical(column: Column, value: Any) -> Any:
    return value if value is None or column.adapt is None else column.adapt(value)


def _check(index: int, column: Column, dialect: Dialect) -> Check:
    """How one column is compared: encoded, as there are fewer ways to; JSON, arrays, instants and UUIDs decoded.

    Instants and UUIDs have one decoded form too, and it takes a third of the time.
    """
    decoded = isinstance(column.type, Json | Array | Timestamp | Uuid)
    as_stored = dialect.decoder(column.type) if decoded else dialect.encoder(column.type)
    return index, column.attribute, column.adapt, as_stored or _itself, decoded


def _itself(value: Any) -> Any:
    return value


def _same(left: Any, right: Any) -> bool:
    """Equality that tells True, 1 and 1.0 apart, at any depth of lists and dicts."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        pairs: dict[Any, Any] = left  # pyright: ignore[reportUnknownVariableType]
        return pairs.keys() == right.keys() and all(_same(value, right[key]) for key, value in pairs.items())
    if isinstance(left, list):
        items: list[Any] = left  # pyright: ignore[reportUnknownVariableType]
        return len(items) == len(right) and all(map(_same, items, right))
    return bool(left == right)
