"""Reading rows: the query builder, and bulk writes."""

from ff_storage.core.query.builder import Query
from ff_storage.core.sql.expressions import AND, NOT, OR, F, col, func, not_

__all__ = ["AND", "NOT", "OR", "F", "Query", "col", "func", "not_"]
