"""Facts about tables, from SQLite's PRAGMAs and the stored text of its CREATE statements.

The same program reads the real tables (`main`) and those that the DDL writer put into the session's `temp` schema, so
the two sides can be compared by equality. Names are compared as SQLite compares them, without ASCII case; a fact has
the spelling of the description it is read for. Column order, the names of automatic indexes, triggers and views are no
facts. A text that cannot be read becomes the fact `table.unreadable`, which no description has.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from ff_storage.core.facts import Fact
from ff_storage.core.program import Fetch, Program, Row
from ff_storage.core.tables import Table
from ff_storage.sqlite.declaration import (
    IndexDeclaration,
    KeyClause,
    ReferenceClause,
    TableDeclaration,
    read_index,
    read_table,
)
from ff_storage.sqlite.tokens import UnreadableSQL, fold, identifier, token_form, tokenize

Place = Literal["main", "temp"]
"""The schema to read: the database itself, or the session's private one."""

_CHUNK = 500
"""Names in one statement; older SQLite takes 999 parameters."""

_COLUMNS = (
    "SELECT m.name, x.name, x.type, x.[notnull], x.dflt_value, x.pk, x.hidden "
    "FROM {place}.sqlite_master AS m, pragma_table_xinfo(m.name, '{place}') AS x "
    "WHERE m.type = 'table' AND m.name IN ({names})"
)
_INDEXES = (
    "SELECT m.name, l.name, l.[unique], l.origin, x.name, x.cid, x.[desc], x.coll "
    "FROM {place}.sqlite_master AS m, pragma_index_list(m.name, '{place}') AS l, "
    "pragma_index_xinfo(l.name, '{place}') AS x "
    "WHERE m.type = 'table' AND m.name IN ({names}) AND x.[key] = 1"
)
_REFERENCES = (
    "SELECT m.name, x.id, x.[table], x.[from], x.[to], x.on_update, x.on_delete "
    "FROM {place}.sqlite_master AS m, pragma_foreign_key_list(m.name, '{place}') AS x "
    "WHERE m.type = 'table' AND m.name IN ({names})"
)


def read_facts(place: Place, tables: Sequence[Table], known: Known) -> Program[frozenset[Fact]]:
    """The facts about those of `tables` that exist in `place`.

    `known` is filled with what was read: a table that is equal in the catalogs of two places, which is the rule, is
    interpreted once.
    """
    described = {fold(table.name): table for table in tables}
    master: list[Row] = yield Fetch(f"SELECT type, name, tbl_name, sql FROM {place}.sqlite_master")
    texts = {(kind, fold(name)): sql or "" for kind, name, _, sql in master}
    found: dict[str, _Found] = {}
    kinds: list[Row] = yield Fetch(f"SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = '{place}'")
    for name, kind, without_rowid, strict in kinds:
        if fold(name) in described:
            found[name] = _Found(kind, bool(strict), bool(without_rowid), texts.get(("table", fold(name)), ""))
    names = [name for name, catalog in found.items() if catalog.kind == "table"]
    for row in (yield from _fetch(_COLUMNS, place, names)):
        found[row[0]].columns.append(_Column(*row[1:]))
    for row in (yield from _fetch(_INDEXES, place, names)):
        table, name, unique, origin, *term = row
        sql = texts.get(("index", fold(name)), "")
        found[table].indexes.setdefault(name, _Index(bool(unique), origin, sql)).terms.append(_Term(*term))
    for row in (yield from _fetch(_REFERENCES, place, names)):
        found[row[0]].references[row[1]].append(_Reference(*row[2:]))
    facts = set(_strays(master, described))
    for name, catalog in found.items():
        table = described[fold(name)]
        before, read = known.get(table, (None, ()))
        if before != catalog:
            read = _Reading(table, catalog).facts
            known[table] = catalog, read
        facts.update(read)
    return frozenset(facts)


def _fetch(query: str, place: Place, names: Sequence[str]) -> Program[list[Row]]:
    rows: list[Row] = []
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        rows += yield Fetch(query.format(place=place, names=", ".join("?" * len(chunk))), chunk)
    return rows


