"""Import every flat name from the installed distributions."""

import ff_storage
from ff_storage.core import _flat

for name in _flat.__all__:
    getattr(ff_storage, name)
print(f"{len(_flat.__all__)} flat names of ff_storage {ff_storage.__version__}")
