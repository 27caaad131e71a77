"""Bedrock's converse and invoke, whole and as AWS event streams.

Source: docs.aws.amazon.com/bedrock/latest/APIReference, read 2026-11. Invoke takes Anthropic bodies
(`anthropic_version` in them, the model in the path), Titan's and Cohere's for embeddings, and those that rank.
"""

import json
from base64 import b64decode, b64encode
from typing import Any

import msgspec

from portico.errors import InvalidRequest
from portico.framing import eventstream
from portico.testing.ask import Answer, Ask, Piece, Request, Tool
from portico.testing.shapes import cohere, messages
from portico.testing.shapes.errors import Refusal
from portico.testing.shapes.lines import (
    EVENT_STREAM,
    TEXT,
    Shape,
    decoded,
    encode,
    mould,
    text_of,
    weigh,
    weigh_json,
    words,
)
from portico.testing.shapes.vectors import vector
from portico.testing.words import slices, tokens

_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "stop_sequence": "stop_sequence"}
_NOTHING = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    role: str
    content: list[dict[str, Any]]


class _ToolConfig(msgspec.Struct):
    tools: msgspec.Raw = _NOTHING
    toolChoice: dict[str, Any] | None = None  # noqa: N815  # as the API spells it


class _Converse(msgspec.Struct):
    messages: list[_Message]
    system: list[dict[str, Any]] | None = None
    inferenceConfig: dict[str, Any] | None = None  # noqa: N815
    toolConfig: _ToolConfig | None = None  # noqa: N815
    additionalModelRequestFields: dict[str, Any] | None = None  # noqa: N815
    outputConfig: dict[str, Any] | None = None  # noqa: N815


_converse = msgspec.json.Decoder(_Converse)
_tools = msgspec.json.Decoder(list[dict[str, Any]])
_table = msgspec.json.Decoder(dict[str, Any])


def read(request: Request, model: str | None) -> Ask:
    """Read a converse request."""
    body = decoded(_converse, request.body)
    ask = Ask(model=model or "")
    count = weigh(*text_of(body.system)) if body.system else 0
    for message in body.messages:
        text, media = text_of(message.content)
        count += weigh(text, media)
        answering = any("toolResult" in block for block in message.content)
        ask.hear(text, own=message.role == "assistant", answering=answering)
    if body.toolConfig is not None and body.toolConfig.tools:
        count += weigh_json(body.toolConfig.tools)
        specs = [tool.get("toolSpec") or {} for tool in decoded(_tools, bytes(body.toolConfig.tools))]
        ask.tools = [Tool(s["name"], (s.get("inputSchema") or {}).get("json")) for s in specs if s.get("name")]
        choice = body.toolConfig.toolChoice or {}
        if "any" in choice or "tool" in choice:
            ask.force = str((choice.get("tool") or {}).get("name") or "any")
    ask.input = count
    inference = body.inferenceConfig or {}
    ask.max_tokens = inference.get("maxTokens")
    ask.stop = words(inference.get("stopSequences"))
    more = body.additionalModelRequestFields or {}
    thinking = more.get("thinking") or more.get("reasoning_config") or {}
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        ask.think = "shown"
    ask.format = _format(body.outputConfig or {})
    return ask


def _format(config: dict[str, Any]) -> Any:
    """Return the JSON schema that the output must follow; the API carries it as a text."""
    form = config.get("textFormat") or {}
    if form.get("type") != "json_schema":
        return None
    schema = ((form.get("structure") or {}).get("jsonSchema") or {}).get("schema")
    if not isinstance(schema, str):
        return schema or "json"
    try:
        return json.loads(schema)
    except ValueError:
        raise InvalidRequest("The JSON schema of outputConfig is not JSON") from None


def usage(answer: Answer) -> dict[str, Any]:
    """Return usage as converse reports it: cached tokens stand beside the input's, and the total has all."""
    found = {
        "inputTokens": answer.input,
        "outputTokens": answer.output_total,
        "totalTokens": answer.input_total + answer.output_total,
    }
    if answer.cached or answer.cache_write:
        found |= {"cacheReadInputTokens": answer.cached, "cacheWriteInputTokens": answer.cache_write}
    return found


