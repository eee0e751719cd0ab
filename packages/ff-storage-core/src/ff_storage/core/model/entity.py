"""The entity of a model class: what the layers below know of it, and where its table is described and resolved."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import PydanticUndefinedAnnotation

from ff_storage.core.errors import ConfigurationError, UnknownFieldError
from ff_storage.core.model.describe import Blueprint, describe
from ff_storage.core.model.references import resolve_foreign_keys, target_of
from ff_storage.core.model.registry import Registry, sees
from ff_storage.core.model.relations import resolve_relationship
from ff_storage.core.sql.expressions import ColumnRef
from ff_storage.core.tables import ForeignKey, Table, check_identifier

if TYPE_CHECKING:
    from ff_storage.core.model.relationship import Relation, RelationshipConfig
    from ff_storage.core.model.settings import Settings


class ModelEntity:
    """One for each model class, as its `__ff_entity__`; it is `sql.expressions.Entity`.

    `relations` are the declared relationships by name; `own_relations` those that a base with a table does not have.
    `checked` is a cache of query builders: the shapes whose names were all found here.
    """

    __slots__ = (
        "__weakref__",
        "_blueprint",
        "_columns",
        "_referenced_by",
        "_relationships",
        "_table",
        "checked",
        "model",
        "module",
        "own_relations",
        "qualname",
        "registry",
        "relations",
        "scope",
        "settings",
    )

    def __init__(
        self,
        model: type[Any],
        registry: Registry,
        settings: Settings,
        relations: Mapping[str, Relation],
        own_relations: frozenset[str],
    ) -> None:
        self.model = model
        self.registry = registry
        self.settings = settings
        self.relations = relations
        self.own_relations = own_relations
        self.module = model.__module__
        self.qualname = model.__qualname__
        # "f.<locals>" for a class that a function makes, empty for others.
        before, local, _ = self.qualname.rpartition("<locals>")
        self.scope = before + local
        self.checked: set[Hashable] = set()
        self._blueprint: Blueprint | None = None
        self._table: Table | None = None
        self._columns: dict[str, ColumnRef] = {}
        self._relationships: dict[str, RelationshipConfig] = {}
        self._referenced_by: tuple[int, tuple[tuple[ModelEntity, ForeignKey], ...]] = (-1, ())

    def __repr__(self) -> str:
        return f"<entity of {self.module}.{self.qualname}>"

    @property
    def name(self) -> str:
        """The class's name, for messages."""
        return self.model.__name__

    @property
    def blueprint(self) -> Blueprint:
        """The table without its foreign keys. Raises ConfigurationError for a class that has none."""
        if self._blueprint is None:
            if self.settings.unusable:
                raise ConfigurationError(
                    f"{self.name} has no table", found=self.settings.unusable, remedy="use a class derived from it"
                )
            self._complete()
            self._blueprint = describe(self.model, self.settings)
        return self._blueprint

    @property
    def complete(self) -> bool:
        """Whether every annotation of the class could be evaluated."""
        return all(field._complete for field in self.model.__pydantic_fields__.values())

    def _complete(self) -> None:
        """Have Pydantic look again for names that were not defined when the class was made."""
        if self.complete:
            return
        try:
            self.model.model_rebuild(_parent_namespace_depth=0)
        except PydanticUndefinedAnnotation as error:
            raise ConfigurationError(
                f"an annotation of {self.name} names {error.name!r}, which is not defined",
                remedy=f"define it, or call {self.name}.model_rebuild() where it is",
            ) from error

    @property
    def table(self) -> Table:
        """The table with its foreign keys. Raises ConfigurationError when one of them references nothing."""
        if self._table is None:
            self._table = resolve_foreign_keys(self)
        return self._table

    def column(self, attribute: str) -> ColumnRef:
        """The one `ColumnRef` of a field. Raises UnknownFieldError with the nearest match, or IdentifierError."""
        ref = self._columns.get(attribute)
        if ref is None:
            known = self.blueprint.table.by_attribute
            if attribute not in known:
                check_identifier(attribute, f"a field of {self.name}")
                raise UnknownFieldError.of(attribute, self.name, known)
            ref = self._columns[attribute] = ColumnRef(self, known[attribute])
        return ref

    def relationship(self, name: str) -> RelationshipConfig:
        """The resolved relationship. Raises ConfigurationError when its other side is not there."""
        found = self._relationships.get(name)
        if found is None:
            if name not in self.relations:
                raise UnknownFieldError.of(name, self.name, self.relations)
            found = self._relationships[name] = resolve_relationship(self, self.relations[name])
        return found

    def resolve(self) -> None:
        """Resolve the foreign keys and the class's own relationships now. Raises ConfigurationError."""
        _ = self.table
        for name in sorted(self.own_relations):
            self.relationship(name)

    @property
    def resolved_table(self) -> Table | None:
        """The table, if it was resolved already."""
        return self._table

    def may_reference(self, target: ModelEntity) -> bool:
        """Whether a foreign key of this class can be one to `target`, judged by names alone: none is resolved."""
        table = target.settings.table_name.lower()
        for reference in self.blueprint.references:
            named = reference.target
            if named is target.model or (isinstance(named, str) and table in named.lower() and sees(self, target)):
                return True
        for relation in self.relations.values():
            model = relation.target.model
            if model is target.model or (
                isinstance(model, str) and model.rpartition(".")[2] == target.name and sees(self, target)
            ):
                return True
        return False

    def target_of(self, key: ForeignKey) -> ModelEntity | None:
        """The class that one of this table's foreign keys references."""
        return target_of(self, key)

    def referenced_by(self) -> tuple[tuple[ModelEntity, ForeignKey], ...]:
        """Every foreign key to this table, with the class that has it."""
        generation, found = self._referenced_by
        if generation != self.registry.generation:
            generation = self.registry.generation
            found = self.registry.find_referencing(self)
            self._referenced_by = (generation, found)
        return found

    def forget_resolved(self) -> None:
        """Resolve again at the next use: a class that this one may name was replaced."""
        if self.blueprint_known and (self.blueprint.references or self.own_relations):
            self._table = None
            self._relationships.clear()

    @property
    def blueprint_known(self) -> bool:
        """Whether the class was described already."""
        return self._blueprint is not None
