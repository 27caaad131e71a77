"""Requests of the Responses API (platform.openai.com/docs/api-reference/responses/create, read 2026-11-20).

`input` is a flat list of items. Items that a model made, one after another, are one message of the assistant here; any
other item is a message of its own. `instructions` stand apart. Members that only this API knows stay in `extra`.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects import hosted
from portico.dialects.crossing import Notes, Target, Unsaid
from portico.dialects.people import at_openai
from portico.dialects.responses.content import Object, UnfitError, read_content, remainder, write_own, written
from portico.dialects.responses.history import write_history, write_system
from portico.dialects.responses.items import Signatures, read_item, write_items
from portico.dialects.responses.settings import read_reasoning, read_text, write_reasoning, write_text
from portico.dialects.responses.tools import (
    has_hosted,
    read_choice,
    read_tools,
    write_choice,
    write_own_tools,
    write_tools,
)
from portico.dialects.tokens import UNREADABLE
from portico.dialects.toolbox import Members, box, opened, told
from portico.errors import InvalidRequest
from portico.ir import Message, Opaque, Part, Request, Role, Text, ToolCall, ToolResult

LOGPROBS = "message.output_text.logprobs"
"""What `include` names to get log probabilities."""

_ENCRYPTED = "reasoning.encrypted_content"
_LEAST_TOKENS = 16
_ROLES: dict[str, Role] = {"user": "user", "system": "system", "developer": "developer"}
# Items that answer a model, or speak for its surroundings; other unknown ones are the model's.
_ANSWERS = frozenset(("mcp_approval_response", "additional_tools", "item_reference"))
_SERVED = {"standard": "default", "standard_only": "default"}
# Where a reply is kept at OpenAI, and how a stream hides the length of its events.
_SILENT = frozenset(("store", "stream", "stream_options"))
_STORED = ("previous_response_id", "conversation", "prompt")
_encode = msgspec.json.encode


def parse_request(body: bytes, *, model: str, stream: bool, members: Members | None = None) -> Request:
    """Read a request; `model` and `stream` are what routing found. Raises InvalidRequest naming the field."""
    try:
        said = opened(body, members)
    except UNREADABLE as error:
        raise InvalidRequest(f"The body cannot be read as JSON: {error}") from None
    if type(said) is not dict:
        raise InvalidRequest("The body must be a JSON object")
    if stream:
        said.pop("stream", None)
    said.pop("model", None)
    fields: dict[str, Any] = {}
    for name in list(said):
        reader = _FIELDS.get(name)
        if reader is None:
            if name[:1] == "$":
                del said[name]
            continue
        value = said[name]
        if value is None:
            continue
        try:
            taken = reader(value, fields)
        except UnfitError as error:
            raise InvalidRequest(error.message, param=name + error.where) from None
        if taken:
            del said[name]
    if "user" not in fields and type(said.get("safety_identifier")) is str:
        # The newer name of the same thing.
        fields["user"] = said["safety_identifier"]
        said["$named"] = True
    silent = [name for name, value in said.items() if _silent(name, value, fields)]
    if silent:
        said["$silent"] = {name: said.pop(name) for name in silent}
    return Request(dialect="responses", model=model, stream=stream, **fields, extra=said)


Fields = dict[str, Any]


def _silent(name: str, value: Any, fields: Fields) -> bool:
    """Return whether a member says nothing that another dialect would miss: it is kept where only this one looks."""
    if name in _SILENT or value is None or value == [] or value == {}:
        return True
    if name == "include":
        return all(each in (_ENCRYPTED, LOGPROBS) for each in value or ())
    if name == "truncation":
        return bool(value == "disabled")
    if name == "background":
        return value is False
    return name == "safety_identifier" and fields.get("user") == value


def _plain(name: str, kind: type | tuple[type, ...], what: str) -> Callable[[Any, Fields], bool]:
    """Return a reader that takes a value of one type over as it is."""
    kinds = kind if type(kind) is tuple else (kind,)

    def read(value: Any, fields: Fields) -> bool:
        if type(value) not in kinds:
            raise UnfitError(f"It must be {what}, not {value!r:.60}")
        fields[name] = value
        return True

    return read


def _read_input(value: Any, fields: Fields) -> bool:
    if type(value) is str:
        fields["messages"] = (Message("user", (Text(value),), extra={"$input": True}),)
        return True
    if type(value) is not list:
        raise UnfitError("The input is a string or a list of items")
    fields["messages"] = _read_items(value)
    return bool(value)


def _read_items(items: list[Any]) -> tuple[Message, ...]:
    messages: list[Message] = []
    run: list[Part] = []
    names: dict[str, str] = {}
    signatures: Signatures = {}
    for at, item in enumerate(items):
        if type(item) is not dict:
            raise UnfitError("An item of the input is an object", f"[{at}]")
        kind = item.get("type")
        try:
            if kind is None or kind == "message":
                role = item.get("role")
                if role == "assistant":
                    run += read_item(item, signatures)
                    continue
                message = _read_message(item, role)
            elif kind == "function_call_output" or kind == "custom_tool_call_output":
                message = _read_output(item, names)
            elif type(kind) is not str or kind in _ANSWERS or kind.endswith("_output"):
                message = Message("user", (Opaque(item),), extra={"$item": True})
            else:
                parts = read_item(item, signatures)
                if parts and isinstance(parts[0], ToolCall):
                    names[parts[0].id] = parts[0].name
                run += parts
                continue
        except UnfitError as error:
            raise UnfitError(error.message, f"[{at}]{error.where}") from None
        if run:
            messages.append(Message("assistant", tuple(run)))
            run = []
        messages.append(message)
    if run:
        messages.append(Message("assistant", tuple(run)))
    return tuple(messages)


def _read_message(item: Object, role: Any) -> Message:
    ours = _ROLES.get(role) if type(role) is str else None
    content = item.get("content")
    if ours is None:
        if type(role) is not str:
            raise UnfitError("The role of a message is a string", ".role")
        return Message("user", (Opaque(item),), extra={"$item": True})
    if type(content) is str:
        parts: tuple[Part, ...] = (Text(content),)
        hinted = False
    elif type(content) is list:
        parts = tuple(read_content(content, "input_text"))
        hinted = len(parts) == 1 and type(parts[0]) is Text
    else:
        raise UnfitError("The content of a message is a string or a list", ".content")
    del item["role"], item["content"]
    if not item:
        return Message(ours, parts, extra={"$list": True}) if hinted else Message(ours, parts)
    extra = remainder(item)
    return Message(ours, parts, extra={**extra, "$list": True} if hinted else extra)


def _read_output(item: Object, names: dict[str, str]) -> Message:
    output = item.get("output")
    call_id = item.get("call_id")
    if type(call_id) is not str:
        raise UnfitError("The id of a call is a string", ".call_id")
    if type(output) is str:
        parts: tuple[Part, ...] = (Text(output),)
        hinted = False
    elif type(output) is list:
        try:
            parts = tuple(read_content(output, "input_text"))
        except UnfitError as error:
            raise UnfitError(error.message, error.where.replace(".content", ".output", 1)) from None
        hinted = len(parts) == 1 and type(parts[0]) is Text
    else:
        raise UnfitError("What a tool answered is a string or a list", ".output")
    del item["output"], item["call_id"]
    if item.get("type") == "function_call_output":
        del item["type"]
    extra = remainder(item) if item else item
    if hinted:
        extra = {**extra, "$list": True}
    return Message("tool", (ToolResult(call_id, names.get(call_id), parts, extra=extra),))


def _read_instructions(value: Any, fields: Fields) -> bool:
    if type(value) is not str:
        raise UnfitError("The instructions are a string")
    fields["system"] = (Text(value),)
    return True


def _read_tools(value: Any, fields: Fields) -> bool:
    fields["tools"] = box("responses", value, read_tools) if type(value) is msgspec.Raw else tuple(read_tools(value))
    return bool(fields["tools"])


def _read_choice(value: Any, fields: Fields) -> bool:
    fields["tool_choice"] = read_choice(value)
    return True


def _read_text(value: Any, fields: Fields) -> bool:
    output, verbosity = read_text(value)
    if output is not None:
        fields["output"] = output
    if verbosity is not None:
        fields["verbosity"] = verbosity
    # What is left of it stays in `extra` under the same name.
    return not value and (output is not None or verbosity is not None)


def _read_reasoning(value: Any, fields: Fields) -> bool:
    fields["reasoning"] = read_reasoning(value)
    return True


def _read_include(value: Any, fields: Fields) -> bool:
    if type(value) is not list:
        raise UnfitError("What to include is a list")
    if LOGPROBS in value:
        fields["logprobs"] = True
    return False


_FIELDS: dict[str, Callable[[Any, Fields], bool]] = {
    "input": _read_input,
    "instructions": _read_instructions,
    "tools": _read_tools,
    "tool_choice": _read_choice,
    "text": _read_text,
    "reasoning": _read_reasoning,
    "include": _read_include,
    "parallel_tool_calls": _plain("parallel_tools", bool, "a boolean"),
    "max_output_tokens": _plain("max_tokens", int, "a whole number"),
    "temperature": _plain("temperature", (float, int), "a number"),
    "top_p": _plain("top_p", (float, int), "a number"),
    "top_logprobs": _plain("top_logprobs", int, "a whole number"),
    "user": _plain("user", str, "a string"),
    "metadata": _plain("metadata", dict, "an object"),
    "service_tier": _plain("service_tier", str, "a string"),
    "prompt_cache_key": _plain("prompt_cache_key", str, "a string"),
}


# Ours to wire


def render_request(request: Request, target: Target, notes: Notes) -> bytes:
    """Write the body for a provider that speaks this dialect. What it cannot say is told to `notes`."""
    own = request.dialect == "responses"
    if request.tools and not own:
        request = hosted.kept(request, notes, has_hosted)
    out: Object = {}
    if own:
        out = written(request.extra) | request.extra.get("$silent", {})
    out["model"] = target.model
    if request.stream:
        out["stream"] = True
    if own:
        if request.messages:
            first = request.messages[0]
            if "$input" in first.extra and len(request.messages) == 1 and type(first.parts[0]) is Text:
                out["input"] = first.parts[0].text
            else:
                out["input"] = _write_messages(request.messages, notes)
        if request.system:
            out["instructions"] = "\n\n".join(part.text for part in request.system if type(part) is Text)
        if request.tools:
            out["tools"] = write_own_tools(request.tools)
    else:
        items: list[Object] = []
        instructions = write_system(request.system, items, notes)
        if instructions:
            out["instructions"] = instructions
        write_history(request, target, notes, items)
        out["input"] = items
        if request.tools:
            out |= told(request.tools, "responses", notes, lambda heard: {"tools": write_tools(request.tools, heard)})
        _write_foreign(request, target, notes, out)
    if request.tool_choice is not None and (own or request.tools):
        out["tool_choice"] = write_choice(request.tool_choice, request)
    text = write_text(request)
    if text is not None:
        out["text"] = text
    if request.reasoning is not None and (own or "no_reasoning" not in target.quirks):
        reasoning = write_reasoning(request, target)
        if reasoning or own:
            out["reasoning"] = reasoning
    if request.logprobs and LOGPROBS not in (out.get("include") or ()):
        out["include"] = [*(out.get("include") or ()), LOGPROBS]
    if request.parallel_tools is not None and (own or request.tools):
        out["parallel_tool_calls"] = request.parallel_tools
    if request.max_tokens is not None:
        out["max_output_tokens"] = request.max_tokens if own else max(request.max_tokens, _LEAST_TOKENS)
    if request.temperature is not None:
        out["temperature"] = request.temperature
    if request.top_p is not None:
        out["top_p"] = request.top_p
    if request.top_logprobs is not None and (own or request.top_logprobs):
        out["top_logprobs"] = request.top_logprobs
    if request.user is not None and not (own and "$named" in request.extra):
        out["user"] = request.user if own else at_openai(request.user)
    if request.metadata is not None:
        out["metadata"] = request.metadata
    if request.service_tier is not None:
        out["service_tier"] = request.service_tier if own else _SERVED.get(request.service_tier, request.service_tier)
    if request.prompt_cache_key is not None:
        out["prompt_cache_key"] = request.prompt_cache_key
    if not own:
        _leave_sampling(out, target, notes)
    try:
        return _encode(out)
    except RecursionError:
        raise InvalidRequest("The request is nested too deeply") from None


def _write_messages(messages: tuple[Message, ...], notes: Notes) -> list[Any]:
    """Write messages that this dialect's parser read."""
    items: list[Any] = []
    for message in messages:
        role, parts, extra = message.role, message.parts, message.extra
        if role == "assistant":
            if write_items(parts, items):
                notes.lost("thinking_history")
        elif role == "tool":
            items += [_write_output(part) for part in parts if type(part) is ToolResult]
        elif "$item" in extra:
            items += [part.value for part in parts if type(part) is Opaque]
        else:
            item: Object = {"role": role}
            if extra:
                item.update(written(extra))
            item["content"] = _content(parts, extra)
            items.append(item)
    return items


