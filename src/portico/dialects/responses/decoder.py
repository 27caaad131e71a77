"""Streams of the Responses API, event by event (…/api-reference/responses-streaming, read 2026-11-20).

Read as well are the streams of imitators: without `event:` lines or sequence numbers, without the events that announce
an item or a part, with texts that come whole at the end of a part, or with nothing but the completed response.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects.observer import failure
from portico.dialects.responses.citations import read_annotation
from portico.dialects.responses.content import Object, UnfitError, read_content
from portico.dialects.responses.items import read_item
from portico.dialects.responses.reply import epoch, read_finish
from portico.dialects.responses.watch import read_usage
from portico.dialects.tokens import NOTHING, UNREADABLE
from portico.errors import BadUpstreamReply, UpstreamError
from portico.framing import sse
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    CitationDelta,
    Ended,
    Failed,
    Finished,
    Frame,
    Opaque,
    Part,
    PartEnded,
    PartStarted,
    Ping,
    Refusal,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)

Events = list[AnyEvent]
Key = tuple[int, int]
"""Where a part is: the index of its item, and that of the content in it, -1 for an item that is one part."""

_WHOLE = -1
_value: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.encode


class _Last(msgspec.Struct):
    response: msgspec.Raw = NOTHING


_last = msgspec.json.Decoder(_Last)


class _Plain(msgspec.Struct, gc=False):
    """What nearly all events are; those of other shapes are read with care."""

    output_index: int
    content_index: int
    delta: str
    logprobs: tuple[()] | None = None


_plain = msgspec.json.Decoder(_Plain)
_DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
_HEAD = _DELTA.index(b"{")


class Decoder:
    """Reads a stream. `feed` and `flush` raise BadUpstreamReply only.

    With `own` false the frames are for callers of other dialects, and what only this one knows may be left out.
    """

    def __init__(self, *, own: bool = True) -> None:
        self._brief = not own
        self._splitter = sse.Splitter()
        self._started = False
        self._called = False
        self._over = False
        self._data = b""
        self._next = 0
        self._parts: dict[Key, int] = {}
        self._seen: list[int] = []  # characters of each part so far
        self._cited: list[int] = []  # citations of each part so far
        self._open: dict[int, list[Key]] = {}
        self._ids: dict[str, int] = {}
        self._at = 0
        self._done: set[int] = set()

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take a chunk and return a frame for each event that it completes."""
        run = self._splitter.complete(chunk)
        if not run:
            return []
        return [found for event in sse.split(run) if (found := self._frame(event)) is not None]

    def flush(self) -> list[Frame]:
        """Return the frame of an event that no blank line ended, where it is whole."""
        rest = self._splitter.flush()
        if not rest.strip():
            return []
        try:
            found = self._frame(rest)
        except BadUpstreamReply:
            # The stream broke off in the middle of an event: it is missed by its end not having come.
            return []
        return [] if found is None else [found]

    def _more(self, event: bytes) -> Frame | None:
        """Read more of a text without what only this dialect knows; None for anything else."""
        if event.find(b"\n", _HEAD) != len(event) - 2:
            return None
        try:
            found = _plain.decode(event[_HEAD:])
        except UNREADABLE:
            return None
        index = self._parts.get((found.output_index, found.content_index))
        if index is None:
            return None
        self._at = found.output_index
        self._seen[index] += len(found.delta)
        return Frame(dialect="responses", events=(TextDelta(index=index, text=found.delta),))

    def _frame(self, event: bytes) -> Frame | None:
        if self._brief and event.startswith(_DELTA) and (frame := self._more(event)) is not None:
            return frame
        name, data = sse.parse(event)
        if not data:
            if event.lstrip().startswith(b":"):
                return Frame(dialect="responses", events=(Ping(),), extra={"$comment": True})
            return None
        if data == b"[DONE]":
            return Frame(dialect="responses", extra={"$done": True})
        try:
            value = _value.decode(data)
        except UNREADABLE as error:
            raise BadUpstreamReply(f"An event of the provider's stream cannot be read as JSON: {error}") from None
        kind = value.get("type")
        if type(kind) is not str:
            kind = name.decode("utf-8", "replace")
            if not kind and value.get("error"):
                kind = "error"
        if kind == "response.output_text.delta" and type(value.get("delta")) is str:
            # Nearly all events are this one.
            events = self._text(value, value.pop("delta"))
        else:
            handler = _HANDLERS.get(kind)
            if handler is None:
                events = []
            else:
                self._data = data
                events = handler(self, value)
        if not self._started and events and type(events[0]) not in (Failed, Ping):
            if type(events[0]) is not Started:
                events.insert(0, Started())
            self._started = True
        if not name:
            value["$nameless"] = True
        elif kind != name.decode("utf-8", "replace"):
            value["$name"] = name.decode("utf-8", "replace")
        return Frame(dialect="responses", events=tuple(events), extra=value)

    # Where things are

    def _item_at(self, value: Object) -> int:
        """Return the index of the item that an event is about, by its id where the index is left out."""
        index = value.get("output_index")
        if type(index) is int:
            self._at = index
            return index
        item_id = value.get("item_id")
        if type(item_id) is str:
            return self._ids.get(item_id, self._at)
        return self._at

    def _start(self, key: Key, part: Part, events: Events) -> int:
        index = self._next
        self._next += 1
        self._parts[key] = index
        self._seen.append(0)
        self._cited.append(0)
        self._open.setdefault(key[0], []).append(key)
        events.append(PartStarted(index=index, part=part))
        return index

    def _end(self, key: Key, part: Part | None, events: Events) -> None:
        waiting = self._open.get(key[0])
        if waiting is not None and key in waiting:
            waiting.remove(key)
            events.append(PartEnded(index=self._parts[key], part=part))

    def _missing(self, index: int, text: str) -> str:
        """Return what of a whole text has not come yet."""
        seen = self._seen[index]
        self._seen[index] = max(seen, len(text))
        return text[seen:]

    def _content(self, value: Object, part: Part, events: Events) -> int:
        """Return the part of a message that an event is about; it begins where that was not said."""
        at = value.get("content_index")
        key = (self._item_at(value), at if type(at) is int else 0)
        index = self._parts.get(key)
        return self._start(key, part, events) if index is None else index

    def _own(self, value: Object, part: Part, events: Events) -> int:
        """Return the part that is a whole item."""
        key = (self._item_at(value), _WHOLE)
        index = self._parts.get(key)
        return self._start(key, part, events) if index is None else index

    # Beginning and end

    def _created(self, value: Object) -> Events:
        response = value.get("response")
        if self._started or type(response) is not dict:
            return []
        found, model, created = response.get("id"), response.get("model"), response.get("created_at")
        return [
            Started(
                id=found if type(found) is str else "",
                model=model if type(model) is str else "",
                created=epoch(created),
            )
        ]

    def _completed(self, value: Object) -> Events:
        response = value.get("response")
        if type(response) is not dict:
            return []
        events = self._created(value)
        if not self._next and type(response.get("output")) is list:
            # Some give their whole answer here and nowhere else.
            for at, item in enumerate(_value.decode(self._data)["response"]["output"]):
                if type(item) is dict:
                    self._item(at, item, response["output"][at], events)
        for key in [key for keys in self._open.values() for key in keys]:
            self._end(key, None, events)
        usage = read_usage(bytes(_last.decode(self._data).response))
        if usage is not None:
            events.append(Used(usage=usage))
        finish = read_finish(response, self._called)
        if finish == "error":
            events.append(Failed(error=UpstreamError(failure(_encode(response.get("error"))) or "The response failed")))
        else:
            status = response.get("status")
            events.append(Finished(finish=finish or "other", finish_raw=status if type(status) is str else None))
            events.append(Ended())
        return events

    def _failed(self, value: Object) -> Events:
        response = value.get("response")
        said = response.get("error") if type(response) is dict else None
        told = next(
            (text for text in map(failure, map(_encode, (said, value.get("error"), _told(value)))) if text), None
        )
        return [Failed(error=UpstreamError(told or "The response failed"))]

    def _keepalive(self, _: Object) -> Events:
        return [Ping()]

    # Items

    def _item_added(self, value: Object) -> Events:
        item = value.get("item")
        if type(item) is not dict:
            return []
        events: Events = []
        at = self._item_at(value)
        item_id = item.get("id")
        if type(item_id) is str:
            self._ids[item_id] = at
        kind = item.get("type")
        if kind == "function_call" or kind == "custom_tool_call":
            self._call(at, item, events)
        elif kind == "reasoning" and (at, _WHOLE) not in self._parts:
            self._start((at, _WHOLE), Thinking(id=item_id if type(item_id) is str else None), events)
        return events

    def _call(self, at: int, item: Object, events: Events) -> int:
        self._called = True
        index = self._parts.get((at, _WHOLE))
        if index is not None:
            return index
        call_id, name = item.get("call_id") or item.get("id"), item.get("name")
        call = ToolCall(
            call_id if type(call_id) is str else "",
            name if type(name) is str else "",
            "",
            "custom" if item.get("type") == "custom_tool_call" else "function",
        )
        return self._start((at, _WHOLE), call, events)

    def _item_done(self, value: Object) -> Events:
        item = value.get("item")
        if type(item) is not dict:
            return []
        events: Events = []
        at = self._item_at(value)
        if type(value.get("output_index")) is not int:
            item_id = item.get("id")
            known = self._ids.get(item_id) if type(item_id) is str else None
            at = max(self._done, default=-1) + 1 if known is None else known
        self._item(at, _value.decode(self._data)["item"], item, events)
        return events

    def _item(self, at: int, item: Object, written: Object, events: Events) -> None:
        """Give what a whole item has beyond what has come of it. `item` is consumed, `written` is the same, kept."""
        if at in self._done:
            return
        self._done.add(at)
        try:
            parts = read_item(item, {})
        except UnfitError:
            parts = [Opaque(written, extra={"$item": True})]
        kind = written.get("type")
        if kind == "message":
            for content, part in enumerate(parts):
                if "$empty" not in part.extra:
                    self._whole((at, content), part, events)
        else:
            for part in parts:
                if type(part) is ToolCall and part.kind != "server":
                    index = self._call(at, written, events)
                    if missing := self._missing(index, part.arguments):
                        events.append(ArgumentsDelta(index=index, text=missing))
                    self._end((at, _WHOLE), part, events)
                else:
                    self._whole((at, _WHOLE), part, events)
        for key in list(self._open.get(at, ())):
            self._end(key, None, events)

    def _whole(self, key: Key, part: Part, events: Events) -> None:
        """Give what a whole part has beyond what has come of it, and end it."""
        index = self._parts.get(key)
        if type(part) is Text:
            if index is None:
                index = self._start(key, Text(""), events)
            if missing := self._missing(index, part.text):
                events.append(TextDelta(index=index, text=missing))
            for cited in part.citations[self._cited[index] :]:
                events.append(CitationDelta(index=index, citation=cited))
            self._cited[index] = max(self._cited[index], len(part.citations))
        elif type(part) is Refusal:
            if index is None:
                index = self._start(key, Refusal(""), events)
            if missing := self._missing(index, part.text):
                events.append(TextDelta(index=index, text=missing))
        elif type(part) is Thinking:
            if index is None:
                index = self._start(key, Thinking(id=part.id), events)
            if part.text and not self._seen[index]:
                self._seen[index] = len(part.text)
                events.append(ThinkingDelta(index=index, text=part.text))
            if part.opaque is not None:
                events.append(ThinkingDelta(index=index, opaque=part.opaque))
        elif index is None:
            self._start(key, part, events)
        self._end(key, part, events)

    # Texts

    def _text(self, value: Object, text: str) -> Events:
        events: Events = []
        index = self._content(value, _TEXT, events)
        self._seen[index] += len(text)
        logprobs = value.get("logprobs")
        events.append(TextDelta(index=index, text=text, logprobs={"content": logprobs} if logprobs else None))
        return events

    def _refusal(self, value: Object) -> Events:
        return self._worded(value, self._content, _REFUSAL, TextDelta)

    def _arguments(self, value: Object) -> Events:
        self._called = True
        return self._worded(value, self._own, ToolCall("", "", ""), ArgumentsDelta)

    def _thought(self, value: Object) -> Events:
        return self._worded(value, self._own, Thinking(), ThinkingDelta)

    def _worded(
        self,
        value: Object,
        place: Callable[[Object, Part, Events], int],
        part: Part,
        delta: type[TextDelta] | type[ArgumentsDelta] | type[ThinkingDelta],
    ) -> Events:
        text = value.get("delta")
        if type(text) is not str:
            return []
        del value["delta"]
        events: Events = []
        index = place(value, part, events)
        self._seen[index] += len(text)
        events.append(delta(index=index, text=text))
        return events

    def _summary_added(self, value: Object) -> Events:
        """Begin a further piece of a thought; it is set apart from what came before."""
        events: Events = []
        index = self._own(value, Thinking(), events)
        if self._seen[index]:
            self._seen[index] += 2
            events.append(ThinkingDelta(index=index, text="\n\n"))
        return events

    def _content_added(self, value: Object) -> Events:
        part = value.get("part")
        kind = part.get("type") if type(part) is dict else None
        events: Events = []
        if kind == "refusal":
            self._content(value, _REFUSAL, events)
        elif kind == "output_text":
            self._content(value, _TEXT, events)
        return events

    def _content_done(self, value: Object) -> Events:
        part = value.get("part")
        if type(part) is not dict or part.get("type") not in ("output_text", "refusal"):
            return []
        try:
            whole = read_content([_value.decode(self._data)["part"]], "output_text")[0]
        except UnfitError:
            return []
        at = value.get("content_index")
        events: Events = []
        self._whole((self._item_at(value), at if type(at) is int else 0), whole, events)
        return events

    def _text_done(self, value: Object) -> Events:
        events: Events = []
        text = value.get("text")
        if type(text) is str:
            index = self._content(value, _TEXT, events)
            if missing := self._missing(index, text):
                events.append(TextDelta(index=index, text=missing))
        return events

    def _arguments_done(self, value: Object) -> Events:
        events: Events = []
        text = value.get("arguments", value.get("input"))
        if type(text) is str:
            self._called = True
            index = self._own(value, ToolCall("", "", ""), events)
            if missing := self._missing(index, text):
                events.append(ArgumentsDelta(index=index, text=missing))
        return events

    def _annotation(self, value: Object) -> Events:
        annotation = value.get("annotation")
        if type(annotation) is not dict:
            return []
        events: Events = []
        index = self._content(value, _TEXT, events)
        self._cited[index] += 1
        events.append(CitationDelta(index=index, citation=read_annotation(annotation)))
        return events


