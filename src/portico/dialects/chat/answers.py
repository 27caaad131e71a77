"""The message of an answer, read and written, and why it ended."""

from typing import Any

import msgspec

from portico.dialects.chat.beside import parse_beside, render_audio, render_citation
from portico.dialects.chat.calls import brief_call, parse_call, render_reply_call
from portico.dialects.chat.hints import HINTS, NONE, Table
from portico.dialects.chat.parts import parse_part, render_images, render_part
from portico.dialects.chat.thoughts import parse_thoughts, render_reply_thoughts
from portico.dialects.crossing import Notes, Target
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import Audio, Citation, Finish, Image, Opaque, Part, Refusal, Text, Thinking, ToolCall

FINISH: dict[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "error": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}
"""Our word for a `finish_reason`; providers have more of them than OpenAI."""

_REASONS: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "stop_sequence": "stop",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
    "error": "error",
    "other": "stop",
}
_NO_TARGET = Target(model="", dialect="chat")
_NO_NOTES = Notes("chat")


def parse_finish(reason: Any, *, calls: bool, sequence: Any = None) -> Finish | None:
    """Return our word for a finish reason, None where the answer has not ended. Some write `stop` after a call."""
    if type(reason) is not str or not reason:
        return None
    found = FINISH.get(reason, "other")
    if found == "stop":
        if calls:
            return "tool_calls"
        if type(sequence) is str:
            return "stop_sequence"
    return found


def render_finish(finish: Finish | None, *, legacy: bool = False) -> str:
    """Return OpenAI's word for why an answer ended; a caller who gave `functions` knows another for a call."""
    if legacy and finish == "tool_calls":
        return "function_call"
    return _REASONS[finish] if finish is not None else "stop"


def _placed(citation: Citation, said: int, length: int) -> Citation:
    """Return a citation of a part as one of the whole text, of which `said` characters stand before the part."""
    end = citation.end if citation.end is not None else length
    return msgspec.structs.replace(citation, start=said + (citation.start or 0), end=said + end)


def parse_message(fields: Table, hints: Table) -> list[Part]:
    """Take the parts out of an answer's message; what is left of it stays. Raises BadUpstreamReply."""
    if "content" not in fields:
        hints["absent"] = True
    content = fields.pop("content", None)
    parts: list[Part] = []
    if type(content) is str:
        if content:
            parts.append(Text(text=content))
        else:
            hints["empty"] = ""
    elif type(content) is list:
        hints["list"] = True
        parts = [parse_part(item) for item in content]
    elif content is not None:
        raise BadUpstreamReply("the content of the provider's answer is neither a string nor a list")
    parts = parse_thoughts(fields) + parts
    try:
        parse_beside(fields, parts, hints, "call_0", "message")
        calls = fields.get("tool_calls")
        if type(calls) is list and calls:
            del fields["tool_calls"]
            for at, item in enumerate(calls):
                parts.append(brief_call(item) or parse_call(item, f"message.tool_calls[{at}]"))
    except InvalidRequest as error:
        raise BadUpstreamReply(f"the provider's answer has a tool call that cannot be read: {error}") from error
    return parts


def render_message(parts: tuple[Part, ...], extra: Table, own: bool, legacy: bool) -> Table:
    """Write the message of an answer for a caller; `extra` is what its parser kept of it."""
    fields = extra.copy() if own else {}
    hints = fields.pop(HINTS, NONE)
    texts: list[Any] = []
    thoughts: list[Thinking] = []
    calls: list[Table] = []
    images: list[Image] = []
    annotations: list[Table] = []
    refusals: list[str] = []
    said = 0
    for part in parts:
        if type(part) is Text:
            texts.append(part)
            for citation in part.citations:
                placed = citation if own else _placed(citation, said, len(part.text))
                if (written := render_citation(placed, own)) is not None:
                    annotations.append(written)
            said += len(part.text)
        elif type(part) is Thinking:
            if own and part.extra.get(HINTS, NONE).get("in") == "content":
                texts.append(part)
            else:
                thoughts.append(part)
        elif type(part) is ToolCall:
            if part.kind == "server":
                continue
            call = render_reply_call(part, own)
            if ("function_call" in hints) if own else legacy:
                fields["function_call"] = call["function"]
            else:
                calls.append(call)
        elif type(part) is Refusal:
            if own and HINTS in part.extra:
                texts.append(part)
            else:
                refusals.append(part.text)
        elif type(part) is Audio:
            fields["audio"] = render_audio(part, own)
        elif type(part) is Image and (not own or "images" in hints):
            images.append(part)
        elif type(part) is Image or (own and type(part) is Opaque):
            texts.append(part)
    if thoughts:
        render_reply_thoughts(fields, thoughts, own)
    if refusals:
        fields["refusal"] = "".join(refusals)
    if annotations:
        fields["annotations"] = annotations
    if images:
        written_images = [render_part(image, own, _NO_TARGET, _NO_NOTES) for image in images]
        fields["images"] = written_images if own else render_images(images)
    if calls:
        fields["tool_calls"] = calls
    if not own:
        fields["role"] = "assistant"
        fields.setdefault("refusal", None)
        fields["content"] = "".join(part.text for part in texts) or None
    elif "list" in hints:
        fields["content"] = [render_part(part, own, _NO_TARGET, _NO_NOTES) for part in texts]
    elif texts:
        fields["content"] = "".join(part.text for part in texts)
    elif "absent" not in hints:
        fields["content"] = hints.get("empty")
    return fields
