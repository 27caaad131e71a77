"""The facts of Cohere's v2 Chat, from raw JSON."""

from typing import Any

from tests.dialects import slow
from tests.dialects.crossing.facts import Calls, Facts, answer, arguments, digest, leaves, squeezed, tool, with_usage

FINISHES = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "calls",
    "ERROR_TOXIC": "filter",
}


def request(body: dict[str, Any], *, arrived: bool = False) -> Facts:
    """Return the facts of a request. In one that `arrived` from elsewhere a table of fields is a tool's answer."""
    facts: Facts = []
    for each in body.get("tools") or []:
        made = each["function"]
        facts.append(tool(made["name"], made.get("description"), made.get("parameters")))
    for each in body.get("documents") or []:
        facts += [("document", "user", text) for text in leaves(each if isinstance(each, str) else each.get("data"))]
    if body.get("tool_choice") == "NONE":
        facts.append(("choice", "none"))
    calls = Calls()
    for message in body.get("messages") or []:
        role = message["role"]
        if role == "tool":
            facts += _result(message, calls, arrived)
        elif role == "assistant":
            facts += said(message, calls)
        else:
            facts += content(message.get("content"), "system" if role in ("system", "developer") else role)
    return facts


def _result(message: dict[str, Any], calls: Calls, arrived: bool) -> Facts:
    number = calls.find(message.get("tool_call_id"))
    value = message.get("content")
    if isinstance(value, str):
        return [("result", number, answer(value), ())]
    texts: list[Any] = []
    facts: Facts = []
    for part in value or []:
        data = slow.at(part, "document", "data")
        if isinstance(data, dict) and not arrived and set(data) != {"data"}:
            facts += [("document", "user", text) for text in leaves(data)]
        else:
            inner = data["data"] if isinstance(data, dict) and set(data) == {"data"} else data
            texts.append(inner or part.get("text"))
    whole = answer(texts[0]) if len(texts) == 1 else "".join(answer(text) for text in texts)
    return [("result", number, whole, ()), *facts]


def said(message: dict[str, Any], calls: Calls) -> Facts:
    """Return the facts of what an assistant said."""
    facts: Facts = []
    if message.get("tool_plan"):
        facts.append(("text", "assistant", squeezed(message["tool_plan"])))
    facts += content(message.get("content"), "assistant")
    for each in message.get("tool_calls") or []:
        calls.add(each.get("id"), each["function"]["name"])
        facts.append(("call", each["function"]["name"], arguments(each["function"].get("arguments"))))
    return facts


def content(value: Any, role: str) -> Facts:
    """Return the facts of a message's content."""
    if isinstance(value, str):
        return [("text", role, squeezed(value))]
    facts: Facts = []
    for part in value or []:
        match part.get("type"):
            case "text":
                facts.append(("text", role, squeezed(part.get("text"))))
            case "thinking":
                facts.append(("thinking", squeezed(part.get("thinking"))))
            case "image_url":
                facts.append(("image", role, digest(part["image_url"]["url"])))
            case "document":
                facts += [("document", role, text) for text in leaves(part["document"].get("data"))]
    return facts


def reply(body: dict[str, Any], docs: list[Any]) -> Facts:
    """Return the facts of a reply."""
    facts = said(body.get("message") or {}, Calls())
    if body.get("finish_reason"):
        facts.append(("finish", FINISHES.get(body["finish_reason"], "other")))
    found = [slow.at(d, "usage") or slow.at(d, "delta", "usage") for d in docs]
    reasoning = next((r for r in (slow.at(f, "tokens", "reasoning_tokens") for f in reversed(found)) if r), 0)
    counts = slow.cohere(docs)
    whole = next((f for f in reversed(found) if f), None)
    processed, billed = (slow.at(whole, name, "input_tokens") for name in ("tokens", "billed_units"))
    if counts is not None and processed == billed:  # else what was cached is of what was processed, not of the bill
        counts["read"] = slow.at(whole, "cached_tokens") or 0
    return with_usage(facts, counts, reasoning, 0)


def stream(docs: list[Any]) -> Facts:
    """Return the facts of a stream."""
    message: dict[str, Any] = {"tool_plan": "", "content": [], "tool_calls": []}
    reason = None
    for event in docs:
        delta = slow.at(event, "delta", "message") or {}
        match event.get("type"):
            case "content-start" | "content-delta":
                piece = delta.get("content") or {}
                for kind in ("text", "thinking"):
                    if piece.get(kind):
                        message["content"].append({"type": kind, kind: piece[kind]})
            case "tool-plan-delta":
                message["tool_plan"] += delta.get("tool_plan") or ""
            case "tool-call-start":
                call = delta["tool_calls"]
                function = {"arguments": "", **call["function"]}
                message["tool_calls"].append({"id": call.get("id"), "function": function})
            case "tool-call-delta":
                message["tool_calls"][-1]["function"]["arguments"] += delta["tool_calls"]["function"]["arguments"]
            case "message-end":
                reason = slow.at(event, "delta", "finish_reason")
    return reply({"message": message, "finish_reason": reason}, docs)
