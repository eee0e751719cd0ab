"""Watching statements: what was run, how long it took, how many rows, and what failed.

An observer is called with each `ObservedStatement`: a function, a `MetricsCollector`, the adapter of a tracer.

    seen: list[ObservedStatement] = []
    pool.observe(seen.append)

It is called when the statement has ended, in the context of whoever awaited it, so ambient values (a trace, a tenant
scope) can be read. It must return soon: on an async pool it runs in the event loop. Values are bound, so the text is
the statement's shape; parameters are shown only to an observer that asked for them by `parameters=True`.
"""

from __future__ import annotations

import inspect
import logging
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self

from ff_storage.core.errors import InvalidValueError, QueryTimeout, StorageError

logger = logging.getLogger("ff_storage.observe")

StatementKind = Literal["fetch", "execute", "execute_many", "open", "batch", "transaction"]
"""`open` begins a stream and `batch` reads on in it; `transaction` begins, ends or marks one."""


@dataclass(frozen=True, slots=True)
class ObservedStatement:
    """One statement that has ended.

    `text` is what was sent; for a `transaction` it is BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE or ROLLBACK TO,
    whatever the driver says to that end. `duration` is in seconds, from handing it to the driver to the result. `rows`
    were returned or touched; -1 where the engine does not say, and where nothing is counted. `error` is what the driver
    raised, in the library's classes, or the cancellation that ended it; QueryTimeout if that was the pool's. `engine`
    is the dialect's name. `in_transaction` says whether one was open when it began. `parameters` are driver values, for
    an observer that asked; those of `execute_many` are consumed while it runs, and never shown.
    """

    kind: StatementKind
    text: str
    duration: float
    rows: int
    error: BaseException | None
    engine: str
    in_transaction: bool
    parameters: Any = None


EXPIRED: Final = "the time of a statement is over"
"""With this message a pool cancels the task whose statement has run too long."""


class Observer(Protocol):
    """Is told of each statement. What it raises is logged, and changes nothing for the statement."""

    def __call__(self, statement: ObservedStatement, /) -> object:
        """Take note of a statement that has ended."""
        ...


class Observers:
    """Those who watch one pool, or one connection, of `engine`."""

    __slots__ = ("_engine", "_full", "_plain")

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._plain: tuple[Observer, ...] = ()
        self._full: tuple[Observer, ...] = ()

    def add(self, observer: Observer, *, parameters: bool = False) -> None:
        """Tell `observer` of each statement that ends from now on. Raises InvalidValueError for what is no observer."""
        if not callable(observer) or inspect.iscoroutinefunction(observer):
            raise InvalidValueError(
                "an observer is called with an ObservedStatement, and not awaited",
                found=f"a {type(observer).__name__}",
                remedy="pass a function, such as a queue's put_nowait",
            )
        if parameters:
            self._full += (observer,)
        else:
            self._plain += (observer,)

    def copy(self) -> Observers:
        """The same observers, for another pool or connection; those who come later are told of one only."""
        twin = Observers(self._engine)
        twin._plain, twin._full = self._plain, self._full
        return twin

    def watch(self, kind: StatementKind, text: str, parameters: Any = None, *, in_transaction: bool) -> Watch:
        """A block around one statement, on an asynchronous connection or a synchronous one.

        with observers.watch("fetch", text, parameters, in_transaction=False) as watch:
            rows = await connection.fetch(text, parameters)
            watch.rows = len(rows)
        """
        return Watch(self, kind, text, parameters, in_transaction)

    def tell(self, statement: ObservedStatement) -> None:
        """Report `statement`, with its parameters to those only who asked for them."""
        for observer in self._full:
            _tell(observer, statement)
        if self._plain:
            if statement.parameters is not None:
                statement = replace(statement, parameters=None)
            for observer in self._plain:
                _tell(observer, statement)


class Watch:
    """The block around one statement, which is reported when it is left.

    Set in it what is known by then: the `rows`, or a better `kind`.
    """

    __slots__ = ("_began", "_in_transaction", "_observers", "_parameters", "_text", "kind", "rows")

    def __init__(
        self, observers: Observers, kind: StatementKind, text: str, parameters: Any, in_transaction: bool
    ) -> None:
        self._observers = observers
        self.kind: StatementKind = kind
        self._text = text
        self._parameters = parameters if observers._full else None
        self._in_transaction = in_transaction
        self._began = 0.0
        self.rows = -1

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        duration = time.perf_counter() - self._began
        observers, rows = self._observers, self.rows if error is None else -1
        if error is not None and error.args == (EXPIRED,):
            error = QueryTimeout("the statement did not end within the pool's query_timeout")
        observers.tell(
            ObservedStatement(
                self.kind, self._text, duration, rows, error, observers._engine, self._in_transaction, self._parameters
            )
        )


def error_label(error: BaseException) -> str:
    """What may be kept of an error anywhere: its class, and its code if it is ours; never its message."""
    code = f" [{error.code}]" if isinstance(error, StorageError) else ""
    return f"{type(error).__name__}{code}"


def _tell(observer: Observer, statement: ObservedStatement) -> None:
    try:
        observer(statement)
    except Exception as failure:
        # Without the statement's own error, and with it the driver's, whose text may hold values.
        failure.__context__ = None
        logger.warning("an observer failed: %s", error_label(failure), exc_info=failure)
