"""Converse's requests: from the wire and, where they came from this dialect, back as they were.

docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (read 2026-11-20). The model, and whether the
reply streams, stand in the path. A request of another dialect is written by `compose`.
"""

from typing import Any

import msgspec

from portico.dialects.arguments import merge
from portico.dialects.converse.blocks import SYSTEM_TOOLS, Block, cache_of, parse_content, signed
from portico.dialects.converse.compose import compose
from portico.dialects.converse.fields import parse_fields
from portico.dialects.converse.writing import point, render_content
from portico.dialects.crossing import Notes, Target
from portico.dialects.malformed import Malformed
from portico.dialects.tokens import UNREADABLE
from portico.dialects.toolbox import Members, Toolbox, box, opened
from portico.errors import InvalidRequest
from portico.ir import Extra, Message, Output, Request, Thinking, Tool, ToolChoice

_decoder = msgspec.json.Decoder()
_IDLE: tuple[Any, ...] = (None, False, "", [], {})
_MODES = {"auto": "auto", "any": "required"}


def parse_request(body: bytes, *, model: str, stream: bool, members: Members | None = None) -> Request:
    """Read a request. `model` and `stream` are its path's. Raises InvalidRequest, which names the field."""
    try:
        value = opened(body, members, "toolConfig")
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
    body = _own(request, notes) if request.dialect == "converse" else compose(request, target, notes)
    try:
        return msgspec.json.encode(body)
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply") from error


# From the wire


def _request(value: Extra, model: str, stream: bool) -> Request:
    listed = value.pop("messages", None)
    if listed is None:
        listed = []
        value["$messages"] = False
    messages = _messages(listed)
    system = value.get("system")
    if system:
        system = parse_content(system, "system")
        del value["system"]
    sampling = _inference(value)
    tools, choice = _tools(value)
    reasoning, top_k, output = parse_fields(value)
    metadata = value.get("requestMetadata")
    if type(metadata) is dict and metadata:
        del value["requestMetadata"]
    else:
        metadata = None
    safety = value.get("guardrailConfig")
    if type(safety) is dict:
        del value["guardrailConfig"]
    else:
        safety = None
    tier = value.get("serviceTier")
    if type(tier) is dict and len(tier) == 1 and type(tier.get("type")) is str:
        tier = tier["type"]
        del value["serviceTier"]
    else:
        tier = None
    output = _output(value) or output
    idle = {name: said for name, said in value.items() if said in _IDLE and name[:1] != "$"}
    if idle:
        # What says nothing is no field that another dialect would miss.
        for name in idle:
            del value[name]
        value["$idle"] = idle
    return Request(
        dialect="converse",
        model=model,
        messages=messages,
        system=system or (),
        tools=tools,
        tool_choice=choice,
        output=output,
        reasoning=reasoning,
        stream=stream,
        top_k=top_k,
        metadata=metadata,
        safety=safety,
        service_tier=tier,
        extra=value,
        **sampling,
    )


def _messages(listed: Any) -> tuple[Message, ...]:
    if type(listed) is not list:
        raise Malformed("messages", "a list")
    messages = []
    for at, message in enumerate(listed):
        if type(message) is not dict:
            raise Malformed(f"messages.{at}", "an object")
        role = message.get("role")
        if role != "user" and role != "assistant" and role != "system":
            raise Malformed(f"messages.{at}.role", "'user', 'assistant' or 'system'")
        try:
            parts = parse_content(message.get("content"), "")
        except Malformed as error:
            raise Malformed(f"messages.{at}.content{error.where}", error.wanted) from None
        if role == "assistant":
            parts = signed(parts)
        if len(message) == 2:
            messages.append(Message(role=role, parts=parts))
        else:
            extra = {name: found for name, found in message.items() if name != "role" and name != "content"}
            messages.append(Message(role=role, parts=parts, extra=extra))
    return tuple(messages)


