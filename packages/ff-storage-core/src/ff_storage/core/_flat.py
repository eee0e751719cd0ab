"""The flat names of `ff_storage`: one table for the interpreter, one import list for type checkers.

The imports below are never executed, so `import ff_storage` loads neither pydantic nor a driver; `_HOME` says where
the interpreter finds a name when somebody asks for it. A guard test holds the imports, `__all__` and `_HOME` equal, and
each part's share equal to that part's own `__all__`.
"""

TYPE_CHECKING = False  # the name is what type checkers look for; importing typing would cost 8 ms
if TYPE_CHECKING:
    pass

__all__: list[str] = []

_HOME: dict[str, str] = {}