def _content(parts: tuple[Part, ...], extra: Object) -> Any:
    """Write parts as a string where they are one bare text that was a string, else as a list."""
    if len(parts) == 1 and "$list" not in extra:
        part = parts[0]
        if type(part) is Text and not part.extra and part.cache is None and not part.citations:
            return part.text
    content = [write_own(part, "input_text") for part in parts]
    return [value for value in content if value is not None]


def _write_output(result: ToolResult) -> Object:
    item: Object = {"type": "function_call_output", "call_id": result.id}
    if result.extra:
        item.update(written(result.extra))
    item["output"] = _content(result.parts, result.extra)
    return item


def _write_foreign(request: Request, target: Target, notes: Notes, out: Object) -> None:
    """Write what only another dialect's request needs, and note what it cannot have."""
    # Nothing is stored in another API's name, so that what seals a thought must come along.
    if "no_store" not in target.quirks:
        out["store"] = False
    asked = request.reasoning
    if asked is not None and asked.enabled is not False:
        if "no_reasoning" in target.quirks:
            notes.lost("thinking")
        elif "no_encrypted_reasoning" not in target.quirks:
            out["include"] = [_ENCRYPTED]
    if request.n is not None and request.n > 1:
        notes.lost("n")
    if request.stop:
        notes.lost("stop")
    _UNSAID.note(request, notes)
    if request.safety:
        notes.lost("safety")
    if "audio" in request.modalities:
        notes.lost("output_audio")
    if request.dialect == "chat":
        for name in _SHARED:
            if request.extra.get(name) is not None:
                out[name] = request.extra[name]
    unknown = [
        name for name, value in request.extra.items() if value is not None and name[:1] != "$" and name not in _UNHEEDED
    ]
    if unknown:
        notes.lost("field", ", ".join(unknown))
    if "image" in request.modalities and not any(tool.name == "image_generation" for tool in request.tools):
        tools = write_tools(request.tools, Notes("responses")) if request.tools else []
        out["tools"] = [*tools, {"type": "image_generation"}]


