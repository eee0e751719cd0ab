"""A process that works until it is stopped: `python -m faults.worker bulk|units URL`.

It prints a line when it has begun, and one for each unit that it was told is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from collections.abc import Iterator

from faults.ledger import enter
from faults.models import Item
from ff_storage.core.database import Pool, open_pool
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import UnitOfWork

BULK_ROWS = 1_000_000
BEGUN_AT = 20_000


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def items() -> Iterator[Item]:
    for number in range(BULK_ROWS):
        if number == BEGUN_AT:
            say("begun")
        yield Item(number=number, name="in bulk")


async def bulk(pool: Pool) -> None:
    """One bulk insert, which takes longer than anybody waits."""
    await bulk_insert(Item, items(), pool, batch_size=5_000)


async def by_transaction(pool: Pool, unit: int) -> None:
    async with pool.transaction():
        await enter(pool, unit, 1)
        await enter(pool, unit, 2)
        await bulk_insert(Item, [Item(number=unit)], pool)


async def by_unit_of_work(pool: Pool, unit: int) -> None:
    async with UnitOfWork(pool) as uow:
        await enter(pool, unit, 1, uow.connection)
        await uow.repository(Item).create(Item(number=unit))
        await enter(pool, unit, 2, uow.connection)


async def by_statement(pool: Pool, unit: int) -> None:
    marks = ", ".join(f"({unit}, {half})" for half in (1, 2))
    async with pool.transaction() as tx:
        await tx.execute(f"INSERT INTO halves (unit, half) VALUES {marks}")
        await tx.execute_many(
            f"UPDATE halves SET half = half WHERE unit = {pool.dialect.placeholder(1)}", [(unit,), (unit,)]
        )
        await bulk_insert(Item, [Item(number=unit)], tx)


async def units(pool: Pool) -> None:
    """Units of two halves and an item, one after the other, from the first that is free."""
    first = (await pool.fetch_val("SELECT max(unit) FROM halves") or 0) + 1
    ways = itertools.cycle([by_transaction, by_unit_of_work, by_statement])
    say("begun")
    for unit, way in zip(itertools.count(first), ways, strict=False):
        await way(pool, unit)
        say(str(unit))


async def main(job: str, url: str, graceful: bool) -> None:
    task = asyncio.current_task()
    if graceful and task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with open_pool(url, min_size=0, max_size=2) as pool:
        await (bulk if job == "bulk" else units)(pool)


if __name__ == "__main__":
    # A shell that runs the tests in the background has them ignore it, and so their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(main(sys.argv[1], sys.argv[2], graceful="--graceful" in sys.argv))
