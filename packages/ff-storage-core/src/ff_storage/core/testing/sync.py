"""Synchronous databases: raw statements, transactions, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Final

import pytest

from ff_storage.core.database import IsolationLevel, PoolSettings
from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import (
    ConcurrentUseError,
    ConfigurationError,
    DatabaseError,
    InvalidValueError,
    PoolClosed,
    PoolTimeout,
    TransactionAborted,
    TransactionAlreadyStarted,
    TransactionError,
    TransactionNotStarted,
    UniqueViolation,
)
from ff_storage.core.sql.dialect import Capability
from ff_storage.core.testing.conformance import connections, replaced_tests, requires, why_skipped

HANG: Final = 30.0
"""Seconds after which a thread counts as hung; no test waits for it."""

TABLE: Final = "kit_plain"

CREATE: Final = f"CREATE TABLE {TABLE} (code VARCHAR(20) NOT NULL PRIMARY KEY, name VARCHAR(80) NOT NULL, note INTEGER)"


class SyncTests:
    """The base: a subclass sets the class of its databases and gives the fixture `database`, a URL.

    `placeholder` is the engine's marker of a value in raw SQL. `max_connections` is set where a database serves only so
    many (one, in memory).
    """

    capabilities: ClassVar[frozenset[Capability]]
    database_class: ClassVar[type[SQL]]
    placeholder: ClassVar[str]
    begin: ClassVar[str] = "BEGIN"
    """The engine's statement that begins a transaction in raw SQL."""
    max_connections: ClassVar[int | None] = None
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _capable(self, request: pytest.FixtureRequest) -> None:
        """Skip what the engine cannot do, and what needs more connections than there are."""
        reason = why_skipped(request.function, self.capabilities, self.max_connections)
        if reason:
            pytest.skip(reason)

    @pytest.fixture
    def open_sync(self, database: str) -> Iterator[Callable[..., SQL]]:
        """Makes connected databases on the test's own URL, and closes them afterwards."""
        opened: list[SQL] = []

        def connected(**options: Any) -> SQL:
            db = self.database_class.from_url(database, **{**self.options, **options})
            opened.append(db)
            db.connect()
            return db

        yield connected
        for db in opened:
            db.close_connection()

    @pytest.fixture
    def db(self, open_sync: Callable[..., SQL]) -> SQL:
        """A connected database with an empty table."""
        db = open_sync()
        db.execute(CREATE)
        return db

    def test_no_standard_test_is_replaced(self) -> None:
        """A subclass may expect a standard test to fail, with a reason; it may not replace or drop one."""
        assert replaced_tests(type(self)) == {}

    def insert(self, db: SQL, *codes: str) -> None:
        """Store rows."""
        for code in codes:
            db.execute(self.insertion, [code, code * 2])

    @property
    def insertion(self) -> str:
        """An INSERT of a code and a name."""
        return f"INSERT INTO {TABLE} (code, name) VALUES ({self.placeholder}, {self.placeholder})"

    def codes(self, db: SQL) -> list[str]:
        """The codes of the stored rows, in order."""
        return [code for (code,) in db.read_query(f"SELECT code FROM {TABLE} ORDER BY code", as_dict=False)]


