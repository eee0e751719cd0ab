"""PostgreSQL passes the conformance kit."""

from ff_storage.postgres.dialect import PostgresDialect
from ff_storage.testing import PoolConformance, QueryConformance, RepositoryConformance, ValuesConformance


class OnPostgres:
    capabilities = PostgresDialect.capabilities


class TestPool(OnPostgres, PoolConformance): ...


class TestValues(OnPostgres, ValuesConformance): ...


class TestQuery(OnPostgres, QueryConformance): ...


class TestRepository(OnPostgres, RepositoryConformance): ...