def _inference(value: Extra) -> dict[str, Any]:
    config = value.get("inferenceConfig")
    if config is None:
        return {}
    if type(config) is not dict:
        raise Malformed("inferenceConfig", "an object")
    found: dict[str, Any] = {}
    for name, field in (("maxTokens", "max_tokens"), ("temperature", "temperature"), ("topP", "top_p")):
        said = config.get(name)
        if said is None:
            continue
        if type(said) is not int and (type(said) is not float or name == "maxTokens"):
            raise Malformed(f"inferenceConfig.{name}", "a number")
        found[field] = said
        del config[name]
    stop = config.get("stopSequences")
    if stop:
        if type(stop) is not list or not all(type(one) is str for one in stop):
            raise Malformed("inferenceConfig.stopSequences", "a list of strings")
        found["stop"] = tuple(stop)
        del config["stopSequences"]
    if found and not config:
        del value["inferenceConfig"]
    return found


def _tools(value: Extra) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    config = value.get("toolConfig")
    if config is None:
        return (), None
    if type(config) is msgspec.Raw:
        known = box("converse", config, _config)
        tools: tuple[Tool, ...] = known
    else:
        known = _config(config)
        tools = tuple(known)
    choice, rest = known.beside
    if rest or not (tools or choice is not None):
        value["toolConfig"] = rest
    else:
        del value["toolConfig"]
    return tools, choice


def _config(config: Any) -> Toolbox:
    """Read the tools; beside them stand the choice among them, and what is left."""
    if type(config) is not dict:
        raise Malformed("toolConfig", "an object")
    listed = config.get("tools")
    tools: list[Tool] = []
    if listed:
        if type(listed) is not list:
            raise Malformed("toolConfig.tools", "a list")
        for at, tool in enumerate(listed):
            if type(tool) is not dict:
                raise Malformed(f"toolConfig.tools.{at}", "an object")
            marked = cache_of(tool) if tools and tools[-1].cache is None else None
            if marked is None:
                tools.append(_tool(tool, at))
            else:
                extra = {**tools[-1].extra, "$ttl": True} if marked[1] else tools[-1].extra
                tools[-1] = msgspec.structs.replace(tools[-1], cache=marked[0], extra=extra)
        del config["tools"]
    choice = None
    chosen = config.get("toolChoice")
    if chosen is not None:
        choice = _choice(chosen)
        del config["toolChoice"]
    return Toolbox(tools, (choice, config))


def _tool(tool: Block, at: int) -> Tool:
    spec = tool.get("toolSpec")
    if type(spec) is dict and len(tool) == 1:
        name, description, schema, strict = (spec.get(key) for key in ("name", "description", "inputSchema", "strict"))
        if type(name) is not str:
            raise Malformed(f"toolConfig.tools.{at}.toolSpec.name", "a string")
        extra = {
            key: found for key, found in spec.items() if key not in ("name", "description", "inputSchema", "strict")
        }
        if description is not None and type(description) is not str:
            raise Malformed(f"toolConfig.tools.{at}.toolSpec.description", "a string")
        parameters = None
        if type(schema) is dict and len(schema) == 1 and type(schema.get("json")) is dict:
            parameters = schema["json"]
        elif "inputSchema" in spec:
            extra["inputSchema"] = schema
        if strict is not None and type(strict) is not bool:
            extra["strict"], strict = strict, None
        return Tool(name=name, description=description, parameters=parameters, strict=strict, extra=extra)
    own = tool.get("systemTool")
    if type(own) is dict and type(own.get("name")) is str:
        return Tool(name=SYSTEM_TOOLS.get(own["name"], own["name"]), kind="server", extra=tool)
    return Tool(name=next(iter(tool), ""), kind="server", extra=tool)


def _choice(chosen: Any) -> ToolChoice:
    if type(chosen) is dict and len(chosen) == 1:
        name, inner = next(iter(chosen.items()))
        if name == "tool" and type(inner) is dict and type(inner.get("name")) is str:
            extra = {key: found for key, found in inner.items() if key != "name"}
            return ToolChoice(mode="tool", name=inner["name"], extra=extra)
        if name in _MODES and type(inner) is dict:
            return ToolChoice(mode=_MODES[name], extra=inner)  # type: ignore[arg-type]  # a mode of the table
    raise Malformed("toolConfig.toolChoice", "one of 'auto', 'any', or 'tool' with a name")


