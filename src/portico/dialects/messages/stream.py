"""Anthropic's streams: server-sent events, read into frames and written from them.

docs.anthropic.com/en/api/messages-streaming (read 2026-11-20): `message_start`, then each block with `…_start`,
`…_delta` and `…_stop`, `message_delta` with the reason for the end and the usage, `message_stop`. `ping` may come at
any time, and `error` ends a stream.
"""

from typing import Any

import msgspec

from portico.dialects.arguments import merge
from portico.dialects.malformed import Malformed
from portico.dialects.messages.blocks import Block, completed, parse_block, parse_citation
from portico.dialects.messages.reply import FINISHES, reason_of, render_usage, usage_of
from portico.dialects.messages.voice import Speaker
from portico.dialects.messages.watch import add
from portico.dialects.messages.writing import render_block
from portico.dialects.messages.writing import render_citation as own_citation
from portico.dialects.observer import failure
from portico.dialects.tokens import UNREADABLE, Table
from portico.errors import BadUpstreamReply, UpstreamError
from portico.framing import sse
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    CitationDelta,
    Ended,
    Extra,
    Failed,
    Finished,
    Frame,
    PartEnded,
    PartStarted,
    Ping,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Used,
)

_decoder = msgspec.json.Decoder()
_encode = msgspec.json.encode
_ENDED: tuple[AnyEvent, ...] = (Ended(),)
_PING: tuple[AnyEvent, ...] = (Ping(),)
_STOPPED = Frame(dialect="messages", events=_ENDED)
_PINGED = Frame(dialect="messages", events=_PING)


class _Text(msgspec.Struct, tag="text_delta", forbid_unknown_fields=True, gc=False):
    text: str


class _Thought(msgspec.Struct, tag="thinking_delta", forbid_unknown_fields=True, gc=False):
    thinking: str


class _Arguments(msgspec.Struct, tag="input_json_delta", forbid_unknown_fields=True, gc=False):
    partial_json: str


class _Plain(msgspec.Struct, tag="content_block_delta", gc=False):
    """What most events are; those of other shapes are read with care."""

    index: int
    delta: _Text | _Thought | _Arguments


_plain = msgspec.json.Decoder(_Plain)


