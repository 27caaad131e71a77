"""A v2 chat request, both ways (docs.cohere.com/reference/chat, read 2026-11-20).

What is null, and what we have no field for, stays in `extra` under its own name and goes out again from there.
"""

from typing import Any

import msgspec

from portico.dialects.cohere.compose import compose
from portico.dialects.cohere.content import (
    PLAN,
    Object,
    brief_call,
    cite,
    clean,
    parse_call,
    parse_document,
    parse_part,
    render_call,
    render_document,
    render_image,
    render_text,
    render_thinking,
    strip,
)
from portico.dialects.crossing import Notes, Target
from portico.dialects.malformed import Malformed, a_list
from portico.dialects.tokens import UNREADABLE
from portico.dialects.toolbox import Members, Toolbox, box, opened
from portico.errors import InvalidRequest
from portico.ir import (
    Extra,
    File,
    Image,
    Message,
    Opaque,
    Output,
    Part,
    Reasoning,
    Request,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

_COUNTS = (("max_tokens", "max_tokens"), ("k", "top_k"), ("seed", "seed"))
_NUMBERS = (
    ("temperature", "temperature"),
    ("p", "top_p"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
)
_SETTINGS = (*_COUNTS, *_NUMBERS, ("logprobs", "logprobs"), ("safety_mode", "safety"))
_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
}
_SPOKEN = {name: role for name, role in _ROLES.items() if role != "tool"}
# How a content was written, of most messages. Read-only.
_STRING: Extra = {"$content": "string"}
_ABSENT: Extra = {"$content": "absent"}
_CHOICES: dict[str, ToolChoice] = {"REQUIRED": ToolChoice(mode="required"), "NONE": ToolChoice(mode="none")}
# The keys of a document that is nothing but a tool's answer.
_ANSWERS = ("output", "text", "content", "result", "data", "error")

_encode = msgspec.json.encode


def parse_request(body: bytes, *, model: str, stream: bool, members: Members | None = None) -> Request:
    """Read a request for `model`. Raises InvalidRequest, naming the field at fault."""
    try:
        found = opened(body, members)
    except UNREADABLE as error:
        raise InvalidRequest(f"The body is not JSON that can be read: {error}") from error
    if type(found) is not dict:
        raise InvalidRequest("The body must be an object")
    try:
        return _request(clean(found), model, stream)
    except Malformed as problem:
        raise InvalidRequest(str(problem), param=problem.where) from None
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply") from error


def _request(rest: Object, model: str, stream: bool) -> Request:
    fields: Object = {}
    for name, ours in _COUNTS:
        if rest.get(name) is not None:
            fields[ours] = _whole(rest.pop(name), name)
    for name, ours in _NUMBERS:
        if rest.get(name) is not None:
            fields[ours] = _number(rest.pop(name), name)
    if type(rest.get("logprobs")) is bool:
        fields["logprobs"] = rest.pop("logprobs")
    if type(rest.get("safety_mode")) is str:
        fields["safety"] = rest.pop("safety_mode")
    if rest.get("stop_sequences"):
        stop = a_list(rest.pop("stop_sequences"), "stop_sequences")
        if not all(type(word) is str for word in stop):
            raise Malformed("stop_sequences", "a list of strings")
        fields["stop"] = tuple(stop)
    if rest.get("messages"):
        messages = a_list(rest.pop("messages"), "messages")
        fields["messages"] = tuple(
            [_brief(each) or _message(each, f"messages[{at}]") for at, each in enumerate(messages)]
        )
    if rest.get("documents"):
        fields["documents"] = tuple(map(parse_document, a_list(rest.pop("documents"), "documents")))
    if rest.get("tools"):
        strict = rest.get("strict_tools")
        tools = rest.pop("tools")

        def read(listed: Any) -> Toolbox:
            return Toolbox([_tool(each, at, strict) for at, each in enumerate(a_list(listed, "tools"))])

        if type(tools) is msgspec.Raw:
            fields["tools"] = box(f"cohere {strict is True} {strict is False}", tools, read)
        else:
            fields["tools"] = tuple(read(tools))
        if type(strict) is bool:
            rest["$strict"] = rest.pop("strict_tools")
    if type(rest.get("tool_choice")) is str:
        written = rest["tool_choice"]
        if written.upper() in _CHOICES:
            fields["tool_choice"] = _CHOICES[written.upper()]
            del rest["tool_choice"]
            if written != written.upper():
                rest["$choice"] = written
    if type(rest.get("thinking")) is dict:
        fields["reasoning"] = _reasoning(rest.pop("thinking"))
    if type(rest.get("response_format")) is dict:
        fields["output"] = _output(rest)
    if type(rest.get("stream")) is bool:
        rest["$stream"] = rest.pop("stream")
    if "model" in rest:
        rest["$model"] = rest.pop("model")
    for name in ("messages", "tools", "documents", "stop_sequences"):
        if rest.get(name) == []:
            rest.setdefault("$empty", []).append(name)
            del rest[name]
    return Request(dialect="cohere", model=model, stream=stream, extra=rest, **fields)


def _whole(value: Any, name: str) -> int:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise Malformed(name, "a whole number")
    return value


def _number(value: Any, name: str) -> float:
    if type(value) is not float and type(value) is not int:
        raise Malformed(name, "a number")
    return value


def _brief(found: Any) -> Message | None:
    """Read a message of the usual shape: words of anybody, a tool's among them, or calls alone; None for another."""
    if type(found) is not dict:
        return None
    role, content, size = found.get("role"), found.get("content"), len(found)
    if type(role) is not str:
        return None
    if type(content) is str:
        if size == 2 and role in _SPOKEN:
            return Message(role=_SPOKEN[role], parts=(Text(text=content),), extra=_STRING)
        call = found.get("tool_call_id")
        if size == 3 and role == "tool" and type(call) is str:
            return Message(role="tool", parts=(ToolResult(id=call, parts=(Text(text=content),)),), extra=_STRING)
    elif size == 2 and role == "assistant" and type(calls := found.get("tool_calls")) is list:
        parts = tuple([call for call in map(brief_call, calls) if call is not None])
        if parts and len(parts) == len(calls):
            return Message(role="assistant", parts=parts, extra=_ABSENT)
    return None


def _message(found: Any, where: str) -> Message:
    if type(found) is not dict:
        raise Malformed(where, "an object")
    rest = clean(found)
    written = rest.pop("role", None)
    role = _ROLES.get(written.lower()) if type(written) is str else None
    if role is None:
        raise Malformed(f"{where}.role", "user, assistant, system or tool")
    if role != written:
        rest["$role"] = written
    parts = _content(rest, where)
    if role == "tool":
        return Message(role="tool", parts=(_result(parts, rest, where),), extra=rest)
    places = range(len(parts))
    plan = rest.get("tool_plan")
    if type(plan) is str:
        del rest["tool_plan"]
        parts.append(Text(text=plan, extra={PLAN: True}))
    if rest.get("tool_calls"):
        calls = a_list(rest.pop("tool_calls"), f"{where}.tool_calls")
        parts += [parse_call(each, f"{where}.tool_calls[{at}]") for at, each in enumerate(calls)]
    parts = cite(parts, rest.get("citations"), places)
    return Message(role=role, parts=tuple(parts), extra=rest)


def _content(rest: Object, where: str) -> list[Part]:
    if "content" not in rest:
        rest["$content"] = "absent"
        return []
    found = rest.pop("content")
    if type(found) is str:
        rest["$content"] = "string"
        return [Text(text=found)]
    if found is None:
        rest["$content"] = "null"
        return []
    return [parse_part(each, f"{where}.content[{at}]") for at, each in enumerate(a_list(found, f"{where}.content"))]


def _result(parts: list[Part], rest: Object, where: str) -> ToolResult:
    """Read what a tool answered. A document that has one field is the text in it, one of several fields is data."""
    call = rest.pop("tool_call_id", None)
    if type(call) is not str:
        raise Malformed(f"{where}.tool_call_id", "a call's id")
    error = None
    data = None
    if len(parts) == 1 and isinstance(only := parts[0], File) and only.id is None and not only.extra:
        if type(only.data) is dict and len(only.data) == 1:
            ((key, value),) = only.data.items()
            if key in _ANSWERS and type(value) is str:
                rest["$key"] = key
                error = True if key == "error" else None
                return ToolResult(id=call, parts=(Text(text=value),), error=error)
        if type(only.data) is dict:
            data = only.data
            parts = []
    return ToolResult(id=call, parts=tuple(parts), data=data, error=error)


def _tool(found: Any, at: int, strict: Any) -> Tool:
    function = found.get("function") if type(found) is dict else None
    if type(function) is not dict:
        raise Malformed(f"tools[{at}].function", "an object")
    rest = clean(function)
    name = rest.pop("name", None)
    if type(name) is not str or not name:
        raise Malformed(f"tools[{at}].function.name", "a tool's name")
    description = rest.pop("description") if type(rest.get("description")) is str else None
    parameters = rest.pop("parameters") if type(rest.get("parameters")) is dict else None
    outer = {key: value for key, value in found.items() if key != "function" and key[:1] != "$"}
    if outer != {"type": "function"}:
        rest["$outer"] = outer
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        strict=strict if type(strict) is bool else None,
        extra=rest,
    )


