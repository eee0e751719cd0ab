"""PostgreSQL passes the conformance kit."""

import pytest

from ff_storage.postgres.dialect import PostgresDialect
from ff_storage.testing import PoolConformance, QueryConformance, RepositoryConformance, ValuesConformance


class OnPostgres:
    capabilities = PostgresDialect.capabilities

    @pytest.fixture
    def database(self, empty_database: str) -> str:
        return empty_database


class TestPool(OnPostgres, PoolConformance): ...


class TestValues(OnPostgres, ValuesConformance): ...


class TestQuery(OnPostgres, QueryConformance): ...


class TestRepository(OnPostgres, RepositoryConformance): ...
