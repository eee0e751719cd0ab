"""The table description: what a model says about its table, read once, for everything that needs to know.

DDL, comparison, queries, hydration, history, mock data and ERDs read these frozen objects; nothing parses text to learn
what a model said. Names are the database's. Expressions the model gave as SQL text (defaults, checks, predicates) stay
text and are marked as such; everything the library itself knows is structured, so that a dialect can write it in its
own words (a scaled Decimal bound, a boolean literal).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from ff_storage.core.errors import IdentifierError
from ff_storage.core.types import ColumnType

MAX_IDENTIFIER = 63
"""Bytes; PostgreSQL truncates beyond, so no engine is given more."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_identifier(name: object, what: str) -> str:
    """`name`, when it is a plain `str` that is an identifier on every engine.

    Raises IdentifierError. An allow-list: look-alikes, control characters and over-long names never reach SQL. A str
    subclass is refused, since its `__str__` or `__format__` may say something else than its characters.
    """
    if type(name) is not str:
        raise IdentifierError(f"{what} must be a plain str", found=f"a {type(name).__name__}")
    if len(name) > MAX_IDENTIFIER or not _IDENTIFIER.fullmatch(name):
        raise IdentifierError(
            f"{what} must match [A-Za-z_][A-Za-z0-9_]* and have at most {MAX_IDENTIFIER} bytes",
            found=ascii(name[:100]),
        )
    return name


def generated_name(*parts: str) -> str:
    """The parts joined by `_`; a name over the limit is cut and ends in a hash of the whole, so it stays unique."""
    name = "_".join(parts)
    if len(name) <= MAX_IDENTIFIER:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: MAX_IDENTIFIER - 9]}_{digest}"


class Action(Enum):
    """What happens to a row when the row it references is deleted or its key updated."""

    NO_ACTION = "NO ACTION"
    RESTRICT = "RESTRICT"
    CASCADE = "CASCADE"
    SET_NULL = "SET NULL"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    `attribute` is the model's field name. `adapt` brings a field's value to the canonical value of `type` (an enum to
    its value, a secret to its text); None when it is that already. `default` and `generated` are SQL text as the model
    gave it. `sql_type` is the model's `db_type` as written, for engines on which the name carries more than `type`.
    """

    name: str
    type: ColumnType
    nullable: bool
    attribute: str
    adapt: Callable[[Any], Any] | None = field(default=None, compare=False)
    default: str | None = None
    generated: str | None = None
    sql_type: str | None = None
    injected: bool = False


@dataclass(frozen=True, slots=True)
class RangeCheck:
    """`column operator bound`, from ge, gt, le or lt. NULL passes, as in every CHECK."""

    name: str
    column: str
    operator: str
    bound: Any


@dataclass(frozen=True, slots=True)
class ChoiceCheck:
    """`column IN (values)`, from an Enum or a Literal; the values are canonical."""

    name: str
    column: str
    values: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SqlCheck:
    """A CHECK whose expression is the model's own SQL text (`db_check`); `column` is where it was declared."""

    name: str
    expression: str
    column: str | None = None


Check = RangeCheck | ChoiceCheck | SqlCheck


@dataclass(frozen=True, slots=True)
class Index:
    """An index over columns; `unique` makes it a uniqueness rule.

    `live_only` restricts it to rows that are not soft-deleted; `where` is the model's own SQL predicate; both hold
    together. `method` is the engine's access method, or None for its default.
    """

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    live_only: bool = False
    where: str | None = None
    method: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference to the key of another table.

    `set_null` names the columns that ON DELETE SET NULL clears (the tenant column is never among them).
    """

    name: str
    columns: tuple[str, ...]
    target_schema: str | None
    target_table: str
    target_columns: tuple[str, ...]
    on_delete: Action = Action.RESTRICT
    on_update: Action = Action.CASCADE
    set_null: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table. `schema` None means the connection's default schema.

    `tenant`, `deleted_at` and `version` name the columns that scope, soft deletion and optimistic concurrency use.
    Hashed and compared by identity: a description belongs to one class of one registry.
    """

    name: str
    schema: str | None
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[Check, ...] = ()
    tenant: str | None = None
    deleted_at: str | None = None
    version: str | None = None
    comment: str | None = None

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Database name → column."""
        return {column.name: column for column in self.columns}

    @cached_property
    def by_attribute(self) -> dict[str, Column]:
        """Field name → column."""
        return {column.attribute: column for column in self.columns}

    @cached_property
    def identity(self) -> tuple[str, ...]:
        """The primary key without the tenant: what callers of `get`, `update` and `delete` name a row by."""
        return tuple(name for name in self.primary_key if name != self.tenant)

    @cached_property
    def writable(self) -> tuple[str, ...]:
        """The attributes that a statement may write: all but the generated columns'."""
        return tuple(column.attribute for column in self.columns if column.generated is None)

    @property
    def full_name(self) -> str:
        """`schema.table`, or the bare name in the default schema; for messages."""
        return f"{self.schema}.{self.name}" if self.schema else self.name
