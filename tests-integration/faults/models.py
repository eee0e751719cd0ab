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


class Memo(PydanticModel):
    """A row that is deleted softly, and refers to an item."""

    __table_name__ = "fault_memos"
    __multi_tenant__ = False

    number: int = Field(db_primary_key=True)
    item: int | None = Field(default=None, db_foreign_key="fault_items(number)", db_on_delete="SET NULL")


class Extra(PydanticModel):
    """A table that is not there yet."""

    __table_name__ = "fault_extras"
    __multi_tenant__ = False

    name: str = Field(max_length=80, db_index=True)
