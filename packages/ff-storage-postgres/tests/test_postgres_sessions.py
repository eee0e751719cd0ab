"""A session that raw SQL has changed is brought back to its first state before anybody else meets it, and only then."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.errors import TransactionError
from ff_storage.postgres.session import leaves_session

# What surely leaves its session alone: rows, and functions without a state.
CLEAN = [
    "SELECT 1",
    "  \n select 1",
    "SELECT * FROM t WHERE a = $1 AND (b = $2 OR c IN ($3, $4))",
    "SELECT count(*), sum(a), coalesce(max(b), 0), lower(c) FROM t GROUP BY c HAVING count(*) > 1",
    "SELECT CAST(a AS numeric(10, 2)), a::varchar(3), now() FROM t ORDER BY (a) LIMIT (5)",
    "SELECT 'set_config(''a'')', \"set_config\" FROM t -- set_config('a', 'b', false)",
    "SELECT $$ set_config('a', 'b', false) $$",
    "SELECT 1 /* pg_advisory_lock(1) /* nested */ */",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "VALUES (1), (2)",
    "INSERT INTO t (a, b) VALUES ($1, $2)",
    "INSERT INTO public.t (a) SELECT a FROM u ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING a",
    'INSERT INTO "T x" ("a") VALUES (1)',
    "UPDATE t SET a = a + 1 WHERE b = $1 RETURNING a",
    "DELETE FROM t USING u WHERE t.a = u.a",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM t",
    "SELECT * FROM t FOR UPDATE SKIP LOCKED",
]

# What changes its session, or might.
DIRTY = [
    "SET search_path = x",
    "SET LOCAL search_path = x",
    "RESET ALL",
    "SET ROLE x",
    "BEGIN",
    "COMMIT",
    "LISTEN x",
    "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "CREATE TEMP TABLE t (a integer)",
    "CREATE TABLE t (a integer)",
    "SELECT 1 INTO TEMP t",
    "SELECT * INTO t FROM u",
    "WITH x AS (SELECT 1) SELECT * INTO t FROM x",
    "SELECT set_config('a.b', 'c', false)",
    "SELECT pg_catalog.set_config('a.b', 'c', false)",
    "SELECT SET_CONFIG ('a.b', 'c', false)",
    "SELECT set_config /* here */ ('a.b', 'c', false)",
    "SELECT set_config -- here\n('a.b', 'c', false)",
    "SELECT \"set_config\"('a.b', 'c', false)",
    "SELECT U&\"s\\0065t_config\"('a.b', 'c', false)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock($1)",
    "SELECT setseed(0.5)",
    "SELECT nextval('s')",
    "SELECT my_function(1)",
    "SELECT x.é(1)",
    "INSERT INTO t (a) VALUES (set_config('a.b', 'c', false)::integer)",
    "INSERT INTO t SELECT my_function(1)",
    "UPDATE t SET a = my_function(a)",
    "SELECT 1 /* /* */ ' */, set_config('a.b', 'c', false) /* ' */",
    "SELECT $x1$ ' $x1$, set_config('a.b', 'c', false), ' '",
    "DO $$ BEGIN PERFORM set_config('a.b', 'c', false); END $$",
    "CALL p()",
    "EXPLAIN ANALYZE SELECT set_config('a.b', 'c', false)",
    "DISCARD ALL",
    "TABLE t",
    "(SELECT 1)",
    "",
]


@pytest.mark.parametrize("text", CLEAN)
def test_what_surely_leaves_its_session_alone(text: str) -> None:
    assert leaves_session(text)


@pytest.mark.parametrize("text", DIRTY)
def test_what_may_change_its_session(text: str) -> None:
    assert not leaves_session(text)


# --- what is reset ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def pool(empty_database: str) -> AsyncIterator[Pool]:
    """One connection, so that whoever comes next meets the same session unless it was replaced."""
    async with open_pool(empty_database, max_size=1) as pool:
        await pool.execute("CREATE TABLE stays (a integer)")
        await pool.execute("CREATE SCHEMA other")
        yield pool


Ask = Callable[[Pool], Awaitable[Any]]


def asks(sql: str) -> Ask:
    return lambda pool: pool.fetch_val(sql)


OWN = "pid = pg_backend_pid()"

STATES: dict[str, tuple[str, str]] = {
    "a setting": ("SET work_mem = '17MB'", "SHOW work_mem"),
    "a setting by function": ("SELECT set_config('work_mem', '17MB', false)", "SHOW work_mem"),
    "a setting of one's own": (
        "SELECT set_config('app.tenant', 'evil', false)",
        "SELECT coalesce(current_setting('app.tenant', true), '')",
    ),
    "the search path": ("SET search_path = other", "SELECT current_schema()"),
    "the time zone": ("SET TIME ZONE 'Asia/Tokyo'", "SHOW TimeZone"),
    "the isolation of later transactions": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
        "SHOW default_transaction_isolation",
    ),
    "read only from here on": ("SET default_transaction_read_only = on", "SHOW default_transaction_read_only"),
    "the role": ("SET ROLE pg_monitor", "SELECT current_user::text"),
    "the user": ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user::text"),
    "a temporary table": (
        "CREATE TEMP TABLE stays AS SELECT 1 AS evil",
        "SELECT count(*) FROM information_schema.columns WHERE table_name = 'stays' AND column_name = 'evil'",
    ),
    "an advisory lock": (
        "SELECT pg_advisory_lock(451)",
        f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {OWN}",
    ),
    "a channel": ("LISTEN evil", "SELECT count(*) FROM pg_listening_channels()"),
    "a prepared statement": (
        "PREPARE evil AS SELECT 1",
        "SELECT count(*) FROM pg_prepared_statements WHERE name = 'evil'",
    ),
    "a cursor that is held": (
        "DECLARE evil CURSOR WITH HOLD FOR SELECT 1",
        "SELECT count(*) FROM pg_cursors WHERE name = 'evil'",
    ),
    "a transaction": ("BEGIN", f"SELECT (xact_start = query_start)::text FROM pg_stat_activity WHERE {OWN}"),
    "the place in a sequence": (
        "SELECT nextval('numbers')",
        "SELECT count(*) FROM pg_stat_activity WHERE pid = 0",
    ),
    "a timeout": ("SET statement_timeout = 12345", "SHOW statement_timeout"),
}


@pytest.mark.parametrize("state", sorted(STATES))
@pytest.mark.parametrize("way", ["pool", "lease", "transaction"])
async def test_the_state_of_a_session_does_not_outlive_its_use(pool: Pool, state: str, way: str) -> None:
    change, question = STATES[state]
    if way == "transaction" and state == "a transaction":
        change = "SAVEPOINT evil"
    await pool.execute("CREATE SEQUENCE numbers")
    before = await pool.fetch_val(question)
    if way == "pool":
        with pytest.raises(TransactionError) if state == "a transaction" else contextlib.nullcontext():
            await pool.execute(change)
    elif way == "lease":
        async with pool.acquire() as connection:
            await connection.execute(change)
    else:
        async with pool.transaction() as tx:
            await tx.execute(change)
    assert await pool.fetch_val(question) == before
    assert await pool.fetch_val("SELECT count(*) FROM stays") == 0


async def test_the_pool_s_own_statements_survive_a_reset(pool: Pool) -> None:
    """They are prepared in the session too, under the driver's names."""
    for _ in range(3):
        assert await pool.fetch_val("SELECT $1::integer + 1", 1) == 2
        await pool.execute("SET work_mem = '17MB'")
    assert await pool.fetch_val("SELECT $1::integer + 1", 1) == 2


