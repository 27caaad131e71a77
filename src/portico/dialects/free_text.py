"""Tools with free text as their input, for providers whose tools take objects: a function with one text to it.

`asked` makes such functions of a request's custom tools; `told` and `Teller` make custom calls of what a provider calls
of them, in a reply or a stream (platform.openai.com/docs/guides/function-calling#custom-tools, read 2026-11-20).
"""

from typing import Any

import msgspec

from portico.dialects import retold
from portico.dialects.crossing import Notes, Target
from portico.dialects.toolbox import Toolbox, made_of
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Finished,
    Frame,
    Part,
    PartEnded,
    PartStarted,
    Reply,
    Request,
    Tool,
    ToolCall,
)
from portico.types import Dialect

Names = frozenset[str]
"""The custom tools of a request."""

HAVE_THEM: frozenset[Dialect] = frozenset(("chat", "responses"))
"""Dialects with such tools of their own. Of the providers of Chat Completions few have them (`takes`)."""

_FIELD = "input"
_replace = msgspec.structs.replace
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


def takes(target: Target) -> bool:
    """Return whether a provider takes such tools."""
    return target.dialect in HAVE_THEM and (target.dialect != "chat" or "custom_tools" in target.quirks)


def asked(request: Request, notes: Notes) -> tuple[Request, Names] | None:
    """Return the request with functions in place of its custom tools, and their names; None where it has none."""
    found = made_of(request.tools, "free_text", lambda: _asked(request.tools))
    if found is None:
        return None
    tools, names, formed = found
    for name in formed:
        notes.lost("custom_tool_format", name)
    return _replace(request, tools=tools), names


def _asked(tools: tuple[Tool, ...]) -> tuple[Toolbox, Names, list[str]] | None:
    """Return the tools with functions in place of custom ones, the names of these, and of those with a grammar."""
    custom = [tool for tool in tools if tool.kind == "custom"]
    if not custom:
        return None
    made = Toolbox([_function(tool) if tool.kind == "custom" else tool for tool in tools])
    return made, frozenset([tool.name for tool in custom]), [tool.name for tool in custom if _formed(tool.parameters)]


def _formed(form: Any) -> bool:
    return isinstance(form, dict) and form.get("type", "text") != "text"


def _function(tool: Tool) -> Tool:
    """Write a custom tool as a function; the grammar of its input is told in words."""
    said = [tool.description] if tool.description else []
    form = tool.parameters
    if _formed(form):
        said.append(f"The input is of this form: {_encode(form).decode()}")
    text: dict[str, Any] = {"type": "string", "description": "The whole input, as it is."}
    parameters = {"type": "object", "properties": {_FIELD: text}, "required": [_FIELD], "additionalProperties": False}
    return Tool(name=tool.name, description="\n\n".join(said) or None, parameters=parameters, cache=tool.cache)


def told(reply: Reply, names: Names) -> Reply:
    """Return a reply with calls of these tools as custom ones."""
    return retold.reply(reply, _custom, names)


def _custom(part: Part, names: Names) -> Part:
    if type(part) is not ToolCall or part.name not in names or part.kind != "function":
        return part
    return _replace(part, kind="custom", arguments=_text(part.arguments))


def _text(arguments: str) -> str:
    """Return the text that arguments hold; what is no such object is the text itself."""
    try:
        value = _decode(arguments)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return arguments
    inner = value.get(_FIELD) if isinstance(value, dict) else None
    return inner if isinstance(inner, str) else arguments


class Teller:
    """Makes custom calls of the calls in a stream. What such a call is made with is told when it is whole."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._held: dict[tuple[int, int], list[str]] = {}

    def feed(self, frame: Frame) -> Frame:
        """Return a frame, changed where it tells of such a call."""
        return retold.events(frame, self._see)

    def _see(self, event: AnyEvent) -> tuple[AnyEvent, ...]:
        if type(event) is PartStarted:
            part = event.part
            if type(part) is not ToolCall or part.name not in self._names or part.kind != "function":
                return (event,)
            self._held[event.choice, event.index] = [part.arguments] if part.arguments != "{}" else []
            return (_replace(event, part=_replace(part, kind="custom", arguments="")),)
        if type(event) is ArgumentsDelta and (event.choice, event.index) in self._held:
            self._held[event.choice, event.index].append(event.text)
            return ()
        if type(event) is PartEnded and (event.choice, event.index) in self._held:
            whole = _custom(event.part, self._names) if event.part is not None else None
            return (*self._flush((event.choice, event.index), whole), _replace(event, part=whole))
        if type(event) is Finished:
            return (*[each for place in tuple(self._held) for each in self._flush(place, None)], event)
        return (event,)

    def _flush(self, place: tuple[int, int], whole: Part | None) -> tuple[AnyEvent, ...]:
        text = _text("".join(self._held.pop(place)))
        if not text and type(whole) is ToolCall:
            text = whole.arguments
        return (ArgumentsDelta(choice=place[0], index=place[1], text=text),) if text else ()
