"""A v2 chat reply, both ways (docs.cohere.com/reference/chat, read 2026-11-20)."""

from typing import Any

import msgspec

from portico.dialects.cohere import watch
from portico.dialects.cohere.content import (
    PLAN,
    Object,
    cite,
    clean,
    parse_call,
    parse_part,
    render_call,
    render_citation,
    render_image,
    render_text,
    render_thinking,
    strip,
)
from portico.dialects.crossing import Given
from portico.dialects.malformed import Malformed, a_list
from portico.dialects.tokens import UNREADABLE, table
from portico.errors import BadUpstreamReply
from portico.ir import (
    Audio,
    Choice,
    File,
    Finish,
    Image,
    Opaque,
    Part,
    Refusal,
    Reply,
    Request,
    Text,
    Thinking,
    ToolCall,
)
from portico.types import Dialect, Usage

_FINISHES: dict[str, Finish] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
}
_REASONS: dict[Finish, str] = {
    "stop_sequence": "STOP_SEQUENCE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
    "error": "ERROR",
}
_decode = msgspec.json.decode
_encode = msgspec.json.encode


def parse_reply(body: bytes) -> Reply:
    """Read a whole reply. Raises BadUpstreamReply for what is none."""
    try:
        found = _decode(body)
    except UNREADABLE as error:
        raise BadUpstreamReply(f"The provider's reply is not JSON that can be read: {error}") from error
    message = found.get("message") if type(found) is dict else None
    if type(message) is not dict:
        raise BadUpstreamReply(message if type(message) is str else "The provider's reply is not a message")
    try:
        return _reply(found)
    except Malformed as problem:
        raise BadUpstreamReply(f"The provider's reply cannot be read: {problem}") from None
    except RecursionError as error:
        raise BadUpstreamReply("The provider's reply is nested too deeply") from error


def _reply(found: Object) -> Reply:
    rest = clean(found)
    kept = clean(rest.pop("message"))
    parts = _parts(kept)
    finish, raw = finish_of(rest.get("finish_reason"))
    if raw is not None:
        del rest["finish_reason"]
    choice = Choice(
        parts=tuple(parts), finish=finish, finish_raw=raw, logprobs=logprobs(rest.get("logprobs")), extra=kept
    )
    name = rest.pop("id") if type(rest.get("id")) is str else ""
    return Reply(dialect="cohere", id=name, choices=(choice,), usage=usage_of(rest.get("usage")), extra=rest)


def finish_of(reason: Any) -> tuple[Finish | None, str | None]:
    """Return a finish reason in our word and in Cohere's."""
    if type(reason) is not str:
        return None, None
    return _FINISHES.get(reason, "other"), reason


def reason_of(finish: Finish | None) -> str:
    """Return a finish reason in Cohere's word."""
    return "COMPLETE" if finish is None else _REASONS.get(finish, "COMPLETE")


def usage_of(counts: Any) -> Usage | None:
    """Read what was used, None where nothing is said."""
    if type(counts) is not dict:
        return None
    return watch.usage(table(_encode(counts)))


def _parts(kept: Object) -> list[Part]:
    if kept.get("role") == "assistant":
        del kept["role"]
    else:
        kept["$role"] = kept.pop("role", None)
    parts: list[Part] = []
    content = kept.get("content")
    if type(content) is str:
        kept["$content"] = "string"
        parts.append(Text(text=content))
    elif content is not None:
        found = a_list(content, "message.content")
        parts.extend(parse_part(each, f"message.content[{at}]") for at, each in enumerate(found))
    else:
        kept["$content"] = "null" if "content" in kept else "absent"
    kept.pop("content", None)
    places = range(len(parts))
    if type(kept.get("tool_plan")) is str:
        parts.append(Text(text=kept.pop("tool_plan"), extra={PLAN: True}))
    if kept.get("tool_calls"):
        calls = a_list(kept.pop("tool_calls"), "message.tool_calls")
        parts.extend(parse_call(each, f"message.tool_calls[{at}]") for at, each in enumerate(calls))
    return cite(parts, kept.get("citations"), places)


