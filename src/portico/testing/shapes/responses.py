"""OpenAI's responses (platform.openai.com/docs/api-reference/responses and …/responses-streaming, read 2026-11)."""

from typing import Any

import msgspec

from portico.testing.ask import CREATED, Answer, Ask, Choice, Piece, Request, Tool
from portico.testing.shapes.lines import TEXT, Shape, decoded, encode, mould, named, text_of, weigh, weigh_json
from portico.testing.words import slices, tokens

_NOTHING = msgspec.Raw(b"")
_ECHOED = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
)
_DEFAULTS: dict[str, Any] = {
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}


class _Responses(msgspec.Struct):
    input: str | list[dict[str, Any]] | None = None
    model: str | None = None
    instructions: str | list[Any] | None = None
    stream: bool | None = None
    tools: msgspec.Raw = _NOTHING
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = None


_responses = msgspec.json.Decoder(_Responses)
_table = msgspec.json.Decoder(dict[str, Any])
_tools = msgspec.json.Decoder(list[dict[str, Any]] | None)


def read(request: Request, model: str | None) -> Ask:
    """Read a responses request."""
    body = decoded(_responses, request.body)
    ask = Ask(model=body.model or model or "", stream=bool(body.stream), max_tokens=body.max_output_tokens)
    count = weigh(*text_of(body.instructions)) if body.instructions else 0
    items = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input or []
    for item in items:
        text, media = _item(item)
        count += weigh(text, media)
        if item.get("role") not in ("system", "developer"):
            answering = item.get("type") == "function_call_output"
            own = item.get("role") == "assistant" or item.get("type", "message") not in ("message", "input_text")
            ask.hear(text, own=own and not answering, answering=answering)
    if body.tools:
        count += weigh_json(body.tools)
        found = decoded(_tools, bytes(body.tools)) or ()
        ask.tools = [Tool(tool["name"], tool.get("parameters")) for tool in found if tool.get("type") == "function"]
    ask.input = count
    choice = body.tool_choice
    ask.forbid = choice == "none"
    if choice == "required":
        ask.force = "any"
    elif isinstance(choice, dict):
        allowed = choice.get("tools") or [choice]
        ask.force = None if choice.get("mode") == "auto" else str(allowed[0].get("name") or "any")
    wanted = (body.text or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        ask.format = wanted.get("schema") or "json"
    elif wanted.get("type") == "json_object":
        ask.format = "json"
    reasoning = body.reasoning or {}
    if reasoning.get("summary") or "reasoning.encrypted_content" in (body.include or ()):
        ask.think = "shown"
    elif reasoning.get("effort") not in (None, "none"):
        ask.think = "hidden"
    ask.body = decoded(_table, request.body)
    ask.include_usage = True
    return ask


def _item(item: dict[str, Any]) -> tuple[str, int]:
    """Return the text and media of one input item."""
    for word in ("content", "output", "summary"):
        if item.get(word):
            return text_of(item[word])
    return str(item.get("name", "")) + str(item.get("arguments", "")), 0


def usage(answer: Answer) -> dict[str, Any]:
    """Return usage as responses report it: details are inside the counts."""
    return {
        "input_tokens": answer.input_total,
        "input_tokens_details": {"cached_tokens": answer.cached, "cache_write_tokens": answer.cache_write},
        "output_tokens": answer.output_total,
        "output_tokens_details": {"reasoning_tokens": answer.reasoned},
        "total_tokens": answer.input_total + answer.output_total,
    }


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _items(ask: Ask, answer: Answer, choice: Choice) -> list[dict[str, Any]]:
    """Return the output items."""
    status = "incomplete" if choice.finish == "length" else "completed"
    items: list[dict[str, Any]] = []
    if answer.reasoned:
        summary = [{"type": "summary_text", "text": answer.reasoning}] if answer.shown else []
        thought: dict[str, Any] = {"id": answer.id("rs_"), "type": "reasoning", "summary": summary}
        if "reasoning.encrypted_content" in (ask.body.get("include") or ()):
            thought["encrypted_content"] = answer.signature
        items.append(thought)
    if choice.text or not choice.calls:
        items.append(
            {
                "id": answer.id("msg_"),
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [_text_part(choice.text)],
            }
        )
    items += [
        {
            "id": "fc_" + call.id.removeprefix("call_"),
            "type": "function_call",
            "status": status if place == len(choice.calls) - 1 else "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for place, call in enumerate(choice.calls)
    ]
    return items


def _response(ask: Ask, answer: Answer, status: str) -> dict[str, Any]:
    """Return the response object in one of its states."""
    cut = answer.choices[0].finish == "length"
    ended = status == "completed"
    said = ask.body
    reply: dict[str, Any] = {
        "id": answer.id("resp_"),
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if ended and cut else status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if ended and cut else None,
        "model": ask.model,
        "output": _items(ask, answer, answer.choices[0]) if ended else [],
    }
    for word in _ECHOED:
        value = said.get(word)
        reply[word] = _DEFAULTS.get(word) if value is None else value
    reply["usage"] = usage(answer) if ended and not answer.silent else None
    return reply


def whole(ask: Ask, answer: Answer) -> bytes:
    """Write a response."""
    return encode(_response(ask, answer, "completed"))


class _Stream:
    """The events of one streamed response, numbered in order."""

    def __init__(self, rare: bool) -> None:
        self.pieces: list[Piece] = []
        self.padding = {"obfuscation": "aB3xZ9"} if rare else {}

    def add(self, name: str, output: int = 0, reasoning: int = 0, /, **event: Any) -> None:
        """Add one event."""
        line = encode({"type": name, "sequence_number": len(self.pieces), **event})
        self.pieces.append(Piece(named(name, line), output, reasoning))

    def pour(self, name: str, text: str, chunk: int, *, thought: bool = False, **event: Any) -> None:
        """Add a text's deltas."""
        before, after = mould({**event, "delta": TEXT, **self.padding})
        for part in slices(text, chunk):
            count = tokens(part)
            head = b'{"type":"%b","sequence_number":%d,' % (name.encode(), len(self.pieces))
            line = head + before[1:] + encode(part) + after
            self.pieces.append(Piece(named(name, line), 0 if thought else count, count if thought else 0))


def stream(ask: Ask, answer: Answer) -> list[Piece]:
    """Write the events of a streamed response."""
    out = _Stream(answer.rare)
    out.add("response.created", response=_response(ask, answer, "in_progress"))
    out.add("response.in_progress", response=_response(ask, answer, "in_progress"))
    for index, item in enumerate(_items(ask, answer, answer.choices[0])):
        if item["type"] == "reasoning":
            _stream_reasoning(out, answer, index, item)
        elif item["type"] == "message":
            _stream_message(out, answer, index, item)
        else:
            _stream_call(out, answer, index, item)
    ended = _response(ask, answer, "completed")
    out.add(f"response.{ended['status']}", response=ended)
    return out.pieces


def _stream_reasoning(out: _Stream, answer: Answer, index: int, item: dict[str, Any]) -> None:
    hidden = 0 if answer.shown else answer.reasoned
    begun = {**item, "summary": []}
    if answer.rare and "encrypted_content" in item:
        begun["encrypted_content"] = "YmVndW4="  # what it is at first, and is not in the end
    out.add("response.output_item.added", 0, hidden, output_index=index, item=begun)
    if answer.shown:
        place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        part = item["summary"][0]
        out.add("response.reasoning_summary_part.added", **place, part={**part, "text": ""})
        name = "response.reasoning_summary_text.delta"
        out.pour(name, answer.reasoning, answer.chunk, thought=True, **place)
        out.add("response.reasoning_summary_text.done", **place, text=answer.reasoning)
        out.add("response.reasoning_summary_part.done", **place, part=part)
    out.add("response.output_item.done", output_index=index, item=item)


def _stream_message(out: _Stream, answer: Answer, index: int, item: dict[str, Any]) -> None:
    text = item["content"][0]["text"]
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    out.add("response.output_item.added", output_index=index, item=begun)
    out.add("response.content_part.added", **place, part=_text_part(""))
    out.pour("response.output_text.delta", text, answer.chunk, **place, logprobs=[])
    out.add("response.output_text.done", **place, text=text, logprobs=[])
    out.add("response.content_part.done", **place, part=_text_part(text))
    out.add("response.output_item.done", output_index=index, item=item)


def _stream_call(out: _Stream, answer: Answer, index: int, item: dict[str, Any]) -> None:
    place = {"item_id": item["id"], "output_index": index}
    begun = {**item, "status": "in_progress", "arguments": ""}
    out.add("response.output_item.added", tokens(item["name"]), output_index=index, item=begun)
    out.pour("response.function_call_arguments.delta", item["arguments"], answer.chunk, **place)
    out.add("response.function_call_arguments.done", **place, name=item["name"], arguments=item["arguments"])
    out.add("response.output_item.done", output_index=index, item=item)


def read_count(request: Request, model: str | None) -> Ask:
    """Read a request to count input tokens."""
    ask = read(request, model)
    ask.n = 0
    ask.stream = False
    return ask


def whole_count(_ask: Ask, answer: Answer) -> bytes:
    """Write a count of tokens."""
    return encode({"object": "response.input_tokens", "input_tokens": answer.input_total})


def read_compact(request: Request, model: str | None) -> Ask:
    """Read a request to make a conversation shorter."""
    ask = read(request, model)
    ask.n = 1
    ask.stream = False
    return ask


def whole_compact(_ask: Ask, answer: Answer) -> bytes:
    """Write what stands for a conversation from now on: nobody but the mock can read it."""
    item = {"id": answer.id("cmp_"), "type": "compaction", "encrypted_content": answer.signature}
    reply = {"id": answer.id("resp_"), "object": "response.compaction", "created_at": CREATED, "output": [item]}
    return encode({**reply, "usage": usage(answer)})


SHAPES = {
    "responses": Shape(read, whole, stream),
    "responses_compact": Shape(read_compact, whole_compact),
    "responses_input_tokens": Shape(read_count, whole_count),
}
