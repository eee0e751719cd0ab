"""Where a server is: URLs, the seeds' keywords, and TLS that is on wherever somebody may stand between."""

from __future__ import annotations

import copy
import pickle
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from ff_storage.core.database import open_pool
from ff_storage.core.errors import ConfigurationError
from ff_storage.postgres import Postgres, PostgresPool
from ff_storage.postgres.address import Address, address

PASSWORD = "S3CR3T-☃"
FORMS = (PASSWORD, quote(PASSWORD, safe=""), "S3CR3T")


def of(url: str, **options: Any) -> Address:
    pool: Any = open_pool(url, **options)
    return pool._address


def parts(found: Address) -> tuple[str | None, ...]:
    secret = found.password
    return (found.user, None if secret is None else secret.reveal(), found.host, str(found.port), found.dbname)


# --- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://", ("postgres", None, "localhost", "5432", "postgres")),
        ("postgresql:///db", ("postgres", None, "localhost", "5432", "db")),
        ("postgresql://host", ("postgres", None, "host", "5432", "postgres")),
        ("postgresql://user@host", ("user", None, "host", "5432", "user")),
        ("postgresql://user@host/", ("user", None, "host", "5432", "user")),
        ("postgres://user:pw@host:6432/db", ("user", "pw", "host", "6432", "db")),
        ("POSTGRES://user:pw@Host:/db", ("user", "pw", "host", "5432", "db")),
        ("postgresql://u%40x:p%40ss%2Fw%3A%25%23@host/d%2Fb", ("u@x", "p@ss/w:%#", "host", "5432", "d/b")),
        ("postgresql://user:a@b@host/db", ("user", "a@b", "host", "5432", "db")),
        ("postgresql://user:a:b@host/db", ("user", "a:b", "host", "5432", "db")),
        (f"postgresql://user:{PASSWORD}@host/db", ("user", PASSWORD, "host", "5432", "db")),
        (f"postgresql://user:{quote(PASSWORD)}@host/db", ("user", PASSWORD, "host", "5432", "db")),
        ("postgresql://user:@host/db", ("user", "", "host", "5432", "db")),
        ("postgresql://:pw@host/db", ("postgres", "pw", "host", "5432", "db")),
        ("postgresql://user:pw@[::1]:5433/db", ("user", "pw", "::1", "5433", "db")),
        ("postgresql://user:pw@[fe80::1%25eth0]/db", ("user", "pw", "fe80::1%eth0", "5432", "db")),
        ("postgresql://user:pw@%2Frun%2Fpostgresql/db", ("user", "pw", "/run/postgresql", "5432", "db")),
        ("postgresql:///db?host=/run/postgresql", ("postgres", None, "/run/postgresql", "5432", "db")),
        ("postgresql://user:pw@host/db?", ("user", "pw", "host", "5432", "db")),
    ],
)
def test_a_url_says_where(url: str, expected: tuple[str | None, ...]) -> None:
    assert parts(of(url)) == expected


