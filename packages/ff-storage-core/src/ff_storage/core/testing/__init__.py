"""The conformance kit: what every dialect has to pass, as test classes to derive from.

    from ff_storage.testing import QueryConformance

    class TestQuery(QueryConformance):
        capabilities = SQLiteDialect.capabilities

        @pytest.fixture
        def database(self, tmp_path: Path) -> str:
            return f"sqlite:///{tmp_path}/kit.db"

`database` gives the URL of an empty database of the test's own. Install it with `ff-storage-core[testing]`.
"""

import pytest

# Before the modules are imported, so that a failing assertion shows both sides.
_MODULES = (
    "aggregates bulk conformance filters logic matches observing pool query raw references repository sync"
    " sync_repository tenants terminals transactions units values"
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES.split()))

from ff_storage.core.testing.cancellation import cancel_at_each_await  # noqa: E402 - see above
from ff_storage.core.testing.conformance import Conformance, connections, lacking, requires  # noqa: E402
from ff_storage.core.testing.pool import PoolConformance  # noqa: E402
from ff_storage.core.testing.query import QueryConformance  # noqa: E402
from ff_storage.core.testing.recording import Recorder, Sent  # noqa: E402
from ff_storage.core.testing.repository import RepositoryConformance  # noqa: E402
from ff_storage.core.testing.sync import SyncConformance  # noqa: E402
from ff_storage.core.testing.sync_repository import SyncRepositoryConformance  # noqa: E402
from ff_storage.core.testing.tables import create_tables  # noqa: E402
from ff_storage.core.testing.values import ValuesConformance  # noqa: E402

__all__ = [
    "Conformance",
    "PoolConformance",
    "QueryConformance",
    "Recorder",
    "RepositoryConformance",
    "Sent",
    "SyncConformance",
    "SyncRepositoryConformance",
    "ValuesConformance",
    "cancel_at_each_await",
    "connections",
    "create_tables",
    "lacking",
    "requires",
]
