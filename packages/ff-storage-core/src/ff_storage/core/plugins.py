"""The registry of plugins: who is installed, what each provides, and what to install for the rest.

The loader is our own, over pluggy's hooks, because pluggy's takes the first of two plugins with one name silently and
lets one broken plugin stop them all. Here two distributions that claim one name are both refused it, and named; a
plugin that cannot be loaded is kept aside, and reported when somebody asks for what it might provide (and by
`python -m ff_storage`). The rest works. Nothing is looked up before the first question.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import Distribution, entry_points
from typing import Final, NoReturn, Protocol, TypeVar

import pluggy

from ff_storage.core import hookspecs
from ff_storage.core.errors import (
    ConfigurationError,
    MissingDistributionError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    nearest,
)
from ff_storage.core.hookspecs import PROJECT, DialectSpec, StrategySpec

KNOWN_SCHEMES: Final[Mapping[str, str]] = {
    "mariadb": "ff-storage-mysql",
    "mssql": "ff-storage-mssql",
    "mysql": "ff-storage-mysql",
    "postgres": "ff-storage-postgres",
    "postgresql": "ff-storage-postgres",
    "sqlite": "ff-storage-sqlite",
    "sqlserver": "ff-storage-mssql",
}
"""Which of our distributions provides a database scheme."""

KNOWN_STRATEGIES: Final[Mapping[str, str]] = {
    "copy_on_change": "ff-storage-temporal",
    "scd2": "ff-storage-temporal",
}
"""Which of our distributions provides a temporal strategy."""

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that claims a `name`; `load` imports its module."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]

    def __str__(self) -> str:
        return f"plugin {self.name!r} of {self.distribution!r}"


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """What became of a candidate: the specs that it provides, or the `failure` that made it useless."""

    candidate: Candidate
    dialects: tuple[DialectSpec, ...] = ()
    strategies: tuple[StrategySpec, ...] = ()
    failure: Exception | SystemExit | None = None


class _Named(Protocol):
    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=_Named)


def _stated(distribution: Distribution | None, what: str) -> str:
    """What a distribution's metadata says; a damaged installation may not say it, and being asked then it warns."""
    return distribution.metadata[what] if distribution is not None and what in distribution.metadata else ""


def installed() -> list[Candidate]:
    """Core's own plugin, then those of the installed distributions."""
    own = Candidate("core", "ff-storage-core", "", lambda: import_module("ff_storage.core._plugin"))
    found: list[Candidate] = []
    for point in entry_points(group=PROJECT):
        name = _stated(point.dist, "Name") or "a distribution without a name"
        found.append(Candidate(point.name, name, _stated(point.dist, "Version"), point.load))
    return [own, *sorted(found, key=lambda candidate: (candidate.name, candidate.distribution))]


