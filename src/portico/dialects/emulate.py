"""JSON by a schema where a provider has no such mode, or takes the schemas of objects alone.

Where it has no such mode, `forced` adds a tool that must be called, whose arguments are the answer; it is known again
by its name. Where it takes objects alone, `boxed` puts the schema into one with a single `value`. `unwrap` and
`Unwrapper` make of either, in a reply or a stream, the text that the caller asked for.
"""

import re
from typing import Any

import msgspec

from portico.dialects import retold
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Choice,
    Finished,
    Frame,
    Output,
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
from portico.types import Dialect

ANSWER = "portico_json_answer"
"""The tool whose arguments are the answer."""
VALUE = "portico_json_value"
"""The tool whose argument `value` is the answer: for a schema that is not an object's."""

_replace = msgspec.structs.replace
_decoder = msgspec.json.Decoder()
_HEAD = re.compile(r'\s*\{\s*"value"\s*:\s*')
_HEAD_LIMIT = 64
_MARKS = re.compile(r'["\\{}\[\],]')
# Whose schema mode takes objects alone (platform.openai.com/docs/guides/structured-outputs,
# docs.cohere.com/docs/structured-outputs; read 2026-11-20).
_OBJECTS_ALONE: frozenset[Dialect] = frozenset(("chat", "responses", "cohere"))
_ENUM = "text/x.enum"


def forced(request: Request) -> Request:
    """Return the request with the tool for its `output`; beside tools of its own, one of them all must be called."""
    output = request.output
    assert output is not None
    schema: dict[str, Any] = output.schema if isinstance(output.schema, dict) else {"type": "object"}
    name = ANSWER
    if not _of_object(schema):
        name = VALUE
        schema = _box(schema)
    tool = Tool(name=name, description=output.description or "Give the answer, in this form.", parameters=schema)
    barred = request.tool_choice is not None and request.tool_choice.mode == "none"
    others = () if barred else request.tools
    choice = ToolChoice(mode="required") if others else ToolChoice(mode="tool", name=name)
    return _replace(request, output=None, tools=(*request.tools, tool), tool_choice=choice)


def _of_object(schema: dict[str, Any]) -> bool:
    """Return whether a schema is an object's at its root: neither another type's, nor a choice or a reference there."""
    if not schema.keys().isdisjoint(_CHOICES):
        return False
    return bool(schema.get("type", "object") == "object")


_CHOICES = frozenset(("anyOf", "oneOf", "allOf", "$ref", "enum", "const"))


