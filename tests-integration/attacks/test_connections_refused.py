"""Servers that cannot be reached, or will not have us: an error of ours each, which says what to do and no secret.

Both ways to a PostgreSQL server are tried, the pool and the synchronous database; TLS needs a server that has it.
"""

# pyright: basic, reportArgumentType=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import logging
import pickle
import socket
import ssl
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

import pytest

import servers
from attacks.oracle import everything_about
from ff_storage import HealthChecker, MetricsCollector, PoolSettings, Postgres, PostgresPool, open_pool
from ff_storage.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailure,
    DatabaseError,
    StorageError,
    TooManyConnections,
)
from servers.daemon import Place, free_port

PASSWORD: Final = "S3CR3T-☃"
FORMS: Final = (PASSWORD, quote(PASSWORD, safe=""), "S3CR3T", b"S3CR3T".hex())

ROLES: Final = f"""
    CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
    CREATE ROLE crowd LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
    CREATE ROLE nologin NOLOGIN PASSWORD '{PASSWORD}';
    CREATE DATABASE shut ALLOW_CONNECTIONS false;
"""


class Elsewhere(servers.Authority):
    """Certifies the server as another host."""

    def certify(self, where: Place, *names: str) -> tuple[Path, Path]:
        del names
        return super().certify(where, "db.example.com")


@contextlib.contextmanager
def _guarded(source: str, **options: Any) -> Iterator[servers.Cluster]:
    with servers.cluster(source, **options) as cluster:
        for statement in filter(str.strip, ROLES.split(";")):
            cluster.ask(statement)
        yield cluster


@pytest.fixture(scope="module", params=servers.postgres_binaries() or ["none"])
def guarded(request: pytest.FixtureRequest) -> Iterator[servers.Cluster]:
    """A server that asks for passwords, and has no TLS."""
    with _guarded(request.param, access=servers.PASSWORDS) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def authority() -> servers.Authority:
    return servers.Authority()


@pytest.fixture(scope="module")
def secured(authority: servers.Authority) -> Iterator[servers.Cluster]:
    """A server that takes everybody else but its superuser over TLS alone."""
    with _guarded("system", access=servers.PASSWORDS_OVER_TLS, authority=authority) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[servers.Cluster, servers.Authority]]:
    """The same, with the certificate of another host."""
    authority = Elsewhere()
    with _guarded("system", access=servers.PASSWORDS_OVER_TLS, authority=authority) as cluster:
        yield cluster, authority


class Way:
    """One way to a server. What it is opened with is made in frames that are gone when it fails."""

    def __init__(self, kind: str, log: pytest.LogCaptureFixture) -> None:
        self.kind = kind
        self.log = log

    def refused(self, error: type[StorageError], url: str, **options: Any) -> StorageError:
        """Connecting to `url` raises `error`, and no secret is seen: not in its frames, not in a log of all levels."""
        self.log.set_level(logging.DEBUG)
        patience = {"connect_timeout": 2.0}
        if self.kind == "pool":
            database: Any = open_pool(url, **{**patience, **options})
        else:
            database = Postgres.from_url(url, **{**patience, **options})
        del url, options
        caught = self._caught(database, error)
        assert type(caught) is error, repr(caught)
        shown = [
            everything_about(caught),
            "".join(traceback.TracebackException.from_exception(caught, capture_locals=True).format()),
            repr(database),
            repr(vars(database)),
            self.log.text,
            *(str(record.__dict__) for record in self.log.records),
        ]
        assert not [text for text in shown for form in FORMS if form in text]
        assert caught.code in str(caught)
        assert caught.remedy, f"no remedy: {caught}"
        return caught

    def _caught(self, database: Any, error: type[StorageError]) -> StorageError:
        with pytest.raises(error) as caught:
            if self.kind == "pool":
                asyncio.run(_entered(database))
            else:
                with database:
                    database.read_query("SELECT 1")
        return caught.value

    def accepted(self, url: str, **options: Any) -> bool:
        """Connect, and say whether the connection is encrypted."""
        sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

        async def asked() -> bool:
            async with open_pool(url, **options) as pool:
                return cast("bool", await pool.fetch_val(sql))

        if self.kind == "pool":
            return asyncio.run(asked())
        with Postgres.from_url(url, **options) as database:
            return cast("bool", database.read_query(sql)[0]["ssl"])


