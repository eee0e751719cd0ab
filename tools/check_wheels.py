"""Check what a folder of wheels holds: `check_wheels.py dist`.

No wheel but core's has a file directly in `ff_storage/`, no two share a path, each brings its license and, unless it is
the meta-package, `py.typed` beside its modules.
"""

import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

CORE = "ff_storage_core"
META = "ff_storage"


def problems(wheels: Mapping[str, list[str]]) -> Iterator[str]:
    """What is wrong with the paths of each distribution (by its wheel's name, underscored)."""
    owners: dict[str, str] = {}
    for name, paths in sorted(wheels.items()):
        shipped = [path for path in paths if ".dist-info" not in path.split("/")[0]]
        for path in shipped:
            if path in owners:
                yield f"{name} and {owners[path]} both ship {path}"
            owners[path] = name
            if not path.startswith("ff_storage/"):
                yield f"{name} ships {path}, outside ff_storage/"
            elif name != CORE and len(PurePosixPath(path).parts) == 2:
                yield f"{name} ships {path}; only core may have files directly in ff_storage/"
            if path.endswith("/__init__.pyi") and len(PurePosixPath(path).parts) == 2:
                yield f"{name} ships the editors' stub"
        part = name.removeprefix("ff_storage_")
        if name == META and shipped:
            yield f"{name} is a dependency list, and ships {shipped[0]}"
        if name != META and f"ff_storage/{part}/py.typed" not in paths:
            yield f"{name} lacks ff_storage/{part}/py.typed"
        if not any(path.endswith(".dist-info/licenses/LICENSE") for path in paths):
            yield f"{name} lacks its LICENSE"


def read(folder: Path) -> dict[str, list[str]]:
    """The paths of every wheel in the folder, by distribution."""
    found: dict[str, list[str]] = {}
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            found[wheel.name.split("-")[0]] = archive.namelist()
    return found


def main(folder: Path) -> int:
    """Print the problems, and fail if there are any or if the folder does not hold all our distributions."""
    wheels = read(folder)
    found = list(problems(wheels))
    expected = {path.name.replace("-", "_") for path in Path(__file__).parents[1].glob("packages/ff-storage*")}
    if set(wheels) != expected:
        found.append(f"expected wheels of {sorted(expected)}, found {sorted(wheels)}")
    for line in found:
        print(line)
    print(f"{len(wheels)} wheels, {sum(map(len, wheels.values()))} files, {len(found)} problems")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
