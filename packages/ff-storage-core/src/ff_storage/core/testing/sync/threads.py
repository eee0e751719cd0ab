"""Several connections that threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import (
    PoolClosed,
    PoolTimeout,
    UniqueViolation,
)
from ff_storage.core.testing.conformance import connections
from ff_storage.core.testing.sync.base import HANG, SyncTests


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