class SyncRawTests(SyncTests):
    """Statements as a caller writes them."""

    def test_rows_are_dicts_or_tuples(self, db: SQL) -> None:
        self.insert(db, "aa", "bb")
        text = f"SELECT code, name FROM {TABLE} ORDER BY code"
        assert db.read_query(text) == [{"code": "aa", "name": "aaaa"}, {"code": "bb", "name": "bbbb"}]
        assert db.read_query(text, as_dict=False) == [("aa", "aaaa"), ("bb", "bbbb")]
        assert db.read_query(f"SELECT code FROM {TABLE} WHERE 1 = 0") == []

    def test_values_bind_in_order_of_a_list_a_tuple_or_a_mapping(self, db: SQL) -> None:
        self.insert(db, "aa", "bb", "cc")
        mark = self.placeholder
        text = f"SELECT code FROM {TABLE} WHERE code = {mark} OR name = {mark} ORDER BY code"
        for params in (["aa", "cccc"], ("aa", "cccc"), {"code": "aa", "name": "cccc"}):
            assert db.read_query(text, params, as_dict=False) == [("aa",), ("cc",)]
        assert db.read_query(text, ["' OR '1'='1", "x'; --"]) == []

    def test_a_statement_is_text(self, db: SQL) -> None:
        wrong: list[Any] = [5, None, b"SELECT 1", ["SELECT 1"], object()]
        for sql in wrong:
            for call in (db.read_query, db.execute, db.execute_query):
                with pytest.raises(InvalidValueError, match="text"):
                    call(sql)
            with pytest.raises(InvalidValueError, match="text"):
                db.execute_many(sql, [])

    def test_values_that_do_not_fit_are_refused_with_the_right_form(self, db: SQL) -> None:
        text = f"SELECT code FROM {TABLE} WHERE code = {self.placeholder}"
        wrong: list[Any] = [None, [], ["a", "b"], {}, {"a": 1, "b": 2}, "a", b"a", 1, {"a"}]
        for params in wrong:
            with pytest.raises(InvalidValueError) as caught:
                db.read_query(text, params)
            assert caught.value.remedy
        with pytest.raises(InvalidValueError):
            db.read_query(f"SELECT code FROM {TABLE}", ["a"])
        with pytest.raises(InvalidValueError):
            db.read_query(f"SELECT code FROM {TABLE} WHERE code = :code", {"code": "a"})
        assert db.read_query(text, ["a"]) == []

    def test_a_percent_sign_of_a_text_without_values_is_itself(self, db: SQL) -> None:
        self.insert(db, "aa", "bb")
        assert db.read_query(f"SELECT code FROM {TABLE} WHERE name LIKE 'a%'", as_dict=False) == [("aa",)]

    def test_two_columns_of_one_name_are_no_dict(self, db: SQL) -> None:
        self.insert(db, "aa")
        text = f"SELECT code AS a, name AS a FROM {TABLE}"
        with pytest.raises(DatabaseError, match="one name"):
            db.read_query(text)
        assert db.read_query(text, as_dict=False) == [("aa", "aaaa")]

    def test_execute_counts_the_rows_it_touched(self, db: SQL) -> None:
        assert db.execute(self.insertion, ["aa", "x"]) == 1
        assert db.execute(self.insertion, ["bb", "x"]) == 1
        assert db.execute(f"UPDATE {TABLE} SET name = 'y'") == 2
        assert db.execute(f"UPDATE {TABLE} SET name = 'z' WHERE code = 'zz'") == 0
        assert db.execute(f"DELETE FROM {TABLE} WHERE code = {self.placeholder}", {"code": "aa"}) == 1
        assert self.codes(db) == ["bb"]

    @requires(Capability.RETURNING)
    def test_execute_query_returns_what_was_written(self, db: SQL) -> None:
        assert db.execute_query(f"{self.insertion} RETURNING code", {"code": "aa", "name": "x"}) == [{"code": "aa"}]
        assert self.codes(db) == ["aa"]

    def test_execute_many_is_all_or_nothing(self, db: SQL) -> None:
        rows = [[code, code * 2] for code in ("aa", "bb", "cc")]
        assert db.execute_many(self.insertion, iter(rows)) == 3
        with pytest.raises(UniqueViolation):
            db.execute_many(self.insertion, [["dd", "x"], ["ee", "x"], ["aa", "x"]])
        with pytest.raises(InvalidValueError):
            db.execute_many(self.insertion, [["dd", "x"], ["ee"]])
        assert db.execute_many(self.insertion, []) == 0
        assert self.codes(db) == ["aa", "bb", "cc"]
        assert db.execute_many(self.insertion, [{"code": "dd", "name": "x"}]) == 1

    def test_execute_many_takes_a_failing_iterator_back(self, db: SQL) -> None:
        def rows() -> Any:
            yield ["aa", "x"]
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            db.execute_many(self.insertion, rows())
        assert self.codes(db) == []
        self.insert(db, "bb")
        assert self.codes(db) == ["bb"]

    def test_arguments_that_use_the_database_are_refused(self, db: SQL) -> None:
        """Its only connection is in use while they are read; nothing hangs."""

        def rows() -> Any:
            yield ["aa", "x"]
            yield [db.read_query("SELECT 'bb'", as_dict=False)[0][0], "x"]

        with pytest.raises(ConcurrentUseError):
            db.execute_many(self.insertion, rows())
        with db.transaction(), pytest.raises(ConcurrentUseError):
            db.execute_many(self.insertion, rows())
        assert self.codes(db) == []

    def test_a_wrong_statement_is_the_librarys_error_with_the_drivers(self, db: SQL) -> None:
        for text in ("SELEC 1", "SELECT * FROM kit_no_such_table", f"SELECT no_such_column FROM {TABLE}"):
            with pytest.raises(DatabaseError) as caught:
                db.read_query(text)
            assert caught.value.__cause__ is not None
        assert db.read_query("SELEC 1", raise_on_error=False) == []
        assert self.codes(db) == []

    def test_several_statements_in_one_text_are_refused(self, db: SQL) -> None:
        for texts in (f"DELETE FROM {TABLE}; SELECT 1", f"SELECT 1; DELETE FROM {TABLE}"):
            self.insert(db, "aa")
            with pytest.raises(DatabaseError):
                db.execute(texts)
            assert self.codes(db) == ["aa"]
            db.execute(f"DELETE FROM {TABLE}")

    def test_tables_and_columns_are_described(self, db: SQL) -> None:
        assert db.table_exists(TABLE)
        assert not db.table_exists("kit_no_such_table")
        assert not db.table_exists(TABLE, schema="kit_no_such_schema")
        columns = db.get_table_columns(TABLE)
        assert [(each["column_name"], each["is_nullable"]) for each in columns] == [
            ("code", False), ("name", False), ("note", True),
        ]  # fmt: skip
        assert all(isinstance(each["data_type"], str) and "column_default" in each for each in columns)
        assert db.get_table_columns("kit_no_such_table") == []


