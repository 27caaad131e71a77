"""Write one part: text, thought, media, a call and its response (ai.google.dev/api/caching#Part, read 2026-11-20)."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects.gemini import media
from portico.dialects.gemini.part import SERVER_NAMES
from portico.dialects.gemini.spelling import Object, closed
from portico.dialects.seal import seal
from portico.dialects.tokens import UNREADABLE
from portico.ir import (
    Audio,
    Extra,
    File,
    Image,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)

Lost = Callable[[str, str], None]
"""Is told a feature that cannot be said, and which one it was."""

_SERVER_TYPES = {name: kind for kind, name in SERVER_NAMES.items()} | {"web_fetch": "URL_CONTEXT"}

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode


def render_part(part: Part, own: bool, reply: bool, lost: Lost) -> Object | None:
    """Write one part; None where nothing of it can be said. `own` says that Gemini's own parser read it.

    `reply` says that it is for a caller, who keeps what another provider sealed, and not for Google, who would
    refuse it.
    """
    if isinstance(part, Text):
        return write_text(part, own, lost)
    if isinstance(part, ToolCall):
        return _write_call(part, own, reply, lost)
    if isinstance(part, ToolResult):
        return _write_server_result(part, own, reply, lost) if part.server else write_result(part, part.name, own, lost)
    if isinstance(part, Thinking):
        return _write_thought(part, own, reply, lost)
    if isinstance(part, Image | Audio | Video | File):
        out = media.render(part, own, lost)
        if part.cache is not None:
            lost("cache_mark", "")
        return out
    if isinstance(part, Refusal):
        return {"text": part.text} if part.text else None
    assert isinstance(part, Opaque)
    if own:
        return dict(part.value) if isinstance(part.value, dict) else None
    lost("opaque", "")
    return None


def write_text(part: Text, own: bool, lost: Lost) -> Object | None:
    """Write a text; None for one without words."""
    if own:
        if not part.extra and part.signature is None:
            return {"text": part.text}
        out = {"text": part.text, **part.extra}
        if part.signature is not None:
            out["thoughtSignature"] = part.signature
        return closed(out)
    if part.cache is not None:
        lost("cache_mark", "")
    if part.citations:
        lost("citations", "")
    if not part.text:
        return None
    return {"text": part.text}


def sealed(thought: Thinking) -> str:
    """Seal another maker's thought as a signature, which is base64 here."""
    return urlsafe_b64encode(seal(thought).encode()).decode()


def _write_thought(part: Thinking, own: bool, reply: bool, lost: Lost) -> Object | None:
    signature = part.opaque if part.maker == "gemini" else None
    if signature is None and (part.opaque is not None or part.redacted):
        if reply:
            signature = sealed(part)
        else:
            lost("thinking_history", "")
    out: Object = {**part.extra, "text": part.text} if own else {"text": part.text}
    if out.get("$bare"):
        del out["text"]
    if signature is not None:
        out["thoughtSignature"] = signature
    elif not part.text and not own:
        return None
    # A signature alone may stand without words of thought, and did so where it came from.
    if part.text or signature is None:
        out["thought"] = True
    return closed(out)


def _write_call(part: ToolCall, own: bool, reply: bool, lost: Lost) -> Object | None:
    extra: Extra = part.extra if own else {}
    if part.cache is not None:
        lost("cache_mark", "")
    if part.kind == "server":
        return _write_server_call(part, own, extra, reply, lost)
    call: Object = {"name": part.name, "args": plain_arguments(part)}
    if not own:
        call["id"] = part.id
    else:
        kept = extra.get("functionCall")
        if kept:
            if kept.get("$no_args") and not call["args"]:
                del call["args"]
            if "$no_id" not in kept:
                call["id"] = part.id
            call.update(kept)
            closed(call)
        else:
            call["id"] = part.id
    out: Object = {**extra, "functionCall": call} if extra else {"functionCall": call}
    if part.signature is not None:
        out["thoughtSignature"] = part.signature
    return closed(out) if extra else out


def plain_arguments(call: ToolCall) -> Any:
    """Return a call's arguments as an object, which they must be here; others stand under `input`."""
    if call.kind == "custom":
        return {"input": call.arguments}
    try:
        found = _decode(call.arguments)
    except UNREADABLE:
        return {"input": call.arguments} if call.arguments.strip() else {}
    return found if type(found) is dict else {"input": found}


