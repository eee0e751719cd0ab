"""Which errors a policy repeats, how often, and after how long."""

from __future__ import annotations

import asyncio
import inspect
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ff_storage.core import errors, retry
from ff_storage.core.retry import (
    DATABASE_RETRY,
    DEFAULT_RETRY,
    NETWORK_RETRY,
    CircuitBreaker,
    RetryPolicy,
    exponential_backoff,
    may_repeat,
    retry_async,
)


def lost(*, sent: bool) -> errors.ConnectionLost:
    error = errors.ConnectionLost("gone")
    error.sent = sent
    return error


def refused(*, transient: bool) -> errors.ConnectionFailure:
    error = errors.ConnectionFailure("refused")
    error.transient = transient
    return error


SAFE = [lost(sent=False), refused(transient=True), errors.TooManyConnections("full")]
UNSAFE = [
    lost(sent=True),
    refused(transient=False),
    errors.AuthenticationFailed("no"),
    errors.CircuitBreakerOpen("no"),
    errors.PoolTimeout("waited"),
    errors.PoolFull("full"),
    errors.PoolClosed("closed"),
    errors.QueryError("bad"),
    errors.QueryTimeout("slow"),
    errors.UniqueViolation("twice"),
    errors.SerializationFailure("conflict"),
    errors.TransactionAborted("failed"),
    errors.CommitOutcomeUnknown("who knows"),
    errors.InvalidValueError("wrong"),
]


