"""Writing many rows at once: one statement, one transaction, each row checked once.

Records are models, or mappings that are validated into models. `trusted=True` takes them as they are (the tenant is
forced and the engine's limits are checked all the same).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from pydantic import ValidationError

from ff_storage.core.context import TenantScope, utc_now
from ff_storage.core.database.sync import SQL
from ff_storage.core.errors import (
    ConfigurationError,
    InvalidValueError,
    StorageError,
    TenantScopeError,
    UnknownFieldError,
)
from ff_storage.core.history.rows import RowStamp, managed
from ff_storage.core.history.strategy import Write, strategy_of
from ff_storage.core.history.streams import Columns, RowStream, Values, locate
from ff_storage.core.program import Program, Row
from ff_storage.core.sql.scope import Stamp, capture
from ff_storage.core.tables import Table

if TYPE_CHECKING:
    from ff_storage.core.database.executor import Executor
    from ff_storage.core.model.base import PydanticModel

M = TypeVar("M", bound="PydanticModel")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of one chunk of a bulk write that was not atomic: rows `start` to `stop` (exclusive) of the input.

    `count` rows are stored; with an `error` none of the chunk's are.
    """

    start: int
    stop: int
    count: int
    error: StorageError | None = None


@overload
def bulk_insert(
    model_class: type[M],
    records: Iterable[M | Mapping[str, Any]],
    db_pool: Executor,
    tenant_id: Any = None,
    batch_size: int = 1000,
    connection: Executor | None = None,
    *,
    tenant_ids: Collection[Any] | None = None,
    user_id: Any = None,
    trusted: bool = False,
    atomic: Literal[True] = True,
) -> Coroutine[Any, Any, int]: ...
@overload
def bulk_insert(
    model_class: type[M],
    records: Iterable[M | Mapping[str, Any]],
    db_pool: Executor,
    tenant_id: Any = None,
    batch_size: int = 1000,
    connection: Executor | None = None,
    *,
    tenant_ids: Collection[Any] | None = None,
    user_id: Any = None,
    trusted: bool = False,
    atomic: Literal[False],
) -> Coroutine[Any, Any, list[ChunkResult]]: ...
def bulk_insert(
    model_class: type[M],
    records: Iterable[M | Mapping[str, Any]],
    db_pool: Executor,
    tenant_id: Any = None,
    batch_size: int = 1000,
    connection: Executor | None = None,
    *,
    tenant_ids: Collection[Any] | None = None,
    user_id: Any = None,
    trusted: bool = False,
    atomic: bool = True,
) -> Coroutine[Any, Any, Any]:
    """Insert `records` and return their number; all or none of them are stored.

    With `atomic=False` each chunk of `batch_size` records stands for itself, and the result says what became of each.
    Raises InvalidValueError for a record that is no `model_class`, before anything is sent of its chunk.
    """
    entity = getattr(model_class, "__ff_entity__", None) if isinstance(model_class, type) else None
    if entity is None:
        raise ConfigurationError("bulk_insert takes a PydanticModel class with a table", found=repr(model_class)[:100])
    if type(batch_size) is not int or batch_size < 1:
        raise InvalidValueError("batch_size must be a positive int", found=ascii(batch_size)[:100])
    db = connection or db_pool
    if isinstance(db, SQL):
        raise ConfigurationError(
            "bulk_insert is awaited on a pool or a transaction",
            found=f"a {type(db).__name__}",
            remedy="write SyncRepository(Model, db).create_many(…)",
        )
    # Made here, so that the scope is that of the call and not of the moment in which the result is awaited.
    write = Write(entity, capture(TenantScope.of(tenant_id, tenant_ids)), db.dialect, user_id, utc_now())
    reader = RecordReader(model_class, write, trusted=trusted)
    if atomic:
        return db.run(insert_chunks(write, reader.chunks(records, batch_size), batch_size), atomic=True)
    return insert_separately(db, write, reader, records, batch_size)


async def insert_separately(
    db: Executor, write: Write, reader: RecordReader, records: Iterable[Any], batch_size: int
) -> list[ChunkResult]:
    """Insert `records` chunk by chunk, each in a transaction of its own, and say what became of each."""
    results: list[ChunkResult] = []
    for piece in pieces(records, batch_size, results):
        with piece:
            await db.run(piece.insertion(write, reader), atomic=True)
    return results


def pieces(records: Iterable[Any], batch_size: int, results: list[ChunkResult]) -> Iterator[Piece]:
    """`records` in chunks that stand for themselves; each adds to `results` what became of it."""
    start = 0
    for chunk in chunks(records, batch_size):
        yield Piece(chunk, start, results)
        start += len(chunk)


class Piece:
    """One chunk of a bulk write that is not atomic: its block ends well, whatever became of the chunk."""

    def __init__(self, records: Sequence[Any], start: int, results: list[ChunkResult]) -> None:
        self._records = records
        self._start = start
        self._results = results

    def insertion(self, write: Write, reader: RecordReader) -> Program[Any]:
        """The program that inserts it. Raises for a record that cannot be."""
        return strategy_of(write.entity).insert_many(write, reader.many(self._records))

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is not None and not isinstance(error, StorageError):
            return False
        count = len(self._records)
        self._results.append(ChunkResult(self._start, self._start + count, 0 if error else count, error))
        return True


