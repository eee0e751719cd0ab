"""Typed statements have codecs of their own; nothing else on the connection does, before or afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import psycopg
import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import ConcurrencyError, ConnectionLost, InvalidRowError, InvalidValueError
from ff_storage.core.model import Field, PydanticModel
from ff_storage.core.query import Query, func
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.repository import PydanticRepository, SyncRepository
from ff_storage.postgres import Postgres
from ff_storage.postgres.codecs import InstantBytes, instant_of
from ff_storage.postgres.driver import Driver
from ff_storage.testing import create_tables

KEY = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)
ONE = Decimal("1.50")

VALUES = f"""
    SELECT '{NOON.isoformat()}'::timestamptz AS moment, 1.50::numeric AS number, '{KEY}'::uuid AS key,
           ARRAY['{NOON.isoformat()}'::timestamptz] AS moments, ARRAY[1.50, NULL] AS numbers,
           ARRAY['{KEY}'::uuid] AS keys
"""
NESTED = f"""
    SELECT ROW('{NOON.isoformat()}'::timestamptz, 1.50::numeric, '{KEY}'::uuid) AS record, (p).* , p AS pair,
           tstzrange('{NOON.isoformat()}', NULL) AS span, numrange(1.50, 2) AS range
    FROM (SELECT ROW('{NOON.isoformat()}', 1.50, '{KEY}')::codec_pair AS p) AS pairs
