"""A class body before Pydantic sees it: relationships taken out, the library's own columns put in.

Annotations are never edited in place: the body gets new ones, also where Python 3.14 evaluates them late.
"""

from __future__ import annotations

import datetime as dt
import sys
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, ClassVar, Final, get_origin

import pydantic
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ff_storage.core.context import utc_now
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.model.field import INJECTED, ColumnOptions, column_options, is_injected
from ff_storage.core.model.relationship import Declaration, Relation, read_target
from ff_storage.core.model.settings import Settings

Annotations = dict[str, Any]

BASE_FIELDS: Final = ("id", "created_at", "updated_at", "created_by", "updated_by")
"""The columns that every table has, unless the model has a key of its own in the place of `id`."""


def own_annotations(namespace: Mapping[str, Any]) -> Annotations:
    """The annotations of a class body; on Python 3.14 names that do not exist yet come as forward references."""
    if sys.version_info >= (3, 14) and "__annotations__" not in namespace:
        import annotationlib

        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        if annotate is None:
            return {}
        return annotationlib.call_annotate_function(annotate, annotationlib.Format.FORWARDREF)
    return dict(namespace.get("__annotations__", {}))


def rewrite_annotations(namespace: dict[str, Any], rewrite: Callable[[Annotations], Annotations]) -> None:
    """Give the body the annotations that `rewrite` makes of its own."""
    if sys.version_info >= (3, 14) and "__annotations__" not in namespace:
        import annotationlib

        original = annotationlib.get_annotate_from_class_namespace(namespace)

        def annotate(format: Any, /) -> Annotations:  # noqa: A002 - the name that Python calls for
            if format == annotationlib.Format.VALUE_WITH_FAKE_GLOBALS:
                raise NotImplementedError(format)
            own = {} if original is None else annotationlib.call_annotate_function(original, format)
            return rewrite(own)

        namespace["__annotate__" if "__annotate__" in namespace else "__annotate_func__"] = annotate
        return
    namespace["__annotations__"] = rewrite(dict(namespace.get("__annotations__", {})))


def is_class_variable(annotation: Any) -> bool:
    """Whether the annotation makes a name no field."""
    if isinstance(annotation, str):
        return annotation.partition("[")[0].strip().endswith("ClassVar")
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def take_relations(name: str, namespace: dict[str, Any], annotations: Annotations) -> dict[str, Relation]:
    """Remove the relationships from the body; the annotations are left to the caller. Raises ConfigurationError."""
    found: dict[str, Relation] = {}
    for key, value in list(namespace.items()):
        if isinstance(value, Declaration):
            if key not in annotations:
                raise ConfigurationError(
                    f"{name}.{key}: a Relationship needs an annotation that names the other model",
                    remedy=f'write {key}: list["Post"] = Relationship(…)',
                )
            found[key] = Relation(key, value, read_target(name, key, annotations[key]))
            del namespace[key]
    return found


def check_field_names(name: str, annotations: Annotations, reserved: Collection[str]) -> None:
    """Refuse fields that would hide what every model has. Raises ConfigurationError."""
    for key, annotation in annotations.items():
        if key in reserved and not key.startswith("_") and key != "model_config" and not is_class_variable(annotation):
            raise ConfigurationError(
                f"{name}.{key}: every model has an attribute of that name",
                remedy=f'call the field {key}_ and its column {key}: {key}_: … = Field(db_column="{key}")',
            )


def inherited_fields(bases: tuple[type[Any], ...]) -> dict[str, FieldInfo | None]:
    """The fields that the bases bring, by name; None for one that a plain mixin only annotates."""
    found: dict[str, FieldInfo | None] = {}
    for base in reversed(bases):
        for cls in reversed(base.__mro__):
            if issubclass(cls, BaseModel):
                found |= cls.__dict__.get("__pydantic_fields__", {})
                for dropped in cls.__dict__.get("__class_vars__", ()):
                    found.pop(dropped, None)
            elif cls is not object:
                for key, annotation in own_annotations(cls.__dict__).items():
                    if not key.startswith("_") and not is_class_variable(annotation):
                        value = cls.__dict__.get(key)
                        found[key] = value if isinstance(value, FieldInfo) else None
    return found


