"""The sweep of cancellations: every await once, the last run whole, and no cancellation swallowed unseen."""

import asyncio

import pytest

from ff_storage.core.testing import cancel_at_each_await


async def test_each_await_is_canceled_once_and_the_last_run_ends() -> None:
    reached: list[int] = []

    async def work(number: int) -> None:
        reached.append(0)
        for step in (1, 2, 3):
            await asyncio.sleep(0)
            reached[number] = step

    runs = [pair async for pair in cancel_at_each_await(work)]
    assert runs == [(0, False), (1, False), (2, False), (3, True)]
    assert reached == [0, 1, 2, 3]


async def test_a_cancellation_is_delivered_like_another_tasks() -> None:
    """At a future that would have waited for ever, as the CancelledError of a real cancel."""
    seen: list[str] = []

    async def work(number: int) -> None:
        try:
            if number == 0:
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("canceled")
            raise

    assert [pair async for pair in cancel_at_each_await(work)] == [(0, False), (1, True)]
    assert seen == ["canceled"]


@pytest.mark.parametrize("ending", ["swallowed", "replaced"])
async def test_a_swallowed_or_replaced_cancellation_fails_the_sweep(ending: str) -> None:
    async def work(number: int) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            if ending == "replaced":
                raise RuntimeError from error

    with pytest.raises(AssertionError, match="canceled at await 0"):
        _ = [pair async for pair in cancel_at_each_await(work)]


async def test_an_error_of_the_work_itself_comes_through() -> None:
    async def work(number: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _ = [pair async for pair in cancel_at_each_await(work)]


async def test_a_late_cancellation_comes_when_the_result_is_there() -> None:
    """What was handed over is lost unless the work takes care of it."""
    handed_over: list[bool] = []

    async def work(number: int) -> None:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, None)
        try:
            await future
        except asyncio.CancelledError:
            handed_over.append(future.done() and not future.cancelled())
            raise

    assert [pair async for pair in cancel_at_each_await(work, late=True)] == [(0, False), (1, True)]
    assert handed_over == [True]


async def test_a_hang_ends_the_sweep() -> None:
    async def work(number: int) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await asyncio.get_running_loop().create_future()

    with pytest.raises(AssertionError, match=r"canceled at await 0, the work did not end within 0\.05 s"):
        _ = [pair async for pair in cancel_at_each_await(work, within=0.05)]
