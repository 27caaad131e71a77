"""Anthropic's messages; Bedrock and Vertex carry them too.

Source: docs.anthropic.com/en/api/messages and …/messages-streaming, read 2026-11.
"""

import json
from typing import Any

import msgspec

from portico.testing.ask import Answer, Ask, Choice, Piece, Request, Tool
from portico.testing.shapes.lines import TEXT, Shape, decoded, encode, mould, named, text_of, weigh, weigh_json, words
from portico.testing.words import slices, tokens

_NOTHING = msgspec.Raw(b"")
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "stop_sequence": "stop_sequence"}


class _Message(msgspec.Struct):
    role: str
    content: str | list[Any]


class _Tool(msgspec.Struct):
    name: str | None = None
    input_schema: dict[str, Any] | None = None


class _Messages(msgspec.Struct):
    messages: list[_Message]
    model: str | None = None
    max_tokens: int | None = None
    system: str | list[Any] | None = None
    stream: bool | None = None
    tools: msgspec.Raw = _NOTHING
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None
    stop_sequences: list[str] | None = None


_messages = msgspec.json.Decoder(_Messages)
_tools = msgspec.json.Decoder(list[_Tool] | None)


def read(request: Request, model: str | None) -> Ask:
    """Read a messages request."""
    body = decoded(_messages, request.body)
    ask = Ask(model=body.model or model or "", stream=bool(body.stream), max_tokens=body.max_tokens)
    count = weigh(*text_of(body.system)) if body.system else 0
    for message in body.messages:
        text, media = text_of(message.content)
        count += weigh(text, media)
        answering = isinstance(message.content, list) and any(
            isinstance(part, dict) and part.get("type") == "tool_result" for part in message.content
        )
        ask.hear(text, own=message.role == "assistant", answering=answering)
    if body.tools:
        count += weigh_json(body.tools)
        found = decoded(_tools, bytes(body.tools)) or ()
        ask.tools = [Tool(tool.name, tool.input_schema) for tool in found if tool.name]
    ask.input = count
    choice = body.tool_choice or {}
    ask.forbid = choice.get("type") == "none"
    if choice.get("type") in ("any", "tool"):
        ask.force = str(choice.get("name") or "any")
    output = (body.output_config or {}).get("format") or body.output_format
    if isinstance(output, dict) and output.get("type") == "json_schema":
        ask.format = output.get("schema") or "json"
    if (body.thinking or {}).get("type") in ("enabled", "adaptive"):
        ask.think = "shown"
    ask.stop = words(body.stop_sequences)
    return ask


def usage(answer: Answer, output: int | None = None) -> dict[str, Any]:
    """Return usage as messages report it: cached tokens stand beside the input's; thinking is output."""
    return {
        "input_tokens": answer.input,
        "cache_creation_input_tokens": answer.cache_write,
        "cache_read_input_tokens": answer.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": answer.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.output_total if output is None else output,
        "service_tier": "standard",
    }


def _tool_id(call_id: str) -> str:
    return "toolu_" + call_id.removeprefix("call_")


def _parsed(arguments: str) -> Any:
    """Return a tool's input; of one cut short, nothing."""
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def _content(answer: Answer, choice: Choice) -> list[dict[str, Any]]:
    """Return the content blocks."""
    blocks: list[dict[str, Any]] = []
    if answer.shown:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": answer.signature})
    if choice.text or not choice.calls:
        blocks.append({"type": "text", "text": choice.text})
    blocks += [
        {"type": "tool_use", "id": _tool_id(call.id), "name": call.name, "input": _parsed(call.arguments)}
        for call in choice.calls
    ]
    return blocks


def message(ask: Ask, answer: Answer, *, begun: bool = False) -> dict[str, Any]:
    """Return a message, whole or as a stream begins it."""
    choice = answer.choices[0]
    reply: dict[str, Any] = {
        "id": answer.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [] if begun else _content(answer, choice),
        "stop_reason": None if begun else _STOP[choice.finish],
        "stop_sequence": None if begun else choice.stopped_by,
        "usage": usage(answer, 1 if begun else None),
    }
    if answer.silent:
        reply["usage"] = {"input_tokens": 0, "output_tokens": 0}
    return reply


