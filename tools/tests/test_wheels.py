"""What the wheels will hold, as the build backend says it without building them."""

from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from check_wheels import problems

PACKAGES = Path(__file__).parents[2] / "packages"
STUB = b"from ff_storage.core._flat import *\n"


def planned(folder: Path) -> list[str]:
    paths = [file.distribution_path for file in WheelBuilder(str(folder)).recurse_included_files()]
    return [*paths, f"{folder.name}.dist-info/licenses/LICENSE"]


def wheels() -> dict[str, list[str]]:
    folders = sorted(path for path in PACKAGES.glob("ff-storage*") if path.name != "ff-storage")
    return {folder.name.replace("-", "_"): planned(folder) for folder in folders}


def test_no_wheel_but_cores_has_a_file_in_the_namespace_and_no_two_share_a_path() -> None:
    found = wheels()
    assert len(found) == 10
    assert list(problems(found)) == []


@pytest.mark.parametrize(
    ("name", "extra", "message"),
    [
        ("ff_storage_erd", "ff_storage/__init__.py", "only core may have files directly in ff_storage/"),
        ("ff_storage_erd", "ff_storage/py.typed", "only core may have files directly in ff_storage/"),
        ("ff_storage_core", "ff_storage/__init__.pyi", "the editors' stub"),
        ("ff_storage_erd", "ff_storage/sqlite/_plugin.py", "both ship ff_storage/sqlite/_plugin.py"),
        ("ff_storage_erd", "tests/test_erd.py", "outside ff_storage/"),
        ("ff_storage", "ff_storage/all/__init__.py", "is a dependency list"),
    ],
)
def test_the_check_sees_what_it_is_for(name: str, extra: str, message: str) -> None:
    found = wheels()
    found[name] = [*found.get(name, []), extra]
    assert any(message in line for line in problems(found))


def test_the_check_misses_a_license_and_a_typing_marker() -> None:
    found = wheels()
    found["ff_storage_erd"] = ["ff_storage/erd/__init__.py"]
    assert list(problems(found)) == ["ff_storage_erd lacks ff_storage/erd/py.typed", "ff_storage_erd lacks its LICENSE"]


def test_every_part_has_the_editors_stub_and_core_has_none() -> None:
    stubs = {path.parents[2].name: path.read_bytes() for path in PACKAGES.glob("*/src/ff_storage/__init__.pyi")}
    parts = {path.name for path in PACKAGES.glob("ff-storage-*")} - {"ff-storage-core"}
    assert stubs == dict.fromkeys(parts, STUB)
