"""What an engine is to the rest of the library: data, and a few functions.

A dialect is stateless apart from its cache of compiled statements. Tests and callers ask it for capabilities, never for
its name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeVar

from ff_storage.core.types import ColumnType

if TYPE_CHECKING:
    from ff_storage.core.facts import Fact
    from ff_storage.core.program import Program
    from ff_storage.core.sql.compiler import Compiler
    from ff_storage.core.tables import ForeignKey, Table

T = TypeVar("T")

Convert = Callable[[Any], Any]
"""One value in, one value out. An encoder raises InvalidValueError for a value that must not be sent."""


class Capability(enum.Enum):
    """Something an engine can do that another cannot."""

    RETURNING = "INSERT, UPDATE and DELETE return rows"
    PARTIAL_INDEX = "indexes over the rows of a predicate"
    SCHEMAS = "several schemas in one database"
    TRANSACTIONAL_DDL = "DDL that a rollback undoes"
    CONCURRENT_WRITES = "two transactions that write at the same time"
    SET_NULL_COLUMNS = "ON DELETE SET NULL for some columns of a key"
    UNICODE_CASEFOLD = "icontains and its kin fold every script"
    ARRAY_PARAMETER = "a list as one parameter"


class SchemaBackend(Protocol):
    """How an engine describes and creates tables; the dialect loads it when schema work begins.

    Every method is a program or pure, so that schema sync runs on async and sync connections alike.
    """

    transactional_reads: ClassVar[bool]
    """Whether `current` and `desired` have to run in a transaction, which they leave as it was."""

    def check(self, tables: Sequence[Table]) -> None:
        """Raise ConfigurationError for what the engine cannot hold, before anything is sent."""
        ...

    def create_table(self, table: Table) -> list[str]:
        """The statements that create `table` with its keys, checks, foreign keys and indexes."""
        ...

    def create_tables(self, tables: Sequence[Table]) -> list[str]:
        """The statements that create `tables`, which may refer to each other in a cycle."""
        ...

    def create_index(self, table: Table, name: str) -> str:
        """The statement that creates the index `name` of `table`."""
        ...

    def lock(self) -> Program[None]:
        """Take the run lock; it ends with the transaction."""
        ...

    def pinned(self, work: Program[T]) -> Program[T]:
        """Drive `work` under the session settings that the engine's words depend on, and put them back behind it."""
        ...

    def missing_schemas(self, tables: Sequence[Table]) -> Program[dict[str, str]]:
        """The schemas of `tables` that the database does not have, each with the statement that creates it."""
        ...

    def current(self, tables: Sequence[Table]) -> Program[frozenset[Fact]]:
        """The catalog's facts about those of `tables` that exist."""
        ...

    def desired(self, tables: Sequence[Table], current: frozenset[Fact]) -> Program[frozenset[Fact]]:
        """The facts that `tables` would have, read back from a session-private place that is left as it was.

        An expression that means the same as the one in `current` has the words of that one. Raises ConfigurationError
        when the engine refuses a table's own expressions.
        """
        ...

    def unresolved(self, keys: Sequence[ForeignKey]) -> Program[list[ForeignKey]]:
        """Those of `keys` whose target table or columns the database does not have."""
        ...

    def verify(self, tables: Sequence[Table]) -> Program[None]:
        """Let the engine check the references of new `tables`, where creating them does not."""
        ...


class Dialect:
    """One engine: its limits, quoting, values, SQL and errors.

    Subclasses set the class attributes and override the methods; nothing here talks to a database.
    """

    name: ClassVar[str]
    capabilities: frozenset[Capability]
    max_parameters: ClassVar[int]
    compiler: ClassVar[type[Compiler]]
    json_text: ClassVar[bool] = False
    """Driver values of Json are JSON text (str or bytes): a model's validators then read them without a decoder."""

    json_checked: ClassVar[bool] = False
    """Whether the engine lets nothing else than JSON text into a Json column, so that documents can be joined."""

    streams_inserts: ClassVar[bool] = False
    """Whether the driver sends rows of a bulk insert while it takes more of them."""

    plain_rows: ClassVar[bool] = True
    """Whether the driver's rows are tuples. Others can be indexed and unpacked, and are made tuples for callers."""

    def __init__(self) -> None:
        self.statements: Final[dict[Any, Any]] = {}
        """Shape → prepared statement; see `sql.compiled`."""
        self.cached_text = 0
        """The characters of their texts."""

    def quote(self, identifier: str) -> str:
        """The identifier in the engine's quotes, its delimiter doubled."""
        return '"' + identifier.replace('"', '""') + '"'

    def placeholder(self, position: int) -> str:
        """The marker of the parameter at `position`, counted from 1, in the text of one statement."""
        raise NotImplementedError

    def encoder(self, type_: ColumnType) -> Convert:
        """Canonical value → driver value.

        It checks type, length, range and digits, and refuses NaN, infinities, NUL, lone surrogates and naive datetimes.
        """
        raise NotImplementedError

    def decoder(self, type_: ColumnType) -> Convert | None:
        """Driver value → canonical value; None when they are the same. Never called with None."""
        raise NotImplementedError

    def result_decoder(self, type_: ColumnType) -> Convert | None:
        """`decoder`, for what a statement computed: raises QueryError where the engine left the type's range."""
        return self.decoder(type_)

    def rebind(self, value: Any, type_: ColumnType, source: Dialect) -> Any:  # noqa: ARG002 - for the engines' own
        """What to bind for a driver value that was read through `source`, another dialect of this class."""
        return value

    def literal(self, value: Any, type_: ColumnType) -> str:
        """`value` as SQL text, for DDL only: no statement with caller's values is ever built from literals."""
        raise NotImplementedError

    def schema(self) -> SchemaBackend:
        """The engine's DDL writer and introspector."""
        raise NotImplementedError
