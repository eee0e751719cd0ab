"""What a temporal strategy is: a few programs that write rows.

A strategy decides what happens to a row that changes: `none` overwrites it, others keep what was. Strategies are
registered through the plugin hooks and never see a connection; each method is a sans-I/O program. Reads need no
strategy: the compiler's scope already knows which rows are current.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol

from ff_storage.core.history.streams import RowStream, Values
from ff_storage.core.plugins import PluginRegistry, registry
from ff_storage.core.program import Program, Row
from ff_storage.core.sql.dialect import Dialect
from ff_storage.core.sql.expressions import Expr
from ff_storage.core.sql.scope import Scope
from ff_storage.core.tables import Table

if TYPE_CHECKING:
    from ff_storage.core.model.entity import ModelEntity

Key = tuple[Any, ...]
"""The values of a table's identity (the primary key without the tenant), in its order."""


class Write(NamedTuple):
    """The circumstances of a write: on what, under which scope, in which dialect, by whom and when (aware, UTC)."""

    entity: ModelEntity
    scope: Scope
    dialect: Dialect
    actor: Any
    now: dt.datetime

    @property
    def table(self) -> Table:
        """The table that is written."""
        return self.entity.table

    def on(self, entity: ModelEntity, scope: Scope) -> Write:
        """The same write, carried on to the rows of another entity."""
        return Write(entity, scope, self.dialect, self.actor, self.now)


@dataclass(frozen=True, slots=True)
class Guard:
    """Conditions that must still hold when the row is written; when they do not, nothing is (ConcurrencyError)."""

    conditions: tuple[Expr, ...] = ()


UNGUARDED: Final = Guard()


class TemporalStrategy(Protocol):
    """The programs of one way to keep history."""

    name: ClassVar[str]

    def auxiliary_tables(self, table: Table) -> tuple[Table, ...]:
        """The further tables that a model of this strategy needs."""
        ...

    def insert(self, write: Write, values: Values) -> Program[Row]:
        """Write one new row; the result is the row as stored, in driver values and the table's column order.

        An attribute that `values` lacks is left to the database's default.
        """
        ...

    def insert_many(self, write: Write, rows: Sequence[Values], *, returning: bool = False) -> Program[list[Row]]:
        """Write new rows, all or none; with `returning`, the result is the rows as `insert` gives them."""
        ...

    def insert_stream(self, write: Write, rows: RowStream) -> Program[None]:
        """Write the new rows of a stream, all or none."""
        ...

    def update(
        self, write: Write, key: Key, changes: Values, guard: Guard, *, returning: bool = True
    ) -> Program[Row | None]:
        """Change one row; the result is the row as stored, or None without `returning`.

        Raises NoResultFound, ConcurrencyError, AmbiguousRow.
        """
        ...

    def delete(self, write: Write, where: Sequence[Expr], *, hard: bool) -> Program[int]:
        """Delete the rows under `where`, softly or for good; the result is their number."""
        ...

    def restore(self, write: Write, key: Key) -> Program[Row | None]:
        """Undo the soft deletion of one row; None when no deleted row has that key."""
        ...


def strategy_of(entity: ModelEntity) -> TemporalStrategy:
    """The strategy that an entity's model declares. Raises PluginError when its part is gone or broken."""
    return _strategy(registry(), entity.settings.strategy)


@lru_cache
def _strategy(plugins: PluginRegistry, name: str) -> TemporalStrategy:
    # Strategies have no state, so one of each serves every model.
    return plugins.strategy(name).load()()
