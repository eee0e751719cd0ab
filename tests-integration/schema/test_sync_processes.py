"""Many programs that start at once on one database: exactly one creates."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from ff_storage.core.database import open_pool
from ff_storage.schema import AsyncSchemaManager
from schema.engines import Engine

STARTERS = 8

PROGRAM = """
import asyncio
import json
import sys

from ff_storage.core.database import open_pool
from ff_storage.core.tables import Column, ForeignKey, Index, Table
from ff_storage.core.types import Integer, Text
from ff_storage.schema import AsyncSchemaManager

COLUMNS = (
    Column("id", Integer(), nullable=False, attribute="id"),
    Column("name", Text(20), nullable=False, attribute="name"),
    Column("up", Integer(), nullable=True, attribute="up"),
)


def table(number):
    key = ForeignKey(f"fk_t{number}", ("up",), None, f"t{max(number - 1, 0)}", ("id",))
    return Table(f"t{number}", None, COLUMNS, ("id",), (Index(f"ix_t{number}", ("name",)),), (key,))


TABLES = [table(number) for number in range(30)]


async def sync(url, options):
    async with open_pool(url, **options) as pool:
        return await AsyncSchemaManager(pool).sync_schema(TABLES)
"""

MAIN = """
sys.stdin.readline()  # all at once
print(asyncio.run(sync(sys.argv[1], json.loads(sys.argv[2]))))
"""


def test_of_eight_processes_one_creates(engine: Engine) -> None:
    command = [sys.executable, "-c", PROGRAM + MAIN, engine.url, json.dumps(engine.patience)]
    starters = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(STARTERS)
    ]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    ends = [(*starter.communicate(timeout=120), starter.returncode) for starter in starters]
    assert [(err, code) for _, err, code in ends] == [("", 0)] * STARTERS
    assert sorted(int(out) for out, _, _ in ends) == [0] * (STARTERS - 1) + [60]


async def test_of_eight_tasks_one_creates(engine: Engine) -> None:
    namespace: dict[str, Any] = {}
    exec(PROGRAM, namespace)
    async with open_pool(engine.url, max_size=STARTERS, **engine.patience) as pool:
        managers = [AsyncSchemaManager(pool) for _ in range(STARTERS)]
        counts = await asyncio.gather(*(manager.sync_schema(namespace["TABLES"]) for manager in managers))
    assert sorted(counts) == [0] * (STARTERS - 1) + [60]
