"""What changed in an instance since it was loaded, by comparing it with the row that it was made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ff_storage.core.model.construct import PLAN_SLOT, ROW_SLOT, Plan, Row
from ff_storage.core.sql.dialect import Convert, Dialect
from ff_storage.core.tables import Column
from ff_storage.core.types import Array, Json

_ABSENT = object()


def changed_columns(instance: BaseModel, dialect: Dialect) -> dict[str, Any] | None:
    """Attribute → canonical value of what differs from the row that `instance` was made of, among the columns read.

    None when it was not made of a row, or of a row of another dialect: nothing is known then. Values are compared as
    they are stored, JSON and arrays after decoding, so a list that was changed in place counts. What validators or
    `model_post_init` made of the row on loading is no change. Raises InvalidValueError for a value that cannot be
    stored.
    """
    # Unpickled instances have the slots, and nothing in them.
    plan: Plan | None = getattr(instance, PLAN_SLOT, None)
    if plan is None or plan.dialect is not dialect:
        return None
    row: Row = getattr(instance, ROW_SLOT)
    if plan.encoders is None:
        plan.encoders = tuple(dialect.encoder(column.type) for column in plan.columns)
    values = vars(instance)
    loaded: dict[str, Any] | None = None
    changes: dict[str, Any] = {}
    for index, (column, raw, encode) in enumerate(zip(plan.columns, row, plan.encoders, strict=True)):
        value = values.get(column.attribute, _ABSENT)
        if value is _ABSENT:
            continue
        canonical = _canonical(column, value)
        if canonical is raw or _is_stored(column, raw, canonical, encode, dialect):
            continue
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


def _canonical(column: Column, value: Any) -> Any:
    return value if value is None or column.adapt is None else column.adapt(value)


def _is_stored(column: Column, raw: Any, canonical: Any, encode: Convert, dialect: Dialect) -> bool:
    if raw is None:
        return canonical is None
    if isinstance(column.type, Json | Array):
        decode = dialect.decoder(column.type)
        return _same(decode(raw) if decode else raw, canonical)
    return canonical is not None and bool(encode(canonical) == raw)


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
