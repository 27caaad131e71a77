"""Tools in namespaces, and tools that come in the midst of an input, for providers that know neither.

`{"type": "namespace", "name", "tools"}` groups functions and custom tools, and an item `additional_tools` adds to those
of the request, as does `tool_search_output`, what a search for tools found (platform.openai.com/docs: …/guides/
tools-tool-search and …/api-reference/responses/create, read 2026-11-21). Elsewhere each is a tool of its own,
`namespace__name`; a call of it is told as the tool's, with its `namespace`.
"""

import copy
from collections.abc import Mapping
from typing import Any

import msgspec

from portico.dialects import retold
from portico.dialects.responses.content import UnfitError
from portico.dialects.responses.tools import read_tools
from portico.dialects.toolbox import Toolbox
from portico.errors import InvalidRequest
from portico.ir import Frame, Message, Opaque, Part, Reply, Request, Tool, ToolCall, ToolResult

Owners = Mapping[str, tuple[str, str]]
"""The namespace and the name of each tool that was in one, by the name that it has elsewhere."""

_replace = msgspec.structs.replace
_ADDING = ("additional_tools", "tool_search_output")


def spread(request: Request) -> tuple[Request, Owners] | None:
    """Return a request of this dialect with all its tools beside each other, and whose they are; None where they are.

    Raises InvalidRequest for added tools that are none.
    """
    items = [item for message in request.messages if (item := _item(message)) is not None]
    added = [item for item in items if item.get("type") in _ADDING]
    if not added and not any(_grouped(tool) for tool in request.tools):
        return None
    owners: dict[str, tuple[str, str]] = {}
    tools: dict[str, Tool] = {}
    for tool in (*request.tools, *[tool for item in added for tool in _read(item.get("tools"), "input")]):
        for each in _members(tool, owners):
            tools[each.name] = each
    messages = [_said(message, owners) for message in request.messages if not _told_alone(message)]
    return _replace(request, tools=Toolbox(tools.values()), messages=tuple(messages)), owners


def _item(message: Message) -> dict[str, Any] | None:
    """Return what stands alone in a message, where only this dialect knows it."""
    part = message.parts[0] if len(message.parts) == 1 else None
    return part.value if type(part) is Opaque and type(part.value) is dict else None


def _told_alone(message: Message) -> bool:
    """Return whether a message does nothing but add tools."""
    item = _item(message)
    return item is not None and item.get("type") == "additional_tools"


def _grouped(tool: Tool) -> bool:
    return tool.kind == "server" and tool.name == "namespace"


def _read(listed: Any, param: str) -> tuple[Tool, ...]:
    try:
        # Reading takes objects over, and these may come again.
        return read_tools(copy.deepcopy(listed))
    except (UnfitError, RecursionError) as error:
        raise InvalidRequest(f"Tools that cannot be read: {error}", param=param) from None


def _members(tool: Tool, owners: dict[str, tuple[str, str]]) -> list[Tool]:
    group = tool.extra.get("$tool") if _grouped(tool) else None
    if type(group) is not dict or type(group.get("name")) is not str:
        return [tool]
    found = []
    for each in _read(group.get("tools"), "tools"):
        name = _joined(group["name"], each.name)
        owners[name] = (group["name"], each.name)
        found.append(_replace(each, name=name))
    return found


def _joined(namespace: str, name: str) -> str:
    return f"{namespace}__{name}"


def _said(message: Message, owners: Owners) -> Message:
    if not any(part.extra and "namespace" in part.extra for part in message.parts):
        return message
    return _replace(message, parts=tuple([_named(part, owners) for part in message.parts]))


def _named(part: Part, owners: Owners) -> Part:
    namespace = part.extra.get("namespace")
    if type(namespace) is not str or not isinstance(part, ToolCall | ToolResult) or part.name is None:
        return part
    name = _joined(namespace, part.name)
    # A function alone may be its own namespace.
    return _replace(part, name=name) if name in owners else part


def told(reply: Reply, owners: Owners) -> Reply:
    """Return a reply with calls as those of tools in their namespaces."""
    return retold.reply(reply, _owned, owners)


def heard(frame: Frame, owners: Owners) -> Frame:
    """Return a frame with calls as those of tools in their namespaces; the same one where it tells of none."""
    return retold.parts(frame, _owned, owners)


def _owned(part: Part, owners: Owners) -> Part:
    if type(part) is not ToolCall or part.name not in owners:
        return part
    namespace, name = owners[part.name]
    return _replace(part, name=name, namespace=namespace)
