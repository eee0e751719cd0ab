"""Pauses between attempts: longer each time up to a bound, and random, so that not all callers come back at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds up to which a pause lasts, at first and at most."""


def pauses(first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> Iterator[float]:
    """Seconds to pause before each further attempt, without end: each random up to a bound that doubles each time."""
    bound = first
    while True:
        yield random.uniform(0, bound)  # noqa: S311 - it spreads load, and guards nothing
        bound = min(bound * 2, longest)
