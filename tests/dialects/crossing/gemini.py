"""The facts of Gemini's generateContent, from raw JSON."""

import re
from typing import Any

from tests.dialects import slow
from tests.dialects.crossing.facts import (
    Calls,
    Facts,
    answer,
    arguments,
    canonical,
    digest,
    file,
    kind,
    squeezed,
    tool,
    with_usage,
)

FINISHES = {
    "STOP": "stop",
    1: "stop",
    "MAX_TOKENS": "length",
    2: "length",
    **dict.fromkeys(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"), "filter"),
}
OPAQUE = ("args", "response", "parameters", "parametersJsonSchema", "parameters_json_schema")


def camel(value: Any) -> Any:
    """Write names of fields in one way; what is a tool's own stays."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if isinstance(value, dict):
        return {
            re.sub("_([a-z])", lambda found: found.group(1).upper(), name): inner if name in OPAQUE else camel(inner)
            for name, inner in value.items()
        }
    return value


def request(body: dict[str, Any]) -> Facts:
    """Return the facts of a request."""
    body = camel(body)
    facts: Facts = []
    tools = body.get("tools") or []
    for each in tools if isinstance(tools, list) else [tools]:
        for made in each.get("functionDeclarations") or []:
            schema = made.get("parameters") or made.get("parametersJsonSchema")
            facts.append(tool(made["name"], made.get("description"), schema))
    wish = slow.at(body, "toolConfig", "functionCallingConfig") or {}
    if str(wish.get("mode") or "").upper() == "NONE":
        facts.append(("choice", "none"))
    elif wish.get("allowedFunctionNames"):
        facts.append(("choice", tuple(wish["allowedFunctionNames"])))
    calls = Calls()
    system = body.get("systemInstruction")
    if isinstance(system, str):
        facts.append(("text", "system", squeezed(system)))
    elif isinstance(system, dict):
        facts += parts(system.get("parts"), "system", calls)
    contents = body.get("contents") or []
    if isinstance(contents, str):
        return [*facts, ("text", "user", squeezed(contents))]
    for each in contents if isinstance(contents, list) else [contents]:
        facts += parts(each.get("parts"), "assistant" if each.get("role") == "model" else "user", calls)
    return facts


def parts(value: Any, role: str, calls: Calls) -> Facts:
    """Return the facts of the parts of a content."""
    facts: Facts = []
    for part in value if isinstance(value, list) else [value] if value else []:
        if "functionCall" in part:
            call = part["functionCall"]
            if "partialArgs" in call or "willContinue" in call or not call.get("name"):
                _piece(call, facts, calls)
                continue
            calls.add(call.get("id"), call["name"])
            facts.append(("call", call["name"], arguments(call.get("args"))))
        elif "functionResponse" in part:
            found = part["functionResponse"]
            media = tuple(_media(each, role)[-1] for each in found.get("parts") or [])
            number = calls.find(found.get("id"), found.get("name"))
            facts.append(("result", number, answer(found.get("response")), media))
        elif "inlineData" in part or "fileData" in part:
            facts.append(_media(part, role))
        elif isinstance(part.get("text"), str):
            words = squeezed(part["text"])
            facts.append(("thinking", words) if part.get("thought") is True else ("text", role, words))
    return facts


def _piece(call: dict[str, Any], facts: Facts, calls: Calls) -> None:
    """Take a piece of a call: its name, then values for the places of its arguments (`$.place`)."""
    if call.get("name"):
        calls.add(call.get("id"), call["name"])
        calls.pieces = {}
    for piece in call.get("partialArgs") or []:
        value = next((piece[name] for name in ("stringValue", "numberValue", "boolValue") if name in piece), None)
        node: Any = calls.pieces
        steps = re.findall(r"[^.$\[\]]+|\[\d+\]", piece["jsonPath"])
        for step, after in zip(steps, [*steps[1:], None], strict=True):
            key = int(step[1:-1]) if step.startswith("[") else step
            while isinstance(node, list) and isinstance(key, int) and len(node) <= key:
                node.append(None)
            known = node[key] if isinstance(node, list) else node.get(key)
            if after is None:
                node[key] = known + value if isinstance(known, str) and isinstance(value, str) else value
            elif known is None:
                node[key] = [] if after.startswith("[") else {}
            node = node[key]
    calls.pieces |= call.get("args") or {}
    if not call.get("willContinue"):
        facts.append(("call", calls.last, canonical(calls.pieces)))


def _media(part: dict[str, Any], role: str) -> Any:
    inner = part.get("inlineData") or part.get("fileData") or {}
    where, media_type = inner.get("data") or inner.get("fileUri"), inner.get("mimeType")
    return (kind(media_type), role, digest(where)) if kind(media_type) != "file" else file(role, media_type, where)


def reply(body: dict[str, Any], docs: list[Any]) -> Facts:
    """Return the facts of the first answer, and of the usage."""
    return stream(docs)


def stream(docs: list[Any]) -> Facts:
    """Return the facts of a stream."""
    facts: Facts = []
    calls = Calls()
    reason = None
    for chunk in map(camel, docs):
        if slow.at(chunk, "promptFeedback", "blockReason"):
            reason = "SAFETY"
        for at, candidate in enumerate(chunk.get("candidates") or []):
            if candidate.get("index", at) != 0:
                continue
            facts += parts(slow.at(candidate, "content", "parts"), "assistant", calls)
            reason = candidate.get("finishReason") or reason
    if reason:
        finish = FINISHES.get(reason, "other")
        called = any(fact[0] == "call" for fact in facts)
        facts.append(("finish", "calls" if called and finish == "stop" else finish))
    found = slow.last(slow.at(camel(each), "usageMetadata") for each in docs)
    return with_usage(facts, slow.google(found), slow.at(found, "thoughtsTokenCount") or 0, 0)
