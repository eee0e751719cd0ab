"""The breaker's states, one probe at a time, for tasks and threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ff_storage.core.circuit import CircuitBreaker, CircuitState
from ff_storage.core.errors import CircuitBreakerOpen, ConfigurationError, ConnectionFailure, IntegrityError


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def succeed(value: str = "done") -> str:
    return value


def fail(error: BaseException | None = None) -> str:
    raise error or KeyError("down")


def broken(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(KeyError):
            breaker.call(fail)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """Opens after 3 failures, for 60 s."""
    return CircuitBreaker(3, 60, name="prices", clock=clock)


def test_a_closed_one_passes_arguments_results_and_errors(breaker: CircuitBreaker) -> None:
    assert breaker.call(succeed, value="x") == "x"
    error = KeyError("k")
    with pytest.raises(KeyError) as caught:
        breaker.call(fail, error)
    assert caught.value is error
    assert breaker.state is CircuitState.CLOSED


def test_failures_in_a_row_open_it_and_a_success_between_starts_over(breaker: CircuitBreaker) -> None:
    broken(breaker, 2)
    breaker.call(succeed)
    broken(breaker, 2)
    assert not breaker.is_open
    broken(breaker, 1)
    assert breaker.is_open
    with pytest.raises(CircuitBreakerOpen) as caught:
        breaker.call(pytest.fail)
    assert "prices" in str(caught.value)
    assert "60.0 s" in str(caught.value)
    assert caught.value.details == {"service": "prices", "failure_count": 3, "reset_timeout": 60.0}
    assert isinstance(caught.value, ConnectionFailure)
    assert not caught.value.transient


def test_after_its_time_a_probe_decides(breaker: CircuitBreaker, clock: Clock) -> None:
    broken(breaker, 3)
    clock.now += 59.9
    assert breaker.is_open
    clock.now += 0.1
    assert breaker.state is CircuitState.HALF_OPEN
    broken(breaker, 1)  # one failure is enough
    assert breaker.is_open
    clock.now += 60
    assert breaker.call(succeed) == "done"
    assert breaker.state is CircuitState.CLOSED
    broken(breaker, 2)
    assert not breaker.is_open


async def test_only_one_probe_passes_at_a_time(breaker: CircuitBreaker, clock: Clock) -> None:
    broken(breaker, 3)
    clock.now += 60
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    probe = asyncio.create_task(breaker.async_call(lambda: answer))
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(CircuitBreakerOpen, match="probes"):
            await breaker.async_call(pytest.fail)
        with pytest.raises(CircuitBreakerOpen):
            breaker.call(pytest.fail)
    answer.set_result("up")
    assert await probe == "up"
    assert breaker.call(succeed) == "done"


async def test_a_canceled_probe_decides_nothing_and_makes_room_for_another(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    broken(breaker, 3)
    clock.now += 60
    probe = asyncio.create_task(breaker.async_call(asyncio.sleep, 3600))
    await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert probe.cancelled()
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.call(succeed) == "done"
    assert breaker.state is CircuitState.CLOSED


def test_cancellations_are_no_failures(breaker: CircuitBreaker) -> None:
    for stop in (KeyboardInterrupt(), asyncio.CancelledError(), SystemExit()):
        with pytest.raises(type(stop)):
            breaker.call(fail, stop)
    assert breaker.status["failure_count"] == 0


def test_an_error_that_is_not_expected_shows_that_it_is_up(clock: Clock) -> None:
    breaker = CircuitBreaker(2, 60, expected_exception=ConnectionFailure, clock=clock)
    with pytest.raises(ConnectionFailure):
        breaker.call(fail, ConnectionFailure("refused"))
    with pytest.raises(IntegrityError):
        breaker.call(fail, IntegrityError("twice"))
    assert breaker.status["failure_count"] == 0
    for _ in range(2):
        with pytest.raises(ConnectionFailure):
            breaker.call(fail, ConnectionFailure("refused"))
    assert breaker.is_open
    clock.now += 60
    with pytest.raises(IntegrityError):
        breaker.call(fail, IntegrityError("twice"))
    assert breaker.state is CircuitState.CLOSED


async def test_what_began_before_the_last_change_changes_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    slow: list[asyncio.Future[str]] = [asyncio.get_running_loop().create_future() for _ in range(2)]
    calls = [asyncio.create_task(breaker.async_call(lambda each=each: each)) for each in slow]
    await asyncio.sleep(0)
    broken(breaker, 3)
    slow[0].set_result("late")
    assert await calls[0] == "late"
    assert breaker.is_open
    clock.now += 60
    breaker.call(succeed)
    slow[1].set_exception(KeyError("late"))
    with pytest.raises(KeyError):
        await calls[1]
    assert breaker.status["failure_count"] == 0


def test_reset_closes_it(breaker: CircuitBreaker) -> None:
    broken(breaker, 3)
    breaker.reset()
    assert breaker.call(succeed) == "done"
    assert breaker.status == {
        "name": "prices",
        "state": "closed",
        "failure_count": 0,
        "failure_threshold": 3,
        "recovery_timeout": 60,
        "retry_after": 0.0,
    }


def test_status_says_when_to_come_back(breaker: CircuitBreaker, clock: Clock) -> None:
    broken(breaker, 3)
    clock.now += 20
    assert (breaker.status["state"], breaker.status["retry_after"]) == ("open", 40.0)
    clock.now += 40
    assert (breaker.status["state"], breaker.status["retry_after"]) == ("half_open", 0.0)


@pytest.mark.parametrize(
    "wrong", [{"failure_threshold": 0}, {"recovery_timeout": -1}, {"recovery_timeout": float("nan")}], ids=repr
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CircuitBreaker(**wrong)


def test_threads_get_one_probe_among_them(breaker: CircuitBreaker, clock: Clock) -> None:
    broken(breaker, 3)
    clock.now += 60
    together, ended = threading.Barrier(8), threading.Event()
    probes: list[int] = []

    def probe(number: int) -> str:
        probes.append(number)
        assert ended.wait(30)
        return "up"

    def attempt(number: int) -> str:
        together.wait(30)
        try:
            return breaker.call(probe, number)
        except CircuitBreakerOpen:
            refused.release()
            return "refused"

    refused = threading.Semaphore(0)
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(attempt, number) for number in range(8)]
        for _ in range(7):
            assert refused.acquire(timeout=30)
        ended.set()
        assert sorted(answer.result() for answer in answers) == ["refused"] * 7 + ["up"]
    assert len(probes) == 1
    assert breaker.state is CircuitState.CLOSED


class Model:
    """What the breaker promises, said again in the simplest way: for calls one after the other."""

    def __init__(self, threshold: int, recovery: float) -> None:
        self.threshold, self.recovery = threshold, recovery
        self.failures, self.opened = 0, None
        self.now = 0.0
        self.opened: float | None

    @property
    def refuses(self) -> bool:
        return self.opened is not None and self.now - self.opened < self.recovery

    def step(self, outcome: str) -> None:
        if outcome == "ok":
            self.failures, self.opened = 0, None
        elif outcome == "failure":
            self.failures += 1
            if self.opened is not None or self.failures >= self.threshold:
                self.opened = self.now


STEPS = st.lists(st.one_of(st.sampled_from(["ok", "failure", "canceled"]), st.integers(0, 20)), max_size=60)


@given(STEPS, st.integers(1, 4), st.integers(0, 15))
def test_whatever_happens_it_passes_or_refuses_as_its_rules_say(
    steps: list[str | int], threshold: int, recovery: int
) -> None:
    clock = Clock()
    clock.now = 0.0
    breaker = CircuitBreaker(threshold, recovery, clock=clock)
    model = Model(threshold, recovery)
    outcomes = {"ok": None, "failure": KeyError(), "canceled": KeyboardInterrupt()}
    for step in steps:
        if isinstance(step, int):
            clock.now += step
            model.now += step
            continue
        assert breaker.is_open == model.refuses
        error = outcomes[step]
        made: list[bool] = []

        def call(error: BaseException | None = error, made: list[bool] = made) -> None:
            made.append(True)
            if error is not None:
                raise error

        try:
            breaker.call(call)
        except CircuitBreakerOpen:
            assert model.refuses
        except (KeyError, KeyboardInterrupt):
            pass
        assert bool(made) != model.refuses
        if made:
            model.step(step)
