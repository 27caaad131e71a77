"""A request for a chat completion, read and written.

Shape: platform.openai.com/docs/api-reference/chat/create (read 2026-11-20), and what those add who follow it.
"""

from operator import attrgetter
from typing import Any

import msgspec

from portico.dialects import hosted
from portico.dialects.chat.conversation import Conversation
from portico.dialects.chat.hints import NONE, Table, keep, reopened
from portico.dialects.chat.reasoning import parse_reasoning, render_reasoning
from portico.dialects.chat.tools import (
    has_hosted,
    parse_choice,
    parse_output,
    parse_tools,
    render_choice,
    render_output,
    render_tools,
)
from portico.dialects.chat.turns import parse_messages
from portico.dialects.crossing import Notes, Target
from portico.dialects.people import at_openai
from portico.dialects.toolbox import Members, opened
from portico.errors import InvalidRequest
from portico.ir import Request

_BOM = b"\xef\xbb\xbf"
_encoder = msgspec.json.Encoder()
# OpenAI takes no more.
_STOP_LIMIT = 4

_NUMBER = frozenset((int, float))
_WHOLE = frozenset((int,))
_BOOLEAN = frozenset((bool,))
_STRING = frozenset((str,))
_OBJECT = frozenset((dict,))
# Fields that hold one value: the attribute of a request, the types it may have, how to say so, its usual name.
_FIELDS: dict[str, tuple[str, frozenset[type], str, str]] = {
    name: (attribute, kinds, told, usual)
    for attribute, kinds, told, usual, others in (
        ("temperature", _NUMBER, "a number", "temperature", ()),
        ("top_p", _NUMBER, "a number", "top_p", ()),
        ("top_k", _WHOLE, "a whole number", "top_k", ()),
        ("min_p", _NUMBER, "a number", "min_p", ()),
        ("frequency_penalty", _NUMBER, "a number", "frequency_penalty", ()),
        ("presence_penalty", _NUMBER, "a number", "presence_penalty", ()),
        ("repetition_penalty", _NUMBER, "a number", "repetition_penalty", ()),
        ("max_tokens", _WHOLE, "a whole number", "max_tokens", ("max_completion_tokens",)),
        ("seed", _WHOLE, "a whole number", "seed", ("random_seed",)),
        ("n", _WHOLE, "a whole number", "n", ()),
        ("logprobs", _BOOLEAN, "true or false", "logprobs", ()),
        ("top_logprobs", _WHOLE, "a whole number", "top_logprobs", ()),
        ("logit_bias", _OBJECT, "an object", "logit_bias", ()),
        ("parallel_tools", _BOOLEAN, "true or false", "parallel_tool_calls", ()),
        ("user", _STRING, "a string", "user", ("safety_identifier",)),
        ("metadata", _OBJECT, "an object", "metadata", ()),
        ("service_tier", _STRING, "a string", "service_tier", ()),
        ("verbosity", _STRING, "a string", "verbosity", ()),
        ("prompt_cache_key", _STRING, "a string", "prompt_cache_key", ()),
    )
    for name in (usual, *others)
}
_USUAL = {attribute: usual for attribute, _, _, usual in _FIELDS.values()}
_SELDOM = {attribute: usual for attribute, usual in _USUAL.items() if attribute not in ("max_tokens", "temperature")}
_values_of = attrgetter(*_SELDOM)
_UNSAID = (None,) * len(_SELDOM)


def parse_request(body: bytes, *, model: str, stream: bool, members: Members | None = None) -> Request:
    """Read a request. Raises InvalidRequest, naming the field where one is at fault, and nothing else."""
    fields = decode_object(body, members)
    listed = fields.get("messages")
    if type(listed) is not list:
        what = "is missing" if listed is None else "must be a list"
        raise InvalidRequest(f"`messages` {what}", param="messages")
    del fields["messages"]
    return parse_fields(fields, model=model, stream=stream, messages=tuple(parse_messages(listed)))