def _strays(master: Iterable[Row], described: Mapping[str, Table]) -> Iterable[Fact]:
    """What has a described name and is something else: tables, views and indexes share one set of names in SQLite."""
    owners = {fold(index.name): (table, index.name) for table in described.values() for index in table.indexes}
    for kind, name, owner, _ in master:
        if kind == "trigger":
            continue
        if kind == "index" and fold(name) in described:
            table = described[fold(name)]
            yield Fact(table.schema or "", table.name, "table.kind", "", f"index of {owner} (not an ordinary table)")
        if fold(name) in owners:
            table, spelling = owners[fold(name)]
            if kind != "index":
                yield Fact(table.schema or "", table.name, "index.table", spelling, f"none ({name} is a {kind})")
            elif fold(owner) != fold(table.name):
                yield Fact(table.schema or "", table.name, "index.table", spelling, owner)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    not_null: int
    default: str | None
    key_position: int
    hidden: int
    """2: generated, virtual; 3: generated, stored."""


@dataclass(frozen=True, slots=True)
class _Term:
    column: str | None
    number: int
    """The column's; -1 the rowid, -2 an expression."""
    descending: int
    collation: str

    def text(self, expression: str = "") -> str:
        name = "rowid" if self.column is None else identifier(self.column)
        if self.number == -2:
            name = f"({expression})"
        collation = "" if self.collation == "BINARY" else f" COLLATE {self.collation.upper()}"
        return name + collation + (" DESC" if self.descending else "")


@dataclass(frozen=True, slots=True)
class _Index:
    unique: bool
    origin: str
    """`c`: CREATE INDEX; `u`, `pk`: made by a constraint."""
    sql: str
    terms: list[_Term] = field(default_factory=list[_Term])

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(fold(term.column or "") for term in self.terms)


