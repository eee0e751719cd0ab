"""`AsyncSchemaManager` and `SchemaManager`: the database follows the models."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.tables import Table
from ff_storage.schema.compare import printable
from ff_storage.schema.sync import Outcome, synchronize

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
class _Run:
    """A sync that is about to run; `started` in seconds of the performance counter."""

    program: Program[Outcome]
    atomic: bool
    tables: list[Table]
    apply: bool
    started: float


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


class _Manager:
    """What both managers do before and after the program runs."""

    def __init__(self, dialect: Dialect, logger: logging.Logger | None) -> None:
        self._dialect: Final = dialect
        self._logger: Final = logger or logging.getLogger("ff_storage.schema")
        self.last_report: SyncReport | None = None
        """The report of the latest run; None before the first, and after one that failed."""

    def _begin(self, models: Any, *, apply: bool) -> _Run:
        """Check the models, and make the program that brings the database to them."""
        self.last_report = None
        started = time.perf_counter()
        tables = _tables(models)
        backend = self._dialect.schema()
        backend.check(tables)
        program = synchronize(backend, tables, apply=apply)
        return _Run(program, apply or backend.transactional_reads, tables, apply, started)

    def _end(self, run: _Run, outcome: Outcome) -> int:
        """Report what was done; the number of statements that were applied."""
        report = SyncReport(
            tables=tuple(table.full_name for table in run.tables),
            created=outcome.created,
            statements=outcome.statements,
            applied=run.apply,
            seconds=time.perf_counter() - run.started,
        )
        self._log(report)
        self.last_report = report
        return len(outcome.statements) if run.apply else 0

    def _log(self, report: SyncReport) -> None:
        if not report.statements:
            self._logger.info("the schema is current: %d tables in %.3f s", len(report.tables), report.seconds)
            return
        verb = "applied" if report.applied else "would apply"
        self._logger.info("%s %d statements in %.3f s:", verb, len(report.statements), report.seconds)
        for statement in report.statements:
            # Line by line, so that a layout of ours stays and a control character of a model's text does not.
            self._logger.info("  %s", "\n  ".join(printable(line) for line in statement.split("\n")))


class AsyncSchemaManager(_Manager):
    """Brings the tables of a database to its models.

    `db_pool` is a pool, or an open transaction, which the work then joins and which decides about commit and rollback.
    `logger` receives the statements at INFO; `ff_storage.schema` without one.
    """

    def __init__(self, db_pool: SchemaExecutor, logger: logging.Logger | None = None) -> None:
        if isinstance(db_pool, SQL) or not hasattr(db_pool, "run") or not hasattr(db_pool, "dialect"):
            raise ConfigurationError(
                "AsyncSchemaManager needs an async pool or transaction",
                found=f"a {type(db_pool).__name__}",
                remedy="use SchemaManager" if isinstance(db_pool, SQL) else "pass what open_pool() gives",
            )
        super().__init__(db_pool.dialect, logger)
        self._db: Final = db_pool

    async def sync_schema(
        self,
        models: Iterable[type[PydanticModel] | Table],
        allow_destructive: bool = False,  # noqa: ARG002  # published; later releases have changes that it allows
        dry_run: bool = False,
    ) -> int:
        """Create the missing schemas, tables with all their constraints, and indexes; the number of statements.

        `models` are PydanticModel classes, or table descriptions; tables of no model are left alone. A run is one
        transaction, and one at a time: of several that start together, one creates and the others find nothing to do
        (0). Inside a transaction of the caller it joins that one. After applying, the catalog is read again and must
        say what the models say.

        Any other difference in an existing table raises SchemaDifference, which lists all of them with both values;
        nothing is changed then. `allow_destructive` does not change that: no change of this release destroys anything.
        `dry_run` applies nothing, logs the statements and returns 0; `last_report` has them.
        """
        run = self._begin(models, apply=not dry_run)
        return self._end(run, await self._db.run(run.program, atomic=run.atomic))


class SchemaManager(_Manager):
    """`AsyncSchemaManager`, for a connected `Postgres`, `SQLite` or their kin."""

    def __init__(self, db_connection: SQL, logger: logging.Logger | None = None) -> None:
        if not isinstance(db_connection, SQL):
            raise ConfigurationError(
                "SchemaManager needs a synchronous database",
                found=f"a {type(db_connection).__name__}",
                remedy="pass a connected Postgres or SQLite, or write: await AsyncSchemaManager(pool).sync_schema(…)",
            )
        super().__init__(db_connection.dialect, logger)
        self._db: Final = db_connection

    def sync_schema(
        self,
        models: Iterable[type[PydanticModel] | Table],
        allow_destructive: bool = False,  # noqa: ARG002  # as above
        dry_run: bool = False,
    ) -> int:
        """Create the missing tables and indexes, as `AsyncSchemaManager.sync_schema` does; the number of statements.

        Inside a transaction of the calling thread it joins that one.
        """
        run = self._begin(models, apply=not dry_run)
        return self._end(run, self._db.run(run.program, atomic=run.atomic))


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
