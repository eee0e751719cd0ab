"""The part's plugin loads, and registers nothing in this release."""

from ff_storage.core.plugins import registry


def test_the_plugin_loads_and_registers_nothing() -> None:
    (plugin,) = [found for found in registry().plugins if found.candidate.name == "erd"]
    assert plugin.candidate.distribution == "ff-storage-erd"
    assert plugin.failure is None
    assert (plugin.dialects, plugin.strategies) == ((), ())
