"""Another dialect's stream, said in Anthropic's grammar: one block after the other, each opened, filled and closed.

Anthropic's streams have one block open at a time. What comes for another part meanwhile waits until that block ends;
a block opens with its first content, so that none is empty. What the provider says of the end and of the usage is held
until the stream ends, since both stand in one `message_delta`.
"""

import msgspec

from portico.dialects.crossing import Given
from portico.dialects.messages.blocks import Block
from portico.dialects.messages.ids import legal
from portico.dialects.messages.reply import foreign_blocks, foreign_citation, reason_of, render_usage
from portico.dialects.messages.watch import stream_error
from portico.dialects.seal import seal, seal_call
from portico.errors import PorticoError
from portico.framing import sse
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
    CitationDelta,
    Ended,
    Failed,
    Finished,
    Frame,
    Part,
    PartEnded,
    PartStarted,
    Ping,
    Refusal,
    Request,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)
from portico.types import Dialect, Usage

_encode = msgspec.json.encode


class _Open:
    """A part that has begun: whether its block is open, and what came for it while another's was."""

    __slots__ = ("block", "citations", "ended", "opaque", "part", "waiting")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.block = -1
        self.opaque: str | None = part.opaque if type(part) is Thinking else None
        self.waiting: list[AnyEvent] = []
        self.ended = False


