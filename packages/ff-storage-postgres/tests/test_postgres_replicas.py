"""Replicas serve reads, and a session reads what it wrote; on a primary with a streaming standby."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import servers
from ff_storage import (
    ConfigurationError,
    DatabaseReadOnly,
    Field,
    PostgresPool,
    PydanticModel,
    PydanticRepository,
    Query,
    bulk_insert,
    open_pool,
)
from ff_storage.testing import create_tables


class Reading(PydanticModel):
    __table_name__ = "readings"
    __multi_tenant__ = False

    name: str = Field(max_length=50)


@pytest.fixture(scope="module")
def primary() -> Iterator[servers.Cluster]:
    with servers.cluster(servers.postgres_sources()[0]) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def standby(primary: servers.Cluster) -> Iterator[servers.Cluster]:
    with servers.standby(primary) as cluster:
        yield cluster


@pytest.fixture
async def pool(primary: servers.Cluster, standby: servers.Cluster) -> AsyncIterator[PostgresPool]:
    async with open_pool(primary.server.url, replicas=[standby.server.url]) as pool:
        assert isinstance(pool, PostgresPool)
        await pool.execute("DROP TABLE IF EXISTS readings")
        await create_tables(pool, Reading)
        await caught_up(pool, standby)
        yield pool
        standby.server.ask("SELECT pg_wal_replay_resume()")


async def caught_up(pool: PostgresPool, standby: servers.Cluster) -> None:
    position = await pool.fetch_val("SELECT pg_current_wal_flush_lsn()::text")
    there = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
    while standby.server.ask(there) != "t":  # noqa: ASYNC110 - another process has no event
        await asyncio.sleep(0.01)


async def served_by_standby(pool: PostgresPool) -> bool:
    """Where a read goes: a row that only the primary has yet tells."""
    return await Query(Reading).filter(Reading.name == "only on the primary").count(pool) == 0


async def test_reads_go_to_the_standby_and_writes_to_the_primary(pool: PostgresPool, standby: servers.Cluster) -> None:
    repository = PydanticRepository(Reading, pool)
    standby.server.ask("SELECT pg_wal_replay_pause()")
    stored = await repository.create(Reading(name="only on the primary"))
    assert await repository.get(stored.id) is None
    assert await served_by_standby(pool)
    async with pool.transaction():
        assert await repository.get(stored.id) == stored
    assert await pool.fetch_val("SELECT count(*) FROM readings") == 1
    standby.server.ask("SELECT pg_wal_replay_resume()")
    await caught_up(pool, standby)
    assert await repository.get(stored.id) == stored


async def test_a_session_reads_what_it_wrote(pool: PostgresPool, standby: servers.Cluster) -> None:
    repository = PydanticRepository(Reading, pool)
    standby.server.ask("SELECT pg_wal_replay_pause()")
    async with pool.session():
        assert await Query(Reading).count(pool) == 0
        stored = await repository.create(Reading(name="only on the primary"))
        assert await repository.get(stored.id) == stored
        assert not await served_by_standby(pool)
        await bulk_insert(Reading, [Reading(name=str(n)) for n in range(10)], pool)
        assert await Query(Reading).count(pool) == 11
    assert await Query(Reading).count(pool) == 0  # outside, reads are as old as the standby is
    standby.server.ask("SELECT pg_wal_replay_resume()")


async def test_a_session_goes_back_to_the_standby_once_that_has_caught_up(
    pool: PostgresPool, primary: servers.Cluster, standby: servers.Cluster
) -> None:
    async with pool.session():
        await PydanticRepository(Reading, pool).create(Reading(name="before"))
        await caught_up(pool, standby)
        assert await Query(Reading).count(pool) == 1
        standby.server.ask("SELECT pg_wal_replay_pause()")
        async with open_pool(primary.server.url) as somebody:
            await PydanticRepository(Reading, somebody).create(Reading(name="only on the primary"))
        assert await served_by_standby(pool)


async def test_a_standby_refuses_writes(standby: servers.Cluster, pool: PostgresPool) -> None:
    async with open_pool(standby.server.url) as alone:
        with pytest.raises(DatabaseReadOnly):
            await PydanticRepository(Reading, alone).create(Reading(name="no"))


async def test_the_primary_serves_when_no_replica_can_be_reached(primary: servers.Cluster, pool: PostgresPool) -> None:
    await PydanticRepository(Reading, pool).create(Reading(name="here"))
    async with open_pool(primary.server.url, replicas=["postgresql://127.0.0.1:1"]) as lonely:
        assert await Query(Reading).count(lonely) == 1


@pytest.mark.parametrize(
    "wrong", ["postgresql://127.0.0.1", [5], ["localhost"], ["postgresql://h?max_size=3"]], ids=str
)
def test_wrong_replicas_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError):
        PostgresPool(dbname="d", replicas=wrong)