class SyncTransactionTests(SyncTests):
    """What is committed, and what is not."""

    def test_a_call_outside_a_transaction_is_committed(self, db: SQL) -> None:
        self.insert(db, "aa")
        assert not db.in_transaction
        db.begin_transaction()
        db.rollback_transaction()
        assert self.codes(db) == ["aa"]

    def test_a_transaction_is_committed_or_rolled_back(self, db: SQL) -> None:
        db.begin_transaction()
        self.insert(db, "aa")
        assert db.in_transaction
        assert self.codes(db) == ["aa"]
        db.rollback_transaction()
        assert self.codes(db) == []
        db.begin_transaction()
        self.insert(db, "aa", "bb")
        db.execute_many(self.insertion, [["cc", "x"]])
        self.insert(db, "dd")
        db.commit_transaction()
        assert not db.in_transaction
        assert self.codes(db) == ["aa", "bb", "cc", "dd"]
        db.begin_transaction()
        self.insert(db, "ee")
        db.rollback()
        db.begin_transaction()
        self.insert(db, "ff")
        db.commit()
        assert self.codes(db) == ["aa", "bb", "cc", "dd", "ff"]

    def test_begin_and_commit_come_in_pairs(self, db: SQL) -> None:
        with pytest.raises(TransactionNotStarted):
            db.commit_transaction()
        db.rollback_transaction()
        db.begin_transaction()
        with pytest.raises(TransactionAlreadyStarted):
            db.begin_transaction()
        self.insert(db, "aa")
        db.commit_transaction()
        with pytest.raises(TransactionNotStarted):
            db.commit_transaction()
        assert self.codes(db) == ["aa"]

    def test_a_failed_statement_dooms_the_transaction(self, db: SQL) -> None:
        self.insert(db, "aa")
        db.begin_transaction()
        self.insert(db, "bb")
        with pytest.raises(UniqueViolation):
            self.insert(db, "aa")
        with pytest.raises(TransactionAborted):
            self.insert(db, "cc")
        with pytest.raises(TransactionAborted) as caught:
            db.commit_transaction()
        assert isinstance(caught.value.__cause__, UniqueViolation)
        db.rollback_transaction()  # as the seeds' except branch does, after any failure
        assert self.codes(db) == ["aa"]
        db.begin_transaction()
        with pytest.raises(UniqueViolation):
            self.insert(db, "aa")
        db.rollback_transaction()
        self.insert(db, "bb")
        assert self.codes(db) == ["aa", "bb"]

    def test_a_refused_argument_dooms_nothing(self, db: SQL) -> None:
        db.begin_transaction()
        self.insert(db, "aa")
        with pytest.raises(InvalidValueError):
            db.execute(self.insertion, ["bb"])
        db.commit_transaction()
        assert self.codes(db) == ["aa"]

    def test_a_block_commits_or_rolls_back(self, db: SQL) -> None:
        with db.transaction() as tx:
            assert tx is db
            self.insert(db, "aa")
        with pytest.raises(ZeroDivisionError), db.transaction():
            self.insert(db, "bb")
            raise ZeroDivisionError
        with pytest.raises(UniqueViolation), db.transaction():
            self.insert(db, "bb", "aa")
        with pytest.raises(TransactionAborted), db.transaction():
            self.insert(db, "bb")
            with pytest.raises(UniqueViolation):
                self.insert(db, "aa")
        assert self.codes(db) == ["aa"]
        assert not db.in_transaction

    def test_a_block_within_a_transaction_is_a_savepoint(self, db: SQL) -> None:
        self.insert(db, "aa")
        db.begin_transaction()
        self.insert(db, "bb")
        with pytest.raises(UniqueViolation), db.transaction():
            self.insert(db, "cc", "aa")
        with db.transaction():
            self.insert(db, "dd")
            with pytest.raises(ZeroDivisionError), db.transaction():
                self.insert(db, "ee")
                raise ZeroDivisionError
            with db.transaction():
                self.insert(db, "ff")
        db.commit_transaction()
        assert self.codes(db) == ["aa", "bb", "dd", "ff"]
        with pytest.raises(TransactionAborted), db.transaction(), db.transaction():
            self.insert(db, "gg")
            with pytest.raises(UniqueViolation):
                self.insert(db, "aa")
        assert self.codes(db) == ["aa", "bb", "dd", "ff"]

    def test_a_block_is_not_ended_by_hand(self, db: SQL) -> None:
        with pytest.raises(TransactionError), db.transaction():
            self.insert(db, "aa")
            db.commit_transaction()
        with pytest.raises(TransactionError), db.transaction():
            self.insert(db, "aa")
            db.rollback_transaction()
        db.begin_transaction()
        with pytest.raises(TransactionError), db.transaction():
            db.commit_transaction()
        db.rollback_transaction()
        assert self.codes(db) == []

    def test_a_transaction_begun_in_raw_sql_is_refused(self, db: SQL) -> None:
        with pytest.raises(TransactionError):
            db.execute(self.begin)
        assert not db.in_transaction
        self.insert(db, "aa")
        db.begin_transaction()
        self.insert(db, "bb")
        with pytest.raises(TransactionError):
            db.execute("ROLLBACK")
        with pytest.raises(TransactionError):
            db.commit_transaction()
        assert self.codes(db) == ["aa"]

    def test_a_read_only_transaction_refuses_writes(self, db: SQL) -> None:
        self.insert(db, "aa")
        db.begin_transaction(readonly=True)
        assert self.codes(db) == ["aa"]
        with pytest.raises(DatabaseError):
            self.insert(db, "bb")
        db.rollback_transaction()
        self.insert(db, "bb")
        with pytest.raises(TransactionAlreadyStarted), db.transaction(), db.transaction(readonly=True):
            pass
        assert self.codes(db) == ["aa", "bb"]

    @pytest.mark.parametrize("isolation", IsolationLevel)
    def test_every_isolation_level_can_be_asked_for(self, db: SQL, isolation: IsolationLevel) -> None:
        with db.transaction(isolation):
            self.insert(db, "aa")
        assert self.codes(db) == ["aa"]
        wrong: Any = "serialisable"
        with pytest.raises(InvalidValueError):
            db.begin_transaction(wrong)
        assert not db.in_transaction

    def test_an_interrupt_rolls_back(self, db: SQL) -> None:
        with pytest.raises(KeyboardInterrupt), db.transaction():
            self.insert(db, "aa")
            with db.transaction():
                self.insert(db, "bb")
                raise KeyboardInterrupt
        assert self.codes(db) == []
        self.insert(db, "cc")
        assert self.codes(db) == ["cc"]


