"""What the server refuses is the library's error of the right class, and repeats no value; nor does what is chained."""

from __future__ import annotations

import asyncio
import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from ff_storage.core.database import Executor, IsolationLevel, Pool, open_pool
from ff_storage.core.errors import (
    CheckViolation,
    ConnectionLost,
    DatabaseError,
    DatabaseReadOnly,
    ForeignKeyViolation,
    IntegrityError,
    InvalidValueError,
    NotNullViolation,
    QueryError,
    QueryTimeout,
    SerializationFailure,
    StorageError,
    TransactionAborted,
    UniqueViolation,
)
from ff_storage.core.program import Target

SECRET = "S3CR3T-☃"

TABLES = """
    CREATE TABLE parents (id integer PRIMARY KEY, name varchar(20) UNIQUE);
    CREATE TABLE items (
        id integer PRIMARY KEY CHECK (id > 0), name varchar(20) NOT NULL, parent integer REFERENCES parents (id),
        span int4range, EXCLUDE USING gist (span WITH &&)
    );
    INSERT INTO parents VALUES (1, 'S3CR3T-☃'), (2, 'b');
    INSERT INTO items VALUES (1, 'a', 1, '[1, 5)');
"""


@pytest.fixture
async def pool(empty_database: str) -> AsyncIterator[Pool]:
    async with open_pool(empty_database, max_size=4) as pool:
        for statement in filter(str.strip, TABLES.split(";")):
            await pool.execute(statement)
        yield pool


def shown(error: BaseException) -> str:
    """What a log, a debugger and a pickle show of an error and of all that is chained behind it."""
    texts = ["".join(traceback.format_exception(error)), str(pickle.dumps(error))]
    each: BaseException | None = error
    while each is not None:
        texts += [repr(each), repr(each.args), repr(vars(each)), repr(getattr(each, "__notes__", ""))]
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\n".join(texts)


async def refused(work: Awaitable[Any], kind: type[StorageError]) -> StorageError:
    with pytest.raises(kind) as caught:
        await work
    assert type(caught.value) is kind
    assert caught.value.code in str(caught.value)
    assert "S3CR3T" not in shown(caught.value)
    return caught.value


# --- each class ------------------------------------------------------------------------------------------------------

SAID: list[tuple[type[StorageError], str, str, tuple[Any, ...]]] = [
    (UniqueViolation, "23505", "INSERT INTO parents VALUES ($1, $2)", (1, "x")),
    (UniqueViolation, "23505", "INSERT INTO parents VALUES ($1, $2)", (3, SECRET)),
    (UniqueViolation, "23505", "UPDATE parents SET name = $1 WHERE id = 2", (SECRET,)),
    (ForeignKeyViolation, "23503", "INSERT INTO items VALUES ($1, $2, $3)", (2, SECRET, 451)),
    (ForeignKeyViolation, "23503", "DELETE FROM parents WHERE id = $1", (1,)),
    (NotNullViolation, "23502", "INSERT INTO items (id, name) VALUES ($1, $2)", (2, None)),
    (NotNullViolation, "23502", "INSERT INTO items (name) VALUES ($1)", (SECRET,)),
    (CheckViolation, "23514", "INSERT INTO items VALUES ($1, $2)", (-1, SECRET)),
    (IntegrityError, "23P01", "INSERT INTO items (id, name, span) VALUES (2, $1, '[4, 6)')", (SECRET,)),
    (QueryError, "22001", "INSERT INTO parents VALUES (3, $1)", (SECRET * 9,)),
    (QueryError, "22003", "SELECT $1::text::smallint", ("99999",)),
    (QueryError, "22003", "SELECT 32767::smallint + $1::smallint", (1,)),
    (QueryError, "22007", "SELECT $1::text::date", (SECRET,)),
    (QueryError, "22008", "SELECT make_date($1::integer, 13, 45)", (1,)),
    (QueryError, "22012", "SELECT 1 / $1::integer", (0,)),
    (QueryError, "22021", "SELECT $1::text", (SECRET + "\0",)),
    (QueryError, "22023", "SELECT set_config('statement_timeout', $1, true)", (SECRET,)),
    (QueryError, "22P02", "SELECT $1::text::integer", (SECRET,)),
    (QueryError, "22P02", "SELECT $1::text::uuid", (SECRET,)),
    (QueryError, "22P02", "SELECT $1::text::jsonb", ('{"a": S3CR3T}',)),
    (QueryError, "22P02", "SELECT $1::jsonb", (SECRET,)),
    (QueryError, "22P02", "SELECT $1::text::integer[]", ("{" + SECRET,)),
    (QueryError, "22P02", "SELECT $1::text::point", (f'"{SECRET}" "x" {SECRET}',)),
    (QueryError, "2201B", "SELECT 'a' ~ $1::text", ("(" + SECRET,)),
    (QueryError, "42704", "SELECT set_config($1, 'x', true)", (SECRET,)),
    (QueryError, "42P01", "SELECT $1::text::regclass", (f'"{SECRET}"',)),
    (QueryError, "42601", "SELECT $1::text::regtype", (SECRET,)),
    (QueryError, "42601", "SELEC $1", (SECRET,)),
    (QueryError, "42601", "SELECT 1; SELECT 2", ()),
    (QueryError, "42703", "SELECT nope FROM items WHERE name = $1", (SECRET,)),
    (QueryError, "42883", "SELECT nope($1::text)", (SECRET,)),
    (QueryError, "42P01", "SELECT $1::text FROM nope", (SECRET,)),
    (QueryError, "42501", "SET SESSION AUTHORIZATION nope", ()),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "sqlstate", "sql", "arguments"), SAID, ids=lambda each: ascii(each)[:40])
