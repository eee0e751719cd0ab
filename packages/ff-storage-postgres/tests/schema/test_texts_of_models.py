"""SQL text that a model gives: what is read as one expression, and what is refused before anything is sent."""

from typing import Any

import pytest

from ff_storage.core import types
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.tables import Column
from ff_storage.postgres.defaults import default_clause
from ff_storage.postgres.dialect import PostgresDialect
from ff_storage.postgres.fragments import read_fragment


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a > 0", "a > 0"),
        ("  a > 0 -- always\n", "a > 0"),
        ("/* x /* nested */ ) */ a > 0 /**/", "a > 0"),
        ("a <> '); DROP TABLE x; --'", "a <> '); DROP TABLE x; --'"),
        ("a <> 'it''s'", "a <> 'it''s'"),
        (r"a <> E'it\'s ;'", r"a <> E'it\'s ;'"),
        ("a <> 'back\\' and b > 0", "a <> 'back\\' and b > 0"),
        ("a <> $$;'$$", "a <> $$;'$$"),
        ("a <> $x$;$$'$x$", "a <> $x$;$$'$x$"),
        ("a$b > 0 and c$d < $1", "a$b > 0 and c$d < $1"),
        ('"a;)" > 0', '"a;)" > 0'),
        ('U&"d\\0061t" > 0', 'U&"d\\0061t" > 0'),
        ("a - -- one\n 1 > 0", "a - -- one\n 1 > 0"),
        ("arr[1:2] = '{1,2}'::int[]", "arr[1:2] = '{1,2}'::int[]"),
        ("größe > 0", "größe > 0"),
        ("a > 1e-3 and b < .5", "a > 1e-3 and b < .5"),
    ],
)
def test_one_expression_is_kept_as_it_stands(text: str, kept: str) -> None:
    assert read_fragment(text, "it").text == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  -- nothing\n",
        "a > 0) OR (1 = 1",
        "(a > 0",
        "a[1",
        "a[1)",
        ")",
        "a > 0; DROP TABLE x",
        "a > 'b",
        "a > 'b\\'' and c",
        'a > "b',
        "a > E'b\\'",
        "a /* b",
        "a /* /* b */",
        "a > \0",
    ],
)
def test_what_is_not_one_expression_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^it "):
        read_fragment(text, "it")


def test_a_type_holds_no_comma_outside_of_parentheses() -> None:
    assert read_fragment("numeric(10, 2)", "it", alone=False).text == "numeric(10, 2)"
    with pytest.raises(ConfigurationError, match="more than a type"):
        read_fragment("text, b int", "it", alone=False)


@pytest.mark.parametrize(
    ("type_", "default", "written"),
    [
        (types.Integer(), "0", "0"),
        (types.Integer(), "-1", "-1"),
        (types.Integer(), "1 + 1", "(1 + 1)"),
        (types.Integer(), "(-1)", "-1"),
        (types.Integer(), "(1) + (2)", "((1) + (2))"),
        (types.Boolean(), "1", "true"),
        (types.Boolean(), "0", "false"),
        (types.Boolean(), "TRUE", "TRUE"),
        (types.Bytes(), "x'00Ff'", "'\\x00ff'::bytea"),
        (types.Bytes(), "'abc'", "'abc'"),
        (types.Json(), "1.5", "'1.5'"),
        (types.Json(), "TRUE", "'true'"),
        (types.Json(), "'{}'", "'{}'"),
        (types.Array(types.Integer()), "'[1, null]'", "ARRAY[1, NULL]::bigint[]"),
        (types.Array(types.Text()), "'[]'", "ARRAY[]::text[]"),
        (types.Array(types.Text()), "'{a}'", "'{a}'"),
        (types.Uuid(), "uuid()", "gen_random_uuid()"),
        (types.Uuid(), "gen_random_uuid()", "(gen_random_uuid())"),
        (types.Timestamp(), "now()", "(now())"),
        (types.Timestamp(), "CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        (types.Text(), "'now'", "'now'"),
        (types.Text(), "NULL", "NULL"),
    ],
)
def test_how_a_default_is_written(type_: types.ColumnType, default: str, written: str) -> None:
    column = Column("a", type_, True, "a", default=default)
    assert default_clause(column, "zz", PostgresDialect()) == written


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        (types.Date(), "'today'"),
        (types.Date(), "(' Tomorrow ')"),
        (types.Timestamp(), "'now'"),
        (types.Array(types.Integer()), "'[1, 2'"),
        (types.Array(types.Integer()), "'[\"a\"]'"),
        (types.Bytes(), "x'0'"),
        (types.Integer(), "0) CHECK (a > 0"),
    ],
)
def test_a_default_that_is_refused(type_: Any, default: str) -> None:
    column = Column("a", type_, True, "a", default=default)
    with pytest.raises(ConfigurationError, match=r"the db_default of zz\.a"):
        default_clause(column, "zz", PostgresDialect())


def test_no_default() -> None:
    assert default_clause(Column("a", types.Integer(), True, "a"), "zz", PostgresDialect()) is None
