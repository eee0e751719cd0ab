"""The registry: which classes there are, and what a name in one of them means.

A class is known by its module and qualified name; defining it again replaces it (notebooks, reload). Two different
classes on one table are an error, with one rule for classes made inside functions (tests, factories): they are seen
only from that function and those within it, and hide an outer class of the same table or name there. So the table of a
test's own model never meets another test's. The registry holds its classes weakly: a class that nobody holds is gone.

`scoped()` gives a block of code a registry of its own.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ff_storage.core.errors import ConfigurationError, nearest
from ff_storage.core.tables import ForeignKey, Table

if TYPE_CHECKING:
    from ff_storage.core.model.entity import ModelEntity


class Registry:
    """The entities of model classes, found by class name and by table."""

    def __init__(self) -> None:
        self._entities: dict[tuple[str, str], weakref.ref[ModelEntity]] = {}
        self._lock = threading.RLock()
        self.generation = 0
        """Counts the classes that were added, for what is derived from all of them."""

    def add(self, entity: ModelEntity) -> None:
        """Register a class, in the place of one with its module and qualified name.

        Raises ConfigurationError when another class has its table.
        """
        key = (entity.module, entity.qualname)
        with self._lock:
            rival = self._rival(entity)
            if rival is not None:
                # Perhaps nobody holds that one any more: classes are cycles, which only the collector frees.
                del rival
                gc.collect()
                rival = self._rival(entity)
            if rival is not None:
                raise ConfigurationError(
                    f"{entity.name} and {rival.module}.{rival.qualname} are both on the table"
                    f" {entity.settings.table_name!r}",
                    remedy="give one of them another __table_name__, or make the base of both abstract",
                )
            replaced = key in self._entities
            self._entities[key] = weakref.ref(entity)
            self.generation += 1
            if replaced:
                for each in self.entities():
                    each.forget_resolved()

    def _rival(self, entity: ModelEntity) -> ModelEntity | None:
        if entity.settings.unusable:
            return None
        place = (entity.settings.schema, entity.settings.table_name.lower())
        for each in self.entities():
            if (
                (each.settings.schema, each.settings.table_name.lower()) == place
                and each.scope == entity.scope
                and (not each.scope or each.module == entity.module)
                and (each.module, each.qualname) != (entity.module, entity.qualname)
            ):
                return each
        return None

    def entities(self) -> list[ModelEntity]:
        """The entities of living classes that have tables."""
        found = [reference() for reference in list(self._entities.values())]
        return [each for each in found if each is not None and not each.settings.unusable]

    def by_table(self, name: str, schema: str | None, viewer: ModelEntity) -> ModelEntity | None:
        """The class on a table, as seen from `viewer`."""
        found = [
            each
            for each in self.entities()
            if each.settings.table_name.lower() == name.lower()
            and each.settings.schema == schema
            and sees(viewer, each)
        ]
        return max(found, key=lambda each: _nearness(viewer, each), default=None)

    def by_name(self, name: str, viewer: ModelEntity) -> ModelEntity:
        """The class of a name, as seen from `viewer`; `module.Class` tells apart what is equal.

        Raises ConfigurationError when there is none, or several as near.
        """
        seen = [each for each in self.entities() if sees(viewer, each)]
        found = [each for each in seen if name in _names(each)]
        if not found:
            raise ConfigurationError(
                f"{viewer.name} names a model {name!r}, and there is none",
                remedy=nearest(name, {each.name for each in seen}),
            )
        near = max(_nearness(viewer, each) for each in found)
        best = [each for each in found if _nearness(viewer, each) == near]
        if len(best) > 1:
            raise ConfigurationError(
                f"{viewer.name} names a model {name!r}, and there are {len(best)}",
                found=", ".join(sorted(f"{each.module}.{each.qualname}" for each in best)),
                remedy="write one of these full names",
            )
        return best[0]

    def resolve(self, *models: type[Any]) -> None:
        """Resolve the foreign keys and relationships of `models`, or of every class. Raises ConfigurationError."""
        _resolve([model.__ff_entity__ for model in models] or self.entities())

    def referencing(self, table: Table) -> tuple[tuple[ModelEntity, ForeignKey], ...]:
        """Every foreign key to `table`, with the class that has it; their order is that of the classes' definition.

        Raises ConfigurationError when one that may be such a key cannot be resolved.
        """
        owner = next((each for each in self.entities() if each.resolved_table is table), None)
        return () if owner is None else owner.referenced_by()

    def find_referencing(self, target: ModelEntity) -> tuple[tuple[ModelEntity, ForeignKey], ...]:
        """`referencing`, for the class on the table and looked up anew."""
        return tuple(
            (each, key)
            for each in self.entities()
            if each.may_reference(target)
            for key in each.table.foreign_keys
            if each.target_of(key) is target
        )


def sees(viewer: ModelEntity, other: ModelEntity) -> bool:
    """Whether `other` is outside functions, or made in a function that `viewer` is made in too."""
    return not other.scope or (other.module == viewer.module and f"{viewer.scope}.".startswith(f"{other.scope}."))


def _nearness(viewer: ModelEntity, other: ModelEntity) -> tuple[int, bool]:
    return len(other.scope), other.module == viewer.module


def _names(entity: ModelEntity) -> set[str]:
    local = entity.qualname.removeprefix(f"{entity.scope}.") if entity.scope else entity.qualname
    return {entity.name, local, entity.qualname, f"{entity.module}.{entity.qualname}", f"{entity.module}.{local}"}


_default = Registry()
_current: ContextVar[Registry] = ContextVar("ff_storage_registry", default=_default)

current = _current.get
"""The registry in which classes are made now."""


@contextlib.contextmanager
def scoped() -> Generator[Registry]:
    """A new, empty registry for the classes that are made inside the block; they know only each other."""
    registry = Registry()
    token = _current.set(registry)
    try:
        yield registry
    finally:
        _current.reset(token)


def resolve(*models: type[Any]) -> None:
    """Resolve the foreign keys and relationships of `models`, or of every class of the current registry.

    Raises ConfigurationError for the first that names something which is not there.
    """
    current().resolve(*models)


def _resolve(entities: list[ModelEntity]) -> None:
    # Engines differ in whether names of indexes and constraints belong to a table or a schema, so they must differ.
    owners: dict[tuple[str | None, str], ModelEntity] = {}
    for entity in entities:
        entity.resolve()
        table = entity.table
        for each in (*table.indexes, *table.foreign_keys, *table.checks):
            owner = owners.setdefault((table.schema, each.name.lower()), entity)
            if owner is not entity:
                raise ConfigurationError(
                    f"{owner.name} and {entity.name} both have an index or constraint named {each.name!r}",
                    remedy="give one of them another db_index_name or __table_name__",
                )