async def test_what_the_server_refuses(
    pool: Pool, kind: type[StorageError], sqlstate: str, sql: str, arguments: tuple[Any, ...]
) -> None:
    """In each way to send a statement: the class, the SQLSTATE, the driver's own error behind it, and no value."""
    if sqlstate == "42501":
        sqlstate = "22023"  # a role that does not exist

    async def streamed() -> None:
        async with pool.stream(sql, *arguments) as rows:
            async for _ in rows:
                raise AssertionError("there is a row")

    ways = [pool.fetch_all, pool.fetch_one, pool.fetch_val, pool.execute]
    for work in (
        *(way(sql, *arguments) for way in ways),
        *([pool.execute_many(sql, [arguments])] if arguments else []),
        streamed(),
    ):
        error = await refused(work, kind)
        assert error.details["sqlstate"] == sqlstate
        assert error.__cause__ is not None
        assert type(error.__cause__).__module__.startswith("asyncpg")
    assert await pool.fetch_val("SELECT count(*) FROM items") == 1


async def test_what_the_statement_itself_says_is_said(pool: Pool) -> None:
    """A name that stands in the SQL is no value: without it the message would help nobody."""
    for sql, word in (
        ("SELEC 1", '"SELEC"'),
        ("SELECT * FROM nope", '"nope"'),
        ('SELECT * FROM "No pe"', '"No pe"'),
        ("SELECT * FROM NoPe", '"nope"'),
        ("SELECT items.nope FROM items", "items.nope"),
        ("INSERT INTO items (nope) VALUES (1)", '"nope"'),
    ):
        assert word in str(await refused(pool.fetch_all(sql), QueryError))


async def test_what_a_constraint_is_called_is_said(pool: Pool) -> None:
    unique = await refused(pool.execute("INSERT INTO parents VALUES (1, 'x')"), UniqueViolation)
    assert "parents_pkey" in str(unique)
    assert (unique.details["table"], unique.details["constraint"]) == ("parents", "parents_pkey")
    null = await refused(pool.execute("INSERT INTO items VALUES (5, NULL)"), NotNullViolation)
    assert "items.name" in str(null)
    assert (null.details["table"], null.details["column"]) == ("items", "name")


async def test_what_the_driver_refuses_is_never_sent_and_not_repeated(pool: Pool) -> None:
    """The driver puts the value into its message, and its own errors behind it do so too."""
    cases: list[tuple[str, Any]] = [
        ("integer", SECRET), ("uuid", SECRET), ("date", SECRET), ("timestamptz", SECRET), ("numeric", SECRET),
        ("bytea", SECRET), ("boolean", SECRET), ("inet", SECRET), ("integer[]", [SECRET]), ("text[]", SECRET),
        ("text", SECRET + "\ud800"), ("text", [SECRET]), ("text", {SECRET}), ("bigint", 2**70), ("interval", SECRET),
    ]  # fmt: skip
    for type_, value in cases:
        for work in (
            pool.fetch_all(f"SELECT $1::{type_}", value),
            pool.execute_many(f"SELECT $1::{type_}", [(value,)]),
        ):
            error = await refused(work, InvalidValueError)
            assert "$1" in str(error), type_
    many = await refused(pool.fetch_all("SELECT $1, $2", SECRET), InvalidValueError)
    assert "2 placeholders" in str(many)


@pytest.mark.parametrize("count", [2, 20])
async def test_a_bulk_repeats_no_value_either(pool: Pool, count: int) -> None:
    """By statements and by COPY, whose errors name the row in their context."""
    rows = [(100 + n, f"n{n}") for n in range(count)]
    wrong: list[tuple[type[StorageError], Any]] = [
        (UniqueViolation, (500, SECRET)),
        (QueryError, (500, SECRET * 9)),
        (QueryError, (500, SECRET + "\0")),
        (InvalidValueError, (SECRET, "x")),
        (InvalidValueError, (500, {SECRET})),
        (InvalidValueError, (500, SECRET + "\ud800")),
    ]
    sql, target = "INSERT INTO parents (id, name) VALUES ($1, $2)", Target(None, "parents", ("id", "name"))
    for kind, row in wrong:
        await refused(pool.call(lambda one, row=row: one.execute_many(sql, [*rows, row], target)), kind)
        await refused(pool.execute_many(sql, [*rows, row]), kind)
        assert await pool.fetch_val("SELECT count(*) FROM parents") == 2


