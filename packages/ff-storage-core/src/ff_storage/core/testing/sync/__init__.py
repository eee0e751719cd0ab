"""Synchronous databases: raw statements, transactions, connections, threads."""

from ff_storage.core.testing.sync.connections import SyncConnectionTests
from ff_storage.core.testing.sync.raw import SyncRawTests
from ff_storage.core.testing.sync.threads import SharedSyncTests
from ff_storage.core.testing.sync.transactions import SyncTransactionTests


class SyncConformance(SyncRawTests, SyncTransactionTests, SyncConnectionTests, SharedSyncTests):
    """A synchronous database: raw statements, transactions, connecting, threads."""
