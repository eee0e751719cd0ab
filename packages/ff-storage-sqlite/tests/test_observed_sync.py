"""A synchronous database tells its observers what an async pool tells."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.errors import DatabaseError, InvalidValueError, UniqueViolation
from ff_storage.core.metrics import MetricsCollector
from ff_storage.core.observe import ObservedStatement
from ff_storage.core.program import Execute, ExecuteMany, Fetch
from ff_storage.sqlite import SQLite

INSERT = "INSERT INTO t VALUES (?)"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SQLite]:
    with SQLite(tmp_path / "test.db") as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT")
        yield db


def watched(db: SQLite, **options: Any) -> list[ObservedStatement]:
    seen: list[ObservedStatement] = []
    db.observe(seen.append, **options)
    return seen


def test_statements_are_reported_with_kind_and_rows(db: SQLite) -> None:
    seen = watched(db)
    db.execute_many(INSERT, [(1,), (2,), (3,)])
    assert len(db.read_query("SELECT id FROM t")) == 3
    db.execute("DELETE FROM t WHERE id = ?", (1,))
    assert db.execute_query("INSERT INTO t VALUES (9) RETURNING id") == [{"id": 9}]
    assert [(each.kind, each.text, each.rows) for each in seen] == [
        ("execute_many", INSERT, 3),
        ("fetch", "SELECT id FROM t", 3),
        ("execute", "DELETE FROM t WHERE id = ?", 1),
        ("fetch", "INSERT INTO t VALUES (9) RETURNING id", 1),
    ]
    for each in seen:
        assert (each.engine, each.error, each.in_transaction, each.parameters) == ("sqlite", None, False, None)
        assert each.duration > 0


def test_programs_are_reported(db: SQLite) -> None:
    seen = watched(db)

    def program() -> Any:
        yield ExecuteMany(INSERT, [(1,), (2,)])
        touched = yield Execute("DELETE FROM t WHERE id = ?", (1,))
        rows = yield Fetch("SELECT id FROM t")
        return touched, rows

    assert db.run(program()) == (1, [(2,)])
    assert [(each.kind, each.rows) for each in seen] == [("execute_many", 2), ("execute", 1), ("fetch", 1)]
    assert db.fetch("SELECT id FROM t", ()) == [(2,)]
    assert len(seen) == 4


def test_transactions_are_reported(db: SQLite) -> None:
    seen = watched(db)
    with db.transaction():
        db.execute(INSERT, (1,))
        with pytest.raises(ZeroDivisionError), db.transaction():
            raise ZeroDivisionError
        with db.transaction():
            pass
    db.begin_transaction()
    db.rollback()
    assert [each.text for each in seen] == [
        *("BEGIN", INSERT, "SAVEPOINT", "ROLLBACK TO", "SAVEPOINT", "RELEASE", "COMMIT"),
        *("BEGIN", "ROLLBACK"),
    ]
    assert [each.in_transaction for each in seen] == [each.text != "BEGIN" for each in seen]


def test_failures_are_reported_with_the_librarys_error(db: SQLite) -> None:
    seen = watched(db)
    db.execute(INSERT, (1,))
    with pytest.raises(UniqueViolation) as caught:
        db.execute(INSERT, (1,))
    with pytest.raises(DatabaseError) as wrong:
        db.read_query("SELECT * FROM no_such_table")
    assert [each.error for each in seen] == [None, caught.value, wrong.value]


def test_parameters_are_shown_to_who_asked(db: SQLite) -> None:
    without, with_them = watched(db), watched(db, parameters=True)
    db.execute(INSERT, (7,))
    assert [each.parameters for each in without] == [None]
    assert [list(each.parameters) for each in with_them] == [[7]]


def test_an_observer_may_come_before_connecting_and_goes_with_a_twin(tmp_path: Path) -> None:
    db = SQLite(tmp_path / "test.db", pool_size=2)
    seen = watched(db)
    with db:
        db.read_query("SELECT 1")
        twin = db.get_connection()
        later = watched(twin)
        twin.read_query("SELECT 2")
        db.read_query("SELECT 3")
        twin.close_connection()
    db.connect()
    db.read_query("SELECT 4")
    db.close_connection()
    assert [each.text for each in seen] == ["SELECT 1", "SELECT 2", "SELECT 3", "SELECT 4"]
    assert [each.text for each in later] == ["SELECT 2"]


def test_threads_share_a_collector(tmp_path: Path) -> None:
    collector = MetricsCollector()
    with SQLite(tmp_path / "test.db", pool_size=4) as db:
        db.observe(collector)
        threads = [threading.Thread(target=lambda: [db.read_query("SELECT 1") for _ in range(25)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert collector.get_query_statistics()["total_queries"] == 100


def test_an_observer_that_fails_breaks_nothing(db: SQLite, caplog: pytest.LogCaptureFixture) -> None:
    def reenter(_: ObservedStatement) -> None:
        db.read_query("SELECT 2")

    db.observe(reenter)
    assert db.read_query("SELECT 1", as_dict=False) == [(1,)]
    assert "ConcurrentUseError" in caplog.text
    with pytest.raises(InvalidValueError):
        db.observe(None)  # type: ignore[arg-type]
