"""Gemini's generateContent family, as the Gemini API and Vertex AI speak it.

Source: ai.google.dev/api/generate-content, read 2026-11.
"""

import json
from typing import Any

import msgspec

from portico.errors import InvalidRequest
from portico.testing.ask import Answer, Ask, Choice, Piece, Request, Tool
from portico.testing.shapes.lines import Shape, data, decoded, encode, text_of, weigh, weigh_json, words
from portico.testing.shapes.vectors import vector
from portico.testing.words import slices, tokens

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "stop_sequence": "STOP"}
DIMENSIONS = 768

_json = msgspec.json.Decoder(dict[str, Any])


def _pick(table: Any, name: str) -> Any:
    """Return a field written in camelCase or in snake_case: the API takes both."""
    if not isinstance(table, dict):
        return None
    if name in table:
        return table[name]
    return table.get("".join("_" + letter.lower() if letter.isupper() else letter for letter in name))


def _parts(content: Any) -> list[Any]:
    """Return the parts of a content, which may be one part, or a bare text."""
    if isinstance(content, str):
        return [{"text": content}]
    parts = _pick(content, "parts")
    return parts if isinstance(parts, list) else [parts] if isinstance(parts, dict) else []


def read(request: Request, model: str | None) -> Ask:
    """Read a generateContent request."""
    body = decoded(_json, request.body)
    return _read(body, model or "")


def _read(body: dict[str, Any], model: str) -> Ask:
    contents = _pick(body, "contents")
    if isinstance(contents, dict):
        contents = [contents]
    if not isinstance(contents, list) or not contents:
        raise InvalidRequest("* GenerateContentRequest.contents: contents is not specified", param="contents")
    ask = Ask(model=model)
    system = _pick(body, "systemInstruction")
    count = weigh(*text_of(_parts(system))) if system else 0
    for content in contents:
        parts = _parts(content)
        text, media = text_of(parts)
        count += weigh(text, media)
        answering = any(_pick(part, "functionResponse") is not None for part in parts)
        ask.hear(text, own=_pick(content, "role") == "model", answering=answering)
    tools = _pick(body, "tools") or []
    if tools:
        count += weigh_json(encode(tools))
    for tool in tools:
        for declared in _pick(tool, "functionDeclarations") or ():
            schema = _pick(declared, "parameters") or _pick(declared, "parametersJsonSchema")
            ask.tools.append(Tool(str(_pick(declared, "name")), schema))
    calling = _pick(_pick(body, "toolConfig"), "functionCallingConfig")
    mode = str(_pick(calling, "mode") or "AUTO").upper()
    ask.forbid = mode == "NONE"
    if mode == "ANY":
        ask.force = str((_pick(calling, "allowedFunctionNames") or ["any"])[0])
    ask.input = count
    _configure(ask, _pick(body, "generationConfig") or {})
    return ask


def _configure(ask: Ask, config: dict[str, Any]) -> None:
    """Set what the generation config asks for."""
    ask.max_tokens = _pick(config, "maxOutputTokens")
    ask.n = _pick(config, "candidateCount") or 1
    ask.stop = words(_pick(config, "stopSequences"))
    schema = _pick(config, "responseJsonSchema") or _pick(config, "responseSchema")
    if _pick(config, "responseMimeType") == "application/json":
        ask.format = schema or "json"
    thinking = _pick(config, "thinkingConfig")
    if _pick(thinking, "includeThoughts"):
        ask.think = "shown"
    elif _pick(thinking, "thinkingBudget") or _pick(thinking, "thinkingLevel"):
        ask.think = "hidden"


