"""One version for all distributions, exact pins between them, and the tool that changes both."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bump_version import PACKAGES, bump, bumped, manifests

MANIFESTS = {path.parent.name: tomllib.loads(path.read_text()) for path in manifests()}
ROOT = PACKAGES.parent


def dependencies(project: dict[str, Any]) -> list[str]:
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    return [*project.get("dependencies", []), *(line for lines in extras.values() for line in lines)]


def ours(lines: list[str]) -> list[str]:
    return [line for line in lines if re.match(r"ff[-_.]storage", line)]


def test_there_are_eleven_distributions() -> None:
    assert len(MANIFESTS) == 11
    assert all(manifest["project"]["name"] == folder for folder, manifest in MANIFESTS.items())


def test_all_have_one_version() -> None:
    assert len({manifest["project"]["version"] for manifest in MANIFESTS.values()}) == 1


@pytest.mark.parametrize("folder", MANIFESTS)
def test_pins_between_ours_are_exact(folder: str) -> None:
    project = MANIFESTS[folder]["project"]
    for line in ours(dependencies(project)):
        assert re.fullmatch(rf"ff-storage-[a-z]+(\[[a-z,]+\])?=={re.escape(project['version'])}", line), line


@pytest.mark.parametrize("folder", sorted(MANIFESTS.keys() - {"ff-storage", "ff-storage-core"}))
def test_a_part_depends_on_core_and_on_no_other_part(folder: str) -> None:
    version = MANIFESTS[folder]["project"]["version"]
    assert ours(MANIFESTS[folder]["project"]["dependencies"]) == [f"ff-storage-core=={version}"]


def test_the_meta_package_asks_for_every_part() -> None:
    project = MANIFESTS["ff-storage"]["project"]
    names = MANIFESTS.keys() - {"ff-storage"}
    assert set(project["dependencies"]) == {f"{name}=={project['version']}" for name in names}


@pytest.mark.parametrize("folder", MANIFESTS)
def test_metadata(folder: str) -> None:
    project = MANIFESTS[folder]["project"]
    assert project["requires-python"] == ">=3.11"
    assert project["license"] == "MIT"
    assert (PACKAGES / folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (PACKAGES / folder / project["readme"]).read_text().startswith(f"# {folder}\n")


def test_the_workspace_knows_every_distribution() -> None:
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    assert uv["sources"] == {name: {"workspace": True} for name in MANIFESTS}


def test_mypy_knows_every_portion() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert {f"packages/{name}/src" for name in MANIFESTS if name != "ff-storage"} <= set(mypy["mypy_path"])


def test_bump_changes_versions_and_pins_and_nothing_else(tmp_path: Path) -> None:
    for name in MANIFESTS:
        (tmp_path / name).mkdir()
        shutil.copy(PACKAGES / name / "pyproject.toml", tmp_path / name)
    old = MANIFESTS["ff-storage"]["project"]["version"]
    files = manifests(tmp_path)
    before = {file: file.read_text() for file in files}

    bump("71.2.3rc1", files)

    for file in files:
        manifest = tomllib.loads(file.read_text())["project"]
        assert manifest["version"] == "71.2.3rc1"
        assert all(line.endswith("==71.2.3rc1") for line in ours(dependencies(manifest)))
        assert file.read_text().replace("71.2.3rc1", old) == before[file]


@pytest.mark.parametrize("version", ["7.1", "v7.1.0", "7.1.0-beta", "", "7.1.0 "])
def test_bump_refuses_what_is_no_version_and_writes_nothing(version: str, tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('version = "7.0.0"\n')
    with pytest.raises(SystemExit, match="no version"):
        bump(version, [file])
    assert file.read_text() == 'version = "7.0.0"\n'


def test_bump_refuses_a_manifest_without_one_version() -> None:
    with pytest.raises(SystemExit, match="found 0"):
        bumped("[project]\n", "7.1.0")
