"""A misspelled flat name is an error, although names are loaded lazily."""

import ff_storage
from ff_storage import StorageEror  # error
from ff_storage.exceptions import DatabaseEror  # error

ff_storage.StorageErrors  # error
ff_storage.StorageError(1)  # error
