"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.runner import Results
from benchmarks.workload import Operation

OURS = "ours"


def _time(seconds: float, unit: str) -> str:
    return f"{seconds * 1e3:.1f} ms" if unit == "ms" else f"{seconds * 1e6:.1f} µs"


def _over(name: str, ratio: float, operation: Operation) -> bool:
    return name == OURS and ratio > operation.target


def machine() -> str:
    """The kind of machine, in words: "2 shared cores, Python 3.11"."""
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{os.cpu_count()} cores, {platform.python_implementation()} {version}, {platform.system()}"


def table(results: Results, *, color: bool) -> str:
    """The report: ratios to the base, the base's own times, and ours marked where it is over its target."""

    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if color else text

    plain: Callable[[str], str] = lambda text: text  # noqa: E731
    operations = results.operations
    base = results.entries[0]
    lines: list[list[tuple[str, Callable[[str], str]]]] = []
    for entry in results.entries:
        strong = entry.name == OURS
        line = [(entry.title, (lambda text: paint("1", text)) if strong else plain)]
        for operation in operations:
            cell = results.cells[entry.name, operation.name]
            if entry is base:
                line.append((_time(cell.seconds, operation.unit), lambda text: paint("36", text)))
            elif _over(entry.name, cell.ratio, operation):
                line.append((f"✗ {cell.ratio:.2f}", lambda text: paint("1;31", text)))
            else:
                line.append((f"{cell.ratio:.2f}", (lambda text: paint("1;32", text)) if strong else plain))
        lines.append(line)
    targets = [("target for ff-storage", lambda text: paint("2", text))]
    targets += [(f"≤ {operation.target:.2f}", lambda text: paint("2", text)) for operation in operations]
    head = ["", *(operation.title for operation in operations)]
    heads = [_wrap(text) for text in head]
    depth = max(map(len, heads))
    widths = [
        max(len(text) for text in [*heads[column], *(line[column][0] for line in [*lines, targets])])
        for column in range(len(head))
    ]

    def cells(line: list[tuple[str, Callable[[str], str]]]) -> str:
        first, *rest = [style(_pad(text, width, left=not i)) for i, ((text, style), width) in _numbered(line, widths)]
        return "  " + "   ".join([first, *rest])

    rule = "  " + "─" * (sum(widths) + 3 * (len(widths) - 1))
    titles = [[(["", *[""] * depth, *parts][-depth:][row], plain) for parts in heads] for row in range(depth)]
    out = [
        paint("1", f"  {results.title}: times the base, medians of {results.rounds} rounds (the base's row: its time)"),
        f"  {machine()}, {datetime.now(UTC):%Y-%m-%d}; "
        + ", ".join(f"{name}={value}" for name, value in list(results.settings.items())[:3]),
        "",
        *map(cells, titles),
        rule,
        *map(cells, lines),
        rule,
        cells(targets),
    ]
    noise = [results.cells[base.name, operation.name].ratio for operation in operations]
    out += ["", f"  The base against itself: {min(noise):.2f} to {max(noise):.2f}."]
    out += [f"  Left out: {reason}." for reason in results.missing]
    return "\n".join(out)


def _numbered(line: list[Any], widths: list[int]) -> Any:
    return enumerate(zip(line, widths, strict=True))


def _pad(text: str, width: int, *, left: bool) -> str:
    return text.ljust(width) if left else text.rjust(width)


def _wrap(text: str, width: int = 13) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


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
                        **({"target": operation.target} if entry.name == OURS else {}),
                    }
                    for operation in results.operations
                    for cell in [results.cells[entry.name, operation.name]]
                },
            }
            for entry in results.entries
        ],
    }
