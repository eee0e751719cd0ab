"""The synchronous SQLite passes the conformance kit, in a file and in memory."""

from pathlib import Path

import pytest

from ff_storage.sqlite import SQLite
from ff_storage.sqlite.dialect import SQLiteDialect
from ff_storage.testing import SyncConformance, SyncRepositoryConformance


class OnSQLite:
    capabilities = SQLiteDialect.capabilities
    database_class = SQLite
    placeholder = "?"


class InFile(OnSQLite):
    @pytest.fixture
    def database(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/kit.db"


class InMemory(OnSQLite):
    max_connections = 1

    @pytest.fixture
    def database(self) -> str:
        return "sqlite://"


class TestSyncInFile(InFile, SyncConformance): ...


class TestSyncInMemory(InMemory, SyncConformance): ...


class TestSyncRepositoryInFile(InFile, SyncRepositoryConformance): ...


class TestSyncRepositoryInMemory(InMemory, SyncRepositoryConformance): ...
