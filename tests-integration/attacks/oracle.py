"""The judge of the attack rows: what was sent, what was written, and where the canary's value shows up.

`Target` is one engine with its tables. A new engine adds a fixture that makes one; the tests know no engine.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from attacks.models import CANARY, MODELS, Canary
from databases import ENGINES
from ff_storage.core.database import Pool
from ff_storage.core.errors import StorageError
from ff_storage.core.model import PydanticModel
from ff_storage.core.repository import PydanticRepository

Refusal = type[BaseException] | tuple[type[BaseException], ...]

on_every_engine = pytest.mark.parametrize("target", ENGINES, indirect=True)
"""For tests whose input reaches the server: on all of its versions."""


@dataclass
class Target:
    """An open pool on one engine, and `sent`: every statement that its driver was really given."""

    pool: Pool
    sent: list[str]
    log: pytest.LogCaptureFixture
    seen: list[str] = field(default_factory=list[str])
    counts: dict[str, int] = field(default_factory=dict[str, int])

    async def prepare(self) -> None:
        """Store the canary, which must be heard and not count as sent."""
        self.log.set_level(logging.DEBUG)
        self.sent.clear()
        await PydanticRepository(Canary, self.pool).create(Canary(secret=CANARY))
        assert any("INSERT" in text for text in self.sent), "the witness is deaf"
        self.counts = await self._count()
        self.sent.clear()
        self.log.clear()

    async def _count(self) -> dict[str, int]:
        names = [model.table_name() for model in MODELS]
        quote = self.pool.dialect.quote
        return {name: await self.pool.fetch_val(f"SELECT COUNT(*) FROM {quote(name)}") for name in names}

    async def refuses(self, attempt: Callable[[], Any], errors: Refusal) -> BaseException:
        """`attempt`, awaited if it can be, raises one of `errors`; nothing is sent, and the error tells no secret."""
        await self.pool.settle()  # what was raw SQL before may have left a connection to clean
        self.sent.clear()
        with pytest.raises(errors) as caught:
            result = attempt()
            if isinstance(result, Awaitable):
                await result
        assert self.sent == [], "a statement was sent for input that must be refused first"
        self.note(caught.value)
        if isinstance(caught.value, StorageError):
            assert isinstance(caught.value, ValueError), "bad input is a ValueError too"
            assert caught.value.code.startswith("FF-")
        return caught.value

    def note(self, *things: object) -> None:
        """Results and errors to search for the canary."""
        for each in things:
            if isinstance(each, BaseException):
                self.seen.append(everything_about(each))
            else:
                self.seen.append(repr(each))

    async def create(self, *rows: PydanticModel, tenant_id: Any = None) -> list[Any]:
        """Store rows that the test needs, and count them in."""
        stored: list[Any] = []
        for row in rows:
            self.counts[type(row).table_name()] += 1
            stored.append(await PydanticRepository(type(row), self.pool, tenant_id=tenant_id).create(row))
        self.sent.clear()
        return stored

    async def unharmed(self) -> None:
        """The tables hold what they held, and the canary was seen nowhere."""
        assert await self._count() == self.counts
        assert (await self.pool.fetch_val(f"SELECT secret FROM {Canary.table_name()}")) == CANARY
        shown = [*self.seen, self.log.text, *(str(record.__dict__) for record in self.log.records)]
        assert not [each for each in shown if CANARY in each]


def everything_about(error: BaseException) -> str:
    """All that a log or a debugger would show of an error: text, repr, state, notes, and the chain behind it."""
    parts = ["".join(traceback.format_exception(error))]
    chain: list[BaseException] = [error]
    while (following := _behind(chain[-1])) is not None and following not in chain:
        chain.append(following)
    for each in chain:
        parts += [str(each), repr(each), repr(each.args), repr(vars(each)), repr(getattr(each, "__notes__", []))]
    return "\n".join(parts)


def _behind(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def hostile_text(content: str, disguise: str) -> str:
    """A str of `content` that calls itself `disguise` wherever it is asked."""
    evil = _Evil(content)
    evil.disguise = disguise
    return evil


class _Evil(str):
    __slots__ = ("disguise",)

    disguise: str

    def __str__(self) -> str:
        return self.disguise

    def __repr__(self) -> str:
        return self.disguise

    def __format__(self, spec: str) -> str:
        return self.disguise

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.disguise.encode(encoding, errors)

    def replace(self, *_: Any) -> str:
        return self.disguise


INJECTIONS: Final = (
    "' OR '1'='1", "'; DROP TABLE attack_victims; --", '" OR ""="', "1; SELECT secret FROM attack_canaries",
    "') UNION SELECT secret FROM attack_canaries --", "\\' OR 1=1 -- ", "%27", "$1", "?", ":name", "%s", "%(name)s",
    "{0}", "/* */", "\x1a", "0xbf27", "x' AND (SELECT secret FROM attack_canaries) LIKE '%", "`", "]", "[secret]",
    "縗'", "\ufeff'",
)  # fmt: skip
"""Texts that are harmless as values and fatal as SQL."""
