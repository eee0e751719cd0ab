"""What stands in the place of a driver's connection offers all of it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ff_storage.core.database.connection import Connection, Cursor
from ff_storage.core.database.observed import ObservedConnection, ObservedCursor
from ff_storage.core.database.sync.connection import SyncConnection
from ff_storage.core.database.sync.observed import ObservedSyncConnection
from ff_storage.core.observe import Observers


def members(protocol: type[Any]) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_each_member_of_the_protocols_has_its_own_counterpart() -> None:
    # What has none would be passed on by __getattr__, and a statement among it would not be reported.
    assert members(Connection) <= vars(ObservedConnection).keys()
    assert members(Cursor) <= vars(ObservedCursor).keys()
    assert members(SyncConnection) <= vars(ObservedSyncConnection).keys()


def test_what_a_driver_offers_beyond_the_protocol_is_passed_on() -> None:
    class Driver:
        server_version = 15

    observed = ObservedConnection(cast("Connection", Driver()), Observers("none"))
    assert observed.server_version == 15
    with pytest.raises(AttributeError, match="no_such"):
        observed.no_such  # noqa: B018
