"""Pydantic models as tables, history, tenants, schema and objects, in parts that plug into one core.

Every public name can be imported from here and is loaded when it is first asked for: `from ff_storage import
StorageError` imports neither pydantic nor a driver. A name whose part is not installed raises
`MissingDistributionError`, which says what to install; a name that does not exist is an error for type checkers too.
"""

import os
import sys

from ff_storage.core import _flat

TYPE_CHECKING = False  # type checkers go by the name; importing typing costs as much as a bare interpreter
if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from ff_storage.core._flat import *

    __version__: str


def _add_portions(path: "MutableSequence[str]") -> None:
    """Add every other directory `ff_storage` on `sys.path`: the parts that are installed in editable mode.

    This is `pkgutil.extend_path` for directories. Importing pkgutil is most of what `import ff_storage` would cost
    (9 of 11 ms), and what it does beyond this has no use here: `*.pkg` files, and zip files, in which a wheel's
    namespace portion is not found either way.
    """
    for entry in sys.path:
        portion = os.path.join(entry, __name__)
        if os.path.isdir(portion):
            portion = os.path.abspath(portion)
            if portion not in path:
                path.append(portion)


_add_portions(__path__)


if not TYPE_CHECKING:  # hidden, so that a misspelled name is an error for type checkers
    __all__ = _flat.__all__

    def __getattr__(name: str) -> object:
        value = _flat.load(name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_flat.installed()})
