"""The proxy itself: it relays faithfully, and each fault is what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from faults.ok_set import until
from faults.proxy import DOWN, UP, FaultProxy


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[FaultProxy]:
    """A proxy before a server that sends back what it gets."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, proxy: FaultProxy) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def exchange(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.reader.readexactly(len(data))

    async def close(self) -> None:
        self.writer.transport.abort()


@pytest.fixture
async def client(echo: FaultProxy) -> AsyncIterator[Client]:
    client = await Client.of(echo)
    assert await client.exchange(b"hello") == b"hello"
    yield client
    await client.close()


async def test_what_is_sent_arrives_in_slices_and_late(echo: FaultProxy, client: Client) -> None:
    data = bytes(range(256)) * 40
    assert await client.exchange(data) == data
    echo.slice, echo.latency = 1, 0.05
    start = asyncio.get_running_loop().time()
    assert await client.exchange(data) == data
    assert asyncio.get_running_loop().time() - start >= 0.1
    assert echo.carried == {UP: 2 * len(data) + 5, DOWN: 2 * len(data) + 5}


async def test_an_end_is_passed_on(echo: FaultProxy, client: Client) -> None:
    client.writer.write_eof()
    assert await client.reader.read() == b""
    await until(lambda: echo.links == 0)


async def test_refused_clients_are_refused_until_they_are_accepted(echo: FaultProxy, client: Client) -> None:
    echo.refuse()
    with pytest.raises(ConnectionRefusedError):
        await Client.of(echo)
    assert await client.exchange(b"still here") == b"still here"
    await echo.accept()
    other = await Client.of(echo)
    assert await other.exchange(b"back") == b"back"
    await other.close()


async def test_a_silent_server_accepts_and_says_nothing(echo: FaultProxy) -> None:
    echo.silent = True
    client = await Client.of(echo)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.exchange(b"anybody?")
    await client.close()


async def test_swallowed_bytes_leave_the_link_half_open(echo: FaultProxy, client: Client) -> None:
    echo.swallowed.add(DOWN)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.exchange(b"lost")
    assert echo.carried[UP] == 9
    echo.heal()
    assert await client.exchange(b"heard") == b"heard"


async def test_a_link_is_cut_after_so_many_bytes(echo: FaultProxy, client: Client) -> None:
    echo.cut_after(DOWN, 100)
    client.writer.write(b"x" * 300)
    assert await client.reader.readexactly(100) == b"x" * 100
    with pytest.raises(ConnectionResetError):
        await client.reader.read()
    other = await Client.of(echo)
    assert await other.exchange(b"y" * 300) == b"y" * 300
    await other.close()


async def test_all_links_are_reset(echo: FaultProxy, client: Client) -> None:
    echo.reset_all()
    with pytest.raises(ConnectionResetError):
        await client.reader.read()
    await until(lambda: echo.links == 0)


async def test_an_action_runs_before_the_pattern_goes_on_once(echo: FaultProxy, client: Client) -> None:
    echo.at(UP, b"COMMIT", lambda: echo.swallowed.add(UP))
    assert await client.exchange(b"..COM") == b"..COM"
    client.writer.write(b"MIT..")  # the pattern lies across two chunks
    await until(lambda: UP in echo.swallowed)
    echo.heal()
    assert await client.exchange(b"COMMIT") == b"COMMIT"
    assert echo.carried[DOWN] == 5 + 5 + 6