class SyncConnectionTests(SyncTests):
    """Opening, closing and sharing."""

    def test_a_database_is_used_while_it_is_connected(self, database: str) -> None:
        db = self.database_class.from_url(database, **self.options)
        for attempt in (lambda: db.read_query("SELECT 1"), db.begin_transaction, db.commit, db.rollback):
            with pytest.raises(PoolClosed, match="connect"):
                attempt()
        assert not db.is_connected()
        assert db.get_open_connections() == 0
        db.close_connection()
        with db as same:
            assert same is db
            assert db.is_connected()
            assert db.get_open_connections() == 1
            db.connect()
            assert db.read_query("SELECT 1 AS one") == [{"one": 1}]
        assert not db.is_connected()
        with pytest.raises(PoolClosed):
            db.read_query("SELECT 1")
        db.close_connection()
        db.connect()
        assert db.read_query("SELECT 1 AS one") == [{"one": 1}]
        db.close_connection()

    @connections(2)
    def test_closing_rolls_back(self, db: SQL) -> None:
        twin = db.get_connection()
        twin.begin_transaction()
        self.insert(twin, "aa")
        twin.close_connection()
        assert not twin.in_transaction
        assert self.codes(db) == []
        self.insert(db, "aa")

    @connections(2)
    def test_a_twin_is_a_connection_of_its_own(self, db: SQL) -> None:
        with db.get_connection() as twin:
            twin.begin_transaction()
            assert not db.in_transaction
            self.insert(twin, "aa")
            assert self.codes(db) == []
            twin.commit_transaction()
            assert self.codes(db) == ["aa"]

    @connections(2)
    def test_a_read_leaves_no_transaction_open(self, db: SQL) -> None:
        """An idle reader stands in nobody's way."""
        assert db.read_query(f"SELECT * FROM {TABLE}") == []
        with db.get_connection() as twin:
            twin.execute(f"DROP TABLE {TABLE}")
        assert not db.table_exists(TABLE)

    @pytest.mark.parametrize("size", [0, -1, 1.5, "2", None, True])
    def test_a_wrong_pool_size_is_refused(self, database: str, size: Any) -> None:
        with pytest.raises(ConfigurationError):
            self.database_class.from_url(database, pool_size=size)
        if size is not None:
            with pytest.raises(ConfigurationError):
                self.database_class.from_url(database, max_size=size)
        with pytest.raises(ConfigurationError):
            self.database_class.from_url(database, pool_size=2, max_size=2)

    @connections(2)
    def test_max_size_is_the_pool_size(self, database: str) -> None:
        options = PoolSettings.from_env(environ={"DB_MAX_SIZE": "2"})
        with (
            self.database_class.from_url(database, **options) as db,
            ThreadPoolExecutor(1) as threads,
            db.transaction(),
        ):
            assert threads.submit(db.read_query, "SELECT 1 AS one").result(HANG) == [{"one": 1}]

    def test_a_thread_meets_no_transaction_of_another(self, db: SQL) -> None:
        db.begin_transaction()
        self.insert(db, "aa")
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(lambda: db.in_transaction).result(HANG) is False
            for attempt in (lambda: self.insert(db, "bb"), lambda: self.codes(db), db.begin_transaction):
                with pytest.raises(ConcurrentUseError):
                    threads.submit(attempt).result(HANG)
            with pytest.raises(TransactionNotStarted):
                threads.submit(db.commit_transaction).result(HANG)
            db.commit_transaction()
            threads.submit(self.insert, db, "bb").result(HANG)
        assert self.codes(db) == ["aa", "bb"]

    def test_a_thread_that_ends_within_a_transaction_leaves_nothing(self, db: SQL) -> None:
        def begin() -> None:
            db.begin_transaction()
            self.insert(db, "aa")

        thread = threading.Thread(target=begin)
        thread.start()
        thread.join(HANG)
        assert not thread.is_alive()
        self.insert(db, "bb")
        assert self.codes(db) == ["bb"]


