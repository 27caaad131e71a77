"""The facts of Bedrock's Converse, from raw JSON."""

from typing import Any

from tests.dialects import slow
from tests.dialects.crossing.facts import Calls, Facts, answer, arguments, digest, file, squeezed, tool, with_usage

WORDS = ("text", "json", "document")
FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "calls",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
}


def request(body: dict[str, Any]) -> Facts:
    """Return the facts of a request."""
    facts: Facts = []
    for each in (body.get("toolConfig") or {}).get("tools") or []:
        made = each.get("toolSpec")
        if made:
            facts.append(tool(made["name"], made.get("description"), slow.at(made, "inputSchema", "json")))
    chosen = slow.at(body, "toolConfig", "toolChoice", "tool", "name")
    if chosen:
        facts.append(("choice", (chosen,)))
    calls = Calls()
    facts += blocks(body.get("system"), "system", calls)
    for message in body.get("messages") or []:
        facts += blocks(message.get("content"), message["role"], calls)
    return facts


def blocks(value: Any, role: str, calls: Calls) -> Facts:
    """Return the facts of the blocks of a message."""
    facts: Facts = []
    for block in value or []:
        if isinstance(block.get("text"), str):
            facts.append(("text", role, squeezed(block["text"])))
        elif "guardContent" in block:
            facts.append(("text", role, squeezed(slow.at(block, "guardContent", "text", "text"))))
        elif "reasoningContent" in block:
            facts.append(("thinking", squeezed(slow.at(block, "reasoningContent", "reasoningText", "text"))))
        elif "citationsContent" in block:
            facts += blocks(block["citationsContent"].get("content"), role, calls)
        elif "toolUse" in block:
            use = block["toolUse"]
            if use.get("type") == "server_tool_use":
                continue
            calls.add(use.get("toolUseId"), use["name"])
            facts.append(("call", use["name"], arguments(use.get("input"))))
        elif "toolResult" in block and role == "assistant":
            continue  # of a tool that the provider ran
        elif "toolResult" in block:
            facts += _result(block["toolResult"], calls)
        elif "searchResult" in block:
            found = block["searchResult"]
            facts.append(("document", role, squeezed(found.get("title"))))
            facts += [("document", role, squeezed(each.get("text"))) for each in found["content"]]
        elif "json" in block:
            facts.append(("json", role, answer(block["json"])))
        else:
            facts += _media(block, role)
    return facts


def _media(block: dict[str, Any], role: str) -> Facts:
    if "searchResult" in block:
        found = block["searchResult"]
        texts = [found.get("title"), *(each.get("text") for each in found["content"])]
        return [("document", role, squeezed(text)) for text in texts]
    for name, kind in (("image", "image"), ("document", "file"), ("video", "video"), ("audio", "audio")):
        if name in block:
            source = block[name].get("source") or {}
            called: Facts = [("document", role, squeezed(block[name].get("name")))]
            if "text" in source:
                return [*called, ("document", role, squeezed(source["text"]))]
            if "content" in source:
                return called + [("document", role, squeezed(each.get("text"))) for each in source["content"]]
            if kind == "file" and block[name].get("format") in ("txt", "md", "csv", "html"):
                return [file(role, "text/plain", source.get("bytes"))]
            return [(kind, role, digest(source.get("bytes") or slow.at(source, "s3Location", "uri")))]
    return []


def _result(result: dict[str, Any], calls: Calls) -> Facts:
    inner = blocks(result.get("content"), "user", calls)
    text = "".join(part[-1] for part in inner if part[0] in WORDS)
    texts = [each for each in result.get("content") or [] if "text" in each]
    whole = answer(texts[0]["text"]) if len(inner) == 1 and texts else answer(text)
    found = [
        part for part in inner if part[0] == "document" and any("searchResult" in each for each in result["content"])
    ]
    media = tuple(part[-1] for part in inner if part[0] not in WORDS and part not in found)
    return [("result", calls.find(result.get("toolUseId")), whole, media), *found]


def reply(body: dict[str, Any], docs: list[Any]) -> Facts:
    """Return the facts of a reply."""
    facts = blocks(slow.at(body, "output", "message", "content"), "assistant", Calls())
    if body.get("stopReason"):
        facts.append(("finish", FINISHES.get(body["stopReason"], "other")))
    found = slow.last(slow.at(each, "usage") for each in docs)
    written = slow.at(found, "cacheWriteInputTokens") or slow.at(found, "cacheWriteInputTokenCount") or 0
    return with_usage(facts, slow.aws(found), 0, written)


def stream(docs: list[Any]) -> Facts:
    """Return the facts of a stream."""
    made: dict[int, dict[str, Any]] = {}
    reason = None
    for event in docs:
        if "stopReason" in event:
            reason = event["stopReason"]
        at = event.get("contentBlockIndex")
        if at is None:
            continue
        if "start" in event:
            made[at] = {name: dict(inner) for name, inner in event["start"].items()}
            for inner in made[at].values():
                inner.setdefault("input", "")
            continue
        for name, said in (event.get("delta") or {}).items():
            block = made.setdefault(at, {})
            if name == "text":
                block["text"] = block.get("text", "") + said
            elif name == "toolUse":
                block["toolUse"]["input"] += said["input"]
            elif name == "reasoningContent":
                thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})
                thought["reasoningText"]["text"] += said.get("text", "")
            elif name == "image":
                block["image"]["source"] = said["source"]
    content = [block for _, block in sorted(made.items())]
    return reply({"output": {"message": {"content": content}}, "stopReason": reason}, docs)
