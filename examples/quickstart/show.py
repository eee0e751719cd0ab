"""What the quickstart prints: steps with their times, a progress bar, small tables. The library plays no part here."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

T = TypeVar("T")

WIDTH = 92
_LIVE = sys.stdout.isatty()
_COLOR = _LIVE and "NO_COLOR" not in os.environ


def _paint(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if _COLOR else text


def heading(text: str) -> None:
    """A line that opens a chapter."""
    print(f"\n{_paint('1;34', text)} {_paint('34', '─' * (WIDTH - len(text) - 1))}")


def note(text: str) -> None:
    """A paragraph of explanation."""
    for line in textwrap.wrap(text, WIDTH - 4):
        print(f"    {_paint('2', line)}")


def seconds(value: float) -> str:
    """A duration for people: "8 ms", "1.42 s"."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


class Step:
    """A running step; `text` may be completed while it runs."""

    def __init__(self, text: str) -> None:
        self.text = text


@contextmanager
def step(text: str) -> Generator[Step]:
    """Time what happens within, and print it on one line when it is done."""
    current = Step(text)
    start = time.perf_counter()
    if _LIVE:
        print(f"  … {text}", end="", flush=True)
    try:
        yield current
    except BaseException:
        print(f"{_erase()}  {_paint('31', '✗')} {current.text}")
        raise
    took = seconds(time.perf_counter() - start)
    dots = _paint("2", "·" * max(3, WIDTH - len(current.text) - len(took) - 6))
    print(f"{_erase()}  {_paint('32', '✓')} {current.text} {dots} {_paint('36', took)}")


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """`items`, with a bar on a terminal that shows how many have been taken."""
    start = drawn = time.perf_counter()
    for count, item in enumerate(items, 1):
        yield item
        if _LIVE and count % 500 == 0 and (now := time.perf_counter()) - drawn > 0.05:
            drawn = now
            filled = 30 * count // total
            bar = _paint("32", "█" * filled) + _paint("2", "░" * (30 - filled))
            rate = count / (now - start)
            print(f"{_erase()}  … {what}  {bar}  {count:,} of {total:,}, {rate:,.0f}/s", end="", flush=True)


def _erase() -> str:
    return "\r\x1b[2K" if _LIVE else ""


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A small table; numbers stand on the right."""
    body = list(rows)
    texts = [[_cell(value) for value in row] for row in body]
    widths = [max(map(len, column)) for column in zip(titles, *texts, strict=True)]
    right = [bool(body) and isinstance(body[0][i], int | float | Decimal) for i in range(len(titles))]

    def line(cells: Sequence[str]) -> str:
        parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
        return "      " + "   ".join(parts).rstrip()

    print(_paint("1", line(titles)))
    for row in texts:
        print(line(row))
    print()


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
