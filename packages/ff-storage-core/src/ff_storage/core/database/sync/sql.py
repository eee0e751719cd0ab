"""`SQL`: a database as scripts and threads use it, one call after the other.

A call outside a transaction stands for itself and is committed when it returns. `begin_transaction`, or a
`transaction()` block, opens one for the calling thread: every call of the thread joins it, and no other thread sees it.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar, overload

from ff_storage.core import program as programs
from ff_storage.core.database.connection import IsolationLevel, check_sql
from ff_storage.core.database.sync.connection import Result, SyncConnection
from ff_storage.core.database.sync.store import Store, StoreSettings
from ff_storage.core.database.sync.work import SyncWork
from ff_storage.core.errors import (
    DatabaseError,
    InvalidValueError,
    PoolClosed,
    QueryError,
    TransactionAlreadyStarted,
    TransactionError,
    TransactionNotStarted,
)
from ff_storage.core.observe import Observer, Observers
from ff_storage.core.program import Command, Execute, Fetch, Program, Row

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect

T = TypeVar("T")

Parameters: TypeAlias = Mapping[str, Any] | Sequence[Any]
"""The values of a raw statement: by name, or in order."""

_LEVELS: Final = [*IsolationLevel]


class _Current(threading.local):
    """The transaction of each thread."""

    work: SyncWork | None = None


class SQL(ABC):
    """One connection to a database, or with `pool_size` up to that many, shared by threads.

    A part subclasses it. Use it as `with … as db`, or call `connect()` and `close_connection()`. The single connection
    serves one thread at a time: a second one meets ConcurrentUseError. With several, each call, and each transaction
    from its begin to its end, has its own; who finds none free waits for `acquire_timeout` seconds.
    """

    default_isolation: ClassVar[IsolationLevel]
    """What the engine gives a transaction that asks for nothing."""

    _store: Store | None = None  # of the class too: a report of an error shows one whose arguments were refused

    def __init__(self, settings: StoreSettings, logger: logging.Logger | None = None) -> None:
        self.logger = logger or logging.getLogger("ff_storage.database")
        self._settings = settings
        self._store = None
        self._current = _Current()
        self._connecting = threading.Lock()
        self._inherited: object = None
        self._observers: Observers | None = None

    # --- what a part gives -------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The database behind a URL; the options are the class's own. Errors never repeat the URL."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect:
        """The engine's dialect."""

    @abstractmethod
    def _open(self) -> SyncConnection:
        """A new connection. Raises ConnectionFailure and its kin."""

    @abstractmethod
    def _text(self, query: str, *, bare: bool) -> str:
        """A raw statement as the driver takes it; `bare`: no values were given. Raises InvalidValueError."""

    @abstractmethod
    def _values(self, query: str, params: Parameters | None) -> Sequence[Any]:
        """The values of a raw statement as the driver takes them. Raises InvalidValueError when they do not fit."""

    @abstractmethod
    def table_exists(self, table_name: str, schema: str | None = None) -> bool:
        """Whether there is such a table or view; without `schema`, where unqualified names are looked for."""

    @abstractmethod
    def get_table_columns(self, table_name: str, schema: str | None = None) -> list[dict[str, Any]]:
        """The columns of a table in their order; an empty list when there is none.

        Each is a dict of `column_name`, `data_type` (in the engine's words), `is_nullable` (bool) and `column_default`
        (an expression, or None).
        """

    # --- connecting --------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connection; with several the first, the others when they are needed.

        It never creates a database on a server. Nothing happens when it is open. Raises ConnectionFailure and its kin.
        """
        with self._connecting:
            store = self._store
            if store is not None and store.is_foreign:
                # Another process' connections must not even be collected here: that could close them.
                self._inherited = store, self._current.work, self._inherited
                self._current.work = None
            elif store is not None and store.is_open:
                return
            fresh = Store(self._open, self._settings)
            fresh.observers = self._observers
            fresh.give(fresh.take())
            self._store = fresh

    def close_connection(self) -> None:
        """Close every connection; an open transaction of this thread is rolled back, those of others go on.

        Nothing happens when it is closed.
        """
        store, work = self._store, self._current.work
        if store is None or store.is_foreign:
            return
        self._current.work = None
        if work is not None:
            work.rollback()
        store.close()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close_connection()

    def is_connected(self) -> bool:
        """Whether it is open, in this process; the server may have gone all the same."""
        return self._store is not None and self._store.is_open and not self._store.is_foreign

    def get_open_connections(self) -> int:
        """The number of its connections that are open, or being opened."""
        return self._store.count if self._store is not None and self.is_connected() else 0

    def get_connection(self) -> Self:
        """Another object with the same settings, connected: for another thread, or a second transaction."""
        twin = copy.copy(self)
        SQL.__init__(twin, self._settings, self.logger)
        twin._observers = self._observers and self._observers.copy()
        twin.connect()
        return twin

    def observe(self, observer: Observer, *, parameters: bool = False) -> None:
        """Call `observer` with each statement from now on, in its thread; not with those of a transaction begun before.

        It gets the bound values only with `parameters=True`. See `ff_storage.core.observe`.
        """
        observers = self._observers or Observers(self.dialect.name)
        observers.add(observer, parameters=parameters)
        self._observers = observers
        if self._store is not None:
            self._store.observers = observers

    def _opened(self) -> Store:
        if self._store is None:
            raise PoolClosed("the database is not connected", remedy="call connect() first, or write: with … as db")
        return self._store

    # --- raw statements ----------------------------------------------------------------------------------------------

    @overload
    def read_query(
        self,
        query: str,
        params: Parameters | None = None,
        as_dict: Literal[True] = True,
        context: Mapping[str, Any] | None = None,
        raise_on_error: bool = True,
    ) -> list[dict[str, Any]]: ...
    @overload
    def read_query(
        self,
        query: str,
        params: Parameters | None = None,
        *,
        as_dict: Literal[False],
        context: Mapping[str, Any] | None = None,
        raise_on_error: bool = True,
    ) -> list[tuple[Any, ...]]: ...
    def read_query(
        self,
        query: str,
        params: Parameters | None = None,
        as_dict: bool = True,
        context: Mapping[str, Any] | None = None,
        raise_on_error: bool = True,
    ) -> list[Any]:
        """The rows of a query, each a dict by column name, or a tuple.

        `raise_on_error=False` logs what the database refuses and gives no rows. `context` is the published argument,
        and has no effect.
        """
        del context
        try:
            result = self._query(query, params)
            return _dicts(result) if as_dict else result.rows
        except DatabaseError as error:
            if raise_on_error:
                raise
            self.logger.error("a query failed: %s", error)  # noqa: TRY400 - the error says it without a traceback
            return []

    def execute_query(
        self, query: str, params: Parameters | None = None, context: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Run a statement that writes and returns rows (RETURNING); each a dict by column name."""
        del context
        return _dicts(self._query(query, params))

    def execute(self, query: str, params: Parameters | None = None, context: Mapping[str, Any] | None = None) -> int:
        """Run a statement; the number of rows it touched. Outside a transaction it is committed."""
        del context
        return self._query(query, params).count

    def execute_many(
        self, query: str, params_list: Iterable[Parameters], context: Mapping[str, Any] | None = None
    ) -> int:
        """Run a statement for each of `params_list`, which may be lazy, all or nothing; the number of rows touched."""
        del context
        check_sql(query)
        text = self._text(query, bare=False)
        rows = (self._values(query, _checked(params)) for params in params_list)
        self._opened()
        first = [*itertools.islice(rows, 1)]  # so that wrong placeholders are seen before the statement is
        every = itertools.chain(first, rows)
        return self._call(lambda connection: connection.query_many(text, every), raw=text) if first else 0

    def _query(self, query: str, params: Parameters | None) -> Result:
        check_sql(query)
        text = self._text(query, bare=params is None)
        values = self._values(query, None if params is None else _checked(params))
        return self._call(lambda connection: connection.query(text, values), raw=text)

    # --- transactions ------------------------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether the calling thread has a transaction open."""
        return self._current.work is not None

    def begin_transaction(self, isolation: IsolationLevel | None = None, readonly: bool = False) -> None:
        """Begin a transaction of at least this isolation for the calling thread; commit or rollback must follow.

        Raises TransactionAlreadyStarted within one.
        """
        if self._current.work is not None:
            raise TransactionAlreadyStarted(
                "this thread has a transaction open",
                remedy="commit or roll it back first; with db.transaction() sets a savepoint within it",
            )
        self._begin(isolation, readonly=readonly, block=False)

    def _begin(self, isolation: IsolationLevel | None, *, readonly: bool, block: bool) -> SyncWork:
        if isolation is not None and not isinstance(isolation, IsolationLevel):
            raise InvalidValueError("an IsolationLevel is expected", found=f"a {type(isolation).__name__}")
        work = SyncWork(self._opened(), isolation, readonly=readonly, block=block)
        self._current.work = work
        return work

    def commit_transaction(self) -> None:
        """Commit the transaction of the calling thread.

        Raises TransactionNotStarted without one; TransactionAborted, after rolling back, when a statement in it failed;
        CommitOutcomeUnknown when the connection broke meanwhile.
        """
        self._opened()
        work = self._current.work
        if work is None:
            raise TransactionNotStarted("this thread has no transaction open", remedy="call begin_transaction() first")
        _not_in_block(work, "committed")
        self._current.work = None
        work.commit()

    def rollback_transaction(self) -> None:
        """Roll back the transaction of the calling thread.

        Nothing happens without one, so that it may follow any failure, that of a commit too.
        """
        self._opened()
        work = self._current.work
        if work is not None:
            _not_in_block(work, "rolled back")
            self._current.work = None
            work.rollback()

    commit = commit_transaction
    rollback = rollback_transaction

    @contextlib.contextmanager
    def transaction(self, isolation: IsolationLevel | None = None, readonly: bool = False) -> Generator[Self]:
        """A block whose calls, by the thread that entered it, are committed together or not at all.

        Within a transaction it is a savepoint: an error that leaves the block undoes what was done in it, and nothing
        more when it is caught outside.
        """
        outer = self._current.work
        if outer is not None:
            self._check_joined(outer, isolation, readonly=readonly)
            level = outer.push()
            try:
                yield self
            except BaseException as error:
                outer.leave(level, error)
                raise
            outer.leave(level, None)
            return
        work = self._begin(isolation, readonly=readonly, block=True)
        try:
            yield self
        except BaseException:
            self._leave(work)
            work.rollback()
            raise
        self._leave(work)
        work.commit()

    def _leave(self, work: SyncWork) -> None:
        if self._current.work is work:
            self._current.work = None

    def _check_joined(self, outer: SyncWork, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        own = outer.isolation or self.default_isolation
        if isolation is not None and _LEVELS.index(isolation) > _LEVELS.index(own):
            raise TransactionAlreadyStarted(
                f"isolation {isolation.value} cannot be had inside a transaction of {own.value}",
                remedy="ask the outer transaction for it",
            )
        if readonly and not outer.readonly:
            raise TransactionAlreadyStarted(
                "a read-only transaction cannot be had inside one that writes", remedy="leave readonly out"
            )

    # --- for the library ---------------------------------------------------------------------------------------------

    def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Run one compiled statement and return every row, in driver values."""
        return self._call(lambda connection: connection.fetch(text, parameters))

    def run(self, program: Program[T], *, atomic: bool = False) -> T:
        """Drive `program` on one connection; with `atomic` in a transaction (within one: in a savepoint)."""
        work = self._current.work
        if atomic:
            program = programs.primed(program)
            with self.transaction():
                return self.run(program)
        if work is not None:
            return programs.run_sync(program, _Performer(work.call))
        store = self._opened()
        member = store.take()
        sound = False
        try:
            result = programs.run_sync(program, _Performer(lambda function: function(member.connection)))
            sound = True
        except Exception:
            sound = True
            raise
        finally:
            store.give(member, sound=sound)
        return result

    def _call(self, function: Callable[[SyncConnection], T], raw: str | None = None) -> T:
        """Run `function` on the transaction's connection, else on one that is free; `raw` is a caller's SQL."""
        work = self._current.work
        if work is not None:
            return work.call(function, raw)
        store = self._opened()
        member = store.take()
        connection = member.connection
        if raw is not None and not connection.keeps_session(raw):
            member.dirty = True
        sound = False
        try:
            result = function(connection)
            sound = True
            began = raw is not None and connection.in_transaction
        except Exception:
            sound = True
            raise
        finally:
            store.give(member, sound=sound)  # rolls back what a raw statement began
        if began:
            raise TransactionError(
                "a statement began a transaction, which was rolled back",
                found="raw SQL",
                remedy="use begin_transaction(), or with db.transaction()",
            )
        return result


class _Performer:
    """A way to run functions on a connection, as the executor of a program."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[Callable[[SyncConnection], Any]], Any]) -> None:
        self._call = call

    def perform(self, command: Command) -> Any:
        """The result of one command."""
        if isinstance(command, Fetch):
            return self._call(lambda connection: connection.fetch(command.text, command.parameters))
        if isinstance(command, Execute):
            return self._call(lambda connection: connection.execute(command.text, command.parameters))
        return self._call(lambda connection: connection.execute_many(command.text, command.parameters, command.target))


def _not_in_block(work: SyncWork, done: str) -> None:
    if work.block or len(work.levels) > 1:
        raise TransactionError(
            f"the transaction of a with block is not {done} by hand",
            remedy="leave the block: it commits, or on an error rolls back",
        )


def _checked(params: Any) -> Parameters:
    if isinstance(params, str | bytes | bytearray) or not isinstance(params, Mapping | Sequence):
        raise InvalidValueError(
            "the parameters of a statement are a dict, a list or a tuple",
            found=f"a {type(params).__name__}",
            remedy="write (value,) for one value",
        )
    return params  # pyright: ignore[reportUnknownVariableType]


def _dicts(result: Result) -> list[dict[str, Any]]:
    columns = result.columns
    if len(set(columns)) != len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise QueryError(
            "two columns of the result have one name, of which a dict would keep one",
            found=repr(twice),
            remedy="name them apart with AS, or pass as_dict=False",
        )
    return [dict(zip(columns, row, strict=True)) for row in result.rows]
