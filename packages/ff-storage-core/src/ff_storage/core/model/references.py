"""Foreign keys: what a model's references name, and the constraint that they become.

A reference names a *logical row*: between two multi-tenant models the constraint includes the tenants, so that no row
can point into another tenant. A relationship to one row makes the constraint of its field unless the field says
otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ff_storage.core import types as canonical
from ff_storage.core.errors import ConfigurationError, nearest
from ff_storage.core.model.describe import Reference, leads
from ff_storage.core.model.field import REFERENCE
from ff_storage.core.tables import Action, Column, ForeignKey, Index, Table, generated_name

if TYPE_CHECKING:
    from ff_storage.core.model.entity import ModelEntity


def resolve_foreign_keys(entity: ModelEntity) -> Table:
    """The table of a class with its foreign keys, and an index for each that has none. Raises ConfigurationError."""
    blueprint = entity.blueprint
    table = blueprint.table
    keys: list[ForeignKey] = []
    indexes = list(table.indexes)
    for reference in [*blueprint.references, *_implied(entity)]:
        key = _foreign_key(entity, reference)
        keys.append(key)
        if not leads(table, indexes, key.columns) and not leads(table, indexes, (reference.column,)):
            taken = {index.name.lower() for index in indexes}
            name = generated_name("idx", table.name, reference.column)
            if name.lower() in taken:
                name = generated_name("idx", table.name, reference.column, "fk")
            indexes.append(Index(name, key.columns))
    return dataclasses.replace(table, indexes=tuple(indexes), foreign_keys=tuple(keys)) if keys else table


def reference_field(entity: ModelEntity, name: str) -> str | None:
    """The field of `entity` that holds the reference of its relationship to one row; None: the other side has it."""
    declared = entity.relations[name].declaration.foreign_key
    fields = entity.blueprint.table.by_attribute
    for candidate in (declared, f"{name}_id"):
        if candidate is not None and candidate in fields:
            return candidate
    return None


def _implied(entity: ModelEntity) -> Iterator[Reference]:
    """The references that relationships to one row make, where the field itself does not say."""
    for name in sorted(entity.own_relations):
        relation = entity.relations[name]
        field = None if relation.target.many else reference_field(entity, name)
        if field is None:
            continue
        options = entity.blueprint.options[field]
        if "foreign_key" in options.given:
            continue
        column = entity.blueprint.table.by_attribute[field]
        target = relation_target(entity, name)
        yield Reference(column.name, target.model, options.on_delete, options.on_update)


def relation_target(entity: ModelEntity, name: str) -> ModelEntity:
    """The entity of a relationship's other side. Raises ConfigurationError."""
    model = entity.relations[name].target.model
    if isinstance(model, str):
        return entity.registry.by_name(model, entity)
    return _entity_of(model, f"{entity.name}.{name}")


def _entity_of(model: type[Any], what: str) -> ModelEntity:
    found: ModelEntity | None = getattr(model, "__ff_entity__", None)
    if found is None:
        raise ConfigurationError(f"{what} names {model.__name__}, which is no model with a table")
    return found


def _foreign_key(entity: ModelEntity, reference: Reference) -> ForeignKey:
    table = entity.blueprint.table
    column = table.by_name[reference.column]
    what = f"the foreign key of {entity.name}.{column.attribute}"
    target, named = _named(entity, reference.target, what)
    other = target.blueprint.table
    remote = _remote_column(target, other, named, what)
    if table.tenant is None and other.tenant is not None:
        raise ConfigurationError(
            f"{what} goes to {target.name}, which is multi-tenant while {entity.name} is not",
            remedy="make both multi-tenant, or declare no constraint with db_foreign_key=None",
        )
    columns: tuple[str, ...] = (column.name,)
    remotes: tuple[str, ...] = (remote.name,)
    composite = table.tenant is not None and other.tenant is not None
    if table.tenant is not None and other.tenant is not None:
        columns, remotes = (table.tenant, *columns), (other.tenant, *remotes)
    _is_key(target, other, remotes, remote, what)
    for ours, theirs in zip(columns, remotes, strict=True):
        _same_type(table.by_name[ours], other.by_name[theirs], target, what)
    for action in (reference.on_delete, *(() if composite else (reference.on_update,))):
        if action is Action.SET_NULL and not column.nullable:
            raise ConfigurationError(
                f"{what} says SET NULL, and the column is NOT NULL", remedy="allow None, or choose another action"
            )
    return ForeignKey(
        generated_name("fk", table.name, column.name),
        columns,
        other.schema,
        other.name,
        remotes,
        reference.on_delete,
        # Between multi-tenant models CASCADE would move children to another tenant.
        Action.NO_ACTION if composite else reference.on_update,
        (column.name,) if reference.on_delete is Action.SET_NULL else (),
    )


