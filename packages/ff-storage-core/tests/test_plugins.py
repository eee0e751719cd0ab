from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core.errors import (
    ConfigurationError,
    MissingDistributionError,
    PluginConflictError,
    PluginLoadError,
)
from ff_storage.core.hookspecs import DialectSpec, StrategySpec, hookimpl
from ff_storage.core.plugins import (
    KNOWN_SCHEMES,
    KNOWN_STRATEGIES,
    Candidate,
    PluginRegistry,
    installed,
    registry,
)


def dialect(name: str, *schemes: str) -> DialectSpec:
    return DialectSpec(name, schemes or (name,), load=_never, open_pool=_never)


def _never(*_args: object, **_options: object) -> Any:
    raise AssertionError("a spec was loaded by a question about names")


def plugin(**hooks: Callable[[], object]) -> object:
    module = types.ModuleType("a_plugin")
    for name, function in hooks.items():
        function.__name__ = name
        setattr(module, name, hookimpl(function))
    return module


def dialects(*specs: object) -> object:
    return plugin(ff_storage_dialects=lambda: specs)


def candidate(name: str, module: object, distribution: str | None = None, version: str = "1.0") -> Candidate:
    def load() -> object:
        if isinstance(module, BaseException):
            raise module
        return module

    return Candidate(name, distribution or f"{name}-dist", version, load)


def registry_of(*candidates: Candidate) -> PluginRegistry:
    return PluginRegistry(lambda: candidates)


def test_finds_what_plugins_provide() -> None:
    one = dialect("one", "one", "uno")
    strategy = StrategySpec("audit", load=_never)
    both = plugin(ff_storage_dialects=lambda: [one], ff_storage_temporal_strategies=lambda: [strategy])
    found = registry_of(candidate("first", both), candidate("empty", types.ModuleType("empty")))

    assert found.dialects() == {"one": one}
    assert found.dialect_for_scheme("uno") is one
    assert found.strategies() == {"audit": strategy}
    assert found.strategy("audit") is strategy
    assert [p.candidate.name for p in found.plugins] == ["first", "empty"]


def test_looks_for_plugins_at_the_first_question_and_only_then() -> None:
    calls: list[str] = []

    def find() -> Iterable[Candidate]:
        calls.append("find")
        yield Candidate("a", "a-dist", "1", lambda: calls.append("load") or types.ModuleType("a"))

    lazy = PluginRegistry(find)
    assert calls == []
    assert lazy.dialects() == {}
    lazy.strategies()
    assert calls == ["find", "load"]


def test_two_plugins_of_one_name_are_refused_before_either_is_imported() -> None:
    found = registry_of(
        candidate("postgres", AssertionError("imported"), "evil-pg"),
        candidate("postgres", AssertionError("imported"), "ff-storage-postgres"),
    )
    for _ in range(2):
        with pytest.raises(PluginConflictError, match=r"'postgres'.*'evil-pg' and 'ff-storage-postgres'"):
            found.dialect_for_scheme("postgresql")
    # Whoever it was, it may have provided this; but another provider is known for that.
    with pytest.raises(PluginConflictError):
        found.strategy("none")
    with pytest.raises(MissingDistributionError):
        found.dialect_for_scheme("mysql")
    assert found.dialects() == {}
    assert [p.failure for p in found.plugins] == [None, None]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (dialects(dialect("a", "x")), dialects(dialect("a", "y")), r"dialect 'a'.*'one-dist' and 'two-dist'"),
        (dialects(dialect("a", "x")), dialects(dialect("b", "x")), r"database scheme 'x'.*'one-dist' and 'two-dist'"),
        (
            plugin(ff_storage_temporal_strategies=lambda: [StrategySpec("s", _never)]),
            plugin(ff_storage_temporal_strategies=lambda: [StrategySpec("s", _never)]),
            r"temporal strategy 's'.*'one-dist' and 'two-dist'",
        ),
        (dialects(dialect("a", "x"), dialect("b", "x")), dialects(), r"scheme 'x'.*'one-dist' and 'one-dist'"),
    ],
)
def test_two_claims_on_one_name_are_refused(first: object, second: object, message: str) -> None:
    found = registry_of(
        candidate("one", first), candidate("two", second), candidate("three", dialects(dialect("fine")))
    )
    for _ in range(2):
        with pytest.raises(PluginConflictError, match=message):
            _ = found.strategy("s") if "strategy" in message else found.dialect_for_scheme("x")
    assert [*found.dialects()] == ["fine"]
    assert found.strategies() == {}
    assert found.dialect_for_scheme("fine").name == "fine"


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (ModuleNotFoundError("No module named 'libfoo'"), "No module named 'libfoo'"),
        (plugin(ff_storage_dialect=lambda: ()), "unknown hook 'ff_storage_dialect'"),
        (plugin(ff_storage_dialects=lambda surprise: []), "surprise"),
        (dialects("not a spec"), "must return DialectSpec objects"),
        (plugin(ff_storage_dialects=lambda: 3), "not iterable"),
        (SystemExit(3), "SystemExit: 3"),
        (dialects(DialectSpec("a", "good", load=_never, open_pool=_never)), "a tuple of those"),  # type: ignore[arg-type]
        (dialects(dialect("a", "Good")), "in lower case"),
        (dialects(dialect("a", "good://")), "without ://"),
        (dialects(dialect(["a"], "a")), "a name is a str"),  # type: ignore[arg-type]
        (dialects(dialect("a", ["b"])), "names something"),  # type: ignore[arg-type]
    ],
)
def test_a_broken_plugin_is_reported_only_to_who_asks_for_what_it_might_provide(module: Any, reason: str) -> None:
    found = registry_of(candidate("good", dialects(dialect("good"))), candidate("bad", module))

    assert found.dialect_for_scheme("good").name == "good"
    assert list(found.dialects()) == ["good"]
    assert found.strategies() == {}
    with pytest.raises(PluginLoadError, match=rf"(?s)'unheard-of'.*'bad' of 'bad-dist'.*{reason}") as caught:
        found.dialect_for_scheme("unheard-of")
    assert caught.value.__cause__ is found.plugins[1].failure
    # The provider of this one is known, and it is not the broken plugin.
    with pytest.raises(MissingDistributionError, match="pip install ff-storage-postgres"):
        found.dialect_for_scheme("postgresql")