@pytest.mark.parametrize(
    "rest",
    [
        "host:0/db", "host:65536/db", "host:-1/db", "host:abc/db", "host:５４/db",
        "[::1/db", "h1:1,h2:2/db", "h1,h2/db", "host/db/other", "host/db#x", "host/db?#x", "ho%20st/db", "ho..st/db",
        "host/%00", "host/%zz", "host/%ff", "host/db?sslmode", "host/db?sslmode=", "host/db?sslmode=prefer",
        "host/db?sslmode=allow", "host/db?sslmode=REQUIRE", "host/db?sslmode=require&sslmode=disable",
        "host/db?ssl=1", "host/db?ssl=true&sslmode=require", "host/db?ssl=yes",
        "host/db?sslrootcert=/x&sslmode=disable", "host/db?sslkey=/x",
        "host/db?host=other", "/db?host=a&host=b", "host/db?application_name=a&application_name=b",
        "host/db?application_name=", "host/db?max_size=5&max_size=6", "host/db?max_size=", "host/db?max_size=abc",
        "host/db?max_size=1.5", "host/db?max_size=true", "host/db?max_size=1_0", "host/db?max_size=%205",
        "host/db?max_size=0", "host/db?max_size=２", "host/db?min_size=none&max_size=-1",
        "host/db?acquire_timeout=nan", "host/db?acquire_timeout=inf", "host/db?acquire_timeout=-1",
        "host/db?acquire_timeout=true", "host/db?nosuch=1", "host/db?password={p}", "host/db?user=x",
        "host/db?port=1", "host/db?dbname=x", "host/db?options=-csearch_path%3Dx", "host/db?published=5",
        "host/db?self=1", "host/db?=5", "host/db?a;b=5", "host/db?uuid=evil", "host/db?pgbouncer=yes",
        "host/db?pgbouncer=2", "host/db?statement_cache_size=-1", "host/db?{p}=1",
        "host/db\n", "host/db ", "ho\tst/db", "host/d\x00b",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_wrong_url_is_refused_and_not_repeated(rest: str) -> None:
    for password in (PASSWORD, quote(PASSWORD, safe="")):
        with pytest.raises(ConfigurationError) as caught:
            open_pool(f"postgresql://user:{password}@{rest.format(p='x')}")
        assert "[FF-I106]" in str(caught.value)
        assert not any(form in str(caught.value) for form in FORMS)
        assert caught.value.__cause__ is None or not any(form in str(caught.value.__cause__) for form in FORMS)


@pytest.mark.parametrize(
    "password", ["S3CR3T%", "S3CR3T%zz", "S3CR3T%ff", "S3C/R3T", "S3C?R3T", "S3C#R3T", "S3CR3T%00"]
)
def test_a_password_that_is_not_escaped_is_refused_and_not_cut_or_altered(password: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_pool(f"postgresql://user:{password}@host/db")
    assert "S3C" not in str(caught.value)
    assert "R3T" not in str(caught.value)


def test_a_misspelled_parameter_is_answered_with_the_name_that_is_meant() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'max_size'"):
        open_pool("postgresql://host/db?maxsize=5")
    with pytest.raises(ConfigurationError, match="did you mean 'sslrootcert'"):
        open_pool("postgresql://host/db?sslrootcrt=/x")


def test_what_a_url_says_is_not_said_again_as_an_option() -> None:
    url = "postgresql://user:pw@host/db?max_size=5&application_name=x"
    for options in ({"max_size": 5}, {"user": "user"}, {"password": "pw"}, {"host": "host"}, {"application_name": "x"}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            open_pool(url, **options)
    assert parts(of("postgresql:///db", user="me", password="pw", host="host", port=1))[:4] == ("me", "pw", "host", "1")


def test_the_limits_of_a_url_are_those_of_the_pool() -> None:
    pool: Any = open_pool("postgresql://host/db?min_size=2&max_size=7&acquire_timeout=1.5&max_age=none&query_timeout=0")
    settings = pool._settings
    assert (settings.min_size, settings.max_size) == (2, 7)
    assert (settings.acquire_timeout, settings.max_age, settings.query_timeout) == (1.5, None, 0)


# --- keywords --------------------------------------------------------------------------------------------------------


def test_the_seeds_keywords_name_the_same() -> None:
    database: dict[str, Any] = {"dbname": "fenix_db", "user": "fenix", "password": "pw", "host": "localhost"}
    pool: Any = PostgresPool(**database, port=5432, min_size=10, max_size=20)
    assert parts(pool._address) == ("fenix", "pw", "localhost", "5432", "fenix_db")
    assert (pool._settings.min_size, pool._settings.max_size) == (10, 20)
    sized: Any = PostgresPool(**database, port="6432", pool_size=20)
    assert sized._settings.max_size == 20
    positional: Any = PostgresPool("db", "me", "pw", "host", 1)
    assert parts(positional._address) == ("me", "pw", "host", "1", "db")
    published: Any = PostgresPool(pool_recycle=5, connection_timeout=6, max_inactive_connection_lifetime=7)
    limits = published._settings
    assert (limits.max_age, limits.connect_timeout, limits.max_idle) == (5, 6, 7)


@pytest.mark.parametrize("name", ["validate_queries", "collect_metrics", "logger", "pool"])
def test_a_seed_s_option_that_has_no_use_is_named_in_a_warning(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=name):
        PostgresPool(**{name: None})


@pytest.mark.parametrize(
    "options",
    [
        {"host": 5}, {"host": b"h"}, {"host": "a\0"}, {"host": "h1,h2"}, {"host": " h"}, {"host": "h "},
        {"host": "a..b"}, {"host": "x" * 64}, {"host": "user@host"}, {"host": f"postgresql://u:{PASSWORD}@h/db"},
        {"port": 0}, {"port": 65536}, {"port": -1}, {"port": True}, {"port": 1.0}, {"port": " 1"}, {"port": b"1"},
        {"port": "５"}, {"user": 5}, {"user": "a\0"}, {"dbname": 5}, {"dbname": "a\0"},
        {"dbname": f"postgresql://u:{PASSWORD}@h/db"}, {"dbname": f"user=x password={PASSWORD}"},
        {"password": 5}, {"password": b"x"}, {"password": f"{PASSWORD}\0"}, {"password": [PASSWORD]},
        {"application_name": 5}, {"application_name": "a\0"}, {"application_name": ""},
        {"ssl": 1}, {"ssl": "prefer"}, {"ssl": {}}, {"ssl": True, "sslmode": "require"}, {"sslmode": 5},
        {"sslmode": "allow"}, {"sslmode": True}, {"ssl": ssl.create_default_context(), "sslmode": "require"},
        {"ssl": ssl.create_default_context(), "sslrootcert": "/x"}, {"sslrootcert": 5}, {"sslrootcert": b"/x"},
        {"sslrootcert": ""}, {"sslkey": "/x"}, {"sslkey": "/x", "sslmode": "disable"}, {"ssl": False, "sslcert": "/x"},
        {"pgbouncer": "no"}, {"pgbouncer": 1}, {"uuid": 5}, {"uuid": ["driver"]}, {"statement_cache_size": True},
        {"statement_cache_size": 1.0}, {"pool_size": 5, "max_size": 5}, {"min_size": 5, "max_size": 2},
        {"min_size": "x"}, {"max_size": "5"}, {"max_size": True}, {"max_size": 1.5}, {"max_size": 0},
        {"acquire_timeout": "x"}, {"acquire_timeout": float("nan")}, {"acquire_timeout": -1}, {"max_age": PASSWORD},
        {"query_timeout": True}, {"max_waiting": 1.5}, {"max_waiting": -1}, {"pool_recycle": "x"}, {"nosuch": 1},
        {"pool_recycle": 60, "max_age": 50}, {"connection_timeout": 5, "connect_timeout": 6},
        {"database": "x"}, {"published": 1},
    ],
    ids=ascii,
)  # fmt: skip
def test_a_wrong_keyword_is_refused_and_no_password_repeated(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PostgresPool(**{"password": PASSWORD, **options})
    assert not any(form in str(caught.value) for form in FORMS)


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.53", "::1", "/run/postgresql", "@socket"])
def test_tls_is_off_where_nobody_stands_between(host: str) -> None:
    assert address(host=host).tls.mode == "disable"
    assert address(host=host).tls.make_context() is None
    assert address(host=host, ssl=True).tls.mode == "verify-full"


@pytest.mark.parametrize(
    "host",
    [
        "db.example.com", "10.0.0.1", "192.168.0.1", "0.0.0.0", "::", "fe80::1", "::ffff:127.0.0.1", "127.1",
        "localhost.", "localhost.localdomain", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost",
    ],
)  # fmt: skip
def test_tls_is_required_and_verified_everywhere_else(host: str) -> None:
    """A name may resolve to anything, so only the loopback's own names are believed."""
    for found in (address(host=host), of(f"postgresql://u@{f'[{host}]' if ':' in host else host}/db")):
        assert found.tls.mode == "verify-full"
        context = found.tls.make_context()
        assert context is not None
        assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert address(host=host, ssl=False).tls.make_context() is None


def test_each_mode_checks_what_it_says(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    root = tmp_path / "root.pem"
    root.write_bytes(trustme.CA().cert_pem.bytes())
    made = {}
    for mode in ("require", "verify-ca", "verify-full"):
        for file in (None, root):
            context = address(host="h", sslmode=mode, sslrootcert=file).tls.make_context()
            assert context is not None
            made[mode, file is not None] = (context.check_hostname, context.verify_mode == ssl.CERT_REQUIRED)
    assert made == {
        ("require", False): (False, False),
        ("require", True): (False, True),  # as libpq: an authority that is named is asked
        ("verify-ca", False): (False, True),
        ("verify-ca", True): (False, True),
        ("verify-full", False): (True, True),
        ("verify-full", True): (True, True),
    }


def test_a_context_of_ones_own_is_used_as_it_is() -> None:
    context = ssl.create_default_context()
    assert address(host="localhost", ssl=context).tls.make_context() is context


def test_a_file_that_is_none_is_named_when_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(PASSWORD)
    for options in ({"sslrootcert": "/no/such"}, {"sslrootcert": tmp_path / "root.pem"}, {"sslcert": "/no/such"}):
        with pytest.raises(ConfigurationError, match="sslrootcert, sslcert and sslkey") as caught:
            address(host="h", **options).tls.make_context()  # type: ignore[arg-type]
        assert PASSWORD not in str(caught.value)


# --- the secret ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [PASSWORD, SecretStr(PASSWORD)], ids=["text", "SecretStr"])
def test_a_password_is_shown_by_nothing(password: Any) -> None:
    found = address(host="host", user="user", password=password)
    assert found.password is not None
    assert found.password.reveal() == PASSWORD
    pool = PostgresPool(host="host", user="user", password=password)
    for each in (found, found.password, found.tls, pool):
        for text in (repr(each), str(each), f"{each}", f"{each!r:>5}", repr(getattr(each, "__dict__", None))):
            assert not any(form in text for form in FORMS)
    assert repr(pool) == "<PostgresPool user@host:5432/user, not connected>"
    for copied in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copied(found)  # type: ignore[operator]


@pytest.mark.parametrize("kind", [PostgresPool, Postgres])
@pytest.mark.parametrize("refused", [{"sslmode": "zz"}, {"acquire_timeout": -1.0}, {"port": 0}])
def test_an_object_whose_arguments_were_refused_can_be_shown(kind: type[Any], refused: dict[str, Any]) -> None:
    """Reports of errors show the variables of each frame, `self` among them."""
    with pytest.raises(ConfigurationError) as caught:
        kind(**refused)
    shown = [repr(entry.locals["self"]) for entry in caught.traceback if type(entry.locals.get("self")) is kind]
    assert shown == [f"<{kind.__name__} nowhere, not connected>"]
