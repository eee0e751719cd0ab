"""The code in the READMEs is what a newcomer copies first, so it runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import servers

ROOT = Path(__file__).parents[1]
POSTGRES = "postgresql://shop:secret@localhost/shop"
"""The database of the README of ff-storage-postgres; in its place the tests put one that exists."""


def programs(readme: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", readme.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(program: str, folder: Path) -> str:
    (folder / "shop.py").write_text(program, encoding="utf-8")
    done = subprocess.run([sys.executable, "shop.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    (program,) = programs(ROOT / "README.md")
    assert "name='Lamp', price=40" in run(program, tmp_path)
    assert (tmp_path / "shop.db").exists()


def test_the_examples_of_postgres_run(tmp_path: Path, postgres: servers.Server) -> None:
    asynchronous, synchronous = programs(ROOT / "packages" / "ff-storage-postgres" / "README.md")
    for program, expected in ((asynchronous, "Lamp"), (synchronous, "[{'name': 'Ada'}]")):
        assert POSTGRES in program
        printed = run(program.replace(POSTGRES, postgres.url), tmp_path)
        assert printed.splitlines()[-1] == expected


def test_the_example_runs_on_postgres_with_another_pool(tmp_path: Path, postgres: servers.Server) -> None:
    """What the README says in words: only the pool is another."""
    (program,) = programs(ROOT / "README.md")
    assert f'open_pool("{POSTGRES}")' in (ROOT / "README.md").read_text(encoding="utf-8")
    changed = program.replace('SQLitePool("shop.db")', f'open_pool("{postgres.url}")').replace(
        "SQLitePool", "open_pool"
    )
    assert "name='Lamp', price=40" in run(changed, tmp_path)
