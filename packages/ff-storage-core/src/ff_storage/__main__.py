"""`python -m ff_storage`: what is installed, what each plugin registers, what is wrong (then it exits with 1)."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import distributions

from ff_storage.core.plugins import LoadedPlugin, PluginRegistry, registry

CORE = "ff-storage-core"


def installed() -> dict[str, str]:
    """Our distributions and their versions; of two that stand on `sys.path`, the first, which is imported."""
    found: dict[str, str] = {}
    for distribution in distributions():
        found.setdefault((distribution.name or "").lower().replace("_", "-"), distribution.version)
    return {name: found[name] for name in sorted(found) if name == "ff-storage" or name.startswith("ff-storage-")}


def provides(plugin: LoadedPlugin) -> str:
    """What a plugin registers, in a line."""
    lines = [
        f"dialect {spec.name} ({', '.join(f'{scheme}://' for scheme in spec.schemes)})" for spec in plugin.dialects
    ]
    lines += [f"temporal strategy {spec.name}" for spec in plugin.strategies]
    return "; ".join(lines) or "registers nothing"


def problems(versions: dict[str, str], plugins: PluginRegistry) -> Iterator[str]:
    """What is wrong, each with its reason."""
    for conflict in plugins.conflicts():
        yield str(conflict)
    for plugin in plugins.plugins:
        if plugin.failure is not None:
            reason = " ".join("".join(c if c.isprintable() else " " for c in str(plugin.failure)).split())
            yield f"{plugin.candidate} is broken: {type(plugin.failure).__name__}: {reason}"
    core = versions.get(CORE)
    for name, version in versions.items():
        if core is not None and version != core:
            yield f"{name} {version} does not fit {CORE} {core}; install the same version of both"


def report(versions: dict[str, str], plugins: PluginRegistry) -> tuple[str, bool]:
    """The text, and whether all is well."""
    lines = [f"ff-storage on Python {platform.python_version()}", "", "Distributions"]
    width = max(map(len, versions), default=0)
    lines += [f"  {name:{width}}  {version}" for name, version in versions.items()] or ["  none"]
    lines += ["", "Plugins"]
    width = max((len(plugin.candidate.name) for plugin in plugins.plugins), default=0)
    origins = [f"{p.candidate.distribution} {p.candidate.version}".strip() for p in plugins.plugins]
    origin_width = max(map(len, origins), default=0)
    names = [plugin.candidate.name for plugin in plugins.plugins]
    for plugin, origin in zip(plugins.plugins, origins, strict=True):
        candidate = plugin.candidate
        refused = "REFUSED" if names.count(candidate.name) > 1 else ""
        what = refused or ("BROKEN" if plugin.failure is not None else provides(plugin))
        lines.append(f"  {candidate.name:{width}}  {origin:{origin_width}}  {what}")
    found = list(problems(versions, plugins))
    lines += ["", "Problems" if found else "No problems"]
    lines += [f"  {problem}" for problem in found]
    return "\n".join(lines), not found


def main() -> int:
    """Print the report."""
    text, well = report(installed(), registry())
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
