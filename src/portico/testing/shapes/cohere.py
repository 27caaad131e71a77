"""Cohere's v2 chat, embed and rerank (docs.cohere.com/reference/chat, …/embed, …/rerank, read 2026-11)."""

from typing import Any

import msgspec

from portico.errors import InvalidRequest
from portico.testing.ask import Answer, Ask, Choice, Piece, Request, Tool
from portico.testing.shapes.lines import TEXT, Shape, decoded, encode, mould, named, text_of, weigh, weigh_json, words
from portico.testing.shapes.vectors import relevance, vector, vector_base64
from portico.testing.words import slices, tokens
from portico.types import Usage

_FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "stop_sequence": "STOP_SEQUENCE"}
_NOTHING = msgspec.Raw(b"")
DIMENSIONS = 1536


class _Message(msgspec.Struct):
    role: str
    content: str | list[Any] | None = None
    tool_calls: list[Any] | None = None


class _Chat(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    tools: msgspec.Raw = _NOTHING
    tool_choice: str | None = None
    response_format: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    stop_sequences: list[str] | None = None
    max_tokens: int | None = None


_chat = msgspec.json.Decoder(_Chat)
_table = msgspec.json.Decoder(dict[str, Any])
_tools = msgspec.json.Decoder(list[dict[str, Any]] | None)


def read(request: Request, _model: str | None) -> Ask:
    """Read a chat request."""
    body = decoded(_chat, request.body)
    ask = Ask(model=body.model, stream=bool(body.stream), max_tokens=body.max_tokens)
    count = 0
    for message in body.messages:
        text, media = text_of(message.content)
        if message.tool_calls:
            text += encode(message.tool_calls).decode()
        count += weigh(text, media)
        if message.role != "system":
            ask.hear(text, own=message.role == "assistant", answering=message.role == "tool")
    if body.tools:
        count += weigh_json(body.tools)
        functions = [tool.get("function") or {} for tool in decoded(_tools, bytes(body.tools)) or ()]
        ask.tools = [
            Tool(function["name"], function.get("parameters")) for function in functions if function.get("name")
        ]
    ask.input = count
    ask.forbid = body.tool_choice == "NONE"
    ask.force = "any" if body.tool_choice == "REQUIRED" else None
    wanted = body.response_format or {}
    if wanted.get("type") == "json_object":
        ask.format = wanted.get("json_schema") or wanted.get("schema") or "json"
    if (body.thinking or {}).get("type") == "enabled":
        ask.think = "shown"
    ask.stop = words(body.stop_sequences)
    return ask


def usage(answer: Answer) -> dict[str, Any]:
    """Return usage as Cohere reports it; the mock bills all that it counts."""
    counted: dict[str, Any] = {"input_tokens": answer.input_total, "output_tokens": answer.output_total}
    found: dict[str, Any] = {"billed_units": dict(counted), "tokens": counted}
    if answer.reasoned:
        counted["reasoning_tokens"] = answer.reasoned
    if answer.cached:
        found["cached_tokens"] = answer.cached
    return found


def _plan(calls: list[Any]) -> str:
    return "I will call " + ", ".join(call.name for call in calls) + "."


def _message(answer: Answer, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    content: list[dict[str, Any]] = []
    if answer.shown:
        content.append({"type": "thinking", "thinking": answer.reasoning})
    if choice.text or not choice.calls:
        content.append({"type": "text", "text": choice.text})
    if content:
        message["content"] = content
    if choice.calls:
        message["tool_plan"] = _plan(choice.calls)
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.calls
        ]
    return message


def whole(_ask: Ask, answer: Answer) -> bytes:
    """Write a chat reply."""
    choice = answer.choices[0]
    reply: dict[str, Any] = {
        "id": answer.id(""),
        "message": _message(answer, choice),
        "finish_reason": _FINISH[choice.finish],
    }
    if not answer.silent:
        reply["usage"] = usage(answer)
    return encode(reply)


def stream(_ask: Ask, answer: Answer) -> list[Piece]:
    """Write the events of a streamed chat reply."""
    choice = answer.choices[0]
    pieces: list[Piece] = []

    def add(name: str, event: dict[str, Any], output: int = 0) -> None:
        pieces.append(Piece(named(name, encode({"type": name, **event})), output))

    def pour(name: str, message: dict[str, Any], text: str, index: int, *, thought: bool = False) -> None:
        before, after = mould({"type": name, "index": index, "delta": {"message": message}})
        for part in slices(text, answer.chunk):
            count = tokens(part)
            line = named(name, before + encode(part) + after)
            pieces.append(Piece(line, 0 if thought else count, count if thought else 0))

    blank = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    pieces.append(
        Piece(
            named("message-start", encode({"id": answer.id(""), "type": "message-start", "delta": {"message": blank}}))
        )
    )
    contents = [("thinking", answer.reasoning)] if answer.shown else []
    if choice.text or not choice.calls:
        contents.append(("text", choice.text))
    for index, (kind, text) in enumerate(contents):
        add("content-start", {"index": index, "delta": {"message": {"content": {"type": kind, kind: ""}}}})
        pour("content-delta", {"content": {kind: TEXT}}, text, index, thought=kind == "thinking")
        add("content-end", {"index": index})
    if choice.calls:
        plan = _plan(choice.calls)
        for part in slices(plan) if answer.rare else [plan]:
            add("tool-plan-delta", {"delta": {"message": {"tool_plan": part}}})
    for place, call in enumerate(choice.calls):
        start = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        bare = call.arguments == "{}"  # of a call without arguments nothing comes
        counted = tokens(call.name) + bare * tokens(call.arguments)
        add("tool-call-start", {"index": place, "delta": {"message": {"tool_calls": start}}}, counted)
        if not bare:
            pour("tool-call-delta", {"tool_calls": {"function": {"arguments": TEXT}}}, call.arguments, place)
        add("tool-call-end", {"index": place})
    ended: dict[str, Any] = {"finish_reason": _FINISH[choice.finish]}
    if not answer.silent:
        ended["usage"] = usage(answer)
    add("message-end", {"delta": ended})
    pieces.append(Piece(b"data: [DONE]\n\n"))
    return pieces


def read_embed(request: Request, _model: str | None) -> Ask:
    """Read an embed request: texts, images or mixed inputs."""
    body = decoded(_table, request.body)
    texts = [str(text) for text in body.get("texts") or ()]
    for given in body.get("inputs") or ():
        texts.append(text_of(given.get("content") if isinstance(given, dict) else None)[0])
    texts += [str(image) for image in body.get("images") or ()]
    if not texts:
        raise InvalidRequest("invalid request: at least one of texts, images or inputs must be given", param="texts")
    count = sum(tokens(text) for text in texts)
    first = texts[0]
    return Ask(model=str(body.get("model") or ""), prompt=first, input=count, n=0, body={**body, "all": texts})


def whole_embed(ask: Ask, answer: Answer) -> bytes:
    """Write embeddings in every type asked for."""
    texts, size = ask.body["all"], int(ask.body.get("output_dimension") or DIMENSIONS)
    embeddings: dict[str, Any] = {}
    for kind in ask.body.get("embedding_types") or ("float",):
        if kind == "float":
            embeddings[kind] = [vector(text, size) for text in texts]
        elif kind == "base64":
            embeddings[kind] = [vector_base64(text, size) for text in texts]
        else:
            embeddings[kind] = [_whole_numbers(vector(text, size), kind) for text in texts]
    billed = {"billed_units": {"input_tokens": ask.input}}
    meta = {"api_version": {"version": "2"}, **({} if answer.silent else billed)}
    return encode({"id": answer.id(""), "embeddings": embeddings, "texts": ask.body.get("texts") or [], "meta": meta})


def _whole_numbers(values: list[float], kind: str) -> list[int]:
    """Return a vector in one of the integer types; the binary ones pack eight signs into a byte."""
    if kind in ("binary", "ubinary"):
        signs = ["1" if value > 0 else "0" for value in values]
        packed = [int("".join(signs[at : at + 8]).ljust(8, "0"), 2) for at in range(0, len(signs), 8)]
        return [byte - 128 for byte in packed] if kind == "binary" else packed
    shift = 128 if kind == "uint8" else 0
    return [max(-128, min(127, round(value * 127))) + shift for value in values]


def read_rerank(request: Request, model: str | None) -> Ask:
    """Read a rerank request; what it costs is search units, one for up to 100 documents."""
    ask = read_ranking(request, model)
    ask.counts = Usage(searches=-(-len(ask.body["all"]) // 100))
    return ask


def read_ranking(request: Request, _model: str | None) -> Ask:
    """Read a rerank request as all that have one write it."""
    body = decoded(_table, request.body)
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list):
        raise InvalidRequest("invalid request: query and documents must be given", param="documents")
    texts = [document if isinstance(document, str) else str((document or {}).get("text", "")) for document in documents]
    count = tokens(query) * len(texts) + sum(tokens(text) for text in texts)
    return Ask(model=str(body.get("model") or ""), prompt=query, input=count, n=0, body={**body, "all": texts})


def ranked(ask: Ask) -> list[tuple[int, float]]:
    """Return (index, score) of the documents, best first, as many as asked for."""
    texts = ask.body["all"]
    scores = [(index, relevance(ask.prompt, text)) for index, text in enumerate(texts)]
    scores.sort(key=lambda pair: (-pair[1], pair[0]))
    top = ask.body.get("top_n") or ask.body.get("top_k")
    return scores[: int(top)] if top else scores


def whole_rerank(ask: Ask, answer: Answer) -> bytes:
    """Write a ranking."""
    meta: dict[str, Any] = {"api_version": {"version": "2"}}
    if not answer.silent:
        meta["billed_units"] = {"search_units": answer.usage.searches}
    results = [{"index": index, "relevance_score": score} for index, score in ranked(ask)]
    return encode({"id": answer.id(""), "results": results, "meta": meta})


SHAPES = {
    "cohere_chat": Shape(read, whole, stream),
    "cohere_embed": Shape(read_embed, whole_embed),
    "cohere_rerank": Shape(read_rerank, whole_rerank),
}
