"""The flat names come with a star import too."""

from typing import assert_type

from ff_storage import *

assert_type(PoolTimeout("a message"), PoolTimeout)
assert_type(PoolTimeout("a message").found, str)
