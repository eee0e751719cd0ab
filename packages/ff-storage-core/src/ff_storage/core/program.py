"""Sans-I/O programs: database work as generators that yield commands and receive results.

A `Program[T]` knows what to say to a database and never how: it yields a command, is sent the result, and returns a T.
`run` drives it over an async executor, `run_sync` over a synchronous one; a test drives it by hand. Rules that keep
cancellation safe: a program never yields in `finally` and never catches BaseException; the drivers throw only
`DatabaseError`s into it and close it on anything else. It has no concurrency and no transaction of its own: whoever
runs it decides, by `atomic`, whether its commands share one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from ff_storage.core.errors import DatabaseError

T = TypeVar("T")

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Run `text` and receive every row, as `list[tuple]` in driver values."""

    text: str
    parameters: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Execute:
    """Run `text` and receive the number of rows it touched (`int`; -1 where the engine does not say)."""

    text: str
    parameters: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The table and columns that a bulk insert fills, for drivers with a faster way than the INSERT itself."""

    schema: str | None
    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExecuteMany:
    """Run `text` once for each of `parameters`, and receive the number of rows touched in all.

    Atomic: all or nothing, inside a transaction and outside. `parameters` is consumed once, lazily where the driver
    can. A `target` says that `text` inserts the parameters into its columns, in their order, and does nothing else.
    """

    text: str
    parameters: Iterable[Sequence[Any]]
    target: Target | None = None


Command = Fetch | Execute | ExecuteMany

Program = Generator[Command, Any, T]


class AsyncExecutor(Protocol):
    """What `run` needs: one open connection, or anything that stands for one."""

    def perform(self, command: Command) -> Awaitable[Any]:
        """The result of one command, to be awaited once."""
        ...


class SyncExecutor(Protocol):
    """What `run_sync` needs."""

    def perform(self, command: Command) -> Any:
        """The result of one command."""
        ...


async def run(program: Program[T], executor: AsyncExecutor) -> T:
    """Drive `program` over `executor` and return its result.

    A DatabaseError is thrown into the program, which may handle it; anything else, a cancellation included, closes the
    program and passes through unchanged.
    """
    try:
        command = next(program)
        while True:
            try:
                result = await executor.perform(command)
            except DatabaseError as error:
                command = program.throw(error)
            else:
                command = program.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration carries the generator's T untyped
    finally:
        program.close()


def primed(program: Program[T]) -> Program[T]:
    """`program`, run up to its first command already.

    What it refuses by itself it refuses here, before anybody has begun a transaction for it. Raises what it raises.
    """
    try:
        command = next(program)
    except StopIteration as stop:
        return _finished(stop.value)
    return cast("Program[T]", _Primed(program, command))


def _finished(result: T) -> Program[T]:
    yield from ()
    return result


class _Primed(Generator[Command, Any, Any]):
    """A program that has begun: its first command is known, the rest is its own."""

    def __init__(self, program: Program[Any], first: Command) -> None:
        self._program = program
        self._first: Command | None = first

    def send(self, value: Any) -> Command:
        first, self._first = self._first, None
        return first if first is not None else self._program.send(value)

    def throw(self, *error: Any) -> Command:
        return self._program.throw(*error)

    def close(self) -> None:
        self._program.close()


def run_sync(program: Program[T], executor: SyncExecutor) -> T:
    """`run`, for a synchronous executor."""
    try:
        command = next(program)
        while True:
            try:
                result = executor.perform(command)
            except DatabaseError as error:
                command = program.throw(error)
            else:
                command = program.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # as above
    finally:
        program.close()
