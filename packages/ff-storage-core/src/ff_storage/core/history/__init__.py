"""How rows change: the temporal strategies' protocol, and `none`, which keeps no history."""

from ff_storage.core.history.strategy import Guard, TemporalStrategy, Write

__all__ = ["Guard", "TemporalStrategy", "Write"]