class Voice:
    """Says frames of any dialect. `over` is true once the stream has ended or failed."""

    def __init__(self, request: Request, given: Given) -> None:
        self._request = request
        self._given = given
        self.over = False
        self._begun = False
        self._maker: Dialect = "messages"
        self._model = ""
        self._usage: Usage | None = None
        self._finished: Finished | None = None
        self._parts: dict[int, _Open] = {}
        self._current: int | None = None
        self._blocks = 0

    def say(self, frame: Frame) -> bytes:
        """Return the events that a frame comes to."""
        if self.over:
            return b""
        self._maker = frame.dialect
        out: list[bytes] = []
        for event in frame.events:
            self._hear(event, out)
        return b"".join(out)

    def finish(self) -> bytes:
        """Return what ends the stream properly; nothing where it has ended."""
        if self.over:
            return b""
        out: list[bytes] = []
        self._end(out)
        return b"".join(out)

    def break_off(self, error: PorticoError) -> bytes:
        """Return the event that ends the stream with an error; nothing where it has ended."""
        if self.over:
            return b""
        self.over = True
        return stream_error(error, self._given.request_id)

    def _hear(self, event: AnyEvent, out: list[bytes]) -> None:
        if self.over:
            return
        if type(event) is Failed:
            out.append(self.break_off(event.error))
            return
        if getattr(event, "choice", 0):
            return
        kind = type(event)
        if kind is Used:
            self._usage = event.usage  # type: ignore[union-attr]  # kind says so
        elif kind is Finished:
            self._finished = event  # type: ignore[assignment]  # kind says so
        elif kind is Ended:
            self._end(out)
        elif kind is Started:
            self._model = self._model or event.model  # type: ignore[union-attr]  # kind says so
            self._begin(out)
        elif kind is Ping:
            if self._begun:
                out.append(_event("ping", {"type": "ping"}))
        else:
            self._begin(out)
            self._part(event, out)

    def _begin(self, out: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        message: Block = {
            "id": self._given.new_id("msg_"),
            "type": "message",
            "role": "assistant",
            "model": self._model or self._request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": render_usage(self._usage or Usage()),
        }
        out.append(_event("message_start", {"type": "message_start", "message": message}))

    def _part(self, event: AnyEvent, out: list[bytes]) -> None:
        index: int = event.index  # type: ignore[union-attr]  # every event of a part has one
        if type(event) is PartStarted:
            self._parts[index] = _Open(event.part)
            if self._current is None:
                self._current = index
                self._opening(out)
            return
        part = self._parts.get(index)
        if part is None:
            if type(event) is PartEnded:
                return
            # A delta of a part that was not announced: text, unless it says otherwise.
            started = {ThinkingDelta: Thinking(), ArgumentsDelta: None}.get(type(event), Text(text=""))
            if started is None:
                return
            part = self._parts[index] = _Open(started)
            if self._current is None:
                self._current = index
        if part.ended:
            return
        if index != self._current:
            part.waiting.append(event)
            return
        self._current_part(part, event, out)

    def _current_part(self, part: _Open, event: AnyEvent, out: list[bytes]) -> None:
        if type(event) is not PartEnded:
            self._delta(part, event, out)
            return
        self._close(part, out)
        self._current = None
        self._next(out)

    def _next(self, out: list[bytes]) -> None:
        """Go on with the parts that waited, in the order in which they began."""
        while self._current is None:
            found = next((index for index, part in self._parts.items() if not part.ended), None)
            if found is None:
                return
            self._current = found
            part = self._parts[found]
            self._opening(out)
            waiting, part.waiting = part.waiting, []
            for event in waiting:
                if type(event) is PartEnded:
                    self._close(part, out)
                    self._current = None
                    break
                self._delta(part, event, out)

    def _opening(self, out: list[bytes]) -> None:
        """Say of the current part what is known at its beginning."""
        assert self._current is not None
        item = self._parts[self._current]
        match item.part:
            case ToolCall() as call:
                self._call(item, call, out)
            case Text(text=text, citations=citations):
                if text:
                    self._text(item, text, out)
                for citation in citations:
                    self._cite(item, foreign_citation(citation), out)
            case Refusal(text=text):
                if text:
                    self._text(item, text, out)
            case Thinking(text=text):
                if text:
                    self._thought(item, text, out)
            case Audio(transcript=transcript):
                if transcript:
                    self._text(item, transcript, out)
            case part:
                for block in foreign_blocks(part, self._maker):
                    self._whole(block, out)

    def _call(self, item: _Open, call: ToolCall, out: list[bytes]) -> None:
        call_id = legal(call.id or self._given.new_id("toolu_"))
        if call.signature is not None:
            sealed = seal_call(msgspec.structs.replace(call, id=call_id))
            self._whole({"type": "redacted_thinking", "data": sealed}, out)
        kind = "server_tool_use" if call.kind == "server" else "tool_use"
        name = call.server_type or call.name if call.kind == "server" else call.name
        self._start(item, {"type": kind, "id": call_id, "name": name, "input": {}}, out)
        if call.kind == "custom":
            self._fill(item, {"type": "input_json_delta", "partial_json": '{"input":"'}, out)
            self._arguments(item, call.arguments if call.arguments != "{}" else "", out)
        elif call.arguments != "{}":
            self._arguments(item, call.arguments, out)

    def _arguments(self, item: _Open, text: str, out: list[bytes]) -> None:
        if not text:
            return
        if type(item.part) is ToolCall and item.part.kind == "custom":
            text = _encode(text).decode()[1:-1]
        self._fill(item, {"type": "input_json_delta", "partial_json": text}, out)

    def _delta(self, item: _Open, event: AnyEvent, out: list[bytes]) -> None:
        match event:
            case TextDelta(text=text):
                if text:
                    self._text(item, text, out)
            case ArgumentsDelta(text=text):
                self._arguments(item, text, out)
            case ThinkingDelta(text=text, opaque=opaque):
                if opaque is not None:
                    item.opaque = (item.opaque or "") + opaque
                if text:
                    self._thought(item, text, out)
            case CitationDelta(citation=citation):
                self._cite(item, foreign_citation(citation), out)
            case AudioDelta(transcript=text):
                if text:
                    self._text(item, text, out)
            case _:
                raise AssertionError(f"{event!r} is no event of a part")

    def _text(self, item: _Open, text: str, out: list[bytes]) -> None:
        if item.block < 0:
            self._start(item, {"type": "text", "text": ""}, out)
        self._fill(item, {"type": "text_delta", "text": text}, out)

    def _thought(self, item: _Open, text: str, out: list[bytes]) -> None:
        if item.block < 0:
            self._start(item, {"type": "thinking", "thinking": "", "signature": ""}, out)
        self._fill(item, {"type": "thinking_delta", "thinking": text}, out)

    def _cite(self, item: _Open, citation: Block, out: list[bytes]) -> None:
        if item.block < 0:
            self._start(item, {"type": "text", "text": "", "citations": []}, out)
        self._fill(item, {"type": "citations_delta", "citation": citation}, out)

    def _close(self, item: _Open, out: list[bytes]) -> None:
        item.ended = True
        part = item.part
        if type(part) is Thinking and (item.block >= 0 or item.opaque is not None):
            if item.block < 0:
                self._start(item, {"type": "thinking", "thinking": "", "signature": ""}, out)
            sealed = seal(msgspec.structs.replace(part, opaque=item.opaque), self._maker)
            self._fill(item, {"type": "signature_delta", "signature": sealed}, out)
        elif type(part) is ToolCall and part.kind == "custom":
            self._fill(item, {"type": "input_json_delta", "partial_json": '"}'}, out)
        if item.block >= 0:
            out.append(_event("content_block_stop", {"type": "content_block_stop", "index": item.block}))

    def _start(self, item: _Open, block: Block, out: list[bytes]) -> None:
        item.block = self._blocks
        self._blocks += 1
        value = {"type": "content_block_start", "index": item.block, "content_block": block}
        out.append(_event("content_block_start", value))

    def _fill(self, item: _Open, delta: Block, out: list[bytes]) -> None:
        value = {"type": "content_block_delta", "index": item.block, "delta": delta}
        out.append(b"event: content_block_delta\ndata: %b\n\n" % _encode(value))

    def _whole(self, block: Block, out: list[bytes]) -> None:
        index = self._blocks
        self._blocks += 1
        if block["type"] == "text":
            item = _Open(Text(text=""))
            item.block = index
            start = {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
            out.append(_event("content_block_start", start))
            self._fill(item, {"type": "text_delta", "text": block["text"]}, out)
        else:
            start = {"type": "content_block_start", "index": index, "content_block": block}
            out.append(_event("content_block_start", start))
        out.append(_event("content_block_stop", {"type": "content_block_stop", "index": index}))

    def _end(self, out: list[bytes]) -> None:
        self._begin(out)
        while self._current is not None:
            part = self._parts[self._current]
            self._close(part, out)
            self._current = None
            self._next(out)
        finished = self._finished
        reason = reason_of(finished.finish) if finished is not None else "end_turn"
        sequence = finished.stop_sequence if finished is not None else None
        out.append(
            _event(
                "message_delta",
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": reason, "stop_sequence": sequence},
                    "usage": _final(self._usage or Usage()),
                },
            )
        )
        out.append(_event("message_stop", {"type": "message_stop"}))
        self.over = True


def _final(usage: Usage) -> Block:
    """Return the counts as `message_delta` has them, which names no tier and no split of what was cached."""
    counts = render_usage(usage)
    del counts["service_tier"], counts["cache_creation"]
    return counts


def _event(name: str, value: Block) -> bytes:
    return sse.render(_encode(value), name.encode())
