"""Tools and the choice among them, as the Responses API writes them, and ours.

A function is flat here: `{"type": "function", "name", "description", "parameters", "strict"}`. The API takes a function
whose `strict` is absent as strict; other dialects mean the contrary, so that it is always written for their tools.
"""

from typing import Any, Literal

from portico.dialects.crossing import Notes
from portico.dialects.openai import fits_strict
from portico.dialects.responses.content import Object, UnfitError, remainder, take, written
from portico.dialects.searching import note_lost, note_settings, search_of
from portico.dialects.toolbox import Toolbox, note_fields
from portico.ir import Request, Tool, ToolChoice

_SERVER_NAMES = {
    "code_interpreter": "code_execution",
    "computer_use_preview": "computer",
    "computer_use": "computer",
}
_SERVER_TYPES: dict[str, Object] = {
    "web_search": {"type": "web_search"},
    "code_execution": {"type": "code_interpreter", "container": {"type": "auto"}},
    "image_generation": {"type": "image_generation"},
}
_MODES: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "required": "required"}


def server_name(kind: str) -> str:
    """Return our word for a built-in tool's type."""
    if kind.startswith("web_search"):
        return "web_search"
    return _SERVER_NAMES.get(kind, kind)


# Wire to ours


def read_tools(listed: object) -> Toolbox:
    """Read the tools of a request. Raises UnfitError. Consumes the objects."""
    if type(listed) is not list:
        raise UnfitError("Tools are a list")
    return Toolbox([_read_tool(value, at) for at, value in enumerate(listed)])


def _read_tool(value: object, at: int) -> Tool:
    if type(value) is not dict:
        raise UnfitError("A tool is an object", f"[{at}]")
    kind = value.get("type")
    if type(kind) is not str:
        raise UnfitError("The type of a tool is a string", f"[{at}].type")
    if kind != "function" and kind != "custom":
        return Tool(server_name(kind), kind="server", extra={"$tool": value})
    name = take(value, "name")
    if name is None:
        raise UnfitError("The name of a tool is a string", f"[{at}].name")
    del value["type"]
    description = take(value, "description")
    if kind == "custom":
        form = value.get("format")
        if type(form) is dict:
            # What the input looks like; Chat Completions' parser gives it in this form as well.
            del value["format"]
            return Tool(name, description, form, kind="custom", extra=remainder(value))
        return Tool(name, description, kind="custom", extra=remainder(value))
    parameters = value.get("parameters")
    if parameters is not None:
        if type(parameters) is not dict:
            raise UnfitError("The parameters of a function are a JSON Schema", f"[{at}].parameters")
        del value["parameters"]
    strict = value.get("strict")
    if strict is not None:
        if type(strict) is not bool:
            raise UnfitError("Whether a function is strict is a boolean", f"[{at}].strict")
        del value["strict"]
    return Tool(name, description, parameters, strict, extra=remainder(value))


def read_choice(value: object) -> ToolChoice:
    """Read a tool choice. Raises UnfitError."""
    if type(value) is str:
        if value not in _MODES:
            raise UnfitError(f"{value!r} is no tool choice: use auto, none, required or an object")
        return ToolChoice(_MODES[value])
    if type(value) is not dict:
        raise UnfitError("A tool choice is a string or an object")
    kind = value.get("type")
    if kind in ("function", "custom") and type(value.get("name")) is str:
        return ToolChoice("tool", value["name"], extra={"$choice": value} if kind == "custom" or len(value) > 2 else {})
    inner = value.get(kind) if kind in ("function", "custom") else None
    if type(inner) is dict and type(inner.get("name")) is str:
        # As Chat Completions has it.
        return ToolChoice("tool", inner["name"], extra={"$choice": value})
    if kind == "allowed_tools" and type(value.get("tools")) is list:
        names = [
            tool["name"] if type(tool.get("name")) is str else server_name(str(tool.get("type")))
            for tool in value["tools"]
            if type(tool) is dict
        ]
        return ToolChoice(
            "allowed", names=tuple(names), required=value.get("mode") == "required", extra={"$choice": value}
        )
    if type(kind) is not str:
        raise UnfitError("The type of a tool choice is a string", ".type")
    return ToolChoice("tool", server_name(kind), extra={"$choice": value})


