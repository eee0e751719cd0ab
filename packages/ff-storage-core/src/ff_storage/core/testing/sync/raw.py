"""Raw SQL through a synchronous database: rows, parameters, counts, errors."""

from __future__ import annotations

from typing import Any

import pytest

from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import (
    ConcurrentUseError,
    DatabaseError,
    InvalidValueError,
    UniqueViolation,
)
from ff_storage.core.sql.dialect import Capability
from ff_storage.core.testing.conformance import requires
from ff_storage.core.testing.sync.base import TABLE, SyncTests


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
