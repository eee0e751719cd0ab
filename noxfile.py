"""The sessions that people and CI run: `nox -s tests`, `nox -s lint types isolated wheels`, `nox -l` for the list.

Nothing but nox has to be installed: uv is used where it is found, else virtualenv and pip. Our distributions are
installed by path or by wheel file and never by name, because an unrelated `ff-storage` is on the index. Environments
are kept between runs and installed anew when a requirement or a `pyproject.toml` changes (`--reuse-venv=no` forgets
them).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # a Python that is not there is reported, in CI too
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
PARTS = sorted(path.name.removeprefix("ff-storage-") for path in ROOT.glob("packages/ff-storage-*"))
ALL = ["ff-storage", *(f"ff-storage-{part}" for part in PARTS)]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
CURRENT = f"{sys.version_info.major}.{sys.version_info.minor}"
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
# pyenv's own commands start a Python only when it is the chosen one; look where they all are.
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, sorted(PYENV.glob("versions/3.1[1-9]*/bin")))])
GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")


def requirements(*groups: str) -> list[str]:
    """What the dependency groups of the root pyproject.toml ask for."""
    return list(nox.project.dependency_groups(GROUPS, *groups))


def install(session: nox.Session, *wanted: str, editable: Iterable[str] = ()) -> None:
    """Install requirements and our packages (editable), unless the environment has exactly these already."""
    packages = [ROOT / "packages" / name for name in editable]
    state = hashlib.sha256("\n".join(wanted).encode())
    for package in packages:
        state.update(str(package).encode() + (package / "pyproject.toml").read_bytes())
    stamp = Path(session.virtualenv.location) / "installed.sha256"
    if stamp.exists() and stamp.read_text() == state.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    session.install(*wanted, *(requirements("build") if packages else []))
    if packages:
        # With the build backend at hand, not in an isolated environment for each: 3 s for all instead of 20.
        session.install("--no-build-isolation", *(arg for path in packages for arg in ("-e", str(path))))
    stamp.write_text(state.hexdigest())


def run_tests(session: nox.Session, *command: str, suite: str | None = None, servers: bool = True) -> None:
    """Install everything and run all tests, or those of one `suite`.

    Servers that the environment requires come along where PyPI has them, beside those that the system has.
    """
    required = os.environ.get("FF_STORAGE_REQUIRE", "").split(",")
    wanted = ["servers"] if servers and "postgres" in required else []
    groups = ["test", "judge", *wanted, *(["coverage"] if command else [])]
    install(session, *requirements(*groups), editable=ALL)
    session.run(*command, "pytest", *([suite] if suite else []), *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests of all packages and those of tests-integration on this Python."""
    run_tests(session)


@nox.session
def faults(session: nox.Session) -> None:
    """Run the tests under faults: killed connections, stalled servers, broken networks, cancellation at every await."""
    run_tests(session, suite="tests-integration/faults")


@nox.session
def soak(session: nox.Session) -> None:
    """Run all of the long tests under faults, of which the session `faults` runs a tenth."""
    session.env["FF_STORAGE_SOAK"] = "1"
    run_tests(session, suite="tests-integration/faults")


@nox.session(python=[version for version in PYTHONS if version != CURRENT])
def matrix(session: nox.Session) -> None:
    """Run the tests on the other Pythons that can be found, with the system's servers."""
    run_tests(session, servers=False)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests and report the lines that none of them reached."""
    run_tests(session, "coverage", "run", "-m")
    session.run("coverage", "combine", silent=True, success_codes=[0, 1])
    session.run("coverage", "report")


@nox.session
def quickstart(session: nox.Session) -> None:
    """Run the main job on SQLite, or on the database of `nox -s quickstart -- --url postgresql://…`."""
    asked = " ".join(session.posargs)
    engines = ["sqlite", *(["postgres"] if "postgres" in asked else [])]
    install(session, editable=["ff-storage-core", "ff-storage-schema", *(f"ff-storage-{name}" for name in engines)])
    session.run("python", "examples/quickstart/main.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and the layers; `nox -s lint -- --fix` mends what can be mended."""
    install(session, *requirements("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")
    session.run("python", "tools/check_layers.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright, both strict, and what they must accept and refuse."""
    install(session, *requirements("types", "test", "judge"), "nox", editable=ALL)
    session.run("mypy")
    session.run("pyright")
    session.run("python", "tools/check_typing.py")


@nox.session
def build(session: nox.Session) -> None:
    """Build every sdist, and every wheel from its sdist, into dist/."""
    install(session, *requirements("build"))
    shutil.rmtree(DIST, ignore_errors=True)
    for name in ALL:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(DIST), f"packages/{name}", silent=True)


def wheel(name: str) -> str:
    """The file that `build` made for one of our distributions."""
    (path,) = DIST.glob(f"{name.replace('-', '_')}-[0-9]*.whl")
    return str(path)


@nox.session(requires=["build"])
def wheels(session: nox.Session) -> None:
    """Check what the wheels hold, install them all, and import every flat name."""
    session.install("--force-reinstall", *(wheel(name) for name in ALL))
    session.run("python", "tools/check_wheels.py", str(DIST))
    session.chdir(session.create_tmp())  # away from the sources
    session.run("python", str(ROOT / "tools/smoke_flat.py"))
    session.run("python", "-m", "ff_storage")


@nox.session(requires=["build"], reuse_venv=False)
@nox.parametrize("part", PARTS)
def isolated(session: nox.Session, part: str) -> None:
    """Run one part's own tests with the wheels of core and that part, and nothing else of ours or of a driver."""
    names = dict.fromkeys(["ff-storage-core", f"ff-storage-{part}"])
    session.install(*requirements("test"), *(wheel(name) for name in names))
    session.run("python", "tools/check_isolated.py", part)
    session.run("pytest", f"packages/ff-storage-{part}/tests", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the libraries that one would use instead, on SQLite and PostgreSQL; the tables are printed."""
    wanted = (ROOT / "benchmarks/requirements.txt").read_text().splitlines()
    lines = [line.strip() for line in wanted if line.strip() and not line.startswith("#")]
    ours = ["ff-storage-core", "ff-storage-sqlite", "ff-storage-postgres", "ff-storage-schema"]
    install(session, *lines, *requirements("test"), editable=ours)  # the latter for the servers of tests-integration
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(venv_backend="none")
def bump(session: nox.Session) -> None:
    """Give every distribution and every pin a new version: `nox -s bump -- 7.1.0`."""
    session.run(sys.executable, "tools/bump_version.py", *session.posargs)
