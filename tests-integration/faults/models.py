"""Models whose tables exist only in tests that create them."""

from __future__ import annotations

from ff_storage.core.model import Field, PydanticModel


class Item(PydanticModel):
    """A row with a key of the test's own choice."""

    __table_name__ = "fault_items"
    __multi_tenant__ = False
    __soft_delete__ = False

    number: int = Field(db_primary_key=True)
    name: str = Field(default="", max_length=80)
