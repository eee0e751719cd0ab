"""Run import-linter over the whole namespace: `python tools/check_layers.py`.

import-linter wants to find `ff_storage` as one package, and in the repository it is in ten places. So it is run over a
temporary tree of links in which all portions stand together.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def link(tree: Path) -> None:
    """Put every portion's files side by side under `tree/ff_storage`."""
    package = tree / "ff_storage"
    package.mkdir()
    for source in sorted(ROOT.glob("packages/*/src/ff_storage/*")):
        if source.suffix != ".pyi" and source.name != "__pycache__":
            (package / source.name).symlink_to(source, target_is_directory=source.is_dir())


def main() -> int:
    """Run `lint-imports` over the linked tree."""
    with tempfile.TemporaryDirectory() as directory:
        link(Path(directory))
        command = ["lint-imports", str(ROOT / ".importlinter"), "--no-cache"]
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": directory}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
