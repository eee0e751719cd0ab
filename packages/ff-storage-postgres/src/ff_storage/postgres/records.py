"""What callers of raw SQL see of asyncpg's records: plain Python values."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from ff_storage.core.program import Row
from ff_storage.postgres.values import aware


def plain_rows(rows: Sequence[Any], attributes: Sequence[Any]) -> list[Row]:
    """Records as tuples of plain Python values: JSON decoded, UUIDs of Python's own class."""
    decoders = [_PLAIN.get(attribute.type.name) for attribute in attributes]
    if not any(decoders):
        return [*map(tuple, rows)]
    return [
        tuple(
            [
                value if value is None or decode is None else decode(value)
                for value, decode in zip(row, decoders, strict=True)
            ]
        )
        for row in rows
    ]


def _plain_uuid(value: uuid.UUID) -> uuid.UUID:
    return value if type(value) is uuid.UUID else uuid.UUID(int=value.int)


def _list_of(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decode_list(value: Any) -> Any:
        if isinstance(value, list):
            items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
            return [decode_list(item) for item in items]
        return None if value is None else decode(value)

    return decode_list


_PLAIN: Final[dict[str, Callable[[Any], Any]]] = {
    "timestamptz": aware,
    "uuid": _plain_uuid,
    "json": orjson.loads,
    "jsonb": orjson.loads,
    "timestamptz[]": _list_of(aware),
    "uuid[]": _list_of(_plain_uuid),
    "json[]": _list_of(orjson.loads),
    "jsonb[]": _list_of(orjson.loads),
}