def whole(ask: Ask, answer: Answer) -> bytes:
    """Write a message."""
    return encode(message(ask, answer))


def events(ask: Ask, answer: Answer) -> list[tuple[str, bytes, int, int]]:
    """Return a streamed message as (event, JSON, output tokens, reasoning tokens)."""
    choice = answer.choices[0]
    found: list[tuple[str, bytes, int, int]] = []

    padding = b"  " if answer.rare else b""

    def add(event: dict[str, Any], output: int = 0) -> None:
        found.append((event["type"], encode(event) + padding, output, 0))

    def pour(index: int, delta: dict[str, Any], text: str, *, thought: bool = False) -> None:
        before, after = mould({"type": "content_block_delta", "index": index, "delta": delta})
        for part in slices(text, answer.chunk):
            count = tokens(part)
            line = before + encode(part) + after
            found.append(("content_block_delta", line, 0 if thought else count, count if thought else 0))

    def pour_nothing(index: int, delta: dict[str, Any]) -> None:
        add({"type": "content_block_delta", "index": index, "delta": delta})

    add({"type": "message_start", "message": message(ask, answer, begun=True)})
    index = 0
    if answer.shown:
        block: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
        add({"type": "content_block_start", "index": index, "content_block": block})
        add({"type": "ping"})
        pour(index, {"type": "thinking_delta", "thinking": TEXT}, answer.reasoning, thought=True)
        if answer.rare:
            pour_nothing(index, {"type": "thinking_delta", "thinking": ""})
        signed = {"type": "signature_delta", "signature": answer.signature}
        add({"type": "content_block_delta", "index": index, "delta": signed})
        add({"type": "content_block_stop", "index": index})
        index += 1
    if choice.text or not choice.calls:
        add({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
        if not index:
            add({"type": "ping"})
        pour(index, {"type": "text_delta", "text": TEXT}, choice.text)
        add({"type": "content_block_stop", "index": index})
        index += 1
    for call in choice.calls:
        block = {"type": "tool_use", "id": _tool_id(call.id), "name": call.name, "input": {}}
        bare = call.arguments == "{}"  # of a call without arguments nothing comes
        counted_here = tokens(call.name) + bare * tokens(call.arguments)
        add({"type": "content_block_start", "index": index, "content_block": block}, counted_here)
        if answer.rare or bare:
            pour_nothing(index, {"type": "input_json_delta", "partial_json": ""})
        if not bare:
            pour(index, {"type": "input_json_delta", "partial_json": TEXT}, call.arguments)
        add({"type": "content_block_stop", "index": index})
        index += 1
    delta = {"stop_reason": _STOP[choice.finish], "stop_sequence": choice.stopped_by}
    counted = {"output_tokens": 0 if answer.silent else answer.output_total}
    add({"type": "message_delta", "delta": delta, "usage": counted})
    add({"type": "message_stop"})
    return found


def stream(ask: Ask, answer: Answer) -> list[Piece]:
    """Write a streamed message as server-sent events."""
    return [Piece(named(name, line), output, thought) for name, line, output, thought in events(ask, answer)]


def read_stream(request: Request, model: str | None) -> Ask:
    """Read a request whose path says that it is streamed (Vertex)."""
    ask = read(request, model)
    ask.stream = True
    return ask


def read_count(request: Request, model: str | None) -> Ask:
    """Read a request to count tokens."""
    ask = read(request, model)
    ask.n = 0
    ask.stream = False
    return ask


def whole_count(_ask: Ask, answer: Answer) -> bytes:
    """Write a count of tokens."""
    return encode({"input_tokens": answer.input_total})


SHAPES = {
    "messages": Shape(read, whole, stream),
    "messages_count_tokens": Shape(read_count, whole_count),
    "vertex_raw": Shape(read, whole, stream),
    "vertex_raw_stream": Shape(read_stream, whole, stream),
}
