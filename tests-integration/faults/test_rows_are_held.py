"""Each row of the fault matrix that this release is held to has its tests, found by the id in their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

WAITING: Final = {
    28: "the ODBC thread of SQL Server",
    34: "the lock wait timeout of MySQL",
}
"""Rows that name only an engine which is not there yet."""

ROWS: Final = [row for row in (*range(1, 42), 53, 54) if row not in WAITING]


@pytest.fixture(scope="module")
def named() -> set[int]:
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    names = [name for text in texts for name in re.findall(r"^ *(?:async )?def test((?:_f\d\d)+)_", text, re.MULTILINE)]
    return {int(row) for name in names for row in re.findall(r"\d\d", name)}


@pytest.mark.parametrize("row", ROWS)
def test_the_row_has_a_test(named: set[int], row: int) -> None:
    assert row in named


def test_rows_that_wait_have_none(named: set[int]) -> None:
    assert not named & WAITING.keys()
