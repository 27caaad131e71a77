"""Anthropic's requests: from the wire and, where they came from this dialect, back as they were.

docs.anthropic.com/en/api/messages (read 2026-11-20). A request of another dialect is written by `compose`.
"""

import re
from typing import Any

import msgspec

from portico.dialects.arguments import merge
from portico.dialects.crossing import Notes, Target
from portico.dialects.malformed import Malformed
from portico.dialects.messages.blocks import PLAIN, Block, parse_content, take_cache
from portico.dialects.messages.compose import compose
from portico.dialects.messages.writing import mark, render_block
from portico.dialects.seal import unseal_call
from portico.dialects.tokens import UNREADABLE
from portico.dialects.toolbox import Members, Toolbox, box, opened
from portico.errors import InvalidRequest
from portico.ir import (
    Extra,
    Message,
    Output,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)

_ROLES = frozenset(("user", "assistant", "system"))
_DATED = re.compile(r"_20\d{6}$")
_FORMS = frozenset(("output_config", "output_format", "thinking"))
_IDLE: tuple[Any, ...] = (None, False, "", [], {})
_MODES = {"auto": "auto", "any": "required", "none": "none", "tool": "tool"}
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}


def parse_request(body: bytes, *, model: str, stream: bool, members: Members | None = None) -> Request:
    """Read a request. `model` and `stream` are what the call goes by, wherever its path or its body says so.

    Raises InvalidRequest, which names the field.
    """
    try:
        value = opened(body, members)
    except UNREADABLE as error:
        raise InvalidRequest(f"The body is not JSON that can be read: {error}") from error
    if type(value) is not dict:
        raise InvalidRequest("The body must be a JSON object")
    try:
        return _request(value, model, stream)
    except Malformed as error:
        raise InvalidRequest(f"{error.where}: must be {error.wanted}", param=error.where) from None
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply") from error


def render_request(request: Request, target: Target, notes: Notes) -> bytes:
    """Write a request for a provider that speaks this dialect. Raises InvalidRequest for what is to be refused."""
    body = _own(request, target, notes) if request.dialect == "messages" else compose(request, target, notes)
    try:
        return msgspec.json.encode(body)
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply") from error


# From the wire


def _request(value: Extra, model: str, stream: bool) -> Request:
    messages = _messages(value)
    system = _system(value)
    tools = _tools(value) if "tools" in value else ()
    choice, parallel = _choice(value) if "tool_choice" in value else (None, None)
    output, reasoning = _output(value) if value.keys() & _FORMS else (None, None)
    written = value.pop("model", None)
    if written is None:
        value["$model"] = False
    elif type(written) is not str:
        raise Malformed("model", "a string")
    asked = value.get("stream")
    if asked is not None and type(asked) is not bool:
        raise Malformed("stream", "true or false")
    if asked is True:
        del value["stream"]
    elif "stream" not in value and stream:
        value["$stream"] = False
    user = None
    metadata = value.get("metadata")
    if type(metadata) is dict and type(metadata.get("user_id")) is str:
        user = metadata.pop("user_id")
        if not metadata:
            del value["metadata"]
    elif metadata == {"user_id": None}:
        value["$idle"] = {"metadata": value.pop("metadata")}
    stop: tuple[str, ...] = ()
    listed = value.get("stop_sequences")
    if listed:
        if type(listed) is not list or not all(type(one) is str for one in listed):
            raise Malformed("stop_sequences", "a list of strings")
        stop = tuple(listed)
        del value["stop_sequences"]
    tier = value.get("service_tier")
    if type(tier) is str:
        del value["service_tier"]
    elif tier is not None:
        raise Malformed("service_tier", "a string")
    max_tokens, top_k = _integer(value, "max_tokens"), _integer(value, "top_k")
    temperature, top_p = _number(value, "temperature"), _number(value, "top_p")
    idle = {name: said for name, said in value.items() if not said and name[:1] != "$" and said in _IDLE}
    if idle:
        # What says nothing is no field that another dialect would miss.
        for name in idle:
            del value[name]
        value["$idle"] = value.get("$idle", {}) | idle
    return Request(
        dialect="messages",
        model=model,
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=choice,
        parallel_tools=parallel,
        output=output,
        reasoning=reasoning,
        stream=stream,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        stop=stop,
        user=user,
        service_tier=tier,
        extra=value,
    )


