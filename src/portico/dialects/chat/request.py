"""A request for a chat completion, read and written.

Shape: platform.openai.com/docs/api-reference/chat/create (read 2026-11-20), and what those add who follow it.
"""

from operator import attrgetter
from typing import Any

import msgspec

from portico.dialects.chat.conversation import Conversation
from portico.dialects.chat.hints import NONE, Table, keep, reopened
from portico.dialects.chat.reasoning import parse_reasoning, render_reasoning
from portico.dialects.chat.tools import (
    parse_choice,
    parse_output,
    parse_tools,
    render_choice,
    render_output,
    render_tools,
)
from portico.dialects.chat.turns import parse_messages
from portico.dialects.crossing import Notes, Target
from portico.errors import InvalidRequest
from portico.ir import Request

_BOM = b"\xef\xbb\xbf"
_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_NUMBER = (int, float)
# OpenAI takes no more.
_STOP_LIMIT = 4

# Fields that mean the same under another name, or under the same: wire, IR, types.
_FIELDS: dict[str, tuple[str, type | tuple[type, ...], str]] = {
    "temperature": ("temperature", _NUMBER, "a number"),
    "top_p": ("top_p", _NUMBER, "a number"),
    "top_k": ("top_k", int, "a whole number"),
    "min_p": ("min_p", _NUMBER, "a number"),
    "frequency_penalty": ("frequency_penalty", _NUMBER, "a number"),
    "presence_penalty": ("presence_penalty", _NUMBER, "a number"),
    "repetition_penalty": ("repetition_penalty", _NUMBER, "a number"),
    "max_completion_tokens": ("max_tokens", int, "a whole number"),
    "max_tokens": ("max_tokens", int, "a whole number"),
    "seed": ("seed", int, "a whole number"),
    "random_seed": ("seed", int, "a whole number"),
    "n": ("n", int, "a whole number"),
    "logprobs": ("logprobs", bool, "true or false"),
    "top_logprobs": ("top_logprobs", int, "a whole number"),
    "logit_bias": ("logit_bias", dict, "an object"),
    "parallel_tool_calls": ("parallel_tools", bool, "true or false"),
    "user": ("user", str, "a string"),
    "safety_identifier": ("user", str, "a string"),
    "metadata": ("metadata", dict, "an object"),
    "service_tier": ("service_tier", str, "a string"),
    "verbosity": ("verbosity", str, "a string"),
    "prompt_cache_key": ("prompt_cache_key", str, "a string"),
}
# The names that a value is written under where nothing says otherwise.
_USUAL = {
    "max_tokens": "max_tokens",
    "seed": "seed",
    "user": "user",
    "parallel_tools": "parallel_tool_calls",
}
_NAMES = {attribute: _USUAL.get(attribute, attribute) for attribute, _, _ in _FIELDS.values()}
_VALUES: tuple[tuple[str, str], ...] = tuple(_NAMES.items())
_values_of = attrgetter(*_NAMES)


def parse_request(body: bytes, *, model: str, stream: bool) -> Request:
    """Read a request. Raises InvalidRequest, naming the field where one is at fault, and nothing else."""
    fields = decode_object(body)
    listed = fields.get("messages")
    if type(listed) is not list:
        what = "is missing" if listed is None else "must be a list"
        raise InvalidRequest(f"`messages` {what}", param="messages")
    del fields["messages"]
    return parse_fields(fields, model=model, stream=stream, messages=tuple(parse_messages(listed)))


def decode_object(body: bytes) -> Table:
    """Decode a body that must be a JSON object; raises InvalidRequest."""
    try:
        found = _decoder.decode(body.removeprefix(_BOM))
    except UnicodeDecodeError as error:
        raise InvalidRequest("the body is not UTF-8") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"the body is not JSON: {error}" if body else "the body is empty") from error
    if type(found) is not dict:
        raise InvalidRequest("the body must be a JSON object")
    return found


