"""The repository: one model's rows, as a collection with a scope; awaited on a pool, or on a synchronous database.

A unit of work puts several into one transaction.
"""

from ff_storage.core.repository.repository import PydanticRepository
from ff_storage.core.repository.sync import SyncRepository
from ff_storage.core.repository.unit_of_work import TransactionBoundRepository, UnitOfWork

__all__ = ["PydanticRepository", "SyncRepository", "TransactionBoundRepository", "UnitOfWork"]
