"""A stream reads more rows than memory should hold: as many as the quickstart has flights, of the same width."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROWS = 336_776
LIMIT = 50 * 1024 * 1024

# In a process of its own, because the peak of a process never falls again.
PROGRAM = f"""
import asyncio, resource, sys
from datetime import datetime

from ff_storage import AsyncSchemaManager, Field, PydanticModel, Query, bulk_insert, open_pool

class Flight(PydanticModel):
    __multi_tenant__ = False

    time_hour: datetime = Field(db_primary_key=True)
    flight: int = Field(db_primary_key=True)
    carrier: str = Field(max_length=2)
    tailnum: str | None = Field(default=None, max_length=6)
    origin: str = Field(max_length=3)
    dest: str = Field(max_length=3)
    dep_delay: int | None = None
    arr_delay: int | None = None
    air_time: int | None = None
    distance: int = Field(ge=1)

def peak():
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024

async def main():
    async with open_pool("sqlite:///" + sys.argv[1]) as pool:
        await AsyncSchemaManager(pool).sync_schema([Flight])
        await pool.execute('''
            INSERT INTO flights (time_hour, flight, carrier, tailnum, origin, dest, dep_delay, distance,
                                 created_at, updated_at)
            WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS - 1})
            SELECT '2013-01-01 00:00:00.000000', i, 'UA', 'N12345', 'EWR', 'LAX', i % 99, 1 + i % 4000,
                   '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000'
            FROM n''')
        query = Query(Flight).order_by(Flight.flight)
        await query.limit(2_000).execute(pool)  # what is loaded and compiled once is no part of a stream
        start, rows, last = peak(), 0, -1
        async with query.stream(pool) as flights:
            async for flight in flights:
                assert flight.flight == last + 1
                last = flight.flight
                rows += 1
        print(rows, peak() - start)

asyncio.run(main())
"""


def test_streaming_every_row_takes_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "flights.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    assert rows == ROWS
    assert grown < LIMIT
