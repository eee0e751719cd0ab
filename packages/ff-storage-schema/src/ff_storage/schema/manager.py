"""`AsyncSchemaManager`: the database follows the models."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ff_storage.core.errors import ConfigurationError
from ff_storage.core.tables import Table
from ff_storage.schema.compare import printable
from ff_storage.schema.sync import synchronize

if TYPE_CHECKING:
    from ff_storage.core.model import PydanticModel
    from ff_storage.core.program import Program
    from ff_storage.core.sql.dialect import Dialect

T = TypeVar("T")


class SchemaExecutor(Protocol):
    """What a schema sync runs on: a pool, or a transaction."""

    @property
    def dialect(self) -> Dialect:
        """The engine."""
        ...

    async def run(self, program: Program[T], *, atomic: bool = False) -> T:
        """Drive `program` on one connection, in one transaction when `atomic`."""
        ...


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one `sync_schema` did, or with `applied` False would do.

    `tables` are those compared, `created` the schemas, tables and indexes that were missing, `seconds` the whole time.
    """

    tables: tuple[str, ...]
    created: tuple[str, ...]
    statements: tuple[str, ...]
    applied: bool
    seconds: float


class AsyncSchemaManager:
    """Brings the tables of a database to its models.

    `db_pool` is a pool, or an open transaction, which the work then joins and which decides about commit and rollback.
    `logger` receives the statements at INFO; `ff_storage.schema` without one.
    """

    def __init__(self, db_pool: SchemaExecutor, logger: logging.Logger | None = None) -> None:
        if not hasattr(db_pool, "run") or not hasattr(db_pool, "dialect"):
            raise ConfigurationError(
                "AsyncSchemaManager needs an async pool or transaction",
                found=f"a {type(db_pool).__name__}",
                remedy="pass what open_pool() gives",
            )
        self._db: Final = db_pool
        self._logger: Final = logger or logging.getLogger("ff_storage.schema")
        self.last_report: SyncReport | None = None
        """The report of the latest run; None before the first, and after one that failed."""

    async def sync_schema(
        self,
        models: Iterable[type[PydanticModel] | Table],
        allow_destructive: bool = False,  # noqa: ARG002  # published; later releases have changes that it allows
        dry_run: bool = False,
    ) -> int:
        """Create the missing tables, with all their constraints, and the missing indexes; the number of statements.

        `models` are PydanticModel classes, or table descriptions; tables of no model are left alone. A run is one
        transaction, and one at a time: of several that start together, one creates and the others find nothing to do
        (0). Inside a transaction of the caller it joins that one. After applying, the catalog is read again and must
        say what the models say.

        Any other difference in an existing table raises SchemaDifference, which lists all of them with both values;
        nothing is changed then. `allow_destructive` does not change that: no change of this release destroys anything.
        `dry_run` applies nothing, logs the statements and returns 0; `last_report` has them.
        """
        self.last_report = None
        started = time.perf_counter()
        tables = _tables(models)
        backend = self._db.dialect.schema()
        backend.check(tables)
        atomic = not dry_run or backend.transactional_reads
        outcome = await self._db.run(synchronize(backend, tables, apply=not dry_run), atomic=atomic)
        report = SyncReport(
            tables=tuple(table.full_name for table in tables),
            created=outcome.created,
            statements=outcome.statements,
            applied=not dry_run,
            seconds=time.perf_counter() - started,
        )
        self._log(report)
        self.last_report = report
        return 0 if dry_run else len(outcome.statements)

    def _log(self, report: SyncReport) -> None:
        if not report.statements:
            self._logger.info("the schema is current: %d tables in %.3f s", len(report.tables), report.seconds)
            return
        verb = "applied" if report.applied else "would apply"
        self._logger.info("%s %d statements in %.3f s:", verb, len(report.statements), report.seconds)
        for statement in report.statements:
            # Line by line, so that a layout of ours stays and a control character of a model's text does not.
            self._logger.info("  %s", "\n  ".join(printable(line) for line in statement.split("\n")))


def _tables(models: Any) -> list[Table]:
    """The table of every model, each once. Raises ConfigurationError for anything else."""
    if isinstance(models, str | bytes | type) or not hasattr(models, "__iter__"):
        raise ConfigurationError(
            "sync_schema needs a list of models",
            found=f"a {type(models).__name__}",
            remedy="write sync_schema([Product, Order])",
        )
    tables: dict[Table, None] = {}
    for model in models:
        entity = getattr(model, "__ff_entity__", None) if isinstance(model, type) else None
        table = model if isinstance(model, Table) else getattr(entity, "table", None)
        if not isinstance(table, Table):
            raise ConfigurationError(
                "sync_schema needs PydanticModel classes",
                found=ascii(model)[:100],
                remedy="pass the classes themselves, not instances or names",
            )
        tables[table] = None
    return list(tables)
