"""Every engine that one of our distributions registers runs the whole kit in its own tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from ff_storage.core.plugins import registry
from ff_storage.testing import (
    PoolConformance,
    QueryConformance,
    RepositoryConformance,
    SyncConformance,
    SyncRepositoryConformance,
    ValuesConformance,
)

PACKAGES = Path(__file__).parents[2] / "packages"
KIT = {
    "test_conformance.py": (PoolConformance, QueryConformance, RepositoryConformance, ValuesConformance),
    "test_sync_conformance.py": (SyncConformance, SyncRepositoryConformance),
}
"""Where a part's tests run the classes of the kit."""


def dialects() -> dict[str, str]:
    """The engines of our own distributions, and the distribution of each."""
    return {
        spec.name: plugin.candidate.distribution
        for plugin in registry().plugins
        for spec in plugin.dialects
        if (PACKAGES / plugin.candidate.distribution).is_dir()
    }


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_of_{path.parents[1].name.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sqlite_is_among_the_dialects() -> None:
    assert dialects()["sqlite"] == "ff-storage-sqlite"


@pytest.mark.parametrize("file", KIT)
@pytest.mark.parametrize("name", sorted(dialects()))
def test_the_dialect_runs_every_class_of_the_kit(name: str, file: str) -> None:
    path = PACKAGES / dialects()[name] / "tests" / file
    assert path.exists(), f"{name} has no {path.relative_to(PACKAGES)}"
    module = load(path)
    classes = [each for each in vars(module).values() if isinstance(each, type) and each.__name__.startswith("Test")]
    untested = [each.__name__ for each in KIT[file] if not any(issubclass(cls, each) for cls in classes)]
    assert untested == []
