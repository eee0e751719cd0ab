"""Facts read back from real catalogs: every row of the corpus, rewritten histories, and twins that must differ."""

import itertools
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.facts import Fact
from ff_storage.core.tables import Table
from ff_storage.sqlite.introspect import read_facts

CASES: list[str] = json.loads((Path(__file__).parent / "catalog_cases.json").read_text())
"""Column lists of a table `zz` beside a table `pa`, or whole scripts."""

NAMES = ("zz", "yy", "pa", "t2")


def script(case: str) -> str:
    return case if case.startswith("create") else f"create table pa(id integer primary key); create table zz({case})"


def dumped(connection: sqlite3.Connection) -> str:
    return "\n".join(line for line in connection.iterdump() if line not in {"BEGIN TRANSACTION;", "COMMIT;"})


@pytest.mark.parametrize("case", CASES)
def test_a_dump_replayed_says_the_same(plain: Any, case: str) -> None:
    plain.script(script(case))
    facts = plain.facts(*NAMES)
    assert facts
    assert not [fact for fact in facts if fact.kind == "table.unreadable"]
    copy = type(plain)().script(dumped(plain.connection))
    assert copy.facts(*NAMES) == facts
    copy.connection.close()


@pytest.mark.parametrize("case", CASES)
def test_declared_twice_is_equal_in_both_schemas(plain: Any, case: str) -> None:
    private = type(plain)()
    text = re.sub("create view [^;]*;", "", script(case)).replace("main.", "")  # a temp view forbids the renaming
    private.script(text.replace("create table", "create temp table"))
    tables = [Table(name=name, schema=None, columns=(), primary_key=()) for name in ("zz", "yy", "pa")]
    facts = plain.script(script(case)).run(read_facts("main", tables, {}))
    assert private.run(read_facts("temp", tables, {})) == facts
    assert not private.run(read_facts("main", tables, {}))
    private.connection.close()


def test_every_row_is_different(plain: Any) -> None:
    """Rows that are spelled alike are listed; all others have different facts."""
    alike = [
        {"c int", "`c` int", "[c] int", '"c" int'},
        {"c datetime default current_timestamp", "c datetime default CURRENT_TIMESTAMP"},
        {"create table IF NOT EXISTS zz(a int)", "create table main.zz(a int)"},
        {"c varchar(50) default 'x'"},
    ]
    facts = {}
    for case in CASES:
        database = type(plain)().script(script(case))
        facts[case] = database.facts(*NAMES)
        database.connection.close()
    for one, other in itertools.combinations(CASES, 2):
        assert (facts[one] == facts[other]) == any({one, other} <= group for group in alike), (one, other)


