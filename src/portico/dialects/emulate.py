"""JSON by a schema where a provider has no such mode: a tool that must be called, whose arguments are the answer.

`forced` adds the tool to a request; `unwrap` and `Unwrapper` make the call in a reply or a stream the text that the
caller asked for. The tool is known again by its name, so nothing is kept between the two.
"""

import re
from typing import Any

import msgspec

from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Choice,
    Finished,
    Frame,
    Part,
    PartEnded,
    PartStarted,
    Reply,
    Request,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolChoice,
)

ANSWER = "portico_json_answer"
"""The tool whose arguments are the answer."""
VALUE = "portico_json_value"
"""The tool whose argument `value` is the answer: for a schema that is not an object's."""

_replace = msgspec.structs.replace
_decoder = msgspec.json.Decoder()
_HEAD = re.compile(r'\s*\{\s*"value"\s*:\s*')
_HEAD_LIMIT = 64


def forced(request: Request) -> Request:
    """Return the request with the tool for its `output`; beside tools of its own, one of them all must be called."""
    output = request.output
    assert output is not None
    schema: dict[str, Any] = output.schema if isinstance(output.schema, dict) else {"type": "object"}
    name = ANSWER
    if schema.get("type", "object") != "object":
        name = VALUE
        inner = schema
        schema = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
        # References count from the root of the whole schema.
        for defined in ("$defs", "definitions"):
            if defined in inner:
                schema[defined] = inner[defined]
    tool = Tool(name=name, description=output.description or "Give the answer, in this form.", parameters=schema)
    barred = request.tool_choice is not None and request.tool_choice.mode == "none"
    others = () if barred else request.tools
    choice = ToolChoice(mode="required") if others else ToolChoice(mode="tool", name=name)
    return _replace(request, output=None, tools=(*request.tools, tool), tool_choice=choice)


def emulated(call: ToolCall) -> bool:
    """Return whether a call is the answer itself."""
    return call.name == ANSWER or call.name == VALUE


def unwrap(reply: Reply) -> Reply:
    """Return the reply with such calls as text; the same object where there is none."""
    if not any(type(part) is ToolCall and emulated(part) for choice in reply.choices for part in choice.parts):
        return reply
    return _replace(reply, choices=tuple(map(_unwrap_choice, reply.choices)))


def _unwrap_choice(choice: Choice) -> Choice:
    parts: list[Part] = []
    for part in choice.parts:
        if type(part) is ToolCall and emulated(part):
            parts.append(Text(text=_answer(part)))
        else:
            parts.append(part)
    calls = any(type(part) is ToolCall and part.kind != "server" for part in parts)
    if choice.finish != "tool_calls" or calls:
        return _replace(choice, parts=tuple(parts))
    return _replace(choice, parts=tuple(parts), finish="stop", finish_raw=None)


def _answer(call: ToolCall) -> str:
    if call.name == ANSWER:
        return call.arguments
    try:
        value = _decoder.decode(call.arguments)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return call.arguments
    return (
        msgspec.json.encode(value["value"]).decode() if isinstance(value, dict) and "value" in value else call.arguments
    )


class Unwrapper:
    """Makes such calls in a stream text, delta by delta."""

    def __init__(self) -> None:
        self._strips: dict[tuple[int, int], _Strip | None] = {}
        self._calls = 0

    def feed(self, frame: Frame) -> Frame:
        """Return the frame, changed where it tells of such a call."""
        events: list[AnyEvent] = []
        changed = False
        for event in frame.events:
            told = self._see(event)
            changed = changed or told != (event,)
            events.extend(told)
        return _replace(frame, events=tuple(events), extra={}) if changed else frame

    def _see(self, event: AnyEvent) -> tuple[AnyEvent, ...]:
        if type(event) is PartStarted:
            call = event.part
            if type(call) is not ToolCall:
                return (event,)
            if not emulated(call):
                self._calls += call.kind != "server"
                return (event,)
            strip = _Strip() if call.name == VALUE else None
            self._strips[event.choice, event.index] = strip
            started = PartStarted(choice=event.choice, index=event.index, part=Text(text=""))
            first = call.arguments if call.arguments != "{}" else ""
            text = strip.feed(first) if strip is not None else first
            return (started, TextDelta(choice=event.choice, index=event.index, text=text)) if text else (started,)
        if type(event) is ArgumentsDelta and (event.choice, event.index) in self._strips:
            strip = self._strips[event.choice, event.index]
            text = strip.feed(event.text) if strip is not None else event.text
            return (TextDelta(choice=event.choice, index=event.index, text=text),) if text else ()
        if type(event) is PartEnded and event.part is not None and (event.choice, event.index) in self._strips:
            part = event.part
            return (_replace(event, part=Text(text=_answer(part)) if type(part) is ToolCall else None),)
        if type(event) is Finished and event.finish == "tool_calls" and self._strips and not self._calls:
            return (_replace(event, finish="stop", finish_raw=None),)
        return (event,)


class _Strip:
    """Takes `{"value": ` before, and the last brace behind, away from JSON that comes in pieces."""

    def __init__(self) -> None:
        self._head: str | None = ""
        self._held = ""

    def feed(self, text: str) -> str:
        if self._head is not None:
            self._head += text
            found = _HEAD.match(self._head)
            if found is None and len(self._head) < _HEAD_LIMIT:
                return ""
            text = self._head[found.end() :] if found is not None else self._head
            self._head = None
        text = self._held + text
        # The last brace and the space about it may be the end of what holds the value.
        end = text.rfind("}")
        if end < 0 or text[end + 1 :].strip():
            self._held = ""
            return text
        end = len(text[:end].rstrip())
        self._held = text[end:]
        return text[:end]
