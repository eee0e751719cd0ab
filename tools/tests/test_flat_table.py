"""The flat names: one list said in three ways, and the same as what the parts export."""

import importlib
import inspect
from pathlib import Path

import pytest

import ff_storage
from ff_storage.core import _flat
from flat_table import FLAT, imported, rewritten

HOMES = imported(FLAT.read_text())
PACKAGES = Path(__file__).parents[2] / "packages"
PARTS = sorted(path.name.removeprefix("ff-storage-") for path in PACKAGES.glob("ff-storage-*"))


def test_the_imports_the_table_and_all_are_one_list() -> None:
    assert rewritten(FLAT.read_text()) == FLAT.read_text(), "run python tools/flat_table.py"
    assert HOMES == _flat._HOME
    assert list(_flat._HOME) == _flat.__all__ == ff_storage.__all__


@pytest.mark.parametrize("part", [part for part in PARTS if part != "core"])
def test_a_parts_share_is_what_the_part_exports(part: str) -> None:
    module = importlib.import_module(f"ff_storage.{part}")
    share = {name for name, home in HOMES.items() if home.startswith(module.__name__)}
    assert share == set(getattr(module, "__all__", []))
    # From the part's package, so that a missing part is told from a part that misses something.
    assert {HOMES[name] for name in share} <= {module.__name__}


@pytest.mark.parametrize("name", HOMES)
def test_every_name_is_the_object_of_its_home(name: str) -> None:
    home = importlib.import_module(HOMES[name])
    value = getattr(ff_storage, name)
    assert value is getattr(home, name)
    assert name in getattr(home, "__all__", [name])
    assert not inspect.ismodule(value)


def test_the_facade_of_the_errors_is_the_tree() -> None:
    errors = importlib.import_module("ff_storage.core.errors")
    facade = importlib.import_module("ff_storage.exceptions")
    tree = {name: value for name, value in vars(errors).items() if inspect.isclass(value) and not name.startswith("_")}
    exported = {name for name, value in tree.items() if issubclass(value, errors.StorageError)}
    assert all(getattr(facade, name) is tree[name] for name in exported)
    assert exported == {name for name, home in HOMES.items() if home == errors.__name__}


@pytest.mark.parametrize("part", ["query", "testing"])
def test_a_facade_is_the_package_behind_it(part: str) -> None:
    home, facade = (importlib.import_module(name) for name in (f"ff_storage.core.{part}", f"ff_storage.{part}"))
    assert all(getattr(facade, name) is getattr(home, name) for name in home.__all__)
    assert getattr(facade, "__all__", home.__all__) == home.__all__
