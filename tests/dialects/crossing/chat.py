"""The facts of Chat Completions, from raw JSON."""

import json
from typing import Any

from tests.dialects import slow
from tests.dialects.crossing.facts import Calls, Facts, answer, arguments, digest, file, squeezed, tool, with_usage

FINISHES = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "calls",
    "function_call": "calls",
    "content_filter": "filter",
}


def request(body: dict[str, Any]) -> Facts:
    """Return the facts of a request."""
    facts: Facts = []
    for each in body.get("tools") or []:
        if each.get("type") == "custom":
            facts.append(tool(each["custom"]["name"], each["custom"].get("description"), None))
        elif "function" in each:
            made = each["function"]
            facts.append(tool(made["name"], made.get("description"), made.get("parameters")))
        elif each.get("type") == "function":
            facts.append(tool(each["name"], each.get("description"), each.get("parameters")))
    for made in body.get("functions") or []:
        facts.append(tool(made["name"], made.get("description"), made.get("parameters")))
    if body.get("tool_choice") == "none":
        facts.append(("choice", "none"))
    elif slow.at(body, "tool_choice", "function", "name"):
        facts.append(("choice", (body["tool_choice"]["function"]["name"],)))
    elif slow.at(body, "tool_choice", "allowed_tools"):
        allowed = body["tool_choice"]["allowed_tools"]["tools"]
        facts.append(("choice", tuple(slow.at(each, "function", "name") for each in allowed)))
    calls = Calls()
    for message in body.get("messages") or []:
        facts += _message(message, calls)
    return facts


def _message(message: dict[str, Any], calls: Calls) -> Facts:
    role = message["role"]
    if role in ("tool", "function"):
        number = calls.find(message.get("tool_call_id"), message.get("name"))
        parts = content(message.get("content"), "user")
        text = "".join(part[-1] for part in parts if part[0] == "text")
        whole = answer(message["content"]) if isinstance(message.get("content"), str) else answer(text)
        return [("result", number, whole, tuple(part[-1] for part in parts if part[0] != "text"))]
    if role != "assistant":
        return content(message.get("content"), "system" if role in ("system", "developer") else "user")
    return said(message, calls)


def said(message: dict[str, Any], calls: Calls) -> Facts:
    """Return the facts of what an assistant said."""
    facts: Facts = []
    parts = content(message.get("content"), "assistant")
    thought = next((message[name] for name in ("reasoning_content", "reasoning") if message.get(name)), None)
    if thought:
        facts.append(("thinking", squeezed(thought)))
    elif isinstance(message.get("reasoning_details"), list):
        texts = [each.get("text") or each.get("summary") for each in message["reasoning_details"]]
        facts += [("thinking", squeezed(text)) for text in texts if text]
    facts += parts
    if isinstance(message.get("refusal"), str):
        facts.append(("text", "assistant", squeezed(message["refusal"])))
    audio = message.get("audio")
    if isinstance(audio, dict) and audio.get("data"):
        pieces = audio["data"] if isinstance(audio["data"], list) else [audio["data"]]
        facts += [("audio", "assistant", digest(piece)) for piece in pieces]
    if isinstance(audio, dict) and audio.get("transcript"):
        facts.append(("text", "assistant", squeezed(audio["transcript"])))
    for image in message.get("images") or []:
        facts.append(("image", "assistant", digest(image["image_url"]["url"])))
    called = [(each.get("id"), each) for each in message.get("tool_calls") or []]
    if slow.at(message, "function_call", "name"):
        called.append((None, {"function": message["function_call"]}))
    for call_id, each in called:
        made = each.get("function") or each.get("custom") or {}
        name = made.get("name") or ""
        calls.add(call_id, name)
        facts.append(("call", name, arguments(made.get("arguments", made.get("input")))))
    return facts