def insert_chunks(
    write: Write, read: Iterable[Sequence[Values]], size: int, stored: list[Row] | None = None
) -> Program[int]:
    """Insert rows, of which `read` gives chunks of `size`, and return their number; `stored` collects them as written.

    An error says which chunk and rows it was in.
    """
    strategy = strategy_of(write.entity)
    if stored is None and write.dialect.streams_inserts:
        stream = RowStream(read, size)
        try:
            yield from strategy.insert_stream(write, stream)
        except StorageError as error:
            stream.locate(error)
            raise
        return stream.stop
    start = 0
    for chunk in read:
        try:
            written = yield from strategy.insert_many(write, chunk, returning=stored is not None)
        except StorageError as error:
            locate(error, size, start, start + len(chunk))
            raise
        if stored is not None:
            stored += written
        start += len(chunk)
    return start


class RecordReader:
    """Takes a record apart into the values of its row, tenant and audit columns filled in."""

    __slots__ = ("_defaults", "_managed", "_model", "_row", "_stamp", "_tenant", "_trusted")

    def __init__(self, model: type[PydanticModel], write: Write, *, trusted: bool) -> None:
        table = write.table
        self._model = model
        self._row = RowStamp(write)
        self._trusted = trusted
        self._managed = managed(table)
        self._defaults = _defaults(table)
        self._tenant = table.by_name[table.tenant].attribute if table.tenant is not None else ""
        self._stamp = Stamp(write.entity, write.scope, write.dialect) if table.tenant is not None else None

    def __call__(self, record: Any) -> dict[str, Any]:
        """The row's values by attribute. Raises InvalidValueError, UnknownFieldError and TenantScopeError."""
        model = self._model
        if type(record) is not model and not isinstance(record, model):
            if not isinstance(record, Mapping):
                raise InvalidValueError(
                    f"a record must be a {model.__name__} or a mapping", found=f"a {type(record).__name__}"
                )
            record = self._made(cast("Mapping[str, Any]", record))
        values: dict[str, Any] = record.__dict__  # pyright: ignore[reportAssignmentType]
        row = self._row(values, self._stamp(values.get(self._tenant)) if self._stamp is not None else None)
        if self._trusted:
            row |= {name: values[name] for name in self._managed & record.__pydantic_fields_set__ & values.keys()}
        elif not self._managed.isdisjoint(record.__pydantic_fields_set__):
            self._refuse_managed(record)
        for attribute in self._defaults:
            if row[attribute] is None and attribute not in record.__pydantic_fields_set__:
                del row[attribute]
        return row

    def chunks(self, records: Iterable[Any], size: int) -> Iterator[Sequence[Values]]:
        """The rows of `records` in chunks of `size`. The error of a record says in which it was."""
        start = 0
        for chunk in chunks(records, size):
            try:
                rows = self.many(chunk)
            except StorageError as error:
                locate(error, size, start, start + len(chunk))
                raise
            yield rows
            start += len(chunk)

    def many(self, records: Sequence[Any]) -> Sequence[Values]:
        """The rows of many records: by column where all are models of which nothing else than its values is written."""
        columns = None if self._trusted else self._columns(records)
        return [self(record) for record in records] if columns is None else columns

    def _columns(self, records: Sequence[PydanticModel]) -> Columns | None:
        if {*map(type, records)} != {self._model}:
            return None
        if not all(map(self._managed.isdisjoint, map(_fields_set, records))):
            return None
        rows: list[Mapping[str, Any]] = [record.__dict__ for record in records]
        try:
            tenants = self._stamp.many([values.get(self._tenant) for values in rows]) if self._stamp is not None else ()
            columns = self._row.columns(rows, tenants)
        except (KeyError, TenantScopeError):  # the first row at fault is the one to report
            return None
        if any(value is None for attribute in self._defaults for value in columns[attribute]):
            return None
        return Columns(columns, len(rows))

    def _made(self, record: Mapping[str, Any]) -> PydanticModel:
        """A mapping as a model: validated, or taken as it is when it is trusted."""
        model = self._model
        if not self._trusted:
            try:
                return model.model_validate(record)
            except ValidationError as error:
                # Without the input, and so without Pydantic's error behind it: it may hold what must not be logged.
                problems = error.errors(include_url=False, include_context=False, include_input=False)
                found = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems[:5])
                raise InvalidValueError(f"a record is no valid {model.__name__}", found=found) from None
        for name in record:
            if name not in model.model_fields:
                raise UnknownFieldError.of(name, model.__name__, model.model_fields)
        return model.model_construct(None, **record)

    def _refuse_managed(self, record: PydanticModel) -> None:
        given = self._managed & record.__pydantic_fields_set__
        if given and any(record.__dict__.get(name) is not None for name in given):
            names = ", ".join(sorted(name for name in given if record.__dict__.get(name) is not None))
            raise InvalidValueError(
                f"a new {self._model.__name__} sets {names}",
                remedy="these are the library's to write; pass user_id=…, or trusted=True to keep stored values",
            )


_fields_set: Callable[[Any], set[str]] = attrgetter("__pydantic_fields_set__")


@lru_cache(maxsize=1024)
def _defaults(table: Table) -> tuple[str, ...]:
    """The attributes whose columns have a default of the database's."""
    return tuple(column.attribute for column in table.columns if column.default is not None)


def chunks(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """`items` in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
