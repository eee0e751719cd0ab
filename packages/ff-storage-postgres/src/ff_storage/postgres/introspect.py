"""Facts about tables, from PostgreSQL's catalog.

The same program reads the real tables and those that the DDL writer put into a private place, so the two sides can be
compared by equality. Expressions are the server's own prints; they are read with the tables' schema on the search path,
so that a name of that schema is printed alike from both places, and never folded: `'a  b'` is not `'a b'`.

No facts: column order, the names of sequences and of NOT NULL constraints, triggers, policies, views, rights, storage
parameters, and a table's comment unless the description has one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from ff_storage.core.facts import Fact
from ff_storage.core.program import Fetch, Program, Row
from ff_storage.core.tables import ForeignKey, Table
from ff_storage.postgres import ddl
from ff_storage.postgres.names import quote_identifier as quote

if TYPE_CHECKING:
    from ff_storage.postgres.dialect import PostgresDialect

NULLS_FIRST: Final = 2
DESCENDING: Final = 1
"""The bits of pg_index.indoption."""

_ACTIONS: Final = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_KINDS: Final = {
    "v": "view", "m": "materialized view", "f": "foreign table", "p": "partitioned table", "i": "index",
    "I": "partitioned index", "S": "sequence", "c": "composite type", "t": "TOAST table",
}  # fmt: skip

_RELATIONS: Final = """
SELECT t.number, c.oid, c.relkind::text, c.relpersistence::text, c.relispartition,
    ARRAY(SELECT i.inhparent::regclass::text FROM pg_inherits AS i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno),
    obj_description(c.oid, 'pg_class'), o.relname::text
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t (namespace, name, number)
JOIN pg_namespace AS n ON n.nspname = t.namespace
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.name
LEFT JOIN pg_index AS x ON x.indexrelid = c.oid
LEFT JOIN pg_class AS o ON o.oid = x.indrelid
"""
_COLUMNS: Final = """
SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    CASE WHEN a.attcollation <> 0 THEN a.attcollation::regcollation::text END,
    a.attgenerated::text, a.attidentity::text, pg_get_expr(d.adbin, d.adrelid), s.name, s.options, s.owned
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN LATERAL (
    SELECT q.seqrelid::regclass::text AS name, p.deptype = 'a' AS owned,
        format('%s START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s%s', format_type(q.seqtypid, NULL), q.seqstart,
            q.seqincrement, q.seqmin, q.seqmax, q.seqcache, CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END) AS options
    FROM pg_depend AS p JOIN pg_sequence AS q ON q.seqrelid = p.objid
    WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid
        AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i')
    ORDER BY p.objid LIMIT 1
) AS s ON true
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
_CONSTRAINTS: Final = """
SELECT c.conrelid, c.conname::text, c.contype::text,
    CASE WHEN c.contype = 'c' THEN pg_get_expr(c.conbin, c.conrelid)
        WHEN c.contype IN ('p', 'u', 'x') THEN pg_get_constraintdef(c.oid) END,
    c.convalidated, c.connoinherit, c.condeferrable, c.condeferred, {conenforced},
    c.confdeltype::text, c.confupdtype::text, c.confmatchtype::text, fn.nspname::text, fc.relname::text,
    ARRAY(
        SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
        JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.position
    ),
    ARRAY(
        SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, position)
        JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.attnum ORDER BY k.position
    ),
    ARRAY(
        SELECT a.attname::text FROM pg_attribute AS a
        WHERE a.attrelid = c.conrelid AND a.attnum = ANY ({confdelsetcols}) ORDER BY a.attname
    )
FROM pg_constraint AS c
LEFT JOIN pg_class AS fc ON fc.oid = c.confrelid
LEFT JOIN pg_namespace AS fn ON fn.oid = fc.relnamespace
WHERE c.conrelid = ANY ($1::oid[]) AND c.contype IN ('p', 'u', 'x', 'c', 'f', 'n')
"""
_INDEXES: Final = """
SELECT i.indrelid, ic.relname::text, m.amname::text, i.indisunique, i.indisvalid,
    {indnullsnotdistinct}, pg_get_expr(i.indpred, i.indrelid),
    k.position > i.indnkeyatts, pg_get_indexdef(i.indexrelid, k.position, false),
    CASE WHEN NOT oc.opcdefault THEN oc.opcname::text END, CAST(ia.attoptions AS text),
    CASE WHEN i.indcollation[k.position - 1] <> 0
        AND i.indcollation[k.position - 1] IS DISTINCT FROM ta.attcollation
        THEN i.indcollation[k.position - 1]::regcollation::text END,
    CASE WHEN k.position <= i.indnkeyatts THEN CAST(i.indoption[k.position - 1] AS integer) ELSE 0 END
FROM pg_index AS i
JOIN pg_class AS ic ON ic.oid = i.indexrelid
JOIN pg_am AS m ON m.oid = ic.relam
CROSS JOIN LATERAL generate_series(1, i.indnatts) AS k (position)
JOIN pg_attribute AS ia ON ia.attrelid = i.indexrelid AND ia.attnum = k.position
LEFT JOIN pg_attribute AS ta
    ON ta.attrelid = i.indrelid AND ta.attnum = i.indkey[k.position - 1] AND i.indkey[k.position - 1] <> 0
LEFT JOIN pg_opclass AS oc ON k.position <= i.indnkeyatts AND oc.oid = i.indclass[k.position - 1]
WHERE i.indrelid = ANY ($1::oid[])
    AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
ORDER BY i.indexrelid, k.position
"""