class Decoder:
    """Reads a stream. `feed` and `flush` raise BadUpstreamReply for what is no such stream, and nothing else.

    With `own` false the frames are for callers of other dialects, and what only this one knows may be left out. Others
    that speak this dialect leave out what can be known without it: ids, the model, an index, a tool's empty input.
    """

    __slots__ = ("_at", "_counts", "_own", "_splitter")

    def __init__(self, *, own: bool = True) -> None:
        self._at = -1
        self._own = own
        self._splitter = sse.Splitter()
        self._counts: Table = {}

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return a frame for each event that this chunk completes."""
        frames = []
        for event in self._splitter.feed(chunk):
            if event.startswith(_DELTA) and not self._own and (frame := _said(event)) is not None:
                frames.append(frame)
                continue
            data = sse.parse(event).data
            if data:
                frames.append(self._read(data))
        return frames

    def flush(self) -> list[Frame]:
        """Return the frame of a last event that no blank line ended; one that was cut is none."""
        data = sse.parse(self._splitter.flush()).data
        try:
            return [self._read(data)] if data else []
        except BadUpstreamReply:
            return []

    def _read(self, data: bytes) -> Frame:
        try:
            value = _decoder.decode(data)
            kind = value.pop("type")
            read = _READERS.get(kind)
            if read is not None:
                return read(self, value)
            value["type"] = kind
            return Frame(dialect="messages", extra={"$event": value})
        except (Malformed, KeyError, TypeError, AttributeError, *UNREADABLE) as error:
            raise BadUpstreamReply(f"An event of the provider's stream is malformed: {error!r}") from error

    def _message_start(self, value: Block) -> Frame:
        message = value["message"]
        started = Started(id=_text(message, "id", ""), model=_text(message, "model", ""))
        used = self._used(message.get("usage"))
        return Frame(dialect="messages", events=(started, *used), extra=value)

    def _block_start(self, value: Block) -> Frame:
        index = self._at = _index(value, self._at + 1)
        part = parse_block(completed(value.pop("content_block")))
        if type(part) is ToolCall and part.arguments == "{}":
            part = msgspec.structs.replace(part, arguments="")
        return Frame(dialect="messages", events=(PartStarted(index=index, part=part),), extra=value)

    def _block_delta(self, value: Block) -> Frame:
        index = _index(value, self._at)
        delta = value["delta"]
        kind = delta["type"]
        event: AnyEvent
        if kind == "text_delta":
            event = TextDelta(index=index, text=_text(delta, "text", ""))
        elif kind == "input_json_delta":
            event = ArgumentsDelta(index=index, text=_text(delta, "partial_json", ""))
        elif kind == "thinking_delta":
            event = ThinkingDelta(index=index, text=_text(delta, "thinking", ""))
        elif kind == "signature_delta":
            event = ThinkingDelta(index=index, opaque=_text(delta, "signature", ""))
        elif kind == "citations_delta":
            event = CitationDelta(index=index, citation=parse_citation(delta.pop("citation")))
        else:
            return Frame(dialect="messages", extra={"$event": {"type": "content_block_delta", "index": index, **value}})
        if len(delta) == 1:
            del value["delta"]
            if not value:
                return Frame(dialect="messages", events=(event,))
        else:
            del delta["type"]
        return Frame(dialect="messages", events=(event,), extra=value)

    def _block_stop(self, value: Block) -> Frame:
        return Frame(dialect="messages", events=(PartEnded(index=_index(value, self._at)),), extra=value)

    def _message_delta(self, value: Block) -> Frame:
        delta = value.get("delta") or {}
        events: list[AnyEvent] = []
        reason = delta.get("stop_reason")
        if type(reason) is str:
            del delta["stop_reason"]
            sequence = delta.get("stop_sequence")
            if type(sequence) is str:
                del delta["stop_sequence"]
            else:
                sequence = None
            events.append(Finished(finish=FINISHES.get(reason, "other"), finish_raw=reason, stop_sequence=sequence))
        events.extend(self._used(value.get("usage")))
        return Frame(dialect="messages", events=tuple(events), extra=value)

    def _message_stop(self, value: Block) -> Frame:
        return Frame(dialect="messages", events=_ENDED, extra=value) if value else _STOPPED

    def _ping(self, value: Block) -> Frame:
        return Frame(dialect="messages", events=_PING, extra=value) if value else _PINGED

    def _error(self, value: Block) -> Frame:
        said = failure(_encode(value.get("error"))) or "the stream failed"
        return Frame(dialect="messages", events=(Failed(error=UpstreamError(said)),), extra=value)

    def _used(self, counts: Any) -> tuple[AnyEvent, ...]:
        """Counts are cumulative; a later event leaves out what did not change."""
        if type(counts) is not dict:
            return ()
        add(self._counts, counts)
        usage = usage_of(self._counts)
        return (Used(usage=usage),) if usage is not None else ()


_READERS = {
    "message_start": Decoder._message_start,
    "content_block_start": Decoder._block_start,
    "content_block_delta": Decoder._block_delta,
    "content_block_stop": Decoder._block_stop,
    "message_delta": Decoder._message_delta,
    "message_stop": Decoder._message_stop,
    "ping": Decoder._ping,
    "error": Decoder._error,
}


_DELTA = b"event: content_block_delta\ndata: "


def _said(event: bytes) -> Frame | None:
    """Read more text, thought or arguments without what only this dialect knows; None for anything else."""
    if event.find(b"\n", len(_DELTA)) != len(event) - 2:
        return None
    try:
        plain = _plain.decode(event[len(_DELTA) :])
    except UNREADABLE:
        return None
    delta = plain.delta
    kind = type(delta)
    told: AnyEvent
    if kind is _Text:
        told = TextDelta(index=plain.index, text=delta.text)  # type: ignore[union-attr]  # kind says so
    elif kind is _Arguments:
        told = ArgumentsDelta(index=plain.index, text=delta.partial_json)  # type: ignore[union-attr]  # kind says so
    else:
        told = ThinkingDelta(index=plain.index, text=delta.thinking)  # type: ignore[union-attr]  # kind says so
    return Frame(dialect="messages", events=(told,))


def _index(value: Block, missing: int) -> int:
    index = value.pop("index", None)
    if index is None:
        return max(missing, 0)
    if type(index) is not int:
        raise Malformed("index", "a whole number")
    return index


def _text(value: Block, name: str, missing: str) -> str:
    found = value.pop(name, None)
    if found is None:
        return missing
    if type(found) is not str:
        raise Malformed(name, "a string")
    return found


# To the wire


class Encoder(Speaker):
    """Writes a stream for a caller of this dialect, from frames of any.

    A frame of this dialect is written as it came; another's by `Speaker`, block by block.
    """

    def feed(self, frame: Frame) -> bytes:
        """Return what a frame comes to, which may be nothing."""
        if frame.dialect == "messages":
            return self._own(frame)
        return super().feed(frame)

    def _own(self, frame: Frame) -> bytes:
        if self.over:
            return b""
        extra = frame.extra
        if "$event" in extra:
            return _event(extra["$event"])
        events = frame.events
        event = events[0] if events else None
        index = -1
        kind = type(event)
        if kind is TextDelta:
            block: Block = {"type": "text_delta", "text": event.text}  # type: ignore[union-attr]  # kind says so
        elif kind is ArgumentsDelta:
            block = {"type": "input_json_delta", "partial_json": event.text}  # type: ignore[union-attr]  # kind says so
        else:
            return self._rare(events, extra)
        index = event.index  # type: ignore[union-attr]  # a delta has one
        return _event(_delta(index, block, extra))

    def _rare(self, events: tuple[AnyEvent, ...], extra: Extra) -> bytes:
        value: Block
        match events[0] if events else None:
            case ThinkingDelta() as event:
                if event.opaque is not None:
                    block: Block = {"type": "signature_delta", "signature": event.opaque}
                else:
                    block = {"type": "thinking_delta", "thinking": event.text}
                return _event(_delta(event.index, block, extra))
            case CitationDelta() as event:
                block = {"type": "citations_delta", "citation": own_citation(event.citation)}
                return _event(_delta(event.index, block, extra))
            case PartStarted() as event:
                value = {"type": "content_block_start", "index": event.index, "content_block": render_block(event.part)}
            case PartEnded() as event:
                value = {"type": "content_block_stop", "index": event.index}
            case Started() as event:
                message = {"id": event.id, "model": event.model, **extra.get("message", {})}
                value = {"type": "message_start", "message": message}
            case Ended():
                self.over = True
                value = {"type": "message_stop"}
            case Ping():
                value = {"type": "ping"}
            case Failed() as event:
                if "error" not in extra:
                    return self.fail(event.error)
                self.over = True
                value = {"type": "error"}
            case _:
                value = {"type": "message_delta"}
                delta: Block = {}
                for one in events:
                    if type(one) is Finished:
                        delta["stop_reason"] = reason_of(one.finish, one.finish_raw)
                        if one.stop_sequence is not None:
                            delta["stop_sequence"] = one.stop_sequence
                    elif type(one) is Used and "usage" not in extra:
                        value["usage"] = render_usage(one.usage)
                merge(delta, extra.get("delta", {}))
                value["delta"] = delta
        merge(value, extra)
        return _event(value)


def _delta(index: int, block: Block, extra: Extra) -> Block:
    value = {"type": "content_block_delta", "index": index, "delta": block}
    if extra:
        merge(block, extra.get("delta", {}))
        merge(value, extra)
    return value


def _event(value: Block) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(value.get("type", "")).encode(), _encode(value))
