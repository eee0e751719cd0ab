"""The judge sees what it is for: each statement below lacks something, and it must say so."""

from __future__ import annotations

import re

import pytest

from ff_storage.testing import Sent
from scope.conftest import MODELS
from scope.walk import Expected, Walk

NOTE = '"kit_notes"'
GOOD = f'SELECT "id" FROM {NOTE} WHERE "tenant_id" = ? AND "deleted_at" IS NULL'


GRAMMARS = pytest.mark.parametrize("grammar", ["sqlite", "postgres"])


def sent(grammar: str, text: str, *parameters: object) -> list[Sent]:
    """A statement with its parameters by position, or, where the engine numbers them, in reverse order."""
    if grammar == "sqlite":
        return [Sent(text, (parameters,))]
    numbers = iter(range(len(parameters), 0, -1))
    return [Sent(re.sub(r"\?", lambda _: f"${next(numbers)}", text), (parameters[::-1],))]


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (GOOD, ("a",)),
        (f'{GOOD} AND ("title" = ? OR "stars" = ?)', ("a", "x", 1)),
        (f"SELECT COUNT(*) FROM ({GOOD}) AS counted", ("a",)),
        (f"SELECT EXISTS ({GOOD})", ("a",)),
        (
            f'SELECT "id" FROM {NOTE} WHERE ("deleted_at" IS NULL AND ("tenant_id" IN (?, ?) AND "stars" > ?))',
            ("a", "b", 1),
        ),
        (f'SELECT "id" FROM {NOTE} WHERE 1 = 0 AND "title" = ?', ("x",)),
        (f'SELECT "id" FROM {NOTE} WHERE "title" = ? AND "tenant_id" = ? AND "deleted_at" IS NULL', ("zz", "b")),
        (f'UPDATE {NOTE} SET "title" = ? WHERE "tenant_id" = ? AND "deleted_at" IS NULL', ("x", "a")),
        (f'INSERT INTO {NOTE} ("id", "tenant_id") VALUES (?, ?)', ("x", "a")),
        ('SELECT "id" FROM "kit_products" WHERE "deleted_at" IS NULL', ()),
        ('SELECT "code" FROM "kit_countries"', ()),
    ],
)
@GRAMMARS
def test_passes_what_is_right(grammar: str, text: str, parameters: tuple[object, ...]) -> None:
    Walk(grammar, MODELS).check(sent(grammar, text, *parameters), Expected({"a", "b"}))


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (f'SELECT "id" FROM {NOTE}', ()),
        (f'SELECT "id" FROM {NOTE} WHERE "deleted_at" IS NULL', ()),
        (f'SELECT "id" FROM {NOTE} WHERE "tenant_id" = ?', ("a",)),
        (GOOD, ("c",)),
        (f'{GOOD} OR "title" = ?', ("a", "x")),
        (f'SELECT "id" FROM {NOTE} WHERE ("tenant_id" = ? OR "title" = ?) AND "deleted_at" IS NULL', ("a", "x")),
        (f'SELECT "id" FROM {NOTE} WHERE NOT ("tenant_id" = ?) AND "deleted_at" IS NULL', ("a",)),
        (f'SELECT "id" FROM {NOTE} WHERE "tenant_id" <> ? AND "deleted_at" IS NULL', ("a",)),
        (f'SELECT "id" FROM {NOTE} WHERE "tenant_id" IN (?, ?) AND "deleted_at" IS NULL', ("a", "c")),
        (f'SELECT "id" FROM {NOTE} WHERE "tenant_id" NOT IN (?, ?) AND "deleted_at" IS NULL', ("a", "b")),
        (f'SELECT "id" FROM {NOTE} WHERE "tenant_id" = "tenant_id" AND "deleted_at" IS NULL', ()),
        (f'SELECT "id" FROM {NOTE} WHERE "title" = ? AND "tenant_id" = ? AND "deleted_at" IS NULL', ("a", "c")),
        (f'SELECT "id" FROM {NOTE} WHERE "tenant_id" = ? AND "deleted_at" IS NOT NULL', ("a",)),
        (f'SELECT (SELECT MAX("stars") FROM {NOTE}) FROM ({GOOD}) AS x', ("a",)),
        (f'{GOOD} AND "id" IN (SELECT "id" FROM {NOTE})', ("a",)),
        (f'UPDATE {NOTE} SET "title" = ?', ("x",)),
        (f'UPDATE {NOTE} SET "tenant_id" = ? WHERE "tenant_id" = ? AND "deleted_at" IS NULL', ("b", "a")),
        (f'DELETE FROM {NOTE} WHERE "deleted_at" IS NULL', ()),
        (f'INSERT INTO {NOTE} ("id", "tenant_id") VALUES (?, ?)', ("x", "c")),
        (f'INSERT INTO {NOTE} ("id", "tenant_id") VALUES (?, ?)', ("x", None)),
        (f'INSERT INTO {NOTE} ("id") VALUES (?)', ("x",)),
        ('SELECT "id" FROM "kit_products"', ()),
        ('SELECT "id" FROM "unknown"', ()),
    ],
)
@GRAMMARS
def test_fails_what_is_not(grammar: str, text: str, parameters: tuple[object, ...]) -> None:
    with pytest.raises(AssertionError):
        Walk(grammar, MODELS).check(sent(grammar, text, *parameters), Expected({"a", "b"}))


def test_fails_when_nothing_was_sent() -> None:
    with pytest.raises(AssertionError):
        Walk("sqlite", MODELS).check([], Expected(None))


def test_a_bulk_is_checked_row_by_row() -> None:
    text = f'INSERT INTO {NOTE} ("id", "tenant_id") VALUES (?, ?)'
    walk = Walk("sqlite", MODELS)
    walk.check([Sent(text, ((1, "a"), (2, "b")))], Expected({"a", "b"}))
    with pytest.raises(AssertionError, match="another tenant"):
        walk.check([Sent(text, ((1, "a"), (2, "c")))], Expected({"a", "b"}))
