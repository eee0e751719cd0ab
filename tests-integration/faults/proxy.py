"""A relay on the loopback between a client and a server, whose links can be hurt while they live."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Direction(Enum):
    """Which way bytes go."""

    UP = "to the server"
    DOWN = "to the client"


UP, DOWN = Direction.UP, Direction.DOWN


@dataclass(slots=True)
class _Watch:
    """Runs `action` once, before the bytes that complete `pattern` go on."""

    direction: Direction
    pattern: bytes
    action: Callable[[], None]


@dataclass(slots=True, eq=False)
class _Link:
    """One client's connection and its own to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    tails: dict[Direction, bytes] = field(default_factory=lambda: {UP: b"", DOWN: b""})

    def reset(self) -> None:
        """Break both ends at once, as a crashed host does: with RST, and what was not delivered is lost."""
        for writer in (self.client, self.server):
            if writer is not None:
                end: socket.socket = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):  # closed already
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()


class FaultProxy:
    """Relays `port` of the loopback to a server; use it as `async with FaultProxy(host, port) as proxy`.

    `latency`: seconds before each chunk goes on. `slice`: the most bytes of one write, None for no limit. `silent`: new
    clients are accepted and never answered. `swallowed`: directions whose bytes vanish, which leaves a link half open.
    All can be changed at any time, and hold for links that are there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server_address = (host, port)
        self._listener: asyncio.Server | None = None
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._watches: list[_Watch] = []
        self._left: dict[Direction, int] = {}
        self.port = 0
        self.latency = 0.0
        self.slice: int | None = None
        self.silent = False
        self.swallowed: set[Direction] = set()
        self.accepted = 0
        self.carried = {UP: 0, DOWN: 0}

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.refuse()
        self.reset_all()
        tasks = [*self._links.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- faults ------------------------------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Refuse new clients, as a port does that nobody listens on. Links that are there live on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def accept(self) -> None:
        """Take new clients, on the port of before."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._take, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    def reset_all(self) -> None:
        """Break every link with RST."""
        for link in [*self._links]:
            link.reset()

    def cut_after(self, direction: Direction, count: int) -> None:
        """Let `count` more bytes pass, of all links together, then break the link that carries the next."""
        self._left[direction] = count

    def at(self, direction: Direction, pattern: bytes, action: Callable[[], None]) -> None:
        """Run `action` once, when `pattern` passes, before it goes on. Sees plain text only: switch TLS off."""
        self._watches.append(_Watch(direction, pattern, action))

    def heal(self) -> None:
        """Hurt nothing from now on. Bytes that were swallowed are gone: their links stay broken."""
        self.latency, self.slice, self.silent = 0.0, None, False
        self.swallowed.clear()
        self._watches.clear()
        self._left.clear()

    @property
    def links(self) -> int:
        """How many links there are."""
        return len(self._links)

    # --- relaying ----------------------------------------------------------------------------------------------------

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # In a task of the proxy's own: asyncio reports one of its making as failed when it is canceled.
        self.accepted += 1
        link = _Link(writer)
        self._links[link] = asyncio.create_task(self._serve(link, reader, writer))

    async def _serve(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.silent:
                await reader.read()  # until the client gives up
                return
            from_server, link.server = await asyncio.open_connection(*self._server_address)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, UP, reader, link.server))
                group.create_task(self._pump(link, DOWN, from_server, writer))
        except (OSError, ExceptionGroup):
            link.reset()
        finally:
            del self._links[link]
            for each in (link.server, link.client):
                if each is not None:
                    each.close()

    async def _pump(
        self, link: _Link, direction: Direction, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        """Carry one direction of a link until its source ends; the other end then sees an end, too."""
        while data := await source.read(_CHUNK):
            self._look(link, direction, data)
            if self.latency:
                await asyncio.sleep(self.latency)
            if direction in self.swallowed:
                continue
            data, cut = self._shorten(direction, data)
            step = self.slice or len(data)
            for start in range(0, len(data), step or 1):
                target.write(data[start : start + step])
                await target.drain()
                if self.slice is not None:
                    await asyncio.sleep(0)
            self.carried[direction] += len(data)
            if cut:
                await asyncio.sleep(0.01)  # what was sent arrives first: a RST overtakes it
                raise ConnectionResetError("cut")
        if target.can_write_eof() and not target.is_closing():
            target.write_eof()

    def _shorten(self, direction: Direction, data: bytes) -> tuple[bytes, bool]:
        left = self._left.get(direction)
        if left is None:
            return data, False
        if left >= len(data):
            self._left[direction] = left - len(data)
            return data, False
        del self._left[direction]
        return data[:left], True

    def _look(self, link: _Link, direction: Direction, data: bytes) -> None:
        if not self._watches:
            return
        seen = link.tails[direction] + data
        for watch in [*self._watches]:
            if watch.direction is direction and watch.pattern in seen:
                self._watches.remove(watch)
                watch.action()
        longest = max((len(watch.pattern) for watch in self._watches), default=1)
        link.tails[direction] = seen[-(longest - 1) :] if longest > 1 else b""