"""


class Codec(PydanticModel):
    """A row with everything that has a codec."""

    __table_name__ = "codec_rows"
    __multi_tenant__ = False

    moment: dt.datetime
    price: Decimal = Field(max_digits=10, decimal_places=2)
    other: uuid.UUID
    moments: list[dt.datetime]
    prices: list[Decimal]
    others: list[uuid.UUID]


def row(**values: Any) -> Codec:
    lists = {"moments": [NOON], "prices": [ONE], "others": [KEY]}
    return Codec(**({"moment": NOON, "price": ONE, "other": KEY} | lists | values))


def seen(codec: Codec) -> tuple[Any, ...]:
    values = codec.moment, codec.price, codec.other, codec.moments, codec.prices, codec.others
    assert {type(codec.id), type(codec.other), *map(type, codec.others)} == {uuid.UUID}
    assert {each.tzinfo for each in (codec.created_at, codec.moment, *codec.moments)} == {dt.UTC}
    return values


AS_STORED = (NOON, ONE, KEY, [NOON], [ONE], [KEY])


@pytest.fixture(params=["python", "pgbouncer"])
async def pool(request: pytest.FixtureRequest, empty_database: str) -> AsyncIterator[Pool]:
    """A pool of one connection; `pgbouncer=True` prepares every statement anew."""
    async with open_pool(empty_database, max_size=1, pgbouncer=request.param == "pgbouncer") as opened:
        await create_tables(opened, Codec)
        await opened.execute("CREATE TYPE codec_pair AS (moment timestamptz, number numeric, key uuid)")
        yield opened


def assert_plain(found: dict[str, Any]) -> None:
    assert found == {
        "moment": NOON, "number": ONE, "key": KEY, "moments": [NOON], "numbers": [ONE, None], "keys": [KEY]
    }  # fmt: skip
    assert {type(found["key"]), type(found["keys"][0])} == {uuid.UUID}
    assert {found["moment"].tzinfo, found["moments"][0].tzinfo} == {dt.UTC}


async def assert_nested(pool: Pool) -> None:
    found = await pool.fetch_one(NESTED)
    assert tuple(found["record"]) == tuple(found["pair"]) == (NOON, ONE, KEY)
    assert (found["moment"], found["number"], found["key"]) == (NOON, ONE, KEY)
    assert found["span"] == asyncpg.Range(NOON, None)
    assert found["range"] == asyncpg.Range(ONE, Decimal(2))


async def test_raw_sql_has_plain_values_between_typed_statements(pool: Pool) -> None:
    repository = PydanticRepository(Codec, pool)
    for number in range(3):
        stored = await repository.create(row())
        assert seen(stored) == seen(await repository.get(stored.id)) == AS_STORED
        assert await repository.count() == number + 1
        assert_plain(await pool.fetch_one(VALUES))
        await assert_nested(pool)
        async with pool.stream(VALUES) as rows:
            assert_plain(await anext(rows))
        async with Query(Codec).stream(pool) as typed:
            assert [seen(each) async for each in typed] == [AS_STORED] * (number + 1)
        sums = await Query(Codec).select(func.sum(Codec.price), func.max(Codec.moment)).execute(pool)
        assert sums == [(ONE * (number + 1), NOON)]


async def test_raw_sql_of_the_words_of_a_typed_statement(pool: Pool) -> None:
    stored = await PydanticRepository(Codec, pool).create(row())
    text = 'SELECT "id", "moment", "price" FROM codec_rows'
    for _ in range(2):
        assert [tuple(each) for each in await pool.fetch(text, ())] in (
            [(stored.id.bytes, NOON, ONE)],
            [(stored.id, NOON, ONE)],
        )
        assert await pool.fetch_one(text, as_dict=False) == (stored.id, NOON, ONE)


async def test_a_typed_statement_may_return_what_has_no_text(pool: Pool) -> None:
    """Ranges and composites cannot hold types that asyncpg has as text, so then there are none."""
    for _ in range(2):
        ((record, moment, number, _, pair, span, range_),) = await pool.fetch(NESTED, ())
        assert tuple(record)[:2] == tuple(pair)[:2] == (moment, number) == (NOON, ONE)
        assert (span.lower, range_.lower) == (NOON, ONE)
    assert seen(await PydanticRepository(Codec, pool).create(row())) == AS_STORED
    await assert_nested(pool)


async def test_a_codec_of_the_callers_own_stays(pool: Pool) -> None:
    async with pool.acquire() as lease:
        driver: Any = lease.member.connection.driver  # type: ignore[attr-defined]
        await driver.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=float, format="text")
        for number in range(2):
            stored = await PydanticRepository(Codec, lease).create(row())
            assert seen(await PydanticRepository(Codec, lease).get(stored.id)) == AS_STORED
            assert await driver.fetchval(f"SELECT {number} + 1.5::numeric") == number + 1.5
            assert type(await driver.fetchval(f"SELECT {number} + 2.5::numeric")) is float


@pytest.mark.parametrize("name", ["numeric", "decimal", "NUMERIC"])
async def test_a_codec_of_the_callers_own_stays_by_any_name(pool: Pool, name: str) -> None:
    await PydanticRepository(Codec, pool).create(row())
    async with pool.acquire() as lease:
        driver: Any = lease.member.connection.driver  # type: ignore[attr-defined]
        for number in range(2):
            await driver.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=float, format="text")
            assert [seen(each) for each in await Query(Codec).limit(10 + number).execute(lease)] == [AS_STORED]
            assert type(await driver.fetchval(f"SELECT {number} + 2.5::numeric")) is float
            await driver.set_builtin_type_codec(name, schema="pg_catalog", codec_name="text", format="text")
            assert [seen(each) for each in await Query(Codec).limit(20 + number).execute(lease)] == [AS_STORED]
            assert await driver.fetchval(f"SELECT {number} + 2.5::numeric") == f"{number + 2}.5"
            await driver.reset_type_codec(name, schema="pg_catalog")
            assert [seen(each) for each in await Query(Codec).limit(30 + number).execute(lease)] == [AS_STORED]
            assert type(await driver.fetchval(f"SELECT {number} + 2.5::numeric")) is Decimal


async def test_types_are_asked_about_once(pool: Pool) -> None:
    asked: list[frozenset[int]] = []

    def listen(logged: Any) -> None:
        if "typeinfo" in logged.query:
            asked.append(frozenset(logged.args[0]))

    async with pool.acquire() as lease:
        driver: Any = lease.member.connection.driver  # type: ignore[attr-defined]
        driver.add_query_logger(listen)
        await PydanticRepository(Codec, lease).create(row())
        statement = await driver.prepare(f"{VALUES.rstrip()}, ROW(ARRAY[1.50]) AS record")
        for limit in range(1, 5):
            assert [seen(each) for each in await Query(Codec).limit(limit).execute(lease)] == [AS_STORED]
            assert_plain(await lease.fetch_one(VALUES))
            assert [each.type.name for each in statement.get_attributes()][-2:] == ["uuid[]", "record"]
            assert (await driver.fetchval("SELECT ROW(ARRAY[1.50])"))[0] == [ONE]
        driver.remove_query_logger(listen)
    assert asked
    assert len(asked) == len({*asked})


async def test_a_type_that_changes_is_asked_about_again(pool: Pool) -> None:
    text = "SELECT pair FROM (SELECT ROW(NULL, 1.50, NULL)::codec_pair AS pair) AS pairs"
    assert len((await pool.fetch_one(text))["pair"]) == 3
    await PydanticRepository(Codec, pool).list()
    await pool.execute("ALTER TYPE codec_pair DROP ATTRIBUTE key")
    changed = text.replace(", NULL)", ")")
    async with pool.acquire() as lease:
        driver: Any = lease.member.connection.driver  # type: ignore[attr-defined]
        await driver.reload_schema_state()
        assert tuple((await lease.fetch_one(changed))["pair"]) == (None, ONE)
        await PydanticRepository(Codec, lease).list()
        assert tuple((await lease.fetch_one(f"{changed} -- again"))["pair"]) == (None, ONE)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "Africa/Monrovia", "UTC"])
@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
        dt.datetime(1, 1, 1, 15, 0, tzinfo=dt.UTC),
        dt.datetime(999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 9, 0, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=dt.UTC),
    ],
)
async def test_the_first_and_the_last_hours_of_all_come_back(pool: Pool, zone: str, moment: dt.datetime) -> None:
    async with pool.acquire() as lease:
        repository = PydanticRepository(Codec, lease)
        await repository.create(row())
        await repository.list()
        await lease.execute(f"SET TimeZone = '{zone}'")  # after the statement was prepared
        stored = await repository.create(row(moment=moment, moments=[moment]))
        assert seen(await repository.get(stored.id)) == (moment, ONE, KEY, [moment], [ONE], [KEY])
        assert len(await repository.list()) == 2
        assert await lease.fetch_val("SELECT min(moment) FROM codec_rows WHERE moment = $1", moment) == moment


@pytest.mark.parametrize("moment", ["10000-01-01 06:00Z", "0001-12-31 11:00Z BC", "0002-01-01 BC", "10001-01-01Z"])
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
async def test_an_instant_that_python_has_not_is_refused_in_any_zone(pool: Pool, zone: str, moment: str) -> None:
    async with pool.acquire() as lease:
        await lease.execute(f"SET TimeZone = '{zone}'")
        await PydanticRepository(Codec, lease).create(row())
        await lease.execute("UPDATE codec_rows SET moment = $1::text::timestamptz", moment)
        with pytest.raises(InvalidRowError):
            await PydanticRepository(Codec, lease).list()


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "Africa/Monrovia"])
async def test_instants_are_in_utc_whatever_the_sessions_zone(pool: Pool, zone: str) -> None:
    long_ago = dt.datetime(1850, 1, 1, 12, 0, 0, 1, tzinfo=dt.UTC)  # local mean time: an offset with seconds
    async with pool.acquire() as lease:
        await lease.execute(f"SET TimeZone = '{zone}'")
        await bulk_insert(Codec, [row(moment=long_ago), *[row() for _ in range(30)]], lease)
        found = await Query(Codec).order_by(Codec.moment).execute(lease)
        assert [seen(each) for each in found] == [(long_ago, *AS_STORED[1:]), *[AS_STORED] * 30]
        assert await Query(Codec).filter(Codec.moment == NOON).count(lease) == 30
        assert_plain(await lease.fetch_one(VALUES))
        found[1].moment = long_ago
        await PydanticRepository(Codec, lease).update(found[1].id, found[1], expected=found[1])
        assert await Query(Codec).filter(Codec.moment == long_ago).count(lease) == 2


async def test_a_database_may_have_another_date_style(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE \"{name}\" SET DateStyle = 'German'")  # type: ignore[arg-type]
        try:
            async with open_pool(empty_database) as pool:
                await create_tables(pool, Codec)
                await PydanticRepository(Codec, pool).create(row())
                assert [seen(each) for each in await PydanticRepository(Codec, pool).list()] == [AS_STORED]
                assert_plain(await pool.fetch_one(VALUES))
        finally:
            connection.execute(f'ALTER DATABASE "{name}" RESET DateStyle')  # type: ignore[arg-type]


async def test_a_date_style_may_be_set_meanwhile(empty_database: str) -> None:
    async with open_pool(empty_database, max_size=1) as pool:
        await create_tables(pool, Codec)
        await PydanticRepository(Codec, pool).create(row())
        await PydanticRepository(Codec, pool).list()
        async with pool.acquire() as lease:
            await lease.execute("SET DateStyle = 'German'")
            assert [seen(each) for each in await PydanticRepository(Codec, lease).list()] == [AS_STORED]
            assert_plain(await lease.fetch_one(VALUES))
        assert [seen(each) for each in await PydanticRepository(Codec, pool).list()] == [AS_STORED]


async def test_a_date_style_that_is_set_in_a_stream_is_named(empty_database: str) -> None:
    async with open_pool(empty_database, max_size=1) as pool:
        await create_tables(pool, Codec)
        await bulk_insert(Codec, [row() for _ in range(10)], pool)
        async with pool.transaction() as tx:
            with pytest.raises(InvalidRowError, match="DateStyle"):
                async with Query(Codec).stream(tx, batch=2) as rows:
                    async for _ in rows:
                        await tx.execute("SET DateStyle = 'German'")


@pytest.mark.parametrize("moment", ["0044-03-15 BC", "20044-03-15"])
async def test_an_instant_that_python_has_not_is_refused(pool: Pool, moment: str) -> None:
    stored = await PydanticRepository(Codec, pool).create(row())
    await pool.execute("UPDATE codec_rows SET moment = $1::text::timestamptz", moment)
    for reading in (
        PydanticRepository(Codec, pool).get(stored.id),
        pool.fetch_one("SELECT moment FROM codec_rows"),
    ):
        with pytest.raises(InvalidRowError) as caught:
            await reading
        assert "44" not in f"{caught.value} {caught.value.__cause__}"
    assert await pool.fetch_val("SELECT count(*) FROM codec_rows") == 1


async def test_uuids_may_stay_the_drivers(empty_database: str) -> None:
    async with open_pool(empty_database, uuid="driver") as pool:
        await create_tables(pool, Codec)
        repository = PydanticRepository(Codec, pool)
        stored = await repository.create(row())
        found = await repository.get(stored.id)
        assert type(found.other) is type(found.id) is not uuid.UUID
        assert (found.id, found.other, found.others) == (stored.id, KEY, [KEY])
        assert await bulk_insert(Codec, [row() for _ in range(10)], pool) == 10
        assert await Query(Codec).filter(Codec.other == KEY).count(pool) == 11
        found.price = Decimal(2)
        assert (await repository.update(found.id, found, expected=found)).price == 2


PREPARED = r"""
    SELECT DISTINCT statement FROM pg_prepared_statements WHERE statement ~ '^SELECT .*\"?codec_rows\"? LIMIT 1$'
