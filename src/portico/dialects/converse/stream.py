"""Converse's streams: AWS event stream messages, read into frames and written from them.

docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html (read 2026-11-20): `messageStart`; of
each block `contentBlockStart` (of a tool, a result or an image alone), `contentBlockDelta`, `contentBlockStop`;
`messageStop`, then `metadata` with the usage is the end. An error is a message of the type `exception`.
"""

from base64 import b64decode, b64encode
from typing import Any

import msgspec

from portico.dialects.arguments import merge
from portico.dialects.converse.blocks import SYSTEM_TOOLS, Block, parse_block, parse_citation
from portico.dialects.converse.reply import FINISHES, reason_of, render_usage, usage_of
from portico.dialects.converse.voice import Speaker, event
from portico.dialects.converse.writing import render_citation
from portico.dialects.malformed import Malformed
from portico.dialects.observer import failure
from portico.dialects.tokens import UNREADABLE
from portico.errors import BadUpstreamReply, UpstreamError
from portico.framing import eventstream
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    CitationDelta,
    Ended,
    Extra,
    Failed,
    Finished,
    Frame,
    Image,
    Part,
    PartEnded,
    PartStarted,
    Source,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)

_decoder = msgspec.json.Decoder()
_encode = msgspec.json.encode
_KEPT = 64


