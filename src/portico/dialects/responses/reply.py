"""Whole replies of the Responses API (platform.openai.com/docs/api-reference/responses/object, read 2026-11-20).

A reply repeats the parameters of its request; those stay in `extra` when read, and are written from the caller's
request when another API gave the answer.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects.crossing import Given
from portico.dialects.openai import served_tier
from portico.dialects.responses.content import Object, UnfitError, take, written
from portico.dialects.responses.items import read_item, write_items
from portico.dialects.responses.output import frame, outcome, write_output, write_usage
from portico.dialects.responses.watch import read_usage
from portico.dialects.tokens import UNREADABLE
from portico.errors import BadUpstreamReply
from portico.ir import Choice, Finish, Opaque, Part, Refusal, Reply, Request, Text, ToolCall

_body: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.encode
_TIME_LIMIT = 2**53
_REASONS: dict[str, Finish] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_STATES: dict[str, Finish] = {"failed": "error", "cancelled": "error"}


def parse_reply(body: bytes) -> Reply:
    """Read a whole reply. Raises BadUpstreamReply for what is no response; an item that is odd is kept as it is."""
    try:
        members = _body.decode(body)
    except UNREADABLE as error:
        raise BadUpstreamReply(f"The provider's reply cannot be read as JSON: {error}") from None
    output = members.get("output")
    if type(output) is not list:
        raise BadUpstreamReply("The provider's reply is no response: it has no list of output")
    del members["output"]
    parts = read_items(output, lambda: _body.decode(body)["output"])
    finish = read_finish(members, any(type(part) is ToolCall and part.kind != "server" for part in parts))
    status = members.get("status")
    seconds = epoch(members.get("created_at"))
    if seconds is not None and seconds == members["created_at"]:
        del members["created_at"]
    return Reply(
        dialect="responses",
        id=(take(members, "id") or "") if members.get("id") else "",
        model=(take(members, "model") or "") if members.get("model") else "",
        created=seconds,
        choices=(
            Choice(
                parts=tuple(parts),
                finish=finish,
                finish_raw=status if type(status) is str else None,
                logprobs=_logprobs(parts),
            ),
        ),
        usage=read_usage(body),
        service_tier=take(members, "service_tier"),
        extra=members,
    )


def epoch(value: Any) -> int | None:
    """Return a time in whole seconds; some write it with a fraction. None for what is no time."""
    if type(value) in (int, float) and 0 <= value < _TIME_LIMIT:
        return int(value)
    return None


def read_items(output: list[Any], again: Callable[[], list[Any]]) -> list[Part]:
    """Read the items of an output. `again` decodes them anew, for one that turns out odd half-way."""
    parts: list[Part] = []
    for at, item in enumerate(output):
        if type(item) is not dict:
            parts.append(Opaque(item, extra={"$item": True}))
            continue
        try:
            parts += read_item(item, {})
        except UnfitError:
            parts.append(Opaque(again()[at], extra={"$item": True}))
    return parts


def read_finish(response: Object, called: bool) -> Finish | None:
    """Return how a response ended, None where it has not. `called` says that it calls the caller's tools."""
    status = response.get("status")
    if status == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if type(details) is dict else None
        return _REASONS.get(reason, "other") if type(reason) is str else "other"
    if status in ("queued", "in_progress"):
        return None
    if type(status) is str and status in _STATES:
        return _STATES[status]
    return "tool_calls" if called else "stop"


def _logprobs(parts: list[Part]) -> Object | None:
    tokens: list[Any] = []
    for part in parts:
        if type(part) is Text:
            found = part.extra.get("logprobs")
            if found and type(found) is list:
                tokens += found
    return {"content": tokens} if tokens else None


def render_reply(reply: Reply, request: Request, given: Given) -> bytes:
    """Write a reply for a caller that speaks this dialect. The API gives one answer; others are left out."""
    choice = reply.choices[0] if reply.choices else Choice()
    if reply.dialect == "responses":
        return _encode(_own(reply, choice))
    value = frame(request, given)
    if reply.created:
        value["created_at"] = reply.created
    if reply.model:
        value["model"] = reply.model
    tier = served_tier(reply.service_tier)
    if tier is not None:
        value["service_tier"] = tier
    value["output"] = write_output(choice.parts, given, reply.dialect, choice.logprobs)
    outcome(value, choice.finish, refused=any(type(part) is Refusal for part in choice.parts))
    if reply.usage is not None:
        value["usage"] = write_usage(reply.usage)
    return _encode(value)


def _own(reply: Reply, choice: Choice) -> Object:
    """Write a reply that this dialect's parser read."""
    value = written(reply.extra)
    if reply.id:
        value["id"] = reply.id
    if reply.model:
        value["model"] = reply.model
    if reply.created is not None:
        value.setdefault("created_at", reply.created)
    if reply.service_tier is not None:
        value["service_tier"] = reply.service_tier
    output: list[Any] = []
    write_items(choice.parts, output)
    value["output"] = output
    if reply.usage is not None and read_usage(_encode(value)) != reply.usage:
        value["usage"] = write_usage(reply.usage)
    return value
