"""The facts of Anthropic's Messages, from raw JSON."""

from typing import Any

from tests.dialects import slow
from tests.dialects.crossing.facts import Calls, Facts, answer, arguments, digest, file, squeezed, tool, with_usage

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "calls",
    "refusal": "filter",
}


def request(body: dict[str, Any]) -> Facts:
    """Return the facts of a request."""
    facts: Facts = [
        tool(each["name"], each.get("description"), each["input_schema"])
        for each in body.get("tools") or []
        if "input_schema" in each
    ]
    if slow.at(body, "tool_choice", "type") == "none":
        facts.append(("choice", "none"))
    elif slow.at(body, "tool_choice", "name"):
        facts.append(("choice", (body["tool_choice"]["name"],)))
    calls = Calls()
    facts += content(body.get("system"), "system", calls)
    for message in body.get("messages") or []:
        facts += content(message["content"], message["role"], calls)
    return facts


def content(value: Any, role: str, calls: Calls) -> Facts:
    """Return the facts of a message's content."""
    if isinstance(value, str):
        return [("text", role, squeezed(value))]
    facts: Facts = []
    for block in value or []:
        match block.get("type"):
            case "text":
                facts.append(("text", role, squeezed(block.get("text"))))
            case "tool_reference":
                facts.append(("text", role, squeezed(f"The tool {block['tool_name']} can be called now.")))
            case "thinking":
                facts.append(("thinking", squeezed(block.get("thinking"))))
            case "image" | "document" as kind:
                media = _media("image" if kind == "image" else "file", role, block["source"])
                if media[0][0] == "document":
                    media.insert(0, ("document", role, squeezed(block.get("title"))))
                facts += media
            case "search_result":
                facts.append(("document", role, squeezed(block.get("title"))))
                facts += [("document", role, squeezed(each.get("text"))) for each in block["content"]]
            case "tool_use":
                calls.add(block.get("id"), block["name"])
                facts.append(("call", block["name"], arguments(block.get("input"))))
            case "tool_result":
                parts = content(block.get("content"), "user", calls)
                text = "".join(part[-1] for part in parts if part[0] == "text")
                whole = answer(block["content"]) if isinstance(block.get("content"), str) else answer(text)
                media = tuple(part[-1] for part in parts if part[0] not in ("text", "document"))
                facts.append(("result", calls.find(block["tool_use_id"]), whole, media))
                facts += [part for part in parts if part[0] == "document"]
            case "container_upload":
                facts.append(("file", role, digest(block["file_id"])))
    return facts


def _media(kind: str, role: str, source: dict[str, Any]) -> Facts:
    if source.get("type") == "text":
        return [("document", role, squeezed(source["data"]))]
    if source.get("type") == "content":
        inner = source["content"]
        texts = [inner] if isinstance(inner, str) else [each.get("text") or "" for each in inner]
        return [("document", role, squeezed(text)) for text in texts]
    where = source.get("data") or source.get("url") or source.get("file_id")
    return [(kind, role, digest(where)) if kind == "image" else file(role, source.get("media_type"), where)]


def reply(body: dict[str, Any], docs: list[Any]) -> Facts:
    """Return the facts of a reply."""
    facts = content(body.get("content"), "assistant", Calls())
    if body.get("stop_reason"):
        facts.append(("finish", FINISHES.get(body["stop_reason"], "other")))
    usages = [u for d in docs for u in (slow.at(d, "message", "usage"), slow.at(d, "usage")) if u]
    merged: dict[str, Any] = {}
    for usage in usages:
        merged.update({name: value for name, value in usage.items() if value is not None})
    more = [each for each in merged.get("iterations") or [] if each["type"] != "message"]
    written = sum(each.get("cache_creation_input_tokens") or 0 for each in [merged, *more])
    reasoning = slow.at(merged, "output_tokens_details", "thinking_tokens") or 0
    return with_usage(facts, slow.anthropic(usages), reasoning, written)


def stream(docs: list[Any]) -> Facts:
    """Return the facts of a stream."""
    blocks: dict[int, dict[str, Any]] = {}
    reason = None
    for event in docs:
        if event.get("type") == "content_block_start":
            block = dict(event["content_block"])
            if isinstance(block.get("input"), dict):
                block["input"] = "" if not block["input"] else block["input"]
            blocks[event["index"]] = block
        elif event.get("type") == "content_block_delta":
            delta, block = event["delta"], blocks[event["index"]]
            for name, field in (("text", "text"), ("thinking", "thinking"), ("partial_json", "input")):
                if name in delta and isinstance(block.get(field), str):
                    block[field] += delta[name]
        elif event.get("type") == "message_delta":
            reason = event["delta"].get("stop_reason") or reason
    return reply({"content": [block for _, block in sorted(blocks.items())], "stop_reason": reason}, docs)
