"""The dunder settings of a model class, read once and checked when the class is made.

Settings are inherited, except `__abstract__`, and `__table_name__` from a class that has a table of its own (two
classes never share one).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from ff_storage.core.errors import ConfigurationError, IdentifierError
from ff_storage.core.model.plurals import table_name
from ff_storage.core.tables import check_identifier

DEFAULTS: Final[Mapping[str, Any]] = {
    "__table_name__": None,
    "__schema__": "public",
    "__temporal_strategy__": "none",
    "__soft_delete__": True,
    "__multi_tenant__": True,
    "__tenant_field__": "tenant_id",
    "__db_type__": None,
    "__version_column__": None,
    "__abstract__": False,
}

_DUNDER: Final = re.compile(r"__[a-z0-9_]+__")
_OTHERS: Final = frozenset({*dir(type), *dir(BaseModel), "__version__"})
"""Names that mean something to Python, to Pydantic or to people, and are no settings of ours."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a class says about its table as a whole. `unusable` is why it has none, for messages; else empty."""

    table_name: str
    schema: str | None
    strategy: str
    soft_delete: bool
    multi_tenant: bool
    tenant_field: str
    version_column: str | None
    unusable: str = ""


def read_settings(
    name: str, bases: tuple[type[Any], ...], namespace: Mapping[str, Any], *, unusable: str = ""
) -> Settings:
    """The settings of the class `name` that is being made. Raises ConfigurationError, IdentifierError."""
    _check_spelling(name, namespace)
    found = {key: _lookup(key, bases, namespace) for key in DEFAULTS}
    for key in ("__soft_delete__", "__multi_tenant__", "__abstract__"):
        if not isinstance(found[key], bool):
            raise _wrong(name, key, "True or False", found[key])
    db_type = found["__db_type__"]
    if db_type is not None and type(db_type) is not str:
        raise _wrong(name, "__db_type__", "the name of an engine", db_type)
    version = found["__version_column__"]
    if version is not None:
        check_identifier(version, f"{name}.__version_column__")
    if found["__abstract__"]:
        unusable = "it is abstract"
    return Settings(
        _table_name(name, found["__table_name__"], usable=not unusable),
        _schema(name, found["__schema__"]),
        _strategy(name, found["__temporal_strategy__"]),
        found["__soft_delete__"],
        found["__multi_tenant__"],
        check_identifier(found["__tenant_field__"], f"{name}.__tenant_field__"),
        version,
        unusable,
    )


def _wrong(name: str, key: str, wanted: str, value: Any) -> ConfigurationError:
    return ConfigurationError(f"{name}.{key} must be {wanted}", found=ascii(value)[:100])


def _lookup(key: str, bases: tuple[type[Any], ...], namespace: Mapping[str, Any]) -> Any:
    if key in namespace:
        return namespace[key]
    if key == "__abstract__":
        return False
    for base in bases:
        for cls in base.__mro__:
            entity = cls.__dict__.get("__ff_entity__")
            if key == "__table_name__" and entity is not None and not entity.settings.unusable:
                break  # that name is taken
            if key in cls.__dict__:
                return cls.__dict__[key]
    return DEFAULTS[key]


def _check_spelling(name: str, namespace: Mapping[str, Any]) -> None:
    for key in namespace:
        if key in DEFAULTS or key in _OTHERS or not _DUNDER.fullmatch(key) or "pydantic" in key:
            continue
        close = difflib.get_close_matches(key.strip("_").replace("_", ""), _SQUASHED, n=1, cutoff=0.7)
        if close:
            raise ConfigurationError(f"{name} has no setting {key}", remedy=f"did you mean {_SQUASHED[close[0]]}?")


_SQUASHED: Final = {key.strip("_").replace("_", ""): key for key in DEFAULTS}


def _table_name(name: str, value: Any, *, usable: bool) -> str:
    if value is not None:
        return check_identifier(value, f"{name}.__table_name__")
    default = table_name(name)
    if not usable:
        return default
    try:
        return check_identifier(default, f"the default table name of {name}")
    except IdentifierError as error:
        error.remedy = "set __table_name__"
        raise


def _schema(name: str, value: Any) -> str | None:
    if value is None:
        return None
    checked = check_identifier(value, f"{name}.__schema__")
    return None if checked == "public" else checked


def _strategy(name: str, value: Any) -> str:
    if type(value) is not str:
        raise _wrong(name, "__temporal_strategy__", "the name of a strategy", value)
    if value != "none":
        # Known strategies are those that parts register; the common case asks nobody.
        from ff_storage.core.plugins import registry

        registry().strategy(value)
    return value
