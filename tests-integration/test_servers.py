"""The servers start, answer, belong to one test at a time, and are gone afterwards; what is missing is said."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import servers
from servers import daemon


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition: Callable[[], bool], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sqlite_is_new_enough() -> None:
    servers.check_sqlite()


def test_postgres_answers_its_own_client(postgres: servers.Server) -> None:
    assert re.match(r"PostgreSQL \d+", postgres.ask("SELECT version()"))
    assert re.fullmatch(r"ff_test_[0-9a-f]{16}", postgres.ask("SELECT current_database()"))


def test_postgres_text_is_utf8(postgres: servers.Server) -> None:
    assert postgres.ask("SHOW server_encoding") == "UTF8"


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_postgres_database_is_empty_at_first(postgres: servers.Server, attempt: int) -> None:
    postgres.ask(f"CREATE TABLE only_here AS SELECT {attempt} AS n")
    assert postgres.ask("SELECT n FROM only_here") == str(attempt)


def test_a_postgres_database_is_dropped_under_a_client(postgres_server: servers.Server) -> None:
    with postgres_server.database() as database:
        name = database.ask("SELECT current_database()")
        client = subprocess.Popen(database.command("SELECT pg_sleep(60)"), stderr=subprocess.PIPE)
        sleepers = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'PgSleep'"
        while client.poll() is None and postgres_server.ask(sleepers) == "0":
            pass
    _, message = client.communicate(timeout=30)
    assert b"terminating connection" in message
    assert postgres_server.ask(f"SELECT count(*) FROM pg_database WHERE datname = '{name}'") == "0"


def test_mariadb_answers_its_own_client(mariadb: servers.Server) -> None:
    assert "MariaDB" in mariadb.ask("SELECT version()")
    mariadb.ask("CREATE TABLE t (n INT)")
    assert mariadb.ask("SHOW TABLES") == "t"


@pytest.fixture
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variable in [*servers.ADDRESS.values(), "FF_STORAGE_REQUIRE"]:
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.mark.usefixtures("nothing_given")
def test_a_started_server_is_stopped_and_its_folder_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = servers.postgres_sources()
    if sources == ["none"]:
        servers.unavailable("postgres", "nothing to start")
    if daemon.account() is None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with servers.postgres(sources[-1]) as server:
        assert server.pid is not None
        assert alive(server.pid)
        directory = Path(server.ask("SHOW data_directory")).parent
        assert server.ask("SHOW listen_addresses") == "127.0.0.1"
    assert not alive(server.pid)
    assert not directory.exists()


def test_an_address_wins(nothing_given: pytest.MonkeyPatch) -> None:
    if servers.postgres_sources() == ["none"]:
        servers.unavailable("postgres", "no psql either")
    url = "postgresql://somebody:secret@db.example:5499/theirs"
    nothing_given.setenv("FF_STORAGE_TEST_POSTGRES_URL", url)
    assert servers.postgres_sources() == ["address"]
    with servers.postgres("address") as server:
        assert (server.url, server.pid) == (url, None)
    command = server.command("SELECT 1")
    assert command[command.index("-h") + 1 : command.index("-h") + 2] == ["db.example"]
    assert "secret" not in " ".join(command)
    assert server.environment()["PGPASSWORD"] == "secret"


def outcome(engine: str) -> tuple[type[BaseException], str]:
    """How a test ends that finds no such server; both ends are caught, as a skip raised here would skip this test."""
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception)) as caught:
        servers.unavailable(engine, "nothing there")
    return caught.type, str(caught.value)


@pytest.mark.parametrize("engine", servers.ADDRESS)
def test_a_missing_server_is_a_skip_that_says_how_to_get_it(engine: str, nothing_given: pytest.MonkeyPatch) -> None:
    kind, reason = outcome(engine)
    assert kind is pytest.skip.Exception
    assert reason.startswith(f"no {engine}: nothing there; ")
    assert servers.ADDRESS[engine] in reason
    nothing_given.setenv("FF_STORAGE_REQUIRE", "sqlite")
    assert outcome(engine)[0] is pytest.skip.Exception


@pytest.mark.parametrize("engine", servers.REMEDY)
def test_a_missing_server_that_is_required_is_a_failure(engine: str, nothing_given: pytest.MonkeyPatch) -> None:
    nothing_given.setenv("FF_STORAGE_REQUIRE", f" {engine} ,sqlite")
    kind, reason = outcome(engine)
    assert kind is pytest.fail.Exception
    assert reason.startswith(f"no {engine}: nothing there; ")


@pytest.mark.parametrize("engine", ["mysql", "mssql", "s3", "azure"])
def test_an_engine_that_cannot_be_started_needs_an_address(engine: str, nothing_given: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"compose/compose\.yaml"):
        servers.address(engine)
    nothing_given.setenv(servers.ADDRESS[engine], "scheme://somewhere")
    assert servers.address(engine) == "scheme://somewhere"


def test_a_typing_error_does_not_lift_a_requirement(nothing_given: pytest.MonkeyPatch) -> None:
    nothing_given.setenv("FF_STORAGE_REQUIRE", "sqlite,postgress")
    with pytest.raises(pytest.fail.Exception, match="postgress"):
        servers.required()


# --- servers of a test's own -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=servers.postgres_binaries() or ["none"])
def cluster(request: pytest.FixtureRequest) -> Iterator[servers.Cluster]:
    with servers.cluster(request.param, access=servers.PASSWORDS) as started:
        yield started


def test_a_cluster_starts_again_where_it_was(cluster: servers.Cluster) -> None:
    url, pid = cluster.server.url, cluster.pid
    cluster.ask("CREATE TABLE kept (n INTEGER)")
    cluster.stop_immediately()
    assert not cluster.is_running
    cluster.settings["max_connections"] = "7"
    cluster.restart()
    assert cluster.server.url == url
    assert cluster.pid != pid
    assert cluster.ask("SELECT count(*) FROM kept") == "0"
    assert cluster.ask("SHOW max_connections") == "7"
    cluster.signal(signal.SIGSTOP)  # a stalled server is stopped too
    cluster.restart()


def test_a_password_is_asked_for(cluster: servers.Cluster) -> None:
    cluster.ask("CREATE ROLE somebody LOGIN PASSWORD 'right'")
    for secret, comes_in in (("right", True), ("wrong", False)):
        server = dataclasses.replace(cluster.server, url=cluster.url(f"somebody:{secret}"))
        if comes_in:
            assert server.ask("SELECT current_user") == "somebody"
        else:
            with pytest.raises(subprocess.CalledProcessError):
                server.ask("SELECT 1")


def test_a_standby_follows_and_can_lag(cluster: servers.Cluster) -> None:
    with servers.standby(cluster) as follower:
        assert follower.ask("SELECT pg_is_in_recovery()") == "t"
        follower.ask("SELECT pg_wal_replay_pause()")
        eventually(lambda: follower.ask("SELECT pg_get_wal_replay_pause_state()") == "paused")
        cluster.ask("CREATE TABLE followed AS SELECT 42 AS n")
        assert follower.ask("SELECT to_regclass('followed') IS NULL") == "t"
        follower.ask("SELECT pg_wal_replay_resume()")
        eventually(lambda: follower.ask("SELECT to_regclass('followed') IS NOT NULL") == "t")
        assert follower.ask("SELECT n FROM followed") == "42"
        with pytest.raises(subprocess.CalledProcessError):
            follower.ask("DELETE FROM followed")


def test_tls_is_verified_by_the_authority(tmp_path: Path) -> None:
    if "system" not in servers.postgres_binaries():
        servers.unavailable("postgres", "only a build without TLS")
    authority = servers.Authority()
    with servers.cluster("system", access=servers.PASSWORDS_OVER_TLS, authority=authority) as started:
        started.ask("CREATE ROLE somebody LOGIN PASSWORD 'right'")
        url = started.url("somebody:right")
        for root, mode, comes_in in (
            (authority.root(tmp_path / "right.crt"), "verify-full", True),
            (servers.Authority().root(tmp_path / "wrong.crt"), "verify-full", False),
            (Path("none"), "disable", False),
        ):
            command = [str(started.binaries / "psql"), "-XAtq", f"{url}?sslmode={mode}&sslrootcert={root}", "-c"]
            answer = subprocess.run([*command, "SELECT 1"], capture_output=True, text=True, timeout=30, check=False)
            assert (answer.stdout.strip() == "1") == comes_in, answer.stderr


def test_clients_of_pgbouncer_share_connections(cluster: servers.Cluster) -> None:
    with servers.pgbouncer(cluster, 1) as bouncer:
        first = bouncer.server.ask("SELECT pg_backend_pid()")
        assert bouncer.server.ask("SELECT pg_backend_pid()") == first


def test_an_aborted_run_leaves_no_server() -> None:
    """A program that is killed after it started a server takes the server along."""
    if shutil.which("setpriv") is None or not servers.postgres_binaries():
        servers.unavailable("postgres", "neither a server nor setpriv")
    source = [*servers.postgres_binaries()][-1]
    script = f"import servers, sys, time\nwith servers.cluster({source!r}) as started:\n"
    script += "  print(started.pid, started.place.directory, flush=True)\n  time.sleep(600)\n"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as program:
        assert program.stdout is not None
        pid, directory = program.stdout.readline().split()
        assert alive(int(pid))
        program.kill()
    eventually(lambda: not alive(int(pid)))
    shutil.rmtree(directory)
