"""The pool of PostgreSQL connections."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from ssl import SSLContext
from typing import Any, ClassVar, Final, cast

from ff_storage.core.database import Connection, IsolationLevel, Pool, PoolSettings
from ff_storage.core.database.executor import Bind
from ff_storage.core.database.settings import check_limit
from ff_storage.core.errors import ConfigurationError, ConnectionLost, nearest
from ff_storage.postgres import parameters
from ff_storage.postgres.address import address, flag, from_text, is_local, parse_url
from ff_storage.postgres.connection import PostgresConnection
from ff_storage.postgres.dialect import FOLDS, PostgresDialect
from ff_storage.postgres.driver_errors import lost_while_opening
from ff_storage.postgres.session import COLLATIONS

_PUBLISHED: Final = {
    "pool_recycle": "max_age",
    "connection_timeout": "connect_timeout",
    "max_inactive_connection_lifetime": "max_idle",
}
"""Published names of limits, and ours."""

_IGNORED: Final = ("validate_queries", "strict_validation", "collect_metrics", "logger", "pool")


class PostgresPool(Pool):
    """A database on a PostgreSQL server, 13 to 18, through asyncpg.

    `pool_size` is another name for `max_size`. TLS is verified by default, except on the loopback and on Unix sockets;
    `ssl` (True, False, an `ssl.SSLContext` or a mode) or libpq's `sslmode`, `sslrootcert`, `sslcert` and `sslkey` say
    otherwise. `pgbouncer=True` keeps away from everything that a pooler in transaction mode breaks: prepared
    statements that outlive a transaction, and session state. `uuid="driver"` leaves results' UUIDs as asyncpg makes
    them, which is faster; some serializers refuse them. A link of which nothing is heard is asked for a sign of life
    after `keepalive` seconds, and given up after twice that. The limits are those of `PoolSettings`, in seconds.

    `replicas` are the URLs of streaming standbys, which serve reads outside transactions; `pool.session()` lets a
    caller read what it wrote. What such a URL leaves out (user, password, database, TLS) is the primary's, and so are
    the limits.
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
        min_size: int | None = None,
        max_size: int | None = None,
        pool_size: int | None = None,
        acquire_timeout: float | None = 30.0,
        max_waiting: int | None = None,
        connect_timeout: float | None = 10.0,
        query_timeout: float | None = 30.0,
        reset_timeout: float | None = 5.0,
        check_after: float | None = 30.0,
        max_age: float | None = 3600.0,
        max_idle: float | None = 300.0,
        ssl: object = None,
        sslmode: str | None = None,
        sslrootcert: str | None = None,
        sslcert: str | None = None,
        sslkey: str | None = None,
        application_name: str = "ff-storage",
        keepalive: float | None = 30.0,
        statement_cache_size: int = 500,
        pgbouncer: bool = False,
        uuid: str = "python",
        replicas: Sequence[str] = (),
        **published: Any,
    ) -> None:
        if pool_size is not None and max_size is not None:
            raise ConfigurationError("pool_size and max_size are one limit under two names", remedy="pass one of them")
        most = max_size if max_size is not None else pool_size
        limits: dict[str, Any] = {
            "min_size": min_size if min_size is not None else 1,
            "max_size": most if most is not None else max(10, min_size) if type(min_size) is int else 10,
            "acquire_timeout": acquire_timeout,
            "max_waiting": max_waiting,
            "connect_timeout": connect_timeout,
            "query_timeout": query_timeout,
            "reset_timeout": reset_timeout,
            "check_after": check_after,
            "max_age": max_age,
            "max_idle": max_idle,
        }
        super().__init__(PoolSettings(**(limits | _published(published, limits))))
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
        if uuid not in ("python", "driver"):
            raise ConfigurationError("uuid must be 'python' or 'driver'", found=ascii(uuid)[:60])
        if type(statement_cache_size) is not int or statement_cache_size < 0:
            raise ConfigurationError("statement_cache_size must be 0 or more", found=ascii(statement_cache_size)[:60])
        check_limit("keepalive", keepalive)
        self._keepalive = keepalive
        self._tls: SSLContext | None = None
        self._pgbouncer = flag("pgbouncer", pgbouncer)
        self._statement_cache_size = statement_cache_size
        self._plain_uuids = uuid == "python"
        self._dialect = PostgresDialect(binary_uuids=self._plain_uuids)
        self.serve_reads_from([self._replica(url) for url in _urls(replicas)])

    def _replica(self, url: str) -> PostgresPool:
        """The pool of a standby: this one's twin at another address."""
        place, rest = parse_url(url)
        if rest:
            raise ConfigurationError("a replica's URL names a server, and no limits", found=", ".join(rest))
        own = self._address
        twin = copy.copy(self)
        Pool.__init__(twin, self._settings)
        keywords: dict[str, Any] = {
            "user": own.user,
            "password": own.password,
            "dbname": own.dbname,
            "application_name": own.application_name,
        }
        keywords |= {name: value for name, value in place.items() if value is not None}
        twin._address = address(**keywords)
        explicit = {"sslmode", "sslrootcert", "sslcert", "sslkey"} & place.keys()
        if not explicit and (own.tls.mode != "disable" or is_local(twin._address.host)):
            twin._address = replace(twin._address, tls=own.tls)
        return twin

    async def _position(self, connection: Connection) -> Any:
        # Of what is inserted, not of what is flushed: an asynchronous commit is in the former only.
        return (await connection.fetch("SELECT pg_catalog.pg_current_wal_insert_lsn()::text", ()))[0][0]

    async def _has_reached(self, connection: Connection, position: Any) -> bool:
        text = "SELECT pg_catalog.pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
        return bool((await connection.fetch(text, (position,)))[0][0])  # NULL on a server that is no standby

    def __repr__(self) -> str:
        where = getattr(self, "_address", "nowhere")  # as in a report of the error that refused its arguments
        return f"<PostgresPool {where}, {self.state}>"

    @property
    def dialect(self) -> PostgresDialect:
        """The PostgreSQL dialect."""
        return self._dialect

    @property
    def bind(self) -> Bind:
        """How raw arguments become asyncpg's parameters."""
        return parameters.bind

    async def _connect(self) -> Connection:
        if self._tls is None:
            self._tls = self._address.tls.make_context()  # reads the authorities' file: once a pool
        connection = await PostgresConnection.open(
            self._address,
            self._tls,
            shared=self._pgbouncer,
            statement_cache_size=self._statement_cache_size,
            keepalive=self._keepalive,
            plain_uuids=self._plain_uuids,
        )
        if self._dialect.server_version is None:
            try:
                rows = await connection.fetch(COLLATIONS, ())
            except BaseException as error:
                connection.terminate()
                if isinstance(error, ConnectionLost):  # no statement of the caller's was sent on it
                    raise lost_while_opening() from error
                raise
            collations = {"pg_catalog." + name for (name,) in rows}
            self._dialect.learn(connection.server_version, frozenset(each for each in FOLDS if each in collations))
        return connection


