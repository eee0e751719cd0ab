"""What SQLite says, as the library says it."""

import sqlite3
from contextlib import closing

import pytest

from ff_storage.core.errors import QueryError
from ff_storage.sqlite.errors import translated


def test_a_function_that_sqlite_trusts_in_no_stored_table_has_a_remedy() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.create_function("twice", 1, lambda value: 2 * value, deterministic=True)
        connection.execute("PRAGMA trusted_schema = OFF")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("CREATE TABLE t (a INTEGER CHECK (twice(a) > 0)) STRICT")
            connection.execute("INSERT INTO t VALUES (1)")
    error = translated(caught.value)
    assert type(error) is QueryError
    assert str(error).startswith("unsafe use of twice(); it is trusted in no stored table")
