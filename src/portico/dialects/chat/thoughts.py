"""Thoughts in a message, read and written: `reasoning_content`, `reasoning`, `reasoning_details`.

DeepSeek, Z.ai, xAI, Moonshot and vLLM write the text as `reasoning_content`, OpenRouter, Groq and Ollama as
`reasoning`. OpenRouter's `reasoning_details` hold what is to be given back unchanged
(openrouter.ai/docs/use-cases/reasoning-tokens, read 2026-11-20): here that is a thought's `opaque`, as JSON.
What another dialect's provider sealed travels in `reasoning_details` too.
"""

from typing import Any

import msgspec

from portico.dialects.chat.hints import HINTS, Table
from portico.dialects.crossing import Notes, Target
from portico.dialects.seal import seal, unseal
from portico.ir import Part, Thinking

TEXTS = ("reasoning_content", "reasoning")
"""Fields that hold the text of a thought."""
DETAILS = "reasoning_details"
BLOCKS = "thinking_blocks"
"""Anthropic's own blocks, as LiteLLM's clients keep them and give them back."""

_decoder = msgspec.json.Decoder()


def parse_thoughts(fields: Table) -> list[Part]:
    """Take the thoughts out of a message; what is told of Anthropic's blocks besides them stays there."""
    blocks = fields.get(BLOCKS)
    if blocks and type(blocks) is list and DETAILS not in fields:
        found = [_block(block) for block in blocks]
        if all(found):
            return [thought for thought in found if thought is not None]
    text = ""
    names: list[str] = []
    for name in TEXTS:
        value = fields.get(name)
        if value and type(value) is str and (not names or value == text):
            text = value
            names.append(name)
            del fields[name]
    details = fields.get(DETAILS)
    if details and type(details) is list and all(type(item) is dict for item in details):
        sealed = unsealed(details)
        if sealed is not None:
            del fields[DETAILS]
            return list(sealed)
        del fields[DETAILS]
        shown = text or "".join(map(text_of, details))
        opaque = sealing(details)
        hints = {"as": names} if opaque is not None else {"as": names, "details": details}
        return [Thinking(text=shown, opaque=opaque, maker="chat", extra={HINTS: hints})]
    if not names:
        return []
    return [Thinking(text=text, extra={HINTS: {"as": names}})]


def _block(block: Any) -> Thinking | None:
    hints = {HINTS: {"as": [], "blocks": True}}
    if type(block) is not dict:
        return None
    text, signature, data = block.get("thinking"), block.get("signature"), block.get("data")
    if block.get("type") == "redacted_thinking" and type(data) is str:
        return Thinking(opaque=data, maker="messages", redacted=True, extra=hints)
    if block.get("type") != "thinking" or type(text) is not str:
        return None
    if type(signature) is not str or not signature:
        return Thinking(text=text, extra=hints)
    return Thinking(text=text, opaque=signature, maker="messages", extra=hints)


def sealing(details: list[Table]) -> str | None:
    """Return details as what is to be given back unchanged, as JSON; None where they hold nothing but text."""
    if any(item.get("signature") or item.get("data") for item in details):
        return msgspec.json.encode(details).decode()
    return None


def text_of(detail: Table) -> str:
    """Return the text or the summary that a detail holds."""
    for name in ("text", "summary"):
        if type(detail.get(name)) is str:
            found: str = detail[name]
            return found
    return ""


def unsealed(details: list[Table]) -> list[Thinking] | None:
    """Return the thoughts that were written as details by `render_details`; None where one of them was not."""
    found = []
    for item in details:
        sealed = item.get("signature") or item.get("data")
        thought = unseal(sealed, text_of(item)) if type(sealed) is str else None
        if thought is None:
            return None
        found.append(thought)
    return found


def render_details(thoughts: list[Thinking]) -> list[Any]:
    """Write thoughts as details: those of a provider that speaks this dialect as they were, others sealed."""
    details: list[Any] = []
    for thought in thoughts:
        if thought.maker == "chat" and thought.opaque is not None:
            details += opened(thought.opaque)
        elif thought.text:
            details.append(
                {"type": "reasoning.text", "text": thought.text, "signature": seal(thought), "index": len(details)}
            )
        else:
            details.append({"type": "reasoning.encrypted", "data": seal(thought), "index": len(details)})
    return details


def opened(opaque: str) -> list[Any]:
    """Return the details that a provider of this dialect made; none where the text is not that."""
    try:
        found = _decoder.decode(opaque)
    except (msgspec.MsgspecError, RecursionError):
        return []
    return found if type(found) is list else []


def render_thoughts(fields: Table, thoughts: list[Thinking], own: bool, target: Target, notes: Notes) -> None:
    """Write the thoughts of an earlier turn into a message for a provider, as far as it takes them."""
    texts: list[str] = []
    names: list[str] = []
    for thought in thoughts:
        hints = thought.extra.get(HINTS) if own else None
        if hints is not None:
            names = hints["as"]
            for name in names:
                fields[name] = thought.text
            _details_as_written(fields, thought, hints)
            continue
        if thought.maker == "chat" and thought.opaque is not None:
            details = opened(thought.opaque)
            if DETAILS in target.quirks and details:
                fields[DETAILS] = fields.get(DETAILS, []) + details
            else:
                notes.lost("thinking_history")
        elif thought.opaque is not None:
            notes.lost("thinking_history")
        if thought.text:
            texts.append(thought.text)
    if texts and not names:
        field = next((name for name in TEXTS if name in target.quirks), None)
        if field is None:
            notes.lost("thinking_history")
        else:
            fields[field] = "\n\n".join(texts)


def _details_as_written(fields: Table, thought: Thinking, hints: Table) -> None:
    if "blocks" in hints:
        return
    if "details" in hints:
        fields[DETAILS] = hints["details"]
    elif thought.opaque is not None:
        fields[DETAILS] = opened(thought.opaque)


def render_reply_thoughts(fields: Table, thoughts: list[Thinking], own: bool) -> None:
    """Write the thoughts of an answer into its message, sealed where a seal must come back."""
    if own and all(HINTS in thought.extra for thought in thoughts):
        for thought in thoughts:
            hints = thought.extra[HINTS]
            for name in hints["as"]:
                fields[name] = thought.text
            _details_as_written(fields, thought, hints)
        return
    text = "\n\n".join(thought.text for thought in thoughts if thought.text)
    if text:
        fields["reasoning_content"] = text
    if len(thoughts) > 1 or any(thought.opaque is not None for thought in thoughts):
        fields[DETAILS] = render_details(thoughts)
