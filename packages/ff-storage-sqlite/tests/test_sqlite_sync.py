"""`SQLite`: files and memory for code that does not await."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.errors import (
    ConfigurationError,
    ConnectionFailure,
    ConnectionLost,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseReadOnly,
    InvalidValueError,
    SerializationFailure,
)
from ff_storage.sqlite import SQLite

HANG = 30.0


@pytest.fixture
def db(path: Path) -> Iterator[SQLite]:
    with SQLite(path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT")
        yield db


def names(db: SQLite) -> list[str]:
    return [name for (name,) in db.read_query("SELECT name FROM t ORDER BY name", as_dict=False)]


def test_a_database_in_memory_lives_while_it_is_connected() -> None:
    db = SQLite()
    with db:
        db.execute("CREATE TABLE t (a)")
        assert db.table_exists("t")
        with db.get_connection() as twin:
            assert not twin.table_exists("t")
    with db:
        assert not db.table_exists("t")


@pytest.mark.parametrize(
    "options",
    [
        {"pool_size": 2}, {"readonly": True}, {"busy_timeout": -1}, {"journal_mode": "OFF"}, {"synchronous": "nope"},
        {"path": "file:a.db"}, {"path": ""}, {"path": "a\0b"}, {"acquire_timeout": -1},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SQLite(**options)


def test_urls_name_files_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///rel%20ative.db", f"sqlite:///{tmp_path}/absolute.db"):
        with SQLite.from_url(url) as db:
            db.execute("CREATE TABLE t (a)")
    assert {each.name for each in tmp_path.glob("*.db")} == {"rel ative.db", "absolute.db"}
    with SQLite.from_url("sqlite://") as db:
        assert ":memory:" in repr(db)
    for wrong in ("sqlite:/a.db", "sqlite:///a.db?mode=ro", "sqlite://host/a.db"):
        with pytest.raises(ConfigurationError):
            SQLite.from_url(wrong)


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailure):
        SQLite(tmp_path / "missing.db", create=False).connect()
    with pytest.raises(ConnectionFailure):
        SQLite(tmp_path / "no" / "such" / "folder.db").connect()
    (tmp_path / "text.db").write_text("this is no database, and longer than its header would be" * 20)
    db = SQLite(tmp_path / "text.db")
    with pytest.raises(DatabaseCorrupt):
        db.connect()
    assert not db.is_connected()


def test_a_file_is_opened_for_reading(db: SQLite, path: Path) -> None:
    db.execute("INSERT INTO t (name) VALUES ('a')")
    with SQLite(path, readonly=True) as reader:
        assert names(reader) == ["a"]
        with pytest.raises(DatabaseReadOnly):
            reader.execute("INSERT INTO t (name) VALUES ('b')")


def test_values_are_stored_as_those_of_a_pool(db: SQLite) -> None:
    values = [True, 1.5, b"\0", dt.datetime(2024, 1, 31, tzinfo=dt.UTC), dt.date(2024, 1, 31), uuid.UUID(int=7), None]
    text = ", ".join(f"? AS c{number}" for number in range(len(values)))
    assert [*db.read_query(f"SELECT {text}", values)[0].values()] == [
        1, 1.5, b"\0", "2024-01-31 00:00:00.000000", "2024-01-31", str(uuid.UUID(int=7)), None,
    ]  # fmt: skip
    for wrong in (dt.datetime(2024, 1, 31), object(), "\ud800", 2**63):  # noqa: DTZ001 - that is what is wrong
        with pytest.raises(InvalidValueError):
            db.read_query("SELECT ?", [wrong])


def test_tables_of_all_kinds_are_found(db: SQLite, tmp_path: Path) -> None:
    db.execute("CREATE VIEW v AS SELECT name FROM t")
    db.execute("CREATE TEMP TABLE mine (a INTEGER PRIMARY KEY, b TEXT DEFAULT 'x')")
    db.execute(f"ATTACH '{tmp_path}/other.db' AS other")
    db.execute("CREATE TABLE other.t (far INT NOT NULL)")
    assert all(db.table_exists(name) for name in ("t", "T", "v", "mine"))
    assert db.table_exists("t", schema="public")
    assert db.table_exists("t", schema="OTHER")
    assert not db.table_exists("mine", schema="main")
    assert [each["column_name"] for each in db.get_table_columns("t")] == ["id", "name"]
    assert [each["column_name"] for each in db.get_table_columns("t", schema="other")] == ["far"]
    assert db.get_table_columns("MINE") == [
        {"column_name": "a", "data_type": "INTEGER", "is_nullable": False, "column_default": None},
        {"column_name": "b", "data_type": "TEXT", "is_nullable": True, "column_default": "'x'"},
    ]


def test_a_writer_waits_for_another_process_and_then_gives_up(db: SQLite, path: Path) -> None:
    with SQLite(path, busy_timeout=0.1) as impatient:
        db.begin_transaction()
        db.execute("INSERT INTO t (name) VALUES ('a')")
        with pytest.raises(SerializationFailure):
            impatient.execute("INSERT INTO t (name) VALUES ('b')")
        with pytest.raises(SerializationFailure):
            impatient.begin_transaction()
        assert not impatient.in_transaction
        db.commit_transaction()
        impatient.execute("INSERT INTO t (name) VALUES ('b')")
    assert names(db) == ["a", "b"]


def test_writers_of_one_database_take_turns(db: SQLite, path: Path) -> None:
    del db
    with SQLite(path, pool_size=4, busy_timeout=HANG) as shared:

        def work(thread: int) -> None:
            for number in range(25):
                with shared.transaction():
                    count = shared.read_query("SELECT count(*) AS n FROM t")[0]["n"]
                    shared.execute("INSERT INTO t VALUES (?, ?)", [count, f"{thread}-{number}"])

        with ThreadPoolExecutor(4) as threads:
            assert len([*threads.map(work, range(4), timeout=4 * HANG)]) == 4
        assert shared.read_query("SELECT count(*) AS n, max(id) AS top FROM t") == [{"n": 100, "top": 99}]


def test_a_shared_session_is_replaced_when_raw_sql_may_have_changed_it(db: SQLite, path: Path) -> None:
    db.execute("PRAGMA foreign_keys = OFF")
    assert db.read_query("PRAGMA foreign_keys") == [{"foreign_keys": 0}]  # a single one is its owner's
    with SQLite(path, pool_size=2) as shared:
        shared.execute("PRAGMA foreign_keys = OFF")
        shared.execute("CREATE TEMP TABLE mine (a)")
        assert shared.read_query("PRAGMA foreign_keys") == [{"foreign_keys": 1}]
        assert not shared.table_exists("mine")


def test_a_file_that_vanished_is_no_empty_database(db: SQLite, path: Path) -> None:
    with SQLite(path, check_after=0) as other:
        assert names(other) == []
        db.close_connection()
        for each in path.parent.glob("test.db*"):
            each.unlink()
        with pytest.raises((ConnectionLost, ConnectionFailure)):
            names(other)
    assert not path.exists()


def test_an_object_may_wander_between_threads(db: SQLite) -> None:
    def insert(name: str) -> None:
        with db.transaction():
            db.execute("INSERT INTO t (name) VALUES (?)", [name])

    for name in "abc":
        thread = threading.Thread(target=insert, args=(name,))
        thread.start()
        thread.join(HANG)
    assert names(db) == ["a", "b", "c"]
    closer = threading.Thread(target=db.close_connection)
    closer.start()
    closer.join(HANG)
    assert not db.is_connected()


def test_a_commit_that_fails_is_rolled_back(db: SQLite) -> None:
    db.execute("CREATE TABLE child (t INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED) STRICT")
    db.begin_transaction()
    db.execute("INSERT INTO child VALUES (1)")
    with pytest.raises(DatabaseError):
        db.commit_transaction()
    db.rollback_transaction()
    assert not db.in_transaction
    assert db.read_query("SELECT * FROM child") == []


def test_nothing_is_left_open(path: Path) -> None:
    """Another program may take the file as soon as it is closed, whatever was going on."""
    db = SQLite(path, pool_size=3)
    db.connect()
    db.execute("CREATE TABLE t (a)")
    started = threading.Event()
    release = threading.Event()

    def hold() -> None:
        db.begin_transaction()
        db.execute("INSERT INTO t VALUES (1)")
        started.set()
        release.wait(HANG)
        with pytest.raises(DatabaseError):
            db.execute("INSERT INTO nope VALUES (1)")
        db.rollback_transaction()

    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(hold)
        started.wait(HANG)
        db.close_connection()
        release.set()
        holder.result(HANG)
    with sqlite3.connect(path, timeout=0) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert other.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    other.close()


def test_a_forked_process_leaves_the_connection_alone(path: Path) -> None:
    """In a process of its own: forking beside threads is what Python warns of."""
    script = """
        import os, sys
        from ff_storage import SQLite, WrongLoopError

        db = SQLite(sys.argv[1], busy_timeout=0.1)
        db.connect()
        db.execute("CREATE TABLE t (a)")
        with db.transaction():
            db.execute("INSERT INTO t VALUES (1)")
            child = os.fork()
            if not child:
                try:
                    for attempt in (lambda: db.read_query("SELECT 1"), db.connect):
                        try:
                            attempt()
                        except WrongLoopError:
                            pass
                    assert db.read_query("SELECT count(*) AS n FROM t") == [{"n": 0}]
                    db.close_connection()
                    os._exit(0)
                except BaseException as error:
                    print(repr(error), file=sys.stderr)
                    os._exit(4)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert db.read_query("SELECT count(*) AS n FROM t") == [{"n": 1}]
        db.close_connection()
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "form",
    [lambda db: db.read_query("SELECT %s", ["a"]), lambda db: db.read_query("SELECT %(a)s", {"a": 1}),
     lambda db: db.read_query("SELECT :a", {"a": 1}), lambda db: db.read_query("SELECT $1", ["a"]),
     lambda db: db.execute_many("SELECT %s", [["a"]])],
)  # fmt: skip
def test_another_engines_placeholders_are_shown_the_right_form(db: SQLite, form: Callable[[SQLite], Any]) -> None:
    with pytest.raises(InvalidValueError, match=r"a = \? AND b = \?"):
        form(db)
