"""OpenAI's chat completions and completions (platform.openai.com/docs/api-reference/chat, read 2026-11)."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from portico.testing.ask import CREATED, Answer, Ask, Choice, Piece, Request, Tool
from portico.testing.shapes.lines import (
    TEXT,
    Shape,
    data,
    decoded,
    encode,
    mould,
    poured,
    text_of,
    weigh,
    weigh_json,
    words,
)
from portico.testing.words import slices, tokens

_NOTHING = msgspec.Raw(b"")
_FINISH = {"stop_sequence": "stop"}
_EMPTY = {"arguments": ""}


class _Message(msgspec.Struct):
    role: str
    content: str | list[Any] | None = None
    tool_calls: list[Any] | None = None


class _Function(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    function: _Function | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Chat(msgspec.Struct):
    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: msgspec.Raw = _NOTHING
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    reasoning: Any = None
    thinking: Any = None
    n: int | None = None
    stop: Any = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_chat = msgspec.json.Decoder(_Chat)
_tools = msgspec.json.Decoder(list[_Tool] | None)


def read(request: Request, model: str | None) -> Ask:
    """Read a chat request."""
    body = decoded(_chat, request.body)
    ask = Ask(model=body.model or model or "", stream=bool(body.stream))
    count = 0
    for message in body.messages:
        text, media = text_of(message.content)
        if message.tool_calls:
            text += encode(message.tool_calls).decode()
        count += weigh(text, media)
        if message.role not in ("system", "developer"):
            ask.hear(text, own=message.role == "assistant", answering=message.role == "tool")
    if body.tools:
        count += weigh_json(body.tools)
        found = decoded(_tools, bytes(body.tools)) or ()
        ask.tools = [Tool(tool.function.name, tool.function.parameters) for tool in found if tool.function]
    ask.input = count
    _choose(ask, body.tool_choice)
    if body.response_format:
        ask.format = _format(body.response_format)
    if body.reasoning or (isinstance(body.thinking, dict) and body.thinking.get("type") == "enabled"):
        ask.think = "shown"
        ask.body = bool(body.reasoning)
    elif body.reasoning_effort not in (None, "none"):
        ask.think = "hidden"
    if body.n is not None:
        ask.n = body.n
    if body.stop is not None:
        ask.stop = words(body.stop)
    ask.max_tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    ask.include_usage = body.stream_options is not None and body.stream_options.include_usage
    return ask


def _choose(ask: Ask, choice: str | dict[str, Any] | None) -> None:
    """Set what the tool choice demands."""
    if choice == "none":
        ask.forbid = True
    elif choice == "required":
        ask.force = "any"
    elif isinstance(choice, dict):
        ask.force = str((choice.get("function") or choice).get("name") or "any")


def _format(response_format: dict[str, Any]) -> Any:
    """Return the output format in the ask's words."""
    if response_format.get("type") == "json_object":
        return "json"
    if response_format.get("type") == "json_schema":
        return (response_format.get("json_schema") or {}).get("schema") or "json"
    return None


