"""Tool calls in a message, read and written: `tool_calls`, and the deprecated `function_call`.

OpenAI bounds a call's id to 40 characters, Mistral wants 9 letters and digits: ids of another shape are replaced by
their hash, the same for the call and for its result. The signature that Gemini puts on a call is `extra_content` in
Google's own OpenAI-compatible API (ai.google.dev/gemini-api/docs/openai, read 2026-11-20); for other callers it is
sealed into the id.
"""

import re
from typing import Any

import msgspec

from portico.dialects.chat.hints import HINTS, NONE, Table, keep, reopened
from portico.dialects.chat.marks import parse_mark, render_mark
from portico.dialects.crossing import Notes, Target
from portico.dialects.seal import PREFIX, seal_call, unseal_call
from portico.errors import InvalidRequest
from portico.hashing import blake2b
from portico.ir import ToolCall

_ID_LIMIT = 40
_NINE = re.compile(r"[a-zA-Z0-9]{9}")


def parse_calls(listed: list[Any], where: str) -> list[ToolCall]:
    """Read `tool_calls`; raises InvalidRequest, naming the field below `where`."""
    return [brief_call(item) or parse_call(item, f"{where}[{at}]") for at, item in enumerate(listed)]


def brief_call(item: Any) -> ToolCall | None:
    """Read a call of the shape of nearly every one; None for another."""
    if type(item) is not dict or len(item) != 3 or item.get("type") != "function":
        return None
    inner, call_id = item.get("function"), item.get("id")
    if type(inner) is not dict or len(inner) != 2 or type(call_id) is not str or call_id.startswith(PREFIX):
        return None
    name, written = inner.get("name"), inner.get("arguments")
    if type(name) is not str or type(written) is not str or not written:
        return None
    return ToolCall(id=call_id, name=name, arguments=written)


def parse_call(item: Any, where: str) -> ToolCall:
    """Read one call."""
    if type(item) is not dict:
        raise InvalidRequest(f"`{where}` must be an object", param=where)
    hints: Table = {}
    kind = "function"
    inner = item.get("function")
    if inner is None and type(item.get("custom")) is dict:
        kind = "custom"
        inner = item["custom"]
    if type(inner) is not dict:
        raise InvalidRequest(f"`{where}.function` must be an object", param=f"{where}.function")
    name = inner.pop("name", None)
    if type(name) is not str:
        raise InvalidRequest(f"`{where}.{kind}.name` must be a string", param=f"{where}.{kind}.name")
    field = "arguments" if kind == "function" else "input"
    written = inner.pop(field, None)
    if type(written) is not str or not written:
        hints["arguments"] = written
        written = msgspec.json.encode(written).decode() if type(written) is dict else "{}"
    del item[kind]
    if inner:
        hints["inner"] = inner
    if item.get("type") == kind:
        del item["type"]
    elif "type" not in item:
        hints["typeless"] = True
    call_id = item.pop("id") if type(item.get("id")) is str else ""
    signature = None
    if call_id.startswith(PREFIX) and (opened := unseal_call(call_id)) is not None:
        call_id, signature = opened
    elif "extra_content" in item:
        signature = signature_of(item["extra_content"])
    cache = parse_mark(item, hints) if "cache_control" in item else None
    return ToolCall(
        id=call_id,
        name=name,
        arguments=written,
        kind="custom" if kind == "custom" else "function",
        signature=signature,
        cache=cache,
        extra=keep(item, hints) if item or hints else item,
    )


def signature_of(content: Any) -> str | None:
    """Return the signature that Gemini's `extra_content` holds."""
    google = content.get("google") if type(content) is dict else None
    found = google.get("thought_signature") if type(google) is dict else None
    return found if type(found) is str else None


def render_call(call: ToolCall, own: bool, target: Target, notes: Notes) -> Table:
    """Write one call of an earlier turn for a provider."""
    if not own and call.id and call.kind == "function":
        function = {"name": call.name, "arguments": call.arguments}
        written: Table = {"function": function, "id": fitting_id(call.id, False, target), "type": "function"}
        hints = NONE
    else:
        fields, hints = reopened(call, own)
        written = as_written(fields, call, hints)
        call_id = written.get("id")
        if type(call_id) is str:
            written["id"] = fitting_id(call_id, own, target)
    if call.signature is not None and "extra_content" not in written:
        if "thought_signature" in target.quirks:
            written["extra_content"] = {"google": {"thought_signature": call.signature}}
        else:
            notes.lost("thinking_history")
    if call.cache is not None:
        render_mark(written, call.cache, hints, own, target, notes)
    return written


def render_reply_call(call: ToolCall, own: bool) -> Table:
    """Write one call of an answer for a caller, a signature sealed into its id."""
    fields, hints = reopened(call, own)
    written = as_written(fields, call, hints)
    if call.signature is not None and "extra_content" not in written:
        written["id"] = seal_call(call)
    return written


def as_written(fields: Table, call: ToolCall, hints: Table) -> Table:
    """Write a call into the fields that it kept."""
    arguments = hints.get("arguments", call.arguments)
    kind = "custom" if call.kind == "custom" else "function"
    inner: Table = {"name": call.name, ("arguments" if kind == "function" else "input"): arguments}
    if hints:
        inner |= hints.get("inner", NONE)
        if arguments is None:
            del inner["arguments" if kind == "function" else "input"]
    fields[kind] = inner
    if call.id or HINTS not in call.extra:
        fields["id"] = call.id
    if "typeless" not in hints and "type" not in fields:
        fields["type"] = kind
    return fields


def fitting_id(call_id: str, own: bool, target: Target) -> str:
    """Return a call's id in a shape that the target takes; equal ids stay equal."""
    if "tool_ids_of_nine" in target.quirks:
        return call_id if _NINE.fullmatch(call_id) else blake2b(call_id.encode(), digest_size=9).hexdigest()[:9]
    if own or 0 < len(call_id) <= _ID_LIMIT:
        return call_id
    return "call_" + blake2b(call_id.encode(), digest_size=12).hexdigest()
