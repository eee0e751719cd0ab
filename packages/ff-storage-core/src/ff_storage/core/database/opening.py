"""A pool by URL, for whichever engine is installed."""

from __future__ import annotations

import re
from typing import Any, Final

from ff_storage.core.database.pool import Pool
from ff_storage.core.errors import ConfigurationError
from ff_storage.core.plugins import registry

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def open_pool(url: str, **options: Any) -> Pool:
    """The pool behind a URL such as `sqlite:///data.db`; it connects when it is entered: `async with … as pool`.

    The scheme names the engine; the options are those of its pool class. Raises ConfigurationError for a wrong URL or
    option, and MissingDistributionError for an engine whose part is not installed. Errors never repeat the URL.
    """
    match = _SCHEME.match(url) if isinstance(url, str) else None
    if match is None:
        raise ConfigurationError(
            "a database URL is expected",
            found=f"a {type(url).__name__} without a scheme",
            remedy="write for example sqlite:///data.db",
        )
    pool = registry().dialect_for_scheme(match[1].lower()).open_pool(url, **options)
    if not isinstance(pool, Pool):
        raise ConfigurationError(
            f"the part behind {match[1].lower()}:// did not give a pool", found=f"a {type(pool).__name__}"
        )
    return pool
