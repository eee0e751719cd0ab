"""The process of one contender: it opens it, then answers what the parent asks."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import random
import time
import traceback
import uuid
from multiprocessing.connection import Connection
from typing import Any, cast

from benchmarks.contender import Contender, Open
from benchmarks.workload import CHANGE, READ, ROWS_PER_TENANT, SCRATCH, TASKS, Row, rows

HEAP = 400_000


def _heap() -> list[Any]:
    """400,000 objects for the garbage collector to look at, as an application has them.

    In an empty process, the first 10,000 rows would pay for collections that no application sees.
    """
    return [[number, None] for number in range(HEAP)]


class Sections:
    """What the parent may ask, on one open contender."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._keys = {tenant: [row.id for row in rows(tenant, ROWS_PER_TENANT, 1)] for tenant in (READ, CHANGE)}
        self._serial = 0

    async def settings(self) -> dict[str, Any]:
        return await self._contender.settings()

    async def read(self, tenant: uuid.UUID) -> list[Row]:
        """Every row of the tenant, by key; the harness compares them."""
        items = await self._contender.fetch(tenant)
        return sorted(map(self._contender.values, items), key=lambda row: row.id)

    async def answers(self) -> dict[str, list[Row]]:
        """The results of the reading operations."""
        contender = self._contender
        found = [await contender.get(READ, key) for key in self._keys[READ][:50]]
        return {
            "get": [contender.values(item) for item in found],
            "page": [contender.values(item) for item in await contender.page(READ, 500)],
            "fetch": await self.read(READ),
        }

    async def write(self, one: Row, many: list[Row]) -> None:
        """Insert one row by itself and the others in bulk."""
        await self._contender.insert(self._contender.make([one])[0])
        await self._contender.bulk(self._contender.make(many))

    async def change(self, keys: list[uuid.UUID], quantity: int) -> None:
        """Set the quantity of these rows, one by one."""
        for key in keys:
            await self._contender.update(await self._contender.get(CHANGE, key), quantity)

    async def measure(self, operation: str, count: int, seed: int) -> float:
        """Seconds for each of `count` runs of the operation; the arguments are made before, the same for a seed.

        A tenth as many come before them, untimed. The base has run a moment ago; a contender has waited for all others,
        and the processor's caches hold nothing of it, nor of the server's process for its connection.
        """
        chance = random.Random(seed)
        contender = self._contender
        untimed = count // 10
        count += untimed
        if operation == "get":
            work: Any = contender.get
            arguments: list[Any] = [(READ, key) for key in chance.choices(self._keys[READ], k=count)]
        elif operation == "page":
            work, arguments = contender.page, [(READ, chance.randrange(300, 700)) for _ in range(count)]
        elif operation == "fetch":
            work, arguments = contender.fetch, [(READ,)] * count
        elif operation == "insert":
            work, arguments = contender.insert, [(item,) for item in contender.make(list(rows(SCRATCH, count, seed)))]
        elif operation == "bulk":
            work = contender.bulk
            arguments = [(contender.make(list(rows(SCRATCH, 10_000, seed + n))),) for n in range(count)]
        elif operation == "tasks":
            return await self._tasks(chance.choices(self._keys[READ], k=count), untimed)
        else:
            work = contender.update
            keys = chance.sample(self._keys[CHANGE], k=count)
            arguments = [(await contender.get(CHANGE, key), chance.randrange(1000)) for key in keys]
        gc.collect()
        for argument in arguments[:untimed]:
            await work(*argument)
        spent = 0.0
        start = time.perf_counter()
        for argument in arguments[untimed:]:
            await work(*argument)
            if operation == "fetch":
                # The next one starts as this one did. A full collection comes every few large results, sooner for those
                # of more objects, and takes as long as two of them: a few runs see one more or one less by accident.
                spent += time.perf_counter() - start
                gc.collect()
                start = time.perf_counter()
        return (spent + time.perf_counter() - start) / (count - untimed)

    async def _tasks(self, keys: list[uuid.UUID], untimed: int) -> float:
        """Seconds for each row got, by tasks that share the work and the pool."""
        get = self._contender.get

        async def work(mine: list[uuid.UUID]) -> None:
            for key in mine:
                await get(READ, key)

        async def share(every: list[uuid.UUID]) -> None:
            await asyncio.gather(*(work(every[number::TASKS]) for number in range(TASKS)))

        gc.collect()
        await share(keys[:untimed])
        start = time.perf_counter()
        await share(keys[untimed:])
        return (time.perf_counter() - start) / (len(keys) - untimed)


async def _serve(pipe: Connection, opener: str, address: str) -> None:
    heap = _heap()
    module, _, function = opener.partition(":")
    contender = cast("Open", getattr(importlib.import_module(module), function))
    async with contender(address) as opened:
        sections = Sections(opened)
        pipe.send(("ready", None))
        while (asked := await asyncio.to_thread(pipe.recv)) is not None:
            name, arguments = asked
            pipe.send(("result", await getattr(sections, name)(*arguments)))
    del heap


def main(pipe: Connection, opener: str, address: str) -> None:
    """Serve until the parent sends None; a failure is sent as text, a package that is missing by its name."""
    try:
        asyncio.run(_serve(pipe, opener, address))
    except ModuleNotFoundError as error:
        pipe.send(("missing", error.name))
    except Exception:  # noqa: BLE001  # the parent reports it
        pipe.send(("failed", traceback.format_exc()))
        pipe.close()
        os._exit(1)  # a connection that a library left open keeps its thread, and so the process, alive
