"""What to ask another provider, so that it goes on with an answer that was cut off.

Where the provider can go on from the last message, being the assistant's own, that is how; otherwise the answer so
far is shown and its continuation asked for in words, to begin with the last words of it: so the seam can be found.

Sources: docs.anthropic.com/en/docs/build-with-claude/prompt-engineering/prefill-claudes-response (no more from
Claude 4.6 on), docs.mistral.ai/capabilities/completion/usage (`prefix`),
docs.vllm.ai/en/latest/serving/openai_compatible_server.html (`continue_final_message`), read 2026-11-20.
"""

from typing import Literal

import msgspec

from portico.dialects.claude.models import abilities
from portico.dialects.crossing import Target
from portico.dialects.resume.joint import last_words
from portico.ir import Message, Request, Text

LEAST = 16
"""Tokens of output that are asked for at least, where the caller set a limit."""

Way = Literal["from", "prefix", "flag", "words"]
"""How a provider goes on: from the last message as it is; as that with `prefix`; with a flag beside it; when told."""

_replace = msgspec.structs.replace
_decoder = msgspec.json.Decoder()
_encode = msgspec.json.encode


def way(request: Request, target: Target) -> Way:
    """Return how a target is asked to go on."""
    if request.reasoning is not None and request.reasoning.enabled is not False:
        return "words"  # a model that is to think first cannot go on from its own words
    if target.dialect == "chat" and "prefill_prefix" in target.quirks:
        return "prefix"
    if target.dialect == "chat" and "prefill_flag" in target.quirks:
        return "flag"
    if "prefill" in target.quirks:
        return "from"
    if target.dialect in ("messages", "converse") and abilities(target.model).prefill:
        return "from"
    return "words"


def continued(request: Request, said: str, how: Way, produced: int) -> Request:
    """Return the request for the rest of an answer.

    `produced` is how many tokens of it there are already: they count towards the caller's limit.
    """
    messages = list(request.messages)
    # Anthropic refuses white space at the end of what it is to go on from.
    shown = said.rstrip() if how == "from" else said
    if messages and messages[-1].role == "assistant":
        # The caller itself began the answer.
        last = messages.pop()
        messages.append(_replace(last, parts=(*last.parts, Text(text=shown))))
    else:
        messages.append(Message(role="assistant", parts=(Text(text=shown),)))
    if how == "words":
        messages.append(Message(role="user", parts=(Text(text=instruction(shown)),)))
    limit = request.max_tokens
    if limit is not None:
        limit = max(LEAST, limit - produced)
    return _replace(request, messages=tuple(messages), max_tokens=limit)


def instruction(said: str) -> str:
    """Return how a provider is told to go on."""
    return (
        "Your last answer was cut off while it was being written. Write the rest of it. Begin by repeating its last "
        f"words exactly, which are:\n\n{last_words(said)}\n\nThen go on from there as if there had been no "
        "interruption: do not begin anew, do not repeat anything else, and say nothing about this."
    )


def marked(body: bytes, how: Way) -> bytes:
    """Return the body of a chat in which the last message is marked as one to go on from."""
    if how not in ("prefix", "flag"):
        return body
    fields = _decoder.decode(body)
    if how == "prefix":
        fields["messages"][-1]["prefix"] = True
    else:
        fields |= {"continue_final_message": True, "add_generation_prompt": False}
    return _encode(fields)
