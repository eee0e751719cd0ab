"""Facts: what a catalog says about a table, one row a thing, compared by equality.

The desired and the current side are read by the same introspector from the same kind of catalog, so a difference is a
difference of the engine's own words (DESIGN 9). Column order and server-chosen names are not facts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """`kind` of the object `name` in `table` has `value`: `("main", "products", "column.type", "price", "INTEGER")`.

    `kind` is `object.property`: `table.exists`, `column.type`, `column.nullable`, `column.default`,
    `column.generated`, `column.collation`, `primary_key.columns`, `unique.columns`, `foreign_key.*`,
    `check.expression`, `index.columns`, `index.predicate`, … `schema` is empty for the connection's default schema.
    """

    schema: str
    table: str
    kind: str
    name: str
    value: str