def _box(inner: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
    # References count from the root of the whole schema.
    for defined in ("$defs", "definitions"):
        if defined in inner:
            schema[defined] = inner[defined]
    return schema


def boxed(request: Request, dialect: Dialect) -> Request | None:
    """Return a request of another dialect with its schema in an object's; None where it may stay as it is."""
    output = request.output
    if output is None or output.kind != "json_schema" or dialect not in _OBJECTS_ALONE:
        return None
    if type(output.schema) is not dict or _of_object(output.schema):
        return None
    schema = _box(output.schema) | {"additionalProperties": False}
    return _replace(request, output=_replace(output, schema=schema))


def bare(output: Output) -> bool:
    """Return whether a string is to come without its quotes (Gemini's `text/x.enum`)."""
    return output.extra.get("$type") == _ENUM


def emulated(call: ToolCall) -> bool:
    """Return whether a call is the answer itself."""
    return call.name == ANSWER or call.name == VALUE


class Wrapping(msgspec.Struct, frozen=True):
    """How an answer is wrapped: `box` where text may hold it in an object, `bare` where a string has no quotes."""

    box: bool = False
    bare: bool = False


_TOOL = Wrapping()


def unwrap(reply: Reply, wrapping: Wrapping = _TOOL) -> Reply:
    """Return the reply with what is wrapped as text; the same object where nothing is."""
    if not wrapping.box and not any(
        type(part) is ToolCall and emulated(part) for choice in reply.choices for part in choice.parts
    ):
        return reply
    return _replace(reply, choices=tuple([_unwrap_choice(choice, wrapping) for choice in reply.choices]))


def _unwrap_choice(choice: Choice, wrapping: Wrapping) -> Choice:
    parts: list[Part] = []
    for part in choice.parts:
        if type(part) is ToolCall and emulated(part):
            parts.append(Text(text=_answer(part, wrapping)))
        elif wrapping.box and type(part) is Text:
            told = _Strip(wrapping.bare).all(part.text)
            parts.append(part if told == part.text else Text(text=told))
        else:
            parts.append(part)
    calls = any(type(part) is ToolCall and part.kind != "server" for part in parts)
    if choice.finish != "tool_calls" or calls:
        return _replace(choice, parts=tuple(parts))
    return _replace(choice, parts=tuple(parts), finish="stop", finish_raw=None)


def _answer(call: ToolCall, wrapping: Wrapping) -> str:
    return _Strip(wrapping.bare).all(call.arguments) if call.name == VALUE else call.arguments


class Unwrapper:
    """Makes what is wrapped in a stream text, delta by delta."""

    def __init__(self, wrapping: Wrapping = _TOOL) -> None:
        self._strips: dict[tuple[int, int], _Strip | None] = {}
        self._calls = 0
        self._called = False
        self._wrapping = wrapping

    def feed(self, frame: Frame) -> Frame:
        """Return the frame, changed where it tells of what is wrapped."""
        return retold.events(frame, self._see)

    def _see(self, event: AnyEvent) -> tuple[AnyEvent, ...]:
        kind = type(event)
        if kind is PartStarted:
            return self._begin(event)  # type: ignore[arg-type]  # kind says so
        if kind is ArgumentsDelta or kind is TextDelta:
            place = event.choice, event.index  # type: ignore[union-attr]  # kind says so
            if place not in self._strips:
                return (event,)
            strip = self._strips[place]
            text = event.text  # type: ignore[union-attr]  # kind says so
            if strip is not None:
                text = strip.feed(text)
            return _said(place, text)
        if kind is PartEnded:
            return self._end(event)  # type: ignore[arg-type]  # kind says so
        if kind is Finished:
            held = tuple([told for place in tuple(self._strips) for told in self._flush(place)])
            if event.finish == "tool_calls" and self._called and not self._calls:  # type: ignore[union-attr]  # kind says so
                return (*held, _replace(event, finish="stop", finish_raw=None))
            return (*held, event)
        return (event,)

    def _begin(self, event: PartStarted) -> tuple[AnyEvent, ...]:
        part, place = event.part, (event.choice, event.index)
        strip: _Strip | None = None
        if type(part) is Text and self._wrapping.box:
            strip = self._strips[place] = _Strip(self._wrapping.bare)
            return (_replace(event, part=_replace(part, text="")), *_said(place, strip.feed(part.text)))
        if type(part) is not ToolCall:
            return (event,)
        if not emulated(part):
            self._calls += part.kind != "server"
            return (event,)
        self._called = True
        if part.name == VALUE:
            strip = _Strip(self._wrapping.bare)
        self._strips[place] = strip
        first = part.arguments if part.arguments != "{}" else ""
        if strip is not None:
            first = strip.feed(first)
        return (PartStarted(choice=event.choice, index=event.index, part=Text(text="")), *_said(place, first))

    def _flush(self, place: tuple[int, int]) -> tuple[AnyEvent, ...]:
        strip = self._strips.get(place)
        return _said(place, strip.flush()) if strip is not None else ()

    def _end(self, event: PartEnded) -> tuple[AnyEvent, ...]:
        place = event.choice, event.index
        if place not in self._strips:
            return (event,)
        part = event.part
        if type(part) is ToolCall:
            part = Text(text=_answer(part, self._wrapping))
        elif type(part) is Text:
            part = Text(text=_Strip(self._wrapping.bare).all(part.text))
        return (*self._flush(place), _replace(event, part=part))


def _said(place: tuple[int, int], text: str) -> tuple[AnyEvent, ...]:
    return (TextDelta(choice=place[0], index=place[1], text=text),) if text else ()


class _Strip:
    """Takes away `{"value": ` before, and the end of this object behind, JSON that comes in pieces.

    What does not begin so is left as it is. With `bare` a string is told without its quotes.
    """

    def __init__(self, bare: bool) -> None:
        self._bare = bare
        self._head: str | None = ""
        self._value: list[str] = []
        self._space = ""
        self._depth = 1
        self._quoted = self._escaped = False
        self._plain = False

    def all(self, text: str) -> str:
        """Take a text as a whole."""
        return self.feed(text) + self.flush()

    def feed(self, text: str) -> str:
        """Take a piece, and return what of the value is known by it."""
        if self._plain:
            return text
        if self._head is not None:
            self._head += text
            found = _HEAD.match(self._head)
            if found is None:
                if len(self._head) < _HEAD_LIMIT and _begins(self._head):
                    return ""
                self._plain = True
                return self.flush()
            text = self._head[found.end() :]
            if not text:
                # More space may follow.
                return ""
            self._head = None
        text = self._within(text)
        if self._bare:
            self._value.append(text)
            return ""
        return text

    def flush(self) -> str:
        """Say that nothing follows, and return what was held back."""
        head, self._head = self._head, None
        if head is not None:
            return head if _HEAD.match(head) is None else ""
        held = "".join(self._value)
        self._value.clear()
        if not held:
            return ""
        try:
            value = _decoder.decode(held)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return held
        return value if type(value) is str else held

    def _within(self, text: str) -> str:
        """Return what of a piece belongs to the value; nothing once it has ended."""
        if self._depth < 1:
            return ""
        text = self._space + text
        at, self._space = 0, ""
        if self._escaped and text:
            self._escaped, at = False, 1
        while (mark := _MARKS.search(text, at)) is not None:
            sign, at = mark[0], mark.end()
            if self._quoted:
                if sign == "\\":
                    self._escaped = at == len(text)
                    at += 1
                elif sign == '"':
                    self._quoted = False
            elif sign == '"':
                self._quoted = True
            elif sign in "{[":
                self._depth += 1
            elif self._depth == 1 or sign != ",":
                # The end of what holds the value, of the value's own, or a member beside it.
                if self._depth == 1:
                    self._depth = 0
                    return text[: mark.start()].rstrip()
                self._depth -= 1
        if self._depth == 1 and not self._quoted:
            # Space may be the value's, or stand before the end of what holds it.
            told = text.rstrip()
            text, self._space = told, text[len(told) :]
        return text


def _begins(text: str) -> bool:
    """Return whether a text may yet turn out to hold the value."""
    return '{"value":'.startswith("".join(text.split()))