def _output(value: Extra) -> Output | None:
    config = value.get("outputConfig")
    form = config.get("textFormat") if type(config) is dict else None
    if type(form) is not dict or form.get("type") != "json_schema" or len(form) != 2:
        return None
    structure = form.get("structure")
    inner = structure.get("jsonSchema") if type(structure) is dict and len(structure) == 1 else None
    if type(config) is not dict or type(inner) is not dict or type(inner.get("schema")) is not str:
        return None
    written = inner["schema"]
    try:
        schema = _decoder.decode(written)
    except UNREADABLE as error:
        raise Malformed("outputConfig.textFormat.structure.jsonSchema.schema", "JSON") from error
    extra: Extra = {name: found for name, found in inner.items() if name not in ("schema", "name", "description")}
    extra["$schema"] = written
    name, description = inner.get("name"), inner.get("description")
    if (name is not None and type(name) is not str) or (description is not None and type(description) is not str):
        return None
    del config["textFormat"]
    if not config:
        del value["outputConfig"]
    return Output(kind="json_schema", schema=schema, name=name, description=description, extra=extra)


# To the wire


def _own(request: Request, notes: Notes) -> Block:
    extra = request.extra
    body: Block = {}
    if "$messages" not in extra or request.messages:
        body["messages"] = [_message(message, notes) for message in request.messages]
    if request.system:
        body["system"] = render_content(request.system)
    _part(body, "inferenceConfig", _own_inference(request), extra)
    _part(body, "toolConfig", _own_tools(request), extra)
    output = request.output
    if output is not None and output.kind == "json_schema" and "$fields" not in output.extra:
        inner: Block = {"schema": output.extra.get("$schema") or msgspec.json.encode(output.schema).decode()}
        if output.name is not None:
            inner["name"] = output.name
        if output.description is not None:
            inner["description"] = output.description
        merge(inner, output.extra)
        form = {"type": "json_schema", "structure": {"jsonSchema": inner}}
        _part(body, "outputConfig", {"textFormat": form}, extra)
    for name, value in (("requestMetadata", request.metadata), ("guardrailConfig", request.safety)):
        if value is not None:
            body[name] = value
    if request.service_tier is not None:
        body["serviceTier"] = {"type": request.service_tier}
    if "$fields" in extra:
        body["additionalModelRequestFields"] = extra["$fields"]
    merge(body, extra)
    if "$idle" in extra:
        merge(body, extra["$idle"])
    return body


def _part(body: Block, name: str, value: Block, extra: Extra) -> None:
    """Add an object, and what of it is in `extra`."""
    if value:
        rest = extra.get(name)
        if type(rest) is dict:
            merge(value, rest)
        body[name] = value


def _message(message: Message, notes: Notes) -> Block:
    parts = message.parts
    if any(type(part) is Thinking and part.maker not in (None, "converse") for part in parts):
        notes.lost("thinking_history")
        parts = tuple(p for p in parts if not (type(p) is Thinking and p.maker not in (None, "converse")))
    block: Block = {"role": message.role, "content": render_content(parts)}
    if message.extra:
        merge(block, message.extra)
    return block


def _own_inference(request: Request) -> Block:
    config: Block = {}
    for name, value in (
        ("maxTokens", request.max_tokens),
        ("temperature", request.temperature),
        ("topP", request.top_p),
        ("stopSequences", request.stop or None),
    ):
        if value is not None:
            config[name] = value
    return config


def _own_tools(request: Request) -> Block:
    config: Block = {}
    if request.tools:
        tools: list[Block] = []
        for tool in request.tools:
            tools.append(_own_tool(tool))
            if tool.cache is not None:
                tools.append(point(tool.cache, tool.extra))
        config["tools"] = tools
    choice = request.tool_choice
    if choice is not None:
        if choice.mode == "tool":
            config["toolChoice"] = {"tool": {"name": choice.name, **choice.extra}}
        else:
            config["toolChoice"] = {"any" if choice.mode == "required" else "auto": choice.extra}
    return config


def _own_tool(tool: Tool) -> Block:
    if tool.kind == "server":
        return {name: value for name, value in tool.extra.items() if name[:1] != "$"}
    spec: Block = {"name": tool.name}
    if tool.description is not None:
        spec["description"] = tool.description
    if tool.parameters is not None:
        spec["inputSchema"] = {"json": tool.parameters}
    if tool.strict is not None:
        spec["strict"] = tool.strict
    merge(spec, tool.extra)
    return {"toolSpec": spec}
