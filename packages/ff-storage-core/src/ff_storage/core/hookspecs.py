"""The hooks by which a part, or a third party's plugin, gives something to core.

A plugin is a module named by an entry point in the group `ff_storage`; the entry point's name is the plugin's. It
implements hooks with `@hookimpl`, and each hook *returns* specs: frozen descriptions whose classes are imported when
they are asked for. So all plugins can be listed without importing one driver. The module should import nothing but this
one at its top, and its package's `__init__` should be as light.

    # ff_storage/sqlite/_plugin.py
    @hookimpl
    def ff_storage_dialects() -> Iterable[DialectSpec]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    from ff_storage.core.history import TemporalStrategy
    from ff_storage.core.sql.dialect import Dialect

PROJECT: Final = "ff_storage"
"""The entry-point group, and pluggy's project name."""

hookspec: Final[pluggy.HookspecMarker] = pluggy.HookspecMarker(PROJECT)
hookimpl: Final[pluggy.HookimplMarker] = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class DialectSpec:
    """A database engine: its `name`, the URL `schemes` it answers to, and where its code is.

    `load` returns the dialect's class; `open_pool(url, **options)` the pool, not yet connected. Both import late.
    """

    name: str
    schemes: tuple[str, ...]
    load: Callable[[], type[Dialect]]
    open_pool: Callable[..., object]


@dataclass(frozen=True, slots=True)
class StrategySpec:
    """A way to keep history, by the `name` that a model's `__temporal_strategy__` gives; `load` imports late."""

    name: str
    load: Callable[[], type[TemporalStrategy]]


@hookspec
def ff_storage_dialects() -> Iterable[DialectSpec]:  # type: ignore[empty-body]
    """The database engines that the plugin knows."""


@hookspec
def ff_storage_temporal_strategies() -> Iterable[StrategySpec]:  # type: ignore[empty-body]
    """The temporal strategies that the plugin knows."""