def _named(entity: ModelEntity, target: str | type[Any], what: str) -> tuple[ModelEntity, str | None]:
    """The class that a reference names, and the column if it names one."""
    if isinstance(target, type):
        return _entity_of(target, what), None
    match = REFERENCE.fullmatch(target)
    assert match is not None  # noqa: S101 - `Field` takes nothing else
    own = entity.settings.schema
    schemas = [own, None] if match["schema"] is None else [None if match["schema"] == "public" else match["schema"]]
    for schema in dict.fromkeys(schemas):
        found = entity.registry.by_table(match["table"], schema, entity)
        if found is not None:
            return found, match["column"]
    known = {each.settings.table_name for each in entity.registry.entities()}
    named = match["table"] if match["schema"] is None else f"{match['schema']}.{match['table']}"
    raise ConfigurationError(
        f"{what} names the table {named!r}, and no model has it",
        remedy=f"{nearest(match['table'], known)} (its model must be imported)",
    )


def _remote_column(target: ModelEntity, table: Table, name: str | None, what: str) -> Column:
    if name is not None:
        if name not in table.by_name:
            raise ConfigurationError(
                f"{what} names {table.name}({name}), and {target.name} has no such column",
                remedy=nearest(name, table.by_name),
            )
        return table.by_name[name]
    if len(table.identity) != 1:
        raise ConfigurationError(
            f"{what} goes to {target.name}, whose key has several columns",
            found=", ".join(table.identity),
            remedy="name a unique column, or declare no constraint with db_foreign_key=None",
        )
    return table.by_name[table.identity[0]]


def _same_type(column: Column, remote: Column, target: ModelEntity, what: str) -> None:
    same = type(column.type) is type(remote.type)
    if same and not isinstance(column.type, canonical.Text | canonical.Bytes):
        same = column.type == remote.type
    if not same:
        raise ConfigurationError(
            f"{what} needs {column.attribute} to be of the type of {target.name}.{remote.attribute}",
            found=f"{canonical.describe(column.type)} and {canonical.describe(remote.type)}",
        )


def _is_key(target: ModelEntity, table: Table, columns: tuple[str, ...], remote: Column, what: str) -> None:
    """A foreign key needs a key: the primary one, or a uniqueness rule over all rows of the same columns."""
    if set(columns) == set(table.primary_key):
        return
    unique = [index for index in table.indexes if index.unique and set(index.columns) == set(columns)]
    if any(not index.live_only and index.where is None for index in unique):
        return
    raise ConfigurationError(
        f"{what} names {table.name}({remote.name}), which is not a key of {target.name}",
        found="it is unique among some rows only" if unique else f"its key is ({', '.join(table.identity)})",
        remedy="reference the key, or declare no constraint with db_foreign_key=None",
    )


def target_of(entity: ModelEntity, key: ForeignKey) -> ModelEntity | None:
    """The class on the table that `key` references, as `entity` sees it."""
    for reference in [*entity.blueprint.references, *_implied(entity)]:
        if reference.column == key.columns[-1] and isinstance(reference.target, type):
            return _entity_of(reference.target, key.name)
    return entity.registry.by_table(key.target_table, key.target_schema, entity)