def _field(**options: Any) -> Any:
    info: FieldInfo = pydantic.Field(**options)
    info.metadata.append(INJECTED)
    return info


def _columns(settings: Settings) -> tuple[dict[str, tuple[Any, Any]], dict[str, tuple[Any, Any]]]:
    """What the settings ask for, as name → (annotation, value): before and after the class's own fields."""
    user, moment = uuid.UUID | None, dt.datetime | None
    before = {
        "id": (uuid.UUID, _field(default_factory=uuid.uuid4)),
        "created_at": (dt.datetime, _field(default_factory=utc_now)),
        "updated_at": (dt.datetime, _field(default_factory=utc_now)),
        "created_by": (user, _field(default=None)),
        "updated_by": (user, _field(default=None)),
    }
    after: dict[str, tuple[Any, Any]] = {}
    if settings.multi_tenant:
        # None until the scope of a write fills it; the column is NOT NULL all the same.
        after[settings.tenant_field] = (user, _field(default=None))
    if settings.soft_delete:
        after["deleted_at"] = (moment, _field(default=None))
        after["deleted_by"] = (user, _field(default=None))
    if settings.version_column:
        after[settings.version_column] = (int, _field(default=1))
    return before, after


def inject(
    namespace: dict[str, Any],
    bases: tuple[type[Any], ...],
    settings: Settings,
    *,
    without: Collection[str],
    evaluate: Callable[[str], Any],
) -> None:
    """Give the body the columns that its settings ask for, and take away inherited ones that they do not.

    A field that the class or a base declares itself stays as declared. `without` are the names to take out;
    `evaluate` makes an annotation of text, where a key must be looked for. A class without a table gets no columns.
    """
    if settings.unusable:
        rewrite_annotations(namespace, lambda own: {key: value for key, value in own.items() if key not in without})
        return
    annotations = {key: value for key, value in own_annotations(namespace).items() if key not in without}
    inherited = inherited_fields(bases)
    before, after = _columns(settings)
    if "id" not in annotations and _has_key(namespace, annotations, inherited, evaluate):
        del before["id"]
    wanted = before | after
    dropped = {
        key: ClassVar[Any]
        for key, info in inherited.items()
        if info is not None and is_injected(info) and key not in wanted and key not in annotations
    }
    present = {*annotations, *(key for key in inherited if key not in dropped)}
    first = {key: annotation for key, (annotation, _) in before.items() if key not in present}
    last = {key: annotation for key, (annotation, _) in after.items() if key not in present}

    def rewrite(own: Annotations) -> Annotations:
        kept = {key: value for key, value in own.items() if key not in without}
        return {**first, **kept, **last, **dropped}

    rewrite_annotations(namespace, rewrite)
    for key in (*first, *last):
        namespace[key] = wanted[key][1]


def _has_key(
    namespace: Mapping[str, Any],
    annotations: Annotations,
    inherited: Mapping[str, FieldInfo | None],
    evaluate: Callable[[str], Any],
) -> bool:
    """Whether a field other than an injected `id` is marked as the key."""
    fields = [info for key, info in inherited.items() if info is not None and key not in annotations]
    fields += [value for key, value in namespace.items() if key in annotations and isinstance(value, FieldInfo)]
    if any(_is_key(info) for info in fields):
        return True
    return any(_marks_key(evaluate(value) if isinstance(value, str) else value) for value in annotations.values())


def _is_key(info: FieldInfo) -> bool:
    try:
        return column_options(info).primary_key
    except ConfigurationError:  # the description of the class reports it, with the field's name
        return False


def _marks_key(annotation: Any) -> bool:
    if get_origin(annotation) is not Annotated:
        return False
    for each in annotation.__metadata__:
        options = each.metadata if isinstance(each, FieldInfo) else [each]
        if any(isinstance(option, ColumnOptions) and option.primary_key for option in options):
            return True
    return _marks_key(annotation.__origin__)
