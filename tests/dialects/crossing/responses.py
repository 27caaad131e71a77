"""The facts of OpenAI's Responses, from raw JSON."""

from typing import Any

from tests.dialects import slow
from tests.dialects.crossing.facts import Calls, Facts, answer, arguments, digest, file, squeezed, tool, with_usage

CALLS = ("function_call", "custom_tool_call")
PAINTED = "image_generation_call"
# Of tools that the API knows and the caller runs.
KNOWN_CALLS = {
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
    "tool_search_call": ("tool_search", "arguments"),
}
OUTPUTS = ("function_call_output", "custom_tool_call_output")


def request(body: dict[str, Any]) -> Facts:
    """Return the facts of a request."""
    given = body.get("input")
    adding = ("additional_tools", "tool_search_output")
    added = [item for item in given if item.get("type") in adding] if isinstance(given, list) else []
    # One that is told again is one.
    facts: Facts = list(
        {
            each["name"]: tool(each["name"], each.get("description"), each.get("parameters"))
            for each in spread([*(body.get("tools") or []), *[each for item in added for each in item["tools"]]])
        }.values()
    )
    if body.get("tool_choice") == "none":
        facts.append(("choice", "none"))
    elif slow.at(body, "tool_choice", "name"):
        facts.append(("choice", (body["tool_choice"]["name"],)))
    elif slow.at(body, "tool_choice", "type") == "allowed_tools":
        facts.append(("choice", tuple(each.get("name") for each in body["tool_choice"]["tools"])))
    instructions = body.get("instructions")
    if isinstance(instructions, str):
        facts.append(("text", "system", squeezed(instructions)))
    if isinstance(given, str):
        return [*facts, ("text", "user", squeezed(given))]
    calls = Calls()
    for item in given or []:
        if item.get("execution") == "client" and item["type"] == "tool_search_output":
            names = ", ".join(tool["name"] for tool in item["tools"])
            facts.append(
                ("result", calls.find(item["call_id"]), squeezed(f"Tools that can be called now: {names}"), ())
            )
        elif item.get("type") in KNOWN_CALLS and item.get("execution") != "server":
            name, field = KNOWN_CALLS[item["type"]]
            calls.add(item["call_id"], name)
            said = {key: each for key, each in item[field].items() if each is not None}
            facts.append(("call", name, arguments(said)))
        else:
            facts += _item(item, calls)
    return facts


