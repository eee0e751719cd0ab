"""Schema management for ff-storage: the database follows the models."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ff_storage.schema.manager import AsyncSchemaManager, SchemaManager

__all__ = ["AsyncSchemaManager", "SchemaManager"]


if not TYPE_CHECKING:  # hidden, so that a misspelled name is an error for type checkers

    def __getattr__(name: str) -> object:
        # Loaded when it is asked for: the plugin module lies in this package, and is read with every pool.
        if name in __all__:
            from ff_storage.schema import manager

            return getattr(manager, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
