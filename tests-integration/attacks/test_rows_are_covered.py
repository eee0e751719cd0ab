"""Each row of the attack list that this release is held to has its tests, found by the id in their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROWS: Final = (
    5, 6, 8, 9, 10, 13, 14, 15, 20, 24, 28, 29, 30, 31, 32, 33, 34, 35, 38, 49, 50, 51, 52, 53, 54, 57, 58, 63, 73,
    74, 89, 91,
)  # fmt: skip


@pytest.fixture(scope="module")
def named() -> set[int]:
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    return {int(row) for text in texts for row in re.findall(r"^(?:async )?def test_a(\d\d)_", text, re.MULTILINE)}


@pytest.mark.parametrize("row", ROWS)
def test_the_row_has_a_test(named: set[int], row: int) -> None:
    assert row in named
