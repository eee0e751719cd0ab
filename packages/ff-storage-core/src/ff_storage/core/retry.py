"""Trying again, where that is safe: policies as decorators, on tenacity.

    @DATABASE_RETRY
    async def rename(pool: Pool, id: UUID, name: str) -> None: ...

    @retry_async(max_attempts=5, delay=exponential_backoff(0.2), exceptions=(httpx.TransportError,))
    async def price(currency: str) -> Decimal: ...

Whether work may be done twice depends on what became of it the first time. `may_repeat` knows it for the library's
errors: nothing was done, and the cause may pass. Everything else is left to the caller who knows the work:

* What was sent before the connection broke may be stored. A `CommitOutcomeUnknown` is never repeated, whatever a policy
  names; a `ConnectionLost` only by a policy that names it.
* A `SerializationFailure` asks for the whole transaction again, which `run_in_transaction` does.
* A `PoolTimeout` has waited already, and `PoolFull` sheds load: trying again adds to it.
* What the database refuses (`IntegrityError`, `QueryError`) it will refuse again.

Decorate what is one statement or one transaction. A function that commits twice does its first half twice. A
cancellation is never repeated or delayed.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar, cast

from ff_storage.core.circuit import CircuitBreaker, CircuitState
from ff_storage.core.errors import (
    CommitOutcomeUnknown,
    ConfigurationError,
    ConnectionFailure,
    ConnectionLost,
    InvalidValueError,
    StorageError,
)
from ff_storage.core.observe import error_label

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = [
    "DATABASE_RETRY",
    "DEFAULT_RETRY",
    "NETWORK_RETRY",
    "CircuitBreaker",
    "CircuitState",
    "RetryPolicy",
    "exponential_backoff",
    "may_repeat",
    "retry",
    "retry_async",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Delay: TypeAlias = float | Callable[[int], float]
"""Seconds between two attempts, or a function of the number of attempts that have failed."""

Repeatable: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Which errors are followed by another attempt: classes, or a function that decides."""

logger = logging.getLogger("ff_storage.retry")


def may_repeat(error: BaseException) -> bool:
    """Whether `error` says that nothing was done, and that the same may succeed a little later.

    True for a connection that could not be opened for a passing reason (refused, starting up, too many), and for one
    that broke before the statement was sent.
    """
    if isinstance(error, ConnectionLost):
        return not error.sent
    return isinstance(error, ConnectionFailure) and error.transient


