"""`python -m benchmarks`: run the tables and print them."""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contender import Engine
from benchmarks.report import document, table
from benchmarks.runner import Unavailable, run
from benchmarks.workload import OPERATIONS

ENGINES = {
    "sqlite": "benchmarks.sqlite.database:SqliteFile",
    "postgres": "benchmarks.postgres.database:PostgresDatabase",
}
"""Where the engines are; one is imported when it is measured, for its driver."""


def main() -> None:
    """Measure, print, and write the JSON where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--engine", choices=[*ENGINES, "all"], default="all", help="the table to make (default: all)")
    parser.add_argument("--url", metavar="URL", help="a PostgreSQL server to use, instead of one that is started")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="interleaved rounds (default: 7)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this contender beside the base; repeatable"
    )
    parser.add_argument(
        "--operation", action="append", default=[], choices=list(OPERATIONS), help="this column; repeatable"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's times there")
    options = parser.parse_args()
    classes = {name: _class(place) for name, place in ENGINES.items() if options.engine in {name, "all"}}
    names = {entry.name for each in classes.values() for entry in each.entries}
    if unknown := set(options.only) - names:
        parser.error(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    documents = []
    for name, each in classes.items():
        try:
            results = _measure(functools.partial(each, options.url) if name == "postgres" else each, options)
        except Unavailable as reason:
            if options.engine == name:
                parser.error(str(reason))
            print(f"\n  Left out: {reason}.")
            continue
        print(f"\n{table(results, color=sys.stdout.isatty())}")
        documents.append(document(results))
    if options.json:
        options.json.write_text(json.dumps(documents, indent=2) + "\n")


def _class(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _measure(make: Callable[[], Engine], options: argparse.Namespace) -> Any:
    live = sys.stderr.isatty()

    def tell(step: str) -> None:
        if live:
            print(f"\r\x1b[2K  {step} ...", end="", file=sys.stderr, flush=True)

    tell("starting")
    engine = make()
    try:
        return run(engine, options.operation, options.only, options.rounds, tell)
    finally:
        engine.close()
        if live:
            print("\r\x1b[2K", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
