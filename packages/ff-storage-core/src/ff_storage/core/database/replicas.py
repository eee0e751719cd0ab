"""Replicas: who serves a read that need not go to the primary.

Only compiled reads outside transactions are asked of a replica, in turn. Programs, raw SQL, streams, acquired
connections and everything in a transaction go to the primary. A replica that cannot be reached, or loses the
connection, is left out for some seconds and the primary serves; a read can be asked twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ff_storage.core.database.session import session_of
from ff_storage.core.errors import ConnectionFailure, ConnectionLost, DatabaseError, PoolError, SerializationFailure
from ff_storage.core.program import Row

if TYPE_CHECKING:
    from ff_storage.core.database.pool import Pool

logger = logging.getLogger("ff_storage.database")

LEFT_OUT: Final = 5.0
"""Seconds for which a replica that failed is asked nothing."""


class Replicas:
    """The replicas of `primary`."""

    def __init__(self, primary: Pool, pools: Sequence[Pool]) -> None:
        self._primary = primary
        self.pools = tuple(pools)
        self._back_at = dict.fromkeys(self.pools, 0.0)
        self._turn = 0
        for pool in self.pools:
            # Somebody else can serve, so an attempt to connect is made once and not repeated.
            pool._insists = False

    async def connect(self) -> None:
        """Open those that can be opened; a replica that is not there is no reason not to work."""
        await asyncio.gather(*[self._connect(pool) for pool in self.pools])

    async def _connect(self, pool: Pool) -> None:
        try:
            await pool.connect()
        except DatabaseError as error:
            self._leave_out(pool, error)

    async def fetch(self, text: str, parameters: Sequence[Any]) -> list[Row] | None:
        """What a replica answers; None where the primary has to serve."""
        pool = self._next() if self._primary.state == "open" else None
        if pool is None:
            return None
        session = session_of(self._primary)
        if session is not None:
            await session.cover()
        try:
            if pool.state != "open":
                await pool.connect()
            if session is not None and not await session.may_read(pool):
                return None
            return await pool.fetch(text, parameters)
        except SerializationFailure as error:
            # Its replay of the primary's work got in the way of the read.
            logger.info("a replica gave up a read, which goes to the primary: %s", error)
        except (ConnectionFailure, ConnectionLost, PoolError) as error:
            self._leave_out(pool, error)
        return None

    def _next(self) -> Pool | None:
        """The next replica in turn that is not left out."""
        now = monotonic()
        for _ in self.pools:
            pool = self.pools[self._turn % len(self.pools)]
            self._turn += 1
            if now >= self._back_at[pool]:
                return pool
        return None

    def _leave_out(self, pool: Pool, error: DatabaseError) -> None:
        self._back_at[pool] = monotonic() + LEFT_OUT
        logger.warning("the replica %r is left out for %g s, and the primary serves: %s", pool, LEFT_OUT, error)
