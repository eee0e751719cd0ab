"""The repository: one model's rows, as a collection with a scope; awaited on a pool, or on a synchronous database."""

from ff_storage.core.repository.repository import PydanticRepository
from ff_storage.core.repository.sync import SyncRepository

__all__ = ["PydanticRepository", "SyncRepository"]
