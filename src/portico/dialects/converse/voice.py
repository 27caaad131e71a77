"""Another dialect's stream, said in Converse's grammar: `messageStart`, blocks, `messageStop`, `metadata`.

Only a tool's block has a `contentBlockStart`: of a text's or a thought's nothing is known before its first delta.
"""

import struct
from functools import lru_cache
from zlib import crc32

import msgspec

from portico.dialects.converse.blocks import Block, sealed_call
from portico.dialects.converse.ids import legal
from portico.dialects.converse.reply import (
    call_start,
    foreign_blocks,
    foreign_citation,
    reason_of,
    render_usage,
    result_content,
    result_start,
)
from portico.dialects.converse.watch import stream_error
from portico.dialects.seal import seal
from portico.dialects.voice import Item, Voice
from portico.errors import PorticoError
from portico.framing import eventstream
from portico.ir import Citation, Part, Thinking, ToolCall, ToolResult
from portico.types import Usage

_encode = msgspec.json.encode


class Speaker(Voice):
    """Says frames of other dialects to a caller of Bedrock's."""

    def begin(self) -> None:
        """Open the message."""
        self._say("messageStart", {"role": "assistant"})

    def text(self, item: Item, text: str) -> None:
        """Say text."""
        self._delta(item, {"text": text})

    def thought(self, item: Item, text: str) -> None:
        """Say a thought."""
        self._delta(item, {"reasoningContent": {"text": text}})

    def sealed(self, item: Item) -> None:
        """Seal the thought, so that it is known again when it comes back."""
        if item.block < 0 and item.opaque is None:
            return
        assert type(item.part) is Thinking
        thought = msgspec.structs.replace(item.part, opaque=item.opaque)
        self._delta(item, {"reasoningContent": {"signature": seal(thought, self.maker)}})

    def call(self, item: Item, call: ToolCall) -> None:
        """Open a tool call, after the signature that its maker wants back with it."""
        call_id = legal(call.id or self.given.new_id("tooluse_"))
        if call.signature is not None:
            sealed = sealed_call(msgspec.structs.replace(call, id=call_id))
            self._whole(None, [sealed])
        self._open(item)
        start = {"contentBlockIndex": item.block, "start": {"toolUse": call_start(call, call_id)}}
        self._say("contentBlockStart", start)
        if call.kind == "custom":
            self._delta(item, {"toolUse": {"input": '{"input":"'}})
        if call.arguments and call.arguments != "{}":
            self.arguments(item, call.arguments)

    def arguments(self, item: Item, text: str) -> None:
        """Say more of a call's arguments; free text stands in an object."""
        if _free(item):
            text = _encode(text).decode()[1:-1]
        self._delta(item, {"toolUse": {"input": text}})

    def cite(self, item: Item, citation: Citation) -> None:
        """Say a citation."""
        self._delta(item, {"citation": foreign_citation(citation)})

    def stop(self, item: Item) -> None:
        """Close a block."""
        if _free(item):
            self._delta(item, {"toolUse": {"input": '"}'}})
        self._say("contentBlockStop", {"contentBlockIndex": item.block})

    def whole(self, part: Part) -> None:
        """Say a part that does not come in pieces."""
        if type(part) is ToolResult:
            self._whole({"toolResult": result_start(part)}, [{"toolResult": result_content(part)}])
            return
        for block in foreign_blocks(part, self.maker):
            image = block.get("image")
            if image is not None:
                self._whole({"image": {"format": image["format"]}}, [{"image": {"source": image["source"]}}])
            elif "text" in block:
                self._whole(None, [block])

    def end(self) -> None:
        """Say why the answer ended and what was used."""
        finished = self.finished
        reason = reason_of(finished.finish) if finished is not None else "end_turn"
        self._say("messageStop", {"stopReason": reason})
        # Bedrock's own measure of the model's time, which nobody told; the SDKs want the field.
        self._say("metadata", {"usage": render_usage(self.usage or Usage()), "metrics": {"latencyMs": 0}})

    def error(self, error: PorticoError) -> bytes:
        """Write an error as the last message."""
        return stream_error(error)

    def _open(self, item: Item) -> None:
        item.block = self.blocks
        self.blocks += 1

    def _delta(self, item: Item, delta: Block) -> None:
        if item.block < 0:
            self._open(item)
        self._say("contentBlockDelta", {"contentBlockIndex": item.block, "delta": delta})

    def _whole(self, start: Block | None, deltas: list[Block]) -> None:
        index = self.blocks
        self.blocks += 1
        if start is not None:
            self._say("contentBlockStart", {"contentBlockIndex": index, "start": start})
        for delta in deltas:
            self._say("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
        self._say("contentBlockStop", {"contentBlockIndex": index})

    def _say(self, name: str, value: Block) -> None:
        self.out.append(event(name, value))


def event(name: str, value: Block) -> bytes:
    """Write one event message. The headers of a name are always the same, and encoded once."""
    headers, payload = _headers(name), _encode(value)
    lengths = _LENGTHS.pack(16 + len(headers) + len(payload), len(headers))
    message = b"".join((lengths, _CHECKSUM.pack(crc32(lengths)), headers, payload))
    return message + _CHECKSUM.pack(crc32(message))


_LENGTHS = struct.Struct("!II")
_CHECKSUM = struct.Struct("!I")


@lru_cache(maxsize=64)
def _headers(name: str) -> bytes:
    named = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return eventstream.encode(named, b"")[12:-4]


def _free(item: Item) -> bool:
    return type(item.part) is ToolCall and item.part.kind == "custom"
