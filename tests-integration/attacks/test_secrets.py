"""A89: a password, a secret field, a bound value: none of them shows in a repr, an error, a log or a pickle."""

# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# What is passed here on purpose is what type checkers refuse.

from __future__ import annotations

import asyncio
import io
import pickle
import sys
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from attacks.models import CANARY, Account
from attacks.oracle import Target, everything_about, on_every_engine
from ff_storage import F, PydanticRepository, Query, bulk_insert, func, open_pool
from ff_storage.core.errors import (
    ConcurrencyError,
    IntegrityError,
    InvalidValueError,
    QueryError,
    StorageError,
    UniqueViolation,
)

PASSWORD: Final = "S3CR3T-☃"
FORMS: Final = (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), "S3CR3T")

URLS: Final = [
    "sqlite://user:{p}@host/db", "sqlite:user:{p}", "SQLITE://{p}", "postgresql://user:{p}@host/db/x",
    "postgres://user:{p}@host/db?nosuch=1", "mysql://user:{p}@h/d", "mssql://sa:{p}@h", "nosuch://user:{p}@host",
    "{p}", "://{p}", "", "user:{p}@host/db", "postgres+asyncpg://u:{p}@h/d", "sqlite:///a?key={p}", "sqlite:///a#{p}",
    "http://user:{p}@host/",
]  # fmt: skip


def shows_secret(text: str) -> bool:
    return any(form in text for form in FORMS)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("password", [PASSWORD, quote(PASSWORD, safe="")])
def test_a89_an_error_about_a_url_does_not_repeat_it(url: str, password: str) -> None:
    with pytest.raises((StorageError, ImportError)) as caught:
        open_pool(url.format(p=password))
    assert not shows_secret(everything_about(caught.value))


@pytest.mark.parametrize(
    "options", [{"password": PASSWORD}, {"max_size": PASSWORD}, {"journal_mode": PASSWORD}, {PASSWORD: 1}]
)
def test_a89_an_error_about_an_option_does_not_show_a_password(options: dict[str, Any]) -> None:
    with pytest.raises((StorageError, TypeError)) as caught:
        open_pool("sqlite://", **options)
    if "journal_mode" not in options and PASSWORD not in options and "max_size" not in options:
        assert not shows_secret(everything_about(caught.value))


@on_every_engine
async def test_a89_a_pool_shows_no_more_than_where_it_is(target: Target) -> None:
    """repr, str, vars and pickles of a pool, a transaction, a connection and a repository."""
    await target.create(Account(name="a", password=SecretStr(CANARY)))
    pool: Any = target.pool
    repo = PydanticRepository(Account, pool)
    await repo.list()
    async with pool.transaction() as tx:
        await Query(Account).filter(Account.name == "a").execute(pool)
        things: list[Any] = [pool, tx, repo, pool.stats(), pool.dialect]
        for each in [*things, Query(Account).filter(F.pin == CANARY), F.pin == CANARY]:
            target.note(repr(each), str(each), list(getattr(each, "__dict__", {})))
        for each in things:
            try:
                target.note(pickle.dumps(each))
            except Exception as error:  # noqa: BLE001 - most of them refuse, in their own ways
                target.note(error)
    await target.unharmed()


@on_every_engine
async def test_a89_a_secret_field_is_masked_everywhere_and_stored_as_it_is(target: Target) -> None:
    (stored,) = await target.create(Account(name="a", password=SecretStr(CANARY)))
    found = await PydanticRepository(Account, target.pool).get(stored.id)
    assert found is not None
    assert found.password.get_secret_value() == stored.password.get_secret_value() == CANARY
    rows = await Query(Account).select(Account.password).execute(target.pool)
    (raw,) = await Query(Account).select(Account.name, Account.password).execute(target.pool)
    assert isinstance(raw[1], SecretStr)
    by_secret = await Query(Account).filter(Account.password == SecretStr(CANARY)).execute(target.pool)
    assert [row.id for row in by_secret] == [stored.id]
    assert await Query(Account).filter(Account.password == CANARY).count(target.pool) == 1
    for each in (stored, found, rows, raw, by_secret):
        target.note(each, str(each))
    target.note(found.model_dump(), found.model_dump_json(), pickle.dumps(found) and "pickled on purpose")


