"""A row that one reference would delete and another refuses to lose: refusal comes first, in any order of models."""

from __future__ import annotations

from uuid import UUID

import pytest

from ff_storage import Field, ForeignKeyViolation, PydanticModel, PydanticRepository, SQLitePool


class Hub(PydanticModel):
    __table_name__ = "order_hubs"
    __multi_tenant__ = False


class Spoke(PydanticModel):
    __table_name__ = "order_spokes"
    __multi_tenant__ = False

    hub_id: UUID = Field(db_foreign_key="order_hubs(id)", db_on_delete="CASCADE")


class Rim(PydanticModel):
    __table_name__ = "order_rims"
    __multi_tenant__ = False

    spoke_id: UUID = Field(db_foreign_key="order_spokes(id)", db_on_delete="CASCADE")
    hub_id: UUID = Field(db_foreign_key="order_hubs(id)", db_on_delete="RESTRICT")


@pytest.mark.parametrize("hard", [False, True])
async def test_a_restrict_child_that_a_cascade_would_delete_refuses(hard: bool) -> None:
    async with SQLitePool() as pool:
        for model in (Hub, Spoke, Rim):
            for statement in pool.dialect.schema().create_table(model.__ff_entity__.table):
                await pool.execute(statement)
        hubs, spokes, rims = (PydanticRepository(model, pool) for model in (Hub, Spoke, Rim))
        hub = await hubs.create(Hub())
        spoke = await spokes.create(Spoke(hub_id=hub.id))
        rim = await rims.create(Rim(spoke_id=spoke.id, hub_id=hub.id))
        with pytest.raises(ForeignKeyViolation):
            await hubs.delete(hub.id, hard=hard)
        assert await spokes.get(spoke.id) is not None
        assert await rims.delete(rim.id, hard=hard)
        assert await hubs.delete(hub.id, hard=hard)
        assert await spokes.get(spoke.id) is None
