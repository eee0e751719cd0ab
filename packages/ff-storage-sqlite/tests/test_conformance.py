"""SQLite passes the conformance kit, in a file and in memory."""

from pathlib import Path

import pytest

from ff_storage.sqlite.dialect import SQLiteDialect
from ff_storage.testing import PoolConformance, QueryConformance, RepositoryConformance, ValuesConformance


class InFile:
    capabilities = SQLiteDialect.capabilities

    @pytest.fixture
    def database(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/kit.db"


class InMemory:
    capabilities = SQLiteDialect.capabilities
    max_connections = 1

    @pytest.fixture
    def database(self) -> str:
        return "sqlite://"


class TestPoolInFile(InFile, PoolConformance): ...


class TestPoolInMemory(InMemory, PoolConformance): ...


class TestValuesInFile(InFile, ValuesConformance): ...


class TestValuesInMemory(InMemory, ValuesConformance): ...


class TestQueryInFile(InFile, QueryConformance): ...


class TestQueryInMemory(InMemory, QueryConformance): ...


class TestRepositoryInFile(InFile, RepositoryConformance): ...


class TestRepositoryInMemory(InMemory, RepositoryConformance): ...
