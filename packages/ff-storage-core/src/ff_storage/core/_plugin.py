"""Core's own plugin: the temporal strategy that every installation has, registered as any other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ff_storage.core.hookspecs import StrategySpec, hookimpl

if TYPE_CHECKING:
    from ff_storage.core.history import TemporalStrategy


@hookimpl
def ff_storage_temporal_strategies() -> Iterable[StrategySpec]:
    """`none`: a row is updated in place."""
    return [StrategySpec("none", _none)]


def _none() -> type[TemporalStrategy]:
    from ff_storage.core.history.none import NoHistory

    return NoHistory
