"""`PoolSettings.from_env()`: what the variables say, under their names, and never the password."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest

from ff_storage.core.database import PoolSettings
from ff_storage.core.errors import ConfigurationError

SECRET = "s3cret p@ss/word:%"

SEEDS = {
    "DB_HOST": "db.example",
    "DB_PORT": "5433",
    "DB_NAME": "fenix_db",
    "DB_USER": "fenix",
    "DB_PASSWORD": SECRET,
    "DB_POOL_SIZE": "20",
}


def given(**variables: str) -> PoolSettings:
    return PoolSettings.from_env(environ=variables)


def test_the_variables_of_the_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SEEDS.items():
        monkeypatch.setenv(name, value)
    settings = PoolSettings.from_env()
    assert (settings.host, settings.port, settings.dbname, settings.user) == ("db.example", 5433, "fenix_db", "fenix")
    assert settings.password is not None
    assert settings.password.get_secret_value() == SECRET
    assert settings.max_size == 20


def test_settings_are_the_arguments_that_were_set() -> None:
    settings = given(**SEEDS, DB_QUERY_TIMEOUT="none", DB_MIN_SIZE="1", DB_MAX_IDLE="0.5")
    assert {**settings} == {
        "host": "db.example",
        "port": 5433,
        "dbname": "fenix_db",
        "user": "fenix",
        "password": settings.password,
        "pool_size": 20,
        "min_size": 1,
        "query_timeout": None,
        "max_idle": 0.5,
    }
    assert {**given(DB_MAX_SIZE="20")} == {"max_size": 20}
    assert {**given()} == {}
    assert {**PoolSettings(max_size=3, host="here", min_size=1)} == {"max_size": 3, "host": "here"}
    with pytest.raises(KeyError):
        given()["host"]


def test_an_empty_variable_is_none() -> None:
    assert {**given(DB_HOST="", DB_PORT="", DB_PASSWORD="", DB_MAX_SIZE="")} == {}


def test_another_prefix_reads_other_variables() -> None:
    environ = {"REPORTS_HOST": "there", "DB_HOST": "here", "REPORTS_ACQUIRE_TIMEOUT": "2.5"}
    assert {**PoolSettings.from_env("REPORTS_", environ)} == {"host": "there", "acquire_timeout": 2.5}
    assert {**PoolSettings.from_env("", {"HOST": "bare"})} == {"host": "bare"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DB_PORT", "five"),
        ("DB_PORT", "0"),
        ("DB_PORT", "65536"),
        ("DB_PORT", "5432.0"),
        ("DB_PORT", "none"),
        ("DB_PORT", "٥"),
        ("DB_MAX_SIZE", "0"),
        ("DB_MAX_SIZE", "ten"),
        ("DB_MAX_SIZE", "none"),
        ("DB_POOL_SIZE", "-1"),
        ("DB_MIN_SIZE", "11"),
        ("DB_MAX_WAITING", "1.5"),
        ("DB_QUERY_TIMEOUT", "30s"),
        ("DB_QUERY_TIMEOUT", "-1"),
        ("DB_QUERY_TIMEOUT", "nan"),
        ("DB_QUERY_TIMEOUT", "inf"),
        ("DB_ACQUIRE_TIMEOUT", "1e3"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        given(**{**SEEDS, "DB_POOL_SIZE": "", variable: value})
    assert variable in caught.value.message
    assert ascii(value)[1:-1] in caught.value.found
    found: BaseException | None = caught.value
    while found is not None:
        assert SECRET not in f"{found!r} {found} {vars(found)}"
        found = found.__cause__ or found.__context__


def test_one_limit_is_not_set_twice() -> None:
    with pytest.raises(ConfigurationError, match="DB_MAX_SIZE and DB_POOL_SIZE"):
        given(DB_MAX_SIZE="3", DB_POOL_SIZE="4")


def test_the_password_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    settings = given(**SEEDS)
    logging.getLogger("here").warning("%s %r %s", settings, settings, {**settings})
    shown: list[Any] = [repr(settings), str(settings), f"{settings}", repr({**settings}), caplog.text]
    assert not [text for text in shown if SECRET in text]
    assert copy.copy(settings) == settings
