"""The synchronous Postgres passes the conformance kit."""

import pytest

from ff_storage.postgres import Postgres
from ff_storage.postgres.dialect import PostgresDialect
from ff_storage.testing import SyncConformance, SyncRepositoryConformance


class OnPostgres:
    capabilities = PostgresDialect.capabilities
    database_class = Postgres
    placeholder = "%s"

    @pytest.fixture
    def database(self, empty_database: str) -> str:
        return empty_database


class TestSync(OnPostgres, SyncConformance): ...


class TestSyncRepository(OnPostgres, SyncRepositoryConformance): ...
