"""What a stored CREATE statement says that no PRAGMA does.

PRAGMAs tell columns, keys and indexes; the text alone tells CHECKs, generated expressions, collations, the names of
constraints, ON CONFLICT, AUTOINCREMENT, deferral, index expressions and predicates. The reader walks the tokens once,
left to right, by SQLite's grammar; a text that it cannot follow raises UnreadableSQL rather than being guessed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ff_storage.sqlite.tokens import Token, UnreadableSQL, fold, identifier, partners, tokenize

_COLUMN_CLAUSES = frozenset(
    {"CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "AS", "DEFERRABLE"}
)
_TABLE_CLAUSES = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})


@dataclass(frozen=True, slots=True)
class KeyClause:
    """A PRIMARY KEY or UNIQUE. `terms` are its columns in token form, with collation and direction where written."""

    name: str
    columns: tuple[str, ...]
    terms: tuple[str, ...]
    conflict: str
    autoincrement: bool = False


@dataclass(frozen=True, slots=True)
class CheckClause:
    """A CHECK and the tokens between its parentheses."""

    name: str
    expression: Sequence[Token]


@dataclass(slots=True)
class ReferenceClause:
    """A foreign key; its actions are told by the PRAGMA."""

    name: str
    columns: tuple[str, ...]
    target: str
    deferred: bool = False


@dataclass(slots=True)
class TableDeclaration:
    """The clauses of a CREATE TABLE. Column names are folded; constraint names are as written, empty when absent."""

    columns: list[str] = field(default_factory=list[str])
    collations: dict[str, str] = field(default_factory=dict[str, str])
    generated: dict[str, Sequence[Token]] = field(default_factory=dict[str, Sequence[Token]])
    not_null_conflicts: dict[str, str] = field(default_factory=dict[str, str])
    primary_key: KeyClause | None = None
    uniques: list[KeyClause] = field(default_factory=list[KeyClause])
    checks: list[CheckClause] = field(default_factory=list[CheckClause])
    references: list[ReferenceClause] = field(default_factory=list[ReferenceClause])


@dataclass(frozen=True, slots=True)
class IndexDeclaration:
    """The terms of a CREATE INDEX, without collation and direction, and the tokens of its predicate."""

    terms: tuple[Sequence[Token], ...]
    predicate: Sequence[Token]


class _Reader:
    """A position in the tokens of one statement."""

    def __init__(self, sql: str) -> None:
        self.tokens = tokenize(sql)
        self.pairs = partners(self.tokens)
        self.position = 0
        self.end = len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        """The keyword or operator `ahead` of the position; empty behind the end and for names and literals."""
        index = self.position + ahead
        return self.tokens[index].keyword if index < self.end else ""

    def take(self) -> Token:
        if self.position >= self.end:
            raise UnreadableSQL("the statement ends too early")
        token = self.tokens[self.position]
        self.position += 1
        return token

    def accept(self, *keywords: str) -> bool:
        """Pass the keywords if exactly they come next."""
        for ahead, keyword in enumerate(keywords):
            if self.peek(ahead) != keyword:
                return False
        self.position += len(keywords)
        return True

    def expect(self, *keywords: str) -> None:
        if not self.accept(*keywords):
            where = self.tokens[self.position].start if self.position < self.end else "the end"
            raise UnreadableSQL(f"{' '.join(keywords)} is expected at {where}")

    def group(self) -> Sequence[Token]:
        """Pass a parenthesized group and give what is inside."""
        if self.peek() != "(":
            raise UnreadableSQL("a parenthesis is expected")
        first = self.position + 1
        last = self.pairs[self.position]
        self.position = last + 1
        return self.tokens[first:last]

    def conflict(self) -> str:
        """Pass ON CONFLICT and give its resolution, empty for ABORT, which is the default."""
        if not self.accept("ON", "CONFLICT"):
            return ""
        resolution = self.take().keyword
        return "" if resolution == "ABORT" else resolution


def split(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """The parts between the commas that no parenthesis encloses."""
    parts: list[Sequence[Token]] = []
    depth = first = 0
    for index, token in enumerate(tokens):
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif token.text == "," and depth == 0:
            parts.append(tokens[first:index])
            first = index + 1
    parts.append(tokens[first:])
    return parts


def read_table(sql: str) -> TableDeclaration:
    """The clauses of a stored CREATE TABLE. Raises UnreadableSQL."""
    reader = _Reader(sql)
    _pass_head(reader, "TABLE")
    declared = TableDeclaration()
    reader.end = reader.pairs.get(reader.position, 0)
    reader.expect("(")
    while True:
        if reader.peek() in _TABLE_CLAUSES:
            _table_clauses(reader, declared)
        else:
            _column(reader, declared)
        if reader.position >= reader.end:
            return declared
        reader.expect(",")


def read_index(sql: str, count: int) -> IndexDeclaration:
    """The `count` terms and the predicate of a stored CREATE INDEX. Raises UnreadableSQL."""
    reader = _Reader(sql)
    _pass_head(reader, "INDEX")
    reader.expect("ON")
    _ = reader.take().name
    terms = tuple(_bare(term) for term in split(reader.group()))
    predicate: Sequence[Token] = ()
    if reader.accept("WHERE"):
        predicate = reader.tokens[reader.position :]
    elif reader.position != reader.end:
        raise UnreadableSQL("WHERE is expected")
    if len(terms) != count:
        raise UnreadableSQL("the terms of the index are not those of the catalog")
    return IndexDeclaration(terms, predicate)


def _pass_head(reader: _Reader, kind: str) -> None:
    """Pass everything up to and including the object's name; what SQLite stores has no other words than these."""
    reader.expect("CREATE")
    for word in ("TEMP", "TEMPORARY", "UNIQUE"):
        reader.accept(word)
    reader.expect(kind)
    reader.accept("IF", "NOT", "EXISTS")
    _ = reader.take().name
    if reader.accept("."):
        _ = reader.take().name


