"""Connecting and closing, twins, and what threads meet of each other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ff_storage.core.database import PoolSettings
from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import (
    ConcurrentUseError,
    ConfigurationError,
    PoolClosed,
    TransactionNotStarted,
)
from ff_storage.core.testing.conformance import connections
from ff_storage.core.testing.sync.base import HANG, TABLE, SyncTests


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