def _integer(value: Extra, name: str) -> int | None:
    found = value.get(name)
    if found is None:
        return None
    if type(found) is not int:
        raise Malformed(name, "a whole number")
    del value[name]
    return found


def _number(value: Extra, name: str) -> float | None:
    found = value.get(name)
    if found is None:
        return None
    if type(found) is not float and type(found) is not int:
        raise Malformed(name, "a number")
    del value[name]
    return found


def _messages(value: Extra) -> tuple[Message, ...]:
    listed = value.pop("messages", None)
    if type(listed) is not list:
        raise Malformed("messages", "a list")
    messages = []
    for at, message in enumerate(listed):
        if type(message) is not dict:
            raise Malformed(f"messages.{at}", "an object")
        role, content = message.get("role"), message.get("content")
        if type(role) is not str or role not in _ROLES:
            raise Malformed(f"messages.{at}.role", "'user', 'assistant' or 'system'")
        if type(content) is str:
            parts: tuple[Part, ...] = (Text(text=content),)
            extra = PLAIN
        else:
            try:
                parts = parse_content(content, "")
            except Malformed as error:
                raise Malformed(f"messages.{at}.content{error.where}", error.wanted) from None
            if role == "assistant":
                parts = _signed(parts)
            extra = {}
        if len(message) > 2:
            extra = {name: found for name, found in message.items() if name != "role" and name != "content"} | extra
        messages.append(Message(role=role, parts=parts, extra=extra) if extra else Message(role=role, parts=parts))  # type: ignore[arg-type]  # a role of the set above
    return tuple(messages)