def spread(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions and custom tools, those of a namespace by its name and theirs."""
    found = []
    for each in tools:
        if each.get("type") == "namespace":
            found += [inner | {"name": f"{each['name']}__{inner['name']}"} for inner in spread(each["tools"])]
        elif each.get("type") in ("function", "custom") and "name" in each:
            found.append(each)
        elif each.get("type") == "tool_search" and each.get("execution") == "client":
            found.append(each | {"name": "tool_search"})
    return found


def _item(item: dict[str, Any], calls: Calls) -> Facts:
    kind = item.get("type", "message")
    if kind == "message":
        role = item["role"]
        role = "system" if role in ("system", "developer") else role
        return content(item.get("content"), role)
    if kind in CALLS:
        calls.add(item.get("call_id"), item["name"])
        return [("call", item["name"], arguments(item.get("arguments", item.get("input"))))]
    if kind in OUTPUTS:
        parts = content(item.get("output"), "user")
        text = "".join(part[-1] for part in parts if part[0] == "text")
        whole = answer(item["output"]) if isinstance(item.get("output"), str) else answer(text)
        media = tuple(part[-1] for part in parts if part[0] != "text")
        return [("result", calls.find(item.get("call_id")), whole, media)]
    if kind == "reasoning":
        texts = [*(item.get("summary") or []), *(item.get("content") or [])]
        return [("thinking", squeezed(each.get("text"))) for each in texts]
    if kind == PAINTED and item.get("result"):
        return [("image", "assistant", digest(item["result"]))]
    return []


def content(value: Any, role: str) -> Facts:
    """Return the facts of a message's content."""
    if isinstance(value, str):
        return [("text", role, squeezed(value))]
    facts: Facts = []
    for part in value or []:
        match part.get("type"):
            case "input_text" | "output_text" | "text":
                facts.append(("text", role, squeezed(part.get("text"))))
            case "refusal":
                facts.append(("text", role, squeezed(part.get("refusal"))))
            case "input_image":
                facts.append(("image", role, digest(part.get("image_url") or part.get("file_id"))))
            case "input_file":
                where = part.get("file_data") or part.get("file_url") or part.get("file_id")
                facts.append(file(role, "application/pdf", where))
            case "input_audio":
                facts.append(("audio", role, digest(part["input_audio"]["data"])))
    return facts


def reply(body: dict[str, Any], docs: list[Any]) -> Facts:
    """Return the facts of a reply."""
    facts: Facts = []
    calls = Calls()
    for item in body.get("output") or []:
        facts += _item(item, calls)
    status = body.get("status")
    if status == "completed":
        facts.append(("finish", "calls" if calls.count else "stop"))
    elif status == "incomplete":
        reason = slow.at(body, "incomplete_details", "reason")
        facts.append(("finish", {"max_output_tokens": "length", "content_filter": "filter"}.get(reason, "other")))
    found = slow.last(u for d in docs for u in (slow.at(d, "response", "usage"), slow.at(d, "usage")))
    reasoning = slow.at(found, "output_tokens_details", "reasoning_tokens") or 0
    written = slow.at(found, "input_tokens_details", "cache_write_tokens") or 0
    return with_usage(facts, slow.openai(found), reasoning, written)


def stream(docs: list[Any]) -> Facts:
    """Return the facts of a stream, from its deltas alone where there are any."""
    items: dict[int, dict[str, Any]] = {}
    last: dict[str, Any] = {}
    for event in docs:
        name = event.get("type") or ""
        at = event.get("output_index", len(items) - 1)
        if name == "response.output_item.added":
            items[at] = {**event["item"], "content": {}, "summary": {}, "arguments": "", "input": ""}
            if event["item"].get("type") == "message":
                items[at]["content"] = dict(enumerate(event["item"].get("content") or []))
        elif name == "response.output_item.done" and (at not in items or items[at].get("type") == PAINTED):
            items[at] = event["item"]
        elif name in ("response.output_text.delta", "response.refusal.delta", "response.reasoning_text.delta"):
            kind = "output_text" if "refusal" not in name else "refusal"
            _grow(items.setdefault(at, {"type": "message", "role": "assistant", "content": {}}), "content", event, kind)
        elif name == "response.reasoning_summary_text.delta":
            _grow(items.setdefault(at, {"type": "reasoning", "summary": {}, "content": {}}), "summary", event, "text")
        elif name == "response.function_call_arguments.delta":
            items[at]["arguments"] += event["delta"]
        elif name == "response.function_call_arguments.done":
            items[at]["arguments"] = items[at]["arguments"] or event["arguments"]
        elif name == "response.custom_tool_call_input.delta":
            items[at]["input"] += event["delta"]
        elif name in ("response.completed", "response.incomplete", "response.done"):
            last = event["response"]
    output = []
    for _, item in sorted(items.items()):
        made = dict(item)
        for field in ("content", "summary"):
            if isinstance(made.get(field), dict):
                made[field] = [part for _, part in sorted(made[field].items())]
        if made.get("type") == "custom_tool_call":
            made.pop("arguments", None)
        output.append(made)
    return reply({**last, "output": output or last.get("output")}, docs)


def _grow(item: dict[str, Any], field: str, event: dict[str, Any], kind: str) -> None:
    place = event.get("content_index", event.get("summary_index", 0))
    part = item[field].setdefault(place, {"type": kind, "text": "", "refusal": ""})
    name = "refusal" if kind == "refusal" else "text"
    part["type"] = kind
    part[name] = (part.get(name) or "") + event["delta"]
