"""Settings from environment variables, as twelve-factor services have them.

An empty variable counts as none: that is what a compose file makes of one that is not set. An error names the variable
and shows its value, unless it is the password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ff_storage.core.errors import ConfigurationError

PLACE: Final = {"HOST": "host", "PORT": "port", "NAME": "dbname", "USER": "user", "PASSWORD": "password"}
"""Where the database is: variables without their prefix, and the keyword arguments that they become."""

_WHOLE: Final = frozenset({"port", "min_size", "max_size", "max_waiting"})

_NEVER_NONE: Final = frozenset({"port", "min_size", "max_size"})


def read(environment: Mapping[str, str], prefix: str, limits: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arguments that the variables give, and which variable gave each: those of the place, and of `limits`.

    A limit is `DB_MAX_SIZE` and so on; that one is also `DB_POOL_SIZE`.
    """
    names = PLACE | {limit.upper(): limit for limit in limits} | {"POOL_SIZE": "max_size"}
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for suffix, name in names.items():
        variable = prefix + suffix
        text = environment.get(variable, "")
        if not text:
            continue
        if name in found:
            raise ConfigurationError(
                f"{origin[name]} and {variable} are one limit under two names", remedy="set one of them"
            )
        found[name], origin[name] = _value(variable, name, text), variable
    return found, origin


def _value(variable: str, name: str, text: str) -> Any:
    if name == "password":
        from pydantic import SecretStr

        return SecretStr(text)
    if name in PLACE.values() and name != "port":
        return text
    text = text.strip()
    if text.lower() == "none" and name not in _NEVER_NONE:
        return None
    whole = name in _WHOLE
    if re.fullmatch(r"[+-]?[0-9]+" if whole else r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", text) is None:
        raise ConfigurationError(
            f"{variable} must be a {'whole number' if whole else 'number of seconds'}",
            found=ascii(text)[:60],
            remedy="" if name in _NEVER_NONE else "write none for no limit",
        )
    return int(text) if whole else float(text)