def _reasoning(found: Object) -> Reasoning:
    rest = clean(found)
    enabled = {"enabled": True, "disabled": False}.get(str(rest.get("type")))
    if enabled is not None:
        del rest["type"]
    budget = None
    if rest.get("token_budget") is not None:
        budget = _whole(rest.pop("token_budget"), "thinking.token_budget")
    return Reasoning(enabled=enabled, budget=budget, extra=rest)


def _output(rest: Object) -> Output | None:
    found = clean(rest.pop("response_format"))
    kind = found.get("type")
    if kind not in ("text", "json_object"):
        rest["response_format"] = found
        return None
    del found["type"]
    for name in ("json_schema", "schema"):
        if kind == "json_object" and type(found.get(name)) is dict:
            schema = found.pop(name)
            if name == "schema":
                found["$name"] = name
            return Output(kind="json_schema", schema=schema, extra=found)
    return Output(kind="json" if kind == "json_object" else "text", extra=found)


# Ours to theirs


def render_request(request: Request, target: Target, notes: Notes) -> bytes:
    """Write the body of a request. Raises InvalidRequest for what may not be left out and cannot be said."""
    try:
        return _encode(_own(request, target) if request.dialect == "cohere" else compose(request, target, notes))
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply") from error


def _own(request: Request, target: Target) -> Object:
    extra = request.extra
    out = dict(extra)
    for name in extra.get("$empty", ()):
        out[name] = []
    if "$model" in extra or target.model:
        out["model"] = target.model
    if "$stream" in extra or request.stream:
        out["stream"] = request.stream or bool(extra.get("$stream"))
    for name, ours in _SETTINGS:
        value = getattr(request, ours)
        if value is not None:
            out[name] = value
    if request.stop:
        out["stop_sequences"] = list(request.stop)
    if request.messages:
        out["messages"] = [_own_message(message) for message in request.messages]
    if request.documents:
        out["documents"] = [render_document(each, True) for each in request.documents]
    if request.tools:
        out["tools"] = [_own_tool(tool) for tool in request.tools]
        if "$strict" in extra:
            out["strict_tools"] = extra["$strict"]
    if request.tool_choice is not None:
        out["tool_choice"] = extra.get("$choice", "NONE" if request.tool_choice.mode == "none" else "REQUIRED")
    if request.reasoning is not None:
        out["thinking"] = _own_thinking(request.reasoning)
    if request.output is not None:
        out["response_format"] = _own_output(request.output)
    return strip(out)