def _write_server_call(part: ToolCall, own: bool, extra: Extra, reply: bool, lost: Lost) -> Object | None:
    if not own and not reply:
        lost("server_tool_history", part.server_type or part.name)
        return None
    out = dict(extra)
    arguments = plain_arguments(part)
    kind = part.server_type or part.name
    if "executableCode" in out or (not own and kind == "code_execution"):
        kept = {**out.get("executableCode", {}), **arguments}
        if not own:
            kept = {"language": "PYTHON", "code": str(arguments.get("code") or part.arguments)}
        _with_id(kept, part.id)
        out["executableCode"] = closed(kept)
    else:
        kept = {**out.get("toolCall", {})}
        if not own:
            kept["toolType"] = _SERVER_TYPES.get(kind, kind.upper())
        if "$no_args" not in kept:
            kept["args"] = arguments
        _with_id(kept, part.id)
        out["toolCall"] = closed(kept)
    if part.signature is not None:
        out["thoughtSignature"] = part.signature
    return closed(out)


def _with_id(kept: Object, call: str) -> None:
    if "$no_id" not in kept:
        kept["id"] = call


def write_result(part: ToolResult, name: str | None, own: bool, lost: Lost) -> Object:
    """Write what a caller's tool of this name answered."""
    if part.cache is not None:
        lost("cache_mark", "")
    extra: Extra = part.extra if own else {}
    if not extra and part.data is None and len(part.parts) == 1 and type(only := part.parts[0]) is Text:
        # The way of nearly every answer.
        response = {"error" if part.error else "output": only.text}
        return {"functionResponse": {"name": name or "tool", "response": response, "id": part.id}}
    kept: Object = dict(extra.get("functionResponse", ()))
    answer: Object = {"name": name or "tool"}
    text, others = _split(part.parts, own, lost)
    if text is not None:
        answer["response"] = _answer(part, text, kept.get("$key"))
    elif part.data is not None:
        plain = type(part.data) is dict
        if part.error and not (plain and "error" in part.data):
            answer["response"] = {"error": part.data}
        else:
            answer["response"] = part.data if plain else {"output": part.data}
    elif "$no_response" not in kept:
        answer["response"] = {"error" if part.error else "output": ""}
    if others or "$parts" in kept:
        answer["parts"] = others
    if not kept:
        answer["id"] = part.id
        return closed({**extra, "functionResponse": answer}) if extra else {"functionResponse": answer}
    _with_id(kept, part.id)
    answer.update(kept)
    return closed({**extra, "functionResponse": closed(answer)})


def _answer(part: ToolResult, text: str, key: str | None) -> Object:
    if key is None or (key == "error") != bool(part.error):
        key = "error" if part.error else "output"
    if type(part.data) is dict:
        return {**part.data, key: text}
    return {key: text} if part.data is None else {key: text, "data": part.data}


def _split(parts: tuple[Part, ...], own: bool, lost: Lost) -> tuple[str | None, list[Object]]:
    """Part a result's text, joined, from what is written as parts beside it."""
    texts: list[str] = []
    others: list[Object] = []
    for each in parts:
        if isinstance(each, Text | Refusal):
            texts.append(each.text)
            continue
        if isinstance(each, File) and (words := media.words(each)) is not None and not own:
            texts.append(words)
            continue
        written = render_part(each, own, False, lost)
        if written is not None:
            others.append(written)
    return ("\n".join(texts) if texts else None), others


def _write_server_result(part: ToolResult, own: bool, reply: bool, lost: Lost) -> Object | None:
    if part.cache is not None:
        lost("cache_mark", "")
    if not own and not reply:
        lost("server_tool_history", part.name or part.id)
        return None
    out = dict(part.extra) if own else {}
    if "codeExecutionResult" in out or (not own and part.name == "code_execution"):
        kept = dict(out.get("codeExecutionResult", ()))
        texts = [each.text for each in part.parts if isinstance(each, Text)]
        if texts:
            kept["output"] = "\n".join(texts)
        elif part.data is not None:
            kept["output"] = _encode(part.data).decode()
        if not own:
            kept["outcome"] = "OUTCOME_FAILED" if part.error else "OUTCOME_OK"
        _with_id(kept, part.id)
        out["codeExecutionResult"] = closed(kept)
        return closed(out)
    kept = dict(out.get("toolResponse", ()))
    if not own:
        name = part.name or "tool"
        kept["toolType"] = _SERVER_TYPES.get(name, name.upper())
    if part.data is not None:
        kept["response"] = part.data if type(part.data) is dict else {"output": part.data}
    elif part.parts:
        kept["response"] = {"output": "\n".join(each.text for each in part.parts if isinstance(each, Text))}
    _with_id(kept, part.id)
    out["toolResponse"] = closed(kept)
    return closed(out)