"""
MOMENTS = [
    dt.datetime.min.replace(tzinfo=dt.UTC),
    dt.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
    dt.datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
    NOON,
    dt.datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=dt.UTC),
    dt.datetime.max.replace(tzinfo=dt.UTC),
]


async def test_instants_of_a_bulk_insert_are_to_the_microsecond(pool: Pool) -> None:
    """And so are those of raw SQL in the words by which asyncpg finds out the types of a COPY."""
    rows = [row(moment=moment) for moment in MOMENTS * 200]
    assert await bulk_insert(Codec, rows, pool) == len(rows)
    found = {each.id: each.moment for each in await Query(Codec).execute(pool)}
    assert found == {each.id: each.moment for each in rows}
    async with pool.acquire() as lease:
        for moment in MOMENTS:
            await bulk_insert(Codec, [row(moment=moment) for _ in range(10)], lease)
            await lease.execute("DELETE FROM codec_rows WHERE moment <> $1", moment)
            texts = await lease.fetch_all(PREPARED, as_dict=False)
            assert len(texts) == (0 if pool._pgbouncer else 1)  # type: ignore[attr-defined]
            for (text,) in texts:
                (values,) = await lease.fetch_all(text)
                assert (values["moment"], values["other"]) == (moment, KEY)
            await lease.execute("DELETE FROM codec_rows")


async def test_a_copy_of_the_callers_own_takes_what_asyncpg_takes(empty_database: str) -> None:
    """Also of the columns that the library has copied to."""
    connection = await asyncpg.connect(empty_database, connection_class=Driver)
    try:
        await connection.execute("CREATE TABLE moments (moment timestamptz)")
        for moment in (NOON, dt.datetime(2024, 2, 29), dt.date(2024, 2, 29)):  # noqa: DTZ001 - a naive one is meant
            with connection.copying():
                await connection.copy_records_to_table("moments", columns=["moment"], records=[(NOON,)])
            await connection.copy_records_to_table("moments", columns=["moment"], records=[(moment,)])
        assert await connection.fetchval("SELECT COUNT(*) FROM moments") == 6
    finally:
        await connection.close()


async def test_the_memory_of_instants_is_bounded() -> None:
    memory = InstantBytes()
    moments = [NOON + dt.timedelta(seconds=number) for number in range(5_000)]
    assert [instant_of(memory[moment]) for moment in moments] == moments
    assert len(memory) <= 1_024
    assert [instant_of(memory[moment]) for moment in MOMENTS] == MOMENTS
    with pytest.raises(OverflowError):
        instant_of((2**62).to_bytes(8, "big"))


@pytest.mark.parametrize("change", [{"other": uuid.UUID(int=1)}, {"others": [uuid.UUID(int=1)]}])
async def test_rows_of_one_driver_guard_updates_by_another(empty_database: str, change: dict[str, Any]) -> None:
    async with open_pool(empty_database) as pool, open_pool(empty_database, uuid="driver") as other:
        await create_tables(pool, Codec)
        with Postgres.from_url(empty_database) as db:

            async def get(source: Any, key: Any) -> Codec | None:
                sync = source is db
                return SyncRepository(Codec, db).get(key) if sync else await PydanticRepository(Codec, source).get(key)

            for source, target in itertools.product([pool, other, db], repeat=2):
                key = (await PydanticRepository(Codec, pool).create(row())).id
                found, late = await get(source, key), await get(source, key)
                assert found is not None
                assert late is not None
                for instance, error in ((found, None), (late, ConcurrencyError)):
                    for name, value in change.items():
                        setattr(instance, name, value)
                    with pytest.raises(error) if error else contextlib.nullcontext():
                        if target is db:
                            SyncRepository(Codec, db).update(key, instance, expected=instance)
                        else:
                            await PydanticRepository(Codec, target).update(key, instance, expected=instance)


async def test_a_statement_that_is_no_text_is_no_row(pool: Pool) -> None:
    for run in (pool.execute, pool.fetch_one, pool.fetch_all):
        with pytest.raises(InvalidValueError, match="surrogate"):
            await run("SELECT '\ud800'")  # type: ignore[operator]


BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def blocked(other: psycopg.AsyncConnection[Any]) -> tuple[Any, ...]:
    """The process that waits for a lock, as soon as there is one."""
    while True:
        waiting = await (await other.execute(BLOCKED)).fetchone()
        if waiting is not None:
            return tuple(waiting)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", ["by the server", "by us"])
@pytest.mark.parametrize(
    ("mode", "work"),
    [
        ("SHARE", lambda db: bulk_insert(Codec, [row() for _ in range(50)], db)),
        ("ACCESS EXCLUSIVE", lambda db: Query(Codec).execute(db)),
    ],
    ids=["COPY", "prepare"],
)
async def test_a_connection_that_ends_under_a_statement_says_that_it_was_sent(
    pool: Pool, empty_database: str, mode: str, work: Callable[[Any], Awaitable[Any]], end: str
) -> None:
    async with await psycopg.AsyncConnection.connect(empty_database) as other:
        await other.execute(f"LOCK TABLE codec_rows IN {mode} MODE")  # type: ignore[arg-type]
        with pytest.raises(ConnectionLost) as caught:
            async with pool.acquire() as lease:
                working = asyncio.ensure_future(work(lease))
                waiting = await blocked(other)
                if end == "by us":
                    lease.member.connection.terminate()  # type: ignore[attr-defined]
                else:
                    await other.execute("SELECT pg_terminate_backend(%s)", waiting)
                await working
        assert caught.value.sent
    assert await pool.fetch_val("SELECT count(*) FROM codec_rows") == 0
