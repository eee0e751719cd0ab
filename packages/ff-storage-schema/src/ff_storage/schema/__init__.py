"""Schema management for ff-storage: the database follows the models."""

from ff_storage.schema.manager import AsyncSchemaManager

__all__ = ["AsyncSchemaManager"]