@dataclass(frozen=True, slots=True)
class _Reference:
    target: str
    column: str
    target_column: str | None
    on_update: str
    on_delete: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What the catalog has about one table."""

    kind: str
    strict: bool
    without_rowid: bool
    sql: str
    columns: list[_Column] = field(default_factory=list[_Column])
    indexes: dict[str, _Index] = field(default_factory=dict[str, _Index])
    references: dict[int, list[_Reference]] = field(default_factory=lambda: defaultdict(list))

    @property
    def declared_references(self) -> list[list[_Reference]]:
        """In the order of declaration: SQLite numbers foreign keys from the last to the first."""
        return [self.references[number] for number in sorted(self.references, reverse=True)]


Known = dict[Table, tuple[_Found | None, Sequence[Fact]]]
"""What the catalog had about a table, and the facts that it means."""


class _Reading:
    """Turns what the catalog has about one table into `facts`."""

    def __init__(self, table: Table, found: _Found) -> None:
        self.facts: Final[list[Fact]] = []
        self._schema: Final = table.schema or ""
        self._table: Final = table.name
        # Messages name things as the description does.
        things = (*table.columns, *table.indexes, *table.foreign_keys, *table.checks)
        self._spelling: Final = {fold(thing.name): thing.name for thing in things}
        self._add("table.kind", "", "table" if found.kind == "table" else f"{found.kind} (not an ordinary table)")
        if found.kind != "table":
            return
        self._add("table.strict", "", _yes(found.strict))
        self._add("table.rowid", "", _yes(not found.without_rowid))
        try:
            declared = read_table(found.sql)
            _agree(declared, found)
        except UnreadableSQL as error:
            self._unreadable("", found.sql, error)
            declared = TableDeclaration([fold(column.name) for column in found.columns])
        names = frozenset(declared.columns)
        self._keys(found, declared)
        self._columns(found, declared, names)
        self._references(found, declared)
        for check in declared.checks:
            self._add("check.expression", check.name, token_form(check.expression, names))
        for name, index in found.indexes.items():
            if index.origin == "c":
                self._index(name, index, names)

    def _add(self, kind: str, name: str, value: str) -> None:
        self.facts.append(Fact(self._schema, self._table, kind, self._spelling.get(fold(name), fold(name)), value))

    def _unreadable(self, name: str, text: str, error: UnreadableSQL) -> None:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._add("table.unreadable", name, f"{error} ({len(text):,} characters, sha256 {digest})")

    def _keys(self, found: _Found, declared: TableDeclaration) -> None:
        primary = declared.primary_key
        columns = ", ".join(
            identifier(column.name)
            for column in sorted((c for c in found.columns if c.key_position), key=lambda c: c.key_position)
        )
        for index in found.indexes.values():
            if index.origin == "pk":
                columns = ", ".join(term.text() for term in index.terms)
        if columns:
            self._add("primary_key.columns", "", columns + (_extras(primary) if primary else ""))
        if primary and primary.name:
            self._add("primary_key.name", "", self._spelling.get(fold(primary.name), fold(primary.name)))
        for unique in declared.uniques:
            text = ", ".join(unique.terms)
            self._add("unique.columns", unique.name or f"({text})", text + _extras(unique))

    def _columns(self, found: _Found, declared: TableDeclaration, names: frozenset[str]) -> None:
        rowid = _rowid_column(found)
        for column in found.columns:
            name, folded = column.name, fold(column.name)
            self._add("column.type", name, " ".join(column.type.upper().split()))
            # A rowid is never NULL, whether NOT NULL is written or not.
            nullable = "NULL" if not column.not_null and column is not rowid else "NOT NULL"
            conflict = declared.not_null_conflicts.get(folded, "") if column is not rowid else ""
            self._add("column.nullable", name, nullable + (f" ON CONFLICT {conflict}" if conflict else ""))
            self._add("column.collation", name, declared.collations.get(folded, "BINARY"))
            if column.default is not None:
                self._default(name, column.default)
            if column.hidden in {2, 3}:
                expression = token_form(declared.generated.get(folded, ()), names)
                self._add("column.generated", name, f"{expression} {'STORED' if column.hidden == 3 else 'VIRTUAL'}")

    def _default(self, name: str, text: str) -> None:
        try:
            self._add("column.default", name, token_form(tokenize(text)))
        except UnreadableSQL as error:
            self._unreadable(name, text, error)

    def _references(self, found: _Found, declared: TableDeclaration) -> None:
        clauses: Sequence[ReferenceClause | None] = declared.references or [None] * len(found.references)
        for clause, rows in zip(clauses, found.declared_references, strict=True):
            columns = ", ".join(identifier(row.column) for row in rows)
            first = rows[0]
            value = f"({columns}) REFERENCES {identifier(first.target)}"
            if first.target_column is not None:
                value += " (" + ", ".join(identifier(row.target_column or "") for row in rows) + ")"
            value += f" ON DELETE {first.on_delete} ON UPDATE {first.on_update}"
            if clause is not None and clause.deferred:
                value += " INITIALLY DEFERRED"
            self._add("foreign_key.definition", (clause.name if clause is not None else "") or f"({columns})", value)

    def _index(self, name: str, index: _Index, names: frozenset[str]) -> None:
        self._add("index.table", name, self._table)
        self._add("index.unique", name, _yes(index.unique))
        try:
            declared = read_index(index.sql, len(index.terms))
        except UnreadableSQL as error:
            self._unreadable(name, index.sql, error)
            declared = IndexDeclaration(((),) * len(index.terms), ())
        terms = [term.text(token_form(tokens, names)) for term, tokens in zip(index.terms, declared.terms, strict=True)]
        self._add("index.columns", name, ", ".join(terms))
        if declared.predicate:
            self._add("index.predicate", name, token_form(declared.predicate, names))


def _agree(declared: TableDeclaration, found: _Found) -> None:
    """Raise UnreadableSQL when the text and the catalog disagree, which means that the text was misread."""
    if declared.columns != [fold(column.name) for column in found.columns]:
        raise UnreadableSQL("the columns are not those of the catalog")
    told = [(clause.columns, clause.target) for clause in declared.references]
    if told != [(tuple(fold(row.column) for row in rows), fold(rows[0].target)) for rows in found.declared_references]:
        raise UnreadableSQL("the foreign keys are not those of the catalog")
    keys = {clause.columns for clause in declared.uniques}
    if declared.primary_key:
        keys.add(declared.primary_key.columns)
    if any(index.columns not in keys for index in found.indexes.values() if index.origin != "c"):
        raise UnreadableSQL("the keys are not those of the catalog")


def _rowid_column(found: _Found) -> _Column | None:
    """The column that is an alias of the rowid: a single INTEGER primary key without an index of its own."""
    keys = [column for column in found.columns if column.key_position]
    if len(keys) != 1 or found.without_rowid or keys[0].type.upper() != "INTEGER":
        return None
    return None if any(index.origin == "pk" for index in found.indexes.values()) else keys[0]


def _extras(key: KeyClause) -> str:
    autoincrement = " AUTOINCREMENT" if key.autoincrement else ""
    return autoincrement + (f" ON CONFLICT {key.conflict}" if key.conflict else "")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
