"""What a keyed read or write can meet instead of its one row: none, several, or one that changed."""

from __future__ import annotations

from ff_storage.core.errors import AmbiguousRow, ConcurrencyError, NoResultFound


def missing(name: str) -> NoResultFound:
    """The error for a key that names no row of the model `name`."""
    return NoResultFound(f"there is no {name} with that key in scope")


def ambiguous(name: str, count: int) -> AmbiguousRow:
    """The error for a key that names `count` rows, which a scope of several tenants can have."""
    return AmbiguousRow(f"the key names {count} rows of {name} in different tenants", remedy="pass one tenant_id")


def changed(name: str) -> ConcurrencyError:
    """The error for a row that is not as its reader knew it."""
    return ConcurrencyError(f"the {name} changed since it was read", remedy="read it again and repeat the change")
