"""The SQL of each step, and the scope that every table reference gets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ff_storage.core.context import ALL_TENANTS, TenantScope
from ff_storage.core.errors import TenantNotConfigured
from ff_storage.core.query import AND, NOT, OR, F, Query, func
from ff_storage.core.sql.compiled import prepare
from ff_storage.core.sql.expressions import Bound
from ff_storage.core.sql.scope import Scope
from ff_storage.core.sql.statements import Delete, Insert, Update, assignment

ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)
STRICT = Scope(TenantScope.of(ONE))
SCOPE = '"tenant_id" = $1 AND "deleted_at" IS NULL'


def sql(query: Any, dialect: Any, scope: Scope = STRICT, form: Any = "rows") -> tuple[str, list[Any]]:
    prepared, parameters = query.prepare(dialect, scope, form)
    return prepared.text, parameters


def after_where(query: Any, dialect: Any, scope: Scope = STRICT) -> str:
    text, _ = sql(query, dialect, scope)
    return text.partition(" WHERE ")[2]


def test_a_whole_model_reads_its_columns_by_name(plain: Any, dialect: Any) -> None:
    text, parameters = sql(Query(plain), dialect, Scope())
    columns = ", ".join(f'"{column.name}"' for column in plain.__ff_entity__.table.columns)
    assert text == f'SELECT {columns} FROM "sql_plain"'
    assert '"amount_now"' in columns
    assert parameters == []


@pytest.mark.parametrize(
    ("scope", "where", "parameters"),
    [
        (Scope(TenantScope.of(ONE)), SCOPE, [ONE]),
        (Scope(TenantScope.of(str(ONE).upper())), SCOPE, [ONE]),
        (Scope(TenantScope.of(ONE), include_deleted=True), '"tenant_id" = $1', [ONE]),
        (Scope(TenantScope.of(tenant_ids=[ONE])), '"tenant_id" IN ($1) AND "deleted_at" IS NULL', [ONE]),
        (
            Scope(TenantScope.of(tenant_ids=[ONE, TWO, THREE])),
            '"tenant_id" IN ($1, $2, $3, $4) AND "deleted_at" IS NULL',
            [ONE, TWO, THREE, THREE],
        ),
        (Scope(TenantScope.of(tenant_ids=[])), '1 = 0 AND "deleted_at" IS NULL', []),
        (Scope(TenantScope.of(ALL_TENANTS)), '"deleted_at" IS NULL', []),
    ],
)
def test_every_scope_restricts_reads(scope: Scope, where: str, parameters: list[Any], item: Any, dialect: Any) -> None:
    text, bound = sql(Query(item), dialect, scope)
    assert text.endswith(f'FROM "sql_items" WHERE {where}')
    assert bound == parameters
    for form in ("count", "exists"):
        text, bound = sql(Query(item), dialect, scope, form)
        assert f"WHERE {where}" in text
        assert bound == parameters


@pytest.mark.parametrize(
    ("scope", "where", "parameters"),
    [
        (STRICT, '"tenant_id" = $2 AND "deleted_at" IS NULL AND "name" = $3', ["b", ONE, "a"]),
        (Scope(TenantScope.of(tenant_ids=[])), '1 = 0 AND "deleted_at" IS NULL AND "name" = $2', ["b", "a"]),
        (Scope(TenantScope.of(ALL_TENANTS), include_deleted=True), '"name" = $2', ["b", "a"]),
    ],
)
def test_every_scope_restricts_writes(scope: Scope, where: str, parameters: list[Any], item: Any, dialect: Any) -> None:
    entity = item.__ff_entity__
    condition = item.name == "a"
    update = Update(entity, (assignment(entity.table.by_name["name"], "b"),), (condition,))
    compiled = prepare(dialect, update.key, scope, lambda: update)
    assert compiled.text == f'UPDATE "sql_items" SET "name" = $1 WHERE {where}'
    assert compiled.bind(update.values + scope.values) == parameters
    delete = Delete(entity, (condition,))
    compiled = prepare(dialect, delete.key, scope, lambda: delete)
    assert compiled.text.startswith('DELETE FROM "sql_items" WHERE ')
    assert compiled.bind(delete.values + scope.values) == parameters[1:]


def test_without_a_scope_nothing_of_a_multi_tenant_model_compiles(item: Any, plain: Any, dialect: Any) -> None:
    entity = item.__ff_entity__
    columns = entity.table.columns
    statements = [
        Insert(entity, columns),
        Update(entity, (assignment(entity.table.by_name["name"], "b"),), ()),
        Delete(entity, ()),
    ]
    for statement in statements:
        with pytest.raises(TenantNotConfigured):
            prepare(dialect, statement.key, Scope(), lambda statement=statement: statement)
    for form in ("rows", "count", "exists"):
        with pytest.raises(TenantNotConfigured, match="tenant_id="):
            Query(item).prepare(dialect, Scope(), form)
    without_tenant = Insert(entity, tuple(column for column in columns if column.name != "tenant_id"))
    with pytest.raises(TenantNotConfigured):
        prepare(dialect, without_tenant.key, STRICT, lambda: without_tenant)
    Query(plain).prepare(dialect, Scope())


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda m: m.price > 3, '"price" > $2'),
        (lambda m: F.price != 3, '"price" <> $2'),
        (lambda m: m.note == None, '"note" IS NULL'),  # noqa: E711 - what is tested
        (lambda m: m.note != None, '"note" IS NOT NULL'),  # noqa: E711 - what is tested
        (lambda m: m.note.is_distinct_from("x"), '"note" IS DISTINCT FROM $2'),
        (lambda m: m.note.is_not_distinct_from(None), '"note" IS NULL'),
        (lambda m: m.active, '"active"'),
        (lambda m: ~m.active, 'NOT ("active")'),
        (lambda m: ~~m.active, '"active"'),
        (lambda m: (m.price > 1) | (m.price < 0), '("price" > $2 OR "price" < $3)'),
        (
            lambda m: OR(m.active, AND(m.price > 1, NOT(m.price > 5))),
            '("active" OR ("price" > $2 AND NOT ("price" > $3)))',
        ),
        (lambda m: m.price.between(1, 2), '("price" >= $2 AND "price" <= $3)'),
        (lambda m: m.price.in_([]), "1 = 0"),
        (lambda m: m.price.not_in([]), "1 = 1"),
        (lambda m: m.price.in_([None]), '"price" IS NULL'),
        (lambda m: m.price.in_([1, None]), '("price" IN ($2) OR "price" IS NULL)'),
        (lambda m: m.price.not_in([1, 2, None]), '("price" NOT IN ($2, $3) AND "price" IS NOT NULL)'),
        (lambda m: m.price + 1 > m.price * 2, '("price" + $2) > ("price" * $3)'),
        (lambda m: m.price / 2 > 0.5, '(CAST("price" AS DOUBLE PRECISION) / NULLIF($2, 0)) > $3'),
        (lambda m: func.length(m.name) > 3, 'LENGTH("name") > $2'),
        (lambda m: func.coalesce(m.note, "") == "x", 'COALESCE("note", $2) = $3'),
    ],
)
def test_conditions(build: Any, expected: str, item: Any, dialect: Any) -> None:
    assert after_where(Query(item).filter(build(item)), dialect) == f"{SCOPE} AND {expected}"


def test_the_callers_or_stays_within_the_scope(item: Any, dialect: Any) -> None:
    query = Query(item).filter(OR(item.price == 1, item.price == 2)).filter(item.active)
    assert after_where(query, dialect) == f'{SCOPE} AND ("price" = $2 OR "price" = $3) AND "active"'


def test_order_places_nulls_where_there_can_be_any(item: Any, dialect: Any) -> None:
    query = Query(item).order_by("price", "-note", item.note.asc(nulls="LAST")).limit(3).offset(4)
    text, parameters = sql(query, dialect)
    order = 'ORDER BY "price", "note" DESC NULLS LAST, "note" NULLS LAST LIMIT $2 OFFSET $3'
    assert text.endswith(order)
    assert parameters == [ONE, 3, 4]


def test_groups_name_their_outputs(item: Any, dialect: Any) -> None:
    query = (
        Query(item)
        .select(item.name, func.sum(item.price).label("total"), func.count())
        .group_by("name")
        .having(F.total > 5)
        .order_by("-total", F.name)
    )
    text, parameters = sql(query, dialect)
    assert text == (
        f'SELECT "name", SUM("price"), COUNT(*) FROM "sql_items" WHERE {SCOPE} '
        'GROUP BY "name" HAVING SUM("price") > $2 ORDER BY SUM("price") DESC NULLS LAST, "name"'
    )
    assert parameters == [ONE, 5]


def test_count_and_exists_see_what_the_query_sees(item: Any, dialect: Any) -> None:
    query = Query(item).filter(item.price > 3)
    assert sql(query, dialect, form="count") == (
        f'SELECT COUNT(*) FROM "sql_items" WHERE {SCOPE} AND "price" > $2',
        [ONE, 3],
    )
    text, parameters = sql(query.select(item.name).distinct().limit(7), dialect, form="count")
    assert text == (
        f'SELECT COUNT(*) FROM (SELECT DISTINCT "name" AS c0 FROM "sql_items" WHERE {SCOPE} AND "price" > $2 LIMIT $3)'
        " AS counted"
    )
    assert parameters == [ONE, 3, 7]
    text, _ = sql(query, dialect, form="exists")
    assert text == f'SELECT EXISTS (SELECT 1 FROM "sql_items" WHERE {SCOPE} AND "price" > $2)'


def test_written_rows_are_read_back_by_name(plain: Any, dialect: Any) -> None:
    entity = plain.__ff_entity__
    amount = entity.table.by_attribute["amount"]
    insert = Insert(entity, (entity.table.by_name["code"], amount), (amount,))
    compiled = prepare(dialect, insert.key, Scope(), lambda: insert)
    assert compiled.text == 'INSERT INTO "sql_plain" ("code", "amount_now") VALUES ($1, $2) RETURNING "amount_now"'
    assert compiled.bind(["a", 5]) == ["a", 5]
    update = Update(entity, ((amount, plain.amount + Bound(1)),), (plain.code == "a",))
    compiled = prepare(dialect, update.key, Scope(), lambda: update)
    assert compiled.text == 'UPDATE "sql_plain" SET "amount_now" = ("amount_now" + $1) WHERE "code" = $2'
