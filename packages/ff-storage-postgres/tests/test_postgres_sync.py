"""`Postgres`: psycopg's values, sessions and failures."""

from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
import sys
import textwrap
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import servers
from ff_storage.core.context import utc_now
from ff_storage.core.database import IsolationLevel
from ff_storage.core.errors import (
    AuthenticationFailed,
    CommitOutcomeUnknown,
    ConfigurationError,
    ConnectionFailure,
    ConnectionLost,
    DatabaseError,
    InvalidValueError,
    QueryError,
    QueryTimeout,
    SerializationFailure,
    StorageError,
    TransactionAborted,
    UniqueViolation,
)
from ff_storage.core.model import Field, PydanticModel
from ff_storage.core.repository import SyncRepository
from ff_storage.postgres import Postgres

SECRET = "S3CR3T-☃"


class Reading(PydanticModel):
    """A model with what drivers differ about."""

    __table_name__ = "sync_readings"
    __multi_tenant__ = False

    name: str = Field(max_length=40)
    taken: dt.datetime = dt.datetime(2024, 1, 31, 12, tzinfo=dt.UTC)
    data: dict[str, Any] = Field(default_factory=dict)


@pytest.fixture
def db(empty_database: str) -> Iterator[Postgres]:
    with Postgres.from_url(empty_database) as db:
        yield db


@pytest.fixture
def killer(empty_database: str) -> Iterator[Callable[[Postgres], None]]:
    """Ends the server's side of a database's connections, as an administrator does."""
    with Postgres.from_url(empty_database, application_name="killer") as other:

        def kill(_: Postgres) -> None:
            found = other.read_query(
                "SELECT pg_terminate_backend(pid, 10000) AS done FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'ff-storage'"
            )
            assert found
            assert all(row["done"] for row in found)

        yield kill


def create(db: Postgres, model: type[PydanticModel]) -> None:
    with db.transaction():
        for statement in db.dialect.schema().create_table(model.__ff_entity__.table):
            db.execute(statement)


# --- placeholders ----------------------------------------------------------------------------------------------------


def test_placeholders_go_by_name_or_in_order(db: Postgres) -> None:
    text = "SELECT %(a)s::int AS x, %(b)s::text AS y, %(a)s::int + 1 AS z"
    assert db.read_query(text, {"b": "é", "a": 1, "unused": None}) == [{"x": 1, "y": "é", "z": 2}]
    assert db.read_query("SELECT %s::int AS x, %s::text AS y", {"any": 1, "name": "b"}) == [{"x": 1, "y": "b"}]
    assert db.read_query("SELECT %s::int AS x, %s::text AS y", (1, "b")) == [{"x": 1, "y": "b"}]


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("SELECT 'a%' AS x", None, "a%"),
        ("SELECT 'a%%' AS x", None, "a%%"),
        ("SELECT 'a%%' || %s::text AS x", ["b"], "a%b"),
        ("SELECT 7 %% %s AS x", [4], 3),
        ("SELECT 7 % 4 AS x", None, 3),
        ("SELECT '%s' || %s::text AS x", ["b"], "%sb"),
        ("SELECT $$%s$$ || $tag$ '%(a)s' $tag$ || %s::text AS x", ["b"], "%s '%(a)s' b"),
        ("SELECT E'\\'%s' || %s::text AS x -- %s\n /* %(b)s */", ["b"], "'%sb"),
        ('SELECT %s::text AS "x"', ["%s"], "%s"),
        ("SELECT '{\"a\": 1}'::jsonb ? %s AS x", ["a"], True),
        ("SELECT %(n)s::int AS x", {"n": 5}, 5),
        ("SELECT %(a name)s::int AS x", {"a name": 5}, 5),
    ],
)
def test_what_stands_in_a_text_is_left_alone(db: Postgres, text: str, params: Any, expected: Any) -> None:
    assert [*db.read_query(text, params)[0].values()] == [expected]


