"""The database classes under their published path; `ff_storage` is their home.

They are loaded when they are asked for, and a name whose part is not installed raises MissingDistributionError.
"""

TYPE_CHECKING = False  # type checkers go by the name; importing typing costs as much as a bare interpreter
if TYPE_CHECKING:
    from ff_storage.core.database.sync import SQL
    from ff_storage.postgres import Postgres, PostgresPool
    from ff_storage.schema import AsyncSchemaManager, SchemaManager
    from ff_storage.sqlite import SQLite, SQLitePool

__all__ = ["SQL", "AsyncSchemaManager", "Postgres", "PostgresPool", "SQLite", "SQLitePool", "SchemaManager"]


if not TYPE_CHECKING:  # hidden, so that a misspelled name is an error for type checkers

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        from ff_storage.core import _flat

        value = globals()[name] = _flat.load(name)
        return value

    def __dir__() -> list[str]:
        from ff_storage.core import _flat

        present = {*_flat.installed()}
        return sorted({*globals(), *(name for name in __all__ if name in present)})