def _tool_id(call_id: str) -> str:
    return "tooluse_" + call_id.removeprefix("call_")


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def whole(_ask: Ask, answer: Answer) -> bytes:
    """Write a converse reply."""
    choice = answer.choices[0]
    content: list[dict[str, Any]] = []
    if answer.shown:
        thought = {"text": answer.reasoning, "signature": answer.signature}
        content.append({"reasoningContent": {"reasoningText": thought}})
    if choice.text or not choice.calls:
        content.append({"text": choice.text})
    content += [
        {"toolUse": {"toolUseId": _tool_id(call.id), "name": call.name, "input": _parsed(call.arguments)}}
        for call in choice.calls
    ]
    reply: dict[str, Any] = {
        "metrics": {"latencyMs": 1},
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _STOP[choice.finish],
    }
    if not answer.silent:
        reply["usage"] = usage(answer)
    return encode(reply)


def event(kind: str, payload: bytes) -> bytes:
    """Return one message of an event stream."""
    return eventstream.encode(
        {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload
    )


_EXCEPTIONS = {
    400: "validationException",
    408: "modelTimeoutException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    503: "serviceUnavailableException",
}


def exception(refusal: Refusal) -> bytes:
    """Return the message by which an event stream says that it failed."""
    kind = _EXCEPTIONS.get(refusal.status, "internalServerException")
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return eventstream.encode(headers, encode({"message": refusal.message}))


class _Stream:
    """The messages of one streamed reply."""

    def __init__(self, rare: bool) -> None:
        self.pieces: list[Piece] = []
        self.padding = {"p": "abcdefghijkl"} if rare else {}

    def add(self, kind: str, payload: dict[str, Any], output: int = 0) -> None:
        """Add one message."""
        self.pieces.append(Piece(event(kind, encode({**payload, **self.padding})), output))

    def pour(self, index: int, delta: dict[str, Any], text: str, chunk: int, *, thought: bool = False) -> None:
        """Add a text's deltas."""
        before, after = mould({"contentBlockIndex": index, "delta": delta, **self.padding})
        for part in slices(text, chunk):
            count = tokens(part)
            line = event("contentBlockDelta", before + encode(part) + after)
            self.pieces.append(Piece(line, 0 if thought else count, count if thought else 0))


def stream(_ask: Ask, answer: Answer) -> list[Piece]:
    """Write the messages of a streamed converse reply."""
    choice = answer.choices[0]
    out = _Stream(answer.rare)
    out.add("messageStart", {"role": "assistant"})
    index = 0
    if answer.shown:
        out.pour(index, {"reasoningContent": {"text": TEXT}}, answer.reasoning, answer.chunk, thought=True)
        if answer.rare:
            out.add("contentBlockDelta", {"contentBlockIndex": index, "delta": {"reasoningContent": {"text": ""}}})
        signed = {"reasoningContent": {"signature": answer.signature}}
        out.add("contentBlockDelta", {"contentBlockIndex": index, "delta": signed})
        out.add("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    if choice.text or not choice.calls:
        out.pour(index, {"text": TEXT}, choice.text, answer.chunk)
        out.add("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    for call in choice.calls:
        start = {"toolUse": {"toolUseId": _tool_id(call.id), "name": call.name}}
        bare = call.arguments == "{}"  # of a call without arguments nothing comes
        counted = tokens(call.name) + bare * tokens(call.arguments)
        out.add("contentBlockStart", {"contentBlockIndex": index, "start": start}, counted)
        if answer.rare or bare:
            out.add("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": ""}}})
        if not bare:
            out.pour(index, {"toolUse": {"input": TEXT}}, call.arguments, answer.chunk)
        out.add("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    out.add("messageStop", {"stopReason": _STOP[choice.finish]})
    used = {} if answer.silent else {"usage": usage(answer)}
    out.add("metadata", {**used, "metrics": {"latencyMs": 1}})
    return out.pieces


def read_stream(request: Request, model: str | None) -> Ask:
    """Read a converse-stream request."""
    ask = read(request, model)
    ask.stream = True
    return ask


# counts


def read_count(request: Request, model: str | None) -> Ask:
    """Read a request to count tokens: one to converse or to invoke. Claude's models count, by their own names."""
    if not (model or "").startswith("anthropic."):
        raise InvalidRequest("The provided model doesn't support counting tokens.")
    given = decoded(_table, request.body).get("input") or {}
    if isinstance(given.get("converse"), dict):
        ask = read(msgspec.structs.replace(request, body=encode(given["converse"])), model)
    elif isinstance(given.get("invokeModel"), dict):
        ask = messages.read(msgspec.structs.replace(request, body=b64decode(given["invokeModel"]["body"])), model)
        ask.stream = False
    else:
        raise InvalidRequest("input: converse or invokeModel must be given", param="input")
    ask.n = 0
    return ask


def whole_count(_ask: Ask, answer: Answer) -> bytes:
    """Write a count of tokens."""
    return encode({"inputTokens": answer.input_total})


# invoke, with Anthropic's bodies, and with those of Titan and Cohere for embeddings and rankings


def read_invoke(request: Request, model: str | None) -> Ask:
    """Read an invoke request."""
    ask = messages.read(request, model) if b'"anthropic_version"' in request.body else _read_task(request, model or "")
    ask.model = model or ask.model
    ask.stream = False
    return ask


def _read_task(request: Request, model: str) -> Ask:
    body = decoded(_table, request.body)
    if "cohere.rerank" in model or "amazon.rerank" in model:
        return cohere.read_rerank(request, model)
    if "cohere.embed" in model:
        if "input_type" not in body:
            raise InvalidRequest("Malformed input request: #: required key [input_type] not found")
        return cohere.read_embed(request, model)
    if "titan-embed" in model:
        allowed = {"inputText", "dimensions", "normalize", "embeddingTypes"} if "-v2" in model else {"inputText"}
        if "image" in model:
            allowed = {"inputText", "inputImage", "embeddingConfig"}
        if strange := body.keys() - allowed:
            raise InvalidRequest(f"Malformed input request: extraneous key {sorted(strange)} is not permitted")
        text = str(body.get("inputText") or body.get("inputImage") or "")
        if not text:
            raise InvalidRequest("Malformed input request: required key [inputText] not found")
        return Ask(model=model, prompt=text, input=tokens(text), n=0, body=body)
    raise InvalidRequest("The mock's invoke takes Anthropic bodies: required key [anthropic_version] not found")


def whole_invoke(ask: Ask, answer: Answer) -> bytes:
    """Write the reply of the model's maker."""
    if "rerank" in ask.model:
        return cohere.whole_rerank(ask, answer)
    if "cohere.embed" in ask.model:
        return cohere.whole_embed(ask, answer)
    if "titan-embed" in ask.model:
        size = ask.body.get("dimensions") or (ask.body.get("embeddingConfig") or {}).get("outputEmbeddingLength")
        return encode({"embedding": vector(ask.prompt, int(size or 1024)), "inputTextTokenCount": ask.input})
    return messages.whole(ask, answer)


def read_invoke_stream(request: Request, model: str | None) -> Ask:
    """Read an invoke-with-response-stream request."""
    ask = read_invoke(request, model)
    ask.stream = True
    return ask


def stream_invoke(ask: Ask, answer: Answer) -> list[Piece]:
    """Write Anthropic's events, each the base64 in a `chunk` message; the last one has Bedrock's own count."""
    pieces: list[Piece] = []
    for name, line, output, thought in messages.events(ask, answer):
        if name == "message_stop" and not answer.silent:
            counted = {
                "inputTokenCount": answer.input,
                "outputTokenCount": answer.output_total,
                "invocationLatency": 1,
                "firstByteLatency": 1,
            }
            line = encode({"type": name, "amazon-bedrock-invocationMetrics": counted})
        pieces.append(Piece(event("chunk", encode({"bytes": b64encode(line).decode()})), output, thought))
    return pieces


SHAPES = {
    "converse": Shape(read, whole),
    "converse_stream": Shape(read_stream, whole, stream, stream_type=EVENT_STREAM),
    "converse_count_tokens": Shape(read_count, whole_count),
    "invoke": Shape(read_invoke, whole_invoke),
    "invoke_stream": Shape(read_invoke_stream, messages.whole, stream_invoke, stream_type=EVENT_STREAM),
}
