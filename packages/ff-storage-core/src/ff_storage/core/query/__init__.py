"""Reading rows: the query builder; and writing many at once."""

from ff_storage.core.query.builder import Query
from ff_storage.core.query.bulk import ChunkResult, bulk_insert
from ff_storage.core.sql.functions import AND, NOT, OR, F, col, func, not_

__all__ = ["AND", "NOT", "OR", "ChunkResult", "F", "Query", "bulk_insert", "col", "func", "not_"]