async def _entered(pool: Any) -> None:
    async with pool:
        await pool.fetch_val("SELECT 1")


@pytest.fixture(params=["pool", "sync"])
def way(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Way:
    return Way(request.param, caplog)


def at(cluster: servers.Cluster, user: str = "app", password: str | None = PASSWORD, database: str = "postgres") -> str:
    secret = "" if password is None else f":{quote(password, safe='')}"
    return cluster.url(f"{user}{secret}", database)


# --- the user --------------------------------------------------------------------------------------------------------


def test_the_right_password_is_accepted(way: Way, guarded: servers.Cluster) -> None:
    assert way.accepted(at(guarded)) is False
    assert way.accepted(guarded.url(f"app:{PASSWORD}")) is False


@pytest.mark.parametrize("password", [f"{PASSWORD}x", f" {PASSWORD}", PASSWORD.lower(), "wrong S3CR3T", "%", "'; --"])
def test_a_wrong_password(way: Way, guarded: servers.Cluster, password: str) -> None:
    error = way.refused(AuthenticationFailed, at(guarded, password=password))
    assert "user, password" in error.remedy


@pytest.mark.parametrize("password", [None, ""])
def test_a_password_that_is_missing(
    way: Way, guarded: servers.Cluster, password: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    assert "password" in way.refused(AuthenticationFailed, at(guarded, password=password)).remedy


@pytest.mark.parametrize("user", ["nobody", "nologin"])
def test_a_user_that_may_not_come_in(way: Way, guarded: servers.Cluster, user: str) -> None:
    way.refused(AuthenticationFailed, at(guarded, user))


def test_a_user_with_more_connections_than_he_may_have(way: Way, guarded: servers.Cluster) -> None:
    assert way.refused(TooManyConnections, at(guarded, "crowd")).details["sqlstate"] == "53300"


# --- the database ----------------------------------------------------------------------------------------------------


def test_a_database_that_does_not_exist_is_not_made(way: Way, guarded: servers.Cluster) -> None:
    error = way.refused(ConnectionFailure, at(guarded, database="nope"))
    assert "does not exist" in str(error)
    assert guarded.ask("SELECT count(*) FROM pg_database WHERE datname = 'nope'") == "0"


def test_a_database_that_takes_nobody(way: Way, guarded: servers.Cluster) -> None:
    assert "not currently accepting" in str(way.refused(ConnectionFailure, at(guarded, database="shut")))


# --- the server ------------------------------------------------------------------------------------------------------


def test_nobody_listens(way: Way) -> None:
    error = way.refused(ConnectionFailure, f"postgresql://app:{PASSWORD}@127.0.0.1:{free_port()}/postgres")
    assert "127.0.0.1" in str(error)


def test_a_socket_that_is_not_there(way: Way, tmp_path: Path) -> None:
    way.refused(ConnectionFailure, f"postgresql://app:{PASSWORD}@/postgres", host=str(tmp_path))


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 63 + ".invalid"])
def test_a_name_that_nobody_has(way: Way, host: str) -> None:
    assert host in str(way.refused(ConnectionFailure, f"postgresql://app:{PASSWORD}@{host}/postgres", ssl=False))


