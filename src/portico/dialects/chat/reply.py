"""A whole chat completion, read and written.

Shape: platform.openai.com/docs/api-reference/chat/object (read 2026-11-20).
"""

import msgspec

from portico.dialects.chat.answers import parse_finish, parse_message, render_finish, render_message
from portico.dialects.chat.hints import HINTS, NONE, Table, keep, reopened
from portico.dialects.chat.usage import render_usage
from portico.dialects.chat.watch import read_usage
from portico.dialects.crossing import Given
from portico.dialects.observer import failure
from portico.dialects.openai import served_tier
from portico.errors import BadUpstreamReply
from portico.ir import Choice, Reply, Request, ToolCall

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def decode_reply(body: bytes) -> Table:
    """Decode a reply that must be a JSON object; raises BadUpstreamReply."""
    try:
        fields = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstreamReply("the provider's reply is not JSON") from error
    if type(fields) is not dict:
        raise BadUpstreamReply("the provider's reply is not a JSON object")
    return fields


def parse_reply(body: bytes) -> Reply:
    """Read a reply. Raises BadUpstreamReply for what is none."""
    fields = decode_reply(body)
    listed = fields.get("choices")
    if type(listed) is not list:
        told = failure(msgspec.Raw(_encoder.encode(fields.get("error"))))
        raise BadUpstreamReply(told or "the provider's reply has no `choices`")
    del fields["choices"]
    created = fields.get("created")
    tier = fields.get("service_tier")
    return Reply(
        dialect="chat",
        id=_taken(fields, "id"),
        model=_taken(fields, "model"),
        created=fields.pop("created") if type(created) is int else None,
        choices=tuple([_parse_choice(choice, at) for at, choice in enumerate(listed)]),
        usage=read_usage(body) if fields.get("usage") or "x_groq" in fields else None,
        service_tier=fields.pop("service_tier") if type(tier) is str else None,
        extra=keep(fields, NONE),
    )


def _taken(fields: Table, name: str) -> str:
    return fields.pop(name) if fields.get(name) and type(fields[name]) is str else ""


def _parse_choice(fields: object, at: int) -> Choice:
    if type(fields) is not dict:
        raise BadUpstreamReply(f"choice {at} of the provider's reply is not an object")
    message = fields.pop("message", None)
    if type(message) is not dict:
        raise BadUpstreamReply(f"choice {at} of the provider's reply has no message")
    hints: Table = {}
    parts = parse_message(message, hints)
    kept: Table = {"message": keep(message, hints)}
    index = fields.get("index")
    if type(index) is int:
        del fields["index"]
    else:
        kept["index"] = False
        index = at
    reason = fields.get("finish_reason")
    calls = any(type(part) is ToolCall for part in parts)
    sequence = fields.get("stop_reason")
    finish = parse_finish(reason, calls=calls, sequence=sequence)
    if finish is not None:
        del fields["finish_reason"]
    logprobs = fields.get("logprobs")
    if type(logprobs) is dict:
        del fields["logprobs"]
    else:
        logprobs = None
    return Choice(
        index=index,
        parts=tuple(parts),
        finish=finish,
        finish_raw=reason if finish is not None else None,
        stop_sequence=sequence if finish == "stop_sequence" else None,
        logprobs=logprobs,
        extra=keep(fields, kept),
    )


def render_reply(reply: Reply, request: Request, given: Given) -> bytes:
    """Write a reply for a caller who speaks this dialect."""
    own = reply.dialect == "chat"
    legacy = asked_by_functions(request)
    fields, _ = reopened(reply, own)
    if reply.id or not own:
        fields["id"] = reply.id if own else given.new_id("chatcmpl-")
    if reply.created is not None or not own:
        fields["created"] = reply.created if reply.created is not None else given.created
    if reply.model or not own:
        fields["model"] = reply.model or request.model
    fields["choices"] = [_render_choice(choice, own, legacy) for choice in reply.choices]
    tier = reply.service_tier if own else served_tier(reply.service_tier)
    if tier is not None:
        fields["service_tier"] = tier
    if not own:
        fields["object"] = "chat.completion"
        if reply.usage is not None:
            fields["usage"] = render_usage(reply.usage)
    return _encoder.encode(fields)


def _render_choice(choice: Choice, own: bool, legacy: bool) -> Table:
    fields, hints = reopened(choice, own)
    if "index" not in hints:
        fields["index"] = choice.index
    fields["message"] = render_message(choice.parts, hints.get("message", NONE), own, legacy)
    if choice.finish is not None or not own:
        fields["finish_reason"] = (choice.finish_raw if own else None) or render_finish(choice.finish, legacy=legacy)
    if choice.logprobs is not None or not own:
        fields["logprobs"] = choice.logprobs
    return fields


def asked_by_functions(request: Request) -> bool:
    """Say whether a caller gave the deprecated `functions`, and so expects `function_call`."""
    if request.dialect != "chat" or not request.tools:
        return False
    return all(tool.extra.get(HINTS, NONE).get("as") == "functions" for tool in request.tools)
