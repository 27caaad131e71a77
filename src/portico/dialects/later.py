"""Names of a dialect that are loaded when they are first asked for.

What reads and writes conversations is loaded when a call crosses; most pass, and a worker stays small without it.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

LANGUAGE: Mapping[str, str] = MappingProxyType(
    {
        "parse_error": "errors",
        "parse_reply": "reply",
        "render_reply": "reply",
        "parse_request": "request",
        "render_request": "request",
        "Decoder": "stream",
        "Encoder": "stream",
    }
)
"""Where a dialect's package has what a `Language` (translate.py) is made of."""


def later(package: str, more: Mapping[str, str] = MappingProxyType({})) -> Callable[[str], object]:
    """Return the `__getattr__` of a dialect's package, by which it has a `Language`, and `more`.

    A name stands for a member of the module that it is mapped to; for that module itself where both are the same.
    """
    modules = {**LANGUAGE, **more}

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{modules[name]}")
        found: object = module if name == modules[name] else getattr(module, name)
        setattr(sys.modules[package], name, found)
        return found

    return find
