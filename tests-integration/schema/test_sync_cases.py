"""Every row of the catalog corpus that a model can say: synced, synced again, dumped and restored, synced again."""

import datetime as dt
import itertools
import sqlite3
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pydantic
import pytest

from ff_storage.core.database import open_pool
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.model import Field, PydanticModel
from ff_storage.schema import AsyncSchemaManager


class Global(PydanticModel):
    __abstract__ = True
    __multi_tenant__ = False
    __soft_delete__ = False


class CaseParent(Global):
    __table_name__ = "case_parents"
    number: int = Field(db_primary_key=True)


_numbers = itertools.count(1)


def model(**fields: Any) -> type[PydanticModel]:
    """A class on a table of its own, with fields given as (annotation, options of Field)."""
    name = f"Case{next(_numbers)}"
    made = {
        field: (annotation, Field(**({"default": None} if annotation == annotation | None else {}), **options))
        for field, (annotation, options) in fields.items()
    }
    create: Any = pydantic.create_model  # whose fields are typed by name
    found: type[PydanticModel] = create(name, __base__=Global, __module__=__name__, **made)
    return found


def c(annotation: Any, **options: Any) -> type[PydanticModel]:
    return model(c=(annotation, options))


ROWS: dict[str, type[PydanticModel]] = {
    "c int": c(int | None, db_type="int"),
    "c INTEGER PRIMARY KEY": c(int, db_primary_key=True),
    "c int primary key": c(int, db_type="int", db_primary_key=True),
    "c bigint": c(int | None, db_type="bigint"),
    "c varchar(50)": c(str | None, db_type="varchar(50)"),
    "c VARCHAR(50) DEFAULT 'x'": c(str | None, db_type="VARCHAR(50)", db_default="'x'"),
    "c nvarchar(10)": c(str | None, db_type="nvarchar(10)"),
    "c char(3)": c(str | None, db_type="char(3)"),
    "c text default ''": c(str | None, db_type="text", db_default="''"),
    "c boolean default true": c(bool | None, db_type="boolean", db_default="true"),
    "c boolean default 1": c(bool | None, db_type="boolean", db_default="1"),
    "c numeric(10,2) default 0.00": c(Decimal | None, db_type="numeric(10,2)", db_default="0.00"),
    "c decimal(10,2)": c(Decimal | None, db_type="decimal(10,2)"),
    "c double": c(float | None, db_type="double"),
    "c float": c(float | None, db_type="float"),
    "c datetime default current_timestamp": c(dt.datetime | None, db_type="datetime", db_default="current_timestamp"),
    "c datetime default CURRENT_TIMESTAMP": c(dt.datetime | None, db_type="datetime", db_default="CURRENT_TIMESTAMP"),
    "c timestamp default (datetime('now'))": c(str | None, db_default="(datetime('now'))"),
    "c text default (lower(hex(randomblob(16))))": c(str | None, db_default="(lower(hex(randomblob(16))))"),
    "c int default -1": c(int | None, db_default="-1"),
    "c int default +1": c(int | None, db_default="+1"),
    "c int default (1+1)": c(int | None, db_default="(1+1)"),
    "c text default null": c(str | None, db_default="null"),
    "c text default 'it''s'": c(str | None, db_default="'it''s'"),
    "c blob default x'00'": c(bytes | None, db_type="blob", db_default="x'00'"),
    "c json default '{}'": c(dict[str, int] | None, db_type="json", db_default="'{}'"),
    "c uuid": c(uuid.UUID | None, db_type="uuid"),
    "c int default 1e3": c(int | None, db_default="1e3"),
    "a int, c int generated always as (a*2) stored": model(
        a=(int | None, {}), c=(int | None, {"db_generated": "(a*2)"})
    ),
    "c int check (c>0)": c(int | None, db_check="(c>0)"),
    "c int references pa": c(
        int | None, db_foreign_key="case_parents", db_on_delete="NO ACTION", db_on_update="NO ACTION"
    ),
    "c int references pa(id) on delete cascade": c(
        int | None, db_foreign_key="case_parents(number)", db_on_delete="CASCADE"
    ),
    "c int unique": c(int | None, db_unique=True),
    "c int not null default 0": c(int, db_default="0"),
    "c date default CURRENT_DATE": c(dt.date | None, db_type="date", db_default="CURRENT_DATE"),
    "create table zz(a int, b text)": model(a=(int | None, {}), b=(str | None, {})),
    "create table zz(a int, b text, c int default 0)": model(
        a=(int | None, {}), b=(str | None, {}), c=(int | None, {"db_default": "0"})
    ),
    "create index ii on zz(a) where a>0": model(a=(int | None, {"db_index": True, "db_index_where": "a>0"})),
    "constraint k check(a in (1,2))": model(a=(int | None, {"db_check": "a in (1,2)"}), b=(str | None, {})),
    # the values that the published package could not create
    "a comma": c(str, db_default="'a, b'"),
    "a line break": c(str, db_default="'a\nb'"),
    "a closing": c(str, db_default="'a);'"),
    "a word": c(str, db_default="'REFERENCES pa(id) NOT NULL'"),
    "a comment": c(str, db_default="'-- /* '"),
    "a statement": c(str, db_default="'x''; DROP TABLE case_parents; --'"),
    "literal predicates": model(
        a=(str, {"db_index": True, "db_index_where": "a <> 'x  y' and (a != 'it''s' or a in ('p', 'q'))"})
    ),
    "like": c(str, db_check="c like 'a%' or lower(c) between 'a' and 'b'"),
    "smallint": c(int, db_type="SMALLINT", db_default="-1"),
    "a list": c(list[int], db_default="'[]'"),
    "a float": c(float, db_default="0.5", ge=0),
}


@pytest.mark.parametrize("row", ROWS)
async def test_the_second_sync_is_empty(tmp_path: Path, row: str) -> None:
    path = tmp_path / "data.db"
    models = [CaseParent, ROWS[row]]
    async with open_pool(f"sqlite:///{path}") as pool:
        manager = AsyncSchemaManager(pool)
        assert await manager.sync_schema(models) > 1
        assert await manager.sync_schema(models) == 0
        assert await AsyncSchemaManager(pool).sync_schema(models[::-1]) == 0
    restored = tmp_path / "restored.db"
    source, target = sqlite3.connect(path), sqlite3.connect(restored)
    target.executescript("\n".join(source.iterdump()))
    source.close()
    target.close()
    async with open_pool(f"sqlite:///{restored}") as pool:
        assert await AsyncSchemaManager(pool).sync_schema(models) == 0


async def test_all_rows_together(tmp_path: Path) -> None:
    async with open_pool(f"sqlite:///{tmp_path / 'data.db'}") as pool:
        manager = AsyncSchemaManager(pool)
        models = [*ROWS.values(), CaseParent]
        assert await manager.sync_schema(models) > len(models)
        assert await manager.sync_schema(models) == 0


REFUSED = {
    'c text default "x"': c(str | None, db_default='"x"'),
    "c int default 'abc'": c(int | None, db_default="'abc'"),
    "c int default abc": c(int | None, db_default="abc"),
    "c timestamp default (datetime('now'))": c(dt.datetime | None, db_default="(datetime('now'))"),
}


@pytest.mark.parametrize("row", REFUSED)
async def test_rows_that_would_fail_later_are_refused(row: str) -> None:
    async with open_pool("sqlite://") as pool:
        with pytest.raises(ConfigurationError):
            await AsyncSchemaManager(pool).sync_schema([REFUSED[row]])
        assert await pool.fetch_val("SELECT count(*) FROM sqlite_master") == 0
