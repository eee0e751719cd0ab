"""Give every distribution and every pin between them one version: `python tools/bump_version.py 7.1.0`."""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PACKAGES = Path(__file__).parents[1] / "packages"
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?")
PIN = re.compile(r'("ff-storage[a-z-]*(?:\[[a-z,]+\])?==)[^"]+(")')


def manifests(packages: Path = PACKAGES) -> list[Path]:
    """The pyproject.toml of every distribution."""
    return sorted(packages.glob("ff-storage*/pyproject.toml"))


def bumped(text: str, version: str) -> str:
    """The manifest's text with the new version and pins; everything else stays as it is."""
    text, count = re.subn(r'(?m)^version = "[^"]+"$', f'version = "{version}"', text)
    if count != 1:
        raise SystemExit(f"expected one line `version = …`, found {count}")
    return PIN.sub(rf"\g<1>{version}\g<2>", text)


def bump(version: str, files: Iterable[Path]) -> None:
    """Write the version into every manifest, or into none."""
    if not VERSION.fullmatch(version):
        raise SystemExit(f"{version!r} is no version such as 7.1.0 or 7.1.0rc1")
    texts = {file: bumped(file.read_text(), version) for file in files}
    for file, text in texts.items():
        old = tomllib.loads(file.read_text())["project"]
        file.write_text(text)
        print(f"{old['name']}: {old['version']} -> {version}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} VERSION")
    bump(sys.argv[1], manifests())
