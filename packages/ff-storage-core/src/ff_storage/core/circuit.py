"""A circuit breaker: after failures in a row, calls are refused for a while instead of being made.

    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=30, expected_exception=ConnectionFailure)
    price = await breaker.async_call(fetch_price, "EUR")

It starts closed: calls pass. `failure_threshold` failures in a row open it: calls raise CircuitBreakerOpen, and are not
made. After `recovery_timeout` seconds it is half open: one call passes as a probe, the others are still refused. The
probe's success closes it, its failure opens it again.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from ff_storage.core.errors import CircuitBreakerOpen, ConfigurationError

P = ParamSpec("P")
T = TypeVar("T")


class CircuitState(enum.Enum):
    """Whether calls pass: all, none, or one as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Stands between callers and something that may be down; tasks and threads may share it.

    Only an `expected_exception` is a failure. Any other exception came from something that is up, and counts as a
    success; a cancellation says nothing. A call that began before the breaker last changed its state changes nothing
    when it ends. `name` is what error messages call it; `recovery_timeout` is in seconds of `clock`.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 60.0,
        expected_exception: type[Exception] | tuple[type[Exception], ...] = Exception,
        name: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failure_threshold < 1:
            raise ConfigurationError("failure_threshold must be at least 1", found=repr(failure_threshold))
        if not recovery_timeout >= 0:
            raise ConfigurationError("recovery_timeout must not be negative", found=repr(recovery_timeout))
        self.name = name or "circuit breaker"
        self._threshold = failure_threshold
        self._recovery = recovery_timeout
        self._expected = expected_exception
        self._clock = clock
        self._lock = threading.Lock()
        self._state = CircuitState.CLOSED
        self._failures = 0
        self._opened_at = 0.0
        self._probing = False
        self._turn = 0  # one more at each change of state: a call knows by it whether its outcome still matters

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r}, {self.state.value}>"

    def call(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `func`. Raises CircuitBreakerOpen without calling it, or what it raises."""
        turn = self._enter()
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self._leave(turn, error)
            raise
        self._leave(turn, None)
        return result

    async def async_call(self, func: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call`, for a function whose result is awaited."""
        turn = self._enter()
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            self._leave(turn, error)
            raise
        self._leave(turn, None)
        return result

    def reset(self) -> None:
        """Close it, and forget the failures."""
        with self._lock:
            self._change(CircuitState.CLOSED)

    @property
    def state(self) -> CircuitState:
        """Whether calls pass at this moment."""
        with self._lock:
            return self._now()

    @property
    def is_open(self) -> bool:
        """Whether every call is refused at this moment."""
        return self.state is CircuitState.OPEN

    @property
    def status(self) -> dict[str, Any]:
        """The breaker as plain values; `retry_after` in seconds, 0 unless it is open."""
        with self._lock:
            return {
                "name": self.name,
                "state": self._now().value,
                "failure_count": self._failures,
                "failure_threshold": self._threshold,
                "recovery_timeout": self._recovery,
                "retry_after": self._remaining() if self._state is CircuitState.OPEN else 0.0,
            }

    # --- under the lock ----------------------------------------------------------------------------------------------

    def _remaining(self) -> float:
        return max(0.0, self._recovery - (self._clock() - self._opened_at))

    def _now(self) -> CircuitState:
        if self._state is CircuitState.OPEN and self._remaining() == 0:
            return CircuitState.HALF_OPEN
        return self._state

    def _change(self, state: CircuitState) -> None:
        self._state = state
        self._turn += 1
        self._probing = False
        if state is CircuitState.CLOSED:
            self._failures = 0
        elif state is CircuitState.OPEN:
            self._opened_at = self._clock()

    # --- around a call -----------------------------------------------------------------------------------------------

    def _enter(self) -> int:
        with self._lock:
            if self._state is CircuitState.OPEN and self._now() is CircuitState.HALF_OPEN:
                self._change(CircuitState.HALF_OPEN)
            if self._state is CircuitState.HALF_OPEN and not self._probing:
                self._probing = True
                return self._turn
            if self._state is CircuitState.CLOSED:
                return self._turn
            remaining = self._remaining() if self._state is CircuitState.OPEN else 0.0
            failures = self._failures
        raise CircuitBreakerOpen(
            f"{self.name} refuses the call",
            found=f"{failures} calls failed in a row",
            remedy=f"try again in {remaining:.1f} s" if remaining else "try again when the one that probes is done",
            details={"service": self.name, "failure_count": failures, "reset_timeout": remaining},
        )

    def _leave(self, turn: int, error: BaseException | None) -> None:
        with self._lock:
            if turn != self._turn:
                return
            if error is not None and not isinstance(error, Exception):
                self._probing = False
            elif isinstance(error, self._expected):
                self._failures += 1
                if self._state is CircuitState.HALF_OPEN or self._failures >= self._threshold:
                    self._change(CircuitState.OPEN)
            elif self._state is CircuitState.HALF_OPEN:
                self._change(CircuitState.CLOSED)
            else:
                self._failures = 0