def test_a_broken_part_of_ours_is_not_called_missing() -> None:
    found = registry_of(candidate("postgres", ImportError("no libpq"), "ff-storage-postgres"))
    with pytest.raises(PluginLoadError, match="no libpq"):
        found.dialect_for_scheme("postgresql")


@pytest.mark.parametrize(("scheme", "distribution"), KNOWN_SCHEMES.items())
def test_a_missing_dialect_names_what_to_install(scheme: str, distribution: str) -> None:
    found = registry_of(candidate("a", dialects(dialect("a"))))
    with pytest.raises(
        MissingDistributionError, match=rf"'{scheme}'.*not installed.*pip install {distribution} \(installed: a\)"
    ) as caught:
        found.dialect_for_scheme(scheme)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize(("name", "distribution"), KNOWN_STRATEGIES.items())
def test_a_missing_strategy_names_what_to_install(name: str, distribution: str) -> None:
    with pytest.raises(MissingDistributionError, match=rf"'{name}'.*not installed.*pip install {distribution}"):
        registry_of().strategy(name)


def test_an_installed_part_that_lacks_the_name_is_not_called_missing() -> None:
    found = registry_of(candidate("temporal", types.ModuleType("empty"), "ff-storage-temporal", "7.0.0"))
    with pytest.raises(MissingDistributionError, match=r"installed version 7\.0\.0 lacks it.*--upgrade"):
        found.strategy("scd2")


def test_a_name_that_nobody_knows_gets_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'scd2'"):
        registry_of().strategy("scd3")
    with pytest.raises(ConfigurationError, match="did you mean 'postgresql'"):
        registry_of().dialect_for_scheme("postgresqll")


def test_core_registers_none_as_a_plugin_does() -> None:
    own = installed()[0]
    assert (own.name, own.distribution) == ("core", "ff-storage-core")
    assert list(PluginRegistry(lambda: [own]).strategies()) == ["none"]


def test_a_distribution_without_metadata_is_one_more_broken_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged-1.dist-info"
    damaged.mkdir()
    (damaged / "METADATA").write_text("")
    named = tmp_path / "named-1.dist-info"
    named.mkdir()
    (named / "METADATA").write_text("Name: named\nVersion: 1\n")
    for folder in (damaged, named):
        (folder / "entry_points.txt").write_text("[ff_storage]\ntwice = nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginConflictError, match=r"'twice'.*without a name' and 'named'"):
        PluginRegistry().dialect_for_scheme("nowhere")
    assert "none" in PluginRegistry().strategies()


def test_the_registry_of_the_process_is_one() -> None:
    assert registry() is registry()
    assert registry().strategy("none").name == "none"
