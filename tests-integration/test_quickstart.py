"""The main job of the README, as a newcomer runs it, on the data that is shipped with it."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from databases import ENGINES, Databases

QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart" / "main.py"


def start(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(QUICKSTART), "--url", url]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


@dataclass
class Store:
    """An empty database for the program, seen by another client than the library."""

    url: str

    def run(self) -> str:
        done = start(self.url)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def counts(self) -> dict[str, int]:
        path = self.url.removeprefix("sqlite:///")
        if path != self.url:
            with closing(sqlite3.connect(path)) as connection:
                return self._counted(connection, "SELECT name FROM sqlite_master WHERE type = 'table'")
        with psycopg.connect(self.url) as connection:
            return self._counted(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")

    @staticmethod
    def _counted(connection: sqlite3.Connection | psycopg.Connection, names: str) -> dict[str, int]:
        def ask(sql: str) -> list[tuple[Any, ...]]:
            return [*connection.execute(sql.encode() if isinstance(connection, psycopg.Connection) else sql)]  # type: ignore[arg-type]

        return {name: ask(f'SELECT COUNT(*) FROM "{name}"')[0][0] for (name,) in ask(names)}


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        yield Store(f"sqlite:///{tmp_path}/flights.db")
        return
    with databases.of(request.param, "quickstart", ()) as database:
        yield Store(database.url)


ANSWERS = (
    "JFK → LAX       377   2,475",
    "AirTran Airways Corporation       106               7.3     172",
    "        15              11.2   ▇▇▇▇▇▇▇▇▇▇▇",
    "MQ 3535   JFK → CMH   2013-06-15 23:00 UTC         18.9",
    "142 canceled; most in month 12: 61",
    "11,528,449 miles, 463 times around the Earth",
    "Update plane N13716: only what changed is written (seats: 149 → 200)",
    "a Plane cannot be deleted while a Flight references it: fk_flights_tailnum",
    "roll it back (UniqueViolation)",
)
"""What it prints on every engine."""


def test_loads_everything_and_synchronizes_twice(store: Store) -> None:
    printed = store.run()
    assert store.counts() == {
        "airlines": 16,
        "airports": 1_458 + 4,
        "planes": 3_322 + 507,
        "weather": 26_115,
        "flights": 11_317,
    }
    assert "Stubs: 507 planes for 1,676 flights, 4 airports for 244" in printed
    assert "52 flights have no tail number" in printed
    assert printed.count("nothing to change") == 1  # the second sync; the first one made the tables
    assert [answer for answer in ANSWERS if answer not in printed] == []

    again = store.run()
    assert again.count("nothing to change") == 2
    assert "has flights already" in again
    assert store.counts()["flights"] == 11_317


def test_a_run_after_one_that_was_killed_while_it_loaded(store: Store) -> None:
    program = """
import asyncio, os, sys
import main, source
given = source.flights
def killed_at_the_second(*, everything):
    source.flights = lambda *, everything: os._exit(9)  # the planes are inserted, the flights are not
    return given(everything=everything)
source.flights = killed_at_the_second
asyncio.run(main.main(sys.argv[1], everything=False))
"""
    command = [sys.executable, "-c", program, store.url]
    assert subprocess.run(command, capture_output=True, cwd=QUICKSTART.parent, check=False).returncode == 9
    assert set(store.counts().values()) == {0}
    store.run()
    assert store.counts()["flights"] == 11_317


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite:////no/such/directory/flights.db",
        "postgresql://me:S3CR3T@127.0.0.1:1/flights",
        "postgresql://me:S3CR3T@127.0.0.1/flights?nosuch=1",
        "postgresql://me:S3CR3T@[::1/flights",
        "postgresql://me:S3CR3T@nowhere.invalid/flights",
    ],
)
def test_a_wrong_url_is_one_sentence(url: str) -> None:
    done = start(url)
    assert done.returncode == 1
    assert re.fullmatch(r"[^\n]+\[FF-\w+\]\n", done.stderr), done.stderr
    assert "S3CR3T" not in done.stderr + done.stdout


def test_rows_of_its_models_are_never_validated_again() -> None:
    # In a process of its own: the models belong to the program's registry, not to that of other tests.
    program = """
from models import MODELS
from ff_storage.core.model.hydrate import fallbacks
from ff_storage.postgres.dialect import PostgresDialect
from ff_storage.sqlite.dialect import SQLiteDialect
for model in MODELS:
    for dialect in (SQLiteDialect(), PostgresDialect()):
        assert fallbacks(model, model.__ff_entity__.table.columns, dialect) == (), model
print(len(MODELS))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=QUICKSTART.parent, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "5"
