"""PostgreSQL as a dialect: its limits, values and SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from ff_storage.core.sql.compiler import Compiler
from ff_storage.core.sql.dialect import Capability, Convert, Dialect
from ff_storage.core.types import Array, ColumnType, Uuid
from ff_storage.postgres import values
from ff_storage.postgres.compiler import PostgresCompiler

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import SchemaBackend

FOLDS = ('pg_catalog."und-x-icu"', "pg_catalog.pg_unicode_fast", 'pg_catalog."C.utf8"', 'pg_catalog."C.UTF-8"')
"""The collations that fold case, best first; a server has the first of them if it was built with ICU, as most are."""

ASCII_FOLD = 'pg_catalog."C"'
"""The collation that every server has, which folds ASCII alone."""


class PostgresDialect(Dialect):
    """PostgreSQL 13 to 18, for asyncpg and psycopg alike."""

    name: ClassVar[str] = "postgres"
    capabilities: frozenset[Capability] = frozenset(
        {
            Capability.RETURNING,
            Capability.PARTIAL_INDEX,
            Capability.SCHEMAS,
            Capability.TRANSACTIONAL_DDL,
            Capability.CONCURRENT_WRITES,
            Capability.UNICODE_CASEFOLD,
            Capability.ARRAY_PARAMETER,
        }
    )
    max_parameters: ClassVar[int] = 32_767
    compiler: ClassVar[type[Compiler]] = PostgresCompiler
    json_text: ClassVar[bool] = True
    json_checked: ClassVar[bool] = True
    streams_inserts: ClassVar[bool] = True
    plain_rows: ClassVar[bool] = False

    def __init__(self, *, binary_uuids: bool = False) -> None:
        super().__init__()
        self.binary_uuids: Final = binary_uuids
        """Whether the driver takes and gives UUIDs as their sixteen bytes."""
        self.fold = FOLDS[0]
        self.server_version: int | None = None
        """The server's version as a number (150018); None until the first connection."""

    def learn(self, version: int, collations: frozenset[str]) -> None:
        """Take notice of the server that was connected to: its version, and which of `FOLDS` it has."""
        self.server_version = version
        fold = next((each for each in FOLDS if each in collations), ASCII_FOLD)
        if fold == ASCII_FOLD:
            self.capabilities = type(self).capabilities - {Capability.UNICODE_CASEFOLD}
        if fold != self.fold:
            self.fold = fold
            self.statements.clear()  # what was compiled before names another collation
            self.cached_text = 0

    def placeholder(self, position: int) -> str:
        """The marker of a parameter."""
        return f"${position}"

    def encoder(self, type_: ColumnType) -> Convert:
        """Canonical value → what the drivers bind."""
        return values.encoder(type_, binary_uuids=self.binary_uuids)

    def decoder(self, type_: ColumnType) -> Convert | None:
        """What the drivers return → canonical value."""
        return values.decoder(type_, binary_uuids=self.binary_uuids)

    def rebind(self, value: Any, type_: ColumnType, source: Dialect) -> Any:
        """What to bind for a value that another PostgreSQL driver has read: the same, but for UUIDs."""
        if value is None or getattr(source, "binary_uuids", self.binary_uuids) == self.binary_uuids:
            return value
        if not isinstance(type_.item if isinstance(type_, Array) else type_, Uuid):
            return value
        decode = source.decoder(type_)
        return self.encoder(type_)(value if decode is None else decode(value))

    def literal(self, value: Any, type_: ColumnType) -> str:
        """`value` as SQL text, for DDL."""
        return values.literal(value, type_)

    def schema(self) -> SchemaBackend:
        """The DDL writer and introspector."""
        from ff_storage.postgres.schema import PostgresSchema

        return PostgresSchema(self)
