"""Which operation of a provider can stand in for a caller's, where it has not the same."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from portico.dialects.operations import OPERATIONS
from portico.dialects.registry import DIALECTS, SPOKEN
from portico.types import Dialect

PREFERENCE: Mapping[Dialect, tuple[Dialect, ...]] = {
    own: tuple(name for name in dict.fromkeys((*spoken.served_by, *DIALECTS)) if name != own)
    for own, spoken in SPOKEN.items()
}
"""What a caller of each dialect is best served by, where a provider has several others: first those that keep the
content (signed thoughts, media in tool results, documents and their citations), then those that keep the settings."""

CONVERSATIONS: Final = frozenset(name for one in SPOKEN.values() for name in (one.whole, one.streamed)) | {
    "completions"
}
"""The operations that have a place in every dialect."""
RESUMABLE: Final = frozenset(one.streamed for one in SPOKEN.values())
"""The operations whose streams can be gone on with at another provider."""


EMBEDDINGS: Final = ("cohere_embed", "batch_embed_contents", "predict", "embed_content", "embeddings", "invoke")
"""The operations that make vectors of texts, those that say most first."""
RANKINGS: Final = ("cohere_rerank", "rerank", "invoke")
"""The operations that rank documents."""
COUNTS: Final = ("messages_count_tokens", "converse_count_tokens", "responses_input_tokens", "gemini_count_tokens")
"""The operations that count the tokens of a conversation's request."""
TASKS: Final = frozenset((*EMBEDDINGS, *RANKINGS, *COUNTS))
"""The operations that are no conversations and cross all the same (`tasks.py`)."""

_EMBEDDERS: Final = ("titan-embed", "cohere.embed")
_RANKERS: Final = ("cohere.rerank", "amazon.rerank")
_CLAUDES: Final = ("messages", "messages_count_tokens")
_GEMINIS: Final = ("generate_content", "stream_generate_content", "gemini_count_tokens")


def upstream_operation(
    operation: str, offered: Collection[str], *, stream: bool, model: str = "", quirks: Collection[str] = ()
) -> str | None:
    """Return the operation of a provider that can serve a caller's, by its name; itself where it is offered.

    None where the provider has none that can. `stream` says whether the caller wants a stream: some APIs have an
    operation of their own for it. `model` is the provider's name for the model, which decides at providers whose
    operations are each for some of their models; their `quirks` may say so.
    """
    if "claude_by_messages" in quirks and "anthropic." in model:
        offered = [name for name in offered if OPERATIONS[name].dialect == "messages"]
    if operation in offered and _suits(operation, operation, offered, model):
        return operation
    names: list[str] = []
    if operation in CONVERSATIONS:
        own = OPERATIONS[operation].dialect
        spoken = [SPOKEN[dialect] for dialect in (own, *PREFERENCE[own])]
        names = [one.streamed if stream else one.whole for one in spoken]
    else:
        names = next((list(family) for family in (EMBEDDINGS, RANKINGS, COUNTS) if operation in family), [])
    for name in names:
        if name in offered and name != operation and _suits(operation, name, offered, model):
            return name
    return None


def _suits(operation: str, name: str, offered: Collection[str], model: str) -> bool:
    """Return whether a provider's operation is for a model, as far as the model's name tells."""
    if name == "invoke" and operation != "invoke":
        return any(word in model for word in (_RANKERS if operation in RANKINGS else _EMBEDDERS))
    if name == "chat" and "converse" in offered:
        # Bedrock: Converse is for all models, Chat Completions for OpenAI's (inference-chat-completions.html).
        return not model or "openai." in model
    if not model or "predict" not in offered or "messages" not in offered:
        return True
    # Vertex AI: the path says whose model it is.
    if name in _CLAUDES:
        return "claude" in model
    if name in _GEMINIS:
        return "claude" not in model
    if name in ("embed_content", "batch_embed_contents"):
        return "gemini" in model or "maas" in model
    return "/" in model if name == "chat" else True


def rewords(operation: str, members: Mapping[str, Any], quirks: Collection[str]) -> bool:
    """Return whether a provider has the operation of a request, but other words in it than the request's.

    Its `members` are `msgspec.Raw`, which mypy takes for bytes, and mypyc by its word.
    """
    if operation == "embeddings":
        if "embeddings_input_type" not in quirks:
            return False
        encoding = members.get("encoding_format")
        told = encoding is not None and bytes(encoding) not in (b"null", b'"base64"')
        return told or "dimensions" in members or "user" in members
    if operation == "rerank":
        voyage = ("top_k" in members or "truncation" in members) and "top_n" not in members
        return voyage != ("rerank_top_k" in quirks)
    return False
