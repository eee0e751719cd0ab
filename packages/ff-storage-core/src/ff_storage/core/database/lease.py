"""A connection in somebody's hands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ff_storage.core import program as programs
from ff_storage.core.database.connection import Connection, IsolationLevel
from ff_storage.core.database.executor import Bind, Executor
from ff_storage.core.errors import ConcurrentUseError, ConnectionLost, PoolError, QueryTimeout
from ff_storage.core.program import Command, Execute, Fetch, Program, Row

if TYPE_CHECKING:
    from ff_storage.core.database.deadlines import Deadlines
    from ff_storage.core.database.pool import Pool
    from ff_storage.core.database.transaction import Transaction
    from ff_storage.core.database.work import Work
    from ff_storage.core.sql.dialect import Dialect

T = TypeVar("T")

MOMENT: Final = 0.001
"""Seconds for which a connection is taken to be as it was left: to ask it costs a system call."""

_TURNS: Final = 10
"""Turns of the event loop in which it reads a server's last words, and the end behind them; two or three suffice."""


class Member:
    """A connection of a pool, and what the pool remembers of it: times in seconds of the monotonic clock.

    `expires`: when it is given back later than that, it is closed. `dirty`: raw SQL may have changed its session.
    `owner`: the task that holds it for longer than one statement.
    """

    __slots__ = ("connection", "dirty", "expires", "idle_since", "owner")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.expires = float("inf")
        self.idle_since = 0.0
        self.dirty = False
        self.owner: asyncio.Task[Any] | None = None


def has_ended(error: BaseException) -> bool:
    """Whether a statement that raised `error` is surely over: not when its caller was canceled, or timed out."""
    return isinstance(error, Exception) and not isinstance(error, QueryTimeout)


async def _hear_out(connection: Connection) -> None:
    """Let the event loop read what has arrived on a connection between two statements.

    If that was its end, the driver knows then, and sends nothing: it is certain that a COMMIT has not happened.
    """
    for _ in range(_TURNS):
        if connection.is_closed or not connection.is_disturbed:
            return
        await asyncio.sleep(0)


class Lease(Executor):
    """The connection that `pool.acquire()` gives for the block.

    It serves one task at a time (ConcurrentUseError). Raw SQL may leave anything behind, an open transaction too: the
    pool resets or replaces the connection afterwards. A statement that was canceled makes it unusable.
    """

    def __init__(self, pool: Pool, member: Member) -> None:
        self.pool = pool
        self.member = member
        self.busy = False
        self.broken = False
        self.loss: ConnectionLost | None = None
        self.work: Work | None = None
        """The transaction that is open on it, unless raw SQL began it."""
        self._returned = False
        self._used_at = monotonic()

    @property
    def dialect(self) -> Dialect:
        """The engine's dialect."""
        return self.pool.dialect

    @property
    def bind(self) -> Bind:
        """How raw arguments become the driver's parameters."""
        return self.pool.bind

    async def call(self, function: Callable[[Connection], Awaitable[T]], raw: str | None = None) -> T:
        """Run `function` on the connection, and in the transaction that is open on it."""
        if self.work is not None:
            return await self.work.call(function, raw)
        try:
            return await self._perform(function, raw)
        finally:
            if raw is not None:
                self.pool.note_write()

    async def _perform(self, function: Callable[[Connection], Awaitable[T]], raw: str | None = None) -> T:
        """Run `function` on the connection, whatever is open on it."""
        self.pool.check_loop()
        if self.busy:
            raise ConcurrentUseError(
                "this connection is running a statement of another task", remedy="give each task its own"
            )
        if self._returned or self.broken:
            raise PoolError(
                "this connection is no longer yours",
                found="its block has ended" if self._returned else "a statement on it was canceled",
                remedy="acquire another",
            )
        connection = self.member.connection
        if raw is not None and not connection.keeps_session(raw):
            self.member.dirty = True
        deadlines = self.pool.deadlines
        self.busy = True
        try:
            if monotonic() - self._used_at > MOMENT and connection.is_disturbed:
                await _hear_out(connection)
            return await (function(connection) if deadlines is None else deadlines.run(function(connection)))
        except BaseException as error:
            if isinstance(error, ConnectionLost):
                self.loss = error
            elif not has_ended(error):
                self.abandon()
            raise
        finally:
            self.busy = False
            self._used_at = monotonic()

    def abandon(self) -> None:
        """Stop whatever is running; nothing more runs here, and the pool cleans up."""
        self.broken = True
        self.pool.interrupt(self.member)

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Run one compiled statement and return every row, in driver values."""
        return await self.call(lambda connection: connection.fetch(text, parameters))

    async def run(self, program: Program[T], *, atomic: bool = False) -> T:
        """Drive `program`; with `atomic` in a transaction, and within one in a savepoint, unless raw SQL began it."""
        if not atomic or (self.work is None and self.member.connection.in_transaction):
            try:
                return await programs.run(program, Performer(self.call))
            finally:
                self.pool.note_write()
        program = programs.primed(program)
        async with self.transaction() as transaction:
            return await transaction.run(program)

    def acquire(self, timeout: float | None = None) -> contextlib.AbstractAsyncContextManager[Lease]:
        """Itself."""
        del timeout
        return contextlib.nullcontext(self)

    def transaction(self, isolation: IsolationLevel | None = None, readonly: bool = False) -> Transaction:
        """A transaction on this connection; within one that is open on it, a savepoint."""
        from ff_storage.core.database.transaction import Transaction

        return Transaction(self, isolation, readonly)

    def give_back(self, error: BaseException | None = None) -> None:
        """Return the connection to the pool, once; `error` is what ended the work on it."""
        if self._returned:
            raise PoolError("this connection was given back already", remedy="give each connection back once")
        self._returned = True
        if self.busy or (error is not None and not has_ended(error)):
            self.abandon()
        self.member.owner = None
        self.pool.note_write()
        self.pool.take_back(self.member, self.loss, clean=not self.broken)


def send(connection: Connection, command: Command) -> Awaitable[Any]:
    """Have `connection` carry out `command`."""
    if isinstance(command, Fetch):
        return connection.fetch(command.text, command.parameters)
    if isinstance(command, Execute):
        return connection.execute(command.text, command.parameters)
    return connection.execute_many(command.text, command.parameters, command.target)


class Direct:
    """A connection that one program has to itself, as its executor: no check and no frame between them.

    `broken`: a statement ran out of time and may still be running, though the program handled its error.
    """

    __slots__ = ("_connection", "_deadlines", "broken")

    def __init__(self, connection: Connection, deadlines: Deadlines | None) -> None:
        self._connection = connection
        self._deadlines = deadlines
        self.broken = False

    def perform(self, command: Command) -> Awaitable[Any]:
        """The result of one command. Raises PoolError once broken."""
        if self._deadlines is None:
            return send(self._connection, command)
        return self._within(self._deadlines, command)

    async def _within(self, deadlines: Deadlines, command: Command) -> Any:
        if self.broken:
            raise PoolError("an earlier statement of this program did not end in time")
        try:
            return await deadlines.run(send(self._connection, command))
        except BaseException as error:
            self.broken = not has_ended(error)
            raise


class Performer:
    """A way to run functions on a connection, as the executor of a program."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[Callable[[Connection], Awaitable[Any]]], Awaitable[Any]]) -> None:
        self._call = call

    def perform(self, command: Command) -> Awaitable[Any]:
        """The result of one command."""
        return self._call(lambda connection: send(connection, command))
