"""Names of tools that a provider would refuse, made into names that it takes, and told back as they were.

Each API has its own rule (read 2026-11-20): OpenAI's and Bedrock's names have 64 letters, digits, `_` and `-` at most,
Anthropic's 128 (docs.anthropic.com/en/docs/agents-and-tools/tool-use); Gemini's may have `.` and `:` too, and begin
with a letter or `_` (ai.google.dev/api/caching#FunctionDeclaration). Another name always becomes the same one, so that
a conversation stays the same from turn to turn.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from portico.dialects import retold
from portico.dialects.toolbox import Toolbox
from portico.hashing import blake2b
from portico.ir import Frame, Message, Part, Reply, Request, Tool, ToolCall, ToolResult
from portico.types import Dialect

Names = Mapping[str, str]
"""What tools are called, by what the provider was told."""

_replace = msgspec.structs.replace
_SIZES: Mapping[Dialect, int] = MappingProxyType(
    {"chat": 64, "responses": 64, "messages": 128, "gemini": 64, "converse": 64, "cohere": 64}
)
_LEGAL: Mapping[Dialect, re.Pattern[str]] = MappingProxyType(
    {dialect: re.compile(rf"[\w-]{{1,{size}}}", re.A) for dialect, size in _SIZES.items()}
    | {"gemini": re.compile(r"[a-zA-Z_][\w.:-]{0,63}", re.A)}
)
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]+")
_MARK_SIZE = 4
"""Bytes of the hash that tells two long names apart."""


def aliased(request: Request, dialect: Dialect) -> tuple[Request, Names] | None:
    """Return the request with names that a provider takes, and these names; None where it takes all as they are."""
    tools = request.tools
    if type(tools) is not Toolbox:
        found = _aliased(tools, dialect)
    elif dialect in tools.aliased:
        found = tools.aliased[dialect]
    else:
        found = tools.aliased[dialect] = _aliased(tools, dialect)
    if found is None:
        return None
    names, tools = found
    return _told(request, names, tools, dialect), names


def _aliased(tools: tuple[Tool, ...], dialect: Dialect) -> tuple[Names, Toolbox] | None:
    legal = _LEGAL.get(dialect)
    if legal is None:
        return None
    own = {tool.name for tool in tools if tool.kind != "server" and not legal.fullmatch(tool.name)}
    if not own:
        return None
    names = {renamed(name, dialect): name for name in own}
    return names, Toolbox(
        [_replace(tool, name=renamed(tool.name, dialect)) if tool.name in own else tool for tool in tools],
        tools.beside if type(tools) is Toolbox else None,
    )


def renamed(name: str, dialect: Dialect) -> str:
    """Return the name under which a provider is told of a tool: its own where it takes that."""
    if _LEGAL[dialect].fullmatch(name):
        return name
    mark = blake2b(name.encode("utf-8", "replace"), digest_size=_MARK_SIZE).hexdigest()
    kept = _ILLEGAL.sub("_", name)[: _SIZES[dialect] - len(mark) - 2]
    if not kept[:1].isalpha() and kept[:1] != "_":
        kept = "_" + kept
    return f"{kept}_{mark}"


def _told(request: Request, names: Names, tools: Toolbox, dialect: Dialect) -> Request:
    choice = request.tool_choice
    if choice is not None:
        aliases = {own: alias for alias, own in names.items()}
        choice = _replace(
            choice,
            name=aliases.get(choice.name, choice.name) if choice.name is not None else None,
            names=tuple([aliases.get(name, name) for name in choice.names]),
        )
    messages = tuple([_said(message, dialect) for message in request.messages])
    return _replace(request, tools=tools, tool_choice=choice, messages=messages)


def _said(message: Message, dialect: Dialect) -> Message:
    if not any(type(part) is ToolCall or type(part) is ToolResult for part in message.parts):
        return message
    return _replace(message, parts=tuple([_named(part, dialect) for part in message.parts]))


def _named(part: Part, dialect: Dialect) -> Part:
    if type(part) is ToolCall and part.kind != "server":
        return _replace(part, name=renamed(part.name, dialect))
    if type(part) is ToolResult and part.name is not None and not part.server:
        return _replace(part, name=renamed(part.name, dialect))
    return part


def restored(reply: Reply, names: Names) -> Reply:
    """Return a reply with the names that the caller knows."""
    return retold.reply(reply, _restored, names)


def heard(frame: Frame, names: Names) -> Frame:
    """Return a frame with the names that the caller knows; the same one where it has none."""
    return retold.parts(frame, _restored, names)


def _restored(part: Part, names: Names) -> Part:
    return _replace(part, name=names[part.name]) if type(part) is ToolCall and part.name in names else part
