"""The part's plugin loads."""

from ff_storage.core.plugins import registry


def test_the_plugin_loads() -> None:
    (plugin,) = [found for found in registry().plugins if found.candidate.name == "schema"]
    assert plugin.candidate.distribution == "ff-storage-schema"
    assert plugin.failure is None