def decode_object(body: bytes, members: Members | None = None) -> Table:
    """Decode a body that must be a JSON object; raises InvalidRequest. Tools may still be as they were written."""
    try:
        found = opened(body.removeprefix(_BOM), members)
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
    found: Table = {}
    blank: Table = {}
    for name, value in tuple(fields.items()):
        if value is None or (value is False and name == "stream") or (value == [] and name in _LISTS):
            # It says nothing, but it was there.
            blank[name] = fields.pop(name)
            continue
        known = _FIELDS.get(name)
        if known is None:
            continue
        attribute, kinds, told, usual = known
        if type(value) not in kinds:
            if kinds is not _WHOLE or type(value) is not float or not value.is_integer():
                raise InvalidRequest(f"`{name}` must be {told}", param=name)
            value = int(value)
        if attribute in found:
            # Of two names for one thing the usual one counts.
            if name != usual:
                continue
            other = hints.pop(attribute)
            fields[other] = found[attribute]
        elif name != usual:
            hints[attribute] = name
        found[attribute] = value
        del fields[name]
    if blank:
        hints["blank"] = blank
    options = fields.get("stream_options")
    if options is not None:
        if type(options) is not dict:
            raise InvalidRequest("`stream_options` must be an object", param="stream_options")
        if type(options.get("include_usage")) is bool:
            found["include_usage"] = options.pop("include_usage")
            if not options:
                del fields["stream_options"]
    if "include_usage" not in found and fields.get("usage") == _USAGE:
        # OpenRouter's word for it.
        found["include_usage"] = hints["usage"] = True
        del fields["usage"]
    stop = fields.get("stop")
    if stop is not None:
        if type(stop) is str:
            found["stop"] = (stop,)
            hints["stop"] = "string"
            del fields["stop"]
        elif type(stop) is list and all(type(item) is str for item in stop):
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
    for name in _SAFETY:
        if type(fields.get(name)) is list and fields[name] and "safety" not in found:
            # Google's, for its models: as LiteLLM takes it.
            found["safety"] = fields.pop(name)
            hints["safety"] = name
    if fields.keys() & _REASONING:
        found["reasoning"] = parse_reasoning(fields)
    return Request(dialect="chat", model=model, messages=messages, stream=stream, extra=keep(fields, hints), **found)


_USAGE = {"include": True}
_LISTS = frozenset(("stop", "tools", "functions", "modalities"))
_REASONING = frozenset(("reasoning_effort", "reasoning", "thinking", "enable_thinking", "google", "extra_body"))
_SAFETY = ("safety_settings", "safetySettings")


def render_request(request: Request, target: Target, notes: Notes) -> bytes:
    """Write a request for a provider that speaks this dialect.

    `notes` takes down what cannot be said; raises InvalidRequest where that is to be refused.
    """
    own = request.dialect == "chat"
    if request.tools and not own:
        request = hosted.kept(request, notes, lambda tool: has_hosted(tool, target))
    fields, hints = reopened(request, own)
    if hints and "blank" in hints:
        fields |= hints["blank"]
    fields["model"] = target.model
    messages = Conversation(request, target, notes).render()
    fields["messages"] = messages
    _render_values(fields, request, hints, target)
    if request.stream:
        fields["stream"] = True
        if not own and "usage_always" not in target.quirks:
            fields["stream_options"] = {"include_usage": True}
    if own and "safety" in hints:
        fields[hints["safety"]] = request.safety
    if own and "usage" in hints:
        fields["usage"] = dict(_USAGE)
    elif own and request.include_usage is not None:
        options = fields.get("stream_options") or NONE
        fields["stream_options"] = options | {"include_usage": request.include_usage}
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
    if request.max_tokens is not None:
        fields["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if (values := _values_of(request)) != _UNSAID:
        # Few requests say any of these.
        fields |= {name: value for name, value in zip(_SELDOM.values(), values, strict=True) if value is not None}
    for attribute, name in hints.items():
        if attribute in _USUAL and (usual := _USUAL[attribute]) in fields:
            fields[name] = fields.pop(usual)
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
    if request.extra:
        unknown = [name for name in request.extra if name[:1] != "$"]
        if unknown:
            notes.lost("field", ", ".join(unknown))
    if request.safety is not None:
        notes.lost("safety")
    if request.user is not None:
        fields["user"] = at_openai(request.user)
    if request.n == 1:
        del fields["n"]
    if request.top_logprobs is not None and not request.logprobs:
        if request.top_logprobs:
            fields["logprobs"] = True
        else:
            del fields["top_logprobs"]
    if len(request.stop) > _STOP_LIMIT and "stop_unbounded" not in quirks:
        notes.lost("stop_beyond")
        fields["stop"] = request.stop[:_STOP_LIMIT]
    if request.stop and "no_stop" in quirks:
        notes.lost("stop_refused")
        del fields["stop"]
    thinks = "no_sampling_with_reasoning" in quirks and fields.get("reasoning_effort", "none") != "none"
    if thinks or "no_sampling" in quirks:
        _unsampled(fields, notes)


_SAMPLING = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs")
# What is so anyway, and needs no telling.
_PLAIN = ({"temperature": 1}, {"top_p": 1}, {"frequency_penalty": 0}, {"presence_penalty": 0}, {"logprobs": False})


def _unsampled(fields: Table, notes: Notes) -> None:
    """Take out the settings of sampling, for a model that refuses them."""
    for name in _SAMPLING:
        if name in fields and {name: fields.pop(name)} not in _PLAIN:
            notes.lost("sampling")
