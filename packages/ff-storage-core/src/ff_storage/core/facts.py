"""Facts: what a catalog says about a table, one row a thing, compared by equality.

The desired and the current side are read by the same introspector from the same kind of catalog, so a difference is a
difference of the engine's own words. Column order and server-chosen names are not facts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """`kind` of the object `name` in `table` has `value`: `("", "products", "column.type", "price", "INTEGER")`.

    `schema` and `table` are the description's (`schema` empty for the default one), so that a fact finds its table.
    `kind` is `object.property`; the property of a missing object is missing with it:

    | object | properties | name |
    |---|---|---|
    | `table` | `kind`, and the engine's own options | empty |
    | `column` | `type`, `nullable`, `default`, `generated`, `collation`, `identity` | the column |
    | `primary_key` | `columns`, `name` | empty |
    | `unique` | `columns` | the constraint |
    | `foreign_key` | `definition`: columns, target and actions | the constraint |
    | `check` | `expression`, `state` | the constraint, empty without a name |
    | `exclusion` | `definition` | the constraint |
    | `index` | `table`, `columns`, `unique`, `predicate`, `method`, `include`, `nulls`, `state` | the index |
    """

    schema: str
    table: str
    kind: str
    name: str
    value: str

    @property
    def object(self) -> str:
        """What the fact is about: `column` of `column.type`."""
        return self.kind.partition(".")[0]
