"""The flat names and the published error module have the types of their homes."""

from typing import assert_type

import ff_storage
import ff_storage.exceptions
from ff_storage import ConnectionPoolExhausted, FFStorageError, PoolTimeout, StorageError, UniqueViolation
from ff_storage.core.errors import DatabaseError
from ff_storage.exceptions import DatabaseError as PublishedDatabaseError

assert_type(ff_storage.__version__, str)
assert_type(FFStorageError("a message"), StorageError)
assert_type(ConnectionPoolExhausted("a message"), PoolTimeout)
assert_type(PublishedDatabaseError("a message"), DatabaseError)
assert_type(ff_storage.exceptions.StorageError("a message").found, str)

error: StorageError = UniqueViolation("a message", found="a fact", remedy="a remedy")