def _own_tool(tool: Tool) -> Object:
    function: Object = {**tool.extra, "name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    return {**tool.extra.get("$outer", {"type": "function"}), "function": strip(function)}


def _own_thinking(reasoning: Reasoning) -> Object:
    out: Object = dict(reasoning.extra)
    if reasoning.enabled is not None:
        out["type"] = "enabled" if reasoning.enabled else "disabled"
    if reasoning.budget is not None:
        out["token_budget"] = reasoning.budget
    return out


def _own_output(output: Output) -> Object:
    out: Object = {"type": "text" if output.kind == "text" else "json_object", **output.extra}
    if output.kind == "json_schema":
        out[output.extra.get("$name", "json_schema")] = output.schema
    return strip(out)


def _own_message(message: Message) -> Object:
    extra = message.extra
    out: Object = {"role": message.role, **extra}
    if "$role" in extra:
        out["role"] = extra["$role"]
    if message.role == "tool":
        return strip(_own_result(message, out))
    content: list[Object] = []
    calls: list[Object] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            calls.append(render_call(part, True, False))
        elif isinstance(part, Text) and PLAN in part.extra:
            out["tool_plan"] = part.text
        else:
            content.append(_own_part(part))
    _form(out, content, extra.get("$content"))
    if calls:
        out["tool_calls"] = calls
    return strip(out)


def _form(out: Object, content: list[Object], form: str | None) -> None:
    """Write a content as it was: a string, a list, null, or not at all."""
    if form == "string" and len(content) == 1 and content[0]["type"] == "text":
        out["content"] = content[0]["text"]
    elif form == "null" and not content:
        out["content"] = None
    elif form != "absent" or content:
        out["content"] = content


def _own_part(part: Part) -> Object:
    if isinstance(part, Text):
        return render_text(part, True)
    if isinstance(part, Thinking):
        return render_thinking(part, True, None)
    if isinstance(part, Image):
        return render_image(part, True)
    if isinstance(part, File):
        return {**part.extra.get("$part", {}), "type": "document", "document": render_document(part, True)}
    assert isinstance(part, Opaque), f"{part!r} is no part that Cohere's own parser reads"
    return dict(part.value)


def _own_result(message: Message, out: Object) -> Object:
    result = message.parts[0]
    assert isinstance(result, ToolResult), "a tool message holds a result"
    out["tool_call_id"] = result.id
    key = message.extra.get("$key")
    if key is not None and len(result.parts) == 1 and isinstance(only := result.parts[0], Text):
        content = [{"type": "document", "document": {"data": {key: only.text}}}]
    elif result.data is not None:
        content = [{"type": "document", "document": {"data": result.data}}]
    else:
        content = [_own_part(part) for part in result.parts]
    _form(out, content, message.extra.get("$content"))
    return out
