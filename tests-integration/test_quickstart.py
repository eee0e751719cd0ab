"""The main job of the README, as a newcomer runs it, on the data that is shipped with it."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart" / "main.py"


def start(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(QUICKSTART), "--url", url]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def run(database: Path) -> str:
    done = start(f"sqlite:///{database}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def counts(database: Path) -> dict[str, int]:
    connection = sqlite3.connect(database)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in tables}
    finally:
        connection.close()


def test_loads_everything_and_synchronizes_twice(tmp_path: Path) -> None:
    database = tmp_path / "flights.db"
    printed = run(database)
    assert counts(database) == {
        "airlines": 16,
        "airports": 1_458 + 4,
        "planes": 3_322 + 507,
        "weather": 26_115,
        "flights": 11_317,
    }
    assert "Stubs: 507 planes for 1,676 flights, 4 airports for 244" in printed
    assert "52 flights have no tail number" in printed
    assert printed.count("nothing to change") == 1  # the second sync; the first one made the tables

    again = run(database)
    assert again.count("nothing to change") == 2
    assert "has flights already" in again
    assert counts(database)["flights"] == 11_317


def test_a_run_after_one_that_was_killed_while_it_loaded(tmp_path: Path) -> None:
    database = tmp_path / "flights.db"
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
    command = [sys.executable, "-c", program, f"sqlite:///{database}"]
    assert subprocess.run(command, capture_output=True, cwd=QUICKSTART.parent, check=False).returncode == 9
    assert set(counts(database).values()) == {0}
    run(database)
    assert counts(database)["flights"] == 11_317


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite:////no/such/directory/flights.db"])
def test_a_wrong_url_is_one_sentence(url: str) -> None:
    done = start(url)
    assert done.returncode == 1
    assert re.fullmatch(r"[^\n]+\[FF-\w+\]\n", done.stderr), done.stderr


def test_rows_of_its_models_are_never_validated_again() -> None:
    # In a process of its own: the models belong to the program's registry, not to that of other tests.
    program = """
from models import MODELS
from ff_storage.core.model.hydrate import fallbacks
from ff_storage.sqlite.dialect import SQLiteDialect
for model in MODELS:
    assert fallbacks(model, model.__ff_entity__.table.columns, SQLiteDialect()) == (), model
print(len(MODELS))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=QUICKSTART.parent, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "5"
