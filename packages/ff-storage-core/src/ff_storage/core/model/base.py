"""`PydanticModel`: a Pydantic model that is a table.

The metaclass adds three things to Pydantic's and changes nothing else: it takes relationships out of the body and puts
the library's columns in, gives the class its entity, and answers `Product.price` with the column's expression. The last
is `__getattr__`, which Python asks only for what the class does not have: attributes set on the class would make
inherited required fields optional.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, dataclass_transform

import pydantic
from pydantic import BaseModel, ConfigDict, PrivateAttr, RootModel
from pydantic._internal import _model_construction as construction
from pydantic._internal import _typing_extra as frames
from pydantic.fields import FieldInfo

from ff_storage.core.context import utc_now
from ff_storage.core.errors import ConfigurationError, UnknownFieldError
from ff_storage.core.model import registry
from ff_storage.core.model.body import BASE_FIELDS, check_field_names, inject, own_annotations, take_relations
from ff_storage.core.model.entity import ModelEntity
from ff_storage.core.model.field import Field
from ff_storage.core.model.loaded import Loaded
from ff_storage.core.model.relationship import Relation, RelationDescriptor, Relationship
from ff_storage.core.model.settings import read_settings
from ff_storage.core.sql.expressions import ColumnRef
from ff_storage.core.tables import Index, Table

if TYPE_CHECKING:
    from ff_storage.core.sql.dialect import Dialect


class UnknownAttribute(UnknownFieldError, AttributeError):
    """A class has no field or attribute of that name; an AttributeError, so that `hasattr` and `inspect` work."""


class _Building(threading.local):
    """The classes whose subclass is being made in this thread."""

    classes: tuple[type[Any], ...] = ()


_building = _Building()


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, pydantic.Field, PrivateAttr, Relationship))
class ModelMeta(construction.ModelMetaclass):
    """The metaclass of `PydanticModel`."""

    def __new__(mcs, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any], /, **kwargs: Any) -> Any:
        """Make a model class. Raises ConfigurationError or IdentifierError for what is wrong with its settings."""
        models: list[Any] = [base for base in bases if isinstance(base, ModelMeta)]
        if not models:
            return super().__new__(mcs, name, bases, namespace, **kwargs)
        if any(issubclass(base, RootModel) for base in bases):
            raise ConfigurationError(f"{name} is a root model, which has no columns", remedy="give it fields")
        namespace = type(namespace)(namespace)
        enclosing: Mapping[str, Any] | None = None
        if kwargs.get("__pydantic_reset_parent_namespace__", True):
            # Pydantic looks for names of the enclosing function in the frame that calls it, which here is not theirs.
            enclosing = frames.parent_frame_namespace()
            namespace["__pydantic_parent_namespace__"] = construction.build_lenient_weakvaluedict(
                None if enclosing is None else dict(enclosing)
            )
            kwargs["__pydantic_reset_parent_namespace__"] = False
        settings = read_settings(name, bases, namespace, unusable=_why_unusable(bases, kwargs))
        annotations = own_annotations(namespace)
        relations = take_relations(name, namespace, annotations)
        check_field_names(name, annotations, _reserved(models, relations))
        inject(namespace, bases, settings, without=relations, evaluate=_evaluator(namespace, enclosing))
        namespace |= {"__ff_refs__": {}, "__ff_entity__": None}
        outer = _building.classes
        _building.classes = (*outer, *bases)
        try:
            cls: Any = super().__new__(mcs, name, bases, namespace, **kwargs)
        finally:
            _building.classes = outer
        if cls.model_config.get("extra") == "allow":
            raise ConfigurationError(
                f"{name} has extra='allow', and a table has no column for what is not declared",
                remedy="use extra='ignore' or 'forbid', and a dict field for free data",
            )
        for each in relations:
            type.__setattr__(cls, each, RelationDescriptor(each))
        entity = ModelEntity(cls, registry.current(), settings, *_all_relations(models, relations))
        if not settings.unusable and entity.complete:
            _ = entity.blueprint
        entity.registry.add(entity)
        type.__setattr__(cls, "__ff_entity__", entity)
        return cls

    if not TYPE_CHECKING:

        def __getattr__(cls, name: str) -> Any:
            ref = cls.__ff_refs__.get(name)
            if ref is not None and not _building.classes:
                return ref
            return _class_attribute(cls, name)


def _class_attribute(cls: Any, name: str) -> Any:
    entity = cls.__dict__.get("__ff_entity__")
    if entity is None or name.startswith("_") or cls in _building.classes:
        # A class in the making has no columns yet; Pydantic asks it, and its bases, for the defaults of fields.
        return _pydantic_attribute(cls, name)
    fields = cls.__pydantic_fields__
    if name not in fields:
        raise UnknownAttribute.of(name, cls.__name__, {*fields, *entity.relations})
    if entity.settings.unusable:
        raise UnknownAttribute(f"{cls.__name__}.{name} is no column", found=entity.settings.unusable)
    ref = cls.__ff_refs__[name] = entity.column(name)
    return ref


_pydantic_attribute: Callable[[type[Any], str], Any] = vars(construction.ModelMetaclass)["__getattr__"]


def _why_unusable(bases: tuple[type[Any], ...], kwargs: Mapping[str, Any]) -> str:
    """Why a generic class has no table; a class derived from one with its parameters bound has."""
    generic = kwargs.get("__pydantic_generic_metadata__")
    if generic and generic["origin"] is not None:
        return "it is a generic with its parameters given, not a class of its own"
    unbound = Generic in bases or any(
        getattr(base, "__pydantic_generic_metadata__", {}).get("parameters") for base in bases
    )
    return "it is generic, and its parameters are not given" if unbound else ""


def _reserved(models: list[Any], relations: Mapping[str, Relation]) -> frozenset[str]:
    """The names that no field may have: those of every model, and of inherited relationships."""
    inherited = {name for model in models if model.__ff_entity__ for name in model.__ff_entity__.relations}
    fields = {name for model in models for name in getattr(model, "__pydantic_fields__", {})}
    return RESERVED | (inherited - relations.keys()) | (fields & relations.keys())


def _evaluator(namespace: Mapping[str, Any], enclosing: Mapping[str, Any] | None) -> Callable[[str], Any]:
    """Evaluate annotations that are text where the class is made; None for those that cannot be yet."""
    module = sys.modules.get(namespace.get("__module__", ""))
    known = {} if module is None else vars(module)

    def evaluate(text: str) -> Any:
        try:
            return eval(text, known, dict(enclosing or {}))  # noqa: S307 - the class's own annotation, as Pydantic will
        except Exception:  # noqa: BLE001 - a name that comes later, or anything else that Pydantic will report
            return None

    return evaluate


def _all_relations(models: list[Any], declared: Mapping[str, Relation]) -> tuple[dict[str, Relation], frozenset[str]]:
    """The relationships of a class, and which of them are its own: not those of a base that has a table."""
    everything: dict[str, Relation] = {}
    own = set(declared)
    for model in reversed(models):
        if model.__ff_entity__:
            everything |= model.__ff_entity__.relations
            if model.__ff_entity__.settings.unusable:
                own |= model.__ff_entity__.own_relations
    return everything | dict(declared), frozenset(own)


class PydanticModel(Loaded, metaclass=ModelMeta):  # noqa: PLW1641 - Pydantic makes the hash of frozen models
    """The base of every model with a table; each subclass is one, unless it says `__abstract__ = True`.

    The settings are class attributes with double underscores:

    - `__table_name__`: by default the class's name in snake_case and the plural.
    - `__schema__`: "public" means the connection's default schema.
    - `__temporal_strategy__`: how history is kept; "none" keeps none.
    - `__soft_delete__`: deleting marks rows (`deleted_at`, `deleted_by`) instead of removing them.
    - `__multi_tenant__`, `__tenant_field__`: rows belong to tenants, named by that field (added as a UUID if need be).
    - `__version_column__`: the name of an integer field that counts updates, for optimistic concurrency.
    - `__db_type__`: accepted for older code; a model works on every engine.

    Every table has `id` (unless fields are marked as the key), `created_at`, `updated_at`, `created_by`, `updated_by`.
    A field that the class declares itself takes the place of an added one of that name.
    """

    model_config = ConfigDict(
        from_attributes=True, arbitrary_types_allowed=True, validate_assignment=True, populate_by_name=True
    )

    __slots__ = ("__weakref__",)  # here, so that subclasses add nothing to the memory of an instance

    __table_name__: ClassVar[str | None] = None
    __schema__: ClassVar[str | None] = "public"
    __temporal_strategy__: ClassVar[str] = "none"
    __soft_delete__: ClassVar[bool] = True
    __multi_tenant__: ClassVar[bool] = True
    __tenant_field__: ClassVar[str] = "tenant_id"
    __db_type__: ClassVar[str | None] = None
    __version_column__: ClassVar[str | None] = None
    __abstract__: ClassVar[bool] = True

    if TYPE_CHECKING:
        __ff_entity__: ClassVar[ModelEntity]
        id: uuid.UUID = Field(default_factory=uuid.uuid4)
        created_at: dt.datetime = Field(default_factory=utc_now)
        updated_at: dt.datetime = Field(default_factory=utc_now)
        created_by: uuid.UUID | None = Field(default=None)
        updated_by: uuid.UUID | None = Field(default=None)
        tenant_id: uuid.UUID | None = Field(default=None)
        deleted_at: dt.datetime | None = Field(default=None)
        deleted_by: uuid.UUID | None = Field(default=None)
    else:
        __ff_refs__: ClassVar = {}
        __ff_entity__: ClassVar = None

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        """Describe a class whose annotations named something that was defined after it."""
        super().__pydantic_on_complete__()
        entity = cls.__dict__.get("__ff_entity__")
        if entity is not None and not entity.settings.unusable:
            _ = entity.blueprint

    # --- the table -----------------------------------------------------------------------------------------------

    @classmethod
    def table_name(cls) -> str:
        """The table's name, without its schema."""
        return cls.__ff_entity__.blueprint.table.name

    @classmethod
    def get_table_name(cls) -> str:
        """`table_name`, under its other published name."""
        return cls.table_name()

    @classmethod
    def full_table_name(cls) -> str:
        """`schema.table`; "public" stands for the connection's default schema."""
        table = cls.__ff_entity__.blueprint.table
        return f"{table.schema or 'public'}.{table.name}"

    @classmethod
    def field(cls, name: str) -> ColumnRef:
        """The expression of a field by name. Raises UnknownFieldError with the nearest match."""
        return cls.__ff_entity__.column(name)

    @classmethod
    def get_create_table_sql(cls, dialect: Dialect | None = None) -> str:
        """The statements that create the table on an engine, for people to read.

        Without a dialect they are those of the installed one. Raises ConfigurationError when there is none, or several.
        """
        if dialect is None:
            from ff_storage.core import plugins

            installed = plugins.registry().dialects()
            if len(installed) != 1:
                raise ConfigurationError(
                    "get_create_table_sql needs to know the engine",
                    found=f"installed: {', '.join(sorted(installed)) or 'none'}",
                    remedy="pass the dialect of a pool: get_create_table_sql(db_pool.dialect)",
                )
            (spec,) = installed.values()
            dialect = spec.load()()
        return ";\n".join(dialect.schema().create_table(cls.__ff_entity__.table))

    @classmethod
    def get_temporal_strategy(cls) -> str:
        """The name of the strategy that keeps history."""
        return cls.__ff_entity__.settings.strategy

    @classmethod
    def get_temporal_fields(cls) -> dict[str, tuple[Any, Any]]:
        """The fields that the strategy adds, as name → (type, default)."""
        return {}

    @classmethod
    def get_temporal_indexes(cls) -> tuple[Index, ...]:
        """The indexes that the strategy adds."""
        return ()

    @classmethod
    def get_auxiliary_tables(cls) -> tuple[Table, ...]:
        """The tables that the strategy adds."""
        return ()

    @classmethod
    def get_base_fields(cls) -> set[str]:
        """The fields that every model has, whatever its settings."""
        return {name for name in BASE_FIELDS if name in cls.__pydantic_fields__}

    @classmethod
    def get_system_fields(cls) -> set[str]:
        """The fields that the library uses itself: the base fields and those of the settings."""
        injected = {name for name, column in cls.__ff_entity__.blueprint.table.by_attribute.items() if column.injected}
        return cls.get_base_fields() | injected

    @classmethod
    def get_user_fields(cls) -> dict[str, FieldInfo]:
        """The fields that are the model's own."""
        system = cls.get_system_fields()
        return {name: info for name, info in cls.__pydantic_fields__.items() if name not in system}

    # --- instances -----------------------------------------------------------------------------------------------

    def update_timestamp(self) -> None:
        """Set `updated_at` to now."""
        self.updated_at = utc_now()

    def model_dump_for_db(self, exclude_none: bool = False) -> dict[str, Any]:
        """The canonical values of the columns by column name; computed and generated ones are left out."""
        values: dict[str, Any] = {}
        for column in self.__ff_entity__.blueprint.table.columns:
            value = getattr(self, column.attribute)
            if column.generated is None and not (exclude_none and value is None):
                values[column.name] = column.adapt(value) if column.adapt is not None and value is not None else value
        return values

    if not TYPE_CHECKING:
        # The row that an instance was loaded from goes with its copies; it is no part of its value. It stays behind
        # when one is pickled: its plan, like the connection, means nothing in another process.

        def __copy__(self) -> Self:
            return _with_row(self, super().__copy__())

        def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
            return _with_row(self, super().__deepcopy__(memo))

        def __eq__(self, other: object) -> bool:
            # Pydantic compares all of __dict__ first: a loaded relationship would be compared, and cycles never end.
            return super(PydanticModel, _without_loaded(self)).__eq__(_without_loaded(other))

        def __iter__(self) -> Iterator[tuple[str, Any]]:
            # A loaded relationship is in __dict__ too, and is no field.
            fields = type(self).__pydantic_fields__
            return ((name, value) for name, value in self.__dict__.items() if name in fields)


