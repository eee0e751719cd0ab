"""PostgreSQL's statements, read off the wire: what the driver hands to its socket, whatever it says that it did.

The witness stands behind the driver and knows the protocol alone, and it hears synchronously: when an attempt has
raised its error, whatever was sent for it has been heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest


class Wire:
    """Reads what one connection writes, and notes in `sent` each statement that is parsed or run."""

    def __init__(self, sent: list[str]) -> None:
        self._sent = sent
        self._bytes = bytearray()
        self._started = False
        self._prepared: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """More bytes; a message may be torn in two."""
        self._bytes += data
        while True:
            head = 1 if self._started else 0  # the first message has no kind
            length = int.from_bytes(self._bytes[head : head + 4])
            if len(self._bytes) < head + 4 or len(self._bytes) < head + length:
                return
            kind, body = bytes(self._bytes[:head]), bytes(self._bytes[head + 4 : head + length])
            del self._bytes[: head + length]
            self._started = True
            self._read(kind, body)

    def _read(self, kind: bytes, body: bytes) -> None:
        first, _, rest = body.partition(b"\0")
        if kind == b"Q":
            self._sent.append(first.decode())
        elif kind == b"P":
            self._prepared[first] = rest.partition(b"\0")[0].decode()
            self._sent.append(self._prepared[first])
        elif kind == b"B":
            self._portals[first] = self._prepared[rest.partition(b"\0")[0]]
        elif kind == b"E":
            self._sent.append(self._portals[first])


class _Transport:
    """The transport, with what is written to it heard."""

    def __init__(self, transport: Any, wire: Wire) -> None:
        self._transport = transport
        self._wire = wire

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.feed(data)
        self._transport.write(data)

    def writelines(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
        for part in parts:
            self.write(part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Protocol(asyncio.Protocol):
    """The driver's protocol, which gets the transport that is heard."""

    def __init__(self, protocol: Any, wire: Wire) -> None:
        self.protocol = protocol
        self._wire = wire
        self.data_received = protocol.data_received
        self.eof_received = protocol.eof_received
        self.connection_lost = protocol.connection_lost
        self.pause_writing = protocol.pause_writing
        self.resume_writing = protocol.resume_writing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.protocol.connection_made(_Transport(transport, self._wire))


def trace(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    """Have every connection heard that an event loop opens from now on."""
    connect = asyncio.BaseEventLoop.create_connection

    async def heard(self: Any, factory: Callable[[], Any], *args: Any, **options: Any) -> Any:
        transport, protocol = await connect(self, lambda: _Protocol(factory(), Wire(sent)), *args, **options)
        return transport, protocol.protocol

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", heard)
