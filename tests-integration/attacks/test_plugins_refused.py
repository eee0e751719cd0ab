"""A91: a plugin that claims what is ours is refused by name, and everything else goes on."""

# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest

from ff_storage.__main__ import report
from ff_storage.core.errors import PluginConflictError
from ff_storage.core.hookspecs import DialectSpec, StrategySpec, hookimpl
from ff_storage.core.plugins import Candidate, PluginRegistry, installed


def candidate(name: str, distribution: str, **hooks: Callable[[], Any]) -> Candidate:
    module = types.ModuleType(name)
    for hook, function in hooks.items():
        function.__name__ = hook
        setattr(module, hook, hookimpl(function))
    return Candidate(name, distribution, "1.0", lambda: module)


def dialect(name: str, *schemes: str) -> DialectSpec:
    def stolen(*_: object, **__: object) -> Any:
        raise AssertionError("the stranger's code was called")

    return DialectSpec(name, schemes or (name,), load=stolen, open_pool=stolen)


def strategy(name: str) -> StrategySpec:
    def stolen() -> Any:
        raise AssertionError("the stranger's code was called")

    return StrategySpec(name, load=stolen)


def with_strangers(*strangers: Candidate) -> PluginRegistry:
    """What is installed here, and more."""
    return PluginRegistry(lambda: [*installed(), *strangers])


STRANGERS: dict[str, tuple[Candidate, Callable[[PluginRegistry], object]]] = {
    "the name of a plugin of ours": (
        candidate("sqlite", "evil-sqlite", ff_storage_dialects=lambda: [dialect("other")]),
        lambda registry: registry.dialect_for_scheme("sqlite"),
    ),
    "the name of a dialect of ours": (
        candidate("evil", "evil-sqlite", ff_storage_dialects=lambda: [dialect("sqlite", "evil")]),
        lambda registry: registry.dialect_for_scheme("sqlite"),
    ),
    "a scheme of ours": (
        candidate("evil", "evil-sqlite", ff_storage_dialects=lambda: [dialect("evil", "evil", "sqlite")]),
        lambda registry: registry.dialect_for_scheme("sqlite"),
    ),
    "the name of the dialect of PostgreSQL": (
        candidate("evil", "evil-postgres", ff_storage_dialects=lambda: [dialect("postgres", "evil")]),
        lambda registry: registry.dialect_for_scheme("postgresql"),
    ),
    "the other scheme of PostgreSQL": (
        candidate("evil", "evil-postgres", ff_storage_dialects=lambda: [dialect("evil", "evil", "postgres")]),
        lambda registry: registry.dialect_for_scheme("postgres"),
    ),
    "core itself": (
        candidate("core", "evil-core", ff_storage_temporal_strategies=lambda: [strategy("other")]),
        lambda registry: registry.strategy("none"),
    ),
    "core's strategy": (
        candidate("evil", "evil-core", ff_storage_temporal_strategies=lambda: [strategy("none")]),
        lambda registry: registry.strategy("none"),
    ),
}


@pytest.mark.parametrize("claim", sorted(STRANGERS))
def test_a91_a_claim_on_a_name_of_ours_is_refused_and_names_both(claim: str) -> None:
    stranger, ask = STRANGERS[claim]
    registry = with_strangers(stranger)
    for _ in range(2):
        with pytest.raises(PluginConflictError) as caught:
            ask(registry)
        assert stranger.distribution in str(caught.value)
        assert stranger.distribution.replace("evil", "ff-storage") in str(caught.value)


@pytest.mark.parametrize("claim", sorted(STRANGERS))
def test_a91_the_rest_works(claim: str) -> None:
    """A conflict about one name costs that name and no other."""
    stranger, _ = STRANGERS[claim]
    registry = with_strangers(stranger)
    if "core" in stranger.distribution:
        assert registry.dialect_for_scheme("sqlite").name == "sqlite"
        assert "sqlite" in registry.dialects()
    else:
        claimed = stranger.distribution.removeprefix("evil-")
        other = {"sqlite", "postgres"} - {claimed}
        assert registry.strategy("none").name == "none"
        assert "none" in registry.strategies()
        assert {"sqlite", "postgres"} & {*registry.dialects()} == other
        assert {registry.dialect_for_scheme(name).name for name in other} == other


def test_a91_two_strangers_that_quarrel_cost_us_nothing() -> None:
    registry = with_strangers(
        candidate("one", "one-dist", ff_storage_dialects=lambda: [dialect("stranger", "strange"), dialect("fine")]),
        candidate("two", "two-dist", ff_storage_dialects=lambda: [dialect("stranger", "strange")]),
    )
    assert registry.dialect_for_scheme("sqlite").name == "sqlite"
    assert registry.dialect_for_scheme("fine").name == "fine"
    assert registry.strategy("none").name == "none"
    with pytest.raises(PluginConflictError, match=r"'one-dist' and 'two-dist'"):
        registry.dialect_for_scheme("strange")


@pytest.mark.parametrize("claim", sorted(STRANGERS))
def test_a91_the_doctor_shows_it(claim: str) -> None:
    stranger, _ = STRANGERS[claim]
    text, well = report({}, with_strangers(stranger))
    assert not well
    assert stranger.distribution in text
    assert "claimed by both" in text
