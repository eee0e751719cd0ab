"""Models: Pydantic classes that are tables."""

from ff_storage.core.model.base import PydanticModel
from ff_storage.core.model.field import Field
from ff_storage.core.model.relationship import Many, One, Relationship

__all__ = ["Field", "Many", "One", "PydanticModel", "Relationship"]
