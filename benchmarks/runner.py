"""Rounds: the base right before each contender, in turn, and the ratio of the two."""

from __future__ import annotations

import contextlib
import datetime as dt
import multiprocessing
import statistics
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import child
from benchmarks.contender import Engine, Entry
from benchmarks.workload import CHANGE, OPERATIONS, READ, SCRATCH, Operation, Row, rows

_ANY_TIME = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Unavailable(Exception):
    """A contender's package is not installed."""


class WrongResult(Exception):
    """A contender gave another answer than the base, so its times mean nothing."""


class Process:
    """A contender in a process of its own: libraries register global state and fill the heap that others collect."""

    def __init__(self, entry: Entry, address: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._entry = entry
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=child.main, args=(other, entry.opener, address), daemon=True)
        self._process.start()
        other.close()
        self._receive()

    def ask(self, name: str, *arguments: Any) -> Any:
        """The result of a method of `child.Sections`."""
        self._pipe.send((name, arguments))
        return self._receive()

    def close(self) -> None:
        """Let the process close its contender and end."""
        with contextlib.suppress(OSError):  # it is gone when it failed
            self._pipe.send(None)
        self._process.join(30)
        self._process.kill()

    def _receive(self) -> Any:
        kind, result = self._pipe.recv()
        if kind == "missing":
            raise Unavailable(f"{self._entry.title}: {result} is not installed")
        if kind == "failed":
            raise RuntimeError(f"{self._entry.title}\n{result}")
        return result


@dataclass(slots=True)
class Cell:
    """One contender's times for one operation, in seconds a run, each beside the base's of the same round."""

    own: list[float] = field(default_factory=list)
    base: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Own to base, round by round."""
        return [own / base for own, base in zip(self.own, self.base, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def seconds(self) -> float:
        """The median time of one run."""
        return statistics.median(self.own)


@dataclass(slots=True)
class Results:
    """What one run found: cells by (contender's name, operation's name)."""

    title: str
    entries: list[Entry]
    operations: list[Operation]
    rounds: int
    settings: dict[str, Any]
    missing: list[str]
    cells: dict[tuple[str, str], Cell]


def run(
    engine: Engine,
    names: Sequence[str],
    only: Sequence[str],
    rounds: int,
    tell: Callable[[str], None],
) -> Results:
    """Prepare the database, check every contender's answers, and measure the operations of these `names`, or all.

    Raises WrongResult when a contender's answers, settings or stored rows differ from the base's.
    """
    operations = [OPERATIONS[name] for name in engine.operations if not names or name in names]
    entries = [
        entry
        for entry in engine.entries
        if entry is engine.entries[0]
        or ((not only or entry.name in only) and any(entry.measures(each.name) for each in operations))
    ]
    missing: list[str] = []
    tell("preparing 20,000 rows")
    address = engine.prepare(entries)
    processes: dict[str, Process] = {}
    try:
        for entry in entries:
            tell(f"starting {entry.title}")
            try:
                processes[entry.name] = Process(entry, address)
            except Unavailable as reason:
                missing.append(str(reason))
        entries = [entry for entry in entries if entry.name in processes]
        base = processes[entries[0].name]
        settings = base.ask("settings")
        for entry in entries:
            tell(f"checking the answers of {entry.title}")
            _check(entry, processes[entry.name], base if entry.table == entries[0].table else None, base, settings)
            engine.settle()
        cells = {
            (entry.name, operation.name): Cell()
            for entry in entries
            for operation in operations
            if entry.measures(operation.name)
        }
        for number in range(rounds):
            shift = number % len(entries)
            for entry in entries[shift:] + entries[:shift]:  # nobody is always first after the pause
                tell(f"round {number + 1} of {rounds}: {entry.title}")
                for operation in operations:
                    seed = number * 100_000
                    cell = cells.get((entry.name, operation.name))
                    if cell is None:
                        continue
                    for process, times in ((base, cell.base), (processes[entry.name], cell.own)):
                        times.append(process.ask("measure", operation.name, operation.count, seed))
                        if operation.writes:
                            engine.settle()
    finally:
        for process in processes.values():
            process.close()
    return Results(engine.title, entries, operations, rounds, settings, missing, cells)


def _check(entry: Entry, process: Process, reader: Process | None, base: Process, settings: dict[str, Any]) -> None:
    """Every operation once, against the base's answers; what was written is read by `reader` too, on a shared table."""

    def equal(what: str, found: Any, expected: Any) -> None:
        if found != expected:
            pairs = zip(found, expected, strict=False) if isinstance(found, list) else [(found, expected)]
            first = next(((left, right) for left, right in pairs if left != right), (len(found), len(expected)))
            raise WrongResult(f"{entry.title}, {what}: {first[0]}\ninstead of {first[1]}")

    equal("settings", process.ask("settings"), settings)
    for name, expected in base.ask("answers").items():
        equal(name, process.ask("answers")[name], expected)
    new = list(rows(SCRATCH, 500, 7))
    process.ask("write", new[0], new[1:])
    new.sort(key=lambda row: row.id)
    readers = [process] if reader is None else [process, reader]
    for other in readers:
        equal("rows inserted", [_stable(row) for row in other.ask("read", SCRATCH)], [_stable(row) for row in new])
    before = {row.id: row for row in process.ask("read", CHANGE)}
    keys = list(before)[:20]
    process.ask("change", keys, 4321)
    changed: dict[uuid.UUID, Row] = {row.id: row for row in process.ask("read", CHANGE)}
    for key in keys:
        old, row = before[key], changed[key]
        if row.updated_at <= old.updated_at and old.quantity != row.quantity:
            raise WrongResult(f"{entry.title}, update: updated_at did not move")
        before[key] = old._replace(quantity=4321, updated_at=row.updated_at)
    for other in readers:
        equal("rows updated", other.ask("read", CHANGE), list(before.values()))
    equal("rows not touched", process.ask("read", READ), base.ask("read", READ))


def _stable(row: Row) -> Row:
    """Without the two times, which a library may set itself when it inserts."""
    return row._replace(created_at=_ANY_TIME, updated_at=_ANY_TIME)
