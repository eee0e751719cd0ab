"""Must pass: what is tried again keeps its types."""

from __future__ import annotations

from typing import assert_type

from ff_storage import (
    DATABASE_RETRY,
    CircuitBreaker,
    ConnectionFailure,
    RetryPolicy,
    SerializationFailure,
    exponential_backoff,
    retry,
    retry_async,
)


@DATABASE_RETRY
async def count(table: str, *, live: bool = True) -> int:
    return len(table) if live else 0


@retry(max_attempts=2, delay=exponential_backoff(0.1), exceptions=(OSError,))
def read(path: str) -> bytes:
    return path.encode()


@retry_async(exceptions=lambda error: isinstance(error, SerializationFailure))
async def move(number: int) -> str:
    return str(number)


async def use(breaker: CircuitBreaker) -> None:
    assert_type(await count("t", live=False), int)
    assert_type(read("p"), bytes)
    assert_type(await move(1), str)
    assert_type(await breaker.async_call(count, "t", live=True), int)
    assert_type(breaker.call(read, "p"), bytes)


class Reader:
    @RetryPolicy(exceptions=ConnectionFailure)
    def lines(self, path: str) -> list[str]:
        return [path]


assert_type(Reader().lines("p"), list[str])