def logprobs(found: Any) -> Object | None:
    """Read log probabilities as OpenAI writes them; a piece of several tokens is one with the sum of theirs."""
    items = [each for each in found if type(each) is dict] if type(found) is list else []
    content = []
    for each in items:
        text = each.get("text")
        numbers = each.get("logprobs")
        numbers = [n for n in numbers if type(n) in (int, float)] if type(numbers) is list else []
        token = text if type(text) is str else ""
        value = float(sum(numbers))
        content.append(
            {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace")), "top_logprobs": []}
        )
    return {"content": content} if content else None


def render_logprobs(found: Any) -> list[Object]:
    """Write OpenAI's log probabilities, whose tokens have no numbers here."""
    content = found.get("content") if type(found) is dict else None
    return [
        {"text": each.get("token", ""), "token_ids": [], "logprobs": [each.get("logprob", 0.0)]}
        for each in (content if type(content) is list else ())
        if type(each) is dict
    ]


# Ours to theirs


def render_reply(reply: Reply, request: Request, given: Given) -> bytes:  # noqa: ARG001 (as every dialect's)
    """Write a whole reply for a caller who speaks Cohere: of several answers the first."""
    own = reply.dialect == "cohere"
    out: Object = dict(reply.extra) if own else {}
    choice = reply.choices[0] if reply.choices else Choice(finish="other")
    name = reply.id if own else given.new_id("")
    if name:
        out["id"] = name
    out["message"] = _own_message(choice) if own else _message(choice, reply.dialect)
    if choice.finish is not None and "finish_reason" not in out:
        same = own and finish_of(choice.finish_raw)[0] == choice.finish
        out["finish_reason"] = choice.finish_raw if same else reason_of(choice.finish)
    if reply.usage is not None and "usage" not in out:
        out["usage"] = render_usage(reply.usage)
    if not own and (found := render_logprobs(choice.logprobs)):
        out["logprobs"] = found
    try:
        return _encode(out)
    except RecursionError as error:
        raise BadUpstreamReply("The provider's reply is nested too deeply") from error


def _own_message(choice: Choice) -> Object:
    extra = choice.extra
    out: Object = {"role": "assistant", **extra}
    if "$role" in extra:
        del out["role"]
        if extra["$role"] is not None:
            out["role"] = extra["$role"]
    content: list[Object] = []
    calls: list[Object] = []
    for part in choice.parts:
        if isinstance(part, ToolCall):
            calls.append(render_call(part, True, True))
        elif isinstance(part, Text) and PLAN in part.extra:
            out["tool_plan"] = part.text
        elif isinstance(part, Opaque):
            content.append(part.value)
        else:
            content.extend(render_content(part, True, "cohere"))
    form = extra.get("$content")
    if form == "string" and len(content) == 1 and content[0].get("type") == "text":
        out["content"] = content[0]["text"]
    elif form == "null" and not content:
        out["content"] = None
    elif form != "absent" or content:
        out["content"] = content
    if calls:
        out["tool_calls"] = calls
    return strip(out)


def render_content(part: Part, own: bool, maker: Dialect) -> list[Object]:
    """Write what stands in an answer's content; what can stand in none there comes to nothing."""
    if isinstance(part, Text):
        return [render_text(part, own)] if part.text or own else []
    if isinstance(part, Refusal):
        return [{"type": "text", "text": part.text}] if part.text else []
    if isinstance(part, Thinking):
        told = part.text or part.opaque is not None or part.redacted or own
        return [render_thinking(part, own, maker)] if told else []
    if isinstance(part, Image):
        return [render_image(part, own)] if part.source.url is not None or part.source.data is not None else []
    if isinstance(part, File):
        return [{"type": "text", "text": part.source.text}] if part.source.text else []
    if isinstance(part, Audio):
        return [{"type": "text", "text": part.transcript}] if part.transcript else []
    return []


def _message(choice: Choice, maker: Dialect) -> Object:
    content: list[Object] = []
    citations: list[Object] = []
    calls: list[Object] = []
    for part in choice.parts:
        if isinstance(part, ToolCall):
            if part.kind != "server":
                calls.append(render_call(part, False, True))
            continue
        if isinstance(part, Text):
            citations.extend(render_citation(each, part.text, len(content)) for each in part.citations)
        content.extend(render_content(part, False, maker))
    out: Object = {"role": "assistant"}
    if content:
        out["content"] = content
    if calls:
        out["tool_calls"] = calls
    if citations:
        out["citations"] = citations
    return out


def render_usage(usage: Usage) -> Object:
    """Write counts. What is billed and what was processed are the same to providers who tell one of them."""
    tokens: Object = {"input_tokens": usage.input_total, "output_tokens": usage.output_total}
    if usage.reasoning:
        tokens["reasoning_tokens"] = usage.reasoning
    if usage.input_image:
        tokens["image_tokens"] = usage.input_image
    billed = {"input_tokens": usage.input_total, "output_tokens": usage.output_total}
    return {"billed_units": billed, "tokens": tokens, "cached_tokens": usage.cache_read}