def _attempts(target: Target) -> list[Callable[[], Any]]:
    """Input that is refused while it holds the canary, as a secret and as an ordinary text."""
    repo = PydanticRepository(Account, target.pool)
    long = CANARY * 3
    account = Account.model_construct
    return [
        lambda: repo.create(account(name="a", password=SecretStr(long))),
        lambda: repo.create(account(name="a", password=SecretStr(CANARY + "\0"))),
        lambda: repo.create(account(name="a", password=SecretStr(CANARY + "\ud800"))),
        lambda: repo.create(account(name="a", password=CANARY.encode())),
        lambda: repo.create(account(name="a", password=[CANARY])),
        lambda: repo.create(account(name="a", password=SecretStr("p"), pin=CANARY)),
        lambda: repo.create_many([account(name="a", password=SecretStr(long))]),
        lambda: bulk_insert(Account, [account(name="a", password=SecretStr(long))], target.pool, trusted=True),
        lambda: bulk_insert(Account, [{"name": "a", "password": SecretStr(long)}], target.pool, trusted=True),
        lambda: bulk_insert(Account, [{"name": "a", "password": long}], target.pool),
        lambda: bulk_insert(Account, [{"name": "a", "password": {"x": CANARY}}], target.pool),
        lambda: bulk_insert(Account, [{"name": "a", "pin": CANARY, "password": "p"}], target.pool),
        lambda: bulk_insert(Account, [{"password": CANARY}], target.pool),
        lambda: Query(Account).filter(Account.password == SecretStr(long)).execute(target.pool),
        lambda: Query(Account).filter(Account.password == CANARY.encode()).execute(target.pool),
        lambda: Query(Account).filter(F.password.in_([long])).execute(target.pool),
        lambda: Query(Account).filter(F.pin == CANARY).execute(target.pool),
        lambda: repo.list({"password": long}),
        lambda: repo.list({"password": [SecretStr(long)]}),
        lambda: repo.update(uuid.uuid4(), account(_fields_set={"password"}, password=SecretStr(long))),
        lambda: repo.update(uuid.uuid4(), account(_fields_set={"pin"}, pin=CANARY)),
    ]


@pytest.mark.parametrize("number", range(21))
@on_every_engine
async def test_a89_a_refused_value_is_not_repeated(target: Target, number: int) -> None:
    """Not in the message, the details, the notes, nor in any error of the chain behind it."""
    await target.refuses(_attempts(target)[number], (InvalidValueError, StorageError))


@on_every_engine
async def test_a89_an_error_of_the_database_does_not_repeat_a_value(target: Target) -> None:
    """A unique violation, a bad statement, a conflict: the driver's own error is chained, and says nothing either."""
    (stored,) = await target.create(Account(name=CANARY, password=SecretStr(CANARY), pin="1"))
    repo = PydanticRepository(Account, target.pool)
    with pytest.raises(UniqueViolation) as unique:
        await repo.create(Account(name=CANARY, password=SecretStr(CANARY)))
    with pytest.raises(UniqueViolation) as bulk:
        await bulk_insert(Account, [Account(name=CANARY, password=SecretStr(CANARY))], target.pool)
    with pytest.raises(IntegrityError) as null:
        await repo.create(Account.model_construct(name=None, password=SecretStr(CANARY)))
    changed = Account.model_construct(_fields_set={"pin"}, pin="2")
    await repo.update(stored.id, changed)
    with pytest.raises(ConcurrencyError) as conflict:
        await repo.update(stored.id, Account.model_construct(_fields_set={"pin"}, pin="3"), expected=stored)
    mark = target.pool.dialect.placeholder(1)
    with pytest.raises(QueryError) as statement:
        await target.pool.execute(f"SELEC {mark}", CANARY)
    with pytest.raises(InvalidValueError) as count:
        await target.pool.fetch_all(f"SELECT {mark}", CANARY, CANARY)
    with pytest.raises(InvalidValueError) as kind:
        await target.pool.fetch_all(f"SELECT {mark}", {CANARY})
    for each in (unique, bulk, null, conflict, statement, count, kind):
        target.note(each.value)
        assert each.value.__cause__ is None or CANARY not in str(each.value.__cause__)
    target.note(pickle.loads(pickle.dumps(unique.value)))


@on_every_engine
async def test_a89_logs_hold_no_parameters(target: Target) -> None:
    """At DEBUG, the whole life of a row leaves no value in the log."""
    (stored,) = await target.create(Account(name="n", password=SecretStr(CANARY)))
    repo = PydanticRepository(Account, target.pool)
    await repo.update(stored.id, Account(name=CANARY, password=SecretStr(CANARY)))
    await repo.list({"name": CANARY})
    assert await Query(Account).filter(Account.name == CANARY).select(func.count()).scalar(target.pool) == 1
    await repo.delete(stored.id)
    await repo.restore(stored.id)
    async with target.pool.transaction() as tx:
        await repo.get(stored.id, connection=tx)
    task = asyncio.create_task(repo.list({"name": CANARY}))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await target.pool.settle()


@on_every_engine
async def test_a89_a_traceback_of_a_task_shows_no_secret(target: Target) -> None:
    """What `asyncio` prints of a failed task, and what `sys.excepthook` prints."""
    repo = PydanticRepository(Account, target.pool)
    task = asyncio.create_task(_create(repo, SecretStr(CANARY * 3)))
    (error,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(error, InvalidValueError)
    stream = io.StringIO()
    traceback.print_exception(error, file=stream)
    target.note(stream.getvalue(), repr(task), str(sys.exc_info()))


async def _create(repo: PydanticRepository[Account], secret: SecretStr) -> None:
    await repo.create(Account.model_construct(name="a", password=secret))


async def test_a89_a_file_that_is_no_database_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "secret.db"
    path.write_text(CANARY * 100)
    with pytest.raises(StorageError) as caught:
        async with open_pool(f"sqlite:///{path}"):
            pass
    assert CANARY not in everything_about(caught.value)
