"""Relationships resolved: which class is on the other side, and which columns join the two.

Tenants join too, so that a related row is always one of the same tenant, whatever the scope.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ff_storage.core.errors import ConfigurationError, nearest
from ff_storage.core.model.plurals import snake_case
from ff_storage.core.model.references import reference_field, relation_target
from ff_storage.core.model.relationship import LinkConfig, Relation, RelationshipConfig, RelationType

if TYPE_CHECKING:
    from ff_storage.core.model.entity import ModelEntity

Pairs = tuple[tuple[str, str], ...]


def resolve_relationship(entity: ModelEntity, relation: Relation) -> RelationshipConfig:
    """The relationship with its other side and its join. Raises ConfigurationError."""
    declaration = relation.declaration
    target = relation_target(entity, relation.name)
    what = f"{entity.name}.{relation.name}"
    _check_back(entity, relation, target, what)
    if declaration.order_by is not None:
        field = declaration.order_by.removeprefix("-")
        known = target.blueprint.table.by_attribute
        if field not in known:
            raise ConfigurationError(
                f"{what} orders by {field!r}, no field of {target.name}", remedy=nearest(field, known)
            )
    link: LinkConfig | None = None
    join: Pairs = ()
    if declaration.link_model is not None:
        kind, link = RelationType.MANY_TO_MANY, _link(entity, relation, target, what)
    else:
        kind, join = _join(entity, relation, target, what)
    return RelationshipConfig(
        relation.name,
        entity,
        target,
        kind,
        join,
        link,
        declaration.back_populates,
        declaration.lazy,
        declaration.order_by,
    )


def _check_back(entity: ModelEntity, relation: Relation, target: ModelEntity, what: str) -> None:
    back = relation.declaration.back_populates
    if back is None:
        return
    other = target.relations.get(back)
    if other is None:
        raise ConfigurationError(
            f"{what} back-populates {target.name}.{back}, which is no relationship",
            remedy=nearest(back, target.relations),
        )
    if other.declaration.back_populates != relation.name or not _same_family(relation_target(target, back), entity):
        raise ConfigurationError(
            f"{what} back-populates {target.name}.{back}, which does not name it back",
            found=f"back_populates={other.declaration.back_populates!r}",
            remedy=f"write back_populates={relation.name!r} there",
        )


def _same_family(one: ModelEntity, other: ModelEntity) -> bool:
    return issubclass(one.model, other.model) or issubclass(other.model, one.model)


def _join(
    entity: ModelEntity, relation: Relation, target: ModelEntity, what: str
) -> tuple[RelationType, tuple[tuple[str, str], ...]]:
    """Which of the two tables holds the reference, and the pairs of columns that join them."""
    if not relation.target.many:
        field = reference_field(entity, relation.name)
        if field is not None:
            unique = _is_unique(entity, field)
            kind = RelationType.ONE_TO_ONE if unique else RelationType.MANY_TO_ONE
            return kind, _pairs(entity, field, target, what)
    field = _remote_field(entity, relation, target, what)
    pairs = tuple((ours, theirs) for theirs, ours in _pairs(target, field, entity, what))
    return RelationType.ONE_TO_MANY if relation.target.many else RelationType.ONE_TO_ONE, pairs


def _remote_field(entity: ModelEntity, relation: Relation, target: ModelEntity, what: str) -> str:
    """The field of the other class that references this one."""
    fields = target.blueprint.table.by_attribute
    declared = relation.declaration.foreign_key
    if declared is not None:
        if declared not in fields:
            raise ConfigurationError(
                f"{what} names the foreign key {declared!r}, no field of {target.name}",
                remedy=nearest(declared, fields),
            )
        return declared
    back = relation.declaration.back_populates
    if back is not None and not target.relations[back].target.many:
        field = reference_field(target, back)
        if field is not None:
            return field
    if (usual := f"{snake_case(entity.name)}_id") in fields:
        return usual
    return _only(_references_to(target, entity), what, target, entity)


def _references_to(source: ModelEntity, target: ModelEntity) -> list[str]:
    keys = [key for key in source.table.foreign_keys if source.target_of(key) is target]
    return [source.table.by_name[key.columns[-1]].attribute for key in keys]


def _only(fields: Iterable[str], what: str, source: ModelEntity, target: ModelEntity) -> str:
    found = list(fields)
    if len(found) != 1:
        raise ConfigurationError(
            f"{what}: {source.name} must have one field that references {target.name}",
            found=", ".join(found) or "it has none",
            remedy="name it with foreign_key=",
        )
    return found[0]


def _pairs(holder: ModelEntity, field: str, other: ModelEntity, what: str) -> Pairs:
    """The holder's columns with those of the row that they reference, tenants first."""
    table = holder.table
    column = table.by_attribute[field]
    for key in table.foreign_keys:
        if key.columns[-1] == column.name and holder.target_of(key) is other:
            return tuple(zip(key.columns, key.target_columns, strict=True))
    # No constraint: the field holds the other's key all the same.
    remote = other.blueprint.table
    if len(remote.identity) != 1:
        raise ConfigurationError(
            f"{what} joins on {holder.name}.{field}, and the key of {other.name} has several columns",
            found=", ".join(remote.identity),
        )
    pair = (column.name, remote.identity[0])
    if type(column.type) is not type(remote.by_name[pair[1]].type):
        raise ConfigurationError(f"{what} joins on {holder.name}.{field}, which is of another type than its key")
    tenants = ((table.tenant, remote.tenant),) if table.tenant is not None and remote.tenant is not None else ()
    return (*tenants, pair)


def _is_unique(entity: ModelEntity, field: str) -> bool:
    table = entity.blueprint.table
    column = table.by_attribute[field].name
    own = {column, table.tenant}
    unique = [index.columns for index in table.indexes if index.unique and index.where is None]
    return any(column in columns and set(columns) <= own for columns in [table.primary_key, *unique])


def _link(entity: ModelEntity, relation: Relation, target: ModelEntity, what: str) -> LinkConfig:
    declaration = relation.declaration
    if not relation.target.many:
        raise ConfigurationError(f"{what} has a link_model and is not a list", remedy='write list["…"] or Many[…]')
    model = declaration.link_model
    if isinstance(model, str):
        link = entity.registry.by_name(model, entity)
    else:
        found: ModelEntity | None = getattr(model, "__ff_entity__", None)
        if found is None:
            raise ConfigurationError(f"{what}: link_model is no model with a table")
        link = found
    fields = link.blueprint.table.by_attribute
    for key in (declaration.link_local_key, declaration.link_remote_key):
        if key is not None and key not in fields:
            raise ConfigurationError(f"{what}: {link.name} has no field {key!r}", remedy=nearest(key, fields))
    local = declaration.link_local_key or _only(_references_to(link, entity), what, link, entity)
    remote = declaration.link_remote_key or _only(_references_to(link, target), what, link, target)
    return LinkConfig(
        link,
        tuple((ours, theirs) for theirs, ours in _pairs(link, local, entity, what)),
        tuple((ours, theirs) for theirs, ours in _pairs(link, remote, target, what)),
    )