# --- time, locks, conflicts ------------------------------------------------------------------------------------------


async def test_a_statement_out_of_the_server_s_time(pool: Pool) -> None:
    async def work() -> None:
        async with pool.transaction() as tx:
            await tx.execute("SET LOCAL statement_timeout = 50")
            await tx.fetch_all("SELECT pg_sleep(20), $1::text", SECRET)

    error = await refused(work(), QueryTimeout)
    assert error.details["sqlstate"] == "57014"
    assert await pool.fetch_val("SHOW statement_timeout") == "0"


async def test_a_statement_out_of_the_pool_s_time(empty_database: str) -> None:
    async with open_pool(empty_database, query_timeout=0.2) as pool:
        error = await refused(pool.fetch_all("SELECT pg_sleep(20), $1::text", SECRET), QueryTimeout)
        assert "query_timeout" in str(error)
        assert await pool.fetch_val("SELECT 1") == 1


async def test_a_lock_that_another_transaction_holds(pool: Pool) -> None:
    async with pool.transaction() as tx:
        await tx.execute("UPDATE parents SET name = 'x' WHERE id = 1")
        with pool.detached():
            error = await refused(
                pool.fetch_all("SELECT * FROM parents WHERE name = $1 FOR UPDATE NOWAIT", SECRET), SerializationFailure
            )
            assert error.details["sqlstate"] == "55P03"
            async with pool.transaction() as other:
                await other.execute("SET LOCAL lock_timeout = 50")
                await refused(other.execute("UPDATE parents SET name = 'y' WHERE id = 1"), SerializationFailure)
                await other.rollback()


async def test_a_deadlock(pool: Pool) -> None:
    """One of both is refused, and may run again; the other goes on."""
    both = asyncio.Barrier(2)

    async def update(first: int, second: int) -> None:
        async with pool.transaction() as tx:
            await tx.execute("SET LOCAL deadlock_timeout = 50")
            await tx.execute("UPDATE parents SET name = $1 WHERE id = $2", f"{SECRET}{first}", first)
            await both.wait()
            await tx.execute("UPDATE parents SET name = $1 WHERE id = $2", f"{SECRET}{second}x", second)

    results = await asyncio.gather(update(1, 2), update(2, 1), return_exceptions=True)
    (error,) = [each for each in results if each is not None]
    assert type(error) is SerializationFailure
    assert error.details["sqlstate"] == "40P01"
    assert "S3CR3T" not in shown(error)
    assert "run the whole transaction again" in str(error)


async def test_a_conflict_of_serializable_transactions(pool: Pool) -> None:
    async with pool.transaction(IsolationLevel.REPEATABLE_READ) as tx:
        await tx.fetch_all("SELECT * FROM parents")
        with pool.detached():
            await pool.execute("UPDATE parents SET name = 'z' WHERE id = 2")
        error = await refused(tx.execute("UPDATE parents SET name = $1 WHERE id = 2", SECRET), SerializationFailure)
        assert error.details["sqlstate"] == "40001"
        await tx.rollback()


async def test_a_write_where_nothing_may_be_written(pool: Pool) -> None:
    async with pool.transaction(readonly=True) as tx:
        error = await refused(tx.execute("INSERT INTO parents VALUES (9, $1)", SECRET), DatabaseReadOnly)
        assert error.details["sqlstate"] == "25006"
        await tx.rollback()


async def test_a_transaction_that_has_failed(pool: Pool) -> None:
    with pytest.raises(TransactionAborted):
        async with pool.transaction() as tx:
            await refused(tx.execute("SELECT 1 / 0"), QueryError)
            await tx.fetch_all("SELECT 1")


async def test_a_session_that_the_server_ends(pool: Pool) -> None:
    async with pool.acquire() as connection:
        own = await connection.fetch_val("SELECT pg_backend_pid()")
        async with pool.acquire() as other:
            await other.execute("SELECT pg_terminate_backend($1)", own)
        error = await refused(connection.fetch_all("SELECT $1::text", SECRET), ConnectionLost)
        assert isinstance(error, DatabaseError)
    assert await pool.fetch_val("SELECT 1") == 1


async def test_a_table_that_changes_under_a_prepared_statement_is_a_conflict(pool: Pool, empty_database: str) -> None:
    """The transaction cannot go on, and succeeds when it is run again."""
    attempts = 0

    async def count_columns(tx: Executor) -> int:
        nonlocal attempts
        attempts += 1
        await tx.fetch_all("SELECT 1")
        if attempts == 1:
            with pool.detached():
                await pool.execute("ALTER TABLE parents ADD COLUMN note text")
        row = await tx.fetch_one("SELECT * FROM parents")
        return len(row or ())

    async with open_pool(empty_database, min_size=1, max_size=1) as one:
        await one.fetch_all("SELECT * FROM parents")
        assert await one.run_in_transaction(count_columns) == 3
    assert attempts == 2
