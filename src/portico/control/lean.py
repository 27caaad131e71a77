"""uvicorn's server without its command line and its supervisors, for which this process has no use: a megabyte less."""

import sys
from importlib.util import find_spec
from types import ModuleType

_found = find_spec("uvicorn") if "uvicorn" not in sys.modules else None
if _found is not None and _found.submodule_search_locations is not None:
    _package = ModuleType("uvicorn")
    _package.__path__ = list(_found.submodule_search_locations)
    sys.modules["uvicorn"] = _package
try:
    from uvicorn.config import Config as Config
    from uvicorn.server import Server as Server
finally:
    if _found is not None:
        del sys.modules["uvicorn"]  # whoever imports it gets all of it
