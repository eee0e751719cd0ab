"""The stream of a query: results out of batches of rows, while they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ff_storage.core.query.results import Build, Prepared

if TYPE_CHECKING:
    from ff_storage.core.database.executor import Executor


class QueryStream(AbstractAsyncContextManager[AsyncIterator[Any]]):
    """The context of a stream: it opens the cursor on entry and closes it on exit."""

    __slots__ = ("_batches", "_build", "_results")

    def __init__(self, executor: Executor, prepared: Prepared, parameters: list[Any], batch: int) -> None:
        self._batches = executor.stream_rows(prepared.text, parameters, batch)
        self._build = prepared.build
        self._results: _Results | None = None

    async def __aenter__(self) -> AsyncIterator[Any]:
        self._results = _Results(await self._batches.__aenter__(), self._build)
        return self._results

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._results is not None:
            self._results.end()
        return await self._batches.__aexit__(kind, error, trace)


class _Results(AsyncIterator[Any]):
    """Results one by one out of batches of rows. No async generator, so an early `break` leaves nothing behind."""

    __slots__ = ("_batches", "_build", "_ready")

    def __init__(self, batches: AsyncIterator[list[tuple[Any, ...]]], build: Build) -> None:
        self._batches = batches
        self._build = build
        self._ready: list[Any] = []

    async def __anext__(self) -> Any:
        while not self._ready:
            self._ready = self._build(await anext(self._batches))
            self._ready.reverse()
        return self._ready.pop()

    def end(self) -> None:
        """Forget what was fetched and not read: a stream gives nothing after its block."""
        self._ready.clear()