def _bare(term: Sequence[Token]) -> Sequence[Token]:
    """An index term without direction and collation, which the PRAGMA tells."""
    if term and term[-1].keyword in {"ASC", "DESC"}:
        term = term[:-1]
    if len(term) > 2 and term[-2].keyword == "COLLATE":
        term = term[:-2]
    return term


def _column(reader: _Reader, declared: TableDeclaration) -> None:
    column = fold(reader.take().name)
    declared.columns.append(column)
    while reader.position < reader.end and reader.peek() not in _COLUMN_CLAUSES | {","}:
        _ = reader.group() if reader.peek() == "(" else reader.take()  # the type, which the PRAGMA tells
    name = ""
    while reader.position < reader.end and reader.peek() != ",":
        if reader.accept("CONSTRAINT"):
            name = reader.take().name
            continue
        _column_clause(reader, declared, column, name)  # SQLite lets the name go on to the clauses behind


def _column_clause(reader: _Reader, declared: TableDeclaration, column: str, name: str) -> None:
    if reader.accept("PRIMARY", "KEY"):
        descending = reader.accept("DESC")
        reader.accept("ASC")
        term = identifier(column) + (" DESC" if descending else "")
        conflict = reader.conflict()
        autoincrement = reader.accept("AUTOINCREMENT")
        declared.primary_key = KeyClause(name, (column,), (term,), conflict, autoincrement)
    elif reader.accept("UNIQUE"):
        declared.uniques.append(KeyClause(name, (column,), (identifier(column),), reader.conflict()))
    elif reader.accept("NOT", "NULL"):
        declared.not_null_conflicts[column] = reader.conflict()
    elif reader.accept("NULL"):
        _ = reader.conflict()
    elif reader.accept("CHECK"):
        declared.checks.append(CheckClause(name, reader.group()))
    elif reader.accept("DEFAULT"):
        _pass_default(reader)
    elif reader.accept("COLLATE"):
        declared.collations[column] = fold(reader.take().name).upper()
    elif reader.accept("AS"):
        declared.generated[column] = reader.group()
        _ = reader.accept("STORED") or reader.accept("VIRTUAL")
    elif reader.accept("GENERATED", "ALWAYS"):
        pass  # AS follows
    elif reader.accept("REFERENCES"):
        _reference(reader, declared, name, (column,))
    elif not _deferral(reader, declared):
        raise UnreadableSQL(f"a clause of column {column!r} is not known")