class SharedSyncTests(SyncTests):
    """Several connections, for several threads. Where a database has one, they are skipped."""

    @connections(4)
    def test_each_thread_has_its_own_transaction(self, db: SQL, open_sync: Callable[..., SQL]) -> None:
        del db
        shared = open_sync(pool_size=4)
        begun = threading.Barrier(4)

        def work(code: str) -> list[str]:
            shared.begin_transaction(readonly=True)
            begun.wait(HANG)
            seen = self.codes(shared)
            begun.wait(HANG)  # nobody writes before everybody has read
            shared.rollback_transaction()
            with shared.transaction():
                self.insert(shared, code)
            return seen

        with ThreadPoolExecutor(4) as threads:
            assert [*threads.map(work, ["aa", "bb", "cc", "dd"], timeout=HANG)] == [[]] * 4
        assert self.codes(shared) == ["aa", "bb", "cc", "dd"]

    @connections(2)
    def test_who_finds_none_free_waits_and_then_gives_up(self, db: SQL, open_sync: Callable[..., SQL]) -> None:
        del db
        shared = open_sync(pool_size=2, acquire_timeout=0.2)
        held = threading.Barrier(3)
        release = threading.Event()

        def hold() -> None:
            shared.begin_transaction(readonly=True)
            held.wait(HANG)
            release.wait(HANG)
            shared.rollback_transaction()

        with ThreadPoolExecutor(2) as threads:
            holders = [threads.submit(hold) for _ in range(2)]
            held.wait(HANG)
            with pytest.raises(PoolTimeout):
                shared.read_query("SELECT 1")
            release.set()
            for holder in holders:
                holder.result(HANG)
        assert shared.read_query("SELECT 1 AS one") == [{"one": 1}]

    @connections(3)
    def test_many_threads_share_few_connections(self, db: SQL, open_sync: Callable[..., SQL]) -> None:
        """Every write is there, whatever failed beside it."""
        del db
        shared = open_sync(pool_size=3)
        codes = [a + b for a in "abcdefgh" for b in "abcdefgh"]

        def work(code: str) -> None:
            with pytest.raises(ZeroDivisionError), shared.transaction():
                self.insert(shared, code)
                raise ZeroDivisionError
            with shared.transaction():
                self.insert(shared, code)
            with pytest.raises(UniqueViolation):
                self.insert(shared, code)

        with ThreadPoolExecutor(8) as threads:
            assert len([*threads.map(work, codes, timeout=4 * HANG)]) == len(codes)
        assert 1 <= shared.get_open_connections() <= 3
        assert self.codes(shared) == sorted(codes)

    @connections(2)
    def test_closing_wakes_those_who_wait(self, db: SQL, open_sync: Callable[..., SQL]) -> None:
        del db
        shared = open_sync(pool_size=2, acquire_timeout=HANG)
        held, waiting = threading.Barrier(3), threading.Event()
        release = threading.Event()

        def hold() -> None:
            with shared.transaction(readonly=True):
                held.wait(HANG)
                release.wait(HANG)

        def wait() -> None:
            waiting.set()
            shared.read_query("SELECT 1")

        with ThreadPoolExecutor(3) as threads:
            holders = [threads.submit(hold) for _ in range(2)]
            held.wait(HANG)
            waiter = threads.submit(wait)
            waiting.wait(HANG)
            shared.close_connection()
            with pytest.raises(PoolClosed):
                waiter.result(HANG)
            release.set()
            for holder in holders:
                holder.result(HANG)  # what was begun goes on, and its connection is closed when it is given back


class SyncConformance(SyncRawTests, SyncTransactionTests, SyncConnectionTests, SharedSyncTests):
    """A synchronous database: raw statements, transactions, connecting, threads."""
