"""`Postgres`: a PostgreSQL database for code that does not await."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

from ff_storage.core.database import IsolationLevel
from ff_storage.core.database.settings import check_limit
from ff_storage.core.database.sync import SQL, Parameters, StoreSettings, chosen_size
from ff_storage.core.errors import ConfigurationError, nearest
from ff_storage.postgres.address import address, flag, from_text, parse_url
from ff_storage.postgres.dialect import FOLDS, PostgresDialect
from ff_storage.postgres.session import COLLATIONS
from ff_storage.postgres.sync_connection import PsycopgConnection, libpq_keywords
from ff_storage.postgres.sync_parameters import statement

_IGNORED: Final = ("validate_queries", "strict_validation", "collect_metrics", "pool", "connection", "cursor")

_RELATIONS: Final = (
    "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relname = %(table)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND CASE WHEN %(schema)s::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)"
    " ELSE n.nspname = %(schema)s::text END"
)

_COLUMNS: Final = (
    "SELECT a.attname AS column_name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS data_type,"
    " NOT a.attnotnull AS is_nullable, pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS column_default"
    " FROM pg_catalog.pg_attribute a"
    " LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    f" WHERE a.attrelid = ({_RELATIONS}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)


class Postgres(SQL):
    """A database on a PostgreSQL server, 13 to 18, through psycopg.

    Raw statements take `%s` and `%(name)s`. Connecting never creates a database.
    TLS is that of `PostgresPool`, and so are `pgbouncer=True` and `keepalive`. Times are in seconds: `query_timeout`
    bounds a statement, `idle_timeout` a transaction in which nothing happens; the server ends both. The other limits
    are those of `StoreSettings`, and matter for a `pool_size` (or `max_size`) above one.
    """

    default_isolation: ClassVar[IsolationLevel] = IsolationLevel.READ_COMMITTED

    def __init__(
        self,
        dbname: str | None = None,
        user: str | None = None,
        password: object = None,
        host: str | None = None,
        port: int | str | None = None,
        *,
        pool_size: int = 1,
        max_size: int | None = None,
        acquire_timeout: float | None = 30.0,
        connect_timeout: float | None = 10.0,
        query_timeout: float | None = 30.0,
        idle_timeout: float | None = 60.0,
        check_after: float | None = 30.0,
        max_age: float | None = 3600.0,
        ssl: object = None,
        sslmode: str | None = None,
        sslrootcert: str | None = None,
        sslcert: str | None = None,
        sslkey: str | None = None,
        application_name: str = "ff-storage",
        keepalive: float | None = 30.0,
        pgbouncer: bool = False,
        logger: logging.Logger | None = None,
        **published: Any,
    ) -> None:
        _check_published(published)
        super().__init__(
            StoreSettings(
                size=chosen_size(pool_size, max_size),
                acquire_timeout=acquire_timeout,
                check_after=check_after,
                max_age=max_age,
            ),
            logger,
        )
        self._address = address(
            dbname=dbname,
            user=user,
            password=password,
            host=host,
            port=port,
            ssl=ssl,
            sslmode=sslmode,
            sslrootcert=sslrootcert,
            sslcert=sslcert,
            sslkey=sslkey,
            application_name=application_name,
        )
        check_limit("connect_timeout", connect_timeout)
        check_limit("keepalive", keepalive)
        self._pgbouncer = flag("pgbouncer", pgbouncer)
        limits = {
            "statement_timeout": _milliseconds("query_timeout", query_timeout),
            "idle_in_transaction_session_timeout": _milliseconds("idle_timeout", idle_timeout),
        }
        # A pooler refuses settings of a session.
        self._libpq = libpq_keywords(
            self._address,
            connect_timeout=connect_timeout,
            keepalive=keepalive,
            settings={} if self._pgbouncer else limits,
        )
        self._dialect = PostgresDialect()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The database of `postgresql://user:password@host:5432/database?sslmode=verify-full`."""
        place, rest = parse_url(url)
        for name in options:
            if name in rest or place.get(name) is not None:
                raise ConfigurationError(f"{name} is given in the URL and as an option", remedy="pass it once")
        return cls(**{**place, **from_text(rest, cls.__init__), **options})

    def __repr__(self) -> str:
        where = getattr(self, "_address", "nowhere")  # as in a report of the error that refused its arguments
        return f"<Postgres {where}, {'connected' if self.is_connected() else 'not connected'}>"

    @property
    def dialect(self) -> PostgresDialect:
        """The PostgreSQL dialect."""
        return self._dialect

    def _open(self) -> PsycopgConnection:
        connection = PsycopgConnection.open(self._address, self._libpq, shared=self._pgbouncer)
        if self._dialect.server_version is None:
            try:
                rows = connection.fetch(COLLATIONS, ())
            except BaseException:
                connection.close()
                raise
            collations = {"pg_catalog." + name for (name,) in rows}
            self._dialect.learn(connection.server_version, frozenset(each for each in FOLDS if each in collations))
        return connection

    def _text(self, query: str, *, bare: bool) -> str:
        return query if bare else statement(query).text

    def _values(self, query: str, params: Parameters | None) -> Sequence[Any]:
        return statement(query).bind(params)

    def table_exists(self, table_name: str, schema: str | None = None) -> bool:
        """Whether there is such a table or view; without `schema`, on the search path."""
        return bool(self.read_query(_RELATIONS, {"table": table_name, "schema": schema}))

    def get_table_columns(self, table_name: str, schema: str | None = None) -> list[dict[str, Any]]:
        """The columns of a table or view; an empty list when there is none."""
        return self.read_query(_COLUMNS, {"table": table_name, "schema": schema})


def _milliseconds(name: str, seconds: float | None) -> str:
    check_limit(name, seconds)
    if seconds is None:
        return "0"
    if not 0 < seconds < 2**31 / 1000:
        raise ConfigurationError(f"{name} must be a number of seconds above 0, or None", found=ascii(seconds)[:30])
    return str(max(1, round(seconds * 1000)))


def _check_published(names: dict[str, Any]) -> None:
    for name in names:
        if name not in _IGNORED:
            known = [*inspect.signature(Postgres).parameters]
            raise ConfigurationError(f"Postgres has no option {name!r}", remedy=nearest(name, known))
        warnings.warn(f"Postgres ignores {name}: there is nothing left for it to do", DeprecationWarning, 3)