def exponential_backoff(
    base_delay: float = 1.0, max_delay: float = 60.0, exponential_base: float = 2.0, jitter: bool = True
) -> Callable[[int], float]:
    """A delay that grows: `base_delay` seconds after the first failure, `exponential_base` times as much after each.

    It grows up to `max_delay`; `jitter` then adds up to 25 % by chance, so that callers who failed together do not come
    back together.
    """
    for name, value in (("base_delay", base_delay), ("max_delay", max_delay)):
        if not value >= 0:
            raise ConfigurationError(f"{name} must not be negative", found=repr(value))
    if not exponential_base >= 1:
        raise ConfigurationError("exponential_base must be at least 1", found=repr(exponential_base))

    def delay(failures: int) -> float:
        try:
            seconds = min(max_delay, base_delay * float(exponential_base) ** (failures - 1))
        except OverflowError:
            seconds = max_delay if base_delay else 0.0
        return seconds * (1 + random.random() / 4) if jitter else seconds  # noqa: S311 - nobody gains by guessing it

    return delay


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when to try again; call it on a function to have the function that does.

    `exceptions` are classes or a function of the error. Classes above the library's own, such as `Exception`, cover of
    its errors only those of `may_repeat`; a class of the library covers what it names. `on_retry` is called with the
    error and the number of the attempt before the wait, and may raise to give up. With a `circuit_breaker` each attempt
    passes through it. The last attempt's error leaves unchanged. `sleep` replaces the wait, which is `asyncio.sleep`
    for coroutine functions, `time.sleep` for others.
    """

    max_attempts: int = 3
    delay: Delay = 1.0
    exceptions: Repeatable = (Exception,)
    on_retry: Callable[[Exception, int], None] | None = None
    circuit_breaker: CircuitBreaker | None = None
    sleep: Callable[[float], Any] | None = None

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigurationError("max_attempts must be at least 1", found=repr(self.max_attempts))
        if not callable(self.delay) and not self.delay >= 0:
            raise ConfigurationError("delay must not be negative", found=repr(self.delay))

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """`func`, tried again by this policy; coroutine functions and ordinary ones alike."""
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise InvalidValueError(
                "a generator cannot be tried again once it has yielded",
                found=getattr(func, "__qualname__", repr(func)),
                remedy="decorate the function that consumes it",
            )
        if _is_coroutine_function(func):
            return cast("Callable[P, R]", self._repeated_async(cast("Callable[P, Awaitable[Any]]", func)))
        return self._repeated(func)

    def repeats(self, error: BaseException) -> bool:
        """Whether an attempt that raised `error` is followed by another, as long as there are any left."""
        if not isinstance(error, Exception) or isinstance(error, CommitOutcomeUnknown):
            return False
        given: Any = self.exceptions
        if isinstance(given, type | tuple):
            return _covers(cast("tuple[type[Exception], ...]", given if isinstance(given, tuple) else (given,)), error)
        return bool(given(error))

    def _repeated(self, func: Callable[P, R]) -> Callable[P, R]:
        breaker = self.circuit_breaker

        @functools.wraps(func)
        def attempts(*args: P.args, **kwargs: P.kwargs) -> R:
            from tenacity import Retrying

            def attempt() -> R:
                return func(*args, **kwargs) if breaker is None else breaker.call(func, *args, **kwargs)

            result: R = Retrying(sleep=self.sleep or time.sleep, **self._options(func))(attempt)
            return result

        return attempts

    def _repeated_async(self, func: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        breaker = self.circuit_breaker

        @functools.wraps(func)
        async def attempts(*args: P.args, **kwargs: P.kwargs) -> T:
            from tenacity import AsyncRetrying

            async def attempt() -> T:
                if breaker is None:
                    return await func(*args, **kwargs)
                return await breaker.async_call(func, *args, **kwargs)

            result: T = await AsyncRetrying(sleep=self.sleep or asyncio.sleep, **self._options(func))(attempt)
            return result

        return attempts

    def _options(self, func: Callable[..., Any]) -> dict[str, Any]:
        """What both of tenacity's loops are told."""
        from tenacity import retry_if_exception, stop_after_attempt

        name = getattr(func, "__qualname__", type(func).__name__)

        def wait(state: RetryCallState) -> float:
            return self.delay(state.attempt_number) if callable(self.delay) else self.delay

        def before_sleep(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome is not None else None
            if isinstance(error, Exception):
                logger.info(
                    "attempt %d of %d at %s failed, the next in %.2f s: %s",
                    state.attempt_number,
                    self.max_attempts,
                    name,
                    state.upcoming_sleep,
                    error_label(error),
                )
                if self.on_retry is not None:
                    self.on_retry(error, state.attempt_number)

        return {
            "stop": stop_after_attempt(self.max_attempts),
            "wait": wait,
            "retry": retry_if_exception(self.repeats),
            "before_sleep": before_sleep,
            "reraise": True,
        }


def retry(
    max_attempts: int = 3,
    delay: Delay = 1.0,
    exceptions: Repeatable = (Exception,),
    on_retry: Callable[[Exception, int], None] | None = None,
    circuit_breaker: CircuitBreaker | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A `RetryPolicy` of these settings, as a decorator: `@retry(max_attempts=5)`."""
    return RetryPolicy(max_attempts, delay, exceptions, on_retry, circuit_breaker)


def retry_async(
    max_attempts: int = 3,
    delay: Delay = 1.0,
    exceptions: Repeatable = (Exception,),
    on_retry: Callable[[Exception, int], None] | None = None,
    circuit_breaker: CircuitBreaker | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """`retry`, for any function whose result is awaited, be it a coroutine function or not."""
    return RetryPolicy(max_attempts, delay, exceptions, on_retry, circuit_breaker)._repeated_async


def _covers(classes: tuple[type[Exception], ...], error: Exception) -> bool:
    if not isinstance(error, StorageError) or may_repeat(error):
        return isinstance(error, classes)
    return isinstance(error, tuple(each for each in classes if issubclass(each, StorageError)))


def _is_coroutine_function(func: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004


def _network_may_recover(error: Exception) -> bool:
    return may_repeat(error) or isinstance(error, ConnectionError | TimeoutError)


DEFAULT_RETRY: Final = RetryPolicy(max_attempts=3, delay=exponential_backoff())
"""Three attempts after any ordinary error that is not known to be pointless or unsafe to repeat."""

DATABASE_RETRY: Final = RetryPolicy(max_attempts=5, delay=exponential_backoff(0.5, 30.0), exceptions=may_repeat)
"""Five attempts where no connection was had for a passing reason, or it broke before anything was sent."""

NETWORK_RETRY: Final = RetryPolicy(
    max_attempts=5, delay=exponential_backoff(2.0, 60.0), exceptions=_network_may_recover
)
"""Five attempts, also after the standard library's ConnectionError and TimeoutError: for what may be done twice."""
