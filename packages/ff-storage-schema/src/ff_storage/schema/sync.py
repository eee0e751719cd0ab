"""The program of a schema sync: read, compare, create what is missing, and prove that it is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ff_storage.core.errors import DatabaseError, SchemaDifference, SchemaError
from ff_storage.core.program import Execute
from ff_storage.schema.compare import Comparison, Difference, compare, printable

if TYPE_CHECKING:
    from ff_storage.core.facts import Fact
    from ff_storage.core.program import Program
    from ff_storage.core.sql.dialect import SchemaBackend
    from ff_storage.core.tables import Table


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run created, or would create: the statements, and the names of schemas, tables and indexes."""

    statements: tuple[str, ...]
    created: tuple[str, ...]


def synchronize(backend: SchemaBackend, tables: Sequence[Table], *, apply: bool) -> Program[Outcome]:
    """Create the missing schemas, tables and indexes of `tables`; with `apply` False only say which.

    Its runner gives it one transaction when `apply` is True, or when the engine reads in one. Raises SchemaDifference,
    before anything is created, when an existing table differs; ConfigurationError for a table that the engine refuses;
    SchemaError when a referenced table is nowhere, or when the created tables do not read back as declared.
    """
    if apply:
        yield from backend.lock()
    return (yield from backend.pinned(_synchronize(backend, tables, apply=apply)))


def _synchronize(backend: SchemaBackend, tables: Sequence[Table], *, apply: bool) -> Program[Outcome]:
    current = yield from backend.current(tables)
    desired = yield from backend.desired(tables, current)
    comparison = compare(tables, desired, current)
    if comparison.differences:
        raise _refused(comparison.differences)
    yield from _check_targets(backend, tables)
    schemas = yield from backend.missing_schemas(comparison.tables)
    outcome = _outcome(backend, schemas, comparison)
    if apply and outcome.statements:
        yield from _apply(backend, tables, comparison, outcome, desired)
    return outcome


def _refused(differences: Sequence[Difference]) -> SchemaDifference:
    lines = "".join(f"\n  - {difference}" for difference in differences)
    count = f"{len(differences)} differences" if len(differences) > 1 else "a difference"
    return SchemaDifference(
        f"the database and the models have {count} that sync_schema does not change, so nothing was changed",
        found=lines,
        remedy="\n  make the model or the table like the other; sync_schema creates missing tables and indexes only",
        details={"differences": list(differences)},
    )


def _check_targets(backend: SchemaBackend, tables: Sequence[Table]) -> Program[None]:
    """Refuse a foreign key to a table that is neither among `tables` nor in the database."""
    described = {(table.schema, table.name) for table in tables}
    keys = {
        key: table
        for table in tables
        for key in table.foreign_keys
        if (key.target_schema, key.target_table) not in described
    }
    if not keys:
        return
    absent = yield from backend.unresolved(list(keys))
    if absent:
        raise SchemaError(
            "a foreign key refers to a table that is neither among the models nor in the database",
            found="; ".join(
                f"{keys[key].full_name}.{key.name} → {key.target_table}({', '.join(key.target_columns)})"
                for key in absent
            ),
            remedy="pass the model of that table to sync_schema as well",
        )


def _outcome(backend: SchemaBackend, schemas: Mapping[str, str], comparison: Comparison) -> Outcome:
    statements = [*schemas.values(), *backend.create_tables(comparison.tables)]
    created = [f"schema {name}" for name in schemas]
    created += [f"table {table.full_name}" for table in comparison.tables]
    for table, index in comparison.indexes:
        statements.append(backend.create_index(table, index))
        created.append(f"index {index} of {table.full_name}")
    return Outcome(tuple(statements), tuple(created))


def _apply(
    backend: SchemaBackend,
    tables: Sequence[Table],
    comparison: Comparison,
    outcome: Outcome,
    desired: frozenset[Fact],
) -> Program[None]:
    for statement in outcome.statements:
        try:
            yield Execute(statement)
        except DatabaseError as error:
            error.add_note(f"while applying the schema: {printable(statement)}")
            raise
    yield from backend.verify(comparison.tables)
    left = compare(tables, desired, (yield from backend.current(tables)))
    missing = [*(table.full_name for table in left.tables), *(index for _, index in left.indexes)]
    if missing or left.differences:
        raise SchemaError(
            "the created tables do not read back as declared, so the run was undone",
            found="; ".join([*(f"{name} is missing" for name in missing), *map(str, left.differences)]),
            remedy="this is a defect of ff-storage: please report it with this message",
        )
