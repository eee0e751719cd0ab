"""`python -m benchmarks.micro`: three small costs that every user pays, each against its target."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

REPEAT = 25
"""Times each figure is measured. The best is shown: whatever else the machine does only adds to it."""


def _microseconds(work: Callable[[], Any], count: int) -> float:
    """The time of one call."""
    for _ in range(count // 10):
        work()
    times: list[float] = []
    for _ in range(REPEAT):
        gc.collect()
        start = time.perf_counter()
        for _ in range(count):
            work()
        times.append((time.perf_counter() - start) / count * 1e6)
    return min(times)


def query() -> float:
    """Microseconds to build a query of five steps and find its SQL in the cache; binding its values is not counted."""
    from ff_storage import Field, PydanticModel, Query, col
    from ff_storage.core.context import TenantScope
    from ff_storage.core.sql.scope import Scope
    from ff_storage.sqlite.dialect import SQLiteDialect

    class Part(PydanticModel):
        name: str = Field(max_length=100)
        price: Decimal = Field(max_digits=10, decimal_places=2)
        status: str = Field(max_length=20)

    dialect = SQLiteDialect()
    scope = Scope(TenantScope.of(uuid.uuid4(), None))
    price = Decimal("9.50")

    def build() -> Any:
        return (
            Query(Part)
            .filter(Part.price > price)
            .filter(Part.status == "active")
            .order_by(col(Part.created_at).desc())
            .limit(100)
            .offset(200)
            .prepare(dialect, scope)
        )

    prepared, _ = build()
    values = (price, "active", 100, 200, *scope.values)
    return _microseconds(build, 5_000) - _microseconds(lambda: prepared.bind(values), 5_000)


def hydration() -> float:
    """Microseconds to make one instance of ten plain columns from a row of the driver."""
    from ff_storage import Field, PydanticModel
    from ff_storage.core.model.hydrate import rows_builder
    from ff_storage.sqlite.dialect import SQLiteDialect

    class Plain(PydanticModel):
        __multi_tenant__ = False
        __soft_delete__ = False

        key: int = Field(db_primary_key=True)
        name: str
        kind: str | None
        count: int
        weight: float
        depth: float | None
        # The columns that every model has, here as plain as the others: no default has to be made, nothing converted.
        created_at: str  # type: ignore[assignment]
        updated_at: str  # type: ignore[assignment]
        created_by: str | None  # type: ignore[assignment]
        updated_by: str | None  # type: ignore[assignment]

    columns = Plain.__ff_entity__.table.columns
    assert len(columns) == 10
    build = rows_builder(Plain, columns, SQLiteDialect())
    rows = [(n, "one", None, 2 * n, 0.5, None, "2026-01-01", "2026-01-02", None, "me") for n in range(1_000)]
    return _microseconds(lambda: build(rows), 20) / len(rows)


def importing() -> float:
    """Milliseconds that `import ff_storage` adds to a bare interpreter."""

    def start(statement: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        return time.perf_counter() - begin

    start("import ff_storage")
    pairs = [(start("pass"), start("import ff_storage")) for _ in range(2 * REPEAT)]
    return statistics.median(after - before for before, after in pairs) * 1e3


FIGURES: tuple[tuple[str, Callable[[], float], str, float], ...] = (
    ("build a query of 5 steps and find its SQL", query, "µs", 6.0),
    ("make an instance of a row of 10 plain columns", hydration, "µs", 1.5),
    ("import ff_storage", importing, "ms", 15.0),
)


def main() -> None:
    """Measure and print."""
    for title, measure, unit, target in FIGURES:
        found = measure()
        mark = " " if found <= target else "✗"
        print(f"  {mark} {title:<48} {found:6.2f} {unit}   (at most {target:g} {unit})")


if __name__ == "__main__":
    main()
