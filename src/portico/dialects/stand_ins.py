"""Which operation of a provider can stand in for a caller's, where it has not the same."""

from collections.abc import Collection, Mapping

from portico.dialects.operations import OPERATIONS
from portico.dialects.registry import DIALECTS, SPOKEN
from portico.types import Dialect

PREFERENCE: Mapping[Dialect, tuple[Dialect, ...]] = {
    own: tuple(name for name in dict.fromkeys((*spoken.served_by, *DIALECTS)) if name != own)
    for own, spoken in SPOKEN.items()
}
"""What a caller of each dialect is best served by, where a provider has several others: first those that keep the
content (signed thoughts, media in tool results, documents and their citations), then those that keep the settings."""

CONVERSATIONS = frozenset(name for one in SPOKEN.values() for name in (one.whole, one.streamed)) | {"completions"}
"""The operations that have a place in every dialect."""


def upstream_operation(operation: str, offered: Collection[str], *, stream: bool) -> str | None:
    """Return the operation of a provider that can serve a caller's, by its name; itself where it is offered.

    None where the provider has none that can, or where the operation is no conversation. `stream` says whether the
    caller wants a stream: some APIs have an operation of their own for it.
    """
    if operation in offered:
        return operation
    if operation not in CONVERSATIONS:
        return None
    own = OPERATIONS[operation].dialect
    for dialect in (own, *PREFERENCE[own]):
        name = SPOKEN[dialect].streamed if stream else SPOKEN[dialect].whole
        if name in offered and name != operation:
            return name
    return None
