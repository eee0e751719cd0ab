"""SQLite as a dialect: its limits, values and SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ff_storage.core.sql.compiler import Compiler
from ff_storage.core.sql.dialect import Capability, Convert, Dialect
from ff_storage.core.types import ColumnType
from ff_storage.sqlite import values
from ff_storage.sqlite.compiler import SQLiteCompiler

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import SchemaBackend


class SQLiteDialect(Dialect):
    """SQLite 3.37 and newer, with STRICT tables."""

    name: ClassVar[str] = "sqlite"
    capabilities: frozenset[Capability] = frozenset(
        {
            Capability.RETURNING,
            Capability.PARTIAL_INDEX,
            Capability.TRANSACTIONAL_DDL,
            Capability.UNICODE_CASEFOLD,
        }
    )
    max_parameters: ClassVar[int] = 32_766
    compiler: ClassVar[type[Compiler]] = SQLiteCompiler
    json_text: ClassVar[bool] = True

    def placeholder(self, position: int) -> str:
        """Parameters are positional."""
        del position
        return "?"

    def encoder(self, type_: ColumnType) -> Convert:
        """Canonical value → what sqlite3 binds."""
        return values.encoder(type_)

    def decoder(self, type_: ColumnType) -> Convert | None:
        """What sqlite3 returns → canonical value."""
        return values.decoder(type_)

    def result_decoder(self, type_: ColumnType) -> Convert | None:
        """What sqlite3 returns for an expression → canonical value; SQLite computes on in REAL beyond 64 bits."""
        return values.result_decoder(type_)

    def literal(self, value: Any, type_: ColumnType) -> str:
        """`value` as SQL text."""
        return values.literal(value, type_)

    def schema(self) -> SchemaBackend:
        """SQLite's DDL writer and introspector."""
        from ff_storage.sqlite.schema import SQLiteSchema

        return SQLiteSchema(self)
