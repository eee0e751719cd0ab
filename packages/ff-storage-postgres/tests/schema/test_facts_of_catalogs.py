"""Facts read back from real catalogs: every row of the corpus, in both places, and twins that must differ."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ff_storage.postgres import ddl

CASES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "catalog_cases.json").read_text())
"""Scripts that create a table `zz` with what it needs; `since` names the first server that takes it."""

TEMPORARY = ddl.Place(temporary=True)


def scripts(plain: Any) -> dict[str, str]:
    """The rows that this server takes."""
    return {case: row["sql"] for case, row in CASES.items() if plain.version >= row.get("since", 0) * 10_000}


@pytest.mark.parametrize("case", CASES)
def test_a_table_reads_alike_from_the_private_place(plain: Any, case: str) -> None:
    text = CASES[case]["sql"]
    if case not in scripts(plain):
        with pytest.raises((psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported)):
            plain.script(text)
        return
    plain.script(text)
    facts = plain.facts("zz")
    assert {fact.table for fact in facts} == {"zz"}
    if any(fact.object == "foreign_key" for fact in facts):
        return  # one is never built there
    text = re.sub(r"create function .*? as '.*?';", "", text)
    text = re.sub(r"create (type|schema|domain|extension|sequence|view|policy|trigger)\b.*?(;|$)", "", text)
    text = text.replace("create table", "create temp table").replace(" on zz", " on pg_temp.zz")
    plain.script(text)
    assert plain.facts("zz", place=TEMPORARY) == facts


def test_every_row_is_different(plain: Any) -> None:
    """Rows that mean the same are listed; all others have different facts."""
    alike = [
        {"P50", "P51"},  # 0 and '0' for an integer
        {"P56", "P57"},  # 't' and TRUE
        {"F01", "F02"},  # the default actions, written and not
        {"V01", "V02"},  # with views, which are no facts
        {"V01", "V03"},
        {"V02", "V03"},
        {"T01", "ST1"},  # with a trigger, and with storage parameters
    ]
    facts = {}
    for case, text in scripts(plain).items():
        with plain.connection.transaction(force_rollback=True):
            plain.script(text)
            facts[case] = plain.facts("zz")
    found = [{one, other} for one, other in itertools.combinations(facts, 2) if facts[one] == facts[other]]
    assert sorted(map(sorted, found)) == sorted(map(sorted, alike))


TWINS: dict[str, tuple[str, str, set[str]]] = {
    # two statements that must differ, and the kinds of fact by which they do
    "cast": ("(t text check (t::integer > 1))", "(t text check (t::numeric > 1))", {"check.expression"}),
    "list": ("(n int check (n in (1, 2)))", "(n int check (n in (1, 2, 3)))", {"check.expression"}),
    "blanks": ("(t text check (t <> 'a  b'))", "(t text check (t <> 'a b'))", {"check.expression"}),
    "case": ("(t text check (t <> 'A'))", "(t text check (t <> 'a'))", {"check.expression"}),
    "line break": ("(t text default E'a\\nb')", "(t text default 'a b')", {"column.default"}),
    "function": ("(d timestamptz default now())", "(d timestamptz default clock_timestamp())", {"column.default"}),
    "year": (
        "(d date check (date_part('year', d) > 2000))",
        "(d date check (extract(year from d) > 2000))",
        {"check.expression"},
    ),
    "boolean": ("(b bool check (not b))", "(b bool check (b is not true))", {"check.expression"}),
    "not checked": (
        "(n int, constraint k check (n > 0))",
        "(n int); alter table zz add constraint k check (n > 0) not valid",
        {
            "check.state",
        },
    ),
    "not inherited": (
        "(n int, constraint k check (n > 0))",
        "(n int, constraint k check (n > 0) no inherit)",
        {"check.state"},
    ),
    "order of an index": (
        "(a int, b int); create index i on zz (a, b)",
        "(a int, b int); create index i on zz (b, a)",
        {
            "index.columns",
        },
    ),
    "descending": ("(a int); create index i on zz (a)", "(a int); create index i on zz (a desc)", {"index.columns"}),
    "nulls": ("(a int); create index i on zz (a)", "(a int); create index i on zz (a nulls first)", {"index.columns"}),
    "operators": (
        "(t text); create index i on zz (t)",
        "(t text); create index i on zz (t text_pattern_ops)",
        {
            "index.columns",
        },
    ),
    "collation of an index": (
        "(t text); create index i on zz (t)",
        '(t text); create index i on zz (t collate "C")',
        {
            "index.columns",
        },
    ),
    "parameter of operators": (
        "(a tsvector); create index i on zz using gist (a)",
        "(a tsvector); create index i on zz using gist (a tsvector_ops (siglen = 100))",
        {"index.columns"},
    ),
    "expression": (
        "(t text); create index i on zz (lower(t))",
        "(t text); create index i on zz (upper(t))",
        {"index.columns"},
    ),
    "included": (
        "(a int, b int); create index i on zz (a)",
        "(a int, b int); create index i on zz (a) include (b)",
        {
            "index.include",
        },
    ),
    "method": ("(a int); create index i on zz (a)", "(a int); create index i on zz using hash (a)", {"index.method"}),
    "predicate": (
        "(a int, b bool); create index i on zz (a) where not b",
        "(a int, b bool); create index i on zz (a) where b is not true",
        {"index.predicate"},
    ),
    "constraint or index": (
        "(a int, constraint i unique (a))",
        "(a int); create unique index i on zz (a)",
        {
            "unique.columns",
            "index.table",
            "index.unique",
            "index.method",
            "index.columns",
        },
    ),
    "deferred": ("(a int, constraint u unique (a))", "(a int, constraint u unique (a) deferrable)", {"unique.columns"}),
    "exclusion": (
        "(r int4range, constraint x exclude using gist (r with &&))",
        "(r int4range, constraint x exclude using gist (r with -|-))",
        {"exclusion.definition"},
    ),
    "length": ("(t varchar(20))", "(t varchar(21))", {"column.type"}),
    "scale": ("(n numeric(10, 2))", "(n numeric(10, 3))", {"column.type"}),
    "zone": ("(d timestamp)", "(d timestamptz)", {"column.type"}),
    "collation": ("(t text)", '(t text collate "C")', {"column.collation"}),
    "null": ("(a int)", "(a int not null)", {"column.nullable"}),
    "identity": (
        "(a int generated always as identity)",
        "(a int generated by default as identity)",
        {"column.identity"},
    ),
    "steps of identity": (
        "(a int generated always as identity)",
        "(a int generated always as identity (increment by 5))",
        {"column.identity"},
    ),
    "steps of a serial": ("(a serial)", "(a serial); alter sequence zz_a_seq increment by 5", {"column.default"}),
    "serial or sequence": (
        "(a serial)",
        "(a int not null default nextval('s'))",
        {"column.default"},
    ),
    "key": ("(a int, b int, primary key (a, b))", "(a int, b int, primary key (b, a))", {"primary_key.columns"}),
    "name of a key": (
        "(a int, constraint k primary key (a))",
        "(a int, constraint l primary key (a))",
        {"primary_key.name"},
    ),
    "action": (
        "(a int constraint f references pa)",
        "(a int constraint f references pa on delete cascade)",
        {"foreign_key.definition"},
    ),
    "other columns": (
        "(a int, b int, constraint f foreign key (a) references pa)",
        "(a int, b int, constraint f foreign key (b) references pa)",
        {"foreign_key.definition"},
    ),
    "match": (
        "(a int constraint f references pa)",
        "(a int constraint f references pa match full)",
        {"foreign_key.definition"},
    ),
    "deferred key": (
        "(a int constraint f references pa)",
        "(a int constraint f references pa deferrable initially deferred)",
        {"foreign_key.definition"},
    ),
    "not checked key": (
        "(a int constraint f references pa)",
        "(a int); alter table zz add constraint f foreign key (a) references pa not valid",
        {"foreign_key.definition"},
    ),
    "cleared columns": (
        "(a int, b int, constraint f foreign key (a, b) references pb on delete set null)",
        "(a int, b int, constraint f foreign key (a, b) references pb on delete set null (b))",
        {"foreign_key.definition"},
    ),
    "nulls are equal": (
        "(a int); create unique index i on zz (a)",
        "(a int); create unique index i on zz (a) nulls not distinct",
        {"index.nulls"},
    ),
    "parent": ("(id int primary key)", "(id int primary key) inherits (pc)", {"table.inherits"}),
    "not logged": ("(a int)", "(a int); alter table zz set unlogged", {"table.persistence"}),
    "null not checked": (
        "(a int not null)",
        "(a int); alter table zz add constraint n not null a not valid",
        {"column.nullable"},
    ),
    "not enforced": (
        "(a int, constraint k check (a > 0))",
        "(a int, constraint k check (a > 0) not enforced)",
        {"check.state"},
    ),
}


SINCE = {"null not checked": 18, "not enforced": 18, "cleared columns": 15, "nulls are equal": 15}


@pytest.mark.parametrize("what", TWINS)
def test_twins_differ(plain: Any, what: str) -> None:
    one, other, kinds = TWINS[what]
    plain.script("create table pa (id int primary key); create table pb (a int, b int, primary key (a, b))")
    plain.script("create table pc (); create sequence s")
    if plain.version < SINCE.get(what, 0) * 10_000:
        with pytest.raises(psycopg.errors.SyntaxError):
            plain.script(f"create table zz {other}")
        return
    facts = []
    for text in (one, other):
        with plain.connection.transaction(force_rollback=True):
            plain.script(f"create table zz {text}")
            facts.append(plain.facts("zz"))
    assert {fact.kind for fact in facts[0] ^ facts[1]} == kinds