class PluginRegistry:
    """The plugins that `candidates` finds, loaded together at the first question and never again."""

    def __init__(self, candidates: Callable[[], Iterable[Candidate]] = installed) -> None:
        self._candidates = candidates

    @functools.cached_property
    def plugins(self) -> tuple[LoadedPlugin, ...]:
        """Every plugin, the broken ones included, in the order in which they were found.

        Plugins that claim one name are not even imported: one of them may be a stranger's.
        """
        candidates = [*self._candidates()]
        names = Counter(candidate.name for candidate in candidates)
        return tuple(_load(c) if names[c.name] == 1 else LoadedPlugin(c) for c in candidates)

    def conflicts(self) -> list[PluginConflictError]:
        """Every name that is claimed twice. It is refused to both, and the rest works."""
        plugins = [(plugin, plugin.candidate) for plugin in self.plugins]
        dialects = [(spec, candidate) for plugin, candidate in plugins for spec in plugin.dialects]
        strategies = [(spec, candidate) for plugin, candidate in plugins for spec in plugin.strategies]
        return [
            *_conflicts("plugin name", [(candidate.name, candidate) for _, candidate in plugins]),
            *_conflicts("dialect", [(spec.name, candidate) for spec, candidate in dialects]),
            *_conflicts("database scheme", [(s, candidate) for spec, candidate in dialects for s in spec.schemes]),
            *_conflicts("temporal strategy", [(spec.name, candidate) for spec, candidate in strategies]),
        ]

    @functools.cached_property
    def _contested(self) -> frozenset[tuple[str, str]]:
        return frozenset((conflict.details["kind"], conflict.details["name"]) for conflict in self.conflicts())

    def _claims(self, spec: DialectSpec) -> set[tuple[str, str]]:
        return {("dialect", spec.name), *(("database scheme", scheme) for scheme in spec.schemes)}

    @functools.cached_property
    def _dialects(self) -> dict[str, DialectSpec]:
        specs = [spec for plugin in self.plugins for spec in plugin.dialects]
        return {spec.name: spec for spec in specs if self._contested.isdisjoint(self._claims(spec))}

    @functools.cached_property
    def _strategies(self) -> dict[str, StrategySpec]:
        specs = [spec for plugin in self.plugins for spec in plugin.strategies]
        return {spec.name: spec for spec in specs if ("temporal strategy", spec.name) not in self._contested}

    def dialects(self) -> dict[str, DialectSpec]:
        """The database engines by name, but those whose name or scheme another plugin claims too."""
        return dict(self._dialects)

    def dialect_for_scheme(self, scheme: str) -> DialectSpec:
        """The engine behind a URL's scheme. Raises PluginConflictError for a contested one."""
        schemes = {scheme: spec for spec in self._dialects.values() for scheme in spec.schemes}
        if scheme in schemes:
            return schemes[scheme]
        refused = [spec for plugin in self.plugins for spec in plugin.dialects if scheme in spec.schemes]
        claims = {claim for spec in refused for claim in self._claims(spec)}
        return self._missing("database scheme", scheme, schemes, KNOWN_SCHEMES, claims)

    def strategies(self) -> dict[str, StrategySpec]:
        """The temporal strategies by name, core's `none` among them, but those that two plugins claim."""
        return dict(self._strategies)

    def strategy(self, name: str) -> StrategySpec:
        """The temporal strategy of that name. Raises PluginConflictError for a contested one."""
        found = self._strategies.get(name)
        if found is not None:
            return found
        kind = "temporal strategy"
        return self._missing(kind, name, self._strategies, KNOWN_STRATEGIES, {(kind, name)})

    def _check_conflicts(self, claims: Collection[tuple[str, str]], provider: str | None) -> None:
        """Raise the conflict that keeps one of `claims` away, or a plugin that may provide it."""
        for conflict in self.conflicts():
            kind, name = conflict.details["kind"], conflict.details["name"]
            unseen = kind == "plugin name" and (provider is None or provider in conflict.details["distributions"])
            if unseen or (kind, name) in claims:
                raise conflict

    def _missing(
        self,
        kind: str,
        name: str,
        present: Mapping[str, object],
        known: Mapping[str, str],
        claims: Collection[tuple[str, str]],
    ) -> NoReturn:
        """Raise what explains best why `name` is not there: a conflict, a broken plugin, a missing or wrong name."""
        provider = known.get(name)
        self._check_conflicts(claims, provider)
        broken = [p for p in self.plugins if p.failure and provider in (None, p.candidate.distribution)]
        if broken:
            raise PluginLoadError(
                f"no working plugin provides the {kind} {name!r}",
                found="; ".join(f"{p.candidate} failed with {type(p.failure).__name__}: {p.failure}" for p in broken),
                remedy="mend or uninstall it; python -m ff_storage lists all plugins",
            ) from broken[0].failure
        if provider is None:
            remedy = nearest(name, {*present, *known})
            raise ConfigurationError(f"there is no {kind} {name!r}", remedy=remedy, details={"installed": [*present]})
        version = next((p.candidate.version for p in self.plugins if p.candidate.distribution == provider), None)
        raise MissingDistributionError(
            f"the {kind} {name!r} is provided by {provider!r}",
            found="which is not installed" if version is None else f"whose installed version {version} lacks it",
            remedy=f"run: pip install {'--upgrade ' if version else ''}{provider}"
            f" (installed: {', '.join(sorted(present)) or 'none'})",
        )


def _load(candidate: Candidate) -> LoadedPlugin:
    """Import a plugin and ask it for all that it provides; whatever goes wrong stays with this plugin."""
    try:
        # A manager of its own for each plugin, so that pluggy's checks name it and cannot stop another.
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(candidate.load(), candidate.name)
        manager.check_pending()
        return LoadedPlugin(
            candidate,
            _collect(candidate, DialectSpec, manager.hook.ff_storage_dialects()),
            _collect(candidate, StrategySpec, manager.hook.ff_storage_temporal_strategies()),
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything, or end as scripts do
        return LoadedPlugin(candidate, failure=error)


def _collect(candidate: Candidate, kind: type[S], results: Iterable[Iterable[S]]) -> tuple[S, ...]:
    specs = tuple(spec for result in results for spec in result)
    for spec in specs:
        if not isinstance(spec, kind):
            raise PluginError(f"{candidate} must return {kind.__name__} objects", found=repr(spec))
        if not isinstance(spec.name, str) or not _schemes_fit(spec):
            raise PluginError(
                f"{candidate} names something that nobody can ask for",
                found=repr(spec),
                remedy="a name is a str, and schemes a tuple of those in lower case, without ://",
            )
    return specs


def _schemes_fit(spec: object) -> bool:
    if not isinstance(spec, DialectSpec):
        return True
    return isinstance(spec.schemes, tuple) and all(isinstance(s, str) and _SCHEME.fullmatch(s) for s in spec.schemes)


def _conflicts(kind: str, claims: Iterable[tuple[str, Candidate]]) -> list[PluginConflictError]:
    holders: dict[str, str] = {}
    conflicts: list[PluginConflictError] = []
    for name, candidate in claims:
        if name in holders:
            conflicts.append(
                PluginConflictError(
                    f"the {kind} {name!r} is claimed by both {holders[name]!r} and {candidate.distribution!r}",
                    remedy="uninstall one of them",
                    details={"kind": kind, "name": name, "distributions": [holders[name], candidate.distribution]},
                )
            )
        else:
            holders[name] = candidate.distribution
    return conflicts


@functools.cache
def registry() -> PluginRegistry:
    """The registry of this process."""
    return PluginRegistry()
