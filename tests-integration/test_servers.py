"""The servers start, answer, belong to one test at a time, and are gone afterwards; what is missing is said."""

import os
import re
import subprocess
from pathlib import Path

import pytest

import servers


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


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
        client = subprocess.Popen(database._command("SELECT pg_sleep(60)"), stderr=subprocess.PIPE)
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
    if servers._account() is None:
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
    command = server._command("SELECT 1")
    assert command[command.index("-h") + 1 : command.index("-h") + 2] == ["db.example"]
    assert "secret" not in " ".join(command)
    assert server._environment()["PGPASSWORD"] == "secret"


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