def usage(answer: Answer, output: int | None = None, reasoned: int | None = None) -> dict[str, Any]:
    """Return usage as Gemini reports it: thoughts stand beside the candidates', cached inside the prompt's."""
    output = answer.output if output is None else output
    reasoned = answer.reasoned if reasoned is None else reasoned
    found: dict[str, Any] = {
        "promptTokenCount": answer.input_total,
        "candidatesTokenCount": output,
        "totalTokenCount": answer.input_total + output + reasoned,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": answer.input_total}],
    }
    if answer.cached:
        found["cachedContentTokenCount"] = answer.cached
        found["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": answer.cached}]
    if reasoned:
        found["thoughtsTokenCount"] = reasoned
    return found


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def _calls(answer: Answer, choice: Choice) -> list[dict[str, Any]]:
    """Return the parts that call functions; the first is signed where there was thought."""
    parts: list[dict[str, Any]] = [
        {"functionCall": {"id": call.id, "name": call.name, "args": _parsed(call.arguments)}} for call in choice.calls
    ]
    if answer.rare:  # most models of before 2026 give no ids
        for part in parts:
            del part["functionCall"]["id"]
    if parts and answer.reasoned:
        parts[0]["thoughtSignature"] = answer.signature
    return parts


def _reply(ask: Ask, answer: Answer, candidates: list[dict[str, Any]], counted: dict[str, Any]) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "candidates": candidates,
        "usageMetadata": counted,
        "modelVersion": ask.model,
        "responseId": answer.id(""),
    }
    if answer.silent:
        del reply["usageMetadata"]
    return reply


