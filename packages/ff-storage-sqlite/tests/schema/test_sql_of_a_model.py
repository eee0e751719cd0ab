"""`get_create_table_sql`: what a person reads is what the database is given."""

import pytest

from ff_storage.core import plugins
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.hookspecs import DialectSpec, hookimpl
from ff_storage.core.model import Field, PydanticModel
from ff_storage.sqlite.dialect import SQLiteDialect


class Label(PydanticModel):
    __multi_tenant__ = False

    text: str = Field(max_length=20, db_index=True)


def provider(*names: str) -> plugins.Candidate:
    class Module:
        @staticmethod
        @hookimpl
        def ff_storage_dialects() -> list[DialectSpec]:
            return [DialectSpec(name, (name,), lambda: SQLiteDialect, object) for name in names]

    return plugins.Candidate("engines", "some-dist", "1.0", Module)


def test_it_is_the_statements_of_the_engine() -> None:
    sql = Label.get_create_table_sql(SQLiteDialect())
    table, *indexes = sql.split(";\n")
    assert table.startswith('CREATE TABLE "labels" (')
    assert 'CREATE INDEX "idx_labels_text" ON "labels" ("text")' in indexes


def test_the_only_engine_that_is_installed_need_not_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    one = plugins.PluginRegistry(lambda: [provider("one")])
    monkeypatch.setattr(plugins, "registry", lambda: one)
    assert Label.get_create_table_sql() == Label.get_create_table_sql(SQLiteDialect())


@pytest.mark.parametrize(("names", "told"), [((), "installed: none"), (("two", "one"), "installed: one, two")])
def test_of_none_or_several_one_must_be_named(
    names: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = plugins.PluginRegistry(lambda: [provider(*names)])
    monkeypatch.setattr(plugins, "registry", lambda: several)
    with pytest.raises(ConfigurationError, match=rf"{told}; pass the dialect of a pool"):
        Label.get_create_table_sql()
