"""What the synchronous classes have and a pool has not: an error with the line to write, connected or not."""

from __future__ import annotations

from typing import Any

import pytest

from ff_storage.core.database import Connection, Pool, PoolSettings
from ff_storage.core.database.misuse import LINES
from ff_storage.core.errors import AsyncPoolUsedSync, ConfigurationError, PoolError


class NowherePool(Pool):
    """A pool that is never connected."""

    async def _connect(self) -> Connection:
        raise AssertionError

    @property
    def dialect(self) -> Any:
        raise AssertionError

    @property
    def bind(self) -> Any:
        raise AssertionError


@pytest.fixture
def pool() -> Any:
    return NowherePool(PoolSettings())


METHODS = [name for name in LINES if not name.startswith("__")]


@pytest.mark.parametrize("name", METHODS)
def test_each_raises_the_line_to_write(pool: Any, name: str) -> None:
    with pytest.raises(AsyncPoolUsedSync) as caught:
        getattr(pool, name)("SELECT 1", {"id": 1}, as_dict=True)
    text = str(caught.value)
    assert f"NowherePool is asynchronous, and has no {name}()" in text
    assert LINES[name] in caught.value.remedy
    assert "await pool.connect()" in text, "it is not open either"
    assert "or use Nowhere," in text
    assert "[FF-D514]" in text


def test_the_seeds_block_for_pools_fails_at_its_first_query(pool: Any) -> None:
    """`connect()` without await opens nothing; the next line says what to do."""
    with pytest.warns(RuntimeWarning, match="never awaited"):
        pool.connect()
    with pytest.raises(PoolError, match=r"rows = await pool\.fetch_all"):
        pool.read_query("SELECT id FROM documents WHERE status = %s", {"status": "active"})


def test_a_pool_is_no_plain_context_manager(pool: Any) -> None:
    with pytest.raises(AsyncPoolUsedSync, match="async with pool: …"), pool:
        pytest.fail("it was entered")


def test_a_value_that_was_to_be_bound_is_not_repeated(pool: Any) -> None:
    with pytest.raises(AsyncPoolUsedSync) as caught:
        pool.execute_query("UPDATE users SET password = %s", {"password": "S3CR3T"})
    assert "S3CR3T" not in f"{caught.value!r} {caught.value} {vars(caught.value)}"


def test_a_pool_from_settings_names_what_its_engine_does_not_know() -> None:
    class SizedPool(NowherePool):
        def __init__(self, *, max_size: int = 1) -> None:
            super().__init__(PoolSettings(max_size=max_size))

    assert SizedPool.from_settings(PoolSettings(max_size=3)).stats().max_size == 3
    assert SizedPool.from_settings(PoolSettings(max_size=3), max_size=4).stats().max_size == 4
    pooled = PoolSettings.from_env(environ={"DB_POOL_SIZE": "5"})
    assert SizedPool.from_settings(pooled).stats().max_size == 5
    with pytest.raises(ConfigurationError, match="SizedPool has no option 'host'"):
        SizedPool.from_settings(PoolSettings(host="here"))