def content(value: Any, role: str) -> Facts:
    """Return the facts of a message's content."""
    if isinstance(value, str):
        return [("text", role, squeezed(value))]
    facts: Facts = []
    for part in value or []:
        if isinstance(part, str):
            facts.append(("text", role, squeezed(part)))
            continue
        match part.get("type"):
            case "text" | "input_text" | "output_text":
                facts.append(("text", role, squeezed(part.get("text"))))
            case "refusal":
                facts.append(("text", role, squeezed(part.get("refusal"))))
            case "image_url":
                where = part["image_url"]
                facts.append(("image", role, digest(where["url"] if isinstance(where, dict) else where)))
            case "input_audio":
                sound = part["input_audio"]
                facts.append(("audio", role, digest(sound["data"] if isinstance(sound, dict) else sound)))
            case "video_url":
                facts.append(("video", role, digest(part["video_url"]["url"])))
            case "file":
                inner = part["file"]
                where = inner.get("file_data") or inner.get("file_id") or inner.get("file_url")
                facts.append(file(role, "application/pdf", where))
            case "thinking":
                inner = part.get("thinking")
                texts = inner if isinstance(inner, list) else [{"text": inner}]
                facts += [("thinking", squeezed(each.get("text"))) for each in texts]
            case "document_url":
                facts.append(("file", role, digest(part["document_url"])))
    return facts


def reply(body: dict[str, Any], docs: list[Any]) -> Facts:
    """Return the facts of the first answer, and of the usage."""
    facts: Facts = []
    choices = body.get("choices") or []
    if choices:
        facts = said(choices[0].get("message") or {}, Calls())
        if choices[0].get("finish_reason"):
            facts.append(("finish", FINISHES.get(choices[0]["finish_reason"], "other")))
    return usage(facts, docs)


def usage(facts: Facts, docs: list[Any]) -> Facts:
    """Add the usage."""
    found = slow.last(u for d in docs for u in (slow.at(d, "x_groq", "usage"), slow.at(d, "usage")))
    reasoning = slow.at(found, "completion_tokens_details", "reasoning_tokens") or slow.at(found, "reasoning_tokens")
    counts = slow.openai(found)
    if found and counts and not reasoning:  # what is beside the completion was thought
        reasoning = counts["out"] - (found.get("completion_tokens") or 0) if found.get("prompt_tokens") else 0
    written = slow.at(found, "prompt_tokens_details", "cache_write_tokens")
    written = written or slow.at(found, "cache_creation_input_tokens") or 0
    return with_usage(facts, counts, reasoning or 0, written)


def stream(docs: list[Any]) -> Facts:
    """Return the facts of a stream."""
    message: dict[str, Any] = {"content": "", "tool_calls": []}
    finish = None
    places: dict[Any, dict[str, Any]] = {}
    for chunk in docs:
        for choice in chunk.get("choices") or []:
            if choice.get("index") not in (0, None):
                continue
            delta = choice.get("delta") or {}
            finish = choice.get("finish_reason") or finish
            for name in ("content", "reasoning_content", "reasoning", "refusal"):
                if isinstance(delta.get(name), str):
                    message[name] = (message.get(name) or "") + delta[name]
            if isinstance(delta.get("content"), list):
                _blocks(message, delta["content"])
            audio = delta.get("audio") or {}
            if audio:
                spoken = message.setdefault("audio", {"transcript": "", "data": []})
                spoken["transcript"] += audio.get("transcript") or ""
                spoken["data"] += [audio["data"]] if audio.get("data") else []
            message.setdefault("images", []).extend(delta.get("images") or [])
            for detail in delta.get("reasoning_details") or []:
                message.setdefault("reasoning_details", []).append(detail)
            if delta.get("function_call"):
                legacy = message.setdefault("function_call", {"name": "", "arguments": ""})
                legacy["name"] += delta["function_call"].get("name") or ""
                legacy["arguments"] += delta["function_call"].get("arguments") or ""
            for call in delta.get("tool_calls") or []:
                _call(message["tool_calls"], places, call)
    whole = {"choices": [{"message": message, "finish_reason": finish}]}
    return reply(json.loads(json.dumps(whole, default=str)), docs)


def _blocks(message: dict[str, Any], parts: list[Any]) -> None:
    for part in parts:
        if part.get("type") == "thinking":
            text = "".join(each.get("text") or "" for each in part["thinking"])
            message["reasoning_content"] = (message.get("reasoning_content") or "") + text
        elif part.get("type") == "text":
            message["content"] += part.get("text") or ""


def _call(listed: list[Any], places: dict[Any, dict[str, Any]], call: dict[str, Any]) -> None:
    place = call.get("index")
    known = places.get(place)
    function = call.get("function") or call.get("custom") or {}
    if known is None or (call.get("id") and known["id"] and call["id"] != known["id"]):
        known = places[place] = {"id": call.get("id"), "function": {"name": "", "arguments": ""}}
        listed.append(known)
    if function.get("name"):
        known["function"]["name"] = function["name"]
    known["function"]["arguments"] += function.get("arguments") or function.get("input") or ""