def _told(value: Object) -> Object:
    """Return the members of an `error` event that tell of the error, where they stand beside its type."""
    return {name: value[name] for name in ("code", "message") if value.get(name)}


_TEXT = Text("")
_REFUSAL = Refusal("")
_HANDLERS: dict[str, Callable[[Decoder, Object], Events]] = {
    "response.created": Decoder._created,
    "response.queued": Decoder._created,
    "response.in_progress": Decoder._created,
    "response.completed": Decoder._completed,
    "response.incomplete": Decoder._completed,
    "response.failed": Decoder._failed,
    "response.cancelled": Decoder._failed,
    "error": Decoder._failed,
    "response.error": Decoder._failed,
    "keepalive": Decoder._keepalive,
    "ping": Decoder._keepalive,
    "response.output_item.added": Decoder._item_added,
    "response.output_item.done": Decoder._item_done,
    "response.content_part.added": Decoder._content_added,
    "response.content_part.done": Decoder._content_done,
    "response.output_text.done": Decoder._text_done,
    "response.output_text.annotation.added": Decoder._annotation,
    "response.refusal.delta": Decoder._refusal,
    "response.function_call_arguments.delta": Decoder._arguments,
    "response.function_call_arguments.done": Decoder._arguments_done,
    "response.custom_tool_call_input.delta": Decoder._arguments,
    "response.custom_tool_call_input.done": Decoder._arguments_done,
    "response.reasoning_summary_part.added": Decoder._summary_added,
    "response.reasoning_summary_text.delta": Decoder._thought,
    "response.reasoning_text.delta": Decoder._thought,
    "response.reasoning_summary.delta": Decoder._thought,
    "response.reasoning.delta": Decoder._thought,
}