HISTORIES = {
    "add column": (
        "create table zz(a int); alter table zz add column b text not null default 'x' check(b <> '')",
        "create table zz(a int, b text default 'x' not null check (b != ''))",
    ),
    "rename column": (
        'create table zz(a int check(a > 0)); create index i on zz(a) where a > 5; alter table zz rename a to "A x"',
        'create table zz("A x" int check("A x" > 0)); create index i on zz("A x") where "A x" > 5',
    ),
    "rename to another case": (
        "create table zz(a int check(a > 0)); alter table zz rename a to A",
        "create table zz(a int check(a > 0))",
    ),
    "rename table": (
        "create table t(a int check(t.a > 0), b references t(a)); create index i on t(a); alter table t rename to zz",
        "create table zz(a int check(zz.a > 0), b references zz(a)); create index i on zz(a)",
    ),
    "rename target": (
        "create table p(id integer primary key); create table zz(a int references p(id)); alter table p rename to pa",
        "create table pa(id integer primary key); create table zz(a int references pa(id))",
    ),
    "drop column": (
        "create table zz(a int, b text, c int default (1 + 1)); alter table zz drop column b",
        "create table zz(a int, c int default (1+1))",
    ),
    "other quoting": (
        "create table [zz](`a` int, 'b' text, constraint \"k\" check(`a` > 0)); create index `i` on 'zz'('a' asc)",
        "create table zz(a int, b text, constraint k check((a > 0))); create index i on zz(a)",
    ),
    "other case": (
        "CREATE TABLE ZZ(A INT COLLATE nocase NOT NULL, CONSTRAINT K UNIQUE(A)) strict",
        "create table zz(a int not null collate NOCASE, constraint k unique(a)) STRICT",
    ),
    "column constraints": (
        "create table zz(a int constraint k unique, b int constraint p primary key, c constraint f references pa(id))",
        """create table zz(a int, b int, c, constraint p primary key(b), constraint k unique(a),
        constraint f foreign key(c) references pa(id) on delete no action)""",
    ),
    "constraints without commas": (
        "create table zz(a int, b int, check(a > 0) check(b > 0) unique(a) constraint x unique(b, a))",
        "create table zz(a int, b int, constraint x unique(b, a), unique(a), check(b > 0), check(a > 0))",
    ),
    "a name goes on to the clauses behind": (
        "create table zz(a int constraint k check(a > 0) check(a < 9), constraint j unique(a) check(a <> 5))",
        """create table zz(a int, constraint k check(a > 0), constraint k check(a < 9), constraint j unique(a),
        constraint j check(a <> 5))""",
    ),
    "comments": (
        "create table zz(a int -- the ' first\n, /* ) */ b text /* , c int */ default (lower('X')/* ( */)) -- end",
        "create table zz(a int, b text default (lower( 'X' )))",
    ),
    "not null of the rowid": (
        "create table zz(a integer primary key not null)",
        "create table zz(a integer primary key)",
    ),
    "column order": ("create table zz(a int, b text)", "create table zz(b text, a int)"),
    "abort is the default": (
        "create table zz(a int not null on conflict abort, b int unique on conflict abort)",
        "create table zz(a int not null, b int unique)",
    ),
    "immediate is the default": (
        "create table zz(a references pa(id) not deferrable initially deferred, b references pa(id) deferrable)",
        "create table zz(a references pa(id), b references pa(id))",
    ),
    "a string in double quotes": (
        'create table zz(a text check(a <> "none") default "x")',
        "create table zz(a text default 'x' check(a <> 'none'))",
    ),
}


@pytest.mark.parametrize(("one", "other"), HISTORIES.values(), ids=HISTORIES)
def test_histories_that_end_alike_are_equal(plain: Any, one: str, other: str) -> None:
    facts = plain.script(one).facts("zz")
    again = type(plain)().script(other)
    assert facts == again.facts("zz")
    assert facts
    assert not [fact for fact in facts if fact.kind == "table.unreadable"]
    again.connection.close()


def table(*parts: str, options: str = "", more: str = "") -> str:
    return f"create table zz({', '.join(parts)}){options}; {more}"


