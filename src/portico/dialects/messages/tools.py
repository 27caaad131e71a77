"""Tools of another dialect, and the choice among them, as Anthropic takes them.

docs.anthropic.com/en/build-with-claude/tool-use and …/agents-and-tools/tool-use (read 2026-11-20).
"""

from collections.abc import Iterable
from typing import Any

from portico.dialects.claude import Abilities, abilities, fit, input_schema
from portico.dialects.crossing import Notes, Target
from portico.dialects.messages.blocks import Block
from portico.dialects.messages.client_tools import native
from portico.dialects.messages.writing import mark
from portico.dialects.searching import note_lost, note_settings, search_of
from portico.dialects.toolbox import note_fields, told
from portico.ir import Request, Tool

_STRICT_LIMIT = 20
_SERVER = {
    "web_search": ("web_search_20250305", "web_search"),
    "code_execution": ("code_execution_20250825", "code_execution"),
    "code_interpreter": ("code_execution_20250825", "code_execution"),
    "web_fetch": ("web_fetch_20250910", "web_fetch"),
    "url_context": ("web_fetch_20250910", "web_fetch"),
}


def has_hosted(tool: Tool) -> bool:
    """Return whether Anthropic has a tool of this name."""
    return tool.name in _SERVER or native(tool)


def render_tools(request: Request, target: Target, notes: Notes) -> Any:
    """Write the tools; of a choice among some, these alone. None where there are none."""
    choice = request.tool_choice
    tools = request.tools
    if not tools:
        return None
    if choice is not None and choice.mode == "allowed":
        tools = tuple([tool for tool in tools if tool.name in choice.names])
    model = abilities(target.model)
    strict = sum([tool.strict is True for tool in request.tools]) <= _STRICT_LIMIT
    whom = ("messages", target.model, strict)
    made = told(tools, whom, notes, lambda heard: {"tools": [_tool(tool, model, heard, strict) for tool in tools]})
    return made["tools"] if tools else None


def _tool(tool: Tool, model: Abilities, notes: Notes, strict: bool) -> Block:
    if tool.kind == "server":
        return _server(tool, notes)
    if tool.extra:
        note_fields(tool, notes)
    block: Block = {"name": tool.name}
    if tool.description:
        block["description"] = tool.description
    schema = input_schema(tool.parameters, notes, tool.name)
    if tool.strict:
        fitted = fit(schema) if strict and model.schema else None
        if fitted is not None:
            schema, block["strict"] = fitted, True
        else:
            notes.lost("tool_strict", tool.name)
    block["input_schema"] = schema
    mark(block, tool.cache)
    return block


def _server(tool: Tool, notes: Notes) -> Block:
    if native(tool):
        # In Anthropic's own words, which a caller of Chat Completions may use.
        return dict(tool.extra)
    kind, name = _SERVER[tool.name]
    block: Block = {"type": kind, "name": name}
    if name == "web_search":
        block.update(_search(tool, notes))
    else:
        note_settings(tool, notes)
    mark(block, tool.cache)
    return block


def _search(tool: Tool, notes: Notes) -> Block:
    """Write the settings of a search. Of domains the API takes those that are allowed, or those that are not."""
    search = search_of(tool)
    found: Block = {}
    if search.place:
        found["user_location"] = {"type": "approximate", **search.place}
    if search.allowed:
        found["allowed_domains"] = search.allowed
    elif search.blocked:
        found["blocked_domains"] = search.blocked
    if search.max_uses is not None:
        found["max_uses"] = search.max_uses
    note_lost(tool, search, notes, "place", "allowed", "max_uses", *([] if search.allowed else ["blocked"]))
    return found


def declared(names: Iterable[str]) -> list[Block]:
    """Declare tools that a conversation used and the request did not name: the API asks for them."""
    return [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]


def choice_of(request: Request) -> Block | None:
    """Write the choice among the tools, which there are."""
    choice = request.tool_choice
    if choice is None:
        block: Block | None = None
    elif choice.mode == "tool":
        block = {"type": "tool", "name": choice.name}
    elif choice.mode == "allowed":
        block = {"type": "any" if choice.required else "auto"}
    else:
        block = {"type": {"auto": "auto", "none": "none", "required": "any"}[choice.mode]}
    if request.parallel_tools is False:
        block = block or {"type": "auto"}
        if block["type"] != "none":
            block["disable_parallel_tool_use"] = True
    return block