def _pass_default(reader: _Reader) -> None:
    """The PRAGMA tells defaults; only their extent matters here."""
    if reader.peek() == "(":
        _ = reader.group()
        return
    if reader.peek() in {"+", "-"}:
        _ = reader.take()
    _ = reader.take()


def _table_clauses(reader: _Reader, declared: TableDeclaration) -> None:
    """Table constraints up to a comma; SQLite does not insist on commas between them."""
    name = ""
    while reader.position < reader.end and reader.peek() != ",":
        if reader.accept("CONSTRAINT"):
            name = reader.take().name
            continue
        if reader.accept("PRIMARY", "KEY"):
            declared.primary_key = _key(reader, name)
        elif reader.accept("UNIQUE"):
            declared.uniques.append(_key(reader, name))
        elif reader.accept("CHECK"):
            declared.checks.append(CheckClause(name, reader.group()))
            _ = reader.conflict()  # accepted by SQLite, and without effect
        elif reader.accept("FOREIGN", "KEY"):
            columns = tuple(fold(part[0].name) for part in split(reader.group()) if part)
            reader.expect("REFERENCES")
            _reference(reader, declared, name, columns)
            _ = _deferral(reader, declared)
        else:
            raise UnreadableSQL("a table constraint is not known")


def _key(reader: _Reader, name: str) -> KeyClause:
    group = reader.group()
    autoincrement = bool(group) and group[-1].keyword == "AUTOINCREMENT"
    columns: list[str] = []
    terms: list[str] = []
    for part in split(group[:-1] if autoincrement else group):
        if not part:
            raise UnreadableSQL("a key has an empty column")
        column = fold(part[0].name)
        columns.append(column)
        words = [identifier(column)]
        rest = iter(part[1:])
        for token in rest:
            if token.keyword == "COLLATE":
                words += ["COLLATE", fold(next(rest, token).name).upper()]
            elif token.keyword == "DESC":
                words.append("DESC")
            elif token.keyword != "ASC":
                raise UnreadableSQL("a key column is followed by something unknown")
        terms.append(" ".join(words))
    return KeyClause(name, tuple(columns), tuple(terms), reader.conflict(), autoincrement)


def _reference(reader: _Reader, declared: TableDeclaration, name: str, columns: tuple[str, ...]) -> None:
    target = fold(reader.take().name)
    if reader.peek() == "(":
        _ = reader.group()
    while True:
        if reader.accept("MATCH"):
            _ = reader.take()
        elif reader.peek() == "ON" and reader.peek(1) in {"DELETE", "UPDATE", "INSERT"}:
            reader.position += 2
            if not (reader.accept("SET", "NULL") or reader.accept("SET", "DEFAULT") or reader.accept("NO", "ACTION")):
                _ = reader.take()
        else:
            break
    declared.references.append(ReferenceClause(name, columns, target))


def _deferral(reader: _Reader, declared: TableDeclaration) -> bool:
    """Pass [NOT] DEFERRABLE, which belongs to the last foreign key; without NOT, INITIALLY DEFERRED has an effect."""
    negated = reader.accept("NOT", "DEFERRABLE")
    if not negated and not reader.accept("DEFERRABLE"):
        return False
    deferred = reader.accept("INITIALLY", "DEFERRED")
    if not deferred:
        reader.accept("INITIALLY", "IMMEDIATE")
    if declared.references:
        declared.references[-1].deferred = deferred and not negated
    return True
