"""What instances that were made of rows have beyond Pydantic's, and how they are filled.

They remember the row, so that changes can be found, and get their set of fields when somebody asks for it.
"""

from __future__ import annotations

import inspect
import keyword
import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

if TYPE_CHECKING:
    from ff_storage.core.model.construct import Plan

PLAN_SLOT, ROW_SLOT, VALUES_SLOT = "__ff_plan__", "__ff_row__", "__ff_values__"
"""The slots in which instances remember the plan and the row they were made of, and the very dict they were made with.

Several, because a tuple of them would be one more object of every instance that the garbage collector looks at.
"""

_FIELDS_SET: Final = "__pydantic_fields_set__"
_set_fields_set: Callable[[BaseModel, set[str]], None] = BaseModel.__dict__[_FIELDS_SET].__set__
_pydantic_getattr: Callable[[BaseModel, str], Any] = BaseModel.__dict__["__getattr__"]


class Loaded(BaseModel):
    """The base of models whose instances remember their row."""

    __slots__ = (PLAN_SLOT, ROW_SLOT, VALUES_SLOT)

    if not TYPE_CHECKING:  # which would take any attribute for one that is there

        def __getattr__(self, name: str) -> Any:
            # One set each, as a user's change to one must not reach another; made with every row, these sets would be
            # a tenth of what a large result costs.
            if name == _FIELDS_SET:
                plan: Plan | None = getattr(self, PLAN_SLOT, None)
                if plan is not None:
                    fields = {column.attribute for column in plan.columns}
                    _set_fields_set(self, fields)
                    return fields
            return _pydantic_getattr(self, name)


def has_late_fields(model: type[BaseModel]) -> bool:
    """Whether instances find their set of fields themselves: not where the class has a `__getattr__` of its own."""
    return getattr(model, "__getattr__", None) is vars(Loaded)["__getattr__"]


# --- instances in the making ------------------------------------------------------------------------------------------

_Making: Final = type.__new__(
    type(BaseModel),
    "_Making",
    (Loaded,),
    {"__slots__": ("__weakref__",), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__},
)
"""A class whose instances lie in memory as those of a model with a table do, and have plain assignment.

BaseModel's `__setattr__` is for users, and a slot's descriptor takes ten times as long as the interpreter's own way to
set a slot. So an instance is filled as one of this class, and is then given its own. It is made by `type.__new__`, so
that neither Pydantic nor anybody's `__init_subclass__` hears of a class that is no model.
"""


def making_of(model: type[BaseModel], names: Collection[str]) -> tuple[Any, bool] | None:
    """The class to fill instances of `model` in, and whether their fields are set one by one; None if there is none."""
    making: Any = _Making
    if not has_late_fields(model) or model.__new__ is not object.__new__:
        return None
    try:
        making.__new__(making).__class__ = model
    except TypeError:  # another layout: slots of the user's, or a second base that brings some
        return None
    if not _SHARES_KEYS or len(names) > _SHARED_KEYS or not all(map(_is_assignable, names)):
        return making, False
    return type.__new__(type(BaseModel), model.__name__, (_Making,), {"__slots__": ()}), True


_SHARES_KEYS: Final = sys.version_info < (3, 12)
"""Instances of a class that are filled in one order share the keys of their dicts, which saves time and half of the
memory. Later versions of CPython read the attributes of instances that have been of another class more slowly."""

_SHARED_KEYS: Final = 30
"""Attributes up to which CPython shares keys."""


def _is_assignable(name: str) -> bool:
    """Whether `self.name = value` says what it means: create_model() takes any text, and a property would answer."""
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        return False
    return not inspect.isdatadescriptor(inspect.getattr_static(_Making, name, None))