def _candidate(index: int, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    candidate["index"] = index
    return candidate


def whole(ask: Ask, answer: Answer) -> bytes:
    """Write a reply to generateContent."""
    candidates = []
    for index, choice in enumerate(answer.choices):
        parts: list[dict[str, Any]] = []
        if answer.shown and not index:
            parts.append({"text": answer.reasoning, "thought": True})
        if choice.text:
            parts.append({"text": choice.text})
        parts += _calls(answer, choice)
        candidates.append(_candidate(index, parts, _FINISH[choice.finish]))
    return encode(_reply(ask, answer, candidates, usage(answer)))


def chunks(ask: Ask, answer: Answer) -> list[Piece]:
    """Return the replies that make up a stream, as JSON; each reports the usage so far, as Gemini does."""
    found: list[Piece] = []
    output = reasoned = 0

    def add(index: int, parts: list[dict[str, Any]], more: int, thought: int, finish: str | None = None) -> None:
        nonlocal output, reasoned
        output += more
        reasoned += thought
        last = finish is not None and index == len(answer.choices) - 1
        counted = usage(answer, answer.output if last else output, reasoned)
        found.append(Piece(encode(_reply(ask, answer, [_candidate(index, parts, finish)], counted)), more, thought))

    hidden = 0 if answer.shown else answer.reasoned
    if answer.shown:
        for part in slices(answer.reasoning, answer.chunk):
            add(0, [{"text": part, "thought": True}], 0, tokens(part))
    for index, choice in enumerate(answer.choices):
        for part in slices(choice.text, answer.chunk):
            add(index, [{"text": part}], tokens(part), hidden)
            hidden = 0
        calls = _calls(answer, choice)
        called = sum(tokens(call.name) + tokens(call.arguments) for call in choice.calls)
        if answer.rare:  # each call in a chunk of its own, and the end in one without words
            for call in calls:
                add(index, [call], 0, hidden)
                hidden = 0
            calls = []
        add(index, calls or [{"text": ""}], called, hidden, _FINISH[choice.finish])
        hidden = 0
    return found


def stream(ask: Ask, answer: Answer) -> list[Piece]:
    """Write the stream: as events with `alt=sse`, else as one JSON array, a piece of it at a time."""
    found = chunks(ask, answer)
    if ask.body == "sse":
        return [piece._replace(data=data(piece.data)) for piece in found]
    opened = [piece._replace(data=(b",\r\n" if place else b"[") + piece.data) for place, piece in enumerate(found)]
    return [*opened, Piece(b"\n]")]


def read_stream(request: Request, model: str | None) -> Ask:
    """Read a streamGenerateContent request; `alt=sse` in the query asks for events."""
    ask = read(request, model)
    ask.stream = True
    ask.body = "sse" if "alt=sse" in request.query.split("&") else "json"
    return ask


def read_count(request: Request, model: str | None) -> Ask:
    """Read a countTokens request: contents, or a whole generateContent request to be."""
    body = decoded(_json, request.body)
    inner = _pick(body, "generateContentRequest")
    ask = _read(inner if isinstance(inner, dict) else body, model or "")
    ask.n = 0
    return ask


def whole_count(_ask: Ask, answer: Answer) -> bytes:
    """Write a count of tokens."""
    count = answer.input_total
    return encode({"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]})


# embeddings


def _embedding(request: dict[str, Any]) -> tuple[str, int]:
    """Return the text and the dimensions of one embedding."""
    if not _pick(request, "content"):
        raise InvalidRequest("* EmbedContentRequest.content: contents is not specified", param="content")
    config = _pick(request, "embedContentConfig") or request
    wanted = _pick(request, "outputDimensionality") or _pick(config, "outputDimensionality")
    return text_of(_parts(_pick(request, "content")))[0], int(wanted or DIMENSIONS)


def _embed(model: str | None, wanted: list[tuple[str, int]]) -> Ask:
    first = wanted[0][0] if wanted else ""
    return Ask(model=model or "", prompt=first, input=sum(tokens(text) for text, _ in wanted), n=0, body=wanted)


def read_embed(request: Request, model: str | None) -> Ask:
    """Read an embedContent request."""
    return _embed(model, [_embedding(decoded(_json, request.body))])


def whole_embed(ask: Ask, _answer: Answer) -> bytes:
    """Write one embedding."""
    text, dimensions = ask.body[0]
    counted = {"promptTokenCount": ask.input, "totalTokenCount": ask.input}
    return encode({"embedding": {"values": vector(text, dimensions)}, "usageMetadata": counted})


def read_batch(request: Request, model: str | None) -> Ask:
    """Read a batchEmbedContents request."""
    requests = decoded(_json, request.body).get("requests")
    if not isinstance(requests, list):
        raise InvalidRequest("* BatchEmbedContentsRequest.requests: must be a list", param="requests")
    return _embed(model, [_embedding(each) for each in requests])


def whole_batch(ask: Ask, _answer: Answer) -> bytes:
    """Write embeddings in order."""
    counted = {"promptTokenCount": ask.input, "totalTokenCount": ask.input}
    return encode({"embeddings": [{"values": vector(text, size)} for text, size in ask.body], "usageMetadata": counted})


def read_predict(request: Request, model: str | None) -> Ask:
    """Read Vertex's predict, as its text embedding models are called."""
    body = decoded(_json, request.body)
    instances = body.get("instances")
    if not isinstance(instances, list):
        raise InvalidRequest("instances must be a list", param="instances")
    wanted = (body.get("parameters") or {}).get("outputDimensionality") or DIMENSIONS
    return _embed(model, [(str(each.get("content", "")), int(wanted)) for each in instances])


def whole_predict(ask: Ask, _answer: Answer) -> bytes:
    """Write predictions that are embeddings."""
    return encode(
        {
            "predictions": [
                {
                    "embeddings": {
                        "values": vector(text, size),
                        "statistics": {"token_count": tokens(text), "truncated": False},
                    }
                }
                for text, size in ask.body
            ],
            "metadata": {"billableCharacterCount": sum(len(text) for text, _ in ask.body)},
        }
    )


SHAPES = {
    "generate_content": Shape(read, whole, stream),
    "stream_generate_content": Shape(read_stream, whole, stream),
    "gemini_count_tokens": Shape(read_count, whole_count),
    "embed_content": Shape(read_embed, whole_embed),
    "batch_embed_contents": Shape(read_batch, whole_batch),
    "vertex_predict": Shape(read_predict, whole_predict),
}
