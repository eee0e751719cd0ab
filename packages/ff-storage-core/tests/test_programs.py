"""Programs: what drivers send into them, and what they never do. Here the database is a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ff_storage.core.errors import DatabaseError, UniqueViolation
from ff_storage.core.program import Command, Execute, Fetch, Program, run, run_sync


class Script:
    """An executor that answers each command from a list, and notes what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def perform(self, command: Command) -> Any:
        self.asked.append(command.text)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class AsyncScript(Script):
    async def perform(self, command: Command) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().perform(command)


def drive(program: Program[Any], script: Script) -> Any:
    if isinstance(script, AsyncScript):
        return asyncio.run(run(program, script))
    return run_sync(program, script)


@pytest.fixture(params=[Script, AsyncScript])
def script(request: pytest.FixtureRequest) -> Callable[..., Script]:
    made: Callable[..., Script] = request.param
    return made


def counting() -> Program[int]:
    rows: list[tuple[int]] = yield Fetch("SELECT 1")
    touched: int = yield Execute("UPDATE")
    return rows[0][0] + touched


def test_results_are_sent_in(script: Callable[..., Script]) -> None:
    executor = script([(40,)], 2)
    assert drive(counting(), executor) == 42
    assert executor.asked == ["SELECT 1", "UPDATE"]


def test_a_program_may_handle_a_database_error(script: Callable[..., Script]) -> None:
    def careful() -> Program[str]:
        try:
            yield Execute("INSERT")
        except UniqueViolation:
            yield Execute("UPDATE")
            return "updated"
        return "inserted"

    executor = script(UniqueViolation("taken"), 1)
    assert drive(careful(), executor) == "updated"
    assert executor.asked == ["INSERT", "UPDATE"]


def test_an_unhandled_error_comes_out_as_it_was(script: Callable[..., Script]) -> None:
    error = DatabaseError("no")
    with pytest.raises(DatabaseError) as caught:
        drive(counting(), script(error))
    assert caught.value is error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_anything_but_a_database_error_closes_the_program(script: Callable[..., Script], error: BaseException) -> None:
    seen: list[str] = []

    def curious() -> Program[None]:
        try:
            yield Execute("INSERT")
        except Exception as caught:
            seen.append(repr(caught))
            raise
        finally:
            seen.append("closed")

    with pytest.raises(type(error)):
        drive(curious(), script(error))
    assert seen == ["closed"]


async def test_a_cancellation_passes_through_unchanged() -> None:
    class Waiting:
        async def perform(self, command: Command) -> Any:
            await asyncio.get_running_loop().create_future()

    task = asyncio.ensure_future(run(counting(), Waiting()))
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
