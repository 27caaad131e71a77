"""Which operation of a provider can stand in for a caller's, where it has not the same."""

from collections.abc import Collection, Mapping

from portico.dialects.operations import OPERATIONS
from portico.types import Dialect

_OPERATIONS: Mapping[Dialect, tuple[str, str]] = {
    "chat": ("chat", "chat"),
    "responses": ("responses", "responses"),
    "messages": ("messages", "messages"),
    "gemini": ("generate_content", "stream_generate_content"),
    "converse": ("converse", "converse_stream"),
    "cohere": ("cohere_chat", "cohere_chat"),
}
"""The operations that a conversation is at a provider of each dialect: whole and streamed."""

PREFERENCE: Mapping[Dialect, tuple[Dialect, ...]] = {
    "chat": ("responses", "messages", "gemini", "converse", "cohere"),
    "responses": ("chat", "messages", "gemini", "converse", "cohere"),
    "messages": ("converse", "responses", "gemini", "chat", "cohere"),
    "gemini": ("messages", "responses", "chat", "converse", "cohere"),
    "converse": ("messages", "responses", "gemini", "chat", "cohere"),
    "cohere": ("messages", "chat", "responses", "gemini", "converse"),
}
"""What a caller of each dialect is best served by, where a provider has several others: first those that keep the
content (signed thoughts, media in tool results, documents and their citations), then those that keep the settings."""

CONVERSATIONS = frozenset(name for names in _OPERATIONS.values() for name in names) | {"completions"}
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
        name = _OPERATIONS[dialect][stream]
        if name in offered and name != operation:
            return name
    return None
