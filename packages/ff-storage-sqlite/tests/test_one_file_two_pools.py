"""Two pools on one file: a row read through one is changed through the other."""

from __future__ import annotations

from pathlib import Path

from ff_storage import Field, PydanticModel, PydanticRepository, SQLitePool


class Page(PydanticModel):
    __table_name__ = "two_pools_pages"
    __multi_tenant__ = False

    title: str = Field(max_length=50)
    body: str = ""


async def test_an_update_writes_only_what_changed_since_the_row_was_read(tmp_path: Path) -> None:
    path = str(tmp_path / "pages.db")
    async with SQLitePool(path) as reading, SQLitePool(path) as writing:
        for statement in writing.dialect.schema().create_table(Page.__ff_entity__.table):
            await writing.execute(statement)
        readers, writers = PydanticRepository(Page, reading), PydanticRepository(Page, writing)
        created = await writers.create(Page(title="a", body="first"))
        read = await readers.get(created.id)
        assert read is not None
        await writers.update(created.id, Page.model_construct({"body"}, body="second"))
        read.title = "b"
        stored = await writers.update(read.id, read)
        assert (stored.title, stored.body) == ("b", "second")
