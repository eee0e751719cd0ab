"""The flat API: what it imports, what it says about a part that is not there, and which directories belong to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ff_storage
from ff_storage import MissingDistributionError, StorageError
from ff_storage.core import _flat


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after the code."""
    script = (
        f"import sys, json\nbefore = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_imports_next_to_nothing() -> None:
    # Not a timed test: these three are why `import ff_storage` costs 2 ms. pkgutil or typing alone would be 8 more.
    assert modules_after("import ff_storage") == {"ff_storage", "ff_storage.core", "ff_storage.core._flat"}


def test_an_error_class_brings_neither_pydantic_nor_asyncio_nor_a_driver() -> None:
    loaded = modules_after("from ff_storage import StorageError")
    assert "ff_storage.core.errors" in loaded
    unwanted = {"pydantic", "pydantic_core", "asyncio", "sqlite3", "orjson", "pluggy", "importlib.metadata"}
    assert loaded & unwanted == set()
    assert {name for name in loaded if name.startswith("ff_storage")} == {
        "ff_storage",
        "ff_storage.core",
        "ff_storage.core._flat",
        "ff_storage.core.errors",
    }


def test_a_name_that_does_not_exist_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Storagerror'"):
        ff_storage.Storagerror  # noqa: B018
    assert not hasattr(ff_storage, "Storagerror")
    with pytest.raises(ImportError, match="cannot import name 'Storagerror'"):
        exec("from ff_storage import Storagerror")


def test_a_name_of_a_missing_part_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_flat._HOME, "Nowhere", "ff_storage.nowhere")
    with pytest.raises(
        MissingDistributionError, match=r"ff_storage\.Nowhere.*'ff-storage-nowhere'.*not installed"
    ) as e:
        exec("from ff_storage import Nowhere")
    assert "pip install ff-storage-nowhere" in str(e.value)
    assert isinstance(e.value, ImportError)
    assert isinstance(e.value, StorageError)
    assert "Nowhere" not in dir(ff_storage)


def test_a_part_that_misses_something_of_its_own_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "halfway").mkdir()
    (tmp_path / "halfway" / "__init__.py").write_text("import a_driver_that_is_not_there")
    monkeypatch.setattr(ff_storage, "__path__", [*ff_storage.__path__, str(tmp_path)])
    monkeypatch.setitem(_flat._HOME, "Halfway", "ff_storage.halfway")
    with pytest.raises(ModuleNotFoundError, match="a_driver_that_is_not_there") as caught:
        exec("from ff_storage import Halfway")
    assert not isinstance(caught.value, MissingDistributionError)


def test_names_are_listed_and_kept() -> None:
    assert {"StorageError", "__version__"} <= {*dir(ff_storage), "__version__"}
    assert vars(ff_storage)["StorageError"] is StorageError


def test_portions_on_the_path_join_the_package(tmp_path: Path) -> None:
    for folder, part in (("one", "alpha"), ("two", "beta")):
        portion = tmp_path / folder / "ff_storage" / part
        portion.mkdir(parents=True)
        (portion / "__init__.py").write_text(f"name = {part!r}")
    (tmp_path / "a_file" / "ff_storage").parent.mkdir()
    (tmp_path / "a_file" / "ff_storage").write_text("")
    code = f"""
import sys
sys.path[:0] = [{str(tmp_path / "one")!r}, {str(tmp_path / "a_file")!r}, "/nowhere"]
sys.path += [{str(tmp_path / "two")!r}, {str(tmp_path / "one")!r}]
import ff_storage, ff_storage.alpha, ff_storage.beta
assert (ff_storage.alpha.name, ff_storage.beta.name) == ("alpha", "beta")
assert len(set(ff_storage.__path__)) == len(ff_storage.__path__)
assert {str(tmp_path / "a_file" / "ff_storage")!r} not in ff_storage.__path__
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_portion_in_the_working_directory_keeps_its_place(tmp_path: Path) -> None:
    (tmp_path / "ff_storage" / "here").mkdir(parents=True)
    (tmp_path / "ff_storage" / "here" / "__init__.py").write_text("")
    # `-c` puts "" on the path: the portion must still be found after the process has moved on.
    code = "import ff_storage, os; os.chdir('/'); import ff_storage.here"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_the_published_path_of_the_databases_gives_the_flat_names() -> None:
    import ff_storage.db
    import ff_storage.db.sql

    assert set(ff_storage.db.__all__) <= set(_flat.__all__)
    assert ff_storage.db.SQL is ff_storage.SQL is ff_storage.db.sql.SQL
    assert set(dir(ff_storage.db)) >= {"SQL"}
    with pytest.raises(AttributeError, match="no attribute 'SQLite3'"):
        ff_storage.db.SQLite3  # noqa: B018
    assert modules_after("import ff_storage; before = set(sys.modules); import ff_storage.db") == {"ff_storage.db"}


def test_a_published_database_of_a_missing_part_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import ff_storage.db

    monkeypatch.setitem(_flat._HOME, "Postgres", "ff_storage.nowhere")
    monkeypatch.delitem(vars(ff_storage.db), "Postgres", raising=False)
    with pytest.raises(MissingDistributionError, match="pip install ff-storage-nowhere"):
        exec("from ff_storage.db import Postgres")


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert ff_storage.__version__ == version("ff-storage-core")
