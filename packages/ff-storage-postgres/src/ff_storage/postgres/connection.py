"""The asynchronous connection: asyncpg's, under the pool's contract.

asyncpg stops a statement itself when its task is canceled, and lets the next command wait until that is done; what is
left for us is its errors, the state of the session, and bulk inserts by COPY.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

import asyncpg

from ff_storage.core.database import IsolationLevel
from ff_storage.core.errors import (
    InvalidValueError,
    StorageError,
    TransactionAborted,
)
from ff_storage.core.program import Row, Target
from ff_storage.postgres import errors
from ff_storage.postgres.address import Address
from ff_storage.postgres.driver import Driver, TypedRecord
from ff_storage.postgres.driver_errors import refused, translated
from ff_storage.postgres.keepalive import keep_alive
from ff_storage.postgres.records import plain_rows
from ff_storage.postgres.redaction import without_frames
from ff_storage.postgres.session import leaves_session

COPY_ROWS: Final = 5
"""From this many rows on, COPY is faster than an INSERT for each."""

_CANCEL_AGAIN: Final = 0.1
"""Seconds after which a request to cancel is repeated, and twice as many each time."""

_RESET: Final = (
    "CLOSE ALL; RESET ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES; "
    "SELECT pg_advisory_unlock_all()"
)

_PREPARED: Final = "SELECT count(*) FROM pg_prepared_statements WHERE from_sql"


class PostgresConnection:
    """One open connection; see `ff_storage.core.database.Connection` for the contract."""

    __slots__ = ("_driver", "_poll", "_shared")

    def __init__(self, driver: Any, *, shared: bool) -> None:
        self._driver = driver
        self._shared = shared
        self._poll: Callable[[int], list[Any]] | None = None
        sock = driver._transport.get_extra_info("socket")  # asyncpg has no public way to it
        if sock is not None and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock.fileno(), select.POLLIN)
            self._poll = poll.poll

    @classmethod
    async def open(
        cls,
        address: Address,
        tls: ssl.SSLContext | None,
        *,
        shared: bool,
        statement_cache_size: int,
        keepalive: float | None = None,
        plain_uuids: bool = True,
    ) -> PostgresConnection:
        """Connect. `shared`: a pooler lends the server's sessions for a transaction, so they have no state of ours."""
        password = address.password
        driver: Any = None
        try:
            driver = await asyncpg.connect(  # type: ignore[call-overload]  # its stubs know no timeout=None
                host=address.host,
                port=address.port,
                user=address.user,
                database=address.dbname,
                password=password.reveal() if password is not None else None,
                ssl=tls or False,
                timeout=None,  # pyright: ignore[reportArgumentType]  # the pool's own deadline stands around this
                statement_cache_size=0 if shared else statement_cache_size,
                server_settings={"application_name": address.application_name},
                connection_class=Driver,
            )
            if plain_uuids:
                driver.use_plain_uuids()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError) as error:
            _abandon(driver)
            raise refused(error, address) from without_frames(error)
        except BaseException as error:  # noqa: BLE001 - the very same goes on
            _abandon(driver)
            raise without_frames(error)  # noqa: B904 - as above
        sock = driver._transport.get_extra_info("socket")
        if sock is not None:
            keep_alive(sock, keepalive)
        return cls(driver, shared=shared)

    @property
    def driver(self) -> Any:
        """The connection of asyncpg itself, for what this library does not offer."""
        return self._driver

    @property
    def server_version(self) -> int:
        """The server's version as a number: 150018 for 15.18."""
        version = self._driver.get_server_version()
        return int(version.major) * 10_000 + int(version.minor or version.micro)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return not self._driver.is_closed() and bool(self._driver.is_in_transaction())

    @property
    def is_closed(self) -> bool:
        """Whether it can no longer be used."""
        return bool(self._driver.is_closed())

    @property
    def is_disturbed(self) -> bool:
        """Whether the server has said something that the event loop has not read: most likely its good-bye."""
        return self._poll is not None and bool(self._poll(0))

    def keeps_session(self, text: str) -> bool:
        """Whether raw SQL is about rows alone and calls no function that might set something."""
        return leaves_session(text)

    # --- statements --------------------------------------------------------------------------------------------------

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        """Every row, as asyncpg's records."""
        try:
            rows: list[Row] = await self._driver.rows(text, parameters)
        except Exception as error:
            raise await self._failed(error) from error
        return rows

    async def fetch_named(self, text: str, parameters: Sequence[Any]) -> tuple[tuple[str, ...], list[Row]]:
        """The names of the columns, and every row in plain Python values."""
        try:
            rows = await self._driver.fetch(text, *parameters)
        except Exception as error:
            raise await self._failed(error) from error
        return (tuple(rows[0].keys()), await self._plain(text, rows)) if rows else ((), [])

    async def fetch_first(self, text: str, parameters: Sequence[Any]) -> tuple[tuple[str, ...], Row | None]:
        """The names of the columns, and the first row if there is one."""
        try:
            row = await self._driver.fetchrow(text, *parameters)
        except Exception as error:
            raise await self._failed(error) from error
        return (tuple(row.keys()), (await self._plain(text, [row]))[0]) if row is not None else ((), None)

    async def execute(self, text: str, parameters: Sequence[Any]) -> int:
        """The number of rows touched; 0 for a statement that is not about rows."""
        try:
            return _touched(await self._driver.status(text, parameters))
        except Exception as error:
            raise await self._failed(error) from error

    async def execute_many(self, text: str, parameters: Iterable[Sequence[Any]], target: Target | None = None) -> int:
        """Run `text` for each of `parameters`, all or nothing; an insert of several rows goes by COPY."""
        rest = iter(parameters)
        rows = [*islice(rest, COPY_ROWS)] if target is not None else [*rest]
        if not rows:
            return 0
        if target is not None and len(rows) == COPY_ROWS:
            return await self._copy(target, chain(rows, rest))
        try:
            if target is not None:
                await self._driver.executemany(text, rows)
                return len(rows)
            return await self._run_each(text, rows)
        except Exception as error:
            raise await self._failed(error) from error

    async def _copy(self, target: Target, rows: Iterable[Sequence[Any]]) -> int:
        """Send `rows` while they are asked for: making them, and what the server does with them, overlap."""
        source = _Source(rows)
        try:
            with self._driver.copying():
                status = await self._driver.copy_records_to_table(
                    target.table, schema_name=target.schema, columns=target.columns, records=source.rows()
                )
        except Exception as error:
            if error is source.error:
                raise
            if isinstance(error, TypeError | ValueError | ArithmeticError) and not isinstance(
                error, asyncpg.InterfaceError
            ):  # its encoders' own, which here are not wrapped
                raise InvalidValueError("a value does not fit its column", found=f"a {type(error).__name__}") from None
            details = errors.place_in_copy(getattr(error, "context", None))
            translated = self._translated(error)
            if isinstance(translated, StorageError):
                translated.details |= details
            raise translated from error
        return _touched(status)

    async def _run_each(self, text: str, rows: Iterable[Sequence[Any]]) -> int:
        # asyncpg's executemany() does not say how many rows it touched.
        touched = 0
        async with self._all_or_nothing():
            for row in rows:
                touched += _touched(await self._driver.status(text, row))
        return touched

    @contextlib.asynccontextmanager
    async def _all_or_nothing(self) -> AsyncGenerator[None]:
        """A transaction, unless one is open: a statement that fails in that has doomed it, or its savepoint."""
        if self._driver.is_in_transaction():
            yield
            return
        await self._driver.execute("BEGIN")
        try:
            yield
        except Exception:
            await self._driver.execute("ROLLBACK")
            raise
        await self._driver.execute("COMMIT")

    async def open_cursor(self, text: str, parameters: Sequence[Any], *, raw: bool = False) -> PostgresCursor:
        """A cursor over the rows of a statement, in a transaction of its own unless one is open."""
        own = not self._driver.is_in_transaction()
        try:
            if own:
                await self._driver.execute("BEGIN")
            # A pooler's session may know the name already, from another process.
            statement = await self._driver.prepare(
                text, name="" if self._shared else None, record_class=None if raw else TypedRecord
            )
            attributes = statement.get_attributes()
            cursor = await statement.cursor(*parameters)
        except Exception as error:
            translated = self._translated(error)
            if own and self.in_transaction:
                await self.rollback()
            raise translated from error
        return PostgresCursor(self, cursor, attributes, own=own, raw=raw)

    # --- transactions ------------------------------------------------------------------------------------------------

    async def begin(self, isolation: IsolationLevel | None, *, readonly: bool) -> None:
        """Begin a transaction."""
        level = f" ISOLATION LEVEL {isolation.value}" if isolation is not None else ""
        await self.run_script(f"BEGIN{level}{' READ ONLY' if readonly else ''}")

    async def commit(self) -> None:
        """Commit the transaction. Raises TransactionAborted where the server has silently rolled back instead."""
        if await self.run_script("COMMIT") != "COMMIT":
            raise TransactionAborted("the server rolled back instead of committing", found="a failed statement")

    async def rollback(self) -> None:
        """Roll the transaction back, if there is one."""
        if self.in_transaction:
            await self.run_script("ROLLBACK")

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self.run_script(f"SAVEPOINT {name}")

    async def release(self, name: str) -> None:
        """Forget a savepoint and keep what was done since."""
        await self.run_script(f"RELEASE SAVEPOINT {name}")

    async def rollback_to(self, name: str) -> None:
        """Undo what was done since a savepoint, and forget it."""
        await self.run_script(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")

    async def run_script(self, text: str) -> str:
        """Run statements of the library's own making, without parameters, in one round trip; the last one's status."""
        try:
            status: str = await self._driver.execute(text)
        except Exception as error:
            raise self._translated(error) from error
        return status

    # --- the session -------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Nothing: asyncpg asks the server to stop as soon as the task that waits is canceled."""

    async def ping(self) -> None:
        """Raise a DatabaseError unless the connection is sound."""
        await self.run_script("SELECT 1")

    async def reset(self, *, dirty: bool) -> bool:
        """Wait for what is being canceled, end any transaction, and restore the session's state."""
        if self._driver.is_closed():
            return False
        await self._until_canceled()
        # Before anything else, so that asyncpg reads how a canceled statement ended: it may have been the BEGIN.
        await self.run_script("ROLLBACK" if self.in_transaction else "SELECT 1")
        await self.rollback()
        if dirty and not self._shared:
            await self.run_script(_RESET)
            # Closing those would break asyncpg's own, which are cached under names of its making.
            return not (await self.fetch(_PREPARED, ()))[0][0]
        return True

    async def _until_canceled(self) -> None:
        """Wait until the canceled statement has ended, if there is one.

        A request to cancel goes by a link of its own. One that reaches the server before the statement does finds
        nothing to cancel, and the statement would run to its end; so it is repeated.
        """
        protocol = self._driver._protocol
        if not protocol._is_cancelling():
            return
        ended = asyncio.ensure_future(protocol._wait_for_cancellation(None))
        pause = _CANCEL_AGAIN
        try:
            while not (await asyncio.wait({ended}, timeout=pause))[0]:
                pause *= 2
                await self._driver._cancel(asyncio.get_running_loop().create_future())
        finally:
            if not ended.cancel() and not ended.cancelled():
                ended.exception()  # seen: the next statement says what it means

    async def close(self) -> None:
        """Close it in order."""
        try:
            await self._driver.close()
        except Exception as error:
            raise self._translated(error) from error

    def terminate(self) -> None:
        """Close it at once, without waiting."""
        transport: Any = self._driver._transport
        try:
            self._driver.terminate()
        except RuntimeError:
            # Its event loop is closed. The server has been told; what would close the socket never runs.
            transport = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
            if getattr(transport, "_sock", None) is not None:
                transport._sock.close()
                transport._sock = None

    # --- results and errors ------------------------------------------------------------------------------------------

    async def _plain(self, text: str, rows: Sequence[Any]) -> list[Row]:
        return plain_rows(rows, await self._attributes(text))

    async def _attributes(self, text: str) -> Sequence[Any]:
        # asyncpg keeps the statement that it has just run, and has no public way to its columns but another round trip.
        driver = self._driver
        state = driver._stmt_cache.get((text, driver._protocol.get_record_class(), False))
        attributes: Sequence[Any]
        if state is not None:
            with contextlib.suppress(asyncpg.InternalClientError):  # a type was forgotten when codecs changed
                attributes = state._get_attributes()
                return attributes
        try:
            attributes = (await driver.prepare(text, name="")).get_attributes()
            await self._settle()
        except Exception as error:
            raise self._translated(error) from error
        return attributes

    async def _settle(self) -> None:
        """Have the server end what asyncpg has only prepared: until then a transaction is open, and its locks held."""
        if not self._driver.is_in_transaction():
            await self._driver.execute("SELECT")  # asyncpg fails on an empty one

    async def _failed(self, error: Exception) -> Exception:
        """The library's error for one of asyncpg's, when the server waits for nothing more.

        asyncpg prepares a statement before it looks at the arguments; when those do not fit, it leaves it at that.
        """
        of_server = isinstance(error, asyncpg.PostgresError) and error.severity is not None
        if not of_server and not self._driver.is_closed():
            try:
                await self._settle()
            except Exception:  # noqa: BLE001 - the first error is the one to tell
                self._driver.terminate()
        return self._translated(error)

    def _translated(self, error: Exception) -> Exception:
        return translated(error, self._driver)


class _Source:
    """The rows of a COPY, and what reading them raised: that is the caller's own, and none of the driver's."""

    __slots__ = ("_rows", "error")

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._rows = rows
        self.error: Exception | None = None

    def rows(self) -> Iterator[Sequence[Any]]:
        """The rows, once."""
        try:
            yield from self._rows
        except Exception as error:
            self.error = error
            raise


class PostgresCursor:
    """The rows of one statement, batch by batch."""

    __slots__ = ("_connection", "_cursor", "_failed", "_own", "_raw", "columns")

    def __init__(
        self, connection: PostgresConnection, cursor: Any, attributes: Sequence[Any], *, own: bool, raw: bool
    ) -> None:
        self._connection = connection
        self._cursor: Any = cursor
        self._own = own
        self._failed = False
        self._raw = attributes if raw else None
        self.columns = tuple([attribute.name for attribute in attributes])

    async def fetch(self, count: int = 1000) -> list[Row]:
        """The next `count` rows, or what is left; empty at the end."""
        try:
            rows: list[Row] = await self._cursor.fetch(count)
        except Exception as error:
            self._failed = True
            raise self._connection._translated(error) from error
        return rows if self._raw is None else plain_rows(rows, self._raw)

    async def close(self) -> None:
        """Give up the rest, and end the cursor's own transaction."""
        self._cursor = None
        if self._own:
            await (self._connection.rollback() if self._failed else self._connection.commit())


def _touched(status: str | bytes | None) -> int:
    """The rows that a command's tag counts: 3 of "UPDATE 3", 0 of "BEGIN" and of an empty text, which has none."""
    words = (status or "").split()
    return int(words[-1]) if words and words[-1].isdigit() else 0


def _abandon(driver: Any) -> None:
    if driver is not None:
        driver.terminate()