@pytest.mark.parametrize(
    ("text", "params", "words"),
    [
        ("SELECT $1::int", [1], "%s"),
        ("SELECT $1::int", {"a": 1}, "%s"),
        ("SELECT * FROM t WHERE a = ?", [1], "%s"),
        ("SELECT %s::int", None, "0 values"),
        ("SELECT %(a)s::int", None, "no value has that name"),
        ("SELECT %(a)s::int", [1], "have names"),
        ("SELECT %(a)s::int", {"b": 1}, "%(a)s"),
        ("SELECT %(a)s::int, %s", {"a": 1}, "not both"),
        ("SELECT %s::int, %s::int", {"a": 1}, "2 placeholders"),
        ("SELECT 1 WHERE 1 IN %s", [(1, 2)], "= ANY(%s)"),
        ("SELECT 1 WHERE 1 IN %(a)s", {"a": [1]}, "= ANY(%(a)s)"),
        ("SELECT %s", [object()], "adapt"),
        ("SELECT %s", ["a\0b"], "NUL"),
        ("SELECT %s", ["\ud800"], "Unicode"),
        ("SELECT %s", [{"a": object()}], "JSON"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_right_form(db: Postgres, text: str, params: Any, words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        db.read_query(text, params)
    assert words in str(caught.value)
    assert db.read_query("SELECT 1 AS one") == [{"one": 1}]


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@given(
    text=st.text(LETTERS),
    data=st.binary(),
    numbers=st.lists(st.integers(-(2**63), 2**63 - 1)),
    words=st.lists(st.text(LETTERS)),
    json=st.dictionaries(st.text(LETTERS), st.none() | st.booleans() | st.text(LETTERS) | st.integers(-(2**53), 2**53)),
    amount=st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20),
    moment=st.datetimes(timezones=st.just(dt.UTC)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_raw_values_come_back_as_they_went(db: Postgres, **values: Any) -> None:
    kinds = {
        "text": "text", "data": "bytea", "numbers": "bigint[]", "words": "text[]", "json": "jsonb",
        "amount": "numeric", "moment": "timestamptz",
    }  # fmt: skip
    text = ", ".join(f"%({name})s::{kind} AS {name}" for name, kind in kinds.items())
    assert db.read_query(f"SELECT {text}", values) == [values]


def test_raw_values_are_plain_python(db: Postgres) -> None:
    db.execute("SET TIME ZONE 'Asia/Tokyo'")
    row = db.read_query(
        "SELECT %s AS number, %s AS amount, now() AS moment, %s AS token, '[1, null]'::json AS list, 1.5::real AS real",
        [5, Decimal("1.50"), uuid.UUID(int=7)],
    )[0]
    assert [type(each) for each in row.values()] == [int, Decimal, dt.datetime, uuid.UUID, list, float]
    assert row["moment"].tzinfo is dt.UTC
    assert abs(row["moment"] - utc_now()) < dt.timedelta(hours=1)
    with pytest.raises(QueryError, match="cannot be read"):
        db.read_query("SELECT '20000-01-01'::date AS far")


def test_instants_of_models_are_in_utc_whatever_the_sessions_zone(db: Postgres) -> None:
    create(db, Reading)
    db.execute("SET TIME ZONE 'America/New_York'")
    db.execute("SET DateStyle TO 'ISO, DMY'")
    repo = SyncRepository(Reading, db)
    stored = repo.create(Reading(name="a", data={"a": [1, "é"]}))
    found = repo.get(stored.id)
    assert found == stored
    assert found is not None
    assert (found.taken, found.taken.tzinfo, found.data) == (
        dt.datetime(2024, 1, 31, 12, tzinfo=dt.UTC), dt.UTC, {"a": [1, "é"]},
    )  # fmt: skip
    assert repo.list({"taken": stored.taken}) == [stored]


def test_many_rows_go_by_copy_and_are_all_or_nothing(db: Postgres) -> None:
    create(db, Reading)
    repo = SyncRepository(Reading, db)
    rows = [Reading(name=f"{n}\t\\N\n\"'", data={"n": n}) for n in range(2500)]
    stored = repo.create_many(rows, batch_size=1000)
    assert {each.id: (each.name, each.data) for each in stored} == {each.id: (each.name, each.data) for each in rows}
    with pytest.raises(UniqueViolation):
        repo.create_many([*(Reading(name="new") for _ in range(1500)), rows[0]], batch_size=1000)
    assert repo.count() == 2500
    assert len(repo.list(limit=None)) == 2500


# --- what the server refuses -----------------------------------------------------------------------------------------


def shown(error: BaseException) -> str:
    """What a log and a debugger show of an error and of all that is chained behind it, frames included."""
    assert error.__traceback__ is not None
    error = error.with_traceback(error.__traceback__.tb_next)  # the first frame is the test's own
    texts = ["".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())]
    each: BaseException | None = error
    while each is not None:
        texts += [repr(each), repr(each.args), repr(vars(each))]
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (UniqueViolation, "INSERT INTO things VALUES (1, %s)"),
        (QueryError, "INSERT INTO things VALUES (2, repeat(%s, 9))"),
        (QueryError, "SELECT %s::text::date"),
        (QueryError, "SELECT %s::text::int"),
        (QueryError, "SELECT %s::jsonb"),
        (QueryError, "SELECT %s::text::regclass"),
        (QueryError, "SELEC %s"),
    ],
)
def test_no_value_is_in_an_error(db: Postgres, kind: type[StorageError], text: str) -> None:
    db.execute("CREATE TABLE things (id int PRIMARY KEY, name varchar(20))")
    db.execute("INSERT INTO things VALUES (1, %s)", [SECRET])

    def run(params: list[str]) -> StorageError:
        with pytest.raises(kind) as caught:
            db.execute(text, params)
        return caught.value

    error = run([SECRET])
    assert error.__cause__ is not None
    assert "S3CR3T" not in "".join(traceback.format_exception(error))
    assert "S3CR3T" not in repr(error.__cause__)


def test_a_statement_has_a_time_limit(empty_database: str) -> None:
    with Postgres.from_url(empty_database, query_timeout=0.2) as db:
        with pytest.raises(QueryTimeout):
            db.read_query("SELECT pg_sleep(30)")
        db.begin_transaction()
        with pytest.raises(QueryTimeout):
            db.read_query("SELECT pg_sleep(30)")
        with pytest.raises(TransactionAborted):
            db.read_query("SELECT 1")
        db.rollback_transaction()
        assert db.read_query("SELECT 1 AS one") == [{"one": 1}]
    with Postgres.from_url(empty_database, query_timeout=None) as db:
        assert db.read_query("SHOW statement_timeout") == [{"statement_timeout": "0"}]
    for wrong in (0, -1, 1e10):
        with pytest.raises(ConfigurationError):
            Postgres.from_url(empty_database, query_timeout=wrong)


def test_conflicts_of_transactions_are_serialization_failures(db: Postgres) -> None:
    db.execute("CREATE TABLE counters (n int)")
    db.execute("INSERT INTO counters VALUES (0)")
    with db.get_connection() as other:
        db.begin_transaction(IsolationLevel.REPEATABLE_READ)
        assert db.read_query("SELECT n FROM counters") == [{"n": 0}]
        other.execute("UPDATE counters SET n = 1")
        with pytest.raises(SerializationFailure):
            db.execute("UPDATE counters SET n = n + 1")
        db.rollback_transaction()
        assert db.read_query("SHOW transaction_isolation")[0]["transaction_isolation"] == "read committed"


def test_a_table_that_changes_under_a_prepared_statement(db: Postgres) -> None:
    """What is run often is prepared, and the server then refuses a result of another type."""
    db.execute("CREATE TABLE things (a int)")
    db.execute("INSERT INTO things VALUES (1)")
    for _ in range(10):
        assert db.fetch("SELECT * FROM things", ()) == [(1,)]
    with db.get_connection() as other:
        other.execute("ALTER TABLE things ALTER a TYPE text")
        assert db.fetch("SELECT * FROM things", ()) == [("1",)]
        for _ in range(10):
            db.fetch("SELECT * FROM things", ())
        other.execute("ALTER TABLE things ADD b int")
        db.begin_transaction()
        with pytest.raises(DatabaseError):
            db.fetch("SELECT * FROM things", ())
        db.rollback_transaction()
        assert db.fetch("SELECT * FROM things", ()) == [("1", None)]


# --- connections that break ------------------------------------------------------------------------------------------


def test_a_connection_that_broke_is_replaced(db: Postgres, killer: Callable[[Postgres], None]) -> None:
    killer(db)
    with pytest.raises(ConnectionLost) as caught:
        db.read_query("SELECT 1")
    assert caught.value.__cause__ is not None
    assert db.read_query("SELECT 1 AS one") == [{"one": 1}]


def test_a_transaction_that_lost_its_connection_is_over(db: Postgres, killer: Callable[[Postgres], None]) -> None:
    db.execute("CREATE TABLE things (id int)")
    db.begin_transaction()
    db.execute("INSERT INTO things VALUES (1)")
    killer(db)
    with pytest.raises(ConnectionLost):
        db.execute("INSERT INTO things VALUES (2)")
    with pytest.raises(TransactionAborted):
        db.execute("INSERT INTO things VALUES (3)")
    db.rollback_transaction()
    assert db.read_query("SELECT * FROM things") == []
    with pytest.raises(CommitOutcomeUnknown), db.transaction():
        db.execute("INSERT INTO things VALUES (4)")
        killer(db)
    assert not db.in_transaction
    assert db.read_query("SELECT * FROM things") == []


@pytest.mark.parametrize("noticed", [False, True])
def test_a_transaction_that_the_server_ended_is_not_one_of_unknown_outcome(empty_database: str, noticed: bool) -> None:
    """No COMMIT has reached it, whether or not a statement has met its end before."""
    with Postgres.from_url(empty_database, idle_timeout=0.2) as db:
        db.begin_transaction()
        db.execute("SELECT 1")
        time.sleep(0.5)
        if noticed:
            with pytest.raises(TransactionAborted):
                db.execute("SELECT 1")
        with pytest.raises(TransactionAborted):
            db.commit()
        assert db.read_query("SELECT 1", as_dict=False) == [(1,)]


def test_an_idle_connection_is_checked_first(empty_database: str, killer: Callable[[Postgres], None]) -> None:
    with Postgres.from_url(empty_database, check_after=0) as db:
        db.read_query("SELECT 1 AS one")
        killer(db)
        assert db.read_query("SELECT 1 AS one") == [{"one": 1}]
        db.execute("SET work_mem TO '1MB'")
        killer(db)
        with pytest.raises(ConnectionLost):  # what was set up would be gone without a word
            db.read_query("SHOW work_mem")
        assert db.read_query("SHOW work_mem")[0]["work_mem"] != "1MB"


def test_a_single_session_is_its_owners(db: Postgres) -> None:
    db.execute("SET work_mem TO '1MB'")
    db.execute("CREATE TEMP TABLE mine (a int)")
    assert db.read_query("SHOW work_mem") == [{"work_mem": "1MB"}]
    assert db.table_exists("mine")
    assert db.read_query("SELECT pg_try_advisory_lock(1) AS got") == [{"got": True}]
    with db.get_connection() as other:
        assert other.read_query("SELECT pg_try_advisory_lock(1) AS got") == [{"got": False}]


def test_a_shared_session_is_cleaned_before_others_meet_it(empty_database: str) -> None:
    with Postgres.from_url(empty_database, pool_size=2) as db:
        db.execute("SET work_mem TO '1MB'")
        db.execute("CREATE TEMP TABLE mine (a int)")
        db.read_query("SELECT pg_advisory_lock(1)")
        assert db.read_query("SHOW work_mem")[0]["work_mem"] != "1MB"
        assert not db.table_exists("mine")
        with db.get_connection() as other:
            assert other.read_query("SELECT pg_try_advisory_lock(1) AS got") == [{"got": True}]
        assert db.read_query("SHOW statement_timeout") == [{"statement_timeout": "30s"}]


# --- opening ---------------------------------------------------------------------------------------------------------


def test_connecting_never_creates_a_database(empty_database: str, db: Postgres) -> None:
    missing = empty_database.rpartition("/")[0] + "/ff_no_such_database"
    for _ in range(2):
        with pytest.raises(ConnectionFailure, match="does not exist"):
            Postgres.from_url(missing).connect()
    assert db.read_query("SELECT 1 FROM pg_database WHERE datname = 'ff_no_such_database'") == []


def test_the_published_keywords_are_taken(empty_database: str) -> None:
    place = Postgres.from_url(empty_database)._address
    keywords: dict[str, Any] = {
        "dbname": place.dbname, "user": place.user, "password": "ignored", "host": place.host, "port": place.port,
    }  # fmt: skip
    with Postgres(**keywords, query_timeout=5, idle_timeout=5) as db:
        assert db.read_query("SELECT current_database() AS name") == [{"name": place.dbname}]
    for name in ("validate_queries", "strict_validation", "collect_metrics"):
        with pytest.warns(DeprecationWarning, match=name):
            Postgres(**keywords, **{name: True})
    with pytest.raises(ConfigurationError, match="pool_size"):
        Postgres(**keywords, poolsize=2)
    with pytest.raises(ConfigurationError):
        Postgres.from_url(empty_database, dbname="twice")
    with pytest.raises(ConfigurationError):
        Postgres.from_url(empty_database + "?nope=1")


def test_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(ConnectionFailure, match=str(port)) as caught:
        Postgres("a", "b", SECRET, "127.0.0.1", port).connect()
    assert caught.value.transient
    assert "S3CR3T" not in shown(caught.value)


def test_a_silent_server_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        db = Postgres("a", "b", SECRET, "127.0.0.1", silent.getsockname()[1], connect_timeout=1)
        with pytest.raises(ConnectionFailure, match="no answer") as caught:
            db.connect()
    assert caught.value.transient
    assert "S3CR3T" not in shown(caught.value)
    assert not db.is_connected()


def test_a_server_without_tls_is_refused_where_tls_is_wanted(empty_database: str, postgres_server: Any) -> None:
    del postgres_server
    with pytest.raises(ConnectionFailure, match="does not speak TLS"):
        Postgres.from_url(empty_database, sslmode="require").connect()


def test_passwords_and_certificates(tmp_path: Path) -> None:
    if "system" not in servers.postgres_binaries():
        servers.unavailable("postgres", "the system's, which speaks TLS")
    authority = servers.Authority()
    root = str(authority.root(tmp_path / "root.pem"))
    with servers.cluster("system", access=servers.PASSWORDS_OVER_TLS, authority=authority) as cluster:
        cluster.ask(f"CREATE ROLE writer LOGIN PASSWORD '{SECRET}'")
        good: dict[str, Any] = {
            "dbname": "postgres", "user": "writer", "password": SECRET, "host": "127.0.0.1", "port": cluster.port,
        }  # fmt: skip
        with Postgres(**good, sslrootcert=root) as db:
            assert db.read_query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [{"ssl": True}]
            assert "S3CR3T" not in repr(db) + repr(vars(db))
        with Postgres(**good, sslmode="require") as db:
            assert db.is_connected()
        wrong: list[tuple[type[StorageError], dict[str, Any]]] = [
            (AuthenticationFailed, {**good, "password": "wr0ng-" + SECRET, "sslrootcert": root}),
            (AuthenticationFailed, {**good, "sslmode": "disable"}),
            (AuthenticationFailed, {**good, "user": "nobody", "sslrootcert": root}),
            (AuthenticationFailed, {**good, "password": None, "sslrootcert": root}),
            (ConfigurationError, {**good, "sslmode": "verify-full"}),
            (ConfigurationError, {**good, "sslmode": "verify-ca"}),
            (ConfigurationError, {**good, "sslmode": "verify-full", "sslrootcert": str(tmp_path / "missing.pem")}),
        ]
        for kind, keywords in wrong:
            with pytest.raises(kind) as caught:
                Postgres(**keywords).connect()
            assert type(caught.value) is kind
            assert caught.value.remedy
            assert "S3CR3T" not in shown(caught.value)


def test_an_ssl_context_is_refused(empty_database: str) -> None:
    import ssl

    with pytest.raises(ConfigurationError, match="SSLContext"):
        Postgres.from_url(empty_database, ssl=ssl.create_default_context())


# --- other processes -------------------------------------------------------------------------------------------------


def test_a_forked_process_leaves_the_connection_alone(empty_database: str) -> None:
    """In a process of its own: forking beside threads is what Python warns of."""
    script = """
        import os, sys
        from ff_storage import Postgres, WrongLoopError

        db = Postgres.from_url(sys.argv[1])
        db.connect()
        db.begin_transaction()
        db.execute("CREATE TABLE things (id int)")
        child = os.fork()
        if not child:
            try:
                for attempt in (lambda: db.read_query("SELECT 1"), db.commit_transaction):
                    try:
                        attempt()
                    except WrongLoopError:
                        continue
                    os._exit(3)
                db.close_connection()
                db.connect()
                assert db.read_query("SELECT 1 AS one") == [{"one": 1}]
                assert not db.table_exists("things")
                db.close_connection()
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        db.commit_transaction()
        assert db.table_exists("things")
        db.close_connection()
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), empty_database]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pooler_in_transaction_mode() -> None:
    with (
        servers.cluster(servers.postgres_sources()[0]) as cluster,
        servers.pgbouncer(cluster, 1) as bouncer,
        Postgres.from_url(bouncer.url("postgres"), pgbouncer=True) as db,
        Postgres.from_url(bouncer.url("postgres"), pgbouncer=True) as other,
    ):
        create(db, Reading)
        ours, theirs = SyncRepository(Reading, db), SyncRepository(Reading, other)
        for number in range(12):  # more often than psycopg needs to prepare a statement
            stored = ours.create(Reading(name=str(number)))
            assert theirs.get(stored.id) == stored
        with db.transaction():
            ours.create_many([Reading(name="x") for _ in range(10)])
        assert theirs.count() == 22
