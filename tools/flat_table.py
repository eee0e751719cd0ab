"""Write the table of flat names from its import list: `python tools/flat_table.py` after adding an import.

`core/_flat.py` says its names three times, because type checkers read only literals and the interpreter must read no
import: the imports, `__all__`, and `_HOME`. The imports are written by hand; this writes the other two.
"""

import ast
import sys
from pathlib import Path

FLAT = Path(__file__).parents[1] / "packages/ff-storage-core/src/ff_storage/core/_flat.py"
BEGIN, END = "# --- written by tools/flat_table.py", "# --- end of the written part\n"


def imported(source: str) -> dict[str, str]:
    """The flat names and their modules, as the imports under TYPE_CHECKING list them."""
    found: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.body:
                if isinstance(statement, ast.ImportFrom) and statement.module:
                    found |= {alias.asname or alias.name: statement.module for alias in statement.names}
    return found


def _rank(name: str) -> tuple[int, str]:
    """The order in which ruff sorts `__all__`: constants, classes, functions."""
    return (0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2, name)


def rewritten(source: str) -> str:
    """The module with `__all__` and `_HOME` as its imports demand."""
    homes = imported(source)
    names = sorted(homes, key=_rank)
    lines = [
        "__all__ = [",
        *(f'    "{name}",' for name in names),
        "]",
        "",
        "_HOME = {",
        *(f'    "{name}": "{homes[name]}",' for name in names),
        "}",
    ]
    start = source.index("\n", source.index(BEGIN)) + 1
    return source[:start] + "\n".join(lines) + "\n" + source[source.index(END) :]


def main() -> None:
    """Write the table."""
    source = FLAT.read_text()
    FLAT.write_text(rewritten(source))
    print(f"{len(imported(source))} flat names", file=sys.stderr)


if __name__ == "__main__":
    main()
