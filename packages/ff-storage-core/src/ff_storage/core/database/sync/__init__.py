"""The synchronous side: databases for scripts, tools and threads, on the same programs as the async pools."""

from ff_storage.core.database.sync.connection import Result, SyncConnection
from ff_storage.core.database.sync.sql import SQL, Parameters
from ff_storage.core.database.sync.store import StoreSettings, chosen_size

__all__ = ["SQL", "Parameters", "Result", "StoreSettings", "SyncConnection", "chosen_size"]
