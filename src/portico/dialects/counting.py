"""Counts of tokens: what Anthropic, Gemini, OpenAI and Bedrock write for the same thing.

https://docs.anthropic.com/en/api/messages-count-tokens, https://ai.google.dev/api/tokens,
https://platform.openai.com/docs/api-reference/responses/input-tokens and
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html (read 2026-11-20). What is counted
is a request for a conversation, so the dialects read and write it; of what they write, counters take a part.
"""

from base64 import b64decode
from typing import Any

import msgspec

from portico.dialects import client_tools, converse, free_text, gemini, messages, names, responses
from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.estimating import estimate
from portico.dialects.forms import Form, fields_of, reply_of
from portico.dialects.vertex import VERSION
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import Request


class Counted(msgspec.Struct, frozen=True):
    """A count of input tokens; `estimated` where no counter of the provider's made it."""

    tokens: int
    estimated: bool = False


_MESSAGES = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "mcp_servers")
_RESPONSES = (
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "text",
    "truncation",
    "conversation",
    "previous_response_id",
)
_FLAT = ("contents", "systemInstruction", "tools", "generationConfig")
_CONVERSE = ("messages", "system", "toolConfig", "additionalModelRequestFields")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.encode


def _kept(body: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    fields = _members.decode(body)
    return {name: fields[name] for name in names if name in fields}


# What callers write


def parse_messages(body: bytes, model: str) -> Request:
    """Read Anthropic's."""
    return messages.parse_request(body, model=model, stream=False)


def parse_responses(body: bytes, model: str) -> Request:
    """Read OpenAI's."""
    return responses.parse_request(body, model=model, stream=False)


def parse_gemini(body: bytes, model: str) -> Request:
    """Read Gemini's: contents alone, a whole request inside, or, as Vertex AI has it, a whole request."""
    fields = fields_of(body)
    inner = fields.get("generateContentRequest", fields.get("generate_content_request"))
    if isinstance(inner, dict):
        inner.pop("model", None)
        body = _encode(inner)
    elif "model" in fields:
        fields.pop("model")
        body = _encode(fields)
    return gemini.parse_request(body, model=model, stream=False)


def parse_converse(body: bytes, model: str) -> Request:
    """Read Bedrock's: a Converse request, or the body of an invoke of Claude."""
    given = fields_of(body).get("input")
    if isinstance(given, dict):
        inner = given.get("converse")
        if isinstance(inner, dict):
            return converse.parse_request(_encode(inner), model=model, stream=False)
        invoked = given.get("invokeModel")
        written = invoked.get("body") if isinstance(invoked, dict) else None
        if isinstance(written, str):
            try:
                return messages.parse_request(b64decode(written, validate=True), model=model, stream=False)
            except ValueError as error:
                raise InvalidRequest("`input.invokeModel.body` is not base64", param="input") from error
    raise InvalidRequest("`input` must have `converse` or `invokeModel`", param="input")


# What providers read


def _abroad(asked: Request, target: Target, notes: Notes) -> Request:
    """Return a request with tools of a kind, and by names, that a provider of another dialect takes."""
    if not asked.tools or asked.dialect == target.dialect:
        return asked
    known = client_tools.asked(asked, target.dialect)
    asked = known[0] if known is not None else asked
    if asked.dialect in free_text.HAVE_THEM and not free_text.takes(target):
        freed = free_text.asked(asked, notes)
        asked = freed[0] if freed is not None else asked
    aliased = names.aliased(asked, target.dialect)
    return aliased[0] if aliased is not None else asked


def render_messages(asked: Request, target: Target, notes: Notes) -> list[bytes]:
    """Write Anthropic's."""
    fields = _kept(messages.render_request(_abroad(asked, target, notes), target, notes), _MESSAGES)
    if "anthropic_version_in_body" in target.quirks:
        fields["anthropic_version"] = VERSION
    return [_encode({**fields, "model": target.model})]


def render_responses(asked: Request, target: Target, notes: Notes) -> list[bytes]:
    """Write OpenAI's."""
    return [_encode(_kept(responses.render_request(_abroad(asked, target, notes), target, notes), _RESPONSES))]


def render_gemini(asked: Request, target: Target, notes: Notes) -> list[bytes]:
    """Write Gemini's; Vertex AI has a request's fields at the top, the Gemini API has them inside."""
    body = gemini.render_request(_abroad(asked, target, notes), target, notes)
    if "count_tokens_flat" in target.quirks:
        return [_encode(_kept(body, _FLAT))]
    return [_encode({"generateContentRequest": {"model": f"models/{target.model}", **_members.decode(body)}})]


def render_converse(asked: Request, target: Target, notes: Notes) -> list[bytes]:
    """Write Bedrock's."""
    return [
        _encode(
            {
                "input": {
                    "converse": _kept(converse.render_request(_abroad(asked, target, notes), target, notes), _CONVERSE)
                }
            }
        )
    ]


# What providers write


class _Reply(msgspec.Struct):
    input_tokens: int | None = None
    total: int | None = msgspec.field(name="totalTokens", default=None)
    input: int | None = msgspec.field(name="inputTokens", default=None)


_reply = msgspec.json.Decoder(_Reply)


def parse_reply(body: bytes) -> Counted:
    """Read a count, whoever wrote it. (Gemini leaves a count of nothing out.)"""
    found = reply_of(_reply, body)
    for tokens in (found.input_tokens, found.total, found.input):
        if tokens is not None:
            if tokens < 0:
                raise BadUpstreamReply("the provider counted less than nothing")
            return Counted(tokens)
    return Counted(0)


# What callers read


def _told(counted: Counted, found: dict[str, Any]) -> bytes:
    return _encode(found | {"estimate": True} if counted.estimated else found)


def render_messages_reply(counted: Counted, _asked: Request, _given: Given) -> bytes:
    """Write Anthropic's."""
    return _told(counted, {"input_tokens": counted.tokens})


def render_responses_reply(counted: Counted, _asked: Request, _given: Given) -> bytes:
    """Write OpenAI's."""
    return _told(counted, {"object": "response.input_tokens", "input_tokens": counted.tokens})


def render_gemini_reply(counted: Counted, _asked: Request, _given: Given) -> bytes:
    """Write Gemini's."""
    return _told(counted, {"totalTokens": counted.tokens})


def render_converse_reply(counted: Counted, _asked: Request, _given: Given) -> bytes:
    """Write Bedrock's."""
    return _told(counted, {"inputTokens": counted.tokens})


FORMS: dict[str, Form[Request, Counted]] = {
    "messages_count_tokens": Form(parse_messages, render_messages, parse_reply, render_messages_reply),
    "responses_input_tokens": Form(parse_responses, render_responses, parse_reply, render_responses_reply),
    "gemini_count_tokens": Form(parse_gemini, render_gemini, parse_reply, render_gemini_reply),
    "converse_count_tokens": Form(parse_converse, render_converse, parse_reply, render_converse_reply),
}
"""How each operation that counts is written."""


def answer(operation: str, body: bytes, model: str, provider_model: str) -> bytes:
    """Return the reply to a request for a count, estimated here. `model` is the caller's name for the model.

    Raises InvalidRequest for what cannot be read.
    """
    form = FORMS[operation]
    asked = form.parse_request(body, model)
    given = Given(request_id="", created=0, new_id=str)
    return form.render_reply(Counted(estimate(asked, provider_model), estimated=True), asked, given)
