"""The limits of a pool, and its figures."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from ff_storage.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The limits of a pool; times in seconds, None for no limit.

    `acquire_timeout` bounds the wait for a connection, `max_waiting` the number of callers that wait,
    `connect_timeout` the opening of one connection, `query_timeout` each statement, `reset_timeout` the checking or
    cleaning of a connection. One that was idle for `check_after` is checked before it is given out, one older than
    `max_age` (spread by a tenth, so that not all go at once) is replaced, and one that nobody has used for `max_idle`
    is closed, down to `min_size`.
    """

    min_size: int = 1
    max_size: int = 10
    acquire_timeout: float | None = 30.0
    max_waiting: int | None = None
    connect_timeout: float | None = 10.0
    query_timeout: float | None = None
    reset_timeout: float | None = 5.0
    check_after: float | None = 30.0
    max_age: float | None = 3600.0
    max_idle: float | None = 300.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_number(field.name, getattr(self, field.name))
        if self.max_size < 1:
            raise ConfigurationError("max_size must be at least 1", found=repr(self.max_size))
        if not 0 <= self.min_size <= self.max_size:
            raise ConfigurationError("min_size must be between 0 and max_size", found=repr(self.min_size))
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value >= 0:
                raise ConfigurationError(f"{field.name} must not be negative", found=repr(value))


_COUNTS: Final = ("min_size", "max_size", "max_waiting")


def _check_number(name: str, value: object) -> None:
    # Every limit but the sizes may be None, for none.
    if (value is None and not name.endswith("_size")) or type(value) is int:
        return
    if name in _COUNTS:
        raise ConfigurationError(f"{name} must be a whole number", found=f"a {type(value).__name__}")
    if type(value) is not float:
        raise ConfigurationError(f"{name} must be a number of seconds", found=f"a {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool at one moment, and what happened since it was made.

    `size` connections exist: `idle`, `used` by callers, and the rest being opened, checked or cleaned; `waiting`
    callers have none yet. `reruns` counts the times that `run_in_transaction` ran its function again.
    """

    size: int
    idle: int
    used: int
    waiting: int
    max_size: int
    opened: int
    discarded: int
    timeouts: int
    reruns: int = 0
