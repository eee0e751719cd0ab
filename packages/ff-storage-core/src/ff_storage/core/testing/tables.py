"""The kit's tables, made with the dialect's own DDL writer: what core can do without the schema part."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any, TypeVar

from ff_storage.core.database import Pool
from ff_storage.core.history.strategy import strategy_of
from ff_storage.core.model import PydanticModel
from ff_storage.core.sql.dialect import Capability

M = TypeVar("M", bound=PydanticModel)


async def create_tables(pool: Pool, *models: type[PydanticModel]) -> None:
    """Create the tables of `models`, in this order, with all their keys, checks and indexes.

    A model stands after those that it references, as most engines want it.
    """
    backend = pool.dialect.schema()
    # One transaction where DDL can be in one: a file is then synced once, not for each statement.
    transactional = Capability.TRANSACTIONAL_DDL in pool.dialect.capabilities
    async with pool.transaction() if transactional else contextlib.nullcontext():
        for model in models:
            entity = model.__ff_entity__
            for table in (entity.table, *strategy_of(entity).auxiliary_tables(entity.table)):
                for statement in backend.create_table(table):
                    await pool.execute(statement)


async def stored(pool: Pool, model: type[PydanticModel]) -> int:
    """The number of rows in the table of `model`, of all tenants, deleted ones included."""
    table = model.__ff_entity__.table
    name = pool.dialect.quote(table.name)
    return int(await pool.fetch_val(f"SELECT COUNT(*) FROM {name}"))


def names(rows: Collection[Any]) -> list[str]:
    """The `name` of each row, in order."""
    return [row.name for row in rows]


def changed(model: type[M], **values: Any) -> M:
    """An instance of `model` that says nothing but `values`: the argument of a partial update, not validated."""
    return model.model_construct(_fields_set=set(values), **values)
