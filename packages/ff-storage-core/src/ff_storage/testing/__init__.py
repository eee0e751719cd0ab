"""The conformance kit under its short path; `ff_storage.core.testing` is its home."""

from ff_storage.core.testing import *