_SINCE: Final = {
    "conenforced": (180000, "c.conenforced", "true"),
    "confdelsetcols": (150000, "c.confdelsetcols", "CAST(NULL AS smallint[])"),
    "indnullsnotdistinct": (150000, "i.indnullsnotdistinct", "false"),
}
"""Columns of the catalog: the server that has them first, and what they say on those before."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read: some tables of one schema, in the place where they are.

    `namespace` is the schema that has them, `path` what is searched for names that are printed, `version` the server's.
    `names` gives the described name of what has another one in its place.
    """

    namespace: str
    path: Sequence[str]
    tables: Sequence[Table]
    version: int
    place: ddl.Place = ddl.REAL
    names: Mapping[str, str] = field(default_factory=dict[str, str])


def read_facts(reading: Reading) -> Program[frozenset[Fact]]:
    """The facts about those of the tables that exist.

    The search path is left at the reading's: the caller puts it back.
    """
    yield Fetch("SELECT set_config('search_path', $1, true)", (", ".join(map(quote, reading.path)),))
    tables = reading.tables
    wanted = [(reading.place.relation(table.name), table) for table in tables]
    claimed: list[tuple[str, Table]] = []
    if reading.place.real:  # in a private place nobody else takes a name
        claimed += ((index.name, table) for table in tables for index in table.indexes)
    asked = [*wanted, *claimed]
    relations: list[Row] = yield Fetch(_RELATIONS, ([reading.namespace] * len(asked), [name for name, _ in asked]))
    facts: set[Fact] = set()
    found: dict[int, _Table] = {}
    for number, oid, kind, persistence, partition, parents, comment, owner in relations:
        name, table = asked[int(number) - 1]
        if number > len(wanted):
            stray = _stray(name, table, kind, owner)
            facts.update([stray] if stray else [])
            continue
        found[oid] = _Table(table, reading.names)
        found[oid].relation(kind, persistence, partition, parents, comment, owner)
    oids = [oid for oid, table in found.items() if table.ordinary]
    if oids:
        columns = {name: new if reading.version >= first else old for name, (first, new, old) in _SINCE.items()}
        for row in cast("list[Row]", (yield Fetch(_CONSTRAINTS.format(**columns), (oids,)))):
            found[row[0]].constraint(*row[1:])
        for row in cast("list[Row]", (yield Fetch(_COLUMNS, (oids,)))):
            found[row[0]].column(*row[1:])
        keys: dict[tuple[int, str], list[Row]] = defaultdict(list)
        for row in cast("list[Row]", (yield Fetch(_INDEXES.format(**columns), (oids,)))):
            keys[row[0], row[1]].append(row)
        for (oid, name), rows in keys.items():
            found[oid].index(name, rows)
    for each in found.values():
        facts.update(each.facts)
    return frozenset(facts)


def _stray(name: str, table: Table, kind: str, owner: str | None) -> Fact | None:
    """What has the name of an index and is none of its table: one set of names is for all of them."""
    if kind not in {"i", "I"}:
        value = f"none ({name} is a {_KINDS.get(kind, 'table')})"
    elif owner == table.name:
        return None
    else:
        value = str(owner)
    return Fact(table.schema or "", table.name, "index.table", name, value)


