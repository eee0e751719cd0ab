"""What all conformance classes share: the one fixture, declared capabilities, and the guard against overrides.

A test of the kit names what it needs by `@requires(...)`, never an engine: where the engine lacks it, the test is
skipped and the reason says what is missing. Standard tests are promises, so a subclass that replaces one must say why
with `@pytest.mark.xfail(reason=…)`; anything else fails the guard.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Final, TypeVar

import pytest
import pytest_asyncio

from ff_storage.core.database import Pool, open_pool
from ff_storage.core.model import PydanticModel
from ff_storage.core.sql.dialect import Capability
from ff_storage.core.testing.recording import Recorder
from ff_storage.core.testing.tables import create_tables

C = TypeVar("C", bound=Callable[..., Any])

KIT: Final = __name__.rpartition(".")[0]
"""The package whose tests are the standard."""

_REQUIRED: Final = "__ff_required__"
_LACKED: Final = "__ff_lacked__"
_CONNECTIONS: Final = "__ff_connections__"


def requires(*capabilities: Capability) -> Callable[[C], C]:
    """Run the test only where the engine has all of `capabilities`."""
    return _noted(_REQUIRED, frozenset(capabilities))


def lacking(*capabilities: Capability) -> Callable[[C], C]:
    """Run the test only where the engine has none of `capabilities`: it says what is promised instead."""
    return _noted(_LACKED, frozenset(capabilities))


def connections(count: int) -> Callable[[C], C]:
    """Run the test only where one database serves `count` connections."""
    return _noted(_CONNECTIONS, count)


def _noted(name: str, value: object) -> Callable[[C], C]:
    def note(test: C) -> C:
        setattr(test, name, value)
        return test

    return note


def why_skipped(test: Callable[..., Any], capabilities: frozenset[Capability], most: int | None) -> str:
    """The reason for which an engine of these `capabilities` and `most` connections skips `test`; empty to run it."""
    missing = getattr(test, _REQUIRED, frozenset[Capability]()) - capabilities
    if missing:
        return "the engine lacks " + ", ".join(sorted(f"{each.name} ({each.value})" for each in missing))
    present = getattr(test, _LACKED, frozenset[Capability]()) & capabilities
    if present:
        return "the engine has " + ", ".join(sorted(f"{each.name} ({each.value})" for each in present))
    wanted = getattr(test, _CONNECTIONS, 1)
    if most is not None and wanted > most:
        return f"the database serves {most} connection(s), and the test needs {wanted}"
    return ""


def replaced_tests(cls: type[Any]) -> dict[str, str]:
    """The standard tests that `cls` replaces without an xfail that gives its reason: name → the class that does."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        if base.__module__.startswith(f"{KIT}."):
            continue
        for name, own in vars(base).items():
            if name.startswith("test") and _is_standard(cls, name) and not _is_excused(own):
                found.setdefault(name, base.__qualname__)
    return found


def _is_standard(cls: type[Any], name: str) -> bool:
    return any(name in vars(base) for base in cls.__mro__ if base.__module__.startswith(f"{KIT}."))


def _is_excused(test: object) -> bool:
    marks = getattr(test, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)


@pytest.mark.asyncio
class Conformance:
    """The base of every conformance class.

    A subclass sets `capabilities` to what its dialect declares and provides one fixture, `database`: the URL of an
    empty database that is the test's own. `max_connections` is set where a database serves only so many (one, in
    memory); None means any number. `options` go to every `open_pool`.
    """

    capabilities: ClassVar[frozenset[Capability]]
    models: ClassVar[tuple[type[PydanticModel], ...]] = ()
    """The models whose tables the tests of a class find; each class of the kit has its own."""
    max_connections: ClassVar[int | None] = None
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _capable(self, request: pytest.FixtureRequest) -> None:
        """Skip what the engine cannot do."""
        if not hasattr(self, "capabilities"):
            pytest.fail(f"{type(self).__name__} must set `capabilities`: what its dialect declares", pytrace=False)
        reason = why_skipped(request.function, self.capabilities, self.max_connections)
        if reason:
            pytest.skip(reason)

    @pytest.fixture
    def database(self) -> str:
        """The URL of the test's own database; each subclass gives it."""
        pytest.fail(f"{type(self).__name__} must provide a fixture `database`: the URL of an empty database")

    @pytest.fixture
    def url(self, database: str) -> str:
        """The URL that the subclass's `database` gives."""
        return database

    def open(self, url: str, **options: Any) -> AbstractAsyncContextManager[Pool]:
        """A pool on `url`, not yet connected."""
        return open_pool(url, **{**self.options, **options})

    @pytest_asyncio.fixture
    async def pool(self, url: str) -> AsyncIterator[Pool]:
        """An open pool on the empty database."""
        async with self.open(url) as pool:
            yield pool

    @pytest_asyncio.fixture
    async def recorder(self, pool: Pool) -> Recorder:
        """The pool, with every statement that passes through it written down."""
        return Recorder(pool)

    @pytest_asyncio.fixture(autouse=True)
    async def _tables(self, _capable: None, request: pytest.FixtureRequest, pool: Pool) -> None:
        """Create the tables that the test's own class names, in whatever class it runs."""
        test = request.function.__name__
        owner = next(base for base in type(self).__mro__ if test in vars(base) and issubclass(base, Conformance))
        await create_tables(pool, *owner.models)

    async def test_no_standard_test_is_replaced(self) -> None:
        """A subclass may expect a standard test to fail, with a reason; it may not replace or drop one."""
        assert replaced_tests(type(self)) == {}

    async def test_the_declared_capabilities_are_the_dialects(self, pool: Pool) -> None:
        assert self.capabilities == pool.dialect.capabilities