TWINS = {
    "check list": (table("a int check(a in (1,2))"), table("a int check(a in (1,2,3))")),
    "check literal blanks": (table("a text check(a <> 'a  b')"), table("a text check(a <> 'a b')")),
    "check name": (table("a int constraint k check(a > 0)"), table("a int constraint j check(a > 0)")),
    "check unnamed": (table("a int constraint k check(a > 0)"), table("a int check(a > 0)")),
    "check cast": (table("a text check(cast(a as integer) > 1)"), table("a text check(cast(a as real) > 1)")),
    "check precedence": (table("a int check(a > 0 or a < 9 and a)"), table("a int check((a > 0 or a < 9) and a)")),
    "one check more": (table("a int check(a > 0)"), table("a int check(a > 0)", "check(a > 1)")),
    "string case": (table('a text check(a <> "Other")'), table('a text check(a <> "other")')),
    "type": (table("a int"), table("a integer")),
    "type length": (table("a varchar(10)"), table("a varchar(11)")),
    "no type": (table("a int"), table("a")),
    "not null": (table("a int"), table("a int not null")),
    "not null conflict": (table("a int not null"), table("a int not null on conflict ignore")),
    "default": (table("a int default 0"), table("a int default 1")),
    "default type": (table("a int default 0"), table("a int default '0'")),
    "default sign": (table("a int default -1"), table("a int default 1")),
    "default gone": (table("a int default 0"), table("a int")),
    "default word": (table("a text default true"), table('a text default "true"')),
    "default now": (table("a text default current_timestamp"), table("a text default 'current_timestamp'")),
    "default call": (table("a default (datetime('now'))"), table("a default (datetime('now', 'localtime'))")),
    "collation": (table("a text"), table("a text collate nocase")),
    "collation name": (table("a text collate rtrim"), table("a text collate nocase")),
    "generated": (table("a int", "b int as (a*2)"), table("a int", "b int as (a*3)")),
    "stored": (table("a int", "b int as (a*2)"), table("a int", "b int as (a*2) stored")),
    "not generated": (table("a int", "b int as (a*2)"), table("a int", "b int")),
    "rowid": (table("a integer primary key"), table("a int primary key")),
    "rowid by direction": (table("a integer primary key"), table("a integer primary key desc")),
    "autoincrement": (table("a integer primary key"), table("a integer primary key autoincrement")),
    "key order": (table("a int", "b int", "primary key(a, b)"), table("a int", "b int", "primary key(b, a)")),
    "key direction": (table("a int", "b int", "primary key(a, b)"), table("a int", "b int", "primary key(a, b desc)")),
    "key name": (table("a int", "constraint k primary key(a)"), table("a int", "constraint j primary key(a)")),
    "key conflict": (table("a int primary key"), table("a int primary key on conflict replace")),
    "no key": (table("a int primary key not null"), table("a int not null unique")),
    "without rowid": (table("a int primary key not null"), table("a int primary key", options=" without rowid")),
    "strict": (table("a int"), table("a int", options=" strict")),
    "unique": (table("a int unique"), table("a int")),
    "unique columns": (table("a int", "b int", "unique(a, b)"), table("a int", "b int", "unique(b, a)")),
    "unique conflict": (table("a int unique"), table("a int unique on conflict ignore")),
    "unique collation": (table("a text", "unique(a)"), table("a text", "unique(a collate nocase)")),
    "unique by index": (table("a int unique"), table("a int", more="create unique index i on zz(a)")),
    "reference": (table("a int references pa(id)"), table("a int references pa(other)")),
    "reference implicit": (table("a int references pa(id)"), table("a int references pa")),
    "reference target": (table("a int references pa(id)"), table("a int references pb(id)")),
    "reference gone": (table("a int references pa(id)"), table("a int")),
    "reference twice": (table("a int references pa(id)"), table("a int references pa(id) references pb(id)")),
    "on delete": (table("a int references pa(id)"), table("a int references pa(id) on delete cascade")),
    "on update": (table("a int references pa(id)"), table("a int references pa(id) on update set null")),
    "restrict": (table("a int references pa(id)"), table("a int references pa(id) on delete restrict")),
    "deferred": (
        table("a int references pa(id)"),
        table("a int references pa(id) deferrable initially deferred"),
    ),
    "deferred of one": (
        table("a references pa(id) deferrable initially deferred", "b references pa(id)"),
        table("a references pa(id)", "b references pa(id) deferrable initially deferred"),
    ),
    "reference name": (
        table("a int", "constraint k foreign key(a) references pa(id)"),
        table("a int", "constraint j foreign key(a) references pa(id)"),
    ),
    "actions exchanged": (
        table("a references pa(id) on delete cascade", "b references pa(id)"),
        table("a references pa(id)", "b references pa(id) on delete cascade"),
    ),
    "index columns": (
        table("a int", "b int", more="create index i on zz(a, b)"),
        table("a int", "b int", more="create index i on zz(b, a)"),
    ),
    "index direction": (
        table("a int", more="create index i on zz(a)"),
        table("a int", more="create index i on zz(a desc)"),
    ),
    "index unique": (
        table("a int", more="create index i on zz(a)"),
        table("a int", more="create unique index i on zz(a)"),
    ),
    "index collation": (
        table("a text", more="create index i on zz(a)"),
        table("a text", more="create index i on zz(a collate nocase)"),
    ),
    "index expression": (
        table("a text", more="create index i on zz(lower(a))"),
        table("a text", more="create index i on zz(upper(a))"),
    ),
    "index predicate": (
        table("a text", more="create index i on zz(a) where a > 'x'"),
        table("a text", more="create index i on zz(a) where a > 'X'"),
    ),
    "index null predicate": (
        table("a int", more="create index i on zz(a) where not a"),
        table("a int", more="create index i on zz(a) where a is not true"),
    ),
    "index partial": (
        table("a int", more="create index i on zz(a) where a is not null"),
        table("a int", more="create index i on zz(a)"),
    ),
    "index name": (
        table("a int", more="create index i on zz(a)"),
        table("a int", more="create index j on zz(a)"),
    ),
    "index gone": (table("a int", more="create index i on zz(a)"), table("a int")),
    "column gone": (table("a int", "b int"), table("a int")),
    "a view": (table("a int"), "create view zz as select 1 as a"),
    "a virtual table": (table("a"), "create virtual table zz using fts5(a)"),
}