def usage(answer: Answer) -> dict[str, Any]:
    """Return usage as chat reports it: cached tokens are part of the prompt's, reasoning of the completion's."""
    return {
        "prompt_tokens": answer.input_total,
        "completion_tokens": answer.output_total,
        "total_tokens": answer.input_total + answer.output_total,
        "prompt_tokens_details": {"cached_tokens": answer.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoned,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _detail(**said: str) -> dict[str, Any]:
    """Return a detail of reasoning, as OpenRouter writes them (openrouter.ai/docs/use-cases/reasoning-tokens)."""
    return {"type": "reasoning.text", **said, "format": "anthropic-claude-v1", "index": 0}


def _message(answer: Answer, choice: Choice, details: bool) -> dict[str, Any]:
    """Return one choice's message; with `details` its reasoning is signed."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if choice.calls else choice.text,
        "refusal": None,
        "annotations": [],
    }
    if answer.shown and details:
        message["reasoning"] = answer.reasoning
        message["reasoning_details"] = [_detail(text=answer.reasoning, signature=answer.signature)]
    elif answer.shown:
        message["reasoning_content"] = answer.reasoning
    if choice.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.calls
        ]
    return message


def whole(ask: Ask, answer: Answer) -> bytes:
    """Write a chat completion."""
    reply: dict[str, Any] = {
        "id": answer.id("chatcmpl-"),
        "object": "chat.completion",
        "created": CREATED,
        "model": ask.model,
        "choices": [
            {
                "index": index,
                "message": _message(answer, choice, bool(ask.body)),
                "logprobs": None,
                "finish_reason": _FINISH.get(choice.finish, choice.finish),
            }
            for index, choice in enumerate(answer.choices)
        ],
        "usage": usage(answer),
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }
    if answer.silent:
        del reply["usage"]
    return encode(reply)


def stream(ask: Ask, answer: Answer) -> list[Piece]:
    """Write the chunks of a streamed chat completion."""
    frame: dict[str, Any] = {
        "id": answer.id("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }
    tail: dict[str, Any] = {"usage": None} if answer.report else {}
    if answer.rare:
        tail["obfuscation"] = "aB3xZ9"
    pieces: list[Piece] = [Piece(b": PROCESSING\n\n")] if answer.rare else []
    for index, choice in enumerate(answer.choices):

        def event(delta: dict[str, Any], finish: str | None = None, index: int = index) -> dict[str, Any]:
            choices = [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]
            return {**frame, "choices": choices, **tail}

        opening = {"role": "assistant", "content": None if choice.calls else ""}
        hidden = 0 if index or answer.shown else answer.reasoned
        pieces.append(Piece(data(encode(event(opening))), reasoning=hidden))
        if answer.shown and not index:
            pieces += _thought(event, answer, bool(ask.body))
        for place, call in enumerate(choice.calls):
            start = {
                "index": place,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            }
            pieces.append(Piece(data(encode(event({"tool_calls": [start]}))), tokens(call.name)))
            more = {"tool_calls": [{"index": place, "function": {"arguments": TEXT}}]}
            if answer.rare:
                pieces.append(Piece(data(encode(event({"tool_calls": [{"index": place, "function": _EMPTY}]})))))
            pieces += poured(event(more), call.arguments, answer.chunk)
        if choice.text:
            pieces += poured(event({"content": TEXT}), choice.text, answer.chunk)
        if answer.rare:
            pieces.append(Piece(data(encode(event({"content": ""})))))
        pieces.append(Piece(data(encode(event({}, _FINISH.get(choice.finish, choice.finish))))))
    if answer.report:
        pieces.append(Piece(data(encode({**frame, "choices": [], "usage": usage(answer)}))))
    pieces.append(Piece(b"data: [DONE]\n\n"))
    return pieces


def _thought(event: Callable[[dict[str, Any]], dict[str, Any]], answer: Answer, details: bool) -> list[Piece]:
    """Write the chunks of the reasoning."""
    if not details:
        return list(poured(event({"reasoning_content": TEXT}), answer.reasoning, answer.chunk, thought=True))
    pieces = []
    for part in slices(answer.reasoning, answer.chunk):
        delta = {"content": "", "reasoning": part, "reasoning_details": [_detail(text=part)]}
        pieces.append(Piece(data(encode(event(delta))), 0, tokens(part)))
    signed = {"content": "", "reasoning_details": [_detail(signature=answer.signature)]}
    return [*pieces, Piece(data(encode(event(signed))))]


# the older endpoint


class _Completions(msgspec.Struct):
    prompt: str | list[Any] | None = None
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    stop: Any = None
    max_tokens: int | None = None
    echo: bool | None = None


_completions = msgspec.json.Decoder(_Completions)


def prompts(value: str | list[Any] | None) -> list[str | list[int]]:
    """Return the inputs of a request that takes a text, texts, tokens or lists of tokens."""
    if isinstance(value, str):
        return [value]
    if not value:
        return []
    return [value] if isinstance(value[0], int) else list(value)


def prompt_tokens(prompt: str | list[int]) -> int:
    """Return the tokens of one input; token ids are tokens already."""
    return tokens(prompt) if isinstance(prompt, str) else len(prompt)


def read_completions(request: Request, model: str | None) -> Ask:
    """Read a completions request: `n` choices for each of its prompts."""
    body = decoded(_completions, request.body)
    inputs = prompts(body.prompt) or [""]
    first = inputs[0]
    return Ask(
        model=body.model or model or "",
        stream=bool(body.stream),
        prompt=first if isinstance(first, str) else "",
        input=sum(prompt_tokens(prompt) for prompt in inputs),
        n=len(inputs) * (body.n or 1),
        stop=words(body.stop),
        max_tokens=16 if body.max_tokens is None else body.max_tokens,
        include_usage=body.stream_options is not None and body.stream_options.include_usage,
        body=[prompt if isinstance(prompt, str) and body.echo else "" for prompt in inputs],
    )


def _completion(ask: Ask, answer: Answer, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": answer.id("cmpl-"),
        "object": "text_completion",
        "created": CREATED,
        "model": ask.model,
        "choices": choices,
    }


def _lines(ask: Ask, answer: Answer) -> Iterator[tuple[int, str, Choice]]:
    """Yield index, echoed prompt and choice."""
    each = len(answer.choices) // len(ask.body)
    for index, choice in enumerate(answer.choices):
        yield index, ask.body[index // each], choice


def whole_completions(ask: Ask, answer: Answer) -> bytes:
    """Write a completion."""
    reply = _completion(
        ask,
        answer,
        [
            {
                "text": echoed + choice.text,
                "index": index,
                "logprobs": None,
                "finish_reason": _FINISH.get(choice.finish, choice.finish),
            }
            for index, echoed, choice in _lines(ask, answer)
        ],
    )
    if not answer.silent:
        reply["usage"] = usage(answer)
    return encode(reply)


def stream_completions(ask: Ask, answer: Answer) -> list[Piece]:
    """Write the chunks of a streamed completion."""
    pieces: list[Piece] = []
    for index, echoed, choice in _lines(ask, answer):
        body = {"text": TEXT, "index": index, "logprobs": None, "finish_reason": None}
        before, after = mould(_completion(ask, answer, [body]))
        if echoed:
            pieces.append(Piece(data(before + encode(echoed) + after)))
        pieces += [
            Piece(data(before + encode(part) + after), tokens(part)) for part in slices(choice.text, answer.chunk)
        ]
        last = {**body, "text": "", "finish_reason": _FINISH.get(choice.finish, choice.finish)}
        pieces.append(Piece(data(encode(_completion(ask, answer, [last])))))
    if answer.report:
        pieces.append(Piece(data(encode({**_completion(ask, answer, []), "usage": usage(answer)}))))
    pieces.append(Piece(b"data: [DONE]\n\n"))
    return pieces


SHAPES = {
    "chat": Shape(read, whole, stream),
    "completions": Shape(read_completions, whole_completions, stream_completions),
}