class Decoder:
    """Reads a stream. `feed` and `flush` raise BadUpstreamReply for what is no such stream, and nothing else.

    An event without its block's index is of the block that is open, or begins the next one.
    """

    __slots__ = ("_at", "_decoder", "_held", "_kinds", "_name", "_open", "_stopped")

    def __init__(self) -> None:
        self._at = -1
        self._name = ""
        self._decoder = eventstream.Decoder()
        self._kinds: dict[bytes, str] = {}
        self._open: set[int] = set()
        self._held: dict[int, Block] = {}
        self._stopped = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return a frame for each message that this chunk completes."""
        return [self._read(message) for message in self._decoder.feed(chunk)]

    def flush(self) -> list[Frame]:
        """Return nothing: a message that is not whole was cut."""
        return []

    def _read(self, message: eventstream.Message) -> Frame:
        kind = self._kinds.get(message.encoded)
        if kind is None:
            headers = message.headers()
            if headers.get(":message-type", "event") != "event":
                return _failed(headers, message.payload)
            kind = str(headers.get(":event-type"))
            if len(self._kinds) < _KEPT:
                self._kinds[message.encoded] = kind
        try:
            value = _decoder.decode(message.payload)
            if type(value) is not dict:
                raise Malformed(kind, "an object")
            read = _READERS.get(kind)
            if read is not None:
                return read(self, value)
            return Frame(dialect="converse", extra={"$event": kind, **value})
        except (Malformed, KeyError, TypeError, AttributeError, *UNREADABLE) as error:
            raise BadUpstreamReply(f"An event of the provider's stream is malformed: {error!r}") from error

    def _message_start(self, value: Block) -> Frame:
        return Frame(dialect="converse", events=(Started(),), extra=value)

    def _block_start(self, value: Block) -> Frame:
        index = self._at = _index(value, self._at + 1)
        start = value.get("start")
        use = start.get("toolUse") if type(start) is dict and len(start) == 1 else None
        if type(use) is dict:
            part = parse_block({"toolUse": {**use, "input": {}}})
            if type(part) is ToolCall:
                self._open.add(index)
                del value["start"]
                started = PartStarted(index=index, part=msgspec.structs.replace(part, arguments=""))
                return Frame(dialect="converse", events=(started,), extra=value)
        elif type(start) is dict and len(start) == 1 and ("toolResult" in start or "image" in start):
            # Their content comes in pieces that no event of ours has; the part is told when it is whole.
            self._held[index] = {name: dict(inner) for name, inner in start.items() if type(inner) is dict}
        return Frame(dialect="converse", extra={"$event": "contentBlockStart", "contentBlockIndex": index, **value})

    def _block_delta(self, value: Block) -> Frame:
        delta = value["delta"]
        index = self._index_of(value, delta)
        started: Part
        told: AnyEvent
        if len(delta) != 1:
            return _unknown(index, value)
        name, said = next(iter(delta.items()))
        if name == "text" and type(said) is str:
            started, told = _TEXT, TextDelta(index=index, text=said)
        elif name == "toolUse" and type(said) is dict and len(said) == 1 and type(said.get("input")) is str:
            if index not in self._open:
                return _unknown(index, value)
            started, told = _TEXT, ArgumentsDelta(index=index, text=said["input"])
        elif name == "reasoningContent" and type(said) is dict and len(said) == 1:
            kind, words = next(iter(said.items()))
            if type(words) is not str or kind not in ("text", "signature", "redactedContent"):
                return _unknown(index, value)
            started = _REDACTED if kind == "redactedContent" else _THINKING
            told = (
                ThinkingDelta(index=index, text=words) if kind == "text" else ThinkingDelta(index=index, opaque=words)
            )
            if kind == "redactedContent":
                value["$redacted"] = True
        elif name == "citation" and type(said) is dict:
            started, told = _TEXT, CitationDelta(index=index, citation=parse_citation(said))
        else:
            self._hold(index, name, said)
            return _unknown(index, value)
        del value["delta"]
        if index in self._open:
            return Frame(dialect="converse", events=(told,), extra=value)
        self._open.add(index)
        return Frame(dialect="converse", events=(PartStarted(index=index, part=started), told), extra=value)

    def _index_of(self, value: Block, delta: Block) -> int:
        if value.get("contentBlockIndex") is None:
            names = "".join(delta)
            if names != self._name and names in ("text", "reasoningContent"):
                self._at += 1  # a block of another kind, of those that no event begins
            self._name = names
        self._at = index = _index(value, self._at)
        return index

    def _hold(self, index: int, name: str, said: Any) -> None:
        held = self._held.get(index)
        if held is None:
            return
        if name == "toolResult" and type(said) is list:
            held.setdefault("toolResult", {}).setdefault("content", []).extend(said)
        elif name == "image" and type(said) is dict and type(said.get("source")) is dict:
            data = said["source"].get("bytes")
            if type(data) is str:
                held.setdefault("image", {}).setdefault("pieces", []).append(data)

    def _block_stop(self, value: Block) -> Frame:
        index = _index(value, self._at)
        self._name = ""
        held = self._held.pop(index, None)
        if held is None:
            return Frame(dialect="converse", events=(PartEnded(index=index),), extra=value)
        part = _held_part(held)
        if part is None:
            return Frame(dialect="converse", extra={"$event": "contentBlockStop", "contentBlockIndex": index, **value})
        events = (PartStarted(index=index, part=part), PartEnded(index=index, part=part))
        return Frame(dialect="converse", events=events, extra=value)

    def _message_stop(self, value: Block) -> Frame:
        self._stopped = True
        reason = value.pop("stopReason")
        if type(reason) is not str:
            raise Malformed("stopReason", "a string")
        finished = Finished(finish=FINISHES.get(reason, "other"), finish_raw=reason)
        return Frame(dialect="converse", events=(finished,), extra=value)

    def _metadata(self, value: Block) -> Frame:
        usage = usage_of(value.get("usage"), value.get("serviceTier"))
        events: list[AnyEvent] = [Used(usage=usage)] if usage is not None else []
        if self._stopped:
            events.append(Ended())
        return Frame(dialect="converse", events=tuple(events), extra={"$event": "metadata", **value})


_READERS = {
    "messageStart": Decoder._message_start,
    "contentBlockStart": Decoder._block_start,
    "contentBlockDelta": Decoder._block_delta,
    "contentBlockStop": Decoder._block_stop,
    "messageStop": Decoder._message_stop,
    "metadata": Decoder._metadata,
}
_TEXT = Text(text="")
_THINKING = Thinking(maker="converse")
_REDACTED = Thinking(maker="converse", redacted=True)


def _index(value: Block, missing: int) -> int:
    index = value.pop("contentBlockIndex", None)
    if index is None:
        return max(missing, 0)
    if type(index) is not int:
        raise Malformed("contentBlockIndex", "a whole number")
    return index


def _unknown(index: int, value: Block) -> Frame:
    return Frame(dialect="converse", extra={"$event": "contentBlockDelta", "contentBlockIndex": index, **value})


def _held_part(held: Block) -> Part | None:
    image = held.get("image")
    if image is not None:
        pieces, form = image.get("pieces"), image.get("format")
        if not pieces or type(form) is not str:
            return None
        try:
            data = b64encode(b"".join(map(b64decode, pieces))).decode() if len(pieces) > 1 else pieces[0]
        except ValueError:  # not base64
            return None
        return Image(source=Source(data=data, media_type=f"image/{form}"))
    result = held.get("toolResult")
    if type(result) is not dict or type(result.get("toolUseId")) is not str:
        return None
    result.setdefault("content", [])
    result.setdefault("type", "tool_result")
    kind = result["type"]
    if type(kind) is str:
        name = kind.removesuffix("_result")
        result["type"] = f"{SYSTEM_TOOLS.get(name, name)}_result"
    return parse_block({"toolResult": result})


def _failed(headers: dict[str, eventstream.Value], payload: bytes) -> Frame:
    kind = str(headers.get(":exception-type") or headers.get(":error-code"))
    message = failure(payload) or str(headers.get(":error-message") or "the stream failed")
    try:
        value = _decoder.decode(payload)
    except UNREADABLE:
        value = None
    extra: Extra = dict(value) if type(value) is dict else {}
    extra["$headers"] = headers
    return Frame(dialect="converse", events=(Failed(error=UpstreamError(f"{kind}: {message}")),), extra=extra)


# To the wire


class Encoder(Speaker):
    """Writes a stream for a caller of this dialect, from frames of any.

    A frame of this dialect is written as it came; another's by `Speaker`, block by block.
    """

    def feed(self, frame: Frame) -> bytes:
        """Return what a frame comes to, which may be nothing."""
        if frame.dialect != "converse":
            return super().feed(frame)
        if self.over:
            return b""
        extra = frame.extra
        if "$event" in extra:
            return self._verbatim(frame, extra)
        told = frame.events[-1] if frame.events else None
        value: Block
        match told:
            case TextDelta():
                value = {"contentBlockIndex": told.index, "delta": {"text": told.text}}
                name = "contentBlockDelta"
            case ArgumentsDelta():
                value = {"contentBlockIndex": told.index, "delta": {"toolUse": {"input": told.text}}}
                name = "contentBlockDelta"
            case ThinkingDelta():
                if told.opaque is None:
                    said = {"text": told.text}
                else:
                    said = {"redactedContent" if "$redacted" in extra else "signature": told.opaque}
                value = {"contentBlockIndex": told.index, "delta": {"reasoningContent": said}}
                name = "contentBlockDelta"
            case CitationDelta():
                value = {"contentBlockIndex": told.index, "delta": {"citation": render_citation(told.citation)}}
                name = "contentBlockDelta"
            case PartStarted():
                value = {"contentBlockIndex": told.index}
                name = "contentBlockStart"
                if type(told.part) is ToolCall:
                    use: Block = {"toolUseId": told.part.id, "name": told.part.name}
                    merge(use, told.part.extra)
                    value["start"] = {"toolUse": use}
            case PartEnded():
                value = {"contentBlockIndex": told.index}
                name = "contentBlockStop"
            case Started():
                value = {"role": "assistant"}
                if "role" in extra:
                    del value["role"]
                name = "messageStart"
            case Finished():
                value = {"stopReason": reason_of(told.finish, told.finish_raw)}
                name = "messageStop"
            case Failed():
                if "$headers" not in extra:
                    return self.fail(told.error)
                self.over = True
                value = {}
                merge(value, extra)
                return eventstream.encode(extra["$headers"], _encode(value))
            case _:
                return b""
        merge(value, extra)
        return event(name, value)

    def _verbatim(self, frame: Frame, extra: Extra) -> bytes:
        value: Block = {}
        merge(value, extra)
        for told in frame.events:
            if type(told) is Ended:
                self.over = True
            elif type(told) is Used and "usage" not in value:
                value["usage"] = render_usage(told.usage)
        return event(extra["$event"], value)
