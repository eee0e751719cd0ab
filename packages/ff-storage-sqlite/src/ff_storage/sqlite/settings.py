"""What a database is opened with: paths, URLs and modes, checked once for pools and synchronous databases."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import unquote

from ff_storage.core.errors import ConfigurationError
from ff_storage.sqlite.session import MEMORY, Settings

_JOURNAL_MODES: Final = frozenset({"WAL", "DELETE", "TRUNCATE", "PERSIST"})
_SYNCHRONOUS: Final = frozenset({"FULL", "EXTRA", "NORMAL", "OFF"})


def checked_settings(
    path: str | os.PathLike[str],
    *,
    busy_timeout: float,
    journal_mode: str,
    synchronous: str,
    readonly: bool,
    create: bool,
) -> Settings:
    """The settings that these arguments mean. Raises ConfigurationError."""
    name = _path(path)
    if name == MEMORY and readonly:
        raise ConfigurationError("a database in memory cannot be read-only: it would stay empty")
    if not busy_timeout >= 0:
        raise ConfigurationError("busy_timeout must not be negative", found=repr(busy_timeout))
    return Settings(
        path=name,
        busy_timeout=busy_timeout,
        journal_mode=_choice("journal_mode", journal_mode, _JOURNAL_MODES),
        synchronous=_choice("synchronous", synchronous, _SYNCHRONOUS),
        readonly=readonly,
        create=create,
    )


def path_of_url(url: str) -> str:
    """The path in `sqlite:///relative.db`, `sqlite:////absolute.db` or `sqlite://` (memory)."""
    scheme, _, place = url.partition("://")
    if scheme.lower() == "sqlite" and "://" in url:
        if place in ("", MEMORY, "/" + MEMORY):
            return MEMORY
        if place.startswith("/") and len(place) > 1 and not {"?", "#"} & {*place}:
            return unquote(place[1:])
    raise ConfigurationError(
        "a SQLite URL is expected",
        remedy="write sqlite:///relative.db, sqlite:////absolute.db or sqlite:// (memory), options as arguments",
    )


def _path(path: str | os.PathLike[str]) -> str:
    name = os.fspath(path)
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigurationError("the path of a database file is expected, or ':memory:'", found=ascii(name)[:100])
    if name.startswith("file:"):
        raise ConfigurationError("a path is expected, not a file: URI", remedy="pass readonly=… and create=…")
    return name


def _choice(name: str, value: Any, allowed: frozenset[str]) -> str:
    if isinstance(value, str) and value.upper() in allowed:
        return value.upper()
    raise ConfigurationError(f"{name} must be one of {', '.join(sorted(allowed))}", found=ascii(value)[:60])
