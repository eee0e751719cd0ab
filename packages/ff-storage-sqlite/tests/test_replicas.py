"""Replicas serve reads outside transactions. Here they are other files, so that what is read tells who served it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.database import Connection
from ff_storage.core.errors import (
    ConnectionFailure,
    ConnectionLost,
    PoolClosed,
    PoolError,
    QueryError,
    SerializationFailure,
    WrongLoopError,
)
from ff_storage.core.program import Execute, Fetch, Program
from ff_storage.sqlite import SQLitePool

NAME = "SELECT name FROM t"


class Server(SQLitePool):
    """A pool whose position the test sets, and that can be made to fail."""

    position = 0
    asked = 0
    failure: Exception | None = None
    gate: asyncio.Event | None = None

    async def _connect(self) -> Connection:
        if isinstance(self.failure, ConnectionFailure):
            raise self.failure
        return await super()._connect()

    async def fetch(self, text: str, parameters: Any) -> list[Any]:
        if self.failure is not None and not isinstance(self.failure, ConnectionFailure):
            raise self.failure
        return await super().fetch(text, parameters)

    async def _position(self, connection: Connection) -> int:
        self.asked += 1
        position = self.position
        if self.gate is not None:
            await self.gate.wait()
        return position

    async def _has_reached(self, connection: Connection, position: Any) -> bool:
        self.asked += 1
        return self.position >= position


async def server(path: Path, name: str) -> Server:
    async with SQLitePool(path / name) as pool:
        await pool.execute("CREATE TABLE t (name TEXT) STRICT")
        await pool.execute("INSERT INTO t VALUES (?)", name)
    return Server(path / name, min_size=0)


@pytest.fixture
async def servers(tmp_path: Path) -> list[Server]:
    """A primary and two replicas, not connected."""
    found = [await server(tmp_path, name) for name in ("primary", "one", "two")]
    found[0].serve_reads_from(found[1:])
    return found


@pytest.fixture
async def primary(servers: list[Server]) -> AsyncIterator[Server]:
    async with servers[0] as pool:
        yield pool
    assert [pool.state for pool in servers] == ["closed"] * 3
    assert pool.get_open_connections() == 0


async def reads(pool: Server, count: int = 4) -> set[str]:
    return {(await pool.fetch(NAME, ()))[0][0] for _ in range(count)}


async def test_reads_go_to_the_replicas_in_turn_and_the_rest_to_the_primary(primary: Server) -> None:
    def program() -> Program[str]:
        rows = yield Fetch(NAME)
        return str(rows[0][0])

    assert [(await primary.fetch(NAME, ()))[0][0] for _ in range(4)] == ["one", "two", "one", "two"]
    assert await primary.fetch_val(NAME) == "primary"
    assert await primary.run(program()) == "primary"
    async with primary.acquire() as connection:
        assert await connection.fetch(NAME, ()) == [("primary",)]
    async with primary.transaction() as tx:
        assert await primary.fetch(NAME, ()) == [("primary",)]
        assert await tx.fetch(NAME, ()) == [("primary",)]
    async with primary.stream_rows(NAME, ()) as batches:
        assert [batch async for batch in batches] == [[("primary",)]]


def written() -> Program[None]:
    yield Execute("UPDATE t SET name = name")


async def write_by_program(primary: Server) -> None:
    await primary.run(written())


async def write_raw(primary: Server) -> None:
    await primary.execute("UPDATE t SET name = name")


async def write_in_a_transaction(primary: Server) -> None:
    async with primary.transaction() as tx:
        await tx.execute("UPDATE t SET name = name")


async def write_on_a_connection(primary: Server) -> None:
    async with primary.acquire() as connection:
        await connection.execute("UPDATE t SET name = name")


async def write_in_a_child_task(primary: Server) -> None:
    await asyncio.create_task(write_raw(primary))


async def write_and_fail(primary: Server) -> None:
    with pytest.raises(QueryError):
        await primary.execute("UPDATE t SET nothing = name")


@pytest.mark.parametrize(
    "write",
    [
        write_by_program,
        write_raw,
        write_in_a_transaction,
        write_on_a_connection,
        write_in_a_child_task,
        write_and_fail,
    ],
)
async def test_in_a_session_a_read_sees_what_was_written_in_it(
    primary: Server, servers: list[Server], write: Any
) -> None:
    with primary.session():
        assert await reads(primary) == {"one", "two"}
        primary.position = 1
        await write(primary)
        assert await reads(primary) == {"primary"}
        servers[1].position = 1
        assert await reads(primary) == {"one", "primary"}
        servers[2].position = 2
        assert await reads(primary) == {"one", "two"}
        asked = [each.asked for each in servers]
        assert await reads(primary) == {"one", "two"}
        assert [each.asked for each in servers] == asked, "what has come so far is not asked again"
        assert servers[0].asked == 1
        primary.position = 3
        await write(primary)
        assert await reads(primary) == {"primary"}
    assert await reads(primary) == {"one", "two"}


async def test_a_session_sees_what_a_connection_wrote_that_is_still_held(primary: Server) -> None:
    with primary.session():
        async with primary.acquire() as connection:
            primary.position = 1
            await connection.execute("UPDATE t SET name = name")
            assert await reads(primary) == {"primary"}
            primary.position = 2
            await connection.run(written())
            assert await reads(primary) == {"primary"}


async def test_a_session_that_writes_nothing_asks_nothing(primary: Server, servers: list[Server]) -> None:
    async with primary.session():
        assert await reads(primary) == {"one", "two"}
    assert [each.asked for each in servers] == [0, 0, 0]


async def test_a_session_inside_another_begins_anew(primary: Server) -> None:
    primary.position = 1
    with primary.session():
        await write_raw(primary)
        with primary.session():
            assert await reads(primary) == {"one", "two"}
        assert await reads(primary) == {"primary"}


async def test_what_is_written_while_the_primary_is_asked_is_not_missed(primary: Server, servers: list[Server]) -> None:
    for replica in servers[1:]:
        replica.position = 1
    with primary.session():
        primary.position = 1
        await write_raw(primary)
        primary.gate = asyncio.Event()
        reading = asyncio.create_task(reads(primary, 1))
        while not primary.asked:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0)
        primary.position = 2
        await write_raw(primary)
        primary.gate.set()
        await reading
        assert await reads(primary) == {"primary"}


async def test_a_session_without_replicas_does_nothing(file_pool: SQLitePool) -> None:
    with file_pool.session():
        await file_pool.execute("INSERT INTO t VALUES (1, 'a')")
        assert await file_pool.fetch("SELECT name FROM t", ()) == [("a",)]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_replica_that_cannot_be_reached_is_left_out(
    servers: list[Server], when: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = ConnectionFailure("no way")
    failure.transient = True
    if when == "before":
        servers[1].failure = failure
    async with servers[0] as primary:
        servers[1].failure = failure
        servers[1].close_all_connections()
        assert await reads(primary) == {"primary", "two"}
        assert await reads(primary) == {"two"}, "it is not tried at each read"
        assert [record.message.count("no way") for record in caplog.records if record.levelname == "WARNING"] == [1]
        servers[1].failure = None
        assert await reads(primary) == {"two"}
        monkeypatch.setattr(primary._replicas, "_back_at", dict.fromkeys(servers[1:], 0.0))
        assert await reads(primary) == {"one", "two"}
        servers[1].failure = servers[2].failure = ConnectionLost("the link is down")
        assert await reads(primary) == {"primary"}


async def test_a_replica_that_is_closed_at_first_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary = await server(tmp_path, "primary")
    (tmp_path / "late").mkdir()
    late = Server(tmp_path / "late" / "file", min_size=1, create=False)
    primary.serve_reads_from([late])
    async with primary:
        assert late.state == "closed"
        assert await reads(primary) == {"primary"}
        async with SQLitePool(tmp_path / "late" / "file") as pool:
            await pool.execute("CREATE TABLE t AS SELECT 'late' AS name")
        assert await reads(primary) == {"primary"}
        monkeypatch.setattr(primary._replicas, "_back_at", {late: 0.0})
        assert await reads(primary) == {"late"}


async def test_a_read_that_replay_got_in_the_way_of_goes_to_the_primary(primary: Server, servers: list[Server]) -> None:
    servers[1].failure = SerializationFailure("conflict with recovery")
    assert await reads(primary) == {"primary", "two"}
    servers[1].failure = None
    assert await reads(primary) == {"one", "two"}, "it is not left out for that"


async def test_an_error_of_the_read_itself_is_raised(primary: Server, servers: list[Server]) -> None:
    with pytest.raises(QueryError):
        await primary.fetch("SELECT nothing", ())
    assert await reads(primary) == {"one", "two"}
    with pytest.raises(WrongLoopError):
        await asyncio.to_thread(asyncio.run, reads(primary))


async def test_replicas_are_named_before_the_pool_is_connected(primary: Server, servers: list[Server]) -> None:
    with pytest.raises(PoolError):
        primary.serve_reads_from(servers[1:])


async def test_a_pool_that_is_closed_reads_from_no_replica(servers: list[Server]) -> None:
    async with servers[0] as primary:
        pass
    with pytest.raises(PoolClosed):
        await primary.fetch(NAME, ())
    assert [pool.state for pool in servers] == ["closed"] * 3


async def test_closing_all_connections_closes_those_to_replicas(primary: Server) -> None:
    await reads(primary)
    await primary.fetch_val(NAME)
    assert primary.get_open_connections() == 3
    primary.close_all_connections()
    assert primary.get_open_connections() == 0
    assert await reads(primary) == {"one", "two"}