class _Table:
    """Turns what the catalog has about one table into `facts`."""

    def __init__(self, table: Table, names: Mapping[str, str]) -> None:
        self.facts: Final[list[Fact]] = []
        self.ordinary = True
        self._table: Final = table
        self._names: Final = names
        self._not_null: Final[dict[str, str]] = {}

    def _add(self, kind: str, name: str, value: str) -> None:
        self.facts.append(Fact(self._table.schema or "", self._table.name, kind, name, value))

    def relation(
        self,
        kind: str,
        persistence: str,
        partition: bool,
        parents: Sequence[str],
        comment: str | None,
        owner: str | None,
    ) -> None:
        self.ordinary = kind == "r"
        if not self.ordinary:
            what = _KINDS.get(kind, kind) + (f" of {owner}" if owner else "")
            self._add("table.kind", "", f"{what} (not an ordinary table)")
            return
        self._add("table.kind", "", "table")
        if persistence == "u":
            self._add("table.persistence", "", "unlogged")
        if parents:
            self._add("table.partition" if partition else "table.inherits", "", ", ".join(parents))
        if self._table.comment is not None and comment is not None:
            self._add("table.comment", "", comment)

    def column(
        self,
        name: str,
        type_: str,
        not_null: bool,
        collation: str | None,
        generated: str,
        identity: str,
        expression: str | None,
        sequence: str | None,
        options: str | None,
        owned: bool | None,
    ) -> None:
        self._add("column.type", name, type_)
        self._add("column.nullable", name, f"NOT NULL{self._not_null.get(name, '')}" if not_null else "NULL")
        if collation is not None:
            self._add("column.collation", name, collation.strip('"') if collation == '"C"' else collation)
        if identity:
            self._add("column.identity", name, f"{'ALWAYS' if identity == 'a' else 'BY DEFAULT'} {options}")
        if generated:
            self._add("column.generated", name, f"{expression} {'STORED' if generated == 's' else 'VIRTUAL'}")
        elif expression is not None:
            if owned and sequence is not None and expression == f"nextval({_literal(sequence)}::regclass)":
                expression = f"nextval(a sequence of its own: {options})"
            self._add("column.default", name, expression)

    def constraint(
        self,
        name: str,
        kind: str,
        text: str | None,
        validated: bool,
        no_inherit: bool,
        deferrable: bool,
        deferred: bool,
        enforced: bool,
        delete: str,
        update: str,
        match: str,
        schema: str | None,
        target: str | None,
        columns: Sequence[str],
        target_columns: Sequence[str],
        cleared: Sequence[str],
    ) -> None:
        state = "".join(
            word
            for word, holds in (
                (" NO INHERIT", no_inherit and kind in {"c", "n"}),
                (" NOT ENFORCED", not enforced),
                (" NOT VALID", not validated and enforced),
            )
            if holds
        )
        if kind == "n":
            self._not_null[columns[0]] = state
        elif kind == "p":
            self._add("primary_key.columns", "", str(text).removeprefix("PRIMARY KEY "))
            self._add("primary_key.name", "", self._names.get(name, name))
        elif kind == "u":
            self._add("unique.columns", name, str(text).removeprefix("UNIQUE "))
        elif kind == "x":
            self._add("exclusion.definition", name, str(text))
        elif kind == "c":
            self._add("check.expression", name, str(text))
            if state:
                self._add("check.state", name, state.strip())
        else:
            if deferrable:
                state += " DEFERRABLE INITIALLY DEFERRED" if deferred else " DEFERRABLE"
            if match == "f":
                state = f" MATCH FULL{state}"
            action = _ACTIONS[delete], tuple(cleared)
            value = reference(columns, (str(schema), str(target)), target_columns, action, _ACTIONS[update])
            self._add("foreign_key.definition", name, value + state)

    def index(self, name: str, rows: Sequence[Row]) -> None:
        _, _, method, unique, valid, nulls_equal, predicate, *_ = rows[0]
        name = self._names.get(name, name)
        self._add("index.table", name, self._table.name)
        self._add("index.unique", name, "yes" if unique else "no")
        self._add("index.method", name, method)
        self._add("index.columns", name, ", ".join(_key(row) for row in rows if not row[7]))
        if any(row[7] for row in rows):
            self._add("index.include", name, ", ".join(row[8] for row in rows if row[7]))
        if predicate is not None:
            self._add("index.predicate", name, predicate)
        if nulls_equal:
            self._add("index.nulls", name, "NOT DISTINCT")
        if not valid:
            self._add("index.state", name, "not valid")


def _key(row: Row) -> str:
    *_, text, operators, options, collation, order = row
    words = [text]
    if collation is not None:
        words.append(f"COLLATE {collation}")
    if operators is not None or options is not None:
        words.append(f"{operators or ''}{f'({options})' if options else ''}")
    if order & DESCENDING:
        words.append("DESC" if order & NULLS_FIRST else "DESC NULLS LAST")
    elif order & NULLS_FIRST:
        words.append("NULLS FIRST")
    return " ".join(words)


def reference(
    columns: Iterable[str],
    target: tuple[str, str],
    target_columns: Iterable[str],
    delete: tuple[str, Iterable[str]],
    update: str,
) -> str:
    """A foreign key as a fact: `(a) REFERENCES public.b (c) ON DELETE CASCADE ON UPDATE NO ACTION`."""
    cleared = ", ".join(map(quote, sorted(delete[1])))
    return (
        f"({', '.join(map(quote, columns))}) REFERENCES {'.'.join(map(quote, target))} "
        f"({', '.join(map(quote, target_columns))}) ON DELETE {delete[0]}{f' ({cleared})' if cleared else ''} "
        f"ON UPDATE {update}"
    )


def declared_references(tables: Iterable[Table], default_schema: str, dialect: PostgresDialect) -> Iterator[Fact]:
    """The facts of the foreign keys of descriptions; they are fields, so no place needs to hold them."""
    for table in tables:
        for key in table.foreign_keys:
            yield Fact(
                table.schema or "",
                table.name,
                "foreign_key.definition",
                key.name,
                _declared(key, table, default_schema, dialect),
            )


def _declared(key: ForeignKey, table: Table, default_schema: str, dialect: PostgresDialect) -> str:
    return reference(
        key.columns,
        (key.target_schema or default_schema, key.target_table),
        key.target_columns,
        ddl.on_delete(key, table, dialect),
        ddl.on_update(key, table),
    )


def _literal(text: str) -> Any:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
