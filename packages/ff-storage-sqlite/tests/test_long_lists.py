"""Lists that are sent value by value are padded by little, so that all that fit are taken."""

from __future__ import annotations

import pytest

from ff_storage import LimitExceededError, PydanticModel, PydanticRepository, Query, SQLitePool, col


class Reading(PydanticModel):
    __table_name__ = "long_list_readings"
    __multi_tenant__ = False

    level: float = 0.0


async def test_a_list_of_floats_may_be_as_long_as_a_statement_takes() -> None:
    async with SQLitePool() as pool:
        for statement in pool.dialect.schema().create_table(Reading.__ff_entity__.table):
            await pool.execute(statement)
        repository = PydanticRepository(Reading, pool)
        await repository.create_many([Reading(level=0.5), Reading(level=-1.0)])
        wanted = [n + 0.5 for n in range(20_000)]
        assert await Query(Reading).filter(col(Reading.level).in_(wanted)).count(pool) == 1
        with pytest.raises(LimitExceededError):
            await Query(Reading).filter(col(Reading.level).in_([*wanted, *wanted])).count(pool)
