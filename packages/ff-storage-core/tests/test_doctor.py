from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from ff_storage.__main__ import installed, report
from ff_storage.core.hookspecs import DialectSpec, hookimpl
from ff_storage.core.plugins import Candidate, PluginRegistry

VERSIONS = {"ff-storage-core": "7.0.0", "ff-storage-sqlite": "7.0.0"}


def candidate(name: str, module: object, distribution: str) -> Candidate:
    def load() -> object:
        if isinstance(module, Exception):
            raise module
        return module

    return Candidate(name, distribution, "1.0", load)


def engine(*schemes: str) -> object:
    module = types.ModuleType("engine")

    @hookimpl
    def ff_storage_dialects() -> list[DialectSpec]:
        return [DialectSpec("engine", schemes, load=object, open_pool=object)]  # type: ignore[arg-type]

    module.ff_storage_dialects = ff_storage_dialects  # type: ignore[attr-defined]
    return module


def test_lists_what_is_there() -> None:
    plugins = PluginRegistry(
        lambda: [
            candidate("engine", engine("a", "b"), "an-engine"),
            candidate("quiet", types.ModuleType("quiet"), "quiet-dist"),
        ]
    )
    text, well = report(VERSIONS, plugins)
    assert well
    assert "  ff-storage-core    7.0.0\n  ff-storage-sqlite  7.0.0\n" in text
    assert "  engine  an-engine 1.0   dialect engine (a://, b://)\n" in text
    assert "  quiet   quiet-dist 1.0  registers nothing\n" in text
    assert text.endswith("\nNo problems")


def test_names_a_broken_plugin_with_its_reason() -> None:
    plugins = PluginRegistry(lambda: [candidate("bad", ImportError("no\n  lib\x1bfoo"), "bad-dist")])
    text, well = report(VERSIONS, plugins)
    assert not well
    assert "  bad  bad-dist 1.0  BROKEN\n" in text
    assert text.endswith("Problems\n  plugin 'bad' of 'bad-dist' is broken: ImportError: no lib foo")


def test_names_conflicts_and_both_sides() -> None:
    plugins = PluginRegistry(
        lambda: [
            candidate("twice", engine("a"), "first-dist"),
            candidate("twice", engine("a"), "second-dist"),
            candidate("third", engine("c"), "third-dist"),
            candidate("fourth", engine("c"), "fourth-dist"),
        ]
    )
    text, well = report(VERSIONS, plugins)
    assert not well
    assert text.count("REFUSED") == 2
    assert "the plugin name 'twice' is claimed by both 'first-dist' and 'second-dist'" in text
    assert "the dialect 'engine' is claimed by both 'third-dist' and 'fourth-dist'" in text
    assert "the database scheme 'c' is claimed by both 'third-dist' and 'fourth-dist'" in text


def test_names_versions_that_do_not_fit() -> None:
    text, well = report({**VERSIONS, "ff-storage": "6.6.2"}, PluginRegistry(list))
    assert not well
    assert "ff-storage 6.6.2 does not fit ff-storage-core 7.0.0" in text


def test_tells_the_version_that_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, version in (("first", "7.1.0"), ("second", "6.0.0")):
        metadata = tmp_path / folder / f"ff_storage_erd-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Name: ff-storage-erd\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert installed() == {"ff-storage-erd": "7.1.0"}


@pytest.mark.filterwarnings("default")
def test_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "ff_storage"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "temporal strategy none" in done.stdout
