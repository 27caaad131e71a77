"""Tools that a provider runs itself, where another provider is asked that has none such: left out, or refused.

An agent sends its provider's search along with all its own tools, whether or not it will be used: without it the agent
still works, so the call goes on and the caller is told. A call with no other tool, or with a choice of this one, was
made for it: an answer without it would be made up, and is none.
"""

from collections.abc import Callable

import msgspec

from portico.dialects.crossing import Notes
from portico.dialects.searching import offline
from portico.dialects.toolbox import Toolbox, made_of
from portico.ir import Request, Tool, ToolChoice

_replace = msgspec.structs.replace


def kept(request: Request, notes: Notes, has: Callable[[Tool], bool]) -> Request:
    """Return a request without the tools that this provider lacks; the same one where it `has` all.

    Raises InvalidRequest where the call is for one of them.
    """
    lost = [tool for tool in request.tools if tool.kind == "server" and (offline(tool) or not has(tool))]
    if not lost:
        return request
    left = made_of(
        request.tools,
        ("hosted", tuple(map(id, lost))),
        lambda: Toolbox(
            [tool for tool in request.tools if not any(tool is each for each in lost)],
            request.tools.beside if type(request.tools) is Toolbox else None,
        ),
    )
    choice = request.tool_choice
    if choice is None or choice.mode != "none":
        choice = _chosen(choice, lost, left, notes)
    for tool in lost:
        notes.lost("server_tool", called(tool))
    return _replace(request, tools=left, tool_choice=choice)


def called(tool: Tool) -> str:
    """Return what its caller calls a tool."""
    own = tool.extra.get("$tool", tool.extra)
    name = own.get("name") or own.get("server_label") if isinstance(own, dict) else None
    return name if type(name) is str and name else tool.name


def _chosen(choice: ToolChoice | None, lost: list[Tool], left: tuple[Tool, ...], notes: Notes) -> ToolChoice | None:
    """Return the choice among the tools that are left."""
    names = {name for tool in lost for name in (tool.name, called(tool))} - {tool.name for tool in left}
    if choice is not None and choice.mode == "allowed":
        allowed = tuple([name for name in choice.names if name not in names])
        if choice.names and not allowed:
            notes.lost("server_tool_needed", ", ".join(choice.names))
        return _replace(choice, names=allowed) if allowed != choice.names else choice
    if not left:
        notes.lost("server_tool_needed", ", ".join(map(called, lost)))
    if choice is not None and choice.mode == "tool" and choice.name in names:
        notes.lost("server_tool_needed", choice.name)
    return choice