def open_pool(url: str, **options: Any) -> PostgresPool:
    """The pool of `postgresql://user:password@host:5432/database?sslmode=verify-full`; options as of `PostgresPool`."""
    place, rest = parse_url(url)
    given = {**from_text(rest, PostgresPool.__init__), **options}
    for name in options:
        if name in rest or place.get(name) is not None:
            raise ConfigurationError(f"{name} is given in the URL and as an option", remedy="pass it once")
    known = [*inspect.signature(PostgresPool).parameters, *_PUBLISHED]
    for name in given:
        if name not in known or name == "published":
            raise ConfigurationError(f"PostgresPool has no option {name!r}", remedy=nearest(name, known))
    return PostgresPool(**{**place, **given})


def _published(names: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Published options under our names, none of which may be `given` too; a warning names those that have no use."""
    limits: dict[str, Any] = {}
    for name, value in names.items():
        if name in _PUBLISHED:
            ours = _PUBLISHED[name]
            if given[ours] not in (inspect.signature(PostgresPool).parameters[ours].default, value):
                raise ConfigurationError(f"{name} and {ours} are one limit under two names", remedy="pass one of them")
            limits[ours] = value
        elif name in _IGNORED:
            warnings.warn(f"PostgresPool ignores {name}: there is nothing left for it to do", DeprecationWarning, 4)
        else:
            known = [*inspect.signature(PostgresPool).parameters, *_PUBLISHED]
            raise ConfigurationError(f"PostgresPool has no option {name!r}", remedy=nearest(name, known))
    return limits


def _urls(replicas: object) -> Sequence[str]:
    kind = type(replicas).__name__
    if isinstance(replicas, list | tuple):
        urls = cast("Sequence[object]", replicas)
        if all(isinstance(url, str) for url in urls):
            return cast("Sequence[str]", urls)
    raise ConfigurationError("replicas must be a list of URLs", found=f"a {kind}")
