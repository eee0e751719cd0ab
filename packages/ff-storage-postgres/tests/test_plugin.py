"""The part's plugin loads, and registers the dialect without the drivers."""

import subprocess
import sys

from ff_storage.core.plugins import registry


def test_the_plugin_loads_and_registers_its_dialect() -> None:
    (plugin,) = [found for found in registry().plugins if found.candidate.name == "postgres"]
    assert plugin.candidate.distribution == "ff-storage-postgres"
    assert plugin.failure is None
    assert [(each.name, each.schemes) for each in plugin.dialects] == [("postgres", ("postgresql", "postgres"))]
    assert plugin.strategies == ()


def test_the_plugin_imports_no_driver() -> None:
    program = (
        "from ff_storage.core.plugins import registry\nassert registry().dialects()\n"
        "import sys\nassert not {'asyncpg', 'psycopg', 'ssl'} & {*sys.modules}, sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
