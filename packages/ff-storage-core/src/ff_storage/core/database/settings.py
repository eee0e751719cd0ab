"""The settings of a pool, and its figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Self, SupportsIndex

from ff_storage.core.database import environment
from ff_storage.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The limits of a pool, and where its database is; times in seconds, None for no limit.

    `acquire_timeout` bounds the wait for a connection, `max_waiting` the number of callers that wait,
    `connect_timeout` the opening of one connection, `query_timeout` each statement, `reset_timeout` the checking or
    cleaning of a connection. One that was idle for `check_after` is checked before it is given out, one older than
    `max_age` (spread by a tenth, so that not all go at once) is replaced, and one that nobody has used for `max_idle`
    is closed, down to `min_size`.

    Settings are also a mapping of what was set, for the classes of any engine: `PostgresPool(**settings)`,
    `Postgres(**PoolSettings.from_env())`. What was not set is left to the class.
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

    host: str | None = None
    port: int | None = None
    dbname: str | None = None
    user: str | None = None
    password: SecretStr | None = field(default=None, repr=False)

    _given: tuple[str, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in LIMITS:
            check_limit(name, getattr(self, name))
        if self.max_size < 1:
            raise _refused("max_size", "must be at least 1", self.max_size)
        if not 0 <= self.min_size <= self.max_size:
            raise _refused("min_size", "must be between 0 and max_size", self.min_size)
        if self.port is not None and not (type(self.port) is int and 0 < self.port < 65536):
            raise _refused("port", "must be a number between 1 and 65535", self.port)
        given = [each.name for each in fields(self) if each.init and getattr(self, each.name) != each.default]
        object.__setattr__(self, "_given", tuple(given))  # the one way into a frozen dataclass

    @classmethod
    def from_env(cls, prefix: str = "DB_", environ: Mapping[str, str] | None = None) -> Self:
        """The settings in environment variables: DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD, and the limits.

        A limit is DB_MAX_SIZE (or DB_POOL_SIZE), DB_QUERY_TIMEOUT and so on; `none` means no limit. Raises
        ConfigurationError, which names the variable.
        """
        found, origin = environment.read(os.environ if environ is None else environ, prefix, LIMITS)
        try:
            settings = cls(**found)
        except ConfigurationError as error:
            name = error.details["setting"]
            raise ConfigurationError(
                f"{origin.get(name, f'{prefix}{name.upper()}')}: {error.message}", found=error.found
            ) from None
        # A variable that says the default was set, too; and DB_POOL_SIZE stays what the synchronous classes know.
        pooled = origin.get("max_size") == f"{prefix}POOL_SIZE"
        given = ["pool_size" if pooled and name == "max_size" else name for name in found]
        object.__setattr__(settings, "_given", tuple(given))
        return settings

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        if self.password is not None:
            raise TypeError("settings with a password are not pickled; read them anew where they are needed")
        return object.__reduce_ex__(self, protocol)

    def __copy__(self) -> Self:
        return self  # it is frozen

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def keys(self) -> list[str]:
        """The names of what was set."""
        return [*self._given]

    def __getitem__(self, name: str) -> Any:
        if name not in self._given:
            raise KeyError(name)
        return getattr(self, "max_size" if name == "pool_size" else name)


LIMITS: Final = tuple(
    each.name for each in fields(PoolSettings) if each.init and each.name not in environment.PLACE.values()
)
"""The names of the limits."""


def _refused(name: str, rule: str, value: object) -> ConfigurationError:
    return ConfigurationError(f"{name} {rule}", found=ascii(value)[:60], details={"setting": name})


_COUNTS: Final = ("min_size", "max_size", "max_waiting")


def check_limit(name: str, value: object) -> None:
    """Raise ConfigurationError unless `value` is a count, or seconds; all but the sizes may be None, for no limit."""
    if value is None and not name.endswith("_size"):
        return
    if type(value) is not int and (name in _COUNTS or type(value) is not float):
        kind = "whole number" if name in _COUNTS else "number of seconds"
        raise ConfigurationError(
            f"{name} must be a {kind}", found=f"a {type(value).__name__}", details={"setting": name}
        )
    if not value >= 0:
        raise _refused(name, "must not be negative", value)


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
