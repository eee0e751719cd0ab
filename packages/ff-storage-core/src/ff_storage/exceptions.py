"""The error tree under its published path; `ff_storage.core.errors` is its home."""

from ff_storage.core.errors import *
