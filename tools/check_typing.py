"""Run the tests of the types: `python tools/check_typing.py [FILE …]`.

Beside a package's tests, `typing/accept_*.py` must pass mypy and pyright, both strict (with `assert_type` for what they
infer). In `typing/reject_*.py` both must object to every line that ends in `# error`, and to no other; `# error: mypy`
and `# error: pyright` mark what only one of them can see.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"# error(?:: (mypy|pyright))?$")

Finding = tuple[Path, int]


def mypy(files: list[Path]) -> dict[Finding, str]:
    """What mypy objects to, by file and line."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--output", "json", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(ROOT / m["file"], m["line"]): m["message"] for m in messages if m["severity"] == "error"}


def pyright(files: list[Path]) -> dict[Finding, str]:
    """What pyright objects to, by file and line."""
    done = subprocess.run(
        ["pyright", "--outputjson", *map(str, files)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    messages = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(m["file"]), m["range"]["start"]["line"] + 1): m["message"] for m in messages if m["severity"] == "error"
    }


def expected(files: list[Path], checker: str) -> set[Finding]:
    """The lines to which the checker has to object."""
    return {
        (file, number)
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (mark := MARK.search(line)) and mark[1] in (None, checker)
    }


def differences(files: list[Path]) -> Iterator[str]:
    """Where a checker says something else than the file."""
    for checker, run in (("mypy", mypy), ("pyright", pyright)):
        found, wanted = run(files), expected(files, checker)
        for file, line in sorted(wanted - found.keys()):
            yield f"{file.relative_to(ROOT)}:{line}: {checker} accepts this line"
        for file, line in sorted(found.keys() - wanted):
            yield f"{file.relative_to(ROOT)}:{line}: {checker}: {found[file, line]}"


def main(names: list[str]) -> int:
    """Check the named files, or all."""
    patterns = ("accept", "reject")
    files = [Path(name).resolve() for name in names] or [
        file for pattern in patterns for file in sorted(ROOT.glob(f"packages/*/tests/typing/{pattern}_*.py"))
    ]
    wrong = [file.name for file in files if file.name.startswith("accept") and MARK.search(file.read_text())]
    found = [f"{name}: an accept file expects no errors" for name in wrong] + list(differences(files))
    for line in found:
        print(line)
    marks = sum(len(expected(files, checker)) for checker in ("mypy", "pyright"))
    print(f"{len(files)} typing files, {marks} errors expected, {len(found)} differences")
    return bool(found) or not files


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
