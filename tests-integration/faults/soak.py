"""How much of the long tests is run: a tenth, and all of it where `FF_STORAGE_SOAK` is set (`nox -s soak`)."""

from __future__ import annotations

import os
from typing import Final

SEED: Final = 20_261_121
"""The same for every run, so that what fails can be run again."""


def count(full: int) -> int:
    """`full` repetitions, or a tenth of them."""
    return full if os.environ.get("FF_STORAGE_SOAK") else max(1, full // 10)
