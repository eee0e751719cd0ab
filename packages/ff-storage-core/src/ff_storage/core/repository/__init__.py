"""The repository: one model's rows, as a collection with a scope."""

from ff_storage.core.repository.repository import PydanticRepository

__all__ = ["PydanticRepository"]