def _signed(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Give sealed signatures back to the tool calls that they belong to."""
    signatures: dict[str, str] = {}
    for part in parts:
        if type(part) is Thinking and part.redacted and part.opaque is not None:
            call = unseal_call(part.opaque)
            if call is not None:
                signatures[call[0]] = call[1]
    if not signatures:
        return parts
    kept: list[Part] = []
    for part in parts:
        if type(part) is ToolCall and part.id in signatures:
            kept.append(msgspec.structs.replace(part, signature=signatures[part.id]))
        elif not (type(part) is Thinking and part.redacted and part.opaque and unseal_call(part.opaque)):
            kept.append(part)
    return tuple(kept)


def _system(value: Extra) -> tuple[Part, ...]:
    system = value.get("system")
    if not system:
        return ()
    del value["system"]
    if type(system) is str:
        value["$system"] = True
        return (Text(text=system),)
    return parse_content(system, "system")


def _tools(value: Extra) -> tuple[Tool, ...]:
    listed = value.get("tools")
    if type(listed) is msgspec.Raw:
        del value["tools"]
        return box("messages", listed, _listed)
    if not listed:
        return ()
    del value["tools"]
    return tuple(_listed(listed))


def _listed(listed: Any) -> Toolbox:
    if type(listed) is not list:
        raise Malformed("tools", "a list")
    return Toolbox([_tool(tool, at) for at, tool in enumerate(listed)])


def _tool(tool: Any, at: int) -> Tool:
    if type(tool) is not dict:
        raise Malformed(f"tools.{at}", "an object")
    kind, name = tool.get("type"), tool.get("name")
    if kind is not None and kind != "custom":
        if type(kind) is not str:
            raise Malformed(f"tools.{at}.type", "a string")
        return Tool(name=_DATED.sub("", kind), kind="server", cache=take_cache(tool), extra=tool)
    if type(name) is not str:
        raise Malformed(f"tools.{at}.name", "a string")
    del tool["name"]
    description = tool.get("description")
    if type(description) is str:
        del tool["description"]
    elif description is not None:
        raise Malformed(f"tools.{at}.description", "a string")
    schema = tool.get("input_schema")
    if type(schema) is dict:
        del tool["input_schema"]
    elif schema is not None:
        raise Malformed(f"tools.{at}.input_schema", "an object")
    if not tool:
        return Tool(name=name, description=description, parameters=schema)
    strict = tool.get("strict")
    if type(strict) is bool:
        del tool["strict"]
    else:
        strict = None
    return Tool(
        name=name, description=description, parameters=schema, strict=strict, cache=take_cache(tool), extra=tool
    )


def _choice(value: Extra) -> tuple[ToolChoice | None, bool | None]:
    choice = value.get("tool_choice")
    if choice is None:
        return None, None
    if type(choice) is not dict:
        raise Malformed("tool_choice", "an object")
    kind = choice.get("type")
    mode = _MODES.get(kind) if type(kind) is str else None
    name = choice.get("name")
    if mode is None or (mode == "tool" and type(name) is not str):
        raise Malformed("tool_choice", "of the type 'auto', 'any', 'none', or 'tool' with a name")
    del value["tool_choice"], choice["type"]
    if mode == "tool":
        del choice["name"]
    else:
        name = None
    single = choice.get("disable_parallel_tool_use")
    if type(single) is bool:
        del choice["disable_parallel_tool_use"]
        return ToolChoice(mode=mode, name=name, extra=choice), not single  # type: ignore[arg-type]  # a mode of the table
    return ToolChoice(mode=mode, name=name, extra=choice), None  # type: ignore[arg-type]  # a mode of the table


def _output(value: Extra) -> tuple[Output | None, Reasoning | None]:
    output = effort = None
    config = value.get("output_config")
    if type(config) is dict:
        output = _format(config, "format")
        effort = config.get("effort")
        if type(effort) is str:
            del config["effort"]
        else:
            effort = None
        if not config and (output is not None or effort is not None):
            del value["output_config"]
    if output is None and "output_format" in value:
        output = _format(value, "output_format")
        if output is not None:
            output.extra["$field"] = "output_format"
    thinking = value.get("thinking")
    if thinking is None:
        return output, Reasoning(effort=effort) if effort is not None else None
    if type(thinking) is not dict:
        raise Malformed("thinking", "an object")
    kind, budget, display = thinking.get("type"), thinking.get("budget_tokens"), thinking.get("display")
    if budget is not None and type(budget) is not int:
        raise Malformed("thinking.budget_tokens", "a whole number")
    if kind not in ("enabled", "adaptive", "disabled"):
        raise Malformed("thinking.type", "'enabled', 'adaptive' or 'disabled'")
    del value["thinking"]
    extra = {name: found for name, found in thinking.items() if name not in ("type", "budget_tokens", "display")}
    if (kind == "enabled") is (budget is None) and kind != "disabled":
        extra["$type"] = kind
    show = None
    if display == "summarized" or display == "omitted":
        show = display == "summarized"
    elif "display" in thinking:
        extra["display"] = display
    return output, Reasoning(enabled=kind != "disabled", effort=effort, budget=budget, show=show, extra=extra)


def _format(holder: Extra, field: str) -> Output | None:
    form = holder.get(field)
    if type(form) is not dict or form.get("type") != "json_schema":
        return None
    schema = form.get("schema")
    if type(schema) is dict:
        del form["schema"]
        extra: Extra = form
    else:
        inner = form.get("json_schema")
        if type(inner) is not dict or type(inner.get("schema")) is not dict:
            return None
        schema = inner["schema"]
        extra = {"$form": form}
    del holder[field]
    extra.pop("type", None)
    return Output(kind="json_schema", schema=schema, extra=extra)


# To the wire


def _own(request: Request, target: Target, notes: Notes) -> Block:
    extra = request.extra
    body: Block = {}
    if "$model" not in extra and "anthropic_version_in_body" not in target.quirks:
        body["model"] = target.model
    body["messages"] = [_message(message, notes) for message in request.messages]
    if request.system:
        first = request.system[0]
        if "$system" in extra and len(request.system) == 1 and type(first) is Text:
            body["system"] = first.text
        else:
            body["system"] = [render_block(part) for part in request.system]
    if request.tools:
        body["tools"] = [_own_tool(tool) for tool in request.tools]
    if request.tool_choice is not None or request.parallel_tools is not None:
        body["tool_choice"] = _own_choice(request.tool_choice, request.parallel_tools)
    if request.stream and "$stream" not in extra:
        body["stream"] = True
    for name, value in (
        ("max_tokens", request.max_tokens),
        ("temperature", request.temperature),
        ("top_p", request.top_p),
        ("top_k", request.top_k),
        ("service_tier", request.service_tier),
    ):
        if value is not None:
            body[name] = value
    if request.stop:
        body["stop_sequences"] = request.stop
    if request.user is not None:
        body["metadata"] = {"user_id": request.user} | (extra.get("metadata") or {})
    _own_output(body, request)
    merge(body, extra)
    if "$idle" in extra:
        merge(body, extra["$idle"])
    return body


def _message(message: Message, notes: Notes) -> Block:
    parts = message.parts
    extra = message.extra
    if "$plain" in extra and len(parts) == 1 and type(parts[0]) is Text:
        block: Block = {"role": message.role, "content": parts[0].text}
    else:
        content = []
        for part in parts:
            if type(part) is Thinking and part.maker not in (None, "messages"):
                notes.lost("thinking_history")
                continue
            content.append(render_block(part))
        block = {"role": message.role, "content": content}
    if extra and extra is not PLAIN:
        merge(block, extra)
    return block


def _own_tool(tool: Tool) -> Block:
    if tool.kind == "server":
        block = dict(tool.extra)
        block.pop("$ttl", None)
    else:
        block = {"name": tool.name}
        if tool.description is not None:
            block["description"] = tool.description
        if tool.parameters is not None:
            block["input_schema"] = tool.parameters
        if tool.strict is not None:
            block["strict"] = tool.strict
        if tool.extra:
            mark(block, tool.cache, tool.extra)
            merge(block, tool.extra)
            return block
    mark(block, tool.cache, tool.extra)
    return block


def _own_choice(choice: ToolChoice | None, parallel: bool | None) -> Block:
    if choice is None:
        block: Block = {"type": "auto"}
    elif choice.mode == "tool":
        block = {"type": "tool", "name": choice.name}
    else:
        block = {"type": _CHOICES.get(choice.mode, "auto")}
    if parallel is not None:
        block["disable_parallel_tool_use"] = not parallel
    if choice is not None and choice.extra:
        merge(block, choice.extra)
    return block


def _own_output(body: Block, request: Request) -> None:
    config: Block = {}
    output, reasoning = request.output, request.reasoning
    if output is not None and output.kind == "json_schema":
        if "$form" in output.extra:
            form = output.extra["$form"]
        else:
            form = {"type": "json_schema", "schema": output.schema}
            merge(form, output.extra)
        if "$field" in output.extra:
            body["output_format"] = form
        else:
            config["format"] = form
    if reasoning is not None:
        if reasoning.effort is not None:
            config["effort"] = reasoning.effort
        if reasoning.enabled is not None:
            thinking: Block = {"type": "disabled"}
            if reasoning.enabled:
                written = reasoning.extra.get("$type")
                thinking["type"] = written or ("adaptive" if reasoning.budget is None else "enabled")
            if reasoning.budget is not None:
                thinking["budget_tokens"] = reasoning.budget
            if reasoning.show is not None:
                thinking["display"] = "summarized" if reasoning.show else "omitted"
            merge(thinking, reasoning.extra)
            body["thinking"] = thinking
    if config:
        rest = request.extra.get("output_config")
        if type(rest) is dict:
            merge(config, rest)
        body["output_config"] = config