def _leave_sampling(out: Object, target: Target, notes: Notes) -> None:
    """Take out the settings of sampling where the model refuses them, always or while it thinks."""
    thinks = out.get("reasoning", {}).get("effort", "none") != "none"
    if "no_sampling" in target.quirks or (thinks and "no_sampling_with_reasoning" in target.quirks):
        for name in ("temperature", "top_p", "top_logprobs"):
            if out.pop(name, 1) != 1:
                notes.lost("sampling")
        if LOGPROBS in out.get("include", ()):
            out["include"] = [each for each in out["include"] if each != LOGPROBS]
            notes.lost("sampling")


# What Chat Completions asks for by the same names.
_SHARED = ("store", "safety_identifier", "prompt_cache_retention", "prompt_cache_options")
# What is asked for by other means, or means nothing for a whole request.
_UNHEEDED = frozenset((*_SHARED, "stream", "stream_options"))
_UNSAID = Unsaid(
    ("seed", "frequency_penalty", "presence_penalty", "repetition_penalty", "top_k", "min_p", "logit_bias")
)


def leave(request: Request, notes: Notes) -> None:
    """Note what a request of this dialect loses in any other, beside what the other's renderer notes.

    Refused is what leans on context that is stored at OpenAI: the conversation cannot be known elsewhere.
    """
    extra = request.extra
    for name in _STORED:
        if extra.get(name):
            notes.lost("stored_context", name)
    if extra.get("background") is True:
        notes.lost("stored_context", "background")
    for message in request.messages:
        for part in message.parts:
            if type(part) is Opaque and type(part.value) is dict and part.value.get("type") == "item_reference":
                notes.lost("stored_context", "item_reference")
