"""What the tests of synchronous databases share: a connected database with a small table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import pytest

from ff_storage.core.database.sync import SQL
from ff_storage.core.sql.dialect import Capability
from ff_storage.core.testing.conformance import replaced_tests, why_skipped

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
