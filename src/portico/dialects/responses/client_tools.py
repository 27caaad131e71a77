"""OpenAI's tools that the caller runs (a shell, patches of files, a search for tools), as functions, and their calls.

https://platform.openai.com/docs/guides/ {tools-shell, tools-local-shell, tools-apply-patch, tools-tool-search} (read
2026-11-21). The API has items of their own for them; what a tool answered comes back in the next turn.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from portico.dialects.responses.content import Object
from portico.dialects.toolbox import Toolbox
from portico.ir import Message, Opaque, Part, Text, Tool, ToolCall, ToolResult

Names = Mapping[str, str]
"""The types of these tools, by the names that a provider was told."""

_replace = msgspec.structs.replace
_encode = msgspec.json.encode
_object: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def _schema(required: tuple[str, ...], **properties: Object) -> Object:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _listed(said: str) -> Object:
    return {"type": "array", "items": {"type": "string"}, "description": said}


_TIMEOUT: Object = {"type": "integer", "description": "How long it may take, in milliseconds."}
_SHELL = Tool(
    "shell",
    "Runs commands in a shell on the user's machine and returns what each wrote and its exit code.",
    _schema(
        ("commands",),
        commands=_listed("The commands, each a line for the shell, to be run one after another."),
        timeout_ms=_TIMEOUT,
        max_output_length={"type": "integer", "description": "How many characters of the output are wanted at most."},
    ),
)
_LOCAL_SHELL = Tool(
    "local_shell",
    "Runs a command on the user's machine and returns what it wrote.",
    _schema(
        ("command",),
        command=_listed('The program and its arguments (`["bash", "-lc", "ls | wc -l"]`).'),
        working_directory={"type": "string", "description": "The directory to run it in."},
        timeout_ms=_TIMEOUT,
        env={"type": "object", "additionalProperties": {"type": "string"}, "description": "Variables to set for it."},
        user={"type": "string", "description": "The user to run it as."},
    ),
)
_PATCH = Tool(
    "apply_patch",
    "Creates, changes or deletes one file of the user's. A diff has lines that begin with a space (they stay), - (they "
    "go) or + (they come), in sections that each begin with @@ and, where it helps to find the place, the line of the "
    "class or function around it. The diff of a new file has lines with + alone.",
    _schema(
        ("type", "path"),
        type={"type": "string", "enum": ["create_file", "update_file", "delete_file"], "description": "What to do."},
        path={"type": "string", "description": "The file, relative to the root of the workspace."},
        diff={"type": "string", "description": "The diff; for all but `delete_file`."},
    ),
)
_FUNCTIONS: Mapping[str, Tool] = MappingProxyType({tool.name: tool for tool in (_SHELL, _LOCAL_SHELL, _PATCH)})
_SEARCH = "tool_search"
_CALLS = {
    "shell_call": "shell",
    "local_shell_call": "local_shell",
    "apply_patch_call": "apply_patch",
    "tool_search_call": _SEARCH,
}
_RESULTS = {f"{item}_output": kind for item, kind in _CALLS.items()} | {"tool_search_output": _SEARCH}


# Asked


def as_functions(tools: tuple[Tool, ...]) -> tuple[Toolbox, Names] | None:
    """Return tools with functions in place of these, and what they are called; None where there are none."""
    if not any(tool.kind == "server" and (tool.name in _FUNCTIONS or tool.name == _SEARCH) for tool in tools):
        return None
    taken = {tool.name for tool in tools if tool.kind != "server"}
    names: dict[str, str] = {}
    found = []
    for tool in tools:
        function = _function(tool)
        if function is not None:
            name = function.name
            while name in taken:
                name += "_"
            taken.add(name)
            names[name] = function.name
            function = _replace(function, name=name)
        found.append(function or tool)
    return (Toolbox(found), MappingProxyType(names)) if names else None


def _function(tool: Tool) -> Tool | None:
    if tool.kind == "server" and tool.name == _SEARCH:
        return _search(tool.extra.get("$tool", {}))
    function = _FUNCTIONS.get(tool.name) if tool.kind == "server" else None
    if function is None:
        return None
    settings = tool.extra.get("$tool", {})
    place = settings.get("environment")
    if place is not None and not _at_callers(place):
        return None
    left = {name: value for name, value in settings.items() if name != "type" and value != {"type": "local"}}
    return _replace(function, extra=left) if left else function


def _search(settings: Object) -> Tool | None:
    """Return a search for tools that the caller makes: it says itself what it takes."""
    description, parameters = settings.get("description"), settings.get("parameters")
    if settings.get("execution") != "client" or type(parameters) is not dict:
        return None
    return Tool(_SEARCH, description if type(description) is str else None, parameters)


def _at_callers(place: Any) -> bool:
    """Return whether commands are run by the caller, and not in a container at OpenAI."""
    return type(place) is dict and place.get("type", "local") == "local"


def recalled(messages: tuple[Message, ...], names: Names) -> tuple[Message, ...]:
    """Return messages with the items of these tools as calls and answers; the same where there are none."""
    for message in messages:
        for part in message.parts:
            if type(part) is Opaque and type(part.value) is dict and _known(part.value):
                return _Recalled({kind: name for name, kind in names.items()}).messages(messages)
    return messages


def _known(item: Object) -> bool:
    kind = item.get("type")
    return type(kind) is str and (kind in _CALLS or kind in _RESULTS)


class _Recalled:
    """Makes calls and answers of items. `told` is what each type of tool is called."""

    def __init__(self, told: Mapping[str, str]) -> None:
        self._told = told
        self._calls: dict[str, tuple[str, str]] = {}

    def messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple([self._message(message) for message in messages])

    def _message(self, message: Message) -> Message:
        if not any(type(part) is Opaque for part in message.parts):
            return message
        parts = tuple([self._part(part) for part in message.parts])
        if message.role != "assistant" and len(parts) == 1 and type(parts[0]) is ToolResult:
            return Message("tool", parts)
        return _replace(message, parts=parts)

    def _part(self, part: Part) -> Part:
        if type(part) is not Opaque or type(part.value) is not dict:
            return part
        item = part.value
        kind = item.get("type")
        made: Part | None = None
        if type(kind) is str and kind in _CALLS:
            made = self._call(item, _CALLS[kind])
        elif type(kind) is str and kind in _RESULTS:
            made = self._result(item, _RESULTS[kind])
        return made or part

    def _call(self, item: Object, kind: str) -> ToolCall | None:
        asked = item.get(_ASKED.get(kind, "action"))
        place = item.get("environment")
        call_id = item.get("call_id", item.get("id"))
        if type(asked) is not dict or type(call_id) is not str or not (place is None or _at_callers(place)):
            return None
        if kind == _SEARCH and item.get("execution") != "client":
            return None
        name = self._told.get(kind, kind)
        # An answer names the call, or its item.
        for known in (call_id, item.get("id")):
            if type(known) is str:
                self._calls[known] = (call_id, name)
        left_out = ("type",) if kind == "local_shell" else ()
        arguments = {key: value for key, value in asked.items() if value is not None and key not in left_out}
        return ToolCall(call_id, name, _encode(arguments).decode())

    def _result(self, item: Object, kind: str) -> ToolResult | None:
        named = item.get("call_id", item.get("id"))
        if type(named) is not str or named not in self._calls:
            return None
        call_id, name = self._calls[named]
        output = _found(item.get("tools")) if kind == _SEARCH else item.get("output")
        if output is None:
            output = item.get("status") or "completed"
        text = output if type(output) is str else _encode(output).decode()
        failed = kind == "apply_patch" and item.get("status") == "failed"
        return ToolResult(call_id, name, (Text(text),), error=True if failed else None)


_ASKED = {"apply_patch": "operation", _SEARCH: "arguments"}


def _found(tools: Any) -> str:
    """Say which tools a search has found; they are told of beside the others."""
    names = [tool.get("name") for tool in tools if type(tool) is dict] if type(tools) is list else []
    said = ", ".join([name for name in names if type(name) is str])
    return f"Tools that can be called now: {said}" if said else "No tools were found."


# Told


def told(part: Part, names: Names) -> Part:
    """Return a part, where it is a call of such a tool as one by its type."""
    if type(part) is not ToolCall or part.kind != "function" or part.name not in names:
        return part
    kind = names[part.name]
    return _replace(part, name=kind, server_type=kind)


def call_item(call: ToolCall, item_id: str, arguments: str) -> Object | None:
    """Return the item of a call that `told` made; None where its arguments are not what the tool takes."""
    try:
        asked = _object.decode(arguments)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    head = {"id": item_id, "call_id": call.id, "status": "completed"}
    if call.server_type == _SEARCH:
        return {**head, "type": "tool_search_call", "execution": "client", "arguments": asked}
    if call.server_type == "shell":
        if not _texts(asked.get("commands")):
            return None
        action = {"timeout_ms": None, "max_output_length": None, **_picked(asked, _SHELL)}
        return {**head, "type": "shell_call", "action": action, "environment": {"type": "local"}}
    if call.server_type == "local_shell":
        if not _texts(asked.get("command")):
            return None
        action = {"type": "exec", "env": {}, **_picked(asked, _LOCAL_SHELL)}
        return {**head, "type": "local_shell_call", "action": action}
    operation = _operation(asked)
    return None if operation is None else {**head, "type": "apply_patch_call", "operation": operation}


def item_prefix(call: ToolCall) -> str:
    """Return what the id of such a call's item begins with."""
    return {"shell": "sh_", "local_shell": "lsh_", _SEARCH: "tsc_"}.get(call.server_type or "", "apc_")


def _picked(asked: Object, tool: Tool) -> Object:
    return {name: asked[name] for name in tool.parameters["properties"] if asked.get(name) is not None}


def _texts(listed: Any) -> bool:
    return type(listed) is list and bool(listed) and all(type(each) is str for each in listed)


def _operation(asked: Object) -> Object | None:
    kind, path, diff = asked.get("type"), asked.get("path"), asked.get("diff")
    if type(path) is not str:
        return None
    if kind == "delete_file":
        return {"type": kind, "path": path}
    if kind not in ("create_file", "update_file") or type(diff) is not str:
        return None
    return {"type": kind, "path": path, "diff": diff}
