"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.runner import Results

_BOLD, _DIM, _RED, _GREEN, _CYAN = "1", "2", "1;31", "1;32", "36"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text and its ANSI style."""

    text: str
    style: str = ""


def _time(seconds: float, unit: str) -> str:
    return f"{seconds * 1e3:.1f} ms" if unit == "ms" else f"{seconds * 1e6:.1f} µs"


def machine() -> str:
    """The kind of machine, in words: "2 shared cores, Python 3.11"."""
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{os.cpu_count()} cores, {platform.python_implementation()} {version}, {platform.system()}"


def table(results: Results, *, color: bool) -> str:
    """The report: the base's own times, everybody's ratios to them, and ours marked where it is over its target."""
    operations, base = results.operations, results.entries[0]
    grid: list[list[Text]] = []
    for entry in results.entries:
        row = [Text(entry.title, _BOLD if entry.targets else "")]
        for operation in operations:
            cell, target = results.cells.get((entry.name, operation.name)), entry.targets.get(operation.name)
            if cell is None:
                row.append(Text("–", _DIM))
            elif entry is base:
                row.append(Text(_time(cell.seconds, operation.unit), _CYAN))
            elif target is None:
                row.append(Text(f"{cell.ratio:.2f}"))
            elif cell.ratio > target:
                row.append(Text(f"✗ {cell.ratio:.2f} > {target:.2f}", _RED))
            else:
                row.append(Text(f"{cell.ratio:.2f} ≤ {target:.2f}", _GREEN))
        grid.append(row)
    titles = _titles(["", *(operation.title for operation in operations)])
    columns = zip(*titles, *grid, strict=True)
    widths = [max(len(cell.text) for cell in column) for column in columns]

    def line(row: Sequence[Text]) -> str:
        padded = [
            cell.text.rjust(width) if number else cell.text.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  " + "   ".join(paint(cell.style, text) for cell, text in zip(row, padded, strict=True))

    def paint(style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if color and style else text

    rule = "  " + "─" * (sum(widths) + 3 * (len(widths) - 1))
    settings = ", ".join(f"{name}={value}" for name, value in list(results.settings.items())[:3])
    itself = [results.cells[base.name, operation.name].ratio for operation in operations]
    lines = [
        paint(_BOLD, f"  {results.title}: how many times the base's time, median of {results.rounds} rounds"),
        f"  {machine()}, {datetime.now(UTC):%Y-%m-%d}; {settings}",
        "",
        *map(line, titles),
        rule,
        *map(line, grid),
        rule,
        "",
        "  ≤, >: the target for ff-storage.",
        f"  The base against itself: {min(itself):.2f} to {max(itself):.2f}.",
        *(f"  Left out: {reason}." for reason in results.missing),
    ]
    return "\n".join(text.rstrip() for text in lines)


def _titles(texts: Sequence[str], width: int = 13) -> list[list[Text]]:
    """The column titles, wrapped and standing on the rule."""
    wrapped = [textwrap.wrap(text, width) for text in texts]
    depth = max(map(len, wrapped))
    return [[Text(([""] * depth + lines)[len(lines) + row]) for lines in wrapped] for row in range(depth)]


def document(results: Results) -> dict[str, Any]:
    """The results for a program: every round's times in seconds, the medians, the targets."""
    return {
        "title": results.title,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "python": sys.version.split()[0],
        "rounds": results.rounds,
        "settings": results.settings,
        "missing": results.missing,
        "contenders": [
            {
                "name": entry.name,
                "title": entry.title,
                "operations": {
                    operation.name: {
                        "ratio": cell.ratio,
                        "ratios": cell.ratios,
                        "seconds": cell.own,
                        "base_seconds": cell.base,
                        **({"target": entry.targets[operation.name]} if operation.name in entry.targets else {}),
                    }
                    for operation in results.operations
                    if (cell := results.cells.get((entry.name, operation.name))) is not None
                },
            }
            for entry in results.entries
        ],
    }