@pytest.mark.parametrize(("one", "other"), TWINS.values(), ids=TWINS)
def test_twins_differ_both_ways(plain: Any, one: str, other: str) -> None:
    facts = plain.script(one).facts("zz")
    twin = type(plain)().script(other)
    others: frozenset[Fact] = twin.facts("zz")
    assert facts - others or others - facts
    assert facts != others
    assert not [fact for fact in facts | others if fact.kind == "table.unreadable"]
    twin.connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE zz(" + "(" * 10_000 + "a" + ")" * 10_000 + ")",
        "CREATE TABLE zz(a int, CHECK (a > 0)",
        "CREATE TABLE zz(a int, CHECK (a > 0)))",
        "CREATE TABLE zz(a int, CHECK (a > 'open))",
        "CREATE TABLE zz(a int, b int)",
        "CREATE TABLE zz(a int REFERENCES pa(id))",
        "CREATE TABLE zz(a int CHECK (a > 0) WHATEVER)",
        "CREATE TABLE zz(a int CHECK",
        "CREATE TABLE zz(, a int)",
        "CREATE TABLE zz",
        "SELECT 1",
        "",
        "CREATE TABLE zz(a int CHECK (a <> '" + "x" * 10_000_000 + "'))",
        "CREATE TABLE zz(a int CHECK (" + "(" * 2_000_000 + "a" + ")" * 2_000_000 + "))",
    ],
    ids=lambda sql: f"{len(sql)} {sql[:40]}",
)
def test_a_text_that_cannot_be_read_is_a_fact_of_its_own(plain: Any, sql: str) -> None:
    """The rest of the catalog is still read; the text is known by length and digest, and equals no description."""

    class Tampered(type(plain)):  # type: ignore[misc]  # the fixture's class
        def perform(self, command: Any) -> Any:
            rows = super().perform(command)
            return [(*row[:3], sql) if row[:2] == ("table", "zz") else row for row in rows]

    database = Tampered()
    database.script("create table zz(a int); create index i on zz(a)")
    facts = database.facts("zz")
    (unreadable,) = [fact for fact in facts if fact.kind == "table.unreadable"]
    assert f"({len(sql):,} characters, sha256 " in unreadable.value
    assert len(unreadable.value) < 200
    assert {fact.kind for fact in facts} >= {"column.type", "index.columns"}
    database.connection.close()
