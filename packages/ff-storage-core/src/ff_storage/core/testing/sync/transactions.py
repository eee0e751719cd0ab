"""Transactions of a synchronous database: by call, as blocks, and what ends them."""

from __future__ import annotations

from typing import Any

import pytest

from ff_storage.core.database import IsolationLevel
from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import (
    DatabaseError,
    InvalidValueError,
    TransactionAborted,
    TransactionAlreadyStarted,
    TransactionError,
    TransactionNotStarted,
    UniqueViolation,
)
from ff_storage.core.testing.sync.base import SyncTests


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