# Ours to wire


def write_own_tools(tools: tuple[Tool, ...]) -> list[Object]:
    """Write tools that this dialect's parser read."""
    return [_write_own_tool(tool) for tool in tools]


def _write_own_tool(tool: Tool) -> Object:
    extra = tool.extra
    if "$tool" in extra:
        return extra["$tool"]  # type: ignore[no-any-return]  # what read_tools put there
    value: Object = {"type": tool.kind, "name": tool.name}
    if tool.description is not None:
        value["description"] = tool.description
    if tool.parameters is not None:
        value["format" if tool.kind == "custom" else "parameters"] = tool.parameters
    if tool.strict is not None:
        value["strict"] = tool.strict
    if extra:
        value.update(written(extra))
    return value


def has_hosted(tool: Tool) -> bool:
    """Return whether OpenAI runs a tool of this name, that needs nothing kept there."""
    return tool.name in _SERVER_TYPES


def write_tools(tools: tuple[Tool, ...], notes: Notes) -> list[Object]:
    """Write another dialect's tools; of those that a provider runs, such as the API has too."""
    out: list[Object] = []
    for tool in tools:
        if tool.cache is not None:
            notes.lost("cache_mark", tool.name)
        if tool.kind == "server":
            out.append(_write_server(tool, notes))
            continue
        if tool.extra:
            note_fields(tool, notes)
        value: Object = {"type": tool.kind, "name": tool.name}
        if tool.description:
            value["description"] = tool.description
        if tool.kind == "custom":
            if tool.parameters is not None:
                value["format"] = tool.parameters
        else:
            value["parameters"] = tool.parameters or {"type": "object", "properties": {}}
            value["strict"] = bool(tool.strict and fits_strict(tool.parameters or None))
            if value["strict"] and not tool.parameters:
                value["parameters"] = {"type": "object", "properties": {}, "additionalProperties": False}
            if tool.strict and not value["strict"]:
                notes.lost("tool_strict", tool.name)
        out.append(value)
    return out


def _write_server(tool: Tool, notes: Notes) -> Object:
    value = dict(_SERVER_TYPES[tool.name])
    if tool.name != "web_search":
        note_settings(tool, notes)
        return value
    search = search_of(tool)
    filters = {"allowed_domains": search.allowed, "blocked_domains": search.blocked}
    filters = {name: domains for name, domains in filters.items() if domains}
    if filters:
        value["filters"] = filters
    if search.place:
        value["user_location"] = {"type": "approximate", **search.place}
    if search.context_size is not None:
        value["search_context_size"] = search.context_size
    note_lost(tool, search, notes, "allowed", "blocked", "place", "context_size")
    return value


def write_choice(choice: ToolChoice, request: Request) -> Any:
    """Write a tool choice; one of a single tool says whether it is a function, a custom or a built-in one."""
    own = request.dialect == "responses"
    if own and "$choice" in choice.extra:
        return choice.extra["$choice"]
    if choice.mode == "tool":
        return _named(choice.name or "", request)
    if choice.mode == "allowed":
        return {
            "type": "allowed_tools",
            "mode": "required" if choice.required else "auto",
            "tools": [_named(name, request) for name in choice.names],
        }
    return choice.mode


def _named(name: str, request: Request) -> Object:
    for tool in request.tools:
        if tool.name == name:
            if tool.kind == "custom":
                return {"type": "custom", "name": name}
            if tool.kind == "server" and name in _SERVER_TYPES:
                return {"type": _SERVER_TYPES[name]["type"]}
            break
    return {"type": "function", "name": name}
