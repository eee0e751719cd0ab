"""What the documents promise is what the scripts do."""

import re
from pathlib import Path

import servers

ROOT = Path(__file__).parents[2]
SET_UP = "python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s "


def test_the_two_commands_are_in_the_readme_and_ci_runs_the_tests_by_that_line() -> None:
    readme = (ROOT / "README.md").read_text().splitlines()
    assert f"{SET_UP}quickstart" in readme
    assert f"{SET_UP}tests" in readme
    assert f"{SET_UP}tests;" in (ROOT / ".ci/run").read_text()


def test_ci_requires_servers_and_tries_the_same_examples_each_time() -> None:
    script = (ROOT / ".ci/run").read_text()
    (line,) = re.findall(r"^export FF_STORAGE_REQUIRE=.*$", script, re.MULTILINE)
    assert line.split()[1:3] == ["FF_STORAGE_REQUIRE=sqlite,postgres,pgbouncer", "CI=true"]
    assert 'os.environ.get("CI")' in (ROOT / "conftest.py").read_text()


def test_every_session_is_in_contributing() -> None:
    sessions = re.findall(r"^def (\w+)\(session: nox\.Session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    listed = set(re.findall(r"`(\w+)`", "".join(table)))
    assert listed == set(sessions) - {"install", "run_tests", "build"}


def test_compose_serves_every_engine_on_the_loopback_and_says_when_it_is_healthy() -> None:
    compose = (ROOT / "compose/compose.yaml").read_text()
    body = compose.split("\nservices:\n")[1].split("\nconfigs:\n")[0]
    services = re.split(r"^  (\w+):$", body, flags=re.MULTILINE)[1:]
    texts = dict(zip(services[::2], services[1::2], strict=True))
    assert set(texts) == {"postgres", "mysql", "mariadb", "mssql", "azurite", "s3"}
    for text in texts.values():
        assert "healthcheck:" in text
        assert re.findall(r'ports: \["(.*?):\$', text) == ["127.0.0.1"]

    example = (ROOT / "compose/.env.example").read_text()
    given = set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", compose)) - given <= {"AZURITE_TAG", "SEAWEEDFS_TAG"}
    assert set(servers.ADDRESS.values()) <= given


def test_fragments_have_names_that_the_release_understands() -> None:
    parts = "|".join(path.name.removeprefix("ff-storage-") for path in ROOT.glob("packages/ff-storage-*"))
    names = [path.name for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    pattern = rf"(\d+|\+[\w-]+)\.({parts}|all)\.(added|changed|fixed|removed|security)(\.\d+)?\.md"
    assert [name for name in names if not re.fullmatch(pattern, name)] == []


def test_nothing_refers_to_documents_that_are_not_here() -> None:
    sources = [path for path in ROOT.glob("packages/*/*/**/*.py") if re.search(r"\bDESIGN\b", path.read_text())]
    assert sources == []


def test_spelling_is_american() -> None:
    # A letter in brackets keeps each word from finding itself; asyncio's own `.cancelled()` stays as it is.
    words = (
        r"licen[c]e|misspel[t]|(?<![.\w])cancel[l]ed(?!error)|behavio[u]r|colo[u]r|favo[u]r|neighbo[u]r|gr[e]y"
        r"|(normal|serial|synchron)i[s]e"
    )
    folders = ("packages", "tools", "tests-integration", "examples", "benchmarks", "changes", "compose")
    files = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md", ".toml"}
    ]
    files += [*ROOT.glob("*.md"), *ROOT.glob("*.py"), *ROOT.glob("*.toml")]
    found = {path.name: match[0] for path in files if (match := re.search(words, path.read_text(), re.IGNORECASE))}
    assert len(files) > 200
    assert found == {}
