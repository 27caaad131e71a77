"""What a model wrote into a tool's call, as the object that some dialects want; and what only one dialect knows."""

from typing import Any

import msgspec

from portico.dialects.tokens import UNREADABLE
from portico.ir import JSON, Extra

_decode = msgspec.json.Decoder().decode


def parsed_arguments(arguments: str) -> JSON:
    """Return a call's arguments as an object; what is no object, or no JSON, stands in one."""
    if not arguments:
        return {}
    try:
        value = _decode(arguments)
    except UNREADABLE:
        value = arguments
    return value if type(value) is dict else {"raw_arguments": value}


def written_arguments(arguments: str) -> JSON:
    """Return arguments as their own dialect wrote them, whatever JSON that was; what is none stands in an object."""
    try:
        return _decode(arguments) if arguments else {}
    except UNREADABLE:
        return {"raw_arguments": arguments}


def merge(block: dict[str, Any], extra: Extra) -> None:
    """Add what only this dialect knows; what is said by a field of ours stays as that says it."""
    for name, value in extra.items():
        if name[:1] != "$" and name not in block:
            block[name] = value