async def test_rows_alone_reset_nothing(pool: Pool) -> None:
    """A reset costs a round trip, so it is not done where it is not needed: the same session, undisturbed."""
    async with pool.acquire() as connection:
        session = await connection.fetch_val("SELECT pg_backend_pid()")
    await pool.settle()
    opened = pool.stats().opened
    for _ in range(3):
        await pool.fetch_all("SELECT * FROM stays WHERE a = $1", 1)
        await pool.execute("INSERT INTO stays (a) VALUES ($1)", 1)
    last = "SELECT query FROM pg_stat_activity WHERE pid = $1"
    assert await pool.fetch_val("SELECT pg_backend_pid()") == session
    assert pool.stats().opened == opened
    assert "pg_stat_activity" in await pool.fetch_val(last, session)


async def test_settings_of_a_transaction_end_with_it(pool: Pool) -> None:
    async with pool.transaction() as tx:
        await tx.execute("SET LOCAL work_mem = '17MB'")
        assert await tx.fetch_val("SHOW work_mem") == "17MB"
    assert await pool.fetch_val("SHOW work_mem") != "17MB"


async def test_a_session_behind_a_pooler_is_not_reset(empty_database: str) -> None:
    """It is somebody else's by then."""
    async with open_pool(empty_database, max_size=1, pgbouncer=True) as pool:
        await pool.execute("SET work_mem = '17MB'")
        assert await pool.fetch_val("SHOW work_mem") == "17MB"