def _without_loaded(instance: Any) -> Any:
    """The instance, or when relationships were loaded into it, one with the same fields and none of them."""
    entity: ModelEntity | None = getattr(instance, "__ff_entity__", None)
    if entity is None or not entity.relations or entity.relations.keys().isdisjoint(instance.__dict__):
        return instance
    bare: Any = BaseModel.__copy__(instance)
    for name in entity.relations:
        bare.__dict__.pop(name, None)
    return bare


_ROW_SLOTS: tuple[Any, ...] = tuple([vars(Loaded)[name] for name in Loaded.__slots__])


def _with_row(source: PydanticModel, copied: Any) -> Any:
    """The copy, with the row that its source was made of."""
    for slot in _ROW_SLOTS:
        with contextlib.suppress(AttributeError):  # it was not made of one
            slot.__set__(copied, slot.__get__(source))
    return copied


type.__setattr__(
    PydanticModel,
    "__ff_entity__",
    ModelEntity(
        PydanticModel, registry.current(), read_settings("PydanticModel", (), vars(PydanticModel)), {}, frozenset()
    ),
)

RESERVED = frozenset({*dir(BaseModel), *(name for name in vars(PydanticModel) if not name.startswith("_"))})
"""Names that a field cannot have, because every model has an attribute of that name."""
