"""The one pool, over any driver's connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from ff_storage.core import program as programs
from ff_storage.core.database.ambient import ambient, detached, in_any
from ff_storage.core.database.connection import Connection, IsolationLevel
from ff_storage.core.database.executor import Executor
from ff_storage.core.database.lease import Direct, Lease, has_ended
from ff_storage.core.database.life import Life
from ff_storage.core.database.observed import ObservedConnection
