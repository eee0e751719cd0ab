"""What asyncpg makes of rows, and what callers see of them.

asyncpg has a UUID class of its own, which serializers that look at exact types refuse. So a connection decodes UUIDs
to Python's own class, unless it is asked not to. A memory of the last ones saves an object of every row for the columns
whose rows share few values, tenants and users: both the time to make it, and what the garbage collector looks at.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from ff_storage.core.program import Row
from ff_storage.postgres.values import aware

_MEMORIES: Final = 1024
"""UUIDs that are remembered; then all are forgotten."""


class UuidMemory(dict[bytes, uuid.UUID]):
    """The sixteen bytes of a UUID → the UUID, made when it is first asked for."""

    __slots__ = ()

    def __missing__(
        self,
        data: bytes,
        # as defaults: one local name instead of two look-ups for each value of 10,000 rows
        new: Callable[[type[uuid.UUID]], uuid.UUID] = object.__new__,
        cls: type[uuid.UUID] = uuid.UUID,
        number: Callable[..., int] = int.from_bytes,
        set_int: Callable[[Any, Any], None] = uuid.UUID.__dict__["int"].__set__,
        set_safe: Callable[[Any, Any], None] = uuid.UUID.__dict__["is_safe"].__set__,
        unknown: uuid.SafeUUID = uuid.SafeUUID.unknown,
    ) -> uuid.UUID:
        # What the class' constructor does, at a quarter of its cost.
        if len(self) >= _MEMORIES:
            self.clear()
        made = self[data] = new(cls)
        set_int(made, number(data, "big"))
        set_safe(made, unknown)
        return made


def uuid_bytes(value: Any) -> bytes:
    """The sixteen bytes of a UUID, or of its text. Raises ValueError."""
    if isinstance(value, uuid.UUID):
        return value.int.to_bytes(16, "big")  # as its `bytes` does, without a property's frame
    if isinstance(value, str):
        return uuid.UUID(value).bytes
    raise ValueError(f"a UUID is expected, got {type(value).__name__}")


async def use_plain_uuids(driver: Any) -> None:
    """Have a connection of asyncpg take and give `uuid.UUID`."""
    await driver.set_type_codec(
        "uuid", schema="pg_catalog", encoder=uuid_bytes, decoder=UuidMemory().__getitem__, format="binary"
    )


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
