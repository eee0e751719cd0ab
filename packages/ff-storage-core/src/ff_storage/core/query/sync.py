"""The terminals of a query on a synchronous database: `query.on(db)`."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ff_storage.core.context import TenantScope
from ff_storage.core.errors import ConfigurationError, InvalidValueError
from ff_storage.core.query.results import first_of, one_of, scalar_of
from ff_storage.core.sql.scope import capture
from ff_storage.core.sql.statements import SelectForm

if TYPE_CHECKING:
    from ff_storage.core.database.sync import SQL
    from ff_storage.core.query.builder import Query

R = TypeVar("R")


class SyncQuery(Generic[R]):
    """A query and the database that it runs on, at once, within the transaction of the calling thread if there is one.

    The terminals are those of `Query`, without its first argument.
    """

    def __init__(self, query: Query[R], db: SQL) -> None:
        from ff_storage.core.database.sync import SQL

        if not isinstance(db, SQL):
            raise ConfigurationError(
                "a query is on a synchronous database",
                found=f"a {type(db).__name__}",
                remedy="pass a connected Postgres or SQLite, or write: await query.execute(pool)",
            )
        self._query = query
        self._db = db

    def __repr__(self) -> str:
        return f"{self._query!r}.on({self._db!r})"

    def execute(self, tenant_id: Any = None, *, tenant_ids: Collection[Any] | None = None) -> list[R]:
        """Every result."""
        return self._results(self._query, "rows", tenant_id, tenant_ids)

    def first(self, tenant_id: Any = None, *, tenant_ids: Collection[Any] | None = None) -> R | None:
        """The first result, or None."""
        found: R | None = first_of(self._results(self._query.at_most(1), "rows", tenant_id, tenant_ids))
        return found

    def one(self, tenant_id: Any = None, *, tenant_ids: Collection[Any] | None = None) -> R:
        """The only result. Raises NoResultFound and MultipleResultsFound."""
        query = self._query
        found: R = one_of(query.name, self._results(query.at_most(2), "rows", tenant_id, tenant_ids))
        return found

    def scalar(self, tenant_id: Any = None, *, tenant_ids: Collection[Any] | None = None) -> Any:
        """The first value of the first result, or None. Needs `select`."""
        if not self._query.is_tuples:
            raise InvalidValueError("scalar needs select(…)", remedy="select the one field or aggregate to read")
        return scalar_of(self._results(self._query.at_most(1), "rows", tenant_id, tenant_ids))

    def count(self, tenant_id: Any = None, *, tenant_ids: Collection[Any] | None = None) -> int:
        """The number of results `execute` would return, limit and offset included."""
        return int(scalar_of(self._results(self._query, "count", tenant_id, tenant_ids)))

    def exists(self, tenant_id: Any = None, *, tenant_ids: Collection[Any] | None = None) -> bool:
        """Whether there is any result."""
        return bool(scalar_of(self._results(self._query, "exists", tenant_id, tenant_ids)))

    def _results(
        self, query: Query[Any], form: SelectForm, tenant_id: Any, tenant_ids: Collection[Any] | None
    ) -> list[Any]:
        scope = capture(TenantScope.of(tenant_id, tenant_ids), include_deleted=query.includes_deleted)
        prepared, parameters = query.prepare(self._db.dialect, scope, form)
        return prepared.build(self._db.fetch(prepared.text, parameters))
