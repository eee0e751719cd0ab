"""`python -m benchmarks`: run the tables and print them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.report import document, table
from benchmarks.runner import chosen, run
from benchmarks.sqlite.database import SqliteFile
from benchmarks.workload import OPERATIONS


def main() -> None:
    """Measure, print, and write the JSON where it is asked for."""
    names = [entry.name for entry in SqliteFile.entries]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="interleaved rounds (default: 7)")
    parser.add_argument(
        "--only", action="append", default=[], choices=names, help="this contender beside the base; repeatable"
    )
    parser.add_argument(
        "--operation", action="append", default=[], choices=list(OPERATIONS), help="this column; repeatable"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's times there")
    options = parser.parse_args()
    live = sys.stderr.isatty()

    def tell(step: str) -> None:
        if live:
            print(f"\r\x1b[2K  {step} ...", end="", file=sys.stderr, flush=True)

    engine = SqliteFile()
    try:
        results = run(engine, chosen(options.operation), options.only, options.rounds, tell)
    finally:
        engine.close()
        if live:
            print("\r\x1b[2K", end="", file=sys.stderr)
    print(table(results, color=sys.stdout.isatty()))
    if options.json:
        options.json.write_text(json.dumps(document(results), indent=2) + "\n")


if __name__ == "__main__":
    main()
