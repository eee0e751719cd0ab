"""A pool with every statement written down: how a test shows that bad input was refused before anything was sent.

It is a real executor around a real pool and changes nothing; statements are noted before they are passed on.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ff_storage.core.database import Connection, Executor, IsolationLevel, Pool, Transaction
from ff_storage.core.database.executor import Bind
from ff_storage.core.errors import DatabaseError
from ff_storage.core.program import Command, ExecuteMany, Program, Row

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """One statement: its text, and the parameters of each execution (one, but for a bulk)."""

    text: str
    rows: tuple[tuple[Any, ...], ...] = ((),)


class Recorder(Executor):
    """Passes everything on to `executor` and keeps it in `sent`."""

    def __init__(self, executor: Executor, sent: list[Sent] | None = None) -> None:
        self._executor = executor
        self.sent: list[Sent] = [] if sent is None else sent

    @property
    def texts(self) -> list[str]:
        """The text of each statement, in order."""
        return [each.text for each in self.sent]

    @property
    def dialect(self) -> Dialect:
        """The engine's dialect."""
        return self._executor.dialect

    @property
    def bind(self) -> Bind:
        """How raw arguments become the driver's parameters."""
        return self._executor.bind

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Run one compiled statement."""
        self._note(text, [parameters])
        return await self._executor.fetch(text, parameters)

    async def run(self, program: Program[T], *, atomic: bool = False) -> T:
        """Drive `program`."""
        return await self._executor.run(self._watched(program), atomic=atomic)

    async def call(self, function: Callable[[Connection], Awaitable[T]], raw: str | None = None) -> T:
        """Run `function` on a connection."""
        if raw is not None:
            self._note(raw, [()])
        return await self._executor.call(function, raw)

    @contextlib.asynccontextmanager
    async def acquire(self, timeout: float | None = None) -> AsyncGenerator[Executor]:  # noqa: ASYNC109 - as its executor
        """One connection for the block, recorded too."""
        async with self._executor.acquire(timeout) as connection:
            yield Recorder(connection, self.sent)

    def stream_rows(
        self, text: str, parameters: Sequence[Any], batch: int = 1000
    ) -> contextlib.AbstractAsyncContextManager[AsyncIterator[list[Row]]]:
        """The rows of a compiled statement; noted when it is made, as it is entered at once."""
        self._note(text, [parameters])
        return self._executor.stream_rows(text, parameters, batch)

    def transaction(self, isolation: IsolationLevel | None = None, readonly: bool = False) -> Transaction:
        """A transaction of the pool. Wrap it in a recorder of its own to see what passes through it."""
        if not isinstance(self._executor, Pool | Transaction):
            raise TypeError("a connection has no transactions of its own")
        return self._executor.transaction(isolation, readonly)

    def within(self, transaction: Transaction) -> Recorder:
        """A recorder around `transaction` that writes into the same list."""
        return Recorder(transaction, self.sent)

    def _watched(self, program: Program[T]) -> Program[T]:
        try:
            command = next(program)
            while True:
                try:
                    result = yield self._noted(command)
                except DatabaseError as error:
                    command = program.throw(error)
                else:
                    command = program.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # StopIteration carries the generator's T untyped
        finally:
            program.close()

    def _noted(self, command: Command) -> Command:
        if isinstance(command, ExecuteMany):
            command = ExecuteMany(command.text, [tuple(row) for row in command.parameters], command.target)
            self._note(command.text, command.parameters)
        else:
            self._note(command.text, [command.parameters])
        return command

    def _note(self, text: str, rows: Iterable[Sequence[Any]]) -> None:
        self.sent.append(Sent(text, tuple(tuple(row) for row in rows)))