class Failing:
    """Raises its errors one after the other, then answers "done"; what was waited is in `slept`."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.calls = 0
        self.slept: list[float] = []

    def call(self, *args: Any, **kwargs: Any) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    async def async_call(self, *args: Any, **kwargs: Any) -> str:
        await asyncio.sleep(0)
        return self.call(*args, **kwargs)

    async def async_sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def patient(policy: RetryPolicy, work: Failing) -> Callable[[], str]:
    """`work.call` under the policy, with its waits noted instead of waited for."""
    return replace(policy, sleep=work.slept.append)(work.call)


def patient_async(policy: RetryPolicy, work: Failing) -> Callable[[], Any]:
    return replace(policy, sleep=work.async_sleep)(work.async_call)


@pytest.mark.parametrize("error", SAFE, ids=repr)
@pytest.mark.parametrize("policy", [DATABASE_RETRY, NETWORK_RETRY, DEFAULT_RETRY])
async def test_what_surely_did_nothing_is_repeated(policy: RetryPolicy, error: Exception) -> None:
    assert may_repeat(error)
    work = Failing(error, error)
    assert patient(policy, work)() == "done"
    assert (work.calls, len(work.slept)) == (3, 2)
    work = Failing(error, error)
    assert await patient_async(policy, work)() == "done"
    assert (work.calls, len(work.slept)) == (3, 2)


@pytest.mark.parametrize("error", UNSAFE, ids=repr)
@pytest.mark.parametrize("policy", [DATABASE_RETRY, NETWORK_RETRY, DEFAULT_RETRY])
async def test_what_may_be_done_or_would_fail_again_is_not(policy: RetryPolicy, error: Exception) -> None:
    assert not may_repeat(error)
    work = Failing(error)
    with pytest.raises(type(error)) as caught:
        patient(policy, work)()
    assert caught.value is error
    work.failures.append(error)
    with pytest.raises(type(error)) as caught:
        await patient_async(policy, work)()
    assert caught.value is error
    assert work.calls == 2
    assert work.slept == []


def test_other_peoples_errors_are_each_policys_business() -> None:
    foreign = (ConnectionResetError(), TimeoutError(), KeyError())
    assert [DATABASE_RETRY.repeats(error) for error in foreign] == [False, False, False]
    assert [NETWORK_RETRY.repeats(error) for error in foreign] == [True, True, False]
    assert [DEFAULT_RETRY.repeats(error) for error in foreign] == [True, True, True]


@pytest.mark.parametrize(
    ("exceptions", "error", "repeated"),
    [
        ((ValueError,), KeyError("k"), False),
        ((ValueError, KeyError), KeyError("k"), True),
        (KeyError, KeyError("k"), True),
        (KeyError, ValueError("v"), False),
        # Above the library's classes: only what may be repeated of them.
        ((ValueError,), errors.InvalidValueError("v"), False),
        ((Exception,), errors.SerializationFailure("s"), False),
        # A class of the library covers what it names.
        ((errors.SerializationFailure,), errors.SerializationFailure("s"), True),
        ((errors.ConnectionLost,), lost(sent=True), True),
        ((errors.DatabaseError,), errors.QueryTimeout("q"), True),
        ((errors.DatabaseError, ValueError), errors.InvalidValueError("v"), False),
        # Nothing covers an unknown outcome.
        ((errors.CommitOutcomeUnknown,), errors.CommitOutcomeUnknown("c"), False),
        (lambda error: True, errors.CommitOutcomeUnknown("c"), False),
        (lambda error: "please" in str(error), KeyError("please"), True),
        (lambda error: "please" in str(error), KeyError("k"), False),
    ],
)
def test_which_errors_a_policy_names(exceptions: Any, error: Exception, repeated: bool) -> None:
    assert RetryPolicy(exceptions=exceptions).repeats(error) is repeated


@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt(), SystemExit(), GeneratorExit(), asyncio.CancelledError()], ids=repr
)
def test_what_is_no_failure_ends_it_at_once(stop: BaseException) -> None:
    work = Failing(stop)
    with pytest.raises(type(stop)) as caught:
        patient(RetryPolicy(exceptions=lambda error: True), work)()
    assert caught.value is stop
    assert work.calls == 1


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_cancellation_ends_it_in_an_attempt_and_in_a_wait(number: int) -> None:
    started = asyncio.Event()
    calls: list[int] = []

    @RetryPolicy(max_attempts=5, delay=3600.0 if number % 2 else 0.0, exceptions=(KeyError,))
    async def work() -> None:
        calls.append(len(calls))
        if len(calls) > number / 2:
            started.set()
            if number % 2 == 0:
                await asyncio.get_running_loop().create_future()
        raise KeyError

    task = asyncio.create_task(work())
    await started.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert len(calls) == number // 2 + 1


async def test_the_last_error_leaves_unchanged() -> None:
    last = KeyError("last")
    work = Failing(KeyError(), KeyError(), last, KeyError())
    with pytest.raises(KeyError) as caught:
        patient(RetryPolicy(max_attempts=3), work)()
    assert caught.value is last
    work = Failing(KeyError(), KeyError(), last, KeyError())
    with pytest.raises(KeyError) as caught:
        await patient_async(RetryPolicy(max_attempts=3), work)()
    assert caught.value is last
    assert work.calls == 3


async def test_delays_and_on_retry_know_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    failures = [KeyError("secret"), KeyError("secret")]
    told: list[tuple[Exception, int]] = []
    policy = RetryPolicy(delay=lambda attempt: attempt * 10.0, on_retry=lambda *each: told.append(each))
    work = Failing(*failures)
    with caplog.at_level(logging.INFO, "ff_storage.retry"):
        assert patient(policy, work)() == "done"
    assert work.slept == [10.0, 20.0]
    assert told == [(failures[0], 1), (failures[1], 2)]
    assert [record.name for record in caplog.records] == ["ff_storage.retry"] * 2
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_on_retry_may_give_up() -> None:
    def give_up(error: Exception, attempt: int) -> None:
        raise ZeroDivisionError from error

    work = Failing(KeyError())
    with pytest.raises(ZeroDivisionError):
        patient(RetryPolicy(on_retry=give_up), work)()
    assert work.calls == 1


async def test_the_decorators_take_arguments_and_keep_the_function() -> None:
    @retry.retry(max_attempts=2, delay=0)
    def add(a: int, *, b: int) -> int:
        """Adds."""
        return a + b

    @retry_async(max_attempts=2, delay=0)
    async def add_async(a: int, *, b: int) -> int:
        return a + b

    assert (add(1, b=2), await add_async(3, b=4)) == (3, 7)
    assert (add.__name__, add.__doc__, add_async.__name__) == ("add", "Adds.", "add_async")
    assert inspect.iscoroutinefunction(add_async)


async def test_whatever_is_awaited_can_be_decorated() -> None:
    work = Failing(KeyError(), KeyError())

    def no_coroutine_function() -> Awaitable[str]:
        return work.async_call()

    assert await retry_async(delay=0)(no_coroutine_function)() == "done"

    class Caller:
        async def __call__(self) -> str:
            return await work.async_call()

    work.failures = [KeyError()]
    assert await RetryPolicy(delay=0)(Caller())() == "done"


def test_a_generator_is_refused() -> None:
    def numbers() -> Any:
        yield 1

    async def numbers_async() -> Any:
        yield 1

    for wrong in (numbers, numbers_async):
        with pytest.raises(errors.InvalidValueError, match="numbers"):
            DEFAULT_RETRY(wrong)


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"delay": -1.0}, {"delay": float("nan")}], ids=repr)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        RetryPolicy(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"base_delay": -1.0}, {"max_delay": -1.0}, {"exponential_base": 0.5}, {"base_delay": float("nan")}],
    ids=repr,
)
def test_wrong_backoffs_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        exponential_backoff(**wrong)


seconds = st.floats(0, 1e6)


@given(seconds, seconds, st.floats(1, 100), st.integers(1, 10_000))
def test_backoff_grows_to_its_cap_and_jitter_adds_at_most_a_quarter(
    base: float, cap: float, factor: float, failures: int
) -> None:
    plain = exponential_backoff(base, cap, factor, jitter=False)
    assert 0 <= plain(failures) <= plain(failures + 1) <= cap
    assert plain(1) == min(base, cap)
    assert plain(failures) <= exponential_backoff(base, cap, factor)(failures) <= plain(failures) * 1.25


@given(st.floats(0.001, 10), st.integers(1, 8))
def test_backoff_multiplies_by_its_base(base: float, failures: int) -> None:
    assert exponential_backoff(base, 1e9, 3, jitter=False)(failures) == pytest.approx(base * 3 ** (failures - 1))


def test_jitter_differs_from_one_to_the_next() -> None:
    delay = exponential_backoff()
    assert len({delay(1) for _ in range(50)}) > 1


async def test_each_attempt_passes_the_breaker_and_an_open_one_ends_the_attempts() -> None:
    breaker = CircuitBreaker(failure_threshold=2, name="prices")
    work = Failing(*[KeyError() for _ in range(9)])
    with pytest.raises(errors.CircuitBreakerOpen, match="prices"):
        patient(RetryPolicy(max_attempts=9, circuit_breaker=breaker), work)()
    assert work.calls == 2
    with pytest.raises(errors.CircuitBreakerOpen):
        await patient_async(RetryPolicy(max_attempts=9, circuit_breaker=breaker), work)()
    assert work.calls == 2
    breaker.reset()
    work.failures = [KeyError()]
    assert await patient_async(RetryPolicy(circuit_breaker=breaker), work)() == "done"
    assert breaker.status["failure_count"] == 0


def test_policies_alone_bring_no_retry_library() -> None:
    code = (
        "import sys; from ff_storage import DATABASE_RETRY; assert 'tenacity' not in sys.modules; DATABASE_RETRY(print)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
