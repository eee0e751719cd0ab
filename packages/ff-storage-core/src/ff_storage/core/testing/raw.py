"""Raw SQL through a pool: rows, parameters, counts, streams."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.errors import (
    DatabaseError,
    InvalidValueError,
    PoolError,
    UniqueViolation,
)
from ff_storage.core.model import PydanticModel
from ff_storage.core.query import Query
from ff_storage.core.query.bulk import bulk_insert
from ff_storage.core.testing.conformance import Conformance
from ff_storage.core.testing.models import Country

TABLE = "kit_countries"


class RawTests(Conformance):
    """Raw SQL through a pool: rows, parameters, counts."""

    models: ClassVar[tuple[type[PydanticModel], ...]] = (Country,)

    begin: ClassVar[str] = "BEGIN"
    """How the engine begins a transaction in raw SQL."""

    def mark(self, pool: Pool, position: int = 1) -> str:
        """The engine's placeholder."""
        return pool.dialect.placeholder(position)

    def insertion(self, pool: Pool) -> str:
        """An INSERT with a placeholder for each column."""
        columns = [column.name for column in Country.__ff_entity__.table.columns]
        marks = ", ".join(self.mark(pool, n) for n in range(1, len(columns) + 1))
        return f"INSERT INTO {TABLE} ({', '.join(columns)}) VALUES ({marks})"

    def row(self, pool: Pool, code: str) -> list[Any]:
        """A country's values for `insertion`, as the driver takes them."""
        country = Country(code=code, name=code * 2)
        return [
            None if value is None else pool.dialect.encoder(column.type)(value)
            for column in Country.__ff_entity__.table.columns
            for value in [getattr(country, column.attribute)]
        ]

    async def given(self, pool: Pool, *codes: str) -> None:
        """Store countries."""
        await bulk_insert(Country, [Country(code=code, name=code * 2) for code in codes], pool)

    async def codes(self, pool: Pool) -> list[str]:
        """The codes of the stored countries, in order; outside any transaction."""
        with pool.detached():
            rows = await pool.fetch_all(f"SELECT code FROM {TABLE} ORDER BY code", as_dict=False)
        return [code for (code,) in rows]

    async def test_rows_are_dicts_or_tuples(self, pool: Pool) -> None:
        await self.given(pool, "aa", "bb")
        text = f"SELECT code, name FROM {TABLE} ORDER BY code"
        assert await pool.fetch_all(text) == [{"code": "aa", "name": "aaaa"}, {"code": "bb", "name": "bbbb"}]
        assert await pool.fetch_all(text, as_dict=False) == [("aa", "aaaa"), ("bb", "bbbb")]
        assert await pool.fetch_one(text) == {"code": "aa", "name": "aaaa"}
        assert await pool.fetch_one(text, as_dict=False) == ("aa", "aaaa")
        assert await pool.fetch_val(text) == "aa"

    async def test_no_row_is_an_empty_list_or_none(self, pool: Pool) -> None:
        text = f"SELECT code FROM {TABLE}"
        assert await pool.fetch_all(text) == []
        assert await pool.fetch_one(text) is None
        assert await pool.fetch_val(text) is None

    async def test_parameters_are_bound(self, pool: Pool) -> None:
        await self.given(pool, "aa", "bb", "cc")
        one, two = self.mark(pool, 1), self.mark(pool, 2)
        by_two = f"SELECT code FROM {TABLE} WHERE code = {one} OR name = {two} ORDER BY code"
        assert await pool.fetch_all(by_two, "aa", "cccc", as_dict=False) == [("aa",), ("cc",)]
        assert await pool.fetch_all(by_two, "' OR '1'='1", "x'; --") == []
        by_one = f"SELECT code FROM {TABLE} WHERE code = {one}"
        for wrong in ((), ("aa", "bb")):
            with pytest.raises(InvalidValueError):
                await pool.fetch_all(by_one, *wrong)
        assert await pool.fetch_val(by_one, "aa") == "aa"

    async def test_two_columns_of_one_name_are_no_dict(self, pool: Pool) -> None:
        await self.given(pool, "aa")
        text = f"SELECT code AS a, name AS a FROM {TABLE}"
        with pytest.raises(DatabaseError, match="one name"):
            await pool.fetch_all(text)
        assert await pool.fetch_all(text, as_dict=False) == [("aa", "aaaa")]

    async def test_execute_counts_the_rows_it_touched(self, pool: Pool) -> None:
        assert await pool.execute(self.insertion(pool), *self.row(pool, "aa")) == 1
        assert await pool.execute(self.insertion(pool), *self.row(pool, "bb")) == 1
        assert await pool.execute(f"UPDATE {TABLE} SET name = 'x'") == 2
        assert await pool.execute(f"UPDATE {TABLE} SET name = 'y' WHERE code = 'zz'") == 0
        assert await pool.execute(f"DELETE FROM {TABLE} WHERE code = {self.mark(pool)}", "aa") == 1
        assert await self.codes(pool) == ["bb"]

    async def test_execute_many_is_all_or_nothing(self, pool: Pool) -> None:
        rows = [self.row(pool, code) for code in ("aa", "bb", "cc")]
        assert await pool.execute_many(self.insertion(pool), iter(rows)) == 3
        with pytest.raises(UniqueViolation):
            await pool.execute_many(self.insertion(pool), [self.row(pool, code) for code in ("dd", "ee", "aa")])
        assert await self.codes(pool) == ["aa", "bb", "cc"]
        assert await pool.execute_many(self.insertion(pool), []) == 0

    async def test_execute_many_within_a_transaction_is_all_or_nothing_too(self, pool: Pool) -> None:
        """Undone by itself where a savepoint stands around it, and with the transaction where none does."""
        await self.given(pool, "aa")
        good, bad = ([self.row(pool, code) for code in codes] for codes in (("bb", "cc"), ("dd", "aa")))
        async with pool.transaction() as tx:
            assert await tx.execute_many(self.insertion(pool), good) == 2
            with pytest.raises(UniqueViolation):
                async with tx.savepoint():
                    await tx.execute_many(self.insertion(pool), bad)
        assert await self.codes(pool) == ["aa", "bb", "cc"]
        with pytest.raises(UniqueViolation):
            async with pool.transaction() as tx:
                await tx.execute(f"DELETE FROM {TABLE}")
                await tx.execute_many(self.insertion(pool), good[:1] * 2)
        assert await self.codes(pool) == ["aa", "bb", "cc"]

    async def test_execute_many_takes_a_failing_iterator_back(self, pool: Pool) -> None:
        """Whatever the rows' own iterator raises comes through, and nothing is stored."""

        def rows() -> Any:
            yield self.row(pool, "aa")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await pool.execute_many(self.insertion(pool), rows())
        assert await self.codes(pool) == []
        await self.given(pool, "bb")

    async def test_a_wrong_statement_is_the_librarys_error_with_the_drivers(self, pool: Pool) -> None:
        for text in ("SELEC 1", "SELECT * FROM kit_no_such_table", f"SELECT no_such_column FROM {TABLE}"):
            with pytest.raises(DatabaseError) as caught:
                await pool.fetch_all(text)
            assert caught.value.__cause__ is not None
        assert await self.codes(pool) == []

    async def test_a_statement_is_text(self, pool: Pool) -> None:
        """What is refused takes no connection with it."""
        wrong: list[Any] = [5, None, b"SELECT 1", ["SELECT 1"], object()]
        for sql in wrong:
            for call in (pool.fetch_all, pool.fetch_one, pool.fetch_val, pool.execute):
                with pytest.raises(InvalidValueError, match="text"):
                    await call(sql)
            with pytest.raises(InvalidValueError, match="text"):
                await pool.execute_many(sql, [])
            with pytest.raises(InvalidValueError, match="text"):
                pool.stream(sql)
        assert pool.stats().used == 0

    @pytest.mark.parametrize("batch", [1, 3, 1000])
    async def test_stream_reads_in_batches(self, pool: Pool, batch: int) -> None:
        await self.given(pool, *[f"{n:02}" for n in range(10)])
        text = f"SELECT code FROM {TABLE} ORDER BY code"
        async with pool.stream(text, batch=batch) as rows:
            assert [row["code"] async for row in rows] == [f"{n:02}" for n in range(10)]
        async with pool.stream(text, as_dict=False, batch=batch) as tuples:
            assert await anext(tuples) == ("00",)
        by_code = f"SELECT code FROM {TABLE} WHERE code > {self.mark(pool)} ORDER BY code"
        async with pool.stream(by_code, "07", as_dict=False, batch=batch) as tuples:
            assert [row async for row in tuples] == [("08",), ("09",)]
        with pytest.raises(InvalidValueError):
            pool.stream(text, batch=0)

    async def test_acquire_holds_one_connection(self, pool: Pool) -> None:
        async with pool.acquire() as connection:
            await connection.execute(self.insertion(pool), *self.row(pool, "aa"))
            assert await connection.fetch_val(f"SELECT code FROM {TABLE}") == "aa"
            assert await Query(Country).count(connection) == 1
        with pytest.raises(PoolError):
            await connection.fetch_val("SELECT 1")
        assert pool.stats().used == 0

    async def test_what_an_acquired_connection_leaves_open_is_undone(self, pool: Pool) -> None:
        """A transaction begun by hand is rolled back before anybody else meets the connection."""
        async with pool.acquire() as connection:
            await connection.execute(self.begin)
            await connection.execute(self.insertion(pool), *self.row(pool, "aa"))
        await pool.settle()
        assert await self.codes(pool) == []
        await self.given(pool, "bb")
        async with pool.acquire() as connection:
            assert await connection.fetch_val(f"SELECT COUNT(*) FROM {TABLE}") == 1
