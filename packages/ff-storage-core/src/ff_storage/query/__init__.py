"""The query names under their published path; `ff_storage.core.query` is their home."""

from ff_storage.core.query import AND, NOT, OR, ChunkResult, F, Query, bulk_insert, col, func, not_

__all__ = ["AND", "NOT", "OR", "ChunkResult", "F", "Query", "bulk_insert", "col", "func", "not_"]
