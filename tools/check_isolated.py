"""Fail when the environment holds a driver or a part that the given part does not need: `check_isolated.py sqlite`."""

import sys
from importlib.util import find_spec

DRIVERS = {
    "aiomysql": "mysql",
    "aioodbc": "mssql",
    "asyncpg": "postgres",
    "azure.storage.blob": "objects",
    "faker": "mock",
    "fsspec": "objects",
    "obstore": "objects",
    "orjson": "sqlite postgres mysql mssql",
    "psycopg": "postgres",
    "pymysql": "mysql",
    "pyodbc": "mssql",
    "sqlglot": "schema",
}
PARTS = ("erd", "mock", "mssql", "mysql", "objects", "postgres", "schema", "sqlite", "temporal")


def present(module: str) -> bool:
    """Whether the module could be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def main(part: str) -> int:
    """Name whatever is there and should not be."""
    foreign = [driver for driver, parts in DRIVERS.items() if part not in parts.split() and present(driver)]
    foreign += [f"ff_storage.{other}" for other in PARTS if other != part and present(f"ff_storage.{other}")]
    for module in foreign:
        print(f"{module} can be imported, and {part} has no business with it")
    return bool(foreign)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