@contextlib.contextmanager
def _listening(answer: bytes | None) -> Iterator[int]:
    """A server that answers each link with `answer` and hangs up, or with None says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []
        port: int = listener.getsockname()[1]

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    link, _ = listener.accept()
                    held.append(link)
                    if answer is not None:
                        link.recv(1024)
                        link.sendall(answer)
                        link.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield port
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for link in held:
                link.close()


def test_a_server_that_says_nothing(way: Way) -> None:
    with _listening(None) as port:
        error = way.refused(ConnectionFailure, f"postgresql://app:{PASSWORD}@127.0.0.1:{port}/postgres")
    assert error.transient  # type: ignore[attr-defined]


ANSWERS: Final = {
    "nothing": b"",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "noise": bytes(range(256)),
    "half a message": b"R\0\0\0\x0c\0\0",
    "an error without fields": b"E\0\0\0\5\0",
    "a message without end": b"R\x7f\xff\xff\xff" + b"x" * 100,
}


@pytest.mark.parametrize("answer", sorted(ANSWERS))
def test_a_server_that_is_none(way: Way, answer: str) -> None:
    with _listening(ANSWERS[answer]) as port:
        way.refused(ConnectionFailure, f"postgresql://app:{PASSWORD}@127.0.0.1:{port}/postgres")


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_without_tls(way: Way, guarded: servers.Cluster, mode: str) -> None:
    error = way.refused(ConnectionFailure, f"{at(guarded)}?sslmode={mode}")
    assert "does not speak TLS" in str(error)
    assert not error.transient  # type: ignore[attr-defined]


def test_tls_is_wanted_by_itself_where_the_host_is_not_surely_here(way: Way, guarded: servers.Cluster) -> None:
    """127.1 leads to the loopback too, but that is up to whoever resolves it: the password is not sent in the clear."""
    url = at(guarded).replace("127.0.0.1", "127.1")
    assert "does not speak TLS" in str(way.refused(ConnectionFailure, url))
    assert way.accepted(f"{url}?sslmode=disable") is False


def test_plain_text_to_a_server_that_wants_tls(way: Way, secured: servers.Cluster) -> None:
    way.refused(AuthenticationFailed, f"{at(secured)}?sslmode=disable")
    way.refused(AuthenticationFailed, at(secured))  # on the loopback it is the default


def test_a_certificate_of_an_unknown_authority(way: Way, secured: servers.Cluster, tmp_path: Path) -> None:
    other = servers.Authority().root(tmp_path / "other.pem")
    for options in ("?sslmode=verify-full", "?sslmode=verify-ca", "?ssl=true", f"?sslmode=require&sslrootcert={other}"):
        error = way.refused(ConfigurationError, at(secured) + options)
        assert "sslrootcert" in error.remedy


def test_a_certificate_that_is_verified(
    way: Way, secured: servers.Cluster, authority: servers.Authority, tmp_path: Path
) -> None:
    root = authority.root(tmp_path / "root.pem")
    assert way.accepted(f"{at(secured)}?sslrootcert={root}") is True
    assert way.accepted(f"{at(secured)}?sslmode=verify-full&sslrootcert={root}") is True
    assert way.accepted(at(secured).replace("127.0.0.1", "localhost") + f"?sslrootcert={root}") is True
    assert way.accepted(f"{at(secured)}?sslmode=require") is True
    if way.kind == "pool":
        assert way.accepted(at(secured), ssl=ssl.create_default_context(cafile=str(root))) is True


def test_a_certificate_of_another_host(
    way: Way, elsewhere: tuple[servers.Cluster, servers.Authority], tmp_path: Path
) -> None:
    cluster, authority = elsewhere
    root = authority.root(tmp_path / "root.pem")
    for host in ("127.0.0.1", "127.1", "localhost"):
        url = at(cluster).replace("127.0.0.1", host)
        error = way.refused(ConfigurationError, f"{url}?sslrootcert={root}")
        assert "host" in str(error)
        assert way.accepted(f"{url}?sslmode=verify-ca&sslrootcert={root}") is True


def test_a_wrong_password_over_tls(
    way: Way, secured: servers.Cluster, authority: servers.Authority, tmp_path: Path
) -> None:
    root = authority.root(tmp_path / "root.pem")
    way.refused(AuthenticationFailed, f"{at(secured, password='S3CR3T wrong')}?sslrootcert={root}")


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert"])
def test_a_file_for_tls_that_is_none(way: Way, secured: servers.Cluster, name: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text(PASSWORD)
    for path in (tmp_path / "nowhere.pem", tmp_path / "empty.pem"):
        way.refused(ConfigurationError, f"{at(secured)}?sslmode=verify-full&{name}={path}")


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "?nosuch=1", "?sslmode=prefer", "?pgbouncer=maybe", "?password=S3CR3T", "?connect_timeout=soon", "?sslkey=/x",
        "/other", "#x", "?application_name=a&application_name=b", "?pgbouncer=3",
    ],
)  # fmt: skip
def test_a_wrong_url(way: Way, wrong: str) -> None:
    opened: Any = open_pool if way.kind == "pool" else Postgres.from_url
    with pytest.raises(ConfigurationError) as caught:
        opened(f"postgresql://app:{PASSWORD}@localhost/db{wrong}")
    assert not [form for form in FORMS if form in everything_about(caught.value).replace(f"{PASSWORD}@", "")]
    assert not isinstance(caught.value, DatabaseError)


@pytest.mark.parametrize(
    "options",
    [
        {"connect_timeout": "soon"}, {"query_timeout": "x"}, {"pool_size": 0}, {"pool_size": "2"}, {"pool_size": True},
        {"acquire_timeout": "x"}, {"pgbouncer": "no"}, {"port": "x"}, {"host": "a,b"}, {"nosuch": 1}, {"max_age": -1},
        {"password": 5}, {"connect_timeout": -1}, {"connect_timeout": float("nan")}, {"application_name": "a\0"},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_option(way: Way, options: dict[str, Any]) -> None:
    made: Any = PostgresPool if way.kind == "pool" else Postgres
    with pytest.raises(ConfigurationError) as caught:
        made(**{"password": PASSWORD, **options})
    assert not any(form in str(caught.value) for form in FORMS)


# --- what watches a pool, and what it is made of ---------------------------------------------------------------------


def _shown(*things: Any) -> list[str]:
    texts = [show(each) for each in things for show in (repr, str)]
    for each in things:
        texts.append(repr(getattr(each, "__dict__", "")))
        for copied in (dataclasses.asdict, pickle.dumps):  # what holds a password refuses both
            with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
                texts.append(repr(copied(each)))
    return texts


async def test_a89_what_watches_a_pool_tells_no_secret(
    guarded: servers.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Health, metrics and statistics, of a pool that is refused and of one that works, with values that are bound."""
    caplog.set_level(logging.DEBUG)
    collector, seen = MetricsCollector(), list[Any]()
    for password in ("S3CR3T wrong", PASSWORD):
        async with open_pool(at(guarded, password=password), min_size=0, acquire_timeout=0.5) as pool:
            pool.observe(collector)
            pool.observe(seen.append)
            checker = HealthChecker()
            checker.register_check("database", lambda pool=pool, checker=checker: checker.check_database_pool(pool))
            report = await checker.run_all_checks()
            assert (password == PASSWORD) == (await pool.check_health()).is_healthy
            with contextlib.suppress(StorageError):
                await pool.fetch_all("SELECT $1::text", PASSWORD)
            with contextlib.suppress(StorageError):
                await pool.fetch_all("SELECT $1::integer", PASSWORD)
            with contextlib.suppress(StorageError):
                await pool.fetch_all("SELECT $1::text::integer", PASSWORD)
            shown = _shown(
                report, *getattr(report, "results", ()), await pool.check_health(), pool.stats(), pool, checker,
                collector, collector.get_query_statistics(), *seen,
            )  # fmt: skip
            assert not [text for text in [*shown, caplog.text] for form in FORMS if form in text]
    assert seen


def test_a89_settings_tell_no_secret() -> None:
    environ = {"DB_HOST": "localhost", "DB_NAME": "shop", "DB_USER": "shop", "DB_PASSWORD": PASSWORD}
    settings = PoolSettings.from_env(environ=environ)
    pool: Any = PostgresPool.from_settings(settings)
    database: Any = Postgres(**settings)
    shown = [*_shown(settings, pool, database, pool._address, database._address), repr(dict(settings))]
    assert copy.deepcopy(settings) == copy.copy(settings) == settings
    assert not [text for text in shown for form in FORMS if form in text]
    assert pool._address.password.reveal() == PASSWORD
    bare = PoolSettings(max_size=7)
    assert pickle.loads(pickle.dumps(bare)) == bare
    for wrong in ({"DB_PORT": "S3CR3T"}, {"DB_MAX_SIZE": "0"}, {"DB_POOL_SIZE": "x"}, {"DB_HOST": "a,b"}):
        with pytest.raises(ConfigurationError) as caught:
            PostgresPool.from_settings(PoolSettings.from_env(environ={**environ, **wrong}))
        assert PASSWORD not in everything_about(caught.value)