def parse_fields(fields: Table, *, model: str, stream: bool, messages: tuple[Any, ...]) -> Request:
    """Read the rest of a request, what is beside its messages."""
    hints: Table = {}
    if "model" in fields:
        del fields["model"]
    if fields.get("stream") is True:
        del fields["stream"]
    values: Table = {}
    for name in fields.keys() & _FIELDS.keys():
        value = fields[name]
        if value is None:
            continue
        attribute, kind, told = _FIELDS[name]
        if type(value) is bool and kind is not bool:
            raise InvalidRequest(f"`{name}` must be {told}", param=name)
        if not isinstance(value, kind):
            if kind is int and type(value) is float and value.is_integer():
                value = int(value)
            else:
                raise InvalidRequest(f"`{name}` must be {told}", param=name)
        values[name] = value
    found: Table = {}
    # In the table's order, so that of two names for one thing the better known one counts.
    for name in _FIELDS if len(values) > 1 else tuple(values):
        if name in values and (attribute := _FIELDS[name][0]) not in found:
            found[attribute] = values[name]
            del fields[name]
            if name != _NAMES[attribute]:
                hints[attribute] = name
    options = fields.get("stream_options")
    if options is not None:
        if type(options) is not dict:
            raise InvalidRequest("`stream_options` must be an object", param="stream_options")
        if type(options.get("include_usage")) is bool:
            found["include_usage"] = options.pop("include_usage")
            if not options:
                del fields["stream_options"]
    stop = fields.get("stop")
    if stop is not None:
        if type(stop) is str:
            found["stop"] = (stop,)
            hints["stop"] = "string"
            del fields["stop"]
        elif type(stop) is list and all(type(item) is str for item in stop):
            if stop:
                found["stop"] = tuple(stop)
                del fields["stop"]
        else:
            raise InvalidRequest("`stop` must be a string or a list of strings", param="stop")
    modalities = fields.get("modalities")
    if modalities and type(modalities) is list and all(type(item) is str for item in modalities):
        found["modalities"] = tuple(modalities)
        del fields["modalities"]
    if "tools" in fields or "functions" in fields or "web_search_options" in fields:
        found["tools"] = parse_tools(fields)
    if "tool_choice" in fields or "function_call" in fields:
        found["tool_choice"] = parse_choice(fields)
    if "response_format" in fields:
        found["output"] = parse_output(fields)
    if fields.keys() & _REASONING:
        found["reasoning"] = parse_reasoning(fields)
    return Request(dialect="chat", model=model, messages=messages, stream=stream, extra=keep(fields, hints), **found)


_REASONING = frozenset(("reasoning_effort", "reasoning", "thinking", "enable_thinking"))


def render_request(request: Request, target: Target, notes: Notes) -> bytes:
    """Write a request for a provider that speaks this dialect.

    `notes` takes down what cannot be said; raises InvalidRequest where that is to be refused.
    """
    own = request.dialect == "chat"
    fields, hints = reopened(request, own)
    fields["model"] = target.model
    messages = Conversation(request, target, notes).render()
    fields["messages"] = messages
    _render_values(fields, request, hints, target)
    if request.stream:
        fields["stream"] = True
        if own:
            if request.include_usage is not None:
                fields["stream_options"] = fields.get("stream_options", NONE) | {"include_usage": request.include_usage}
        elif "usage_always" not in target.quirks:
            fields["stream_options"] = {"include_usage": True}
    elif own and request.include_usage is not None:
        fields["stream_options"] = fields.get("stream_options", NONE) | {"include_usage": request.include_usage}
    if request.tools:
        render_tools(fields, request.tools, own, target, notes)
    if request.tool_choice is not None:
        render_choice(fields, request.tool_choice, request.tools, own, target)
    if request.output is not None:
        render_output(fields, request.output, own, target)
    if request.reasoning is not None:
        render_reasoning(fields, request.reasoning, own, target, notes)
    if not own:
        _foreign(fields, request, target, notes)
    if "json_object_only" in target.quirks and request.output is not None and request.output.kind == "json_schema":
        schema = msgspec.json.encode(request.output.schema).decode()
        told = f"Answer with one JSON object that fits this JSON Schema, and with nothing else:\n{schema}"
        messages.insert(0, {"role": "system", "content": told})
    return encode(fields)


def encode(fields: Table) -> bytes:
    """Encode what was made of a request; raises InvalidRequest for what no provider could read."""
    try:
        return _encoder.encode(fields)
    except RecursionError as error:
        raise InvalidRequest("the request is nested too deeply") from error
    except OverflowError as error:
        raise InvalidRequest("the request has a number that is too large") from error


def _render_values(fields: Table, request: Request, hints: Table, target: Target) -> None:
    for (attribute, name), value in zip(_VALUES, _values_of(request), strict=True):
        if value is not None:
            fields[hints.get(attribute, name) if hints else name] = value
    if request.max_tokens is not None and "max_completion_tokens" in target.quirks and "max_tokens" in fields:
        fields["max_completion_tokens"] = fields.pop("max_tokens")
    if request.seed is not None and "random_seed" in target.quirks and "seed" in fields:
        fields["random_seed"] = fields.pop("seed")
    if request.stop:
        fields["stop"] = request.stop[0] if hints.get("stop") == "string" else request.stop
    if request.modalities:
        fields["modalities"] = request.modalities


def _foreign(fields: Table, request: Request, target: Target, notes: Notes) -> None:
    """Take out what this dialect's providers refuse, and note what they cannot be told."""
    quirks = target.quirks
    if request.top_k is not None and "top_k" not in quirks:
        notes.lost("top_k")
        del fields["top_k"]
    if "tools" not in fields:
        fields.pop("parallel_tool_calls", None)
    if request.safety is not None:
        notes.lost("safety")
    if request.n == 1:
        del fields["n"]
    if request.top_logprobs is not None and not request.logprobs:
        fields["logprobs"] = True
    if len(request.stop) > _STOP_LIMIT and "stop_unbounded" not in quirks:
        notes.lost("stop_beyond")
        fields["stop"] = request.stop[:_STOP_LIMIT]
